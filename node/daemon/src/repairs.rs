//! What is being repaired, as the engine says it, for those who look or wait: `repair`, `status`. Bounded; decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nuthatch_engine::boundary::{PackNumber, RepairRound, Token};
use nuthatch_engine::placement::Candidate;
use nuthatch_engine::repair::{HealthView, RepairSource};
use nuthatch_format::NodeId;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

/// Questions for a plan that may wait for the engine (count).
const ASKED_MAX: usize = 16;

/// What the engine answers to the question what a repair would do.
#[derive(Debug)]
pub(crate) struct PlanFacts {
    /// What hosts are worth.
    pub(crate) view: Arc<HealthView>,
    /// Hosts that could take a shard now.
    pub(crate) takers: Vec<Candidate>,
    /// Whether our own link is taken for cut.
    pub(crate) is_cut: bool,
}

/// Packs that were repaired from each source (counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BySource {
    pub(crate) files: u64,
    pub(crate) staging: u64,
    pub(crate) shards: u64,
}

impl BySource {
    fn count(&mut self, source: RepairSource) {
        match source {
            RepairSource::Files => self.files += 1,
            RepairSource::Staging => self.staging += 1,
            RepairSource::Shards => self.shards += 1,
        }
    }

    /// What came since an earlier count.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            files: self.files.saturating_sub(before.files),
            staging: self.staging.saturating_sub(before.staging),
            shards: self.shards.saturating_sub(before.shards),
        }
    }
}

/// How repairs stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct RepairState {
    /// Looks over everything that have ended in this run (count).
    pub(crate) rounds: u64,
    /// Of these, those that a person wanted (count).
    pub(crate) asked_rounds: u64,
    /// The last of them.
    pub(crate) last: RepairRound,
    /// Packs that are being repaired, and from where.
    pub(crate) running: BTreeMap<PackNumber, RepairSource>,
    /// Shards given to hosts in this run (count).
    pub(crate) shards_placed: u64,
    /// Packs whose bytes were brought back in this run.
    pub(crate) by_source: BySource,
    /// Bytes that were downloaded for that.
    pub(crate) bytes_fetched: u64,
    /// Leaving hosts that may go.
    pub(crate) drained: BTreeSet<NodeId>,
}

/// Where all of it is kept.
#[derive(Debug)]
pub(crate) struct RepairDesk {
    state: watch::Sender<RepairState>,
    asked: Mutex<BTreeMap<Token, oneshot::Sender<PlanFacts>>>,
    next_token: AtomicU64,
}

impl Default for RepairDesk {
    fn default() -> Self {
        Self {
            state: watch::channel(RepairState::default()).0,
            asked: Mutex::default(),
            next_token: AtomicU64::new(1),
        }
    }
}

impl RepairDesk {
    /// Watches how repairs stand.
    pub(crate) fn watch(&self) -> watch::Receiver<RepairState> {
        self.state.subscribe()
    }

    /// How repairs stand.
    pub(crate) fn state(&self) -> RepairState {
        self.state.borrow().clone()
    }

    pub(crate) fn begun(&self, pack: PackNumber, source: RepairSource) {
        self.state.send_modify(|state| {
            state.running.insert(pack, source);
            state.by_source.count(source);
        });
    }

    pub(crate) fn ended(&self, pack: PackNumber, placed: u8) {
        self.state.send_modify(|state| {
            state.running.remove(&pack);
            state.shards_placed += u64::from(placed);
        });
    }

    /// A leaving host may go.
    pub(crate) fn drained(&self, node: NodeId) {
        self.state.send_modify(|state| {
            state.drained.insert(node);
        });
    }

    /// A person said something new of a member.
    pub(crate) fn standing_changed(&self, node: NodeId) {
        self.state.send_modify(|state| {
            state.drained.remove(&node);
        });
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.state.send_modify(|state| state.bytes_fetched += bytes);
    }

    pub(crate) fn round_ended(&self, round: RepairRound) {
        self.state.send_modify(|state| {
            state.rounds += 1;
            state.asked_rounds += u64::from(round.is_asked);
            state.last = round;
            state.running.clear();
        });
    }

    /// A question to the engine, and where its answer comes; `None` when too many wait already.
    pub(crate) fn ask(&self) -> Option<(Token, oneshot::Receiver<PlanFacts>)> {
        let mut asked = self.asked.lock();
        asked.retain(|_, sender| !sender.is_closed());
        if asked.len() >= ASKED_MAX {
            return None;
        }
        let token = Token(self.next_token.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        asked.insert(token, sender);
        Some((token, receiver))
    }

    /// The engine's answer.
    pub(crate) fn answer(&self, token: Token, facts: PlanFacts) {
        if let Some(sender) = self.asked.lock().remove(&token)
            && sender.send(facts).is_err()
        {
            tracing::debug!("nobody waits for a plan any more");
        }
    }
}
