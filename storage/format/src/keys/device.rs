//! A device's own keys: one to sign labels and segments, one to receive later epochs' keys. Neither derives from the phrase.

use minicbor::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::SealingSecret;
use crate::codec::{Canonical, Suite, Version};
use crate::id::DeviceId;
use crate::signed::KeyPair;

/// Longest name of a device, a slot or a node, in bytes.
pub const DEVICE_NAME_LEN_MAX: usize = 64;

/// Why a name can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing in it.
    #[error("a name can't be empty")]
    Empty,
    /// Longer than [`DEVICE_NAME_LEN_MAX`].
    #[error("a name has at most {DEVICE_NAME_LEN_MAX} bytes, not {found}")]
    TooLong {
        /// Bytes given.
        found: usize,
    },
    /// Control characters could rewrite the terminals that show it.
    #[error("a name can't have control characters")]
    Control,
}

/// Whether a text can name a device, a slot or a node: 1 to 64 bytes without control characters.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        Err(NameError::Empty)
    } else if name.len() > DEVICE_NAME_LEN_MAX {
        Err(NameError::TooLong { found: name.len() })
    } else if name.chars().any(char::is_control) {
        Err(NameError::Control)
    } else {
        Ok(())
    }
}

/// The keys of one device, kept in its home. Encoded with [`crate::codec::encode_secret`].
#[derive(Debug, Clone)]
pub struct DeviceKeys {
    /// Signs labels, segments and claims. Its public half is the device's id.
    pub signing: KeyPair,
    /// Receives the writer keys of later epochs.
    pub exchange: SealingSecret,
    name: String,
}

impl DeviceKeys {
    /// A new device from 64 random bytes.
    pub fn generate(entropy: &[u8; 64], name: &str) -> Result<Self, NameError> {
        check_name(name)?;
        let (first, second) = entropy.split_at(32);
        let mut halves = [[0_u8; 32]; 2];
        halves[0].copy_from_slice(first);
        halves[1].copy_from_slice(second);
        let keys = Self {
            signing: KeyPair::from_seed(&halves[0]),
            exchange: SealingSecret::from_bytes(halves[1]),
            name: name.to_owned(),
        };
        halves.zeroize();
        Ok(keys)
    }

    /// The device's id.
    pub fn id(&self) -> DeviceId {
        DeviceId::from_bytes(self.signing.public())
    }

    /// What its owner calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Public half of the exchange key (X25519).
    pub fn exchange_public(&self) -> [u8; 32] {
        self.exchange.public()
    }

    fn stored(&self) -> Stored {
        Stored {
            version: Version,
            suite: Suite,
            signing: *self.signing.seed(),
            exchange: *self.exchange.to_bytes(),
            name: self.name.clone(),
        }
    }
}

#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    #[zeroize(skip)]
    version: Version,
    #[n(1)]
    #[zeroize(skip)]
    suite: Suite,
    #[cbor(n(2), with = "minicbor::bytes")]
    signing: [u8; 32],
    #[cbor(n(3), with = "minicbor::bytes")]
    exchange: [u8; 32],
    #[n(4)]
    name: String,
}

impl<C> Encode<C> for DeviceKeys {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.stored().encode(e, context)
    }
}

impl<'b, C> Decode<'b, C> for DeviceKeys {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let stored = Stored::decode(d, context)?;
        Ok(Self {
            signing: KeyPair::from_seed(&stored.signing),
            exchange: SealingSecret::from_bytes(stored.exchange),
            name: stored.name.clone(),
        })
    }
}

impl Canonical for DeviceKeys {
    const WHAT: &'static str = "device keys";
    const LEN_MAX: usize = 256;
    const VERSIONED: bool = true;

    fn check(&self) -> Result<(), &'static str> {
        check_name(&self.name).map_err(|_| "the device's name is empty, too long or has control characters")
    }
}
