//! How objects become bytes: CBOR with integer keys, in the one form that our encoder writes.
//!
//! Decoding takes bytes from anybody. It checks the length bound first, then decodes, then encodes the result again and compares:
//! whatever is not byte for byte our own encoding (unknown keys, long integers, indefinite lengths, trailing bytes) is refused.
//! Memory is bounded by a small multiple of the input, since collections grow with the items that are really there.

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};
use zeroize::Zeroizing;

use crate::signed::SUITE;

/// The version of every layout in this crate, and the only one that is read: 1 is the first that was released.
pub const FORMAT_VERSION: u16 = 1;

/// An object with a canonical encoding and a hard maximum.
pub trait Canonical: Encode<()> + for<'b> Decode<'b, ()> {
    /// Name for error messages.
    const WHAT: &'static str;
    /// Longest encoding that is accepted, in bytes.
    const LEN_MAX: usize;
    /// Whether the encoding is a map that begins with `0:` [`Version`] and `1:` [`Suite`], so that a newer one is told from damage.
    const VERSIONED: bool = false;

    /// What a well-formed object must satisfy besides; the error says what is impossible about it.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// The first field of a versioned object: always encodes [`FORMAT_VERSION`], decodes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version;

/// The second field of a versioned object: always encodes [`SUITE`], decodes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Suite;

impl<C> Encode<C> for Version {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u16(FORMAT_VERSION)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Version {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        if d.u16()? == FORMAT_VERSION {
            Ok(Self)
        } else {
            Err(minicbor::decode::Error::message("unknown version").at(at))
        }
    }
}

impl<C> Encode<C> for Suite {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u16(SUITE)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Suite {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        if d.u16()? == SUITE {
            Ok(Self)
        } else {
            Err(minicbor::decode::Error::message("unknown suite").at(at))
        }
    }
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
    /// A format version that this program does not know: a newer one, or 0, which was never released.
    #[error("{}", unknown_version(*found, *known))]
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

/// Only what is newer can be read by updating.
fn unknown_version(found: u16, known: u16) -> String {
    if found > known {
        format!("version {found} is newer than this program, which knows {known}: update it")
    } else {
        format!("version {found} was never released, and is not read")
    }
}

/// The canonical encoding.
pub fn encode<T: Canonical>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_to(value, &mut bytes);
    bytes
}

/// The canonical encoding of something secret: wiped when dropped, and no copy is left behind while it grows.
pub fn encode_secret<T: Canonical>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(T::LEN_MAX));
    encode_to(value, &mut bytes);
    bytes
}

/// Appends the canonical encoding: for what stands behind something else in one buffer.
pub fn encode_to<T: Canonical>(value: &T, bytes: &mut Vec<u8>) {
    match minicbor::encode(value, bytes) {
        Ok(()) => (),
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
    if T::VERSIONED
        && let Some((at, reason)) = foreign(bytes)
    {
        return Err(fail(at, reason));
    }
    let mut decoder = Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|error| {
        let at = error.position().unwrap_or_else(|| decoder.position());
        if error.is_end_of_input() {
            fail(bytes.len(), DecodeReason::Truncated)
        } else {
            fail(at, DecodeReason::Malformed(error.to_string()))
        }
    })?;
    let mut again = Comparison {
        expected: bytes,
        at: 0,
    };
    if minicbor::encode(&value, &mut again).is_err() || again.at != bytes.len() {
        return Err(fail(again.at, DecodeReason::NotCanonical));
    }
    value
        .check()
        .map_err(|reason| fail(0, DecodeReason::Invalid(reason)))?;
    Ok(value)
}

/// Takes an encoding only as long as it repeats the bytes that are expected; keeps no copy, which large or secret objects would have to
/// pay for.
struct Comparison<'a> {
    expected: &'a [u8],
    /// Bytes that were the same.
    at: usize,
}

/// The encoding is another one.
#[derive(Debug)]
struct Differs;

impl Write for Comparison<'_> {
    type Error = Differs;

    fn write_all(&mut self, written: &[u8]) -> Result<(), Differs> {
        let expected = self.expected.get(self.at..).unwrap_or_default();
        if expected.starts_with(written) {
            self.at += written.len();
            return Ok(());
        }
        self.at += written.iter().zip(expected).take_while(|(a, b)| a == b).count();
        Err(Differs)
    }
}

/// The version or suite that makes a versioned object unreadable here, when that is what is wrong with it.
fn foreign(bytes: &[u8]) -> Option<(usize, DecodeReason)> {
    let mut decoder = Decoder::new(bytes);
    decoder.map().ok()?;
    let version = (decoder.u16().ok()? == 0).then(|| decoder.u16().ok())??;
    if version != FORMAT_VERSION {
        return Some((
            2,
            DecodeReason::Version {
                found: version,
                known: FORMAT_VERSION,
            },
        ));
    }
    let at = decoder.position() + 1;
    let suite = (decoder.u16().ok()? == 1).then(|| decoder.u16().ok())??;
    (suite != SUITE).then_some((at, DecodeReason::Suite(suite)))
}
