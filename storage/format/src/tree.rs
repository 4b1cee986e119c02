//! A directory as data: what a backup remembers of every entry, as a stream of entries in the order of their names.
//!
//! ```text
//! tree  = "nuthtree" ‖ version (u16) ‖ suite (u16) ‖ entry*          numbers are little-endian
//! entry = length of what follows (u32) ‖ canonical CBOR of Entry
//! ```
//!
//! Nothing unstable is kept (no device id, inode number or access time), so an unchanged directory is an unchanged tree. Names and
//! link targets are raw bytes, checked here: a tree from anybody can't name `..` or reach outside its directory. Trees are plaintext;
//! they are chunked and sealed like files. This file knows no disk and follows no link.

mod stream;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::codec::Canonical;

pub use crate::content::{CONTENT_IDS_MAX, Content};
pub use stream::{TREE_HEADER_LEN, Tree, TreeError, TreeReader, TreeWriter};

/// Longest name of an entry, in bytes. File systems allow 255; archives made elsewhere may carry more.
pub const NAME_LEN_MAX: usize = 4096;
/// Longest target of a symbolic link, in bytes (Linux: `PATH_MAX`).
pub const TARGET_LEN_MAX: usize = 4096;
/// Longest name of a user or a group, in bytes.
pub const OWNER_NAME_LEN_MAX: usize = 256;
/// Longest name of an extended attribute, in bytes (Linux: `XATTR_NAME_MAX`).
pub const XATTR_NAME_LEN_MAX: usize = 255;
/// Longest value of an extended attribute, in bytes (Linux: `XATTR_SIZE_MAX`).
pub const XATTR_VALUE_LEN_MAX: usize = 64 * 1024;
/// Most bytes in the names and values of one entry's extended attributes.
pub const XATTRS_LEN_MAX: usize = 512 * 1024;
/// Most extended attributes of one entry.
pub const XATTRS_MAX: usize = 4096;
/// Most holes of one file. A file with more keeps its longest ones; the others are stored as zeros.
pub const HOLES_MAX: usize = 65_536;
/// Permission bits, set-id bits and the sticky bit: all of a mode that is kept. The kind of an entry has a field of its own.
pub const MODE_MASK: u32 = 0o7777;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Its name: not empty, not `.` or `..`, without `/` and NUL.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// What it is.
    #[n(1)]
    pub kind: EntryKind,
    /// What every kind has.
    #[n(2)]
    pub meta: Metadata,
    /// The same number for all names of one file within a snapshot, another one for every other file. `None` for a file with one name
    /// and for directories.
    #[n(3)]
    pub hard_link: Option<u64>,
}

/// What an entry is, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum EntryKind {
    /// A regular file.
    #[n(0)]
    File {
        /// Its length with holes, in bytes.
        #[n(0)]
        size: u64,
        /// Its data without holes.
        #[n(1)]
        content: Content,
        /// Offset and length of each hole, in order, never touching.
        #[n(2)]
        holes: Vec<(u64, u64)>,
    },
    /// A directory.
    #[n(1)]
    Dir {
        /// Its tree.
        #[n(0)]
        tree: Content,
    },
    /// A symbolic link.
    #[n(2)]
    Symlink {
        /// Where it points, as it stands: not empty, without NUL.
        #[cbor(n(0), with = "minicbor::bytes")]
        target: Vec<u8>,
    },
    /// A named pipe.
    #[n(3)]
    Fifo,
    /// A character device.
    #[n(4)]
    CharDevice {
        /// Major device number.
        #[n(0)]
        major: u32,
        /// Minor device number.
        #[n(1)]
        minor: u32,
    },
    /// A block device.
    #[n(5)]
    BlockDevice {
        /// Major device number.
        #[n(0)]
        major: u32,
        /// Minor device number.
        #[n(1)]
        minor: u32,
    },
    /// A socket: noted, never restored.
    #[n(6)]
    Socket,
}

/// What every entry has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Metadata {
    /// The bits of [`MODE_MASK`].
    #[n(0)]
    pub mode: u32,
    /// Numeric owner.
    #[n(1)]
    pub uid: u32,
    /// Numeric group.
    #[n(2)]
    pub gid: u32,
    /// Name of the owner, where the system knew one.
    #[n(3)]
    pub user: Option<String>,
    /// Name of the group, where the system knew one.
    #[n(4)]
    pub group: Option<String>,
    /// When its content last changed.
    #[n(5)]
    pub mtime: MTime,
    /// Names and values of its extended attributes (access lists and capabilities among them), strictly sorted by name.
    #[cbor(n(6), with = "pairs")]
    pub xattrs: Vec<Xattr>,
}

/// A file's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct MTime {
    /// Seconds since 1970-01-01 00:00 UTC; negative before.
    #[n(0)]
    pub secs: i64,
    /// Nanoseconds after that second, `0..1_000_000_000`.
    #[n(1)]
    pub nanos: u32,
}

/// Name and value of an extended attribute.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// Pairs of byte strings.
mod pairs {
    use super::{ByteVec, Xattr};
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    pub(super) fn encode<C, W: Write>(
        pairs: &[Xattr],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(pairs.len() as u64)?;
        for (name, value) in pairs {
            e.array(2)?.bytes(name)?.bytes(value)?;
        }
        Ok(())
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Xattr>, DecodeError> {
        let pairs: Vec<(ByteVec, ByteVec)> = d.decode()?;
        Ok(pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect())
    }
}

impl Canonical for Entry {
    const WHAT: &'static str = "tree entry";
    const LEN_MAX: usize = 2 * 1024 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        check_name(&self.name)?;
        self.meta.check()?;
        self.kind.check()?;
        match (&self.kind, self.hard_link) {
            (EntryKind::Dir { .. }, Some(_)) => Err("a directory in a hard-link group"),
            (
                EntryKind::File { .. }
                | EntryKind::Dir { .. }
                | EntryKind::Symlink { .. }
                | EntryKind::Fifo
                | EntryKind::CharDevice { .. }
                | EntryKind::BlockDevice { .. }
                | EntryKind::Socket,
                _,
            ) => Ok(()),
        }
    }
}

/// Whatever passes `check` also fits: a hole takes at most 19 bytes, the rest is counted with room for its headers.
const _: () = assert!(
    Entry::LEN_MAX
        >= NAME_LEN_MAX
            + TARGET_LEN_MAX
            + 2 * OWNER_NAME_LEN_MAX
            + XATTRS_LEN_MAX
            + XATTRS_MAX * 16
            + HOLES_MAX * 19
            + CONTENT_IDS_MAX * 32
            + 1024
);

fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() || name == b"." || name == b".." {
        Err("a name that is empty, . or ..")
    } else if name.len() > NAME_LEN_MAX {
        Err("a name that is too long")
    } else if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        Err("a name with a slash or a zero byte")
    } else {
        Ok(())
    }
}

impl Metadata {
    fn check(&self) -> Result<(), &'static str> {
        let long = |name: &Option<String>| name.as_ref().is_some_and(|name| name.len() > OWNER_NAME_LEN_MAX);
        if self.mode & !MODE_MASK != 0 {
            Err("a mode with bits that are no permission")
        } else if self.mtime.nanos >= 1_000_000_000 {
            Err("a time of more than a second's nanoseconds")
        } else if long(&self.user) || long(&self.group) {
            Err("an owner's name that is too long")
        } else {
            check_xattrs(&self.xattrs)
        }
    }
}

fn check_xattrs(xattrs: &[Xattr]) -> Result<(), &'static str> {
    let total: usize = xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if xattrs.len() > XATTRS_MAX || total > XATTRS_LEN_MAX {
        Err("too many extended attributes")
    } else if xattrs.iter().any(|(name, value)| {
        name.is_empty()
            || name.len() > XATTR_NAME_LEN_MAX
            || name.contains(&0)
            || value.len() > XATTR_VALUE_LEN_MAX
    }) {
        Err("an extended attribute that is too long or has no name")
    } else if !xattrs.is_sorted_by(|a, b| a.0 < b.0) {
        Err("extended attributes out of order")
    } else {
        Ok(())
    }
}

impl EntryKind {
    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::File { size, content, holes } => check_file(*size, content, holes),
            Self::Dir { tree } if tree.len == 0 => Err("a directory without a tree"),
            Self::Dir { tree } => tree.check(),
            Self::Symlink { target } if target.is_empty() => Err("an empty link target"),
            Self::Symlink { target } if target.len() > TARGET_LEN_MAX || target.contains(&0) => {
                Err("a link target that is too long or has a zero byte")
            }
            Self::Symlink { .. }
            | Self::Fifo
            | Self::CharDevice { .. }
            | Self::BlockDevice { .. }
            | Self::Socket => Ok(()),
        }
    }
}

fn check_file(size: u64, content: &Content, holes: &[(u64, u64)]) -> Result<(), &'static str> {
    if holes.len() > HOLES_MAX {
        return Err("too many holes");
    }
    let (mut end_before, mut hole_bytes) = (None, 0_u64);
    for (offset, len) in holes {
        let end = offset
            .checked_add(*len)
            .filter(|end| *len > 0 && *end <= size)
            .ok_or("a hole that is empty or outside its file")?;
        if end_before.is_some_and(|before| *offset <= before) {
            return Err("holes that touch or are out of order");
        }
        // The holes are apart and inside the file: their sum can't exceed its size.
        hole_bytes += len;
        end_before = Some(end);
    }
    if content.len != size - hole_bytes {
        return Err("data and holes that do not add up to the file's size");
    }
    content.check()
}

#[cfg(test)]
mod tests;
