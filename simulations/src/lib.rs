//! The shipped engine in a simulated world: many nodes, virtual time, a network that fails, machines that crash. Every run is a function
//! of its scenario and its seed, and the invariants are checked after every step.
//!
//! Nothing here decides for a node: it performs effects as the daemon would, and as badly as the world sometimes does.
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

pub mod catalogue;
pub mod checkers;
pub mod durability;
mod exchanges;
pub mod faults;
pub mod network;
pub mod node;
pub mod scenario;
pub mod trace;
pub mod vaults;
pub mod world;
