//! Names of things: fixed-length ids, one type for each kind, so that one can never stand in for another.
//!
//! An id is a public key (`ArchiveId`, `DeviceId`, `NodeId`, `CircleId`), a BLAKE3 hash of exact bytes (`PackId`, `ShardId`,
//! `LabelId`, `SegmentId`, `SnapshotId`, `StatementId`), a keyed hash (`ChunkId`) or a hash of a device and a nonce (`LineId`).
//! This file only names; it never checks that a key or a hash is what it claims.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text is not hexadecimal.
    #[error("an id is written in hexadecimal digits")]
    NotHex,
    /// The text has the wrong number of digits.
    #[error("this id has {expected} hexadecimal digits, not {found}")]
    Length {
        /// Digits that this kind of id has.
        expected: usize,
        /// Digits that were given.
        found: usize,
    },
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The id with these bytes, or `None` when there are not exactly `LEN` of them.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                <[u8; $len]>::try_from(bytes).ok().map(Self)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first eight hexadecimal digits: for people, never for look-ups.
            pub fn short(&self) -> String {
                data_encoding::HEXLOWER.encode(self.0.get(..4).unwrap_or(&self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ParseIdError::NotHex)?;
                Self::from_slice(&bytes)
                    .ok_or(ParseIdError::Length { expected: 2 * $len, found: text.len() })
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                Self::from_slice(d.bytes()?)
                    .ok_or_else(|| decode::Error::message(concat!(stringify!($name), " of the wrong length")).at(at))
            }
        }
    };
}

id!(
    /// An archive: the public half of its Ed25519 signing key.
    ArchiveId, 32
);
id!(
    /// A device of an archive: its Ed25519 public key.
    DeviceId, 32
);
id!(
    /// A node of the network: its Ed25519 public key, the same that its libp2p `PeerId` holds.
    NodeId, 32
);
id!(
    /// A circle: its Ed25519 public key.
    CircleId, 32
);
id!(
    /// A chunk: keyed BLAKE3 of its plaintext under the archive's chunk-id key.
    ChunkId, 32
);
id!(
    /// A pack: BLAKE3 of all its bytes.
    PackId, 32
);
id!(
    /// A shard: BLAKE3 of all its bytes.
    ShardId, 32
);
id!(
    /// A label: BLAKE3 of its signed encoding.
    LabelId, 32
);
id!(
    /// A journal segment: BLAKE3 of its signed encoding.
    SegmentId, 32
);
id!(
    /// A snapshot: BLAKE3 of its sealed bytes.
    SnapshotId, 32
);
id!(
    /// A statement: BLAKE3 of its signed encoding.
    StatementId, 32
);
id!(
    /// A line of an archive's journal: a hash of the device that begins it and of a nonce.
    LineId, 16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_is_the_same_id() {
        let id = PackId::from_bytes([0xab; 32]);
        assert_eq!(id.to_string().parse::<PackId>(), Ok(id));
        assert_eq!(format!("{id:?}"), "PackId(abababab)");
        assert_eq!("zz".parse::<PackId>(), Err(ParseIdError::NotHex));
        assert_eq!(
            "abcd".parse::<PackId>(),
            Err(ParseIdError::Length {
                expected: 64,
                found: 4
            })
        );
    }
}
