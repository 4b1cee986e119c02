//! What a simulated host keeps: which shards and how much, and how far it has each journal. No bytes.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_engine::ShardIndex;
use nuthatch_engine::boundary::{JournalPosition, StripeHere, VaultFacts};
use nuthatch_format::{ArchiveId, ByteCount, LabelId};
use rand::{Rng, RngExt};

/// A vault; survives crashes of its node.
#[derive(Debug, Clone, Default)]
pub struct Vault {
    /// What the person gives.
    pub quota: ByteCount,
    /// What the file system holds in all.
    pub disk: ByteCount,
    shards: BTreeMap<(ArchiveId, LabelId, ShardIndex), ByteCount>,
    /// Signed for, and lost to a bad disk.
    rotten: BTreeSet<(ArchiveId, LabelId, ShardIndex)>,
    journals: BTreeMap<ArchiveId, JournalPosition>,
    used: BTreeMap<ArchiveId, ByteCount>,
}

impl Vault {
    /// An empty one.
    pub fn new(quota: ByteCount, disk: ByteCount) -> Self {
        Self {
            quota,
            disk,
            ..Self::default()
        }
    }

    /// Keeps a shard.
    pub fn put(&mut self, archive: ArchiveId, label: LabelId, index: ShardIndex, len: ByteCount) {
        self.rotten.remove(&(archive, label, index));
        if self.shards.insert((archive, label, index), len).is_none() {
            self.book(archive, len);
        }
    }

    /// Loses about one shard in so many, as its own scrubbing finds out.
    pub fn rot(&mut self, one_in: u32, rng: &mut impl Rng) {
        let lost: Vec<_> = self
            .shards
            .keys()
            .copied()
            .filter(|_| rng.random_ratio(1, one_in))
            .collect();
        for key in lost {
            if let Some(len) = self.shards.remove(&key) {
                let used = self.used.entry(key.0).or_default();
                *used = used.saturating_sub(len);
                self.rotten.insert(key);
            }
        }
    }

    /// Whether a shard is here, or has been and was lost to a bad disk.
    pub fn signed_for(&self, archive: ArchiveId, label: LabelId, index: ShardIndex) -> bool {
        self.has(archive, label, index) || self.rotten.contains(&(archive, label, index))
    }

    fn book(&mut self, archive: ArchiveId, len: ByteCount) {
        let used = self.used.entry(archive).or_default();
        *used = used.saturating_add(len);
    }

    /// Whether a shard is here.
    pub fn has(&self, archive: ArchiveId, label: LabelId, index: ShardIndex) -> bool {
        self.shards.contains_key(&(archive, label, index))
    }

    /// What is here of a stripe, as seen by an offer of one of its shards.
    pub fn stripe_here(&self, archive: ArchiveId, label: LabelId, index: ShardIndex) -> StripeHere {
        if self.has(archive, label, index) {
            StripeHere::SameShard
        } else if self.of_stripe(archive, label).next().is_some() {
            StripeHere::OtherShard
        } else {
            StripeHere::Nothing
        }
    }

    /// Shards of a stripe that were lost to a bad disk.
    pub fn rotten_of_stripe(&self, archive: ArchiveId, label: LabelId) -> impl Iterator<Item = ShardIndex> {
        let all = (archive, label, ShardIndex(0))..=(archive, label, ShardIndex(u8::MAX));
        self.rotten.range(all).map(|(_, _, index)| *index)
    }

    /// Shards of a stripe that are here.
    pub fn of_stripe(&self, archive: ArchiveId, label: LabelId) -> impl Iterator<Item = ShardIndex> {
        let all = (archive, label, ShardIndex(0))..=(archive, label, ShardIndex(u8::MAX));
        self.shards.range(all).map(|((_, _, index), _)| *index)
    }

    /// All shards of an archive.
    pub fn of_archive(&self, archive: ArchiveId) -> impl Iterator<Item = (LabelId, ShardIndex)> {
        self.shards
            .keys()
            .filter(move |key| key.0 == archive)
            .map(|key| (key.1, key.2))
    }

    /// Takes segments up to a position.
    pub fn put_journal(&mut self, archive: ArchiveId, position: JournalPosition, len: ByteCount) {
        let at = self.journals.entry(archive).or_default();
        *at = position.max(*at);
        self.book(archive, len);
    }

    /// How far an archive's journal is here.
    pub fn journal(&self, archive: ArchiveId) -> Option<JournalPosition> {
        self.journals.get(&archive).copied()
    }

    /// What an archive takes.
    pub fn used_by(&self, archive: ArchiveId) -> ByteCount {
        self.used.get(&archive).copied().unwrap_or_default()
    }

    /// What each archive takes.
    pub fn used(&self) -> &BTreeMap<ArchiveId, ByteCount> {
        &self.used
    }

    /// What all archives take.
    pub fn used_in_all(&self) -> ByteCount {
        self.used
            .values()
            .fold(ByteCount::ZERO, |sum, one| sum.saturating_add(*one))
    }

    /// The vault as its engine is told.
    pub fn facts(&self) -> VaultFacts {
        VaultFacts {
            quota: self.quota,
            generous: false,
            disk_free: self.disk.saturating_sub(self.used_in_all()),
            used: self.used.clone(),
            ..VaultFacts::default()
        }
    }
}
