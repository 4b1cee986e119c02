//! Reed-Solomon coding of packs: `data` shards that are the pack cut in pieces, and `parity` shards computed from them.
//!
//! Any `data` of the `data + parity` shards give the pack back. The code is systematic: a byte range of the pack is a byte range of
//! some data shards ([`geometry`]), so reading decodes only when a data shard is missing. Field and matrix (GF(2⁸) with the polynomial
//! x⁸+x⁴+x³+x²+1, a Vandermonde matrix made systematic) are part of the archive format and never change.
//!
//! Pure: bytes in, bytes out. It never checks that a shard is the right one; whoever brings shards has verified their hashes.
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod coder;
pub mod geometry;
#[cfg(test)]
mod reference;
mod scheme;

pub use coder::{CODERS_MAX, Coder, ReconstructError, coder};
pub use scheme::{SHARDS_MAX, Scheme, SchemeError, ShardIndex};
