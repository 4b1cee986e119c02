//! Symmetric sealing: how whatever writers may read (pack directories, journal segments) is kept from hosts.
//!
//! One rule, deterministic and misuse-resistant: equal objects seal to equal bytes, unequal objects never share a key.
//!
//! ```text
//! siv    = BLAKE3 keyed(SIV key, type (u8) ‖ header length (u32, little-endian) ‖ header ‖ plaintext)
//! key    = BLAKE3 derive_key(KEY_CONTEXT, index key ‖ siv)
//! sealed = siv (32 bytes) ‖ ChaCha20-Poly1305(key, nonce = 12 zero bytes, no associated data, plaintext) ‖ tag (16 bytes)
//! ```
//!
//! `header` is whatever stands in clear beside the object and must be bound to it. Opening recomputes `siv` from what came out and
//! compares, so bytes can be opened neither as another type nor under another header, nor under a second key (`siv` commits to it).
//! This file must never be given a nonce, a counter or randomness: it has no place for them.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use zeroize::Zeroizing;

/// Bytes that sealing adds: the synthetic iv and the tag.
pub const OVERHEAD: usize = SIV_LEN + TAG_LEN;

pub(crate) const SIV_LEN: usize = 32;
const TAG_LEN: usize = 16;
const KEY_CONTEXT: &str = "nuthatch v1 symmetric sealing, object key";

/// What kind of object is sealed. The numbers are part of the format and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectType {
    /// The directory of a pack, with the padding after it.
    PackDirectory,
    /// Where in a pack its directory begins.
    PackLocator,
    /// The entries of a journal segment.
    Segment,
}

impl ObjectType {
    /// The number that is hashed.
    pub const fn number(self) -> u8 {
        match self {
            Self::PackDirectory => 1,
            Self::PackLocator => 2,
            Self::Segment => 3,
        }
    }
}

/// Why sealed bytes could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than [`OVERHEAD`].
    #[error("{found} bytes are too few to be a sealed object")]
    TooShort {
        /// Bytes given.
        found: usize,
    },
    /// Damaged, or sealed with other keys, as another type or under another header.
    #[error("a sealed object is damaged or was sealed with other keys")]
    Damaged,
}

/// Seals `plaintext`; the answer is [`OVERHEAD`] bytes longer.
pub fn seal(
    siv_key: &[u8; 32],
    index_key: &[u8; 32],
    object_type: ObjectType,
    header: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
    sealed.extend_from_slice(&[0; SIV_LEN]);
    sealed.extend_from_slice(plaintext);
    sealed.extend_from_slice(&[0; TAG_LEN]);
    seal_in_place(siv_key, index_key, object_type, header, &mut sealed);
    sealed
}

/// Seals the plaintext that stands in `room` after 32 bytes and before the last 16; those are overwritten.
pub(crate) fn seal_in_place(
    siv_key: &[u8; 32],
    index_key: &[u8; 32],
    object_type: ObjectType,
    header: &[u8],
    room: &mut [u8],
) {
    assert!(room.len() >= OVERHEAD, "room for the iv and the tag");
    let (siv_room, rest) = room.split_at_mut(SIV_LEN);
    let (text, tag_room) = rest.split_at_mut(rest.len() - TAG_LEN);
    let siv = synthetic_iv(siv_key, object_type, header, text);
    siv_room.copy_from_slice(siv.as_bytes());
    match cipher(index_key, siv.as_bytes()).encrypt_inout_detached(&Nonce::default(), &[], text.into()) {
        Ok(tag) => tag_room.copy_from_slice(&tag),
        Err(_) => unreachable!("objects are far shorter than the cipher's limit of 256 GiB"),
    }
}

/// Opens what [`seal`] made with the same keys, type and header.
pub fn open(
    siv_key: &[u8; 32],
    index_key: &[u8; 32],
    object_type: ObjectType,
    header: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let too_short = OpenError::TooShort { found: sealed.len() };
    let (siv, rest) = sealed.split_first_chunk::<SIV_LEN>().ok_or(too_short)?;
    let (text, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(too_short)?;
    let mut text = text.to_vec();
    cipher(index_key, siv)
        .decrypt_inout_detached(
            &Nonce::default(),
            &[],
            text.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .map_err(|_| OpenError::Damaged)?;
    // Comparing two `blake3::Hash`es takes constant time.
    if synthetic_iv(siv_key, object_type, header, &text) == blake3::Hash::from_bytes(*siv) {
        Ok(text)
    } else {
        Err(OpenError::Damaged)
    }
}

fn synthetic_iv(siv_key: &[u8; 32], object_type: ObjectType, header: &[u8], text: &[u8]) -> blake3::Hash {
    assert!(u32::try_from(header.len()).is_ok(), "headers are short");
    let mut hasher = blake3::Hasher::new_keyed(siv_key);
    hasher.update(&[object_type.number()]);
    hasher.update(&(header.len() as u32).to_le_bytes());
    hasher.update(header);
    hasher.update(text);
    hasher.finalize()
}

fn cipher(index_key: &[u8; 32], siv: &[u8; 32]) -> ChaCha20Poly1305 {
    let mut material = Zeroizing::new([0; 64]);
    material[..32].copy_from_slice(index_key);
    material[32..].copy_from_slice(siv);
    let key = Zeroizing::new(blake3::derive_key(KEY_CONTEXT, material.as_slice()));
    ChaCha20Poly1305::new((&*key).into())
}

#[cfg(test)]
mod tests;
