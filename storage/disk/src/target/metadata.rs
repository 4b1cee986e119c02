//! Owner, attributes, mode and times of a restored entry, in the only order that works.
//!
//! Changing the owner clears set-user-id bits and capabilities, so it comes first; attributes hold ACLs, which change the mode,
//! so the mode comes after them; everything changes the times, so they come last. Attributes that an entry has already are not all
//! its own: a directory hands its default ACL down to whatever is made in it. Those that were not backed up are taken away.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RawMode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::TargetDir;
use crate::source::attributes::{path_through_fd, whole};
use crate::source::{FileTime, Xattr};

/// The bits that let a program run as its owner or group.
const SET_ID_BITS: u32 = 0o6000;

/// What an entry's attributes shall be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetMetadata {
    /// Permission bits with set-user-id, set-group-id and sticky (`0..=0o7777`).
    pub mode: u32,
    /// Owner, as this machine numbers it.
    pub uid: u32,
    /// Group, as this machine numbers it.
    pub gid: u32,
    /// When the contents last changed.
    pub mtime: FileTime,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// An attribute that can fail alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Owner and group. Only root can give files away.
    Owner,
    /// Permission bits.
    Mode,
    /// The time of the last change.
    Times,
    /// The extended attribute of this name.
    Xattr(Vec<u8>),
}

/// An attribute that could not be set; the entry is right but for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// Which.
    pub attribute: Attribute,
    /// The system's error number, as in `io::Error::from_raw_os_error`.
    pub errno: i32,
}

impl std::fmt::Display for Unset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.attribute {
            Attribute::Owner => f.write_str("owner and group")?,
            Attribute::Mode => f.write_str("permissions")?,
            Attribute::Times => f.write_str("time of the last change")?,
            Attribute::Xattr(name) => {
                write!(f, "attribute {}", String::from_utf8_lossy(name).escape_debug())?;
            }
        }
        write!(f, " not set: {}", std::io::Error::from_raw_os_error(self.errno))
    }
}

/// Which modes an entry without a descriptor of its own can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModeOf {
    /// A symbolic link has none.
    Link,
    /// A pipe or a device has one.
    Special,
}

#[derive(Default)]
struct Outcome(Vec<Unset>);

impl Outcome {
    fn note(&mut self, attribute: Attribute, result: Result<(), Errno>) -> bool {
        if let Err(errno) = result {
            self.0.push(Unset {
                attribute,
                errno: errno.raw_os_error(),
            });
        }
        result.is_ok()
    }

    /// Notes an attribute that should not be there and stayed.
    fn removed(&mut self, result: Result<(), Errno>, name: Vec<u8>) {
        if result != Err(Errno::NODATA) {
            self.note(Attribute::Xattr(name), result);
        }
    }
}

/// The attributes that an entry has and that were not backed up, as far as they are the owner's or an ACL. What else a system keeps in
/// attributes (security labels) is its own affair. One that cannot tell has none.
fn others(metadata: &TargetMetadata, list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Vec<Vec<u8>> {
    let names = whole(list).unwrap_or_default();
    let is_wanted = |name: &[u8]| metadata.xattrs.iter().any(|(wanted, _)| wanted == name);
    names
        .split(|byte| *byte == 0)
        .filter(|name| name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_"))
        .filter(|name| !is_wanted(name))
        .map(<[u8]>::to_vec)
        .collect()
}

/// Sets the attributes of an open file or directory.
pub(super) fn set_of_fd<Fd: AsFd>(fd: Fd, metadata: &TargetMetadata) -> Vec<Unset> {
    let fd = fd.as_fd();
    let mut outcome = Outcome::default();
    let owner_now = rustix::fs::fstat(fd).map(|stat| (stat.st_uid, stat.st_gid)).ok();
    let is_owned = owner_now == Some((metadata.uid, metadata.gid))
        || outcome.note(
            Attribute::Owner,
            rustix::fs::fchown(
                fd,
                Some(Uid::from_raw(metadata.uid)),
                Some(Gid::from_raw(metadata.gid)),
            ),
        );
    for name in others(metadata, |buffer| rustix::fs::flistxattr(fd, buffer)) {
        outcome.removed(rustix::fs::fremovexattr(fd, name.as_slice()), name);
    }
    for (name, value) in &metadata.xattrs {
        let set = rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty());
        outcome.note(Attribute::Xattr(name.clone()), set);
    }
    let mode = allowed_mode(metadata.mode, is_owned, &mut outcome);
    outcome.note(Attribute::Mode, rustix::fs::fchmod(fd, mode));
    outcome.note(
        Attribute::Times,
        rustix::fs::futimens(fd, &timestamps(metadata.mtime)),
    );
    outcome.0
}

/// Sets the attributes of what stands under a name that this restore has just made.
pub(super) fn set_of_name(
    dir: &TargetDir,
    name: &[u8],
    metadata: &TargetMetadata,
    mode_of: ModeOf,
) -> Vec<Unset> {
    let mut outcome = Outcome::default();
    let fd = &*dir.fd;
    let owner_now = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
        .map(|stat| (stat.st_uid, stat.st_gid))
        .ok();
    let owner = Some(Uid::from_raw(metadata.uid));
    let group = Some(Gid::from_raw(metadata.gid));
    let is_owned = owner_now == Some((metadata.uid, metadata.gid))
        || outcome.note(
            Attribute::Owner,
            rustix::fs::chownat(fd, name, owner, group, AtFlags::SYMLINK_NOFOLLOW),
        );
    let path = path_through_fd(fd, name, &dir.path_of(name));
    for name in others(metadata, |buffer| rustix::fs::llistxattr(path.as_path(), buffer)) {
        outcome.removed(rustix::fs::lremovexattr(path.as_path(), name.as_slice()), name);
    }
    for (xattr, value) in &metadata.xattrs {
        let set = rustix::fs::lsetxattr(path.as_path(), xattr.as_slice(), value, XattrFlags::empty());
        outcome.note(Attribute::Xattr(xattr.clone()), set);
    }
    if mode_of == ModeOf::Special {
        let mode = allowed_mode(metadata.mode, is_owned, &mut outcome);
        outcome.note(Attribute::Mode, chmod_special(fd, name, mode));
    }
    let times = rustix::fs::utimensat(fd, name, &timestamps(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW);
    outcome.note(Attribute::Times, times);
    outcome.0
}

/// The mode, without the bits that would let a program run as whoever restores it, when that is not who it belonged to.
fn allowed_mode(mode: u32, is_owned: bool, outcome: &mut Outcome) -> Mode {
    let mode = mode & 0o7777;
    if is_owned || mode & SET_ID_BITS == 0 {
        return Mode::from_raw_mode(mode as RawMode);
    }
    outcome.note(Attribute::Mode, Err(Errno::PERM));
    Mode::from_raw_mode((mode & !SET_ID_BITS) as RawMode)
}

/// `fchmodat` follows links and a pipe must not be opened: on Linux a descriptor that only names the entry does neither.
fn chmod_special(dir: &OwnedFd, name: &[u8], mode: Mode) -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        chmod_opened(&rustix::fs::openat(dir, name, flags, Mode::empty())?, mode)
    }
    #[cfg(not(target_os = "linux"))]
    {
        rustix::fs::chmodat(dir, name, mode, AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Sets the mode of what a descriptor names that was opened with `O_PATH`, which `fchmod` refuses.
#[cfg(target_os = "linux")]
pub(super) fn chmod_opened(entry: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    rustix::fs::chmod(format!("/proc/self/fd/{}", entry.as_raw_fd()).as_str(), mode)
}

fn timestamps(mtime: FileTime) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.secs,
        tv_nsec: mtime.nanos.into(),
    };
    // A restored file was never read: its access time is as good as any.
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
