//! How a file or a directory names its chunks: a short list of ids, or a list of lists when there are many.
//!
//! The ids of a large file are themselves written out, chunked and stored like data, again and again until at most [`CONTENT_IDS_MAX`]
//! are left. So every entry is small, and an unchanged part of a large file keeps its list chunks. Building and reading are streams:
//! neither holds more than a level's tail. This file cuts and stores nothing: its callers lend it their chunker and their store.

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::codec::{Canonical, DecodeError};
use crate::id::ChunkId;

/// Most ids that stand in a [`Content`].
pub const CONTENT_IDS_MAX: usize = 1024;

/// Deepest list of lists. With chunks of at least 64 KiB (2048 ids) three levels name 1024 · 2048³ of them, 512 PiB of data.
pub const CONTENT_DEPTH_MAX: u8 = 3;

/// What a file's data or a directory's tree consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Content {
    /// 0: `chunks` are the data. More: the chunks, one after another, are the ids of the level below.
    #[n(0)]
    pub depth: u8,
    /// Length of the data at the bottom, in bytes.
    #[n(1)]
    pub len: u64,
    /// At most [`CONTENT_IDS_MAX`] ids, in order.
    #[cbor(n(2), with = "ids")]
    pub chunks: Vec<ChunkId>,
}

impl Content {
    /// What no content can be; the error says why.
    pub(crate) fn invalid(&self) -> Option<&'static str> {
        if self.depth > CONTENT_DEPTH_MAX {
            Some("content of too many levels")
        } else if self.chunks.len() > CONTENT_IDS_MAX {
            Some("content of too many chunks")
        } else if self.chunks.is_empty() && (self.len > 0 || self.depth > 0) {
            Some("content without chunks")
        } else if self.len < self.chunks.len() as u64 {
            Some("content of empty chunks")
        } else {
            None
        }
    }
}

impl Canonical for Content {
    const WHAT: &'static str = "content";
    const LEN_MAX: usize = CONTENT_IDS_MAX * ChunkId::LEN + 32;

    fn check(&self) -> Result<(), &'static str> {
        self.invalid().map_or(Ok(()), Err)
    }
}

/// Ids as one byte string.
mod ids {
    use super::{ChunkId, Decoder, Encoder};
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};

    pub(super) fn encode<C, W: Write>(
        ids: &[ChunkId],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&super::write_ids(ids))?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<ChunkId>, DecodeError> {
        let at = d.position();
        let (ids, rest) = super::read_ids(d.bytes()?);
        if rest.is_empty() {
            Ok(ids)
        } else {
            Err(DecodeError::message("chunk ids of the wrong length").at(at))
        }
    }
}

fn write_ids(ids: &[ChunkId]) -> Vec<u8> {
    ids.iter().flat_map(ChunkId::as_bytes).copied().collect()
}

fn read_ids(bytes: &[u8]) -> (Vec<ChunkId>, &[u8]) {
    let (whole, rest) = bytes.as_chunks::<32>();
    (whole.iter().map(|id| ChunkId::from_bytes(*id)).collect(), rest)
}

/// What building a content needs of its caller, for the lists.
pub trait ListStore {
    /// Why a list chunk could not be stored.
    type Error;

    /// Length of the longest chunk, in bytes: lists are cut only when there is so much of them, or at their end.
    fn chunk_len_max(&self) -> usize;

    /// Length of the first chunk of `data`, or `None` when more bytes are needed to tell. Never `None` or zero `at_end` of some data,
    /// nor of [`ListStore::chunk_len_max`] bytes.
    fn cut(&self, data: &[u8], at_end: bool) -> Option<usize>;

    /// Stores a chunk of a list and names it.
    fn store(&mut self, list: &[u8]) -> Result<ChunkId, Self::Error>;
}

/// Collects a stream's chunk ids into a [`Content`].
#[derive(Debug, Default)]
pub struct ContentBuilder {
    len: u64,
    levels: Vec<Level>,
}

#[derive(Debug)]
enum Level {
    /// At most [`CONTENT_IDS_MAX`] ids: perhaps the top.
    Short(Vec<ChunkId>),
    /// More ids than fit; these bytes of the list are not cut yet.
    Long(Vec<u8>),
}

impl ContentBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a chunk of data and its length in bytes.
    pub fn push<S: ListStore>(&mut self, id: ChunkId, len: u32, store: &mut S) -> Result<(), S::Error> {
        self.len = self.len.saturating_add(u64::from(len));
        self.push_at(0, id, store)
    }

    fn push_at<S: ListStore>(&mut self, level: usize, id: ChunkId, store: &mut S) -> Result<(), S::Error> {
        assert!(
            level <= usize::from(CONTENT_DEPTH_MAX),
            "lists shrink by half at least with every level"
        );
        if self.levels.len() == level {
            self.levels.push(Level::Short(Vec::new()));
        }
        match &mut self.levels[level] {
            Level::Short(ids) if ids.len() < CONTENT_IDS_MAX => {
                ids.push(id);
                return Ok(());
            }
            Level::Short(ids) => {
                let mut list = write_ids(ids);
                list.extend_from_slice(id.as_bytes());
                self.levels[level] = Level::Long(list);
            }
            Level::Long(list) => list.extend_from_slice(id.as_bytes()),
        }
        self.cut(level, false, store)
    }

    fn cut<S: ListStore>(&mut self, level: usize, at_end: bool, store: &mut S) -> Result<(), S::Error> {
        while let Some(Level::Long(list)) = self.levels.get_mut(level)
            && (list.len() >= store.chunk_len_max() || (at_end && !list.is_empty()))
            && let Some(end) = store.cut(list, at_end)
        {
            assert!((1..=list.len()).contains(&end), "a chunk is part of its data");
            let chunk: Vec<u8> = list.drain(..end).collect();
            let id = store.store(&chunk)?;
            self.push_at(level + 1, id, store)?;
        }
        Ok(())
    }

    /// Ends the stream.
    pub fn finish<S: ListStore>(mut self, store: &mut S) -> Result<Content, S::Error> {
        let mut level = 0;
        loop {
            self.cut(level, true, store)?;
            match self.levels.get_mut(level) {
                None => return Ok(Content::default()),
                Some(Level::Short(ids)) => {
                    return Ok(Content {
                        depth: level as u8,
                        len: self.len,
                        chunks: std::mem::take(ids),
                    });
                }
                Some(Level::Long(_)) => level += 1,
            }
        }
    }
}

/// Turns the chunks of a list back into ids, chunk by chunk: chunks need not end where ids do.
#[derive(Debug, Default)]
pub struct IdReader {
    tail: Vec<u8>,
}

impl IdReader {
    /// At the beginning of a list.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ids that end in the next chunk of the list.
    pub fn push(&mut self, list: &[u8]) -> Vec<ChunkId> {
        self.tail.extend_from_slice(list);
        let (ids, rest) = read_ids(&self.tail);
        self.tail = rest.to_vec();
        ids
    }

    /// The list ends here; an error when that is in the middle of an id.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.tail.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::invalid(
                "list of chunk ids",
                0,
                "ends in the middle of an id",
            ))
        }
    }
}

#[cfg(test)]
mod tests;
