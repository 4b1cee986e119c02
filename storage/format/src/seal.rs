//! Sealing packs: the same content gives the same bytes, and other content never shares a key.
//!
//! Writers can do this unattended and can't undo it: the pack key comes from an X25519 agreement with the archive's sealing key, whose
//! secret half they don't have. Nothing here is random: the ephemeral secret is made from everything that is sealed.
//!
//! ```text
//! content   = BLAKE3 keyed(pack-seed key, ArchiveId (32) ‖ sealing key (32) ‖ header before the ephemeral key (24) ‖ pack length (u32)
//!             ‖ section count (u32) ‖ for each section: its compressed length (u32) ‖ BLAKE3 of its compressed bytes (32)
//!             ‖ directory length (u32) ‖ directory encoding)                             never stored
//! ephemeral = BLAKE3 derive_key(EPHEMERAL_CONTEXT, pack-seed key ‖ content)               an X25519 secret
//! secrets   = BLAKE3 derive_key(PACK_CONTEXT, X25519(ephemeral, sealing key) ‖ writer secret ‖ ephemeral public key
//!             ‖ sealing key ‖ ArchiveId ‖ header before the commitment (56)), 64 bytes of output
//! pack key  = secrets[..32]; key commitment = secrets[32..]
//! section   = ChaCha20-Poly1305(pack key, nonce = index (u32) and 8 zero bytes, associated data = header ‖ index (u32) ‖ last (u8))
//! ```
//!
//! A pack is built in one buffer of its final length: sections are copied in as they come and encrypted where they lie.

use std::sync::atomic::{AtomicU32, Ordering};

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use zeroize::Zeroizing;

use crate::codec;
use crate::id::PackId;
use crate::keys::{AgreementError, SealingSecret, WriterKeys};
use crate::pack::{
    CHUNK_ENTRY_LEN_MAX, DIRECTORY_BASE_LEN_MAX, DIRECTORY_LEN_MAX, HEADER_BOUND_LEN, HEADER_FIXED_LEN,
    HEADER_LEN, LOCATOR_LEN, PackDirectory, PackHeader, PackKind, Place, SECTION_ENTRY_LEN_MAX, SectionEntry,
    TAG_LEN, TAIL_OVERHEAD,
};
use crate::padding::{Fill, PACK_LEN};
use crate::section::{CompressedSection, encoder_version};
use crate::siv::{self, ObjectType};
use crate::units::Epoch;

const EPHEMERAL_CONTEXT: &str = "nuthatch v1 pack ephemeral secret";
const PACK_CONTEXT: &str = "nuthatch v1 pack key and commitment";

/// A pack that is being filled.
pub struct PackPlan {
    kind: PackKind,
    /// Room for the header, then every section with room for its tag. Holds plaintext until it is sealed.
    bytes: Vec<u8>,
    sections: Vec<SectionEntry>,
    /// Length and BLAKE3 of each section's compressed bytes.
    digests: Vec<(u32, [u8; 32])>,
    /// No encoding of the directory is longer.
    directory_len_max: usize,
}

/// A sealed pack, ready for staging and coding.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedPack {
    /// BLAKE3 of `bytes`.
    pub id: PackId,
    /// What it holds.
    pub kind: PackKind,
    /// The keys' epoch.
    pub epoch: Epoch,
    /// Its bytes, [`PACK_LEN`] or fewer.
    pub bytes: Vec<u8>,
    /// Its header, the first bytes of `bytes`.
    pub header: PackHeader,
    /// What is in it, in clear: for the journal, which seals it again.
    pub directory: PackDirectory,
}

impl std::fmt::Debug for SealedPack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SealedPack({:?}, {:?}, {} bytes)",
            self.id,
            self.kind,
            self.bytes.len()
        )
    }
}

/// Why a pack can't be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The archive's sealing key would give away every pack key.
    #[error("the archive's sealing key can't be used")]
    SealingKey(#[from] AgreementError),
}

impl PackPlan {
    /// An empty pack. Allocates [`PACK_LEN`] bytes.
    pub fn new(kind: PackKind) -> Self {
        Self::with_buffer(kind, Vec::new())
    }

    /// An empty pack in a buffer that an earlier one has left ([`SealedPack::bytes`]), which saves the system to clear new memory.
    pub fn with_buffer(kind: PackKind, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.reserve_exact(PACK_LEN);
        buffer.resize(HEADER_LEN, 0);
        Self {
            kind,
            bytes: buffer,
            sections: Vec::new(),
            digests: Vec::new(),
            directory_len_max: DIRECTORY_BASE_LEN_MAX,
        }
    }

    /// What it will hold.
    pub fn kind(&self) -> PackKind {
        self.kind
    }

    /// Whether there is no section yet.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Whether there is room for a section. Every section fits an empty pack.
    pub fn fits(&self, section: &CompressedSection) -> bool {
        let directory_len = self.directory_len_max + entry_len_max(section);
        directory_len <= DIRECTORY_LEN_MAX
            && self.bytes.len() + section.compressed_len() + TAG_LEN + directory_len + TAIL_OVERHEAD
                <= PACK_LEN
    }

    /// Puts a section behind the others; it must fit.
    pub fn push(&mut self, section: CompressedSection) {
        assert!(self.fits(&section), "a section is pushed only where it fits");
        self.directory_len_max += entry_len_max(&section);
        self.bytes.extend_from_slice(&section.bytes);
        self.bytes.extend_from_slice(&[0; TAG_LEN]);
        self.digests.push((section.bytes.len() as u32, section.digest));
        self.sections.push(SectionEntry {
            offset: 0,
            stored_len: (section.bytes.len() + TAG_LEN) as u32,
            plain_len: section.plain_len,
            codec: section.codec,
            level: section.level,
            chunks: section.chunks,
        });
    }

    /// Seals the pack, which must not be empty, on this thread.
    pub fn seal(self, keys: &WriterKeys, fill: Fill) -> Result<SealedPack, SealError> {
        self.seal_with(keys, fill, |tasks| {
            for task in tasks {
                task.run();
            }
        })
    }

    /// Seals the pack, which must not be empty; `workers` runs all the tasks that it is given, on as many threads as it likes.
    pub fn seal_with(
        self,
        keys: &WriterKeys,
        fill: Fill,
        workers: impl FnOnce(Vec<SectionTask<'_>>),
    ) -> Result<SealedPack, SealError> {
        let Self {
            kind,
            mut bytes,
            sections,
            digests,
            ..
        } = self;
        let directory = match PackDirectory::place(encoder_version(), sections) {
            Ok(directory) => directory,
            Err(reason) => unreachable!("only sections that agree and fit are pushed: {reason}"),
        };
        let encoding = codec::encode(&directory);
        let tail = bytes.len();
        let pack_len = fill.len(tail + encoding.len() + TAIL_OVERHEAD);
        assert!(
            pack_len <= PACK_LEN,
            "pushed sections and their directory fit a pack"
        );

        let fixed = PackHeader::fixed(kind, keys.epoch);
        let content = content_hash(keys, &fixed, pack_len, &digests, &encoding);
        let (header, pack_key) = pack_key(keys, &fixed, &content)?;
        bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
        bytes.resize(pack_len, 0);
        seal_sections(
            &mut bytes[HEADER_LEN..tail],
            &directory,
            &header,
            &pack_key,
            workers,
        );
        seal_tail(keys, &header, &encoding, &mut bytes, tail);
        Ok(SealedPack {
            id: PackId::from_bytes(*blake3::hash(&bytes).as_bytes()),
            kind,
            epoch: keys.epoch,
            bytes,
            header,
            directory,
        })
    }
}

impl std::fmt::Debug for PackPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PackPlan({:?}, {} sections, {} bytes)",
            self.kind,
            self.sections.len(),
            self.bytes.len()
        )
    }
}

/// One section to encrypt where it lies. Tasks of a pack may run in any order, on any threads.
pub struct SectionTask<'a> {
    cipher: &'a ChaCha20Poly1305,
    header: &'a PackHeader,
    place: Place,
    /// The section's bytes and room for its tag.
    room: &'a mut [u8],
    sealed_count: &'a AtomicU32,
}

impl SectionTask<'_> {
    /// Encrypts the section.
    pub fn run(self) {
        let (text, tag_room) = self.room.split_at_mut(self.room.len() - TAG_LEN);
        let nonce = Nonce::from(self.place.nonce());
        let associated_data = self.place.associated_data(self.header);
        match self
            .cipher
            .encrypt_inout_detached(&nonce, &associated_data, text.into())
        {
            Ok(tag) => tag_room.copy_from_slice(&tag),
            Err(_) => unreachable!("sections are far shorter than the cipher's limit of 256 GiB"),
        }
        self.sealed_count.fetch_add(1, Ordering::Release);
    }
}

impl std::fmt::Debug for SectionTask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SectionTask({:?}, {} bytes)", self.place, self.room.len())
    }
}

fn entry_len_max(section: &CompressedSection) -> usize {
    SECTION_ENTRY_LEN_MAX + section.chunks.len() * CHUNK_ENTRY_LEN_MAX
}

/// Hashes everything that will be sealed, each part of fixed length or after its length.
fn content_hash(
    keys: &WriterKeys,
    fixed: &[u8; HEADER_FIXED_LEN],
    pack_len: usize,
    digests: &[(u32, [u8; 32])],
    encoding: &[u8],
) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(&keys.pack_seed_key);
    hasher.update(keys.archive.as_bytes());
    hasher.update(&keys.sealing_public);
    hasher.update(fixed);
    hasher.update(&(pack_len as u32).to_le_bytes());
    hasher.update(&(digests.len() as u32).to_le_bytes());
    for (len, digest) in digests {
        hasher.update(&len.to_le_bytes());
        hasher.update(digest);
    }
    hasher.update(&(encoding.len() as u32).to_le_bytes());
    hasher.update(encoding);
    Zeroizing::new(*hasher.finalize().as_bytes())
}

/// The header and key of the pack with this content.
fn pack_key(
    keys: &WriterKeys,
    fixed: &[u8; HEADER_FIXED_LEN],
    content: &[u8; 32],
) -> Result<(PackHeader, Zeroizing<[u8; 32]>), SealError> {
    let mut material = Zeroizing::new([0; 64]);
    material[..32].copy_from_slice(&keys.pack_seed_key);
    material[32..].copy_from_slice(content);
    let secret = Zeroizing::new(blake3::derive_key(EPHEMERAL_CONTEXT, material.as_slice()));
    let ephemeral = SealingSecret::from_bytes(*secret);
    let shared = ephemeral.agree(&keys.sealing_public)?;

    let mut bound = [0; HEADER_BOUND_LEN];
    bound[..HEADER_FIXED_LEN].copy_from_slice(fixed);
    bound[HEADER_FIXED_LEN..].copy_from_slice(&ephemeral.public());
    let secrets = PackSecrets::derive(keys, &shared, &bound);
    Ok((PackHeader::new(&bound, &secrets.commitment), secrets.key))
}

/// What sealing and opening a pack both derive.
pub(crate) struct PackSecrets {
    pub(crate) key: Zeroizing<[u8; 32]>,
    pub(crate) commitment: [u8; 32],
}

impl PackSecrets {
    /// From the X25519 agreement of ephemeral and sealing key, and the header before the commitment.
    pub(crate) fn derive(keys: &WriterKeys, shared: &[u8; 32], bound: &[u8; HEADER_BOUND_LEN]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(PACK_CONTEXT);
        hasher.update(shared);
        hasher.update(&keys.writer_secret);
        hasher.update(&bound[HEADER_FIXED_LEN..]);
        hasher.update(&keys.sealing_public);
        hasher.update(keys.archive.as_bytes());
        hasher.update(bound);
        let mut output = hasher.finalize_xof();
        let mut secrets = Self {
            key: Zeroizing::new([0; 32]),
            commitment: [0; 32],
        };
        output.fill(secrets.key.as_mut_slice());
        output.fill(&mut secrets.commitment);
        zeroize::Zeroize::zeroize(&mut output);
        zeroize::Zeroize::zeroize(&mut hasher);
        secrets
    }
}

fn seal_sections(
    room: &mut [u8],
    directory: &PackDirectory,
    header: &PackHeader,
    pack_key: &[u8; 32],
    workers: impl FnOnce(Vec<SectionTask<'_>>),
) {
    let cipher = ChaCha20Poly1305::new(pack_key.into());
    let sealed_count = AtomicU32::new(0);
    let mut tasks = Vec::with_capacity(directory.sections.len());
    let mut rest = room;
    for (index, entry) in directory.sections.iter().enumerate() {
        let (own, behind) = rest.split_at_mut(entry.stored_len as usize);
        rest = behind;
        tasks.push(SectionTask {
            cipher: &cipher,
            header,
            place: Place {
                index: index as u32,
                last: index + 1 == directory.sections.len(),
            },
            room: own,
            sealed_count: &sealed_count,
        });
    }
    assert!(
        rest.is_empty(),
        "the directory's lengths are those of the sections"
    );
    workers(tasks);
    assert!(
        sealed_count.into_inner() as usize == directory.sections.len(),
        "every section task is run before its pack may leave"
    );
}

/// Fills the end of the pack: directory with padding, then locator.
fn seal_tail(keys: &WriterKeys, header: &PackHeader, encoding: &[u8], bytes: &mut [u8], tail: usize) {
    let locator_at = bytes.len() - LOCATOR_LEN;
    let room = &mut bytes[tail..locator_at];
    let text = &mut room[siv::SIV_LEN..];
    text[..4].copy_from_slice(&(encoding.len() as u32).to_le_bytes());
    text[4..4 + encoding.len()].copy_from_slice(encoding);
    siv::seal_in_place(
        &keys.siv_key,
        &keys.index_key,
        ObjectType::PackDirectory,
        header.as_bytes(),
        room,
    );
    let locator = siv::seal(
        &keys.siv_key,
        &keys.index_key,
        ObjectType::PackLocator,
        header.as_bytes(),
        &(tail as u32).to_le_bytes(),
    );
    bytes[locator_at..].copy_from_slice(&locator);
}

#[cfg(test)]
pub(crate) mod tests;
