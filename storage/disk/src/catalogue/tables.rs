//! The tables of the catalogue and the forms of their keys and rows. Rows are postcard: they never leave this process' disk.

use redb::{TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{ChunkId, LabelId, NodeId};

use crate::index::IndexError;

/// Form of these tables. A catalogue of another form is filled again.
pub(super) const CATALOGUE_VERSION: u64 = 1;

pub(super) type Bytes32 = &'static [u8; 32];

/// Counters.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const META_VERSION: &str = "version";
/// The number that the next pack gets.
pub(super) const META_NEXT_PACK: &str = "next pack";
/// The order that the next stripe or snapshot gets.
pub(super) const META_NEXT_ORDER: &str = "next order";

/// Applied segments.
pub(super) const APPLIED: TableDefinition<Bytes32, ()> = TableDefinition::new("applied");
/// Line to its newest applied segment: device, sequence, segment, packs.
pub(super) const LINES: TableDefinition<&[u8; 16], (Bytes32, u64, Bytes32, u64)> =
    TableDefinition::new("lines");
/// Chunk, pack number and section, to offset in the plain section and length.
pub(super) const CHUNKS: TableDefinition<&[u8; CHUNK_KEY_LEN], (u32, u32)> = TableDefinition::new("chunks");
/// Pack number to [`PackRow`].
pub(super) const PACKS: TableDefinition<u64, &[u8]> = TableDefinition::new("packs");
/// Pack and pack number: one number for each segment that claims to add it.
pub(super) const PACK_NUMBERS: TableDefinition<(Bytes32, u64), ()> = TableDefinition::new("pack numbers");
/// Line, ordinal and pack number; several numbers where a line forked.
pub(super) const ORDINALS: TableDefinition<(&[u8; 16], u64, u64), ()> = TableDefinition::new("ordinals");
/// Packs that no longer count for deduplication.
pub(super) const RETIRED: TableDefinition<Bytes32, ()> = TableDefinition::new("retired");
/// Label to [`StripeRow`].
pub(super) const STRIPES: TableDefinition<Bytes32, &[u8]> = TableDefinition::new("stripes");
/// Pack and order, to the label.
pub(super) const PACK_STRIPES: TableDefinition<(Bytes32, u64), Bytes32> =
    TableDefinition::new("pack stripes");
/// Packs (by their first number) without a stripe, or with a device whose newest lacks a holder.
pub(super) const PENDING: TableDefinition<u64, ()> = TableDefinition::new("pending");
/// Label, index and node, to the time of the receipt.
pub(super) const HOLDERS: TableDefinition<&[u8; HOLDER_KEY_LEN], u64> = TableDefinition::new("holders");
/// Node, label and index.
pub(super) const HOLDINGS: TableDefinition<&[u8; HOLDER_KEY_LEN], ()> = TableDefinition::new("holdings");
/// Node to the time at which its inventory last agreed with what stands here.
pub(super) const HOSTS: TableDefinition<Bytes32, u64> = TableDefinition::new("hosts");
/// Line and node, to the newest sequence that the node has signed for, and when.
pub(super) const JOURNAL_HOSTS: TableDefinition<(&[u8; 16], Bytes32), (u64, u64)> =
    TableDefinition::new("journal hosts");
/// Node to [`AuditRow`].
pub(super) const AUDITS: TableDefinition<Bytes32, &[u8]> = TableDefinition::new("audits");
/// Label, index and node, to the time at which the node failed to prove that it has the shard: its word alone does not count.
pub(super) const DISPROVEN: TableDefinition<&[u8; HOLDER_KEY_LEN], u64> = TableDefinition::new("disproven");
/// Snapshot to [`SnapshotRow`].
pub(super) const SNAPSHOTS: TableDefinition<Bytes32, &[u8]> = TableDefinition::new("snapshots");
/// Snapshot to its listing line and its sealed bytes.
pub(super) const SNAPSHOT_BYTES: TableDefinition<Bytes32, (&[u8], &[u8])> =
    TableDefinition::new("snapshot bytes");
/// Snapshot and the device that forgot it.
pub(super) const FORGOTTEN: TableDefinition<(Bytes32, Bytes32), ()> = TableDefinition::new("forgotten");

macro_rules! all_tables {
    ($($table:ident),+) => {
        /// Makes the tables that are missing.
        pub(super) fn create_all(write: &WriteTransaction) -> Result<(), IndexError> {
            write.open_table(META)?;
            $(write.open_table($table)?;)+
            Ok(())
        }

        /// Removes all tables.
        pub(super) fn delete_all(write: &WriteTransaction) -> Result<(), IndexError> {
            write.delete_table(META)?;
            $(write.delete_table($table)?;)+
            Ok(())
        }
    };
}

all_tables!(
    APPLIED,
    LINES,
    CHUNKS,
    PACKS,
    PACK_NUMBERS,
    ORDINALS,
    RETIRED,
    STRIPES,
    PACK_STRIPES,
    PENDING,
    HOLDERS,
    HOLDINGS,
    HOSTS,
    JOURNAL_HOSTS,
    AUDITS,
    DISPROVEN,
    SNAPSHOTS,
    SNAPSHOT_BYTES,
    FORGOTTEN
);

/// What is kept of a pack that a segment claims to add.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PackRow {
    pub(super) id: [u8; 32],
    /// As in a header: 1 data, 2 metadata.
    pub(super) kind: u8,
    pub(super) len: u64,
    pub(super) header: Vec<u8>,
    pub(super) directory: Vec<u8>,
    pub(super) device: [u8; 32],
    pub(super) line: [u8; 16],
    pub(super) ordinal: u64,
}

/// What is kept of a stripe.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StripeRow {
    pub(super) order: u64,
    pub(super) line: [u8; 16],
    pub(super) sequence: u64,
    pub(super) pack: [u8; 32],
    pub(super) data: u8,
    pub(super) parity: u8,
    pub(super) shard_len: u64,
    pub(super) device: [u8; 32],
    pub(super) signed: Vec<u8>,
}

/// How far a host's audits have come: label and index where each sweep goes on, what is left of a sweep over all, and the open
/// challenges as label, index and group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct AuditRow {
    pub(super) meta_after: Option<([u8; 32], u8)>,
    pub(super) data_after: Option<([u8; 32], u8)>,
    pub(super) sweep_left: Option<u64>,
    pub(super) open: Vec<([u8; 32], u8, u32)>,
}

/// What is kept of a snapshot besides its bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotRow {
    pub(super) order: u64,
    pub(super) device: [u8; 32],
    pub(super) line: [u8; 16],
    pub(super) sequence: u64,
    pub(super) segment: [u8; 32],
    pub(super) time: u64,
    pub(super) tags: Vec<String>,
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) group: [u8; 32],
    pub(super) parent: Option<[u8; 32]>,
}

pub(super) fn encode_row<T: Serialize>(table: &'static str, row: &T) -> Result<Vec<u8>, IndexError> {
    postcard::to_stdvec(row).map_err(|_| IndexError::BadValue { table })
}

pub(super) fn decode_row<T: DeserializeOwned>(table: &'static str, bytes: &[u8]) -> Result<T, IndexError> {
    postcard::from_bytes(bytes).map_err(|_| IndexError::BadValue { table })
}

/// Chunk, pack number (8) and section (4).
pub(super) const CHUNK_KEY_LEN: usize = ChunkId::LEN + 12;

/// Little-endian numbers behind the id: only the id's order matters.
pub(super) fn chunk_key(chunk: &ChunkId, pack: u64, section: u32) -> [u8; CHUNK_KEY_LEN] {
    let mut key = [0; CHUNK_KEY_LEN];
    let (id, rest) = key.split_at_mut(ChunkId::LEN);
    let (number, index) = rest.split_at_mut(8);
    id.copy_from_slice(chunk.as_bytes());
    number.copy_from_slice(&pack.to_le_bytes());
    index.copy_from_slice(&section.to_le_bytes());
    key
}

/// Pack number and section of a chunk's key.
pub(super) fn chunk_key_place(key: &[u8; CHUNK_KEY_LEN]) -> (u64, u32) {
    let mut number = [0; 8];
    let mut section = [0; 4];
    number.copy_from_slice(&key[ChunkId::LEN..ChunkId::LEN + 8]);
    section.copy_from_slice(&key[ChunkId::LEN + 8..]);
    (u64::from_le_bytes(number), u32::from_le_bytes(section))
}

/// A label, an index and a node, in either order.
pub(super) const HOLDER_KEY_LEN: usize = LabelId::LEN + 1 + NodeId::LEN;

pub(super) fn holder_key(label: &LabelId, index: ShardIndex, node: &NodeId) -> [u8; HOLDER_KEY_LEN] {
    let mut key = [0; HOLDER_KEY_LEN];
    key[..32].copy_from_slice(label.as_bytes());
    key[32] = index.0;
    key[33..].copy_from_slice(node.as_bytes());
    key
}

/// The first and the last key that a holder of any shard of a stripe can have.
pub(super) fn holder_range(label: &LabelId) -> ([u8; HOLDER_KEY_LEN], [u8; HOLDER_KEY_LEN]) {
    let first = holder_key(label, ShardIndex(0), &NodeId::from_bytes([0; NodeId::LEN]));
    let last = holder_key(
        label,
        ShardIndex(u8::MAX),
        &NodeId::from_bytes([u8::MAX; NodeId::LEN]),
    );
    (first, last)
}

pub(super) fn holder_key_parts(key: &[u8; HOLDER_KEY_LEN]) -> (LabelId, ShardIndex, NodeId) {
    let mut label = [0; 32];
    let mut node = [0; 32];
    label.copy_from_slice(&key[..32]);
    node.copy_from_slice(&key[33..]);
    (
        LabelId::from_bytes(label),
        ShardIndex(key[32]),
        NodeId::from_bytes(node),
    )
}

pub(super) fn holding_key(node: &NodeId, label: &LabelId, index: ShardIndex) -> [u8; HOLDER_KEY_LEN] {
    let mut key = [0; HOLDER_KEY_LEN];
    key[..32].copy_from_slice(node.as_bytes());
    key[32..64].copy_from_slice(label.as_bytes());
    key[64] = index.0;
    key
}

/// Label and index of a holding.
pub(super) fn holding_key_shard(key: &[u8; HOLDER_KEY_LEN]) -> (LabelId, ShardIndex) {
    let mut label = [0; 32];
    label.copy_from_slice(&key[32..64]);
    (LabelId::from_bytes(label), ShardIndex(key[64]))
}
