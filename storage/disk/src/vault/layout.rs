//! Where a shard lies in a vault, and what a file's name says about it.
//!
//! `<archive>/<first two digits of the label>/<label>.<index>`, beside it `<label>.label` with the signed label, and
//! `<label>.<index>.tree` with the hash tree for verified ranges, a cache. `partial/` has what is still arriving, `VAULT` says which
//! vault it is (see `attachment`). Names and bytes of these files are all that a vault is; its index is made from them.

use std::path::{Path, PathBuf};

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{ArchiveId, LabelId};

/// What the note of how far a shard has come is called, beside the shard.
pub(super) const NOTE: &str = "progress";

/// The name of one shard in a vault. Nothing is shared across archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardPlace {
    /// Whose it is.
    pub archive: ArchiveId,
    /// The stripe's label.
    pub label: LabelId,
    /// Which shard of the stripe.
    pub index: ShardIndex,
}

impl std::fmt::Display for ShardPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shard {} of stripe {}", self.index.0, self.label.short())
    }
}

/// What a file in a shard directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileName {
    Shard(LabelId, ShardIndex),
    Label(LabelId),
    Tree,
}

/// What this file name says, when it is one of ours.
pub(super) fn parse_name(name: &str) -> Option<FileName> {
    let (label, kind) = name.split_once('.')?;
    let label: LabelId = label.parse().ok()?;
    if kind == "label" {
        return Some(FileName::Label(label));
    }
    if let Some(index) = kind.strip_suffix(".tree") {
        return parse_index(index).map(|_| FileName::Tree);
    }
    parse_index(kind).map(|index| FileName::Shard(label, index))
}

/// One number has one name: no sign, no leading zero.
fn parse_index(text: &str) -> Option<ShardIndex> {
    let index: u8 = text.parse().ok()?;
    (index.to_string() == text).then_some(ShardIndex(index))
}

/// The paths of a vault.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index.redb")
    }

    pub(super) fn partial_dir(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(super) fn archive_dir(&self, archive: &ArchiveId) -> PathBuf {
        self.root.join(archive.to_string())
    }

    /// The directory of a label: one of 256, so that none grows too long.
    pub(super) fn dir(&self, archive: &ArchiveId, label: &LabelId) -> PathBuf {
        let digits = label.to_string();
        self.archive_dir(archive).join(digits.get(..2).unwrap_or("00"))
    }

    pub(super) fn shard(&self, place: &ShardPlace) -> PathBuf {
        self.dir(&place.archive, &place.label)
            .join(format!("{}.{}", place.label, place.index.0))
    }

    pub(super) fn tree(&self, place: &ShardPlace) -> PathBuf {
        self.dir(&place.archive, &place.label)
            .join(format!("{}.{}.tree", place.label, place.index.0))
    }

    pub(super) fn label(&self, archive: &ArchiveId, label: &LabelId) -> PathBuf {
        self.dir(archive, label).join(format!("{label}.label"))
    }

    pub(super) fn partial(&self, place: &ShardPlace) -> PathBuf {
        let name = format!("{}-{}.{}", place.archive, place.label, place.index.0);
        self.partial_dir().join(name)
    }

    pub(super) fn progress(&self, place: &ShardPlace) -> PathBuf {
        self.partial(place).with_added_extension(NOTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_was_made_from_and_no_other_does() {
        let place = ShardPlace {
            archive: ArchiveId::from_bytes([1; 32]),
            label: LabelId::from_bytes([0xab; 32]),
            index: ShardIndex(7),
        };
        let layout = Layout::new(Path::new("/v"));
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            parse_name(&name(layout.shard(&place))),
            Some(FileName::Shard(place.label, place.index))
        );
        assert_eq!(
            parse_name(&name(layout.label(&place.archive, &place.label))),
            Some(FileName::Label(place.label))
        );
        assert_eq!(parse_name(&name(layout.tree(&place))), Some(FileName::Tree));
        let label = place.label.to_string();
        for bad in [
            "",
            ".",
            "x.1",
            &label,
            &format!("{label}.07"),
            &format!("{label}.256"),
            &format!("{label}.+1"),
        ] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }
}
