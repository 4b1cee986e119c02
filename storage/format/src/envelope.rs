//! Short texts sealed to the holder of an X25519 key, deterministically: the same text seals to the same bytes.
//!
//! ```text
//! prefix     = magic (8) ‖ version (u16) ‖ suite (u16) ‖ epoch (u32)                                 numbers are little-endian
//! ephemeral  = derive_key(EPHEMERAL, pack-seed key ‖ BLAKE3(prefix ‖ archive ‖ recipient's public key ‖ plaintext))
//! secrets    = derive_key(KEYS, X25519(ephemeral, recipient) ‖ common secret ‖ ephemeral public ‖ recipient's public key ‖ archive ‖ prefix)
//!              as 64 bytes of extended output: key (32) ‖ commitment (32)
//! sealed     = prefix ‖ ephemeral public (32) ‖ commitment (32) ‖ ChaCha20-Poly1305(key, nonce 0, associated data = all before) ‖ tag
//! ```
//!
//! The hash is never stored. Opening compares the commitment first, so bytes open under one key only. The *common secret* is one that all
//! writers have: it keeps hosts out even if X25519 falls one day.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::codec::{DecodeError, DecodeReason, FORMAT_VERSION};
use crate::id::ArchiveId;
use crate::keys::{AgreementError, SealingSecret};
use crate::signed::SUITE;
use crate::units::Epoch;

const PREFIX_LEN: usize = 16;
const HEADER_LEN: usize = PREFIX_LEN + 64;
const TAG_LEN: usize = 16;

/// Bytes that sealing adds.
pub(crate) const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// One kind of sealed text; no two have anything in common.
pub(crate) struct Kind {
    /// Its first bytes.
    pub(crate) magic: [u8; 8],
    /// Its name for error messages.
    pub(crate) what: &'static str,
    /// Context of the ephemeral secret.
    pub(crate) ephemeral: &'static str,
    /// Context of key and commitment.
    pub(crate) keys: &'static str,
    /// Longest plaintext, in bytes.
    pub(crate) len_max: usize,
}

/// What a text is sealed for, beside the recipient.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) archive: &'a ArchiveId,
    pub(crate) epoch: Epoch,
    pub(crate) common_secret: &'a [u8; 32],
}

/// Why sealed bytes do not open.
pub(crate) enum OpenError {
    /// Not shaped like one of this kind.
    Decode(DecodeError),
    /// Sealed in another epoch.
    Epoch(Epoch),
    /// Damaged, or sealed for somebody else.
    Damaged,
}

impl Kind {
    /// Seals a text to the holder of a public key, and nobody else; `seed_key` is what the ephemeral secret is made with.
    pub(crate) fn seal(
        &self,
        terms: &Terms<'_>,
        recipient: &[u8; 32],
        seed_key: &[u8; 32],
        plain: &[u8],
    ) -> Result<Vec<u8>, AgreementError> {
        let prefix = self.prefix(terms.epoch);
        let content = blake3::Hasher::new()
            .update(&prefix)
            .update(terms.archive.as_bytes())
            .update(recipient)
            .update(plain)
            .finalize();
        let mut hasher = blake3::Hasher::new_derive_key(self.ephemeral);
        hasher.update(seed_key).update(content.as_bytes());
        let ephemeral = SealingSecret::from_bytes(*hasher.finalize().as_bytes());
        let ephemeral_public = ephemeral.public();
        let shared = ephemeral.agree(recipient)?;
        let secrets = self.secrets(terms, &shared, &ephemeral_public, recipient);

        let mut bytes = Vec::with_capacity(plain.len() + OVERHEAD);
        bytes.extend_from_slice(&prefix);
        bytes.extend_from_slice(&ephemeral_public);
        bytes.extend_from_slice(&secrets.commitment);
        bytes.extend_from_slice(plain);
        let (header, body) = bytes.split_at_mut(HEADER_LEN);
        let cipher = ChaCha20Poly1305::new((&*secrets.key).into());
        let tag = match cipher.encrypt_inout_detached(&Nonce::default(), header, body.into()) {
            Ok(tag) => tag,
            Err(error) => unreachable!("these texts are far shorter than the cipher's limit: {error}"),
        };
        bytes.extend_from_slice(&tag);
        Ok(bytes)
    }

    /// The text of sealed bytes.
    pub(crate) fn open(
        &self,
        terms: &Terms<'_>,
        recipient: &SealingSecret,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (header, rest) = self.split(sealed).map_err(OpenError::Decode)?;
        let epoch = Epoch(u32::from_le_bytes([
            header[12], header[13], header[14], header[15],
        ]));
        if epoch != terms.epoch {
            return Err(OpenError::Epoch(epoch));
        }
        let mut ephemeral_public = [0; 32];
        ephemeral_public.copy_from_slice(&header[PREFIX_LEN..PREFIX_LEN + 32]);
        let shared = recipient
            .agree(&ephemeral_public)
            .map_err(|_| OpenError::Damaged)?;
        let secrets = self.secrets(terms, &shared, &ephemeral_public, &recipient.public());
        if !bool::from(secrets.commitment.ct_eq(&header[PREFIX_LEN + 32..])) {
            return Err(OpenError::Damaged);
        }
        let (text, tag) = rest.split_at(rest.len() - TAG_LEN);
        let tag = Tag::try_from(tag).map_err(|_| OpenError::Damaged)?;
        let mut plain = Zeroizing::new(text.to_vec());
        ChaCha20Poly1305::new((&*secrets.key).into())
            .decrypt_inout_detached(&Nonce::default(), header, plain.as_mut_slice().into(), &tag)
            .map_err(|_| OpenError::Damaged)?;
        Ok(plain)
    }

    fn prefix(&self, epoch: Epoch) -> [u8; PREFIX_LEN] {
        let mut prefix = [0; PREFIX_LEN];
        prefix[..8].copy_from_slice(&self.magic);
        prefix[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        prefix[10..12].copy_from_slice(&SUITE.to_le_bytes());
        prefix[12..].copy_from_slice(&epoch.0.to_le_bytes());
        prefix
    }

    fn split<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8; HEADER_LEN], &'a [u8]), DecodeError> {
        let fail = |at, reason| DecodeError {
            what: self.what,
            at,
            reason,
        };
        let max = self.len_max + OVERHEAD;
        if bytes.len() > max {
            let found = bytes.len();
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
        if !header.starts_with(&self.magic) {
            Err(fail(0, DecodeReason::Invalid("begins like something else")))
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

    fn secrets(
        &self,
        terms: &Terms<'_>,
        shared: &[u8; 32],
        ephemeral_public: &[u8; 32],
        recipient: &[u8; 32],
    ) -> Secrets {
        let mut hasher = blake3::Hasher::new_derive_key(self.keys);
        hasher
            .update(shared)
            .update(terms.common_secret)
            .update(ephemeral_public)
            .update(recipient)
            .update(terms.archive.as_bytes())
            .update(&self.prefix(terms.epoch));
        let mut output = hasher.finalize_xof();
        let mut secrets = Secrets {
            key: Zeroizing::new([0; 32]),
            commitment: [0; 32],
        };
        output.fill(&mut *secrets.key);
        output.fill(&mut secrets.commitment);
        secrets
    }
}

struct Secrets {
    key: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}
