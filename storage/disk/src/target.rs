//! The tree that a restore writes, safe whatever the snapshot or another process does to it meanwhile.
//!
//! Everything below the root goes through open directories, one name at a time, and never through a symbolic link: a snapshot that
//! says "`a` is a link to `/etc`" and then "`a/passwd` is a file" gets an error, not a file in `/etc`. An entry appears under its
//! name only when it is whole: it is made under a temporary name in the same directory and renamed. Which entries to write, and
//! in which order, is the restore's decision.

mod file;
mod metadata;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

pub use file::{Beginning, TargetFile};
pub use metadata::{Attribute, TargetMetadata, Unset};

/// What the names of unfinished entries begin with. A restore that is repeated finds its own and goes on with them.
pub const UNFINISHED_PREFIX: &str = ".nuthatch-unfinished-";

/// Why an entry could not be written. It concerns that entry (and what is below it) only.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A name that no entry can have: empty, `.`, `..`, or with a slash or a zero byte in it.
    #[error("a name in {} is not possible: {}", dir.display(), String::from_utf8_lossy(name).escape_debug())]
    BadName {
        /// The directory that it should stand in.
        dir: PathBuf,
        /// The name.
        name: Vec<u8>,
    },
    /// Something else stands there: a link or a file in place of a directory, or a directory in place of another thing.
    #[error("something else is in the way at {}", path.display())]
    InTheWay {
        /// The entry.
        path: PathBuf,
    },
    /// Only root can make this kind of entry.
    #[error("no permission to make {}", path.display())]
    Permission {
        /// The entry.
        path: PathBuf,
    },
    /// The disk (or the quota on it) is full.
    #[error("the disk is full at {}", path.display())]
    DiskFull {
        /// The entry.
        path: PathBuf,
    },
    /// This system has no such kind of entry.
    #[error("this system cannot make {}", path.display())]
    Unsupported {
        /// The entry.
        path: PathBuf,
    },
    /// Anything else that the system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The entry.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl TargetError {
    fn new(action: &'static str, path: PathBuf, errno: Errno) -> Self {
        match errno {
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST => {
                Self::InTheWay { path }
            }
            Errno::ACCESS | Errno::PERM => Self::Permission { path },
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull { path },
            Errno::NOTSUP | Errno::NOSYS => Self::Unsupported { path },
            errno => Self::Io {
                action,
                path,
                source: errno.into(),
            },
        }
    }
}

/// A special file, which has no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A character device with its major and minor number. Only root can make one.
    CharDevice(u32, u32),
    /// A block device with its major and minor number. Only root can make one.
    BlockDevice(u32, u32),
}

/// What stands under a name of the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
        /// When its contents last changed.
        mtime: crate::source::FileTime,
        /// How many names it has, with this one (count): what is done to it is done to all of them.
        names: u64,
    },
    /// A directory.
    Dir,
    /// A link, a pipe, a device or a socket.
    Other,
}

/// An open directory of the target. Clones share it; it is closed with the last one.
#[derive(Debug, Clone)]
pub struct TargetDir {
    fd: Arc<OwnedFd>,
    path: Arc<Path>,
}

impl TargetDir {
    /// Opens the directory that a restore goes into, and makes it (and those above) where it is missing. The path is the user's
    /// own: links on the way are followed.
    pub fn open_root(path: &Path) -> Result<Self, TargetError> {
        std::fs::create_dir_all(path).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            TargetError::new("create", path.to_owned(), errno)
        })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| TargetError::new("open", path.to_owned(), errno))?;
        Ok(Self {
            fd: Arc::new(fd),
            path: path.into(),
        })
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory in this one, and makes it (mode 0700 until its metadata is set) where it is missing. One that is there and
    /// its owner may not write to, left by an earlier restore, is opened up until its metadata is set again.
    pub fn dir(&self, name: &[u8]) -> Result<Self, TargetError> {
        self.check_name(name)?;
        match rustix::fs::mkdirat(&*self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.error("create", name, errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&*self.fd, name, flags, Mode::empty());
        let opened = match open() {
            Err(Errno::ACCESS) => open_up_unread(&self.fd, name).and_then(|()| open()),
            other => other,
        };
        let fd = opened.map_err(|errno| self.error("open", name, errno))?;
        open_up(&fd).map_err(|errno| self.error("open", name, errno))?;
        Ok(Self {
            fd: Arc::new(fd),
            path: self.path_of(name).into(),
        })
    }

    /// Opens the directory at these names below this one, making what is missing.
    pub fn descend<'a>(&self, names: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, TargetError> {
        let mut dir = self.clone();
        for name in names {
            dir = dir.dir(name)?;
        }
        Ok(dir)
    }

    /// What stands under a name already.
    pub fn standing(&self, name: &[u8]) -> Result<Standing, TargetError> {
        self.check_name(name)?;
        let stat = match rustix::fs::statat(&*self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(Standing::Nothing),
            other => other.map_err(|errno| self.error("look at", name, errno))?,
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Standing::File {
                size: crate::source::wide(stat.st_size),
                mtime: crate::source::file_time(stat.st_mtime, crate::source::wide(stat.st_mtime_nsec)),
                names: crate::source::wide(stat.st_nlink),
            },
            FileType::Directory => Standing::Dir,
            _ => Standing::Other,
        })
    }

    /// Whether an earlier restore left an unfinished file for this name.
    pub fn has_unfinished(&self, name: &[u8]) -> Result<bool, TargetError> {
        self.check_name(name)?;
        match rustix::fs::statat(&*self.fd, &*temporary_of(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error("look at", name, errno)),
        }
    }

    /// Opens the file that stands under a name, to compare it with what should be there. Links are not followed.
    pub fn open_standing(&self, name: &[u8]) -> Result<TargetFile, TargetError> {
        self.check_name(name)?;
        TargetFile::open_standing(self, name)
    }

    /// Begins a file of `size` bytes (a hole as yet) under a temporary name; [`TargetFile::finish`] gives it its own.
    pub fn create_file(
        &self,
        name: &[u8],
        size: u64,
        beginning: Beginning,
    ) -> Result<TargetFile, TargetError> {
        self.check_name(name)?;
        TargetFile::create(self, name, size, beginning)
    }

    /// Makes a symbolic link, in place of anything but a directory. Answers which attributes could not be set.
    pub fn symlink(
        &self,
        name: &[u8],
        target: &[u8],
        metadata: &TargetMetadata,
    ) -> Result<Vec<Unset>, TargetError> {
        self.check_name(name)?;
        let temporary = self.fresh_temporary(name)?;
        rustix::fs::symlinkat(target, &*self.fd, &*temporary)
            .map_err(|errno| self.error("create", name, errno))?;
        let unset = metadata::set_of_name(self, &temporary, metadata, metadata::ModeOf::Link);
        self.put_in_place(&temporary, name)?;
        Ok(unset)
    }

    /// Makes a pipe or a device, in place of anything but a directory. Answers which attributes could not be set.
    pub fn special(
        &self,
        name: &[u8],
        special: Special,
        metadata: &TargetMetadata,
    ) -> Result<Vec<Unset>, TargetError> {
        self.check_name(name)?;
        let temporary = self.fresh_temporary(name)?;
        make_node(&self.fd, &temporary, special).map_err(|errno| self.error("create", name, errno))?;
        let unset = metadata::set_of_name(self, &temporary, metadata, metadata::ModeOf::Special);
        self.put_in_place(&temporary, name)?;
        Ok(unset)
    }

    /// Makes `name` another name of the finished entry `first_name` in `first_dir` (a link itself, not what it points to).
    pub fn hard_link(&self, name: &[u8], first_dir: &Self, first_name: &[u8]) -> Result<(), TargetError> {
        self.check_name(name)?;
        first_dir.check_name(first_name)?;
        let temporary = self.fresh_temporary(name)?;
        rustix::fs::linkat(
            &*first_dir.fd,
            first_name,
            &*self.fd,
            &*temporary,
            AtFlags::empty(),
        )
        .map_err(|errno| self.error("link", name, errno))?;
        self.put_in_place(&temporary, name)?;
        // Renaming one of two names of the same file onto the other does nothing, says POSIX.
        self.forget_temporary(&temporary);
        Ok(())
    }

    /// Sets the attributes of this directory: after everything in it, since writing changes its times and may need its permissions.
    /// Answers which could not be set.
    pub fn finish(&self, metadata: &TargetMetadata) -> Vec<Unset> {
        metadata::set_of_fd(&*self.fd, metadata)
    }

    /// Waits until everything written to this file system is on the disk.
    pub fn sync(&self) -> Result<(), TargetError> {
        #[cfg(target_os = "linux")]
        let synced = rustix::fs::syncfs(&*self.fd);
        #[cfg(not(target_os = "linux"))]
        let synced: Result<(), Errno> = {
            rustix::fs::sync();
            Ok(())
        };
        synced.map_err(|errno| TargetError::new("sync", self.path.to_path_buf(), errno))
    }

    /// A temporary name that is free: what a restore that was cut short left there is removed.
    fn fresh_temporary(&self, name: &[u8]) -> Result<Vec<u8>, TargetError> {
        let temporary = temporary_of(name);
        match rustix::fs::unlinkat(&*self.fd, &*temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(temporary),
            Err(errno) => Err(self.error("replace", &temporary, errno)),
        }
    }

    fn put_in_place(&self, temporary: &[u8], name: &[u8]) -> Result<(), TargetError> {
        let renamed = rustix::fs::renameat(&*self.fd, temporary, &*self.fd, name);
        if renamed.is_err() {
            self.forget_temporary(temporary);
        }
        renamed.map_err(|errno| self.error("put in place", name, errno))
    }

    /// Removes a temporary name that is of no use, if it is there.
    fn forget_temporary(&self, temporary: &[u8]) {
        let _ = rustix::fs::unlinkat(&*self.fd, temporary, AtFlags::empty());
    }

    fn check_name(&self, name: &[u8]) -> Result<(), TargetError> {
        let is_possible = !name.is_empty()
            && name != b"."
            && name != b".."
            && !name.iter().any(|byte| matches!(byte, b'/' | 0));
        if is_possible {
            Ok(())
        } else {
            Err(TargetError::BadName {
                dir: self.path.to_path_buf(),
                name: name.to_vec(),
            })
        }
    }

    fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(name))
    }

    fn error(&self, action: &'static str, name: &[u8], errno: Errno) -> TargetError {
        TargetError::new(action, self.path_of(name), errno)
    }
}

/// Gives the owner all permissions of a directory that is ours. Root needs none.
fn open_up(fd: &OwnedFd) -> Result<(), Errno> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return Ok(());
    }
    let stat = rustix::fs::fstat(fd)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if stat.st_uid == user.as_raw() && !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(fd, mode | Mode::RWXU)?;
    }
    Ok(())
}

/// As [`open_up`], for a directory that its owner may not even read. Only Linux can do that without following a link.
fn open_up_unread(dir: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&entry)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(Errno::ACCESS);
        }
        metadata::chmod_opened(&entry, Mode::from_raw_mode(stat.st_mode) | Mode::RWXU)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (dir, name);
        Err(Errno::ACCESS)
    }
}

/// The same for the same name each time, so that a repeated restore finds what an earlier one left.
fn temporary_of(name: &[u8]) -> Vec<u8> {
    let hash = blake3::hash(name);
    let half = hash.as_bytes().get(..16).unwrap_or(hash.as_bytes());
    format!("{UNFINISHED_PREFIX}{}", data_encoding::HEXLOWER.encode(half)).into_bytes()
}

#[cfg(not(target_vendor = "apple"))]
fn make_node(dir: &OwnedFd, name: &[u8], special: Special) -> Result<(), Errno> {
    let (file_type, device) = match special {
        Special::Fifo => (FileType::Fifo, 0),
        Special::CharDevice(major, minor) => (FileType::CharacterDevice, rustix::fs::makedev(major, minor)),
        Special::BlockDevice(major, minor) => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
    };
    rustix::fs::mknodat(dir, name, file_type, Mode::RUSR | Mode::WUSR, device)
}

#[cfg(target_vendor = "apple")]
fn make_node(_: &OwnedFd, _: &[u8], _: Special) -> Result<(), Errno> {
    Err(Errno::NOTSUP)
}

#[cfg(test)]
mod tests;
