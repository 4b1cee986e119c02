//! Files that are there whole or not at all: written under another name, synced, renamed, and the directory synced.
//!
//! Owns the naming of temporary files and the classification of what can go wrong with a file. Knows nothing of what the bytes mean.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What a temporary file's name ends in. Whatever bears it was never acknowledged, and is removed at the next start.
pub const TEMPORARY_SUFFIX: &str = ".new~";

/// Why something could not be done with a file of ours.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk (or the quota on it) is full: make room and try again.
    #[error("the disk is full at {}", path.display())]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than a file of its kind can be, so it is not what it should be.
    #[error("{} is longer than the {len_max} bytes that it may have", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        len_max: u64,
    },
    /// Anything else that the system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FileError {
    /// The error for a failed action on a path.
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_full(&source) {
            Self::DiskFull { path, source }
        } else {
            Self::Io { action, path, source }
        }
    }

    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }
}

/// Whether an error concerns one file alone: the medium does not give it back, or a directory stands in its place. Whoever reads many
/// goes on with the others; what stops all of them (no right, too many open files) is another matter.
pub(crate) fn is_of_one_file(error: &FileError) -> bool {
    match error {
        FileError::TooLong { .. } => true,
        FileError::DiskFull { .. } => false,
        FileError::Io { source, .. } => {
            source.kind() == io::ErrorKind::IsADirectory
                || source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        }
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Fills a buffer from an offset; fewer bytes than asked for mean that the file ends there.
pub(crate) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Adds the action and the path to an I/O result.
pub(crate) trait At<T> {
    /// Says what was tried, and on which file.
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError::new(action, path, source.into()))
    }
}

/// Who may read a file that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner only (mode 0600): keys and secrets.
    Private,
    /// Whoever may enter the directory (mode 0644).
    Ordinary,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Ordinary => 0o644,
        }
    }
}

/// Writes a file whole and synced, in place of any that has the name. On an error the old one is still there.
pub fn write_file(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    write_renamed(path, bytes, access)?;
    sync_parent(path)
}

/// As [`write_file`], but does not wait for the directory: several files may share one [`sync_dir`] afterwards.
pub fn write_renamed(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let temporary = temporary_name(path)?;
    let written = write_synced(&temporary, bytes, access)
        .and_then(|()| fs::rename(&temporary, path).at("rename a file to", path));
    if written.is_err() {
        // Best effort: the sweep at the next start removes what stays.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Writes a hint whole but unsynced: after a power cut the old one, the new one or garbage may be there.
pub(crate) fn write_hint(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = temporary_name(path)?;
    let written = create_new(&temporary, Access::Private)
        .and_then(|mut file| file.write_all(bytes).at("write", &temporary))
        .and_then(|()| fs::rename(&temporary, path).at("rename a file to", path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_synced(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let mut file = create_new(path, access)?;
    file.write_all(bytes).at("write", path)?;
    file.sync_all().at("sync", path)
}

fn create_new(path: &Path, access: Access) -> Result<File, FileError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(access.mode())
        .open(path)
        .at("create", path)?;
    Ok(file)
}

/// A fresh name beside `path` that the sweep recognises.
pub(crate) fn temporary_name(path: &Path) -> Result<PathBuf, FileError> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random)
        .map_err(|error| FileError::new("draw a name for", path, io::Error::other(error)))?;
    let name = format!(".{}{TEMPORARY_SUFFIX}", data_encoding::HEXLOWER.encode(&random));
    Ok(path.with_file_name(name))
}

/// Reads a whole file that may have at most `len_max` bytes. `None` when there is none.
pub fn read_file(path: &Path, len_max: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.at("open", path)?,
    };
    let mut bytes = Vec::new();
    file.take(len_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .at("read", path)?;
    if bytes.len() as u64 > len_max {
        return Err(FileError::TooLong {
            path: path.to_owned(),
            len_max,
        });
    }
    Ok(Some(bytes))
}

/// Removes a file and syncs its directory. One that is already gone is no error.
pub fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path).and_then(|()| sync_parent(path)),
    }
}

/// Makes the names in a directory durable. Whoever finds files there that a killed process has left, and counts them as kept, does this
/// first: it may have been killed between renaming one and this.
pub fn sync_dir(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|dir| dir.sync_all()).at("sync", path)
}

/// Makes the name of a file durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Creates a directory that only its owner may enter (mode 0700), and those above it, durably. One that is there stays as it is.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
    {
        create_dir(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        other => other.at("create", path)?,
    }
    sync_parent(path)
}

/// Removes the temporary files of a directory (not of those below), left by a process that was killed. Answers how many there were.
///
/// Only for a directory that no other process and no other thread writes to at that moment.
pub fn sweep(dir: &Path) -> Result<u64, FileError> {
    let mut removed_count = 0;
    for entry in list(dir)? {
        if entry
            .to_str()
            .is_some_and(|name| name.ends_with(TEMPORARY_SUFFIX))
        {
            let path = dir.join(&entry);
            fs::remove_file(&path).at("remove", &path)?;
            removed_count += 1;
        }
    }
    Ok(removed_count)
}

/// The names in a directory, in no order; none when it does not exist.
pub(crate) fn list(dir: &Path) -> Result<Vec<std::ffi::OsString>, FileError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", dir)?,
    };
    entries
        .map(|entry| entry.map(|entry| entry.file_name()).at("list", dir))
        .collect()
}

/// Free and total space of the file system that holds a path, for this user, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this user may still write.
    pub free: nuthatch_format::ByteCount,
    /// What the file system holds in all.
    pub total: nuthatch_format::ByteCount,
}

/// Asks the file system that holds `path`.
pub fn disk_space(path: &Path) -> Result<DiskSpace, FileError> {
    let answer = rustix::fs::statvfs(path).at("measure the disk of", path)?;
    let bytes = |count: u64| nuthatch_format::ByteCount(count.saturating_mul(answer.f_frsize));
    Ok(DiskSpace {
        free: bytes(answer.f_bavail),
        total: bytes(answer.f_blocks),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_directory_is_for_its_owner_from_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("one/two");
        create_dir(&path).unwrap();
        create_dir(&path).unwrap();
        for made in [path.parent().unwrap(), &path] {
            assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn what_is_wrong_with_one_file_is_told_from_what_is_wrong_with_all() {
        let of = |errno: rustix::io::Errno| FileError::new("read", Path::new("/x"), errno.into());
        assert!(is_of_one_file(&of(rustix::io::Errno::IO)));
        assert!(is_of_one_file(&of(rustix::io::Errno::ISDIR)));
        assert!(!is_of_one_file(&of(rustix::io::Errno::MFILE)));
        assert!(!is_of_one_file(&of(rustix::io::Errno::NOSPC)));
    }

    #[test]
    fn a_file_is_replaced_whole_and_no_temporary_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_file(&path, b"one", Access::Ordinary).unwrap();
        write_file(&path, b"two", Access::Private).unwrap();
        assert_eq!(read_file(&path, 3).unwrap().as_deref(), Some(&b"two"[..]));
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        assert!(write_file(&path, b"new", Access::Ordinary).is_err());
        assert!(path.is_dir());
        assert_eq!(list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn the_sweep_takes_only_temporaries() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::write(&kept, b"x").unwrap();
        fs::write(temporary_name(&kept).unwrap(), b"half").unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert!(kept.exists());
        assert_eq!(sweep(dir.path()).unwrap(), 0);
        assert_eq!(sweep(&dir.path().join("absent")).unwrap(), 0);
    }

    #[test]
    fn reading_stops_at_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert_eq!(read_file(&path, 3).unwrap(), None);
        fs::write(&path, b"four").unwrap();
        assert!(matches!(read_file(&path, 3), Err(FileError::TooLong { .. })));
    }

    #[test]
    fn a_full_disk_is_said_to_be_full() {
        let error = FileError::new(
            "write",
            Path::new("/x"),
            io::Error::from(io::ErrorKind::StorageFull),
        );
        assert!(error.is_disk_full());
        let error: io::Error = rustix::io::Errno::DQUOT.into();
        assert!(FileError::new("write", Path::new("/x"), error).is_disk_full());
    }
}
