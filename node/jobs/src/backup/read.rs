//! Reads files: small ones whole, on reader threads, large ones piece by piece. It never decides which.
//!
//! A file's content is its data without its holes, joined. What changes while it is read is noticed by a second look.

use crossbeam_channel::{Receiver, Sender};
use nuthatch_disk::source::{Hole, SourceDir, SourceEntry, SourceError, SourceFile};
use nuthatch_format::ChunkId;
use nuthatch_format::chunker::Chunker;
use nuthatch_format::keys::WriterKeys;
use nuthatch_format::tree::HOLES_MAX;

use crate::cutter::Cutter;

/// Files of at most this many bytes are read ahead, whole.
pub(crate) const SMALL_LEN_MAX: u64 = 1024 * 1024;

/// A small file to be read.
pub(crate) struct ReadJob {
    /// Its directory.
    pub(crate) dir: SourceDir,
    /// Its name.
    pub(crate) name: Vec<u8>,
    /// What it was when it was looked at.
    pub(crate) seen: SourceEntry,
    /// Where the contents go; room for one answer.
    pub(crate) reply: Sender<Result<SmallFile, SourceError>>,
}

/// A small file's contents, cut and named.
pub(crate) enum SmallFile {
    /// All of it.
    Whole {
        /// The data without holes.
        data: Vec<u8>,
        /// Its chunks: names and lengths, in order.
        chunks: Vec<(ChunkId, usize)>,
        /// How the data lies in the file.
        extent: Extent,
        /// Whether it changed since it was looked at.
        changed: bool,
    },
    /// It is not small any more.
    Grown,
}

/// How a file's data lies in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// Size of the file in bytes, with holes.
    pub(crate) size: u64,
    /// Its holes, in order and apart.
    pub(crate) holes: Vec<Hole>,
}

impl Extent {
    /// The stretches of data between the holes: offset and length.
    pub(crate) fn data(&self) -> Vec<(u64, u64)> {
        let mut data = Vec::with_capacity(self.holes.len() + 1);
        let mut at = 0;
        for hole in &self.holes {
            if hole.offset > at {
                data.push((at, hole.offset - at));
            }
            at = hole.offset + hole.len;
        }
        if self.size > at {
            data.push((at, self.size - at));
        }
        data
    }

    /// The extent of a file that turned out to end here.
    pub(crate) fn cut(mut self, size: u64) -> Self {
        self.size = size;
        self.holes.retain(|hole| hole.offset < size);
        if let Some(last) = self.holes.last_mut() {
            last.len = last.len.min(size - last.offset);
        }
        self
    }
}

/// An open file that is read from its beginning to its end, without its holes.
pub(crate) struct Contents {
    file: SourceFile,
    extent: Extent,
    data: std::vec::IntoIter<(u64, u64)>,
    current: (u64, u64),
    ended_at: Option<u64>,
}

impl Contents {
    /// Opens the file; it must be the one that was looked at.
    pub(crate) fn open(dir: &SourceDir, name: &[u8], seen: &SourceEntry) -> Result<Self, SourceError> {
        let file = dir.open_file(name, seen)?;
        let extent = Extent {
            size: file.size(),
            holes: file.holes(HOLES_MAX)?,
        };
        let data = extent.data().into_iter();
        Ok(Self {
            file,
            extent,
            data,
            current: (0, 0),
            ended_at: None,
        })
    }

    /// Bytes of data, as far as is known now.
    pub(crate) fn data_len(&self) -> u64 {
        self.extent.size - self.extent.holes.iter().map(|hole| hole.len).sum::<u64>()
    }

    /// Fills the buffer with the next data; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        while self.current.1 == 0 {
            match self.data.next() {
                Some(next) if self.ended_at.is_none() => self.current = next,
                _ => return Ok(0),
            }
        }
        let (offset, left) = self.current;
        let want = (buffer.len() as u64).min(left) as usize;
        let Some(space) = buffer.get_mut(..want) else {
            return Ok(0);
        };
        let read = self.file.read_at(offset, space)?;
        self.current = (offset + read as u64, left - read as u64);
        if read < want {
            self.ended_at = Some(self.current.0);
            self.current.1 = 0;
        }
        Ok(read)
    }

    /// How the data that was read lies in the file, and whether the file changed since it was looked at.
    pub(crate) fn finish(self, seen: &SourceEntry) -> Result<(Extent, bool), SourceError> {
        let changed = self.file.changed_since(seen)?;
        Ok(match self.ended_at {
            Some(size) => (self.extent.cut(size), true),
            None => (self.extent, changed),
        })
    }
}

/// Answers read jobs until there are no more.
pub(crate) fn reader(jobs: &Receiver<ReadJob>, chunker: &Chunker, keys: &WriterKeys) {
    let mut cutter = Cutter::new(chunker);
    for job in jobs {
        let result = read_small(&job, &mut cutter, keys);
        // Nobody waits for it any more when the job has ended.
        let _ = job.reply.send(result);
    }
}

fn read_small(job: &ReadJob, cutter: &mut Cutter<'_>, keys: &WriterKeys) -> Result<SmallFile, SourceError> {
    let mut contents = Contents::open(&job.dir, &job.name, &job.seen)?;
    if contents.data_len() > SMALL_LEN_MAX {
        return Ok(SmallFile::Grown);
    }
    let mut data = vec![0; contents.data_len() as usize];
    let mut filled = 0;
    while let Some(space) = data.get_mut(filled..) {
        match contents.read(space)? {
            0 => break,
            read => filled += read,
        }
    }
    data.truncate(filled);
    cutter.reset();
    cutter.push(&data);
    cutter.end();
    let mut chunks = Vec::new();
    while let Some(chunk) = cutter.next() {
        chunks.push((keys.chunk_id(chunk), chunk.len()));
    }
    let (extent, changed) = contents.finish(&job.seen)?;
    Ok(SmallFile::Whole {
        data,
        chunks,
        extent,
        changed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(offset: u64, len: u64) -> Hole {
        Hole { offset, len }
    }

    #[test]
    fn data_is_what_lies_between_the_holes() {
        let extent = Extent {
            size: 100,
            holes: vec![hole(0, 10), hole(20, 5), hole(90, 10)],
        };
        assert_eq!(extent.data(), vec![(10, 10), (25, 65)]);
        assert_eq!(
            Extent {
                size: 0,
                holes: vec![]
            }
            .data(),
            vec![]
        );
        assert_eq!(
            Extent {
                size: 7,
                holes: vec![hole(0, 7)]
            }
            .data(),
            vec![]
        );
    }

    #[test]
    fn a_file_that_ends_early_has_no_hole_beyond_its_end() {
        let extent = Extent {
            size: 100,
            holes: vec![hole(10, 10), hole(50, 20), hole(90, 10)],
        };
        assert_eq!(
            extent.cut(60),
            Extent {
                size: 60,
                holes: vec![hole(10, 10), hole(50, 10)]
            }
        );
    }
}
