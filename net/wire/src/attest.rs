//! Signed objects with their type: who signs, for what, in which scope. Nothing in one can be read before its signature has held.
//!
//! Every body names its signer and its scope, so the signature can be checked from the object alone; whether that signer *may* say
//! it is decided by whoever reads it. Exact bytes are kept: an object is passed on as it came.

use std::fmt;
use std::marker::PhantomData;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use nuthatch_format::codec::{self, Canonical, DecodeError, Suite, Version};
use nuthatch_format::signed::{Context, KeyPair, SignatureError, Signed};

/// The body of a signed object.
pub trait Attested: Canonical {
    /// What kind of object the signature is for.
    const CONTEXT: Context;

    /// The archive or circle that it belongs to.
    fn scope(&self) -> &[u8; 32];

    /// The Ed25519 public key that must have signed it.
    fn signer(&self) -> &[u8; 32];
}

/// What is signed: the version and suite that the body is written in, and the body.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Versioned<T> {
    #[n(0)]
    version: Version,
    #[n(1)]
    suite: Suite,
    #[n(2)]
    body: T,
}

/// Bytes that version and suite add to a body.
pub(crate) const VERSIONED_LEN: usize = 16;

impl<T: Canonical> Canonical for Versioned<T> {
    const WHAT: &'static str = T::WHAT;
    const LEN_MAX: usize = T::LEN_MAX + VERSIONED_LEN;
    const VERSIONED: bool = true;

    fn check(&self) -> Result<(), &'static str> {
        self.body.check()
    }
}

/// A signed object in its exact bytes, not believed yet.
pub struct Attestation<T> {
    signed: Signed,
    body: PhantomData<fn() -> T>,
}

/// Why a signed object is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The bytes are not such an object.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The key that is to sign it is not the one that it names.
    #[error("this object names another signer")]
    OtherSigner,
    /// The signature is not by the signer that it names.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl<T: Attested> Attestation<T> {
    /// Signs a body. The key must be the one that the body names.
    pub fn sign(body: &T, key: &KeyPair) -> Result<Self, AttestError> {
        if key.public() != *body.signer() {
            return Err(AttestError::OtherSigner);
        }
        let versioned = Versioned {
            version: Version,
            suite: Suite,
            body,
        };
        let mut bytes = Vec::new();
        match minicbor::encode(&versioned, &mut bytes) {
            Ok(()) => (),
            Err(error) => unreachable!("writing to memory cannot fail: {error}"),
        }
        Ok(Self {
            signed: key.sign(T::CONTEXT, body.scope(), bytes),
            body: PhantomData,
        })
    }

    /// The body, after its signature by the signer that it names has been checked.
    pub fn open(&self) -> Result<T, AttestError> {
        let Versioned { body, .. } = codec::decode::<Versioned<T>>(&self.signed.body)?;
        self.signed.verify(body.signer(), T::CONTEXT, body.scope())?;
        Ok(body)
    }

    /// Its canonical encoding: what is stored and passed on.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(&self.signed)
    }

    /// The object with this encoding; still to be opened.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let signed: Signed = codec::decode(bytes)?;
        Ok(Self {
            signed,
            body: PhantomData,
        })
    }
}

impl<T> Clone for Attestation<T> {
    fn clone(&self) -> Self {
        Self {
            signed: self.signed.clone(),
            body: PhantomData,
        }
    }
}

impl<T> PartialEq for Attestation<T> {
    fn eq(&self, other: &Self) -> bool {
        self.signed == other.signed
    }
}

impl<T> Eq for Attestation<T> {}

impl<T: Attested> fmt::Debug for Attestation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed {} of {} bytes", T::WHAT, self.signed.body.len())
    }
}

impl<C, T> Encode<C> for Attestation<T> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.signed.encode(e, ctx)
    }
}

impl<'b, C, T: Attested> Decode<'b, C> for Attestation<T> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let signed = Signed::decode(d, ctx)?;
        if signed.body.len() > Versioned::<T>::LEN_MAX {
            return Err(decode::Error::message(format!("{} over {} bytes", T::WHAT, T::LEN_MAX)).at(at));
        }
        Ok(Self {
            signed,
            body: PhantomData,
        })
    }
}

/// Thirty-two random bytes, chosen by whoever wants a fresh answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Nonce(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// A BLAKE3 hash that names no object of its own type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Digest(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce")
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Digest({})",
            data_encoding::HEXLOWER.encode(self.0.get(..4).unwrap_or(&[]))
        )
    }
}
