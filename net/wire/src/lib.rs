//! Everything that nodes say to each other: messages, frames, signed promises, and who belongs to a circle.
//!
//! Pure: bytes and facts in, values out. No socket, no clock, no entropy: `now` and nonces are arguments. What comes from a peer is
//! believed only after its signature, and its right to say it, have been checked here; acting on it is the node's business.
//! Every message and sequence is specified in `docs/PROTOCOL.md`.
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod attest;
pub mod audit;
pub mod bounded;
pub mod bulk;
pub mod challenge;
pub mod claim;
#[cfg(test)]
mod hostile;
pub mod inventory;
pub mod lease;
pub mod ledger;
pub mod membership;
pub mod message;
pub mod protocol;
pub mod receipt;

pub use attest::{Attestation, Attested, Digest, Nonce};
pub use bounded::{List, Opaque, OutOfBounds, Text};
pub use nuthatch_erasure::ShardIndex;
