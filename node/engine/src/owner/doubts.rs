//! Shards whose sending broke off: their host may have kept them, and only its inventory tells. Remembers them; decides nothing.
//!
//! Longer than packs are looked at: a host that returns after an hour may still have what it got, and another copy elsewhere would take
//! the place of a shard that is missing.

use std::collections::BTreeMap;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{LabelId, NodeId, Timestamp};

use crate::circle::Circle;
use crate::rules::DOUBTS_MAX;

/// A shard that a host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) index: ShardIndex,
    pub(super) node: NodeId,
    pub(super) since: Timestamp,
}

/// All of them, at most `DOUBTS_MAX`.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<(LabelId, ShardIndex, NodeId), Timestamp>);

impl Doubts {
    /// The sending of a shard broke off. The oldest doubt makes room.
    pub(super) fn add(&mut self, label: LabelId, index: ShardIndex, node: NodeId, now: Timestamp) {
        self.0.insert((label, index, node), now);
        if self.0.len() > DOUBTS_MAX {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(_, since)| **since)
                .map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
    }

    /// The host signed for a shard.
    pub(super) fn end(&mut self, label: LabelId, index: ShardIndex, node: NodeId) {
        self.0.remove(&(label, index, node));
    }

    /// The host said what it keeps. Answers whether anything was in doubt.
    pub(super) fn clear(&mut self, node: NodeId) -> bool {
        let before = self.0.len();
        self.0.retain(|key, _| key.2 != node);
        self.0.len() < before
    }

    /// Forgets those that are no members any more.
    pub(super) fn keep_members(&mut self, circle: &Circle) {
        self.0.retain(|key, _| circle.get(key.2).is_some());
    }

    /// What is in doubt of one stripe.
    pub(super) fn of_label(&self, label: LabelId) -> impl Iterator<Item = Doubt> {
        let first = (label, ShardIndex(0), NodeId::from_bytes([0; NodeId::LEN]));
        let last = (
            label,
            ShardIndex(u8::MAX),
            NodeId::from_bytes([u8::MAX; NodeId::LEN]),
        );
        self.0.range(first..=last).map(|(key, since)| Doubt {
            index: key.1,
            node: key.2,
            since: *since,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
