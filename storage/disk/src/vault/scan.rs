//! What the files of a vault say, read when the index cannot be trusted.

use std::fs;
use std::path::Path;

use nuthatch_format::{ArchiveId, ByteCount, LabelId};

use super::index::Sink;
use super::layout::{FileName, Layout, ShardPlace, parse_name};
use super::{VaultError, read_label};
use crate::atomic::{self, FileError};

/// Hands every shard that has its label beside it, and the length that the label gives, to the sink. Removes half-written temporaries,
/// and leaves alone what it does not know. What it finds is durable afterwards: the process may have been killed before it was.
pub(super) fn scan(layout: &Layout, sink: &mut Sink<'_>) -> Result<(), VaultError> {
    for name in atomic::list(layout.root())? {
        let Some(archive) = name.to_str().and_then(|name| name.parse::<ArchiveId>().ok()) else {
            continue;
        };
        let dir = layout.archive_dir(&archive);
        if !dir.is_dir() {
            continue;
        }
        for part in atomic::list(&dir)? {
            let part = dir.join(part);
            if part.is_dir() {
                scan_dir(layout, &archive, &part, sink)?;
            }
        }
        atomic::sync_dir(&dir)?;
    }
    Ok(atomic::sync_dir(layout.root())?)
}

fn scan_dir(layout: &Layout, archive: &ArchiveId, dir: &Path, sink: &mut Sink<'_>) -> Result<(), VaultError> {
    atomic::sweep(dir)?;
    atomic::sync_dir(dir)?;
    let mut names: Vec<FileName> = atomic::list(dir)?
        .iter()
        .filter_map(|name| name.to_str().and_then(parse_name))
        .collect();
    names.sort_unstable_by_key(|name| match name {
        FileName::Shard(label, index) => Some((*label, index.0)),
        FileName::Label(_) | FileName::Tree => None,
    });
    let mut known: Option<(LabelId, Option<(u64, usize)>)> = None;
    for name in names {
        let FileName::Shard(label, index) = name else {
            continue;
        };
        let place = ShardPlace {
            archive: *archive,
            label,
            index,
        };
        let shape = match known {
            Some((id, shape)) if id == label => shape,
            _ => {
                let shape = label_shape(layout, archive, &label)?;
                known = Some((label, shape));
                shape
            }
        };
        match (shape, len_of(&layout.shard(&place), dir)) {
            (Some((shard_len, total)), Some(len)) if shard_len == len && usize::from(index.0) < total => {
                sink(&place, ByteCount(len))?;
            }
            _ => tracing::warn!(%place, "a shard does not fit its label, or has none, and does not count"),
        }
    }
    Ok(())
}

/// The length of the file at a shard's path; `None` when it was found in another directory than this, where nobody looks for it.
fn len_of(path: &Path, found_in: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    (path.parent() == Some(found_in)).then_some(metadata.len())
}

/// Length and number of the shards of a stripe; `None` when its label is no use.
fn label_shape(
    layout: &Layout,
    archive: &ArchiveId,
    label: &LabelId,
) -> Result<Option<(u64, usize)>, FileError> {
    let label = read_label(layout, archive, label)?;
    Ok(label.map(|label| (label.label().shard_len, label.label().shards.len())))
}
