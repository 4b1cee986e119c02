//! Trees as streams: written entry by entry, read from pieces of any length, so that a directory of millions needs no memory.

use crate::codec::{self, Canonical, DecodeError, DecodeReason, FORMAT_VERSION};
use crate::signed::SUITE;

use super::Entry;

/// Bytes before the first entry.
pub const TREE_HEADER_LEN: usize = 12;

const MAGIC: [u8; 8] = *b"nuthtree";
const WHAT: &str = "tree";

/// Why an entry can't be written into a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It says something impossible.
    #[error("an entry can't be kept: {0}")]
    Invalid(&'static str),
    /// Its name does not come after the one before it.
    #[error("entries out of order")]
    Order,
}

/// Encodes entries one after another, in the order of their names' bytes.
#[derive(Debug, Default)]
pub struct TreeWriter {
    last: Option<Vec<u8>>,
}

impl TreeWriter {
    /// Begins a tree: writes its header.
    pub fn begin(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&SUITE.to_le_bytes());
        Self::default()
    }

    /// Appends an entry. After an error nothing is written, and the tree can go on without that entry.
    pub fn push(&mut self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), TreeError> {
        entry.check().map_err(TreeError::Invalid)?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(TreeError::Order);
        }
        let bytes = codec::encode(entry);
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&bytes);
        self.last = Some(entry.name.clone());
        Ok(())
    }
}

/// Reads a tree from pieces; holds the bytes of at most one unfinished entry beside the piece.
#[derive(Debug, Default)]
pub struct TreeReader {
    pending: Vec<u8>,
    read: usize,
    begun: bool,
    offset: usize,
    last: Option<Vec<u8>>,
}

impl TreeReader {
    /// At the beginning of a tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the next piece of the tree.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.read);
        self.read = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// The next entry, or `None` when more bytes are needed (or none are left: see [`TreeReader::finish`]).
    pub fn next_entry(&mut self) -> Result<Option<Entry>, DecodeError> {
        if !self.begun {
            let Some(header) = self.take(TREE_HEADER_LEN) else {
                return Ok(None);
            };
            check_header(&header)?;
            self.begun = true;
        }
        let unread = self.pending.get(self.read..).unwrap_or_default();
        let Some(length) = unread.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > Entry::LEN_MAX {
            return Err(self.fail(DecodeReason::TooLong {
                found: length,
                max: Entry::LEN_MAX,
            }));
        }
        let at = self.offset + 4;
        let Some(bytes) = self.take(4 + length) else {
            return Ok(None);
        };
        let entry: Entry = codec::decode(bytes.get(4..).unwrap_or_default()).map_err(|mut error| {
            error.at += at;
            error
        })?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(DecodeError::invalid(WHAT, at, "entries out of order"));
        }
        self.last = Some(entry.name.clone());
        Ok(Some(entry))
    }

    /// The tree ends here; an error when that is in the middle of something, or before an entry was taken.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.begun && self.read == self.pending.len() {
            Ok(())
        } else {
            Err(DecodeError {
                what: WHAT,
                at: self.offset + self.pending.len() - self.read,
                reason: DecodeReason::Truncated,
            })
        }
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let bytes = self.pending.get(self.read..self.read + length)?.to_vec();
        self.read += length;
        self.offset += length;
        Some(bytes)
    }

    fn fail(&self, reason: DecodeReason) -> DecodeError {
        DecodeError {
            what: WHAT,
            at: self.offset,
            reason,
        }
    }
}

fn check_header(header: &[u8]) -> Result<(), DecodeError> {
    let number = |at: usize| {
        header
            .get(at..at + 2)
            .and_then(|bytes| bytes.first_chunk::<2>())
            .map_or(u16::MAX, |bytes| u16::from_le_bytes(*bytes))
    };
    let fail = |at, reason| DecodeError {
        what: WHAT,
        at,
        reason,
    };
    if !header.starts_with(&MAGIC) {
        Err(fail(0, DecodeReason::Invalid("does not begin like a tree")))
    } else if number(8) != FORMAT_VERSION {
        Err(fail(
            8,
            DecodeReason::Version {
                found: number(8),
                known: FORMAT_VERSION,
            },
        ))
    } else if number(10) != SUITE {
        Err(fail(10, DecodeReason::Suite(number(10))))
    } else {
        Ok(())
    }
}

/// A whole tree in memory: for small directories and tests; large ones are streamed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// The entries, strictly sorted by name.
    pub entries: Vec<Entry>,
}

impl Tree {
    /// Its bytes.
    pub fn encode(&self) -> Result<Vec<u8>, TreeError> {
        let mut bytes = Vec::new();
        let mut writer = TreeWriter::begin(&mut bytes);
        for entry in &self.entries {
            writer.push(entry, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// The tree with these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = TreeReader::new();
        reader.push(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        reader.finish()?;
        Ok(Self { entries })
    }
}
