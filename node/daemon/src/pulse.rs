//! What the engine last said about its work and who is connected, for those who wait: a backup that waits for hosts, a screen.
//!
//! A watch, not a queue: a slow reader sees the newest state. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use nuthatch_engine::boundary::PathClass;
use nuthatch_engine::repair::HostHealth;
use nuthatch_format::{ByteCount, NodeId, Timestamp};
use parking_lot::RwLock;
use tokio::sync::watch;

/// The work of the engine, as far as it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Work {
    /// Grows with every change that a waiting job may care about.
    pub(crate) changes: u64,
    /// The value of `changes` when the engine last said that all that reachable hosts take has been sent; `None` while it works.
    pub(crate) quiet: Option<u64>,
    /// Packs that still wait for a label or a holder, when it last said so (count).
    pub(crate) incomplete_count: u64,
}

/// State that many read and few change.
#[derive(Debug)]
pub(crate) struct Pulse {
    work: watch::Sender<Work>,
    connected: RwLock<BTreeMap<NodeId, PathClass>>,
    /// Members whose last dial failed.
    unreachable: RwLock<BTreeSet<NodeId>>,
    last_seen: RwLock<BTreeMap<NodeId, Timestamp>>,
    full: RwLock<BTreeSet<NodeId>>,
    leases: RwLock<BTreeMap<NodeId, (ByteCount, Timestamp)>>,
    /// Members whose shards don't count.
    unsound: RwLock<BTreeMap<NodeId, HostHealth>>,
    is_cut: AtomicBool,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            work: watch::channel(Work::default()).0,
            connected: RwLock::default(),
            unreachable: RwLock::default(),
            last_seen: RwLock::default(),
            full: RwLock::default(),
            leases: RwLock::default(),
            unsound: RwLock::default(),
            is_cut: AtomicBool::new(false),
        }
    }

    /// Watches the engine's work.
    pub(crate) fn work(&self) -> watch::Receiver<Work> {
        self.work.subscribe()
    }

    /// Something changed that a waiting job may care about: there may be work again.
    pub(crate) fn stir(&self) {
        self.work.send_modify(|work| {
            work.changes += 1;
            work.quiet = None;
        });
    }

    /// Something was achieved: those who wait look again, and the engine's last word on its work stands.
    pub(crate) fn nudge(&self) {
        self.work.send_modify(|work| work.changes += 1);
    }

    /// The engine says that all that reachable hosts take has been sent.
    pub(crate) fn quiet(&self, incomplete_count: u64) {
        self.work.send_modify(|work| {
            work.changes += 1;
            work.quiet = Some(work.changes);
            work.incomplete_count = incomplete_count;
        });
    }

    /// A member came.
    pub(crate) fn connected(&self, node: NodeId, class: PathClass, now: Timestamp) {
        self.unreachable.write().remove(&node);
        self.connected.write().insert(node, class);
        self.last_seen.write().insert(node, now);
    }

    /// A node left.
    pub(crate) fn disconnected(&self, node: &NodeId, now: Timestamp) {
        if self.connected.write().remove(node).is_some() {
            self.last_seen.write().insert(*node, now);
        }
    }

    /// A member could not be dialled.
    pub(crate) fn dial_failed(&self, node: NodeId) {
        self.unreachable.write().insert(node);
    }

    /// Whether a member is connected, or was dialled in vain: either way there is nothing to wait for.
    pub(crate) fn has_answered(&self, node: &NodeId) -> bool {
        self.connected.read().contains_key(node) || self.unreachable.read().contains(node)
    }

    /// Who is connected, and how.
    pub(crate) fn online(&self) -> BTreeMap<NodeId, PathClass> {
        self.connected.read().clone()
    }

    /// When a node was last connected, as far as this run knows.
    pub(crate) fn last_seen(&self, node: &NodeId) -> Option<Timestamp> {
        self.last_seen.read().get(node).copied()
    }

    /// Notes what an earlier run knew of when a node was last seen.
    pub(crate) fn remember(&self, node: NodeId, at: Timestamp) {
        self.last_seen.write().entry(node).or_insert(at);
    }

    /// A host promised space, in all, until then.
    pub(crate) fn leased(&self, node: NodeId, bytes: ByteCount, until: Timestamp) {
        self.leases.write().insert(node, (bytes, until));
    }

    /// What a member's shards are worth.
    pub(crate) fn set_health(&self, node: NodeId, health: HostHealth) {
        let mut unsound = self.unsound.write();
        if health == HostHealth::Sound {
            unsound.remove(&node);
        } else {
            unsound.insert(node, health);
        }
    }

    /// What a node's shards are worth.
    pub(crate) fn health(&self, node: &NodeId) -> HostHealth {
        self.unsound
            .read()
            .get(node)
            .copied()
            .unwrap_or(HostHealth::Sound)
    }

    /// Our own link is taken for cut, or not any more.
    pub(crate) fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Whether our own link is taken for cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// The hosts that promise space to our archive and are not gone or given up (count).
    pub(crate) fn sound_leases_count(&self) -> usize {
        let unsound = self.unsound.read();
        self.leases
            .read()
            .keys()
            .filter(|node| !unsound.contains_key(node))
            .count()
    }

    /// The hosts that promise space to our archive, with how much in all and until when.
    pub(crate) fn leases(&self) -> BTreeMap<NodeId, (ByteCount, Timestamp)> {
        self.leases.read().clone()
    }

    /// A host said that it takes no more, or has taken something again.
    pub(crate) fn set_full(&self, node: NodeId, is_full: bool) {
        let mut full = self.full.write();
        if is_full {
            full.insert(node);
        } else {
            full.remove(&node);
        }
    }

    /// Hosts that take no more.
    pub(crate) fn full(&self) -> BTreeSet<NodeId> {
        self.full.read().clone()
    }
}
