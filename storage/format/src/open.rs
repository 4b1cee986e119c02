//! Opening packs: the directory with the writers' keys, the sections with the readers'.
//!
//! Takes bytes from anybody and believes none: whatever was not sealed with these keys, in this place, ends in an error. What a
//! directory says about chunks stays a claim; whoever uses a chunk hashes it first.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};

use crate::codec::{self, DecodeError};
use crate::keys::{AgreementError, ReaderKeys, WriterKeys};
use crate::pack::{HEADER_LEN, LOCATOR_LEN, PackDirectory, PackHeader, TAG_LEN, TAIL_OVERHEAD, read_header};
use crate::padding::PACK_LEN;
use crate::seal::PackSecrets;
use crate::section::{DecompressError, decompress};
use crate::siv::{self, ObjectType};
use crate::units::Epoch;

/// Why a pack's directory can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// No pack is so short or so long.
    #[error("{found} bytes can't be a pack")]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// The header is not one.
    #[error(transparent)]
    Header(DecodeError),
    /// The pack was sealed with the writer keys of another epoch.
    #[error("the pack is of epoch {}, these keys are of {}", found.0, expected.0)]
    Epoch {
        /// Epoch of the keys.
        expected: Epoch,
        /// Epoch of the pack.
        found: Epoch,
    },
    /// Damaged, or sealed by another archive.
    #[error("the pack's directory can't be opened")]
    Sealed(#[from] siv::OpenError),
    /// Opened, but says something impossible.
    #[error("the pack's directory is not well-formed")]
    Directory(#[source] DecodeError),
}

/// The header and directory of a whole pack: what a journal entry of it says.
pub fn open_directory(pack: &[u8], keys: &WriterKeys) -> Result<(PackHeader, PackDirectory), DirectoryError> {
    if pack.len() < HEADER_LEN + TAIL_OVERHEAD || pack.len() > PACK_LEN {
        return Err(DirectoryError::Length { found: pack.len() });
    }
    let header = read_header(pack).map_err(DirectoryError::Header)?;
    if header.epoch() != keys.epoch {
        return Err(DirectoryError::Epoch {
            expected: keys.epoch,
            found: header.epoch(),
        });
    }
    let open = |object_type, sealed| {
        siv::open(
            &keys.siv_key,
            &keys.index_key,
            object_type,
            header.as_bytes(),
            sealed,
        )
    };
    let (before, locator) = pack.split_at(pack.len() - LOCATOR_LEN);
    let malformed =
        |at, reason| DirectoryError::Directory(DecodeError::invalid("pack directory", at, reason));

    let locator = open(ObjectType::PackLocator, locator)?;
    let at = locator
        .as_array()
        .map(|at| u32::from_le_bytes(*at) as usize)
        .ok_or_else(|| malformed(before.len(), "the locator has four bytes"))?;
    let sealed = before
        .get(at..)
        .ok_or_else(|| malformed(before.len(), "the directory is said to begin behind the pack"))?;
    let text = open(ObjectType::PackDirectory, sealed)?;
    let (len, rest) = text
        .split_first_chunk()
        .ok_or_else(|| malformed(at, "the directory has no length"))?;
    let (encoding, padding) = rest
        .split_at_checked(u32::from_le_bytes(*len) as usize)
        .ok_or_else(|| malformed(at, "the directory is longer than its room"))?;
    let directory = codec::decode::<PackDirectory>(encoding).map_err(DirectoryError::Directory)?;
    if directory.sections_end() != at || padding.iter().any(|byte| *byte != 0) {
        return Err(malformed(at, "the directory does not fit its pack"));
    }
    Ok((header, directory))
}

/// Why a pack can't be opened with these keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackKeyError {
    /// The pack was sealed with the writer keys of another epoch.
    #[error("the pack is of epoch {}, these keys are of {}", found.0, expected.0)]
    Epoch {
        /// Epoch of the keys.
        expected: Epoch,
        /// Epoch of the pack.
        found: Epoch,
    },
    /// The ephemeral key in the header is one with which everybody agrees on the same secret.
    #[error("the pack's ephemeral key can't be used")]
    Ephemeral(#[from] AgreementError),
    /// The header is damaged, or the pack belongs to another archive.
    #[error("the pack was not sealed to these keys")]
    OtherKeys,
}

/// The key of one pack: opens its sections.
pub struct PackKey {
    cipher: ChaCha20Poly1305,
    header: PackHeader,
}

/// Why a section can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// The directory has no such section.
    #[error("there is no section {index} in a pack of {count}")]
    NoSuchSection {
        /// The index asked for.
        index: u32,
        /// Sections of the pack.
        count: usize,
    },
    /// Not the range of the pack that the directory names.
    #[error("section {index} has {expected} bytes, {found} were given")]
    Length {
        /// Which section.
        index: u32,
        /// Bytes that it has in the pack.
        expected: u32,
        /// Bytes given.
        found: usize,
    },
    /// Damaged, or from elsewhere.
    #[error("section {index} is damaged")]
    Damaged {
        /// Which section.
        index: u32,
    },
    /// Authentic, but not what its directory says: whoever sealed it lied or erred.
    #[error("section {index} does not hold what its directory says")]
    Content {
        /// Which section.
        index: u32,
        /// What is wrong.
        source: DecompressError,
    },
}

impl ReaderKeys {
    /// The key of the pack with this header. Costs an X25519 agreement (about 45 microseconds): keep it for all sections of a pack.
    pub fn pack_key(&self, header: &PackHeader) -> Result<PackKey, PackKeyError> {
        let expected = self.writer.epoch;
        if header.epoch() != expected {
            return Err(PackKeyError::Epoch {
                expected,
                found: header.epoch(),
            });
        }
        let shared = self.sealing.agree(&header.ephemeral())?;
        let secrets = PackSecrets::derive(&self.writer, &shared, header.bound());
        // Comparing two `blake3::Hash`es takes constant time.
        if blake3::Hash::from_bytes(secrets.commitment) != blake3::Hash::from_bytes(header.commitment()) {
            return Err(PackKeyError::OtherKeys);
        }
        Ok(PackKey {
            cipher: ChaCha20Poly1305::new((&*secrets.key).into()),
            header: *header,
        })
    }
}

impl PackKey {
    /// The plain bytes of section `index` of `directory`, from the `stored_len` bytes that lie at its offset in the pack.
    ///
    /// They are what the writer sealed there; that they are the chunks they are said to be is for the caller to check
    /// ([`crate::pack::SectionEntry::split`], [`WriterKeys::chunk_id`]). Given a `Vec`, works in place.
    pub fn open_section(
        &self,
        directory: &PackDirectory,
        index: u32,
        sealed: impl Into<Vec<u8>>,
    ) -> Result<Vec<u8>, SectionError> {
        self.open_in_place(directory, index, sealed.into())
    }

    /// Not generic, so that the cipher is compiled in this crate, which is optimised in every profile.
    fn open_in_place(
        &self,
        directory: &PackDirectory,
        index: u32,
        mut bytes: Vec<u8>,
    ) -> Result<Vec<u8>, SectionError> {
        let count = directory.sections.len();
        let (entry, place) = directory
            .section(index)
            .ok_or(SectionError::NoSuchSection { index, count })?;
        let length = SectionError::Length {
            index,
            expected: entry.stored_len,
            found: bytes.len(),
        };
        if bytes.len() != entry.stored_len as usize {
            return Err(length);
        }
        let tag = *bytes.last_chunk::<TAG_LEN>().ok_or(length)?;
        bytes.truncate(bytes.len() - TAG_LEN);
        self.cipher
            .decrypt_inout_detached(
                &Nonce::from(place.nonce()),
                &place.associated_data(&self.header),
                bytes.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .map_err(|_| SectionError::Damaged { index })?;
        decompress(entry.codec, bytes, entry.plain_len)
            .map_err(|source| SectionError::Content { index, source })
    }
}

impl std::fmt::Debug for PackKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackKey(of {:?})", self.header)
    }
}

#[cfg(test)]
mod tests;
