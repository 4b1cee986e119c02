//! Sections: chunks that are compressed together, before they are sealed and after they are opened.
//!
//! A large chunk is a section alone; small ones are collected in walk order, because neighbours compress each other. Chunks lie in a
//! section one after another with nothing between them. Compression is zstd in one frame where that saves something, else the
//! bytes as they are. Opening trusts nobody: the plain length is known beforehand, and not a byte more is ever written.
//!
//! Everything here can run on worker threads; it never encrypts and never looks at keys.

use minicbor::{Decode, Encode};

use crate::chunker::CHUNK_LEN_MAX;
use crate::id::ChunkId;
use crate::pack::ChunkEntry;

/// Longest section before compression, in bytes.
pub const SECTION_LEN_MAX: usize = 1024 * 1024;
/// Most chunks of one section, so that its directory entry stays small.
pub const SECTION_CHUNKS_MAX: usize = 4096;
/// A chunk of at least this many bytes is a section alone.
pub const CHUNK_ALONE_LEN: usize = 512 * 1024;
/// zstd level that is used unless somebody asks for another: 552 MiB/s on text where it was measured, 12 % stored.
pub const LEVEL_DEFAULT: Level = Level(3);

/// Up to this level zstd's match finders give the same bytes from a used context as from a new one. The row-based finders of
/// higher levels salt their tables with what was compressed before.
const CONTEXT_REUSE_LEVEL_MAX: u8 = 3;

const _: () = assert!(CHUNK_LEN_MAX <= SECTION_LEN_MAX && CHUNK_ALONE_LEN < SECTION_LEN_MAX);

/// A zstd compression level, `1..=19`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Level(#[n(0)] u8);

impl Level {
    /// The level with this number, `None` when there is none.
    pub const fn new(number: u8) -> Option<Self> {
        if matches!(number, 1..=19) {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number, `1..=19` (any byte in an entry that was decoded but not checked yet).
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// How a section is stored. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Codec {
    /// As it is: compressing saved too little.
    #[n(0)]
    Raw,
    /// One zstd frame.
    #[n(1)]
    Zstd,
}

/// Chunks and their bytes, ready to compress.
#[derive(PartialEq, Eq)]
pub struct PlainSection {
    chunks: Vec<ChunkEntry>,
    bytes: Vec<u8>,
}

impl PlainSection {
    /// Its chunks, in order.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// Their bytes, `1..=SECTION_LEN_MAX`.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for PlainSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PlainSection({} chunks, {} bytes)",
            self.chunks.len(),
            self.bytes.len()
        )
    }
}

/// Collects chunks of one pack kind in walk order. Holds at most one unfinished section.
#[derive(Debug, Default)]
pub struct SectionBuilder {
    open: Option<PlainSection>,
}

impl SectionBuilder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a chunk of `1..=CHUNK_LEN_MAX` bytes; answers a section when that completes one.
    pub fn push(&mut self, id: ChunkId, chunk: &[u8]) -> Option<PlainSection> {
        assert!(
            (1..=CHUNK_LEN_MAX).contains(&chunk.len()),
            "chunks have 1 to CHUNK_LEN_MAX bytes, as the chunker cuts them"
        );
        let entry = ChunkEntry {
            id,
            len: chunk.len() as u32,
        };
        if chunk.len() >= CHUNK_ALONE_LEN {
            return Some(PlainSection {
                chunks: vec![entry],
                bytes: chunk.to_vec(),
            });
        }
        let full = self.open.take_if(|open| {
            open.bytes.len() + chunk.len() > SECTION_LEN_MAX || open.chunks.len() == SECTION_CHUNKS_MAX
        });
        let open = self.open.get_or_insert_with(|| PlainSection {
            chunks: Vec::new(),
            bytes: Vec::with_capacity(SECTION_LEN_MAX),
        });
        open.chunks.push(entry);
        open.bytes.extend_from_slice(chunk);
        full
    }

    /// The section begun last, if there is one.
    pub fn finish(self) -> Option<PlainSection> {
        self.open
    }
}

/// A section as it will be sealed. Only [`Compressor::compress`] makes one, so its numbers agree with each other.
#[derive(PartialEq, Eq)]
pub struct CompressedSection {
    pub(crate) chunks: Vec<ChunkEntry>,
    pub(crate) codec: Codec,
    pub(crate) level: Level,
    pub(crate) plain_len: u32,
    pub(crate) bytes: Vec<u8>,
    /// BLAKE3 of `bytes`, computed here so that sealing needs to read them only once more.
    pub(crate) digest: [u8; 32],
}

impl CompressedSection {
    /// Its chunks, in order.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// How it is stored.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Bytes before compression.
    pub fn plain_len(&self) -> u32 {
        self.plain_len
    }

    /// Bytes after compression, before sealing adds its tag.
    pub fn compressed_len(&self) -> usize {
        self.bytes.len()
    }
}

impl std::fmt::Debug for CompressedSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "CompressedSection({:?}, {} of {} bytes)",
            self.codec,
            self.bytes.len(),
            self.plain_len
        )
    }
}

/// zstd refused to work: out of memory, since levels and lengths are checked.
#[derive(Debug, thiserror::Error)]
#[error("compressing a section failed")]
pub struct CompressError(#[from] std::io::Error);

/// Compresses sections; keep one for each worker thread, because its tables are dear to make.
pub struct Compressor {
    level: Level,
    context: zstd::bulk::Compressor<'static>,
    /// Where zstd writes, so that what is kept is exactly as long as it must be.
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor of a level.
    pub fn new(level: Level) -> Result<Self, CompressError> {
        Ok(Self {
            level,
            context: zstd::bulk::Compressor::new(i32::from(level.0))?,
            scratch: Vec::with_capacity(zstd::zstd_safe::compress_bound(SECTION_LEN_MAX)),
        })
    }

    /// Its level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Compresses a section, or leaves it as it is when that saves less than one part in 64.
    ///
    /// The same section, level and zstd version always give the same bytes.
    pub fn compress(&mut self, section: PlainSection) -> Result<CompressedSection, CompressError> {
        if self.level.0 > CONTEXT_REUSE_LEVEL_MAX {
            self.context = zstd::bulk::Compressor::new(i32::from(self.level.0))?;
        }
        let PlainSection { chunks, bytes: plain } = section;
        let plain_len = plain.len() as u32;
        self.scratch.clear();
        self.context.compress_to_buffer(&plain, &mut self.scratch)?;
        let (codec, bytes) = if self.scratch.len() < plain.len() - plain.len() / 64 {
            (Codec::Zstd, self.scratch.as_slice().to_vec())
        } else {
            (Codec::Raw, plain)
        };
        Ok(CompressedSection {
            chunks,
            codec,
            level: self.level,
            plain_len,
            digest: *blake3::hash(&bytes).as_bytes(),
            bytes,
        })
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compressor(level {})", self.level.0)
    }
}

/// Version of the zstd library that compresses here, as `major * 10000 + minor * 100 + patch`: another may write other bytes.
pub fn encoder_version() -> u32 {
    zstd::zstd_safe::version_number()
}

/// Why a stored section does not give its plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The directory promises more than a section may hold.
    #[error("a section of {plain_len} bytes is longer than sections may be")]
    TooLong {
        /// The plain length promised.
        plain_len: u32,
    },
    /// The frame is damaged or holds more than was promised.
    #[error("a compressed section is damaged, or holds more than the {plain_len} bytes promised")]
    Damaged {
        /// The plain length promised.
        plain_len: u32,
    },
    /// Fewer bytes came out than were promised, or raw bytes are not as many.
    #[error("a section holds {found} bytes instead of {plain_len}")]
    Length {
        /// The plain length promised.
        plain_len: u32,
        /// Bytes that came out.
        found: usize,
    },
}

/// The plain bytes of a stored section: exactly `plain_len` of them, or an error. Allocates `plain_len` bytes at most.
pub fn decompress(codec: Codec, stored: Vec<u8>, plain_len: u32) -> Result<Vec<u8>, DecompressError> {
    if plain_len as usize > SECTION_LEN_MAX {
        return Err(DecompressError::TooLong { plain_len });
    }
    let plain = match codec {
        Codec::Raw => stored,
        Codec::Zstd => {
            // A fixed slice, not a vector: zstd must not see spare capacity.
            let mut plain = vec![0; plain_len as usize];
            let found = zstd::bulk::decompress_to_buffer(&stored, plain.as_mut_slice())
                .map_err(|_| DecompressError::Damaged { plain_len })?;
            plain.truncate(found);
            plain
        }
    };
    if plain.len() == plain_len as usize {
        Ok(plain)
    } else {
        Err(DecompressError::Length {
            plain_len,
            found: plain.len(),
        })
    }
}

#[cfg(test)]
mod tests;
