//! How many bytes moved, in all and for each node. It counts what our own streams carry, not the overhead of encryption and transport.
//!
//! Every byte of ours passes [`Counter::sent`] or [`Counter::received`] just after it moved. The limits for bulk, which hold for
//! everything together, are handed out here too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nuthatch_format::NodeId;
use parking_lot::Mutex;

use crate::throttle::Throttles;

/// Nodes that are counted apart (count). Beyond it, one that nothing is connected to is forgotten.
const NODES_MAX: usize = 1024;

/// Bytes that our streams moved since the transport started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

#[derive(Debug, Default)]
struct Meter {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    fn read(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}

/// All meters of a transport.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    total: Arc<Meter>,
    nodes: Mutex<BTreeMap<NodeId, Arc<Meter>>>,
    throttles: Arc<Throttles>,
}

impl Meters {
    /// Everything together.
    pub(crate) fn total(&self) -> Traffic {
        self.total.read()
    }

    /// What was exchanged with one node; nothing for a node never met, or met long ago.
    pub(crate) fn of(&self, node: &NodeId) -> Traffic {
        self.nodes
            .lock()
            .get(node)
            .map(|meter| meter.read())
            .unwrap_or_default()
    }

    /// The limits for all bulk.
    pub(crate) fn throttles(&self) -> &Arc<Throttles> {
        &self.throttles
    }

    /// The counter for streams with one node.
    pub(crate) fn counter(&self, node: NodeId) -> Counter {
        let mut nodes = self.nodes.lock();
        if nodes.len() >= NODES_MAX && !nodes.contains_key(&node) {
            let idle = nodes
                .iter()
                .find(|(_, meter)| Arc::strong_count(meter) == 1)
                .map(|(idle, _)| *idle);
            if let Some(idle) = idle {
                nodes.remove(&idle);
            }
        }
        Counter {
            total: Arc::clone(&self.total),
            node: Arc::clone(nodes.entry(node).or_default()),
            throttles: Arc::clone(&self.throttles),
        }
    }
}

/// Counts what the streams with one node move.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    total: Arc<Meter>,
    node: Arc<Meter>,
    throttles: Arc<Throttles>,
}

impl Counter {
    /// The limits for bulk, whoever it is exchanged with.
    pub(crate) fn throttles(&self) -> Arc<Throttles> {
        Arc::clone(&self.throttles)
    }

    /// Counts bytes that were handed to the connection.
    pub(crate) fn sent(&self, count: usize) {
        self.total.sent.fetch_add(count as u64, Ordering::Relaxed);
        self.node.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts bytes that came.
    pub(crate) fn received(&self, count: usize) {
        self.total.received.fetch_add(count as u64, Ordering::Relaxed);
        self.node.received.fetch_add(count as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts_once_in_all_and_once_for_its_node() {
        let meters = Meters::default();
        let (one, two) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        meters.counter(one).sent(3);
        meters.counter(one).received(4);
        meters.counter(two).sent(5);
        assert_eq!(meters.total(), Traffic { sent: 8, received: 4 });
        assert_eq!(meters.of(&one), Traffic { sent: 3, received: 4 });
        assert_eq!(meters.of(&two), Traffic { sent: 5, received: 0 });
    }

    #[test]
    fn nodes_that_are_gone_make_room_and_those_in_use_stay() {
        let meters = Meters::default();
        let kept = NodeId::from_bytes([0; 32]);
        let counter = meters.counter(kept);
        counter.sent(1);
        for at in 0..2 * NODES_MAX as u64 {
            let mut bytes = [1; 32];
            bytes[..8].copy_from_slice(&at.to_le_bytes());
            meters.counter(NodeId::from_bytes(bytes));
        }
        assert!(meters.nodes.lock().len() <= NODES_MAX);
        assert_eq!(meters.of(&kept).sent, 1);
    }
}
