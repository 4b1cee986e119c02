//! What a node decides: which shape a stripe gets, which host keeps which shard, when to dial, to lease, to send, to accept; and when
//! a backup may be called safe.
//!
//! Pure and deterministic: facts and a time go in, effects come out. No clock, no disk, no socket, no thread, no entropy but a
//! generator seeded by the caller; shard bytes never enter. The same inputs and the same seed give the same effects, byte for byte, as
//! long as the major version of the generator's package stays the same.
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

pub mod audits;
pub mod boundary;
pub mod capacity;
mod circle;
pub mod durability;
mod engine;
pub mod exposure;
pub mod fairness;
pub mod history;
mod host;
pub mod leases;
mod levelling;
mod link;
mod matching;
pub mod offers;
mod outbox;
mod owner;
pub mod placement;
pub mod presence;
pub mod record;
pub mod repair;
pub mod rules;
pub mod sources;
pub mod stewards;
pub mod targets;

pub use nuthatch_erasure::{Scheme, ShardIndex};

pub use engine::{Engine, Load, MemberView};
pub use owner::OwnerLoad;
