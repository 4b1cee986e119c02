//! One backup: its root tree with time and origin, sealed so that only readers learn where it came from, and the line that writers list.
//!
//! A snapshot counts once the journal entry that carries it is stored. Dates inside it are shown and decide nothing. The device shown is
//! the one that signed the segment, so none stands here. This file never looks at a clock, and opens nothing without the reading key.

mod packs;
mod seal;

pub(crate) use seal::SEALED_SNAPSHOT_LEN_MAX;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::codec::{Canonical, Suite, Version};
use crate::content::Content;
use crate::id::SnapshotId;
use crate::units::{ByteCount, Timestamp};

pub use packs::{PACK_RUNS_MAX, PackChange, PackRun, PackSet, PackSetError};
pub use seal::{OpenSnapshotError, SealSnapshotError, SealedSnapshot, open_snapshot, seal_snapshot};

/// Most paths that one backup names.
pub const PATHS_MAX: usize = 256;
/// Longest path, in bytes.
pub const PATH_LEN_MAX: usize = 4096;
/// Most bytes in all paths that one backup names.
pub const PATHS_LEN_MAX: usize = 64 * 1024;
/// Longest name of a host or a user, in bytes.
pub const ORIGIN_LEN_MAX: usize = 255;
/// Most tags of a snapshot.
pub const TAGS_MAX: usize = 64;
/// Longest tag, in bytes.
pub const TAG_LEN_MAX: usize = 128;
/// Most warnings that a snapshot lists; more are counted.
pub const WARNINGS_MAX: usize = 1000;
/// Most bytes in the paths and messages of a snapshot's warnings; more are counted.
pub const WARNINGS_LEN_MAX: usize = 192 * 1024;
/// Longest message of a warning, in bytes; longer ones are cut.
pub const WARNING_MESSAGE_LEN_MAX: usize = 512;

/// What only readers of an archive learn about a backup.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Snapshot {
    #[n(0)]
    version: Version,
    #[n(1)]
    suite: Suite,
    /// The tree of everything.
    #[n(2)]
    pub root: Content,
    /// The absolute paths that were backed up, as given.
    #[cbor(n(3), with = "byte_strings")]
    pub paths: Vec<Vec<u8>>,
    /// The machine's name.
    #[n(4)]
    pub hostname: String,
    /// The user's name.
    #[n(5)]
    pub username: String,
    /// What the user calls it.
    #[n(6)]
    pub tags: Vec<String>,
    /// When the backup began.
    #[n(7)]
    pub start: Timestamp,
    /// When the backup ended.
    #[n(8)]
    pub end: Timestamp,
    /// What it holds.
    #[n(9)]
    pub counts: Counts,
    /// What was skipped or may be wrong, and why.
    #[n(10)]
    pub warnings: Warnings,
    /// The snapshot that it was made after, of the same host and paths.
    #[n(11)]
    pub parent: Option<SnapshotId>,
}

/// How much a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Counts {
    /// Regular files; every name of a hard-linked one.
    #[n(0)]
    pub files: u64,
    /// Directories.
    #[n(1)]
    pub dirs: u64,
    /// Everything else.
    #[n(2)]
    pub others: u64,
    /// Bytes in files without holes, hard-linked ones once.
    #[n(3)]
    pub bytes: ByteCount,
}

/// A bounded list of warnings; what does not fit is counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Warnings {
    #[n(0)]
    listed: Vec<Warning>,
    #[n(1)]
    omitted: u64,
}

/// One thing that a backup could not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Warning {
    /// What it is about.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub path: Vec<u8>,
    /// What kind of trouble.
    #[n(1)]
    pub kind: WarningKind,
    /// For people.
    #[n(2)]
    pub message: String,
}

/// What kind of trouble a backup had with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum WarningKind {
    /// It could not be read and is not in the snapshot.
    #[n(0)]
    Unreadable,
    /// It changed while it was read: its content may be of two moments.
    #[n(1)]
    Changed,
    /// It was gone before it could be read.
    #[n(2)]
    Vanished,
    /// Some of its attributes could not be read or kept.
    #[n(3)]
    Attributes,
    /// It is nothing that a backup keeps, or can't be written as an entry.
    #[n(4)]
    Unsupported,
}

impl Warnings {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, cut to its bounds; counts it when the list is full.
    pub fn push(&mut self, mut warning: Warning) {
        warning.path.truncate(PATH_LEN_MAX);
        let end = warning.message.floor_char_boundary(WARNING_MESSAGE_LEN_MAX);
        warning.message.truncate(end);
        if self.listed.len() < WARNINGS_MAX && self.text_len() + warning.text_len() <= WARNINGS_LEN_MAX {
            self.listed.push(warning);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    /// Those that are listed.
    pub fn listed(&self) -> &[Warning] {
        &self.listed
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.omitted.saturating_add(self.listed.len() as u64)
    }

    fn text_len(&self) -> usize {
        self.listed.iter().map(Warning::text_len).sum()
    }

    fn is_bounded(&self) -> bool {
        self.listed.len() <= WARNINGS_MAX
            && self.text_len() <= WARNINGS_LEN_MAX
            && self.listed.iter().all(|warning| {
                warning.path.len() <= PATH_LEN_MAX && warning.message.len() <= WARNING_MESSAGE_LEN_MAX
            })
    }
}

impl Warning {
    fn text_len(&self) -> usize {
        self.path.len() + self.message.len()
    }
}

/// Where a snapshot comes from: what the constructor can't count by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The absolute paths that were backed up, as given.
    pub paths: Vec<Vec<u8>>,
    /// The machine's name.
    pub hostname: String,
    /// The user's name.
    pub username: String,
    /// What the user calls it.
    pub tags: Vec<String>,
    /// When the backup began.
    pub start: Timestamp,
}

impl Snapshot {
    /// A snapshot without warnings and parent; both fields are open to be set.
    pub fn new(origin: Origin, root: Content, counts: Counts, end: Timestamp) -> Self {
        Self {
            version: Version,
            suite: Suite,
            root,
            paths: origin.paths,
            hostname: origin.hostname,
            username: origin.username,
            tags: origin.tags,
            start: origin.start,
            end,
            counts,
            warnings: Warnings::new(),
            parent: None,
        }
    }
}

impl Canonical for Snapshot {
    const WHAT: &'static str = "snapshot";
    const LEN_MAX: usize = 384 * 1024;
    const VERSIONED: bool = true;

    fn check(&self) -> Result<(), &'static str> {
        let paths_len: usize = self.paths.iter().map(Vec::len).sum();
        if self.paths.len() > PATHS_MAX
            || paths_len > PATHS_LEN_MAX
            || self.paths.iter().any(|path| path.len() > PATH_LEN_MAX)
        {
            Err("too many paths")
        } else if self.hostname.len() > ORIGIN_LEN_MAX || self.username.len() > ORIGIN_LEN_MAX {
            Err("a host or user name that is too long")
        } else if !self.warnings.is_bounded() {
            Err("too many warnings")
        } else if self.root.len == 0 {
            Err("a snapshot without a tree")
        } else {
            check_tags(&self.tags)?;
            self.root.check()
        }
    }
}

/// Whatever passes `check` also fits, with room for the headers of its parts.
const _: () = assert!(
    Snapshot::LEN_MAX
        >= Content::LEN_MAX
            + PATHS_LEN_MAX
            + PATHS_MAX * 3
            + 2 * ORIGIN_LEN_MAX
            + TAGS_MAX * (TAG_LEN_MAX + 2)
            + WARNINGS_LEN_MAX
            + WARNINGS_MAX * 12
            + 1024
);

fn check_tags(tags: &[String]) -> Result<(), &'static str> {
    if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.len() > TAG_LEN_MAX) {
        Err("too many tags, or one that is too long")
    } else {
        Ok(())
    }
}

/// What every writer may know about a snapshot: enough to list, to group and to retain.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotLine {
    /// When the backup ended.
    #[n(0)]
    pub time: Timestamp,
    /// What the user calls it.
    #[n(1)]
    pub tags: Vec<String>,
    /// Bytes in files.
    #[n(2)]
    pub bytes: ByteCount,
    /// Regular files.
    #[n(3)]
    pub files: u64,
    /// Packs that a restore of all of it may read, as a difference to those of `parent` (of nothing, without one).
    #[n(4)]
    pub packs_needed: PackChange,
    /// Equal for snapshots of the same host and paths: [`crate::keys::WriterKeys::snapshot_group`].
    #[cbor(n(5), with = "minicbor::bytes")]
    pub group: [u8; 32],
    /// The snapshot that `packs_needed` is a difference to.
    #[n(6)]
    pub parent: Option<SnapshotId>,
}

impl Canonical for SnapshotLine {
    const WHAT: &'static str = "snapshot line";
    const LEN_MAX: usize = 2 * 1024 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        check_tags(&self.tags)?;
        if self.parent.is_none() && !self.packs_needed.removed.is_empty() {
            Err("a difference to nothing that removes packs")
        } else {
            self.packs_needed.check()
        }
    }
}

/// A list of byte strings.
mod byte_strings {
    use super::ByteVec;
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    pub(super) fn encode<C, W: Write>(
        strings: &[Vec<u8>],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(strings.len() as u64)?;
        for string in strings {
            e.bytes(string)?;
        }
        Ok(())
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Vec<u8>>, DecodeError> {
        let strings: Vec<ByteVec> = d.decode()?;
        Ok(strings.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests;
