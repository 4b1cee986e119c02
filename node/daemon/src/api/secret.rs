//! A text that must not be seen: a passphrase, a phrase, a key in hexadecimal. Wiped when dropped, never printed.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text. `Debug` prints its length only; it is wiped from memory when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text as secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The bytes, written as hexadecimal.
    pub fn from_key(bytes: &[u8]) -> Self {
        Self(data_encoding::HEXLOWER.encode(bytes))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The bytes that the text says in hexadecimal, or `None` when it is not hexadecimal.
    pub fn expose_key(&self) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        data_encoding::HEXLOWER
            .decode(self.0.as_bytes())
            .ok()
            .map(zeroize::Zeroizing::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
