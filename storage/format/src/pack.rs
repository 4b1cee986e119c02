//! What a pack looks like: its header, its directory, and where everything lies. Layout only; `seal` writes packs and `open` reads them.
//!
//! ```text
//! offset               length  what
//! 0                    88      header, in clear
//! 88                   ...     sections in order, each its ciphertext and a 16-byte tag, nothing between them
//! behind the sections  ...     directory, sealed symmetrically (48 bytes longer than what it holds), to 52 bytes before the end
//! pack length - 52     52      locator, sealed symmetrically: where the directory begins (u32)
//!
//! header:     magic `nuthpack` (8) ‖ version (u16) ‖ suite (u16) ‖ epoch (u32) ‖ kind (u8) ‖ zeros (7)
//!             ‖ ephemeral X25519 public key (32) ‖ key commitment (32)
//! directory:  length of its encoding (u32) ‖ encoding (CBOR) ‖ zeros: the padding
//! ```
//!
//! All numbers are little-endian. The padding is sealed with the directory, so a host can't see where it begins, and every byte of a
//! pack is authenticated. Sections lie at offsets that follow from the directory's lengths, so whoever has header and directory (both are
//! in the journal) can read any section by its range.

use minicbor::{Decode, Decoder, Encode, decode};

use crate::codec::{Canonical, DecodeError, DecodeReason, FORMAT_VERSION};
use crate::id::ChunkId;
use crate::padding::PACK_LEN;
use crate::section::{Codec, Level, SECTION_CHUNKS_MAX, SECTION_LEN_MAX};
use crate::signed::SUITE;
use crate::siv;
use crate::units::Epoch;

/// Length of a pack's header, in bytes.
pub const HEADER_LEN: usize = 88;
/// Longest encoding of a directory, in bytes: a journal segment holds several.
pub const DIRECTORY_LEN_MAX: usize = 1024 * 1024;
/// Bytes that sealing adds to a section.
pub const TAG_LEN: usize = 16;

/// Bytes of the header before the key commitment: what the pack key is derived with.
pub(crate) const HEADER_BOUND_LEN: usize = 56;
/// Bytes of the header before the ephemeral key: what is known before sealing.
pub(crate) const HEADER_FIXED_LEN: usize = 24;
pub(crate) const LOCATOR_LEN: usize = siv::OVERHEAD + 4;
/// Bytes behind the sections besides the directory's encoding.
pub(crate) const TAIL_OVERHEAD: usize = siv::OVERHEAD + 4 + LOCATOR_LEN;
/// At most so many bytes of the directory's encoding besides its sections: map, keys, encoder version, array.
pub(crate) const DIRECTORY_BASE_LEN_MAX: usize = 1 + 1 + 5 + 1 + 5;
/// At most so many bytes of a section's entry besides its chunks.
pub(crate) const SECTION_ENTRY_LEN_MAX: usize = 1 + 5 + 5 + 1 + 2 + 3;
/// At most so many bytes of a chunk's entry.
pub(crate) const CHUNK_ENTRY_LEN_MAX: usize = 1 + 34 + 5;

const MAGIC: &[u8; 8] = b"nuthpack";

// The longest section fits an empty pack, whatever it is made of.
const _: () = assert!(
    HEADER_LEN
        + SECTION_LEN_MAX
        + TAG_LEN
        + TAIL_OVERHEAD
        + DIRECTORY_BASE_LEN_MAX
        + SECTION_ENTRY_LEN_MAX
        + SECTION_CHUNKS_MAX * CHUNK_ENTRY_LEN_MAX
        <= PACK_LEN
);
const _: () = assert!(
    DIRECTORY_BASE_LEN_MAX + SECTION_ENTRY_LEN_MAX + SECTION_CHUNKS_MAX * CHUNK_ENTRY_LEN_MAX
        <= DIRECTORY_LEN_MAX
);
const _: () = assert!(PACK_LEN <= u32::MAX as usize);

/// What a pack holds. Kinds never mix, so that browsing reads no file content and metadata can be placed more redundantly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PackKind {
    /// Content of files.
    #[n(1)]
    Data,
    /// Trees and lists of chunks.
    #[n(2)]
    Meta,
}

impl PackKind {
    /// Its number in a header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Data),
            2 => Some(Self::Meta),
            _ => None,
        }
    }
}

/// The first bytes of a pack, well-formed and of a version that is known here; nothing in it is proven before a pack key opened something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PackHeader([u8; HEADER_LEN]);

impl PackHeader {
    /// What every header of this kind and epoch begins with.
    pub(crate) fn fixed(kind: PackKind, epoch: Epoch) -> [u8; HEADER_FIXED_LEN] {
        let mut bytes = [0; HEADER_FIXED_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&SUITE.to_le_bytes());
        bytes[12..16].copy_from_slice(&epoch.0.to_le_bytes());
        bytes[16] = kind.number();
        bytes
    }

    pub(crate) fn new(bound: &[u8; HEADER_BOUND_LEN], commitment: &[u8; 32]) -> Self {
        let mut bytes = [0; HEADER_LEN];
        bytes[..HEADER_BOUND_LEN].copy_from_slice(bound);
        bytes[HEADER_BOUND_LEN..].copy_from_slice(commitment);
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }

    /// What the pack holds.
    pub fn kind(&self) -> PackKind {
        match PackKind::from_number(self.0[16]) {
            Some(kind) => kind,
            None => unreachable!("a header's kind is checked when it is read"),
        }
    }

    /// The epoch of the keys that it was sealed with.
    pub fn epoch(&self) -> Epoch {
        Epoch(u32::from_le_bytes(self.field(12)))
    }

    pub(crate) fn bound(&self) -> &[u8; HEADER_BOUND_LEN] {
        match self.0.first_chunk() {
            Some(bound) => bound,
            None => unreachable!("a header is longer than its bound part"),
        }
    }

    pub(crate) fn ephemeral(&self) -> [u8; 32] {
        self.field(HEADER_FIXED_LEN)
    }

    pub(crate) fn commitment(&self) -> [u8; 32] {
        self.field(HEADER_BOUND_LEN)
    }

    fn field<const LEN: usize>(&self, at: usize) -> [u8; LEN] {
        let mut field = [0; LEN];
        field.copy_from_slice(&self.0[at..at + LEN]);
        field
    }
}

impl std::fmt::Debug for PackHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackHeader({:?}, epoch {})", self.kind(), self.epoch().0)
    }
}

/// Reads the header that a pack, or a header kept elsewhere, begins with. What follows it is not looked at.
pub fn read_header(bytes: &[u8]) -> Result<PackHeader, DecodeError> {
    let fail = |at, reason| DecodeError {
        what: "pack header",
        at,
        reason,
    };
    let header = PackHeader(
        *bytes
            .first_chunk()
            .ok_or_else(|| fail(bytes.len(), DecodeReason::Truncated))?,
    );
    if header.field(0) != *MAGIC {
        return Err(fail(0, DecodeReason::Invalid("not a pack")));
    }
    let version = u16::from_le_bytes(header.field(8));
    if version != FORMAT_VERSION {
        return Err(fail(
            8,
            DecodeReason::Version {
                found: version,
                known: FORMAT_VERSION,
            },
        ));
    }
    let suite = u16::from_le_bytes(header.field(10));
    if suite != SUITE {
        return Err(fail(10, DecodeReason::Suite(suite)));
    }
    if PackKind::from_number(header.0[16]).is_none() {
        return Err(fail(16, DecodeReason::Invalid("unknown kind of pack")));
    }
    if header.field(17) != [0; 7] {
        return Err(fail(17, DecodeReason::NotCanonical));
    }
    Ok(header)
}

/// A chunk's name and length: a claim of whoever sealed it, until a reader has opened the section and hashed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ChunkEntry {
    /// Its name.
    #[n(0)]
    pub id: ChunkId,
    /// Its bytes, at least 1.
    #[n(1)]
    pub len: u32,
}

/// Where a section lies, and which chunks it holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SectionEntry {
    /// First byte, counted from the start of the pack. Not encoded: it follows from the lengths before it.
    #[cbor(skip)]
    pub offset: u32,
    /// Bytes in the pack, its tag among them.
    #[n(0)]
    pub stored_len: u32,
    /// Bytes after opening and decompressing, `1..=SECTION_LEN_MAX`.
    #[n(1)]
    pub plain_len: u32,
    /// How it is stored.
    #[n(2)]
    pub codec: Codec,
    /// The level at which compressing it was tried, also where it is stored raw: what sealing the same bytes again needs to know.
    #[n(3)]
    pub level: Level,
    /// Its chunks in order; their lengths add up to `plain_len`.
    #[n(4)]
    pub chunks: Vec<ChunkEntry>,
}

impl SectionEntry {
    /// The chunks and their bytes in the plain section, as [`crate::open::PackKey::open_section`] gives it. Ends early where `plain` does.
    pub fn split<'a>(&'a self, plain: &'a [u8]) -> impl Iterator<Item = (ChunkId, &'a [u8])> {
        let mut rest = plain;
        self.chunks.iter().map_while(move |chunk| {
            let (own, behind) = rest.split_at_checked(chunk.len as usize)?;
            rest = behind;
            Some((chunk.id, own))
        })
    }

    /// What is impossible about the entry by itself.
    fn check(&self) -> Result<(), &'static str> {
        let plain_len = self.plain_len as usize;
        if plain_len == 0 || plain_len > SECTION_LEN_MAX {
            return Err("a section is empty or too long");
        }
        let compressed_len = (self.stored_len as usize)
            .checked_sub(TAG_LEN)
            .ok_or("a section is shorter than its tag")?;
        let agrees = match self.codec {
            Codec::Raw => compressed_len == plain_len,
            Codec::Zstd => (1..plain_len).contains(&compressed_len),
        };
        if !agrees {
            return Err("a section's stored and plain lengths don't agree");
        }
        if Level::new(self.level.number()).is_none() {
            return Err("a section has an unknown compression level");
        }
        if self.chunks.len() > SECTION_CHUNKS_MAX || self.chunks.iter().any(|chunk| chunk.len == 0) {
            return Err("a section has too many chunks, or an empty one");
        }
        let sum: u64 = self.chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        if sum != u64::from(self.plain_len) {
            return Err("a section is not as long as its chunks together");
        }
        Ok(())
    }
}

/// What is in a pack. Sealed inside it, and again inside the journal. One that was decoded is consistent: lengths add up and fit a pack.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(map)]
pub struct PackDirectory {
    /// Version of the zstd library that compressed (see [`crate::section::encoder_version`]).
    #[n(0)]
    pub encoder: u32,
    /// The sections in order, at least one.
    #[n(1)]
    pub sections: Vec<SectionEntry>,
}

#[derive(Decode)]
#[cbor(map)]
struct Unplaced {
    #[n(0)]
    encoder: u32,
    #[n(1)]
    sections: Vec<SectionEntry>,
}

impl PackDirectory {
    /// The directory with these sections, each given its offset; or what is impossible about it.
    pub(crate) fn place(encoder: u32, mut sections: Vec<SectionEntry>) -> Result<Self, &'static str> {
        let mut end = HEADER_LEN;
        for section in &mut sections {
            section.check()?;
            section.offset = end as u32;
            end += section.stored_len as usize;
            if end > PACK_LEN - TAIL_OVERHEAD {
                return Err("the sections are longer than a pack");
            }
        }
        if sections.is_empty() {
            return Err("a pack has at least one section");
        }
        Ok(Self { encoder, sections })
    }

    /// Where the sections end, in bytes from the start of the pack.
    pub(crate) fn sections_end(&self) -> usize {
        self.sections
            .last()
            .map_or(HEADER_LEN, |last| last.offset as usize + last.stored_len as usize)
    }

    /// A section by its index, with whether it is the last.
    pub(crate) fn section(&self, index: u32) -> Option<(&SectionEntry, Place)> {
        let entry = self.sections.get(index as usize)?;
        let last = index as usize + 1 == self.sections.len();
        Some((entry, Place { index, last }))
    }
}

impl<'b, C> Decode<'b, C> for PackDirectory {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let Unplaced { encoder, sections } = d.decode_with(context)?;
        Self::place(encoder, sections).map_err(|reason| decode::Error::message(reason).at(at))
    }
}

impl Canonical for PackDirectory {
    const WHAT: &'static str = "pack directory";
    const LEN_MAX: usize = DIRECTORY_LEN_MAX;
}

/// Which section of its pack: what a section's seal is bound to besides the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) last: bool,
}

impl Place {
    /// The section's nonce: its index (u32) and zeros.
    pub(crate) fn nonce(self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.index.to_le_bytes());
        nonce
    }

    /// The section's associated data: header, index (u32), 1 for the last section and 0 for others (u8).
    pub(crate) fn associated_data(self, header: &PackHeader) -> [u8; HEADER_LEN + 5] {
        let mut data = [0; HEADER_LEN + 5];
        data[..HEADER_LEN].copy_from_slice(header.as_bytes());
        data[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&self.index.to_le_bytes());
        data[HEADER_LEN + 4] = u8::from(self.last);
        data
    }
}

#[cfg(test)]
mod tests;
