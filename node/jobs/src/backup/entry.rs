//! What is stored of an entry of the source. Pure: facts about the source in, format values out.

use nuthatch_disk::source::{FileTime, SourceEntry, SourceKind};
use nuthatch_format::content::Content;
use nuthatch_format::tree::{
    EntryKind, MODE_MASK, MTime, Metadata, OWNER_NAME_LEN_MAX, XATTR_NAME_LEN_MAX, XATTR_VALUE_LEN_MAX,
    XATTRS_LEN_MAX, XATTRS_MAX,
};

use super::read::Extent;

/// Devices whose hard links are told apart (count); beyond it, links on further devices are stored as files of their own.
const DEVICES_MAX: usize = 4096;

/// An entry's metadata, and whether attributes had to be left out because the format has no room for them.
pub(crate) fn metadata(seen: &SourceEntry) -> (Metadata, bool) {
    let mut room = XATTRS_LEN_MAX;
    let mut xattrs = Vec::with_capacity(seen.xattrs.len().min(XATTRS_MAX));
    for (name, value) in &seen.xattrs {
        let fits = xattrs.len() < XATTRS_MAX
            && name.len() <= XATTR_NAME_LEN_MAX
            && value.len() <= XATTR_VALUE_LEN_MAX
            && name.len() + value.len() <= room;
        if fits {
            room -= name.len() + value.len();
            xattrs.push((name.clone(), value.clone()));
        }
    }
    let left_out = xattrs.len() < seen.xattrs.len();
    let metadata = Metadata {
        mode: seen.mode & MODE_MASK,
        uid: seen.uid,
        gid: seen.gid,
        user: owner(&seen.user),
        group: owner(&seen.group),
        mtime: time(seen.mtime),
        xattrs,
    };
    (metadata, left_out)
}

fn owner(name: &str) -> Option<String> {
    (!name.is_empty() && name.len() <= OWNER_NAME_LEN_MAX).then(|| name.to_owned())
}

fn time(time: FileTime) -> MTime {
    MTime {
        secs: time.secs,
        nanos: time.nanos,
    }
}

/// A regular file.
pub(crate) fn file(extent: &Extent, content: Content) -> EntryKind {
    EntryKind::File {
        size: extent.size,
        content,
        holes: extent.holes.iter().map(|hole| (hole.offset, hole.len)).collect(),
    }
}

/// What has neither data nor entries; `None` for a file or directory.
pub(crate) fn other(kind: &SourceKind) -> Option<EntryKind> {
    match kind {
        SourceKind::File | SourceKind::Dir => None,
        SourceKind::Symlink { target } => Some(EntryKind::Symlink {
            target: target.clone(),
        }),
        SourceKind::Fifo => Some(EntryKind::Fifo),
        SourceKind::CharDevice { major, minor } => Some(EntryKind::CharDevice {
            major: *major,
            minor: *minor,
        }),
        SourceKind::BlockDevice { major, minor } => Some(EntryKind::BlockDevice {
            major: *major,
            minor: *minor,
        }),
        SourceKind::Socket => Some(EntryKind::Socket),
    }
}

/// Numbers for hard-link groups that stay the same from one backup to the next, so that unchanged directories do.
///
/// On the first device of a walk the number is the inode's. Device numbers change with every boot, so another device counts by its place in
/// the walk, mixed with the inode. A restore links two names only when their contents agree too, so a clash costs nothing.
#[derive(Debug, Default)]
pub(crate) struct LinkGroups {
    devices: Vec<u64>,
}

impl LinkGroups {
    /// The group of an entry, `None` where it has one name.
    pub(crate) fn group(&mut self, seen: &SourceEntry) -> Option<u64> {
        if seen.link_count < 2 || seen.kind == SourceKind::Dir {
            return None;
        }
        let place = match self.devices.iter().position(|device| *device == seen.device) {
            Some(place) => place,
            None if self.devices.len() < DEVICES_MAX => {
                self.devices.push(seen.device);
                self.devices.len() - 1
            }
            None => return None,
        };
        if place == 0 {
            return Some(seen.inode);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(place as u64).to_le_bytes());
        hasher.update(&seen.inode.to_le_bytes());
        hasher
            .finalize()
            .as_bytes()
            .first_chunk::<8>()
            .map(|bytes| u64::from_le_bytes(*bytes))
    }
}
