//! A key slot: the owner's secrets on a device, wrapped under a passphrase. Slots stay on the device; hosts never see one.
//!
//! ```text
//! argon     = Argon2id version 1.3 (passphrase, salt, memory, passes, lanes) → 64 bytes: key (32) ‖ commitment (32)
//! sealed    = ChaCha20-Poly1305(key, nonce 0, associated data = the slot's encoding with `sealed` and `digest` empty, owner's secrets) ‖ tag
//! digest    = BLAKE3 of the slot's encoding with `digest` empty
//! ```
//!
//! A slot opens under one passphrase only (the commitment), and damage is told from a wrong passphrase (the digest). Its cost is written in
//! it and bounded when it is read: a planted slot can't use up the memory of the machine. This file draws no salt.

use argon2::{Algorithm, Argon2, Params, Version as ArgonVersion};
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::codec::{self, Canonical, Suite, Version};
use crate::id::ArchiveId;
use crate::keys::{NameError, OwnerSecrets, check_name};

/// Most memory that opening a slot may take, in KiB: 1 GiB.
pub const SLOT_MEMORY_MAX_KIB: u32 = 1024 * 1024;
/// Most passes over that memory.
pub const SLOT_PASSES_MAX: u32 = 32;
/// Most lanes.
pub const SLOT_LANES_MAX: u32 = 16;

const TAG_LEN: usize = 16;
const SEALED_LEN: usize = OwnerSecrets::LEN + TAG_LEN;

/// What guessing a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SlotParams {
    /// Memory in KiB, at least 8 a lane, at most [`SLOT_MEMORY_MAX_KIB`].
    #[n(0)]
    memory_kib: u32,
    /// Passes over the memory, `1..=SLOT_PASSES_MAX`.
    #[n(1)]
    passes: u32,
    /// Lanes, `1..=SLOT_LANES_MAX`.
    #[n(2)]
    lanes: u32,
}

/// Parameters out of their bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key slot of {memory_kib} KiB, {passes} passes and {lanes} lanes is out of bounds")]
pub struct SlotParamsError {
    /// Memory asked for.
    pub memory_kib: u32,
    /// Passes asked for.
    pub passes: u32,
    /// Lanes asked for.
    pub lanes: u32,
}

impl SlotParams {
    /// 64 MiB, 3 passes, one lane: the second recommended option of RFC 9106 (section 4) on one lane; a seventh of a second here.
    pub const DEFAULT: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// Parameters within the bounds.
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, SlotParamsError> {
        if lanes >= 1
            && lanes <= SLOT_LANES_MAX
            && passes >= 1
            && passes <= SLOT_PASSES_MAX
            && memory_kib >= 8 * lanes
            && memory_kib <= SLOT_MEMORY_MAX_KIB
        {
            Ok(Self {
                memory_kib,
                passes,
                lanes,
            })
        } else {
            Err(SlotParamsError {
                memory_kib,
                passes,
                lanes,
            })
        }
    }
}

/// The owner's secrets under a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeySlot {
    #[n(0)]
    version: Version,
    #[n(1)]
    suite: Suite,
    #[n(2)]
    archive: ArchiveId,
    #[n(3)]
    name: String,
    #[cbor(n(4), with = "minicbor::bytes")]
    salt: [u8; 32],
    #[n(5)]
    params: SlotParams,
    #[cbor(n(6), with = "minicbor::bytes")]
    commitment: [u8; 32],
    #[cbor(n(7), with = "minicbor::bytes")]
    sealed: Vec<u8>,
    #[cbor(n(8), with = "minicbor::bytes")]
    digest: Vec<u8>,
}

/// Why secrets can't be wrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The slot's name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Argon2 can't work with this passphrase or memory.
    #[error("the passphrase can't be stretched: {0}")]
    Stretch(argon2::Error),
}

/// Why a slot does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Not this passphrase.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The slot was changed, or was never one.
    #[error("the key slot is damaged")]
    Damaged,
    /// Argon2 can't work with this passphrase or memory.
    #[error("the passphrase can't be stretched: {0}")]
    Stretch(argon2::Error),
}

impl KeySlot {
    /// Wraps the owner's secrets; the salt is 32 random bytes, new for every slot.
    pub fn wrap(
        secrets: &OwnerSecrets,
        passphrase: &[u8],
        name: &str,
        salt: [u8; 32],
        params: SlotParams,
    ) -> Result<Self, WrapError> {
        check_name(name)?;
        let stretched = Stretched::new(passphrase, &salt, params).map_err(WrapError::Stretch)?;
        let mut slot = Self {
            version: Version,
            suite: Suite,
            archive: secrets.archive_id(),
            name: name.to_owned(),
            salt,
            params,
            commitment: stretched.commitment,
            sealed: Vec::new(),
            digest: Vec::new(),
        };
        let header = codec::encode(&slot);
        let mut sealed = Vec::with_capacity(SEALED_LEN);
        sealed.extend_from_slice(secrets.to_bytes().as_slice());
        let tag = match stretched.cipher().encrypt_inout_detached(
            &Nonce::default(),
            &header,
            sealed.as_mut_slice().into(),
        ) {
            Ok(tag) => tag,
            Err(error) => unreachable!("secrets are far shorter than the cipher's limit: {error}"),
        };
        sealed.extend_from_slice(&tag);
        slot.sealed = sealed;
        slot.digest = slot.computed_digest();
        Ok(slot)
    }

    /// Unwraps them.
    pub fn open(&self, passphrase: &[u8]) -> Result<OwnerSecrets, SlotError> {
        let stretched = Stretched::new(passphrase, &self.salt, self.params).map_err(SlotError::Stretch)?;
        if !bool::from(stretched.commitment.ct_eq(&self.commitment)) {
            return Err(SlotError::WrongPassphrase);
        }
        let header = codec::encode(&Self {
            sealed: Vec::new(),
            digest: Vec::new(),
            ..self.clone()
        });
        let (sealed, tag) = self
            .sealed
            .split_at_checked(OwnerSecrets::LEN)
            .ok_or(SlotError::Damaged)?;
        let tag = Tag::try_from(tag).map_err(|_| SlotError::Damaged)?;
        let mut bytes = Zeroizing::new([0; OwnerSecrets::LEN]);
        bytes.copy_from_slice(sealed);
        stretched
            .cipher()
            .decrypt_inout_detached(&Nonce::default(), &header, bytes.as_mut_slice().into(), &tag)
            .map_err(|_| SlotError::Damaged)?;
        let secrets = OwnerSecrets::from_bytes(&bytes);
        if secrets.archive_id() == self.archive {
            Ok(secrets)
        } else {
            Err(SlotError::Damaged)
        }
    }

    /// The archive whose secrets it holds.
    pub fn archive(&self) -> ArchiveId {
        self.archive
    }

    /// What its owner calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What opening it costs.
    pub fn params(&self) -> SlotParams {
        self.params
    }

    fn computed_digest(&self) -> Vec<u8> {
        let undigested = Self {
            digest: Vec::new(),
            ..self.clone()
        };
        blake3::hash(&codec::encode(&undigested)).as_bytes().to_vec()
    }
}

impl Canonical for KeySlot {
    const WHAT: &'static str = "key slot";
    const LEN_MAX: usize = 512;
    const VERSIONED: bool = true;

    fn check(&self) -> Result<(), &'static str> {
        let SlotParams {
            memory_kib,
            passes,
            lanes,
        } = self.params;
        if SlotParams::new(memory_kib, passes, lanes).is_err() {
            Err("memory, passes or lanes out of bounds")
        } else if check_name(&self.name).is_err() {
            Err("a name that is empty, too long or has control characters")
        } else if self.sealed.len() != SEALED_LEN {
            Err("sealed secrets of the wrong length")
        } else if self.digest != self.computed_digest() {
            Err("damaged")
        } else {
            Ok(())
        }
    }
}

struct Stretched {
    key: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}

impl Stretched {
    fn new(passphrase: &[u8], salt: &[u8; 32], params: SlotParams) -> Result<Self, argon2::Error> {
        let mut output = Zeroizing::new([0; 64]);
        let params = Params::new(params.memory_kib, params.passes, params.lanes, Some(output.len()))?;
        Argon2::new(Algorithm::Argon2id, ArgonVersion::V0x13, params).hash_password_into(
            passphrase,
            salt,
            output.as_mut_slice(),
        )?;
        let mut stretched = Self {
            key: Zeroizing::new([0; 32]),
            commitment: [0; 32],
        };
        stretched.key.copy_from_slice(&output[..32]);
        stretched.commitment.copy_from_slice(&output[32..]);
        Ok(stretched)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }
}

#[cfg(test)]
mod tests;
