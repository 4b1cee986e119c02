//! Packs, labels and segments for the tests of this crate, made as a device makes them.

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::codec::{Suite, Version};
use nuthatch_format::journal::{Draft, Entry, Position, SignedSegment};
use nuthatch_format::keys::{ArchiveKeys, DeviceKeys, RecoveryPhrase, WriterKeys};
use nuthatch_format::label::{Label, SignedLabel};
use nuthatch_format::pack::PackKind;
use nuthatch_format::padding::Fill;
use nuthatch_format::seal::{PackPlan, SealedPack};
use nuthatch_format::section::{Compressor, LEVEL_DEFAULT, SectionBuilder};
use nuthatch_format::snapshot::{PackChange, PackSet, SealedSnapshot, SnapshotLine};
use nuthatch_format::{ByteCount, ChunkId, Epoch, PackId, ShardId, SnapshotId, Timestamp};

pub(crate) fn archive_keys() -> ArchiveKeys {
    ArchiveKeys::derive(&RecoveryPhrase::from_entropy([1; 32]))
}

pub(crate) fn keys() -> WriterKeys {
    archive_keys().writer
}

pub(crate) fn device(seed: u8) -> DeviceKeys {
    DeviceKeys::generate(&[seed; 64], "laptop").unwrap()
}

/// A stripe's shards (each `shard_len` bytes, made of the seed) and their label.
pub(crate) fn stripe(seed: u8, scheme: Scheme, shard_len: u64) -> (SignedLabel, Vec<Vec<u8>>) {
    let shards: Vec<Vec<u8>> = scheme
        .indices()
        .map(|index| {
            let mut bytes = vec![0; shard_len as usize];
            let mut hasher = blake3::Hasher::new();
            hasher.update(&[seed, index.0]);
            hasher.finalize_xof().fill(&mut bytes);
            bytes
        })
        .collect();
    let label = Label {
        version: Version,
        suite: Suite,
        archive: keys().archive,
        pack: PackId::from_bytes([seed; 32]),
        kind: PackKind::Data,
        epoch: Epoch(0),
        scheme,
        pack_len: shard_len * u64::from(scheme.data()),
        shard_len,
        shards: shards
            .iter()
            .map(|bytes| ShardId::from_bytes(*blake3::hash(bytes).as_bytes()))
            .collect(),
        nonce: [seed; 16],
        device: device(2).id(),
    };
    (label.sign(&device(2)), shards)
}

/// A pack of these chunks.
pub(crate) fn pack(chunks: &[&[u8]]) -> SealedPack {
    let keys = keys();
    let mut builder = SectionBuilder::new();
    let mut sections = Vec::new();
    for chunk in chunks {
        sections.extend(builder.push(keys.chunk_id(chunk), chunk));
    }
    sections.extend(builder.finish());
    let mut compressor = Compressor::new(LEVEL_DEFAULT).unwrap();
    let mut plan = PackPlan::new(PackKind::Data);
    for section in sections {
        plan.push(compressor.compress(section).unwrap());
    }
    plan.seal(&keys, Fill::Last).unwrap()
}

pub(crate) fn chunk_id(chunk: &[u8]) -> ChunkId {
    keys().chunk_id(chunk)
}

pub(crate) fn pack_added(pack: &SealedPack) -> Entry {
    Entry::PackAdded {
        pack: pack.id,
        kind: pack.kind,
        len: pack.bytes.len() as u64,
        header: pack.header.as_bytes().to_vec(),
        directory: nuthatch_format::codec::encode(&pack.directory),
    }
}

/// A label of a real pack, with shards that nobody needs, by the device of seed 2.
pub(crate) fn stripe_of(pack: &SealedPack, scheme: Scheme, nonce: u8) -> SignedLabel {
    stripe_by(2, pack, scheme, nonce)
}

/// Such a label by the device of this seed.
pub(crate) fn stripe_by(seed: u8, pack: &SealedPack, scheme: Scheme, nonce: u8) -> SignedLabel {
    let pack_len = pack.bytes.len() as u64;
    let label = Label {
        version: Version,
        suite: Suite,
        archive: keys().archive,
        pack: pack.id,
        kind: pack.kind,
        epoch: Epoch(0),
        scheme,
        pack_len,
        shard_len: scheme.shard_len(pack_len),
        shards: scheme
            .indices()
            .map(|ShardIndex(index)| ShardId::from_bytes([index; 32]))
            .collect(),
        nonce: [nonce; 16],
        device: device(seed).id(),
    };
    label.sign(&device(seed))
}

pub(crate) fn stripe_added(label: &SignedLabel) -> Entry {
    Entry::StripeAdded {
        label: label.bytes().to_vec(),
    }
}

/// A snapshot whose packs are `needed`, told as a difference to those of its parent.
pub(crate) fn snapshot_added(
    seed: u8,
    parent: Option<(SnapshotId, &PackSet)>,
    needed: &PackSet,
) -> (SnapshotId, Entry) {
    let sealed = vec![seed; 100];
    let id = SealedSnapshot::id_of(&sealed);
    let none = PackSet::new();
    let before = parent.map_or(&none, |(_, set)| set);
    let line = SnapshotLine {
        time: Timestamp(u64::from(seed)),
        tags: vec![format!("tag {seed}")],
        bytes: ByteCount(1000),
        files: 10,
        packs_needed: PackChange::between(before, needed).unwrap(),
        group: [4; 32],
        parent: parent.map(|(id, _)| id),
    };
    (id, Entry::SnapshotAdded { id, line, sealed })
}

pub(crate) fn begin(seed: u8, nonce: u8) -> Position {
    Position::begin(&device(seed), [nonce; 16], None)
}

/// A segment by the device of this seed.
pub(crate) fn segment(seed: u8, position: Position, entries: &[Entry], time: u64) -> SignedSegment {
    let draft = Draft {
        position,
        entries,
        heads: &[],
        time: Timestamp(time),
    };
    SignedSegment::build(&keys(), &device(seed), &draft).unwrap()
}
