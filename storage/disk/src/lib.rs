//! Everything of Nuthatch that is on a disk: the home, the vault, journals, staging, the catalogue, and both ends of a backup,
//! the tree that is read and the tree that is restored.
//!
//! All calls block; the handles are `Send + Sync` and lock inside. It touches and never decides: which shard to keep, whom to
//! believe and what to forget are the callers' verdicts. What it acknowledges is synced. Every index here is a cache of files or of
//! journals: a damaged one is thrown away and built again.

pub mod atomic;
pub mod catalogue;
pub mod file_cache;
#[cfg(test)]
mod fixtures;
pub mod home;
pub mod index;
pub mod owners;
mod page_cache;
pub mod records;
pub mod segment_store;
pub mod source;
pub mod staging;
pub mod target;
pub mod vault;

pub use atomic::FileError;
pub use index::IndexError;
