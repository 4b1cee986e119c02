//! X25519: the key that writers seal to and readers open with. Raw agreement only; what is made of it, its callers derive.

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// An X25519 secret: of an archive (what is sealed to it, readers open), of a device, or of one sealed object.
#[derive(Clone)]
pub struct SealingSecret(StaticSecret);

/// The other side's public key is one with which everybody agrees on the same secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the public key is of small order")]
pub struct AgreementError;

impl SealingSecret {
    /// The secret with these bytes; any 32 bytes are one (RFC 7748, section 5, clamps them on use).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// Its bytes; keep them secret.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// The shared secret with the holder of a public key. Refuses keys that make it all zero.
    pub fn agree(&self, public: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, AgreementError> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*public));
        if shared.was_contributory() {
            Ok(Zeroizing::new(shared.to_bytes()))
        } else {
            Err(AgreementError)
        }
    }
}

impl std::fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let public = self.public();
        let short = public.get(..4).unwrap_or(&public);
        write!(f, "SealingSecret({})", data_encoding::HEXLOWER.encode(short))
    }
}
