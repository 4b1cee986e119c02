//! Questions that one simulated node has put to another and that have not ended. Each ends once: with its answer, or when the
//! connection or one of the machines goes.

use nuthatch_engine::audits::{AuditCounts, AuditEnd};
use std::collections::BTreeMap;

use nuthatch_engine::ShardIndex;
use nuthatch_engine::boundary::{
    Input, InventoryOutcome, JournalPosition, LeaseAnswer, OpId, PackKind, SegmentsOutcome, TransferOutcome,
};
use nuthatch_format::{ArchiveId, ByteCount, LabelId};

use crate::network::NodeIndex;

/// Questions that may be open in a whole world (count). The engines' own bounds keep it far below.
const EXCHANGES_MAX: usize = 100_000;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Greet,
    Lease {
        archive: ArchiveId,
        bytes: ByteCount,
    },
    Shard {
        archive: ArchiveId,
        label: LabelId,
        index: ShardIndex,
        len: ByteCount,
        kind: PackKind,
        journal: JournalPosition,
    },
    Segments {
        archive: ArchiveId,
        journal: JournalPosition,
        len: ByteCount,
    },
    Inventory {
        archive: ArchiveId,
    },
    Audit {
        archive: ArchiveId,
    },
}

/// An open question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) from: NodeIndex,
    pub(crate) from_life: u32,
    pub(crate) op: OpId,
    pub(crate) to: NodeIndex,
    pub(crate) to_life: u32,
    pub(crate) what: What,
    /// Whether the other side has reserved space for it.
    pub(crate) is_accepted: bool,
}

impl Exchange {
    /// What the asker hears when no answer can come any more.
    pub(crate) fn failure(&self) -> Input {
        let op = self.op;
        match self.what {
            What::Greet => Input::GreetEnded { op, terms: None },
            What::Lease { .. } => Input::LeaseEnded {
                op,
                answer: LeaseAnswer::Failed,
            },
            What::Shard { .. } => Input::TransferEnded {
                op,
                outcome: TransferOutcome::Disconnected,
            },
            What::Segments { .. } => Input::SegmentsEnded {
                op,
                outcome: SegmentsOutcome::Failed,
            },
            What::Inventory { .. } => Input::InventoryEnded {
                op,
                outcome: InventoryOutcome::Failed,
            },
            What::Audit { .. } => Input::AuditEnded {
                op,
                end: AuditEnd::Late,
                counts: AuditCounts::default(),
            },
        }
    }
}

/// All open questions.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    open: BTreeMap<u64, Exchange>,
    count: u64,
}

impl Exchanges {
    pub(crate) fn open(&mut self, exchange: Exchange) -> u64 {
        assert!(self.open.len() < EXCHANGES_MAX, "open questions are bounded");
        self.count += 1;
        self.open.insert(self.count, exchange);
        self.count
    }

    pub(crate) fn get(&self, id: u64) -> Option<Exchange> {
        self.open.get(&id).copied()
    }

    pub(crate) fn set_accepted(&mut self, id: u64, is_accepted: bool) {
        if let Some(exchange) = self.open.get_mut(&id) {
            exchange.is_accepted = is_accepted;
        }
    }

    pub(crate) fn close(&mut self, id: u64) -> Option<Exchange> {
        self.open.remove(&id)
    }

    /// Closes and returns all of which this holds, oldest first.
    pub(crate) fn close_all(&mut self, which: impl Fn(&Exchange) -> bool) -> Vec<(u64, Exchange)> {
        self.open.extract_if(.., |_, exchange| which(exchange)).collect()
    }
}
