//! Directories whose attributes are set at the end, in a scratch file and not in memory: a tree may have millions.
//!
//! Records are appended as directories are made and taken back last first, so that a directory comes before the one that it lies in.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nuthatch_format::codec;
use nuthatch_format::tree::Entry;

/// Bytes that are collected before they are written.
const BUFFER_LEN: usize = 256 * 1024;

/// A stack of directories on disk.
pub(crate) struct DirSpool {
    file: File,
    len: u64,
    buffer: Vec<u8>,
}

/// A directory that was made: its names below the target, joined by slashes, and its entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MadeDir {
    /// Names below the target.
    pub(crate) path: Vec<u8>,
    /// Its entry in the snapshot.
    pub(crate) entry: Entry,
}

impl DirSpool {
    /// An empty one; its file in `scratch` has no name any more when this returns.
    pub(crate) fn create(scratch: &Path) -> io::Result<Self> {
        static CREATED: AtomicU64 = AtomicU64::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let path = scratch.join(format!("restore-{}-{number}.dirs", std::process::id()));
        // Left by a process of the same number that was killed between the next two calls.
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self {
            file,
            len: 0,
            buffer: Vec::new(),
        })
    }

    /// Puts a directory on top.
    pub(crate) fn push(&mut self, dir: &MadeDir) -> io::Result<()> {
        let entry = codec::encode(&dir.entry);
        let before = self.buffer.len();
        self.buffer.extend_from_slice(&dir.path);
        self.buffer.extend_from_slice(&entry);
        let len = (self.buffer.len() - before) as u32;
        self.buffer
            .extend_from_slice(&(dir.path.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&len.to_le_bytes());
        if self.buffer.len() >= BUFFER_LEN {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(&self.buffer)?;
        self.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Takes the directory on top.
    pub(crate) fn pop(&mut self) -> io::Result<Option<MadeDir>> {
        self.flush()?;
        let Some(at) = self.len.checked_sub(8) else {
            return Ok(None);
        };
        let mut tail = [0; 8];
        self.file.read_exact_at(&mut tail, at)?;
        let (path_len, len) = tail.split_at(4);
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (path_len, len) = (number(path_len) as usize, u64::from(number(len)));
        let start = at.checked_sub(len).ok_or(io::ErrorKind::InvalidData)?;
        self.file.seek(SeekFrom::Start(start))?;
        let mut bytes = vec![0; len as usize];
        self.file.read_exact(&mut bytes)?;
        self.len = start;
        let (path, entry) = bytes
            .split_at_checked(path_len)
            .ok_or(io::ErrorKind::InvalidData)?;
        let entry = codec::decode(entry).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Some(MadeDir {
            path: path.to_vec(),
            entry,
        }))
    }
}

#[cfg(test)]
mod tests {
    use nuthatch_format::content::Content;
    use nuthatch_format::tree::{EntryKind, Metadata};

    use super::*;

    #[test]
    fn directories_come_back_last_first() {
        let scratch = tempfile::tempdir().unwrap();
        let mut spool = DirSpool::create(scratch.path()).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        let dir = |number: usize| MadeDir {
            path: format!("a/{number}").into_bytes(),
            entry: Entry {
                name: number.to_string().into_bytes(),
                kind: EntryKind::Dir {
                    tree: Content {
                        depth: 0,
                        len: 1,
                        chunks: vec![nuthatch_format::ChunkId::from_bytes([1; 32])],
                    },
                },
                meta: Metadata::default(),
                hard_link: None,
            },
        };
        for number in 0..5000 {
            spool.push(&dir(number)).unwrap();
        }
        for number in (0..5000).rev() {
            assert_eq!(spool.pop().unwrap(), Some(dir(number)));
        }
        assert_eq!(spool.pop().unwrap(), None);
    }
}
