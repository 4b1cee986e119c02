//! One regular file of the target: written anywhere in any order, under a temporary name until it is whole.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::metadata::{self, TargetMetadata, Unset};
use super::{TargetDir, TargetError, temporary_of};
use crate::{atomic, page_cache};

/// Bytes written of a file after which the system is asked to bring them to the disk, so that it does not begin with all of them when
/// the restore waits for it.
const WRITE_OUT_STEP: u64 = 8 << 20;

/// What to do with an unfinished file that an earlier restore left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Throw it away.
    Fresh,
    /// Go on with it: the caller compares what is there with what should be.
    Resume,
}

/// An open file of the target.
#[derive(Debug)]
pub struct TargetFile {
    file: File,
    dir: TargetDir,
    name: Vec<u8>,
    size: u64,
    /// Bytes written since the system was last asked to write them out.
    waiting: AtomicU64,
}

impl TargetFile {
    pub(super) fn create(
        dir: &TargetDir,
        name: &[u8],
        size: u64,
        beginning: Beginning,
    ) -> Result<Self, TargetError> {
        let fail = |errno| dir.error("create", name, errno);
        let temporary = match beginning {
            Beginning::Fresh => dir.fresh_temporary(name)?,
            Beginning::Resume => temporary_of(name),
        };
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let new = flags | OFlags::CREATE | OFlags::EXCL;
        let made = rustix::fs::openat(&*dir.fd, &*temporary, new, Mode::RUSR | Mode::WUSR);
        let (fd, is_new) = match (beginning, made) {
            (Beginning::Resume, Err(Errno::EXIST)) => {
                let found = rustix::fs::openat(&*dir.fd, &*temporary, flags, Mode::empty());
                (found.map_err(fail)?, false)
            }
            (_, made) => (made.map_err(fail)?, true),
        };
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        // Something planted under the temporary name must not be written through, nor shown to whoever planted it.
        let is_ours = is_new
            || stat.st_uid == rustix::process::geteuid().as_raw()
            || stat.st_uid == rustix::fs::fstat(&*dir.fd).map_err(fail)?.st_uid;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || crate::source::wide(stat.st_nlink) != 1
            || !is_ours
        {
            return Err(fail(Errno::EXIST));
        }
        rustix::fs::ftruncate(&fd, size).map_err(fail)?;
        Ok(Self {
            file: File::from(fd),
            dir: dir.clone(),
            name: name.to_vec(),
            size,
            waiting: AtomicU64::new(0),
        })
    }

    pub(super) fn open_standing(dir: &TargetDir, name: &[u8]) -> Result<Self, TargetError> {
        let fail = |errno| dir.error("open", name, errno);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&*dir.fd, name, flags, Mode::empty()).map_err(fail)?;
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(fail(Errno::EXIST));
        }
        Ok(Self {
            file: File::from(fd),
            dir: dir.clone(),
            name: name.to_vec(),
            size: crate::source::wide(stat.st_size),
            waiting: AtomicU64::new(0),
        })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes all the bytes at an offset. What is never written stays a hole.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| self.error("write", &error))?;
        let len = bytes.len() as u64;
        if self.waiting.fetch_add(len, Ordering::Relaxed) + len >= WRITE_OUT_STEP {
            self.waiting.store(0, Ordering::Relaxed);
            self.let_go();
        }
        Ok(())
    }

    /// Lets the system write out what was written so far, and give up its copy of what it has written out already. Waits for nothing
    /// and promises nothing: that is [`TargetDir::sync`]'s.
    pub fn let_go(&self) {
        page_cache::let_go(&self.file, &(0..self.size));
    }

    /// Fills the buffer from an offset; fewer bytes than asked for mean that the file ends there.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, TargetError> {
        atomic::read_at(&self.file, offset, buffer).map_err(|error| self.error("read", &error))
    }

    /// Where the next bytes that are not a hole of the file begin, at or after an offset. `None`: only holes follow. A system that
    /// cannot tell answers the offset itself.
    pub fn next_data(&self, offset: u64) -> Result<Option<u64>, TargetError> {
        if offset >= self.size {
            return Ok(None);
        }
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::NOTSUP | Errno::NOTTY) => Ok(Some(offset)),
            Err(errno) => Err(self.dir.error("read", &self.name, errno)),
        }
    }

    /// Sets the attributes of a file made by [`TargetDir::create_file`] and gives it its name, in place of anything but a directory. Done once.
    /// Answers which attributes could not be set.
    pub fn finish(&self, metadata: &TargetMetadata) -> Result<Vec<Unset>, TargetError> {
        let unset = metadata::set_of_fd(&self.file, metadata);
        self.dir.put_in_place(&temporary_of(&self.name), &self.name)?;
        Ok(unset)
    }

    /// Sets the attributes of a file that stands already and is right. Answers which could not be set.
    pub fn adopt(&self, metadata: &TargetMetadata) -> Vec<Unset> {
        metadata::set_of_fd(&self.file, metadata)
    }

    fn error(&self, action: &'static str, error: &std::io::Error) -> TargetError {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        self.dir.error(action, &self.name, errno)
    }
}
