//! One regular file of the source, open for reading: its bytes, its holes, and whether it stayed the same.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;

use super::{SourceAction, SourceEntry, SourceError, file_time, wide};
use crate::atomic;

/// A stretch of a file that occupies nothing on the disk and reads as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes, more than zero.
    pub len: u64,
}

/// An open file of the source.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    size: u64,
    occupied: u64,
}

impl SourceFile {
    pub(super) fn new(fd: OwnedFd, path: PathBuf, seen: &SourceEntry) -> Result<Self, SourceError> {
        let stat = match rustix::fs::fstat(&fd) {
            Ok(stat) => stat,
            Err(errno) => return Err(SourceError::new(SourceAction::Look, path, errno)),
        };
        let is_same = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && wide(stat.st_ino) == seen.inode
            && wide(stat.st_dev) == seen.device;
        if !is_same {
            return Err(SourceError::Replaced { path });
        }
        Ok(Self {
            file: File::from(fd),
            path,
            size: wide(stat.st_size),
            occupied: wide(stat.st_blocks).saturating_mul(512),
        })
    }

    /// Its size in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills the buffer from an offset; fewer bytes than asked for mean that the file ends there.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, SourceError> {
        atomic::read_at(&self.file, offset, buffer).map_err(|source| SourceError::Io {
            action: SourceAction::Read,
            path: self.path.clone(),
            source,
        })
    }

    /// The holes of the file, in order, at most `count_max`: the others count as data, which is right too, since they read as zeros.
    ///
    /// A file system that knows no holes reports none.
    pub fn holes(&self, count_max: usize) -> Result<Vec<Hole>, SourceError> {
        let mut holes = Vec::new();
        if self.occupied >= self.size {
            return Ok(holes);
        }
        let mut at = 0;
        while at < self.size && holes.len() < count_max {
            let hole = self.seek(SeekFrom::Hole(at))?.unwrap_or(self.size).min(self.size);
            if hole >= self.size {
                break;
            }
            let data = self
                .seek(SeekFrom::Data(hole))?
                .unwrap_or(self.size)
                .min(self.size);
            if data <= hole {
                break;
            }
            holes.push(Hole {
                offset: hole,
                len: data - hole,
            });
            at = data;
        }
        Ok(holes)
    }

    /// `None` beyond the last of what is looked for, and where the file system cannot tell.
    fn seek(&self, to: SeekFrom) -> Result<Option<u64>, SourceError> {
        match rustix::fs::seek(&self.file, to) {
            Ok(offset) => Ok(Some(offset)),
            Err(Errno::NXIO | Errno::INVAL | Errno::NOTSUP) => Ok(None),
            Err(errno) => Err(SourceError::new(SourceAction::Read, self.path.clone(), errno)),
        }
    }

    /// Whether size, mtime or ctime are other than when it was looked at: then what was read may be a mixture of two contents.
    pub fn changed_since(&self, seen: &SourceEntry) -> Result<bool, SourceError> {
        let stat = rustix::fs::fstat(&self.file)
            .map_err(|errno| SourceError::new(SourceAction::Look, self.path.clone(), errno))?;
        Ok(wide(stat.st_size) != seen.size
            || file_time(stat.st_mtime, wide(stat.st_mtime_nsec)) != seen.mtime
            || file_time(stat.st_ctime, wide(stat.st_ctime_nsec)) != seen.ctime)
    }
}
