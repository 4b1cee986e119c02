//! What Nuthatch's bytes at rest look like, sealed and signed: keys, chunks, packs, stripes, trees, snapshots, journals, statements.
//!
//! Pure: bytes and keys in, values out. No clock, no entropy, no disk, no thread; randomness is an argument.
//! Every layout here is specified in `docs/FORMAT.md`.
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

pub mod chunker;
pub mod codec;
pub mod content;
mod envelope;
pub mod id;
pub mod journal;
pub mod keys;
pub mod label;
pub mod open;
pub mod pack;
pub mod padding;
pub mod seal;
pub mod section;
pub mod signed;
pub mod siv;
pub mod slice;
pub mod slot;
pub mod snapshot;
pub mod statement;
pub mod tree;
pub mod units;

pub use id::{
    ArchiveId, ChunkId, CircleId, DeviceId, LabelId, LineId, NodeId, PackId, SegmentId, ShardId, SnapshotId,
    StatementId,
};
pub use units::{ByteCount, Epoch, Span, Timestamp};
