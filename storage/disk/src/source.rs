//! The tree that is backed up: what each entry is, and what is in it.
//!
//! Reads and reports, and never changes anything: not even access times, where the system permits. Everything is opened relative to
//! its directory and without following symbolic links, so a link that is put in place of a directory meanwhile leads nowhere.
//! An entry that cannot be read is an error of that entry alone.

pub(crate) mod attributes;
mod file;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nuthatch_format::tree::TARGET_LEN_MAX;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

pub use file::{Hole, SourceFile};

use crate::owners::Owners;

/// A moment as a file system keeps it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct FileTime {
    /// Seconds since 1970, negative before.
    pub secs: i64,
    /// Nanoseconds after that, `0..1_000_000_000`.
    pub nanos: u32,
}

/// What kind of thing an entry is, with what only this kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link and the bytes that it holds.
    Symlink {
        /// Where it points, uninterpreted.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket.
    Socket,
}

/// An extended attribute: its whole name (`user.colour`) and its value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One entry of a directory, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// What it is.
    pub kind: SourceKind,
    /// Size in bytes; meaningful for files.
    pub size: u64,
    /// Bytes that it occupies on the disk; fewer than `size` when it has holes.
    pub occupied: u64,
    /// Permission bits with set-user-id, set-group-id and sticky (`0..=0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name here, empty when none is known.
    pub user: String,
    /// Group's name here, empty when none is known.
    pub group: String,
    /// When the contents last changed.
    pub mtime: FileTime,
    /// When the contents or the attributes last changed; no program can set it.
    pub ctime: FileTime,
    /// Number of its inode in its file system.
    pub inode: u64,
    /// Number of its file system.
    pub device: u64,
    /// How many names it has.
    pub link_count: u64,
    /// Extended attributes, sorted by name; ACLs and capabilities are among them.
    pub xattrs: Vec<Xattr>,
    /// The system's error number (as in `io::Error::from_raw_os_error`) when some of them could not be read; the rest is right.
    pub xattr_errno: Option<i32>,
}

/// What was tried when the source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceAction {
    /// Listing a directory.
    List,
    /// Looking at an entry's attributes.
    Look,
    /// Opening a file or directory.
    Open,
    /// Reading a file.
    Read,
}

impl std::fmt::Display for SourceAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::List => "list",
            Self::Look => "look at",
            Self::Open => "open",
            Self::Read => "read",
        })
    }
}

/// Why an entry could not be read. It concerns that entry (and what is below it) only.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is gone since the directory was listed.
    #[error("{} is gone", path.display())]
    Gone {
        /// The entry.
        path: PathBuf,
    },
    /// It is another thing than when it was looked at.
    #[error("{} was replaced meanwhile", path.display())]
    Replaced {
        /// The entry.
        path: PathBuf,
    },
    /// This user may not read it.
    #[error("no permission to {action} {}", path.display())]
    Permission {
        /// What was tried.
        action: SourceAction,
        /// The entry.
        path: PathBuf,
    },
    /// Anything else that the system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: SourceAction,
        /// The entry.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SourceError {
    fn new(action: SourceAction, path: PathBuf, errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Gone { path },
            Errno::LOOP | Errno::NOTDIR => Self::Replaced { path },
            Errno::ACCESS | Errno::PERM => Self::Permission { action, path },
            errno => Self::Io {
                action,
                path,
                source: errno.into(),
            },
        }
    }

    /// The entry that failed.
    pub fn path(&self) -> &Path {
        match self {
            Self::Gone { path }
            | Self::Replaced { path }
            | Self::Permission { path, .. }
            | Self::Io { path, .. } => path,
        }
    }
}

/// An open directory of the source. Clones share it; it is closed with the last one.
#[derive(Debug, Clone)]
pub struct SourceDir {
    fd: Arc<OwnedFd>,
    path: Arc<Path>,
    owners: Arc<Owners>,
}

impl SourceDir {
    /// Opens the directory where a backup begins. The path is the user's: links on the way to it are followed, the last one too.
    pub fn open(path: &Path, owners: Arc<Owners>) -> Result<Self, SourceError> {
        let fd = open_readable(rustix::fs::CWD, path, OFlags::DIRECTORY)
            .map_err(|errno| SourceError::new(SourceAction::Open, path.to_owned(), errno))?;
        Ok(Self {
            fd: Arc::new(fd),
            path: path.into(),
            owners,
        })
    }

    /// Opens a directory in this one.
    pub fn open_dir(&self, name: &[u8]) -> Result<Self, SourceError> {
        let fd = open_readable(&*self.fd, name, OFlags::DIRECTORY | OFlags::NOFOLLOW)
            .map_err(|errno| self.error(SourceAction::Open, name, errno))?;
        Ok(Self {
            fd: Arc::new(fd),
            path: self.path_of(name).into(),
            owners: Arc::clone(&self.owners),
        })
    }

    /// Opens a regular file in this directory; `seen` is what a look at it found, and it must be the same file still.
    pub fn open_file(&self, name: &[u8], seen: &SourceEntry) -> Result<SourceFile, SourceError> {
        // NONBLOCK: a pipe put in place of the file must not make us wait for its writer.
        let fd = open_readable(&*self.fd, name, OFlags::NOFOLLOW | OFlags::NONBLOCK)
            .map_err(|errno| self.error(SourceAction::Open, name, errno))?;
        SourceFile::new(fd, self.path_of(name), seen)
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages and for the file cache.
    pub fn path_of(&self, name: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        self.path.join(std::ffi::OsStr::from_bytes(name))
    }

    /// The names in this directory, sorted by their bytes, without `.` and `..`.
    pub fn names(&self) -> Result<Vec<Vec<u8>>, SourceError> {
        let fail = |errno| SourceError::new(SourceAction::List, self.path.to_path_buf(), errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&*self.fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What the directory itself is.
    pub fn look_at_self(&self) -> Result<SourceEntry, SourceError> {
        let stat = rustix::fs::fstat(&*self.fd)
            .map_err(|errno| SourceError::new(SourceAction::Look, self.path.to_path_buf(), errno))?;
        let mut entry = self.entry(&stat, SourceKind::Dir);
        attributes::read_of_fd(&*self.fd, &mut entry);
        Ok(entry)
    }

    /// What an entry is, itself and not what it points to.
    pub fn look(&self, name: &[u8]) -> Result<SourceEntry, SourceError> {
        let fail = |errno| self.error(SourceAction::Look, name, errno);
        let stat = rustix::fs::statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => SourceKind::File,
            FileType::Directory => SourceKind::Dir,
            FileType::Symlink => SourceKind::Symlink {
                target: self.link_target(name).map_err(fail)?,
            },
            FileType::Fifo => SourceKind::Fifo,
            FileType::Socket => SourceKind::Socket,
            FileType::CharacterDevice => SourceKind::CharDevice {
                major: rustix::fs::major(stat.st_rdev),
                minor: rustix::fs::minor(stat.st_rdev),
            },
            FileType::BlockDevice => SourceKind::BlockDevice {
                major: rustix::fs::major(stat.st_rdev),
                minor: rustix::fs::minor(stat.st_rdev),
            },
            FileType::Unknown => return Err(fail(Errno::NOTSUP)),
        };
        let mut entry = self.entry(&stat, kind);
        attributes::read_of_name(&self.fd, name, &self.path_of(name), &mut entry);
        Ok(entry)
    }

    fn link_target(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let target = rustix::fs::readlinkat(&*self.fd, name, Vec::new())?.into_bytes();
        if target.len() > TARGET_LEN_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(target)
    }

    fn entry(&self, stat: &rustix::fs::Stat, kind: SourceKind) -> SourceEntry {
        SourceEntry {
            kind,
            size: wide(stat.st_size),
            occupied: wide(stat.st_blocks).saturating_mul(512),
            mode: u32::try_from(wide(stat.st_mode) & 0o7777).unwrap_or_default(),
            uid: stat.st_uid,
            gid: stat.st_gid,
            user: self.owners.user_name(stat.st_uid).to_owned(),
            group: self.owners.group_name(stat.st_gid).to_owned(),
            mtime: file_time(stat.st_mtime, wide(stat.st_mtime_nsec)),
            ctime: file_time(stat.st_ctime, wide(stat.st_ctime_nsec)),
            inode: wide(stat.st_ino),
            device: wide(stat.st_dev),
            link_count: wide(stat.st_nlink),
            xattrs: Vec::new(),
            xattr_errno: None,
        }
    }

    fn error(&self, action: SourceAction, name: &[u8], errno: Errno) -> SourceError {
        SourceError::new(action, self.path_of(name), errno)
    }
}

/// The systems disagree about the widths and signs of these fields; none of them is ever negative.
pub(crate) fn wide<T: TryInto<u64>>(value: T) -> u64 {
    value.try_into().unwrap_or_default()
}

pub(crate) fn file_time(secs: i64, nanos: u64) -> FileTime {
    FileTime {
        secs,
        nanos: u32::try_from(nanos).unwrap_or_default(),
    }
}

/// Opens for reading without touching the access time, where the system lets us (only the owner and root may ask for that).
fn open_readable<Fd: std::os::fd::AsFd, P: rustix::path::Arg + Copy>(
    dir: Fd,
    path: P,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    match rustix::fs::openat(dir.as_fd(), path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => {}
        other => return other,
    }
    rustix::fs::openat(dir.as_fd(), path, flags, Mode::empty())
}

#[cfg(test)]
mod tests;
