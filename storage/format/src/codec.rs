//! How objects become bytes: CBOR with integer keys, in the one form that our encoder writes.
//!
//! Decoding takes bytes from anybody. It checks the length bound first, then decodes, then encodes the result again and compares:
//! whatever is not byte for byte our own encoding (unknown keys, long integers, indefinite lengths, trailing bytes) is refused.
//! Memory is bounded by a small multiple of the input, since collections grow with the items that are really there.

use minicbor::{Decode, Encode};

/// An object with a canonical encoding and a hard maximum.
pub trait Canonical: Encode<()> + for<'b> Decode<'b, ()> {
    /// Name for error messages.
    const WHAT: &'static str;
    /// Longest encoding that is accepted, in bytes.
    const LEN_MAX: usize;
}

/// Why bytes are not an object of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason} (at byte {at})")]
pub struct DecodeError {
    /// What was being decoded.
    pub what: &'static str,
    /// Offset of the first byte that is wrong, as near as can be told.
    pub at: usize,
    /// What is wrong with it.
    pub reason: DecodeReason,
}

/// What is wrong with bytes that should be an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeReason {
    /// Longer than this kind of object may be.
    #[error("{found} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes given.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// Shorter than this kind of object must be.
    #[error("ends too early")]
    Truncated,
    /// Not CBOR, or not of the right shape.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Decodes, but is not what our encoder writes.
    #[error("not in canonical form")]
    NotCanonical,
    /// A format version newer than this program.
    #[error("version {found} is newer than this program, which knows {known}: update it")]
    Version {
        /// Version in the bytes.
        found: u16,
        /// Newest version known here.
        known: u16,
    },
    /// A cipher suite that this program does not know.
    #[error("cipher suite {0} is not known to this program: update it")]
    Suite(u16),
    /// Well-formed, but says something impossible.
    #[error("{0}")]
    Invalid(&'static str),
}

impl DecodeError {
    /// An object that is well-formed but says something impossible, with the offset where it stands.
    pub fn invalid(what: &'static str, at: usize, reason: &'static str) -> Self {
        Self {
            what,
            at,
            reason: DecodeReason::Invalid(reason),
        }
    }
}

/// The canonical encoding.
pub fn encode<T: Canonical>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    match minicbor::encode(value, &mut bytes) {
        Ok(()) => bytes,
        Err(error) => unreachable!("writing to memory cannot fail: {error}"),
    }
}

/// The object that these bytes are the canonical encoding of.
pub fn decode<T: Canonical>(bytes: &[u8]) -> Result<T, DecodeError> {
    let fail = |at, reason| DecodeError {
        what: T::WHAT,
        at,
        reason,
    };
    if bytes.len() > T::LEN_MAX {
        return Err(fail(
            T::LEN_MAX,
            DecodeReason::TooLong {
                found: bytes.len(),
                max: T::LEN_MAX,
            },
        ));
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|error| {
        let at = error.position().unwrap_or_else(|| decoder.position());
        if error.is_end_of_input() {
            fail(bytes.len(), DecodeReason::Truncated)
        } else {
            fail(at, DecodeReason::Malformed(error.to_string()))
        }
    })?;
    let again = encode(&value);
    if again != bytes {
        let at = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(fail(at, DecodeReason::NotCanonical));
    }
    Ok(value)
}
