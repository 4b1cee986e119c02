//! Shards on their way, counted in every way that a bound or a decision needs. Starts nothing by itself.

use std::collections::BTreeMap;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{ByteCount, LabelId, NodeId};

use crate::boundary::{OpId, PackNumber};
use crate::rules::{TRANSFERS_MAX, TRANSFERS_PER_HOST_MAX};

/// One shard on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    pub(super) pack: PackNumber,
    pub(super) label: LabelId,
    pub(super) index: ShardIndex,
    pub(super) to: NodeId,
    pub(super) len: ByteCount,
}

/// All shards on their way.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    running: BTreeMap<OpId, Transfer>,
}

impl Transfers {
    /// Whether one more may start at all.
    pub(super) fn has_slot(&self) -> bool {
        self.running.len() < TRANSFERS_MAX
    }

    /// Whether one more may start to this host.
    pub(super) fn has_slot_to(&self, node: NodeId) -> bool {
        self.has_slot() && self.count_to(node) < TRANSFERS_PER_HOST_MAX
    }

    pub(super) fn start(&mut self, op: OpId, transfer: Transfer) {
        assert!(
            self.has_slot_to(transfer.to),
            "transfers are bounded, in all and to each host"
        );
        assert!(
            !self
                .of_label(transfer.label)
                .any(|(index, node)| index == transfer.index || node == transfer.to),
            "a shard is on its way once, and a host gets one shard of a stripe"
        );
        self.running.insert(op, transfer);
    }

    pub(super) fn end(&mut self, op: OpId) -> Option<Transfer> {
        self.running.remove(&op)
    }

    pub(super) fn count(&self) -> usize {
        self.running.len()
    }

    pub(super) fn count_to(&self, node: NodeId) -> usize {
        self.running.values().filter(|one| one.to == node).count()
    }

    pub(super) fn bytes_to(&self, node: NodeId) -> ByteCount {
        self.running
            .values()
            .filter(|one| one.to == node)
            .fold(ByteCount::ZERO, |sum, one| sum.saturating_add(one.len))
    }

    /// Shards of a stripe on their way, and where to.
    pub(super) fn of_label(&self, label: LabelId) -> impl Iterator<Item = (ShardIndex, NodeId)> {
        self.running
            .values()
            .filter(move |one| one.label == label)
            .map(|one| (one.index, one.to))
    }

    pub(super) fn has_pack(&self, pack: PackNumber) -> bool {
        self.running.values().any(|one| one.pack == pack)
    }
}
