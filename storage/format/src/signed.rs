//! Signatures: exact bytes, signed once, stored and passed on as they are, never encoded again.
//!
//! A signature covers `context ‖ 0x00 ‖ suite (u16, little-endian) ‖ scope (32 bytes) ‖ body`. The context says what kind of object it
//! is, the scope is the archive or circle that it belongs to: a signature can't be moved to another kind or another archive.
//! Verification is Ed25519 *strict* (no small-order keys, no malleable signatures).

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::codec::Canonical;

/// Suite 1: X25519, BLAKE3, ChaCha20-Poly1305, Ed25519 (strict).
pub const SUITE: u16 = 1;

/// What kind of object a signature is for. The texts are part of the format and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A statement, by the archive key (`keep` also by a device).
    Statement,
    /// A label, by a device.
    Label,
    /// A journal segment, by a device.
    Segment,
    /// A receipt for a shard or a segment, by a host's node key.
    Receipt,
    /// A lease, by a host's node key.
    Lease,
    /// An inventory root, by a host's node key.
    Inventory,
    /// A claim, by a device.
    Claim,
    /// A circle's charter, by the circle key.
    Charter,
    /// An invitation, by an admin's node key.
    Invitation,
    /// A joiner's proof, by the invitation's secret.
    JoinProof,
    /// An admission, by a member's node key.
    Admission,
    /// A removal from a circle, by the circle key or an admin's node key.
    Removal,
    /// A node's current addresses, by its node key.
    Addresses,
}

impl Context {
    /// The text that is signed.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Statement => "nuthatch statement v1",
            Self::Label => "nuthatch label v1",
            Self::Segment => "nuthatch segment v1",
            Self::Receipt => "nuthatch receipt v1",
            Self::Lease => "nuthatch lease v1",
            Self::Inventory => "nuthatch inventory v1",
            Self::Claim => "nuthatch claim v1",
            Self::Charter => "nuthatch charter v1",
            Self::Invitation => "nuthatch invitation v1",
            Self::JoinProof => "nuthatch join proof v1",
            Self::Admission => "nuthatch admission v1",
            Self::Removal => "nuthatch removal v1",
            Self::Addresses => "nuthatch addresses v1",
        }
    }
}

/// An Ed25519 key pair of an archive, a device, a node, a circle or an invitation. Prints nothing of its secret.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl KeyPair {
    /// The pair with this 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed; keep it secret.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs exact bytes for one context and scope.
    pub fn sign(&self, context: Context, scope: &[u8; 32], body: Vec<u8>) -> Signed {
        let signature = self.0.sign(&message(context, scope, &body)).to_bytes();
        Signed {
            body: body.into(),
            signature: signature.into(),
        }
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let public = self.public();
        write!(
            f,
            "KeyPair({})",
            data_encoding::HEXLOWER.encode(public.get(..4).unwrap_or(&public))
        )
    }
}

/// Bytes and a signature over them. Nothing in `body` may be believed before [`Signed::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Signed {
    /// The exact bytes that were signed.
    #[n(0)]
    pub body: ByteVec,
    /// Ed25519 signature.
    #[n(1)]
    pub signature: ByteArray<64>,
}

impl Canonical for Signed {
    const WHAT: &'static str = "signed object";
    /// The largest signed object is a journal segment (see `journal::SEGMENT_LEN_MAX`).
    const LEN_MAX: usize = 4 * 1024 * 1024 + 128;
}

/// A signature is not by that key over those bytes in that context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match")]
pub struct SignatureError;

impl Signed {
    /// Checks the signature by a public key.
    pub fn verify(
        &self,
        public: &[u8; 32],
        context: Context,
        scope: &[u8; 32],
    ) -> Result<(), SignatureError> {
        let key = VerifyingKey::from_bytes(public).map_err(|_| SignatureError)?;
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(&message(context, scope, &self.body), &signature)
            .map_err(|_| SignatureError)
    }
}

fn message(context: Context, scope: &[u8; 32], body: &[u8]) -> Vec<u8> {
    let text = context.text().as_bytes();
    let mut message = Vec::with_capacity(text.len() + 3 + scope.len() + body.len());
    message.extend_from_slice(text);
    message.push(0);
    message.extend_from_slice(&SUITE.to_le_bytes());
    message.extend_from_slice(scope);
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_signature_holds_only_for_its_context_scope_and_bytes() {
        let pair = KeyPair::from_seed(&[7; 32]);
        let signed = pair.sign(Context::Label, &[1; 32], b"hello".to_vec());
        assert_eq!(signed.verify(&pair.public(), Context::Label, &[1; 32]), Ok(()));
        assert_eq!(
            signed.verify(&pair.public(), Context::Segment, &[1; 32]),
            Err(SignatureError)
        );
        assert_eq!(
            signed.verify(&pair.public(), Context::Label, &[2; 32]),
            Err(SignatureError)
        );
        assert_eq!(
            signed.verify(&KeyPair::from_seed(&[8; 32]).public(), Context::Label, &[1; 32]),
            Err(SignatureError)
        );
        let mut other = signed.clone();
        other.body = b"hellp".to_vec().into();
        assert_eq!(
            other.verify(&pair.public(), Context::Label, &[1; 32]),
            Err(SignatureError)
        );
    }

    #[test]
    fn a_second_encoding_is_refused() {
        let pair = KeyPair::from_seed(&[7; 32]);
        let signed = pair.sign(Context::Label, &[1; 32], b"hello".to_vec());
        let bytes = codec::encode(&signed);
        assert_eq!(codec::decode::<Signed>(&bytes), Ok(signed));
        for end in 0..bytes.len() {
            assert!(codec::decode::<Signed>(&bytes[..end]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(codec::decode::<Signed>(&longer).is_err());
        // The same map with an indefinite length.
        let mut indefinite = vec![0xbf];
        indefinite.extend_from_slice(&bytes[1..]);
        indefinite.push(0xff);
        assert!(codec::decode::<Signed>(&indefinite).is_err());
    }
}
