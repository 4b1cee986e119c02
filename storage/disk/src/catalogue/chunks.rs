//! Where chunks are said to be.

use nuthatch_format::ChunkId;
use redb::{ReadOnlyTable, ReadableDatabase as _};

use super::Catalogue;
use super::packs::PackNumber;
use super::tables::{CHUNK_KEY_LEN, CHUNKS, chunk_key, chunk_key_place};
use crate::index::IndexError;

/// Where a chunk is said to be: one device's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkPlace {
    /// The pack.
    pub pack: PackNumber,
    /// The section's index in the pack.
    pub section: u32,
    /// First byte in the plain section.
    pub offset: u32,
    /// Bytes, at least 1.
    pub len: u32,
}

type Chunks = ReadOnlyTable<&'static [u8; CHUNK_KEY_LEN], (u32, u32)>;

impl Catalogue {
    /// All places where a chunk is said to be, but for retired packs, the packs known longest first.
    pub fn lookup(&self, chunk: &ChunkId) -> Result<Vec<ChunkPlace>, IndexError> {
        let mut places = self.lookup_all(chunk)?;
        let retired = self.retired.read();
        places.retain(|place| !retired.contains(&place.pack));
        Ok(places)
    }

    /// All places where a chunk is said to be, in retired packs too: a restore takes what it can get.
    pub fn lookup_all(&self, chunk: &ChunkId) -> Result<Vec<ChunkPlace>, IndexError> {
        let table = self.database.begin_read()?.open_table(CHUNKS)?;
        places(&table, chunk)
    }

    /// Whether any pack that is not retired is said to hold a chunk.
    pub fn contains(&self, chunk: &ChunkId) -> Result<bool, IndexError> {
        Ok(!self.lookup(chunk)?.is_empty())
    }
}

fn places(table: &Chunks, chunk: &ChunkId) -> Result<Vec<ChunkPlace>, IndexError> {
    let (first, last) = (chunk_key(chunk, 0, 0), chunk_key(chunk, u64::MAX, u32::MAX));
    let mut places = Vec::new();
    for row in table.range::<&[u8; CHUNK_KEY_LEN]>(&first..=&last)? {
        let (key, row) = row?;
        let (number, section) = chunk_key_place(key.value());
        let (offset, len) = row.value();
        places.push(ChunkPlace {
            pack: PackNumber(number),
            section,
            offset,
            len,
        });
    }
    places.sort_unstable();
    Ok(places)
}
