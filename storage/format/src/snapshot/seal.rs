//! Sealing a snapshot to the archive's readers, deterministically: the same snapshot seals to the same bytes.
//!
//! ```text
//! prefix     = "nuthsnap" ‖ version (u16) ‖ suite (u16) ‖ epoch (u32)                                numbers are little-endian
//! ephemeral  = derive_key(EPHEMERAL, pack-seed key ‖ BLAKE3(prefix ‖ archive ‖ sealing public key ‖ plaintext))
//! secrets    = derive_key(KEYS, X25519(ephemeral, sealing key) ‖ writer secret ‖ ephemeral public ‖ sealing public ‖ archive ‖ prefix)
//!              as 64 bytes of extended output: key (32) ‖ commitment (32)
//! sealed     = prefix ‖ ephemeral public (32) ‖ commitment (32) ‖ ChaCha20-Poly1305(key, nonce 0, associated data = all before) ‖ tag
//! ```
//!
//! The hash is never stored. Opening compares the commitment first, so bytes open under one key only.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Snapshot;
use crate::codec::{self, Canonical, DecodeError, DecodeReason, FORMAT_VERSION};
use crate::id::SnapshotId;
use crate::keys::{ReaderKeys, SealingSecret, WriterKeys};
use crate::signed::SUITE;

const MAGIC: [u8; 8] = *b"nuthsnap";
const EPHEMERAL: &str = "nuthatch v1 snapshot ephemeral secret";
const KEYS: &str = "nuthatch v1 snapshot key and commitment";
const PREFIX_LEN: usize = 16;
const HEADER_LEN: usize = PREFIX_LEN + 64;
const TAG_LEN: usize = 16;
const WHAT: &str = "sealed snapshot";

/// A snapshot as it is stored and named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSnapshot {
    /// BLAKE3 of the bytes.
    pub id: SnapshotId,
    /// What the journal carries.
    pub bytes: Vec<u8>,
}

/// Longest sealed snapshot, in bytes.
pub(crate) const SEALED_SNAPSHOT_LEN_MAX: usize = HEADER_LEN + Snapshot::LEN_MAX + TAG_LEN;

/// Why a snapshot can't be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealSnapshotError {
    /// It says something impossible, or too much.
    #[error("the snapshot can't be kept: {0}")]
    Invalid(&'static str),
    /// The archive's public sealing key is no key.
    #[error("the archive's public sealing key is damaged")]
    SealingKey,
}

/// Why sealed bytes are not a snapshot that these keys open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenSnapshotError {
    /// Not shaped like one, before or after opening.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Sealed with the keys of another epoch.
    #[error("the snapshot was sealed in epoch {found}, these keys are of epoch {expected}")]
    Epoch {
        /// Epoch in the bytes.
        found: u32,
        /// Epoch of the keys.
        expected: u32,
    },
    /// Damaged, or sealed for another archive.
    #[error("the snapshot is damaged or belongs to another archive")]
    Damaged,
}

impl SealedSnapshot {
    /// The name of sealed bytes.
    pub fn id_of(bytes: &[u8]) -> SnapshotId {
        SnapshotId::from_bytes(*blake3::hash(bytes).as_bytes())
    }
}

/// Seals a snapshot so that only the archive's readers can open it.
pub fn seal_snapshot(snapshot: &Snapshot, keys: &WriterKeys) -> Result<SealedSnapshot, SealSnapshotError> {
    snapshot.check().map_err(SealSnapshotError::Invalid)?;
    let plain = Zeroizing::new(codec::encode(snapshot));
    let prefix = prefix(keys.epoch.0);
    let content = blake3::Hasher::new()
        .update(&prefix)
        .update(keys.archive.as_bytes())
        .update(&keys.sealing_public)
        .update(&plain)
        .finalize();
    let mut hasher = blake3::Hasher::new_derive_key(EPHEMERAL);
    hasher.update(&keys.pack_seed_key).update(content.as_bytes());
    let ephemeral = SealingSecret::from_bytes(*hasher.finalize().as_bytes());
    let ephemeral_public = ephemeral.public();
    let shared = ephemeral
        .agree(&keys.sealing_public)
        .map_err(|_| SealSnapshotError::SealingKey)?;
    let secrets = Secrets::derive(&shared, &ephemeral_public, keys, &prefix);

    let mut bytes = Vec::with_capacity(HEADER_LEN + plain.len() + TAG_LEN);
    bytes.extend_from_slice(&prefix);
    bytes.extend_from_slice(&ephemeral_public);
    bytes.extend_from_slice(&secrets.commitment);
    bytes.extend_from_slice(&plain);
    let (header, body) = bytes.split_at_mut(HEADER_LEN);
    let cipher = ChaCha20Poly1305::new((&*secrets.key).into());
    let tag = match cipher.encrypt_inout_detached(&Nonce::default(), header, body.into()) {
        Ok(tag) => tag,
        Err(error) => unreachable!("a snapshot is far shorter than the cipher's limit: {error}"),
    };
    bytes.extend_from_slice(&tag);
    Ok(SealedSnapshot {
        id: SealedSnapshot::id_of(&bytes),
        bytes,
    })
}

/// Opens a sealed snapshot.
pub fn open_snapshot(bytes: &[u8], keys: &ReaderKeys) -> Result<Snapshot, OpenSnapshotError> {
    let (header, rest) = split(bytes)?;
    let epoch = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    if epoch != keys.writer.epoch.0 {
        return Err(OpenSnapshotError::Epoch {
            found: epoch,
            expected: keys.writer.epoch.0,
        });
    }
    let prefix = prefix(epoch);
    let mut ephemeral_public = [0; 32];
    ephemeral_public.copy_from_slice(&header[PREFIX_LEN..PREFIX_LEN + 32]);
    let shared = keys
        .sealing
        .agree(&ephemeral_public)
        .map_err(|_| OpenSnapshotError::Damaged)?;
    let secrets = Secrets::derive(&shared, &ephemeral_public, &keys.writer, &prefix);
    if !bool::from(secrets.commitment.ct_eq(&header[PREFIX_LEN + 32..])) {
        return Err(OpenSnapshotError::Damaged);
    }
    let (sealed, tag) = rest.split_at(rest.len() - TAG_LEN);
    let tag = Tag::try_from(tag).map_err(|_| OpenSnapshotError::Damaged)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    ChaCha20Poly1305::new((&*secrets.key).into())
        .decrypt_inout_detached(&Nonce::default(), header, plain.as_mut_slice().into(), &tag)
        .map_err(|_| OpenSnapshotError::Damaged)?;
    Ok(codec::decode(&plain)?)
}

fn prefix(epoch: u32) -> [u8; PREFIX_LEN] {
    let mut prefix = [0; PREFIX_LEN];
    prefix[..8].copy_from_slice(&MAGIC);
    prefix[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    prefix[10..12].copy_from_slice(&SUITE.to_le_bytes());
    prefix[12..].copy_from_slice(&epoch.to_le_bytes());
    prefix
}

fn split(bytes: &[u8]) -> Result<(&[u8; HEADER_LEN], &[u8]), DecodeError> {
    let fail = |at, reason| DecodeError {
        what: WHAT,
        at,
        reason,
    };
    if bytes.len() > SEALED_SNAPSHOT_LEN_MAX {
        let (found, max) = (bytes.len(), SEALED_SNAPSHOT_LEN_MAX);
        return Err(fail(max, DecodeReason::TooLong { found, max }));
    }
    let Some((header, rest)) = bytes
        .split_first_chunk::<HEADER_LEN>()
        .filter(|(_, rest)| rest.len() >= TAG_LEN)
    else {
        return Err(fail(bytes.len(), DecodeReason::Truncated));
    };
    let (version, suite) = (
        u16::from_le_bytes([header[8], header[9]]),
        u16::from_le_bytes([header[10], header[11]]),
    );
    if !header.starts_with(&MAGIC) {
        Err(fail(
            0,
            DecodeReason::Invalid("does not begin like a sealed snapshot"),
        ))
    } else if version != FORMAT_VERSION {
        let known = FORMAT_VERSION;
        Err(fail(
            8,
            DecodeReason::Version {
                found: version,
                known,
            },
        ))
    } else if suite != SUITE {
        Err(fail(10, DecodeReason::Suite(suite)))
    } else {
        Ok((header, rest))
    }
}

struct Secrets {
    key: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}

impl Secrets {
    fn derive(
        shared: &[u8; 32],
        ephemeral_public: &[u8; 32],
        keys: &WriterKeys,
        prefix: &[u8; PREFIX_LEN],
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEYS);
        hasher
            .update(shared)
            .update(&keys.writer_secret)
            .update(ephemeral_public)
            .update(&keys.sealing_public)
            .update(keys.archive.as_bytes())
            .update(prefix);
        let mut output = hasher.finalize_xof();
        let mut secrets = Self {
            key: Zeroizing::new([0; 32]),
            commitment: [0; 32],
        };
        output.fill(&mut *secrets.key);
        output.fill(&mut secrets.commitment);
        secrets
    }
}
