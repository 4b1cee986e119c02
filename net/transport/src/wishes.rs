//! What is asked of the swarm's task without waiting for it. Wishes are sets: asking twice is asking once, so they stay bounded and none
//! is lost, however busy the task is. Nothing here acts on them.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;
use nuthatch_format::NodeId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::PEER_ADDRESSES_MAX;

/// Complaints that may wait, and nodes whose addresses may wait (count each).
const WISHES_MAX: usize = 4096;

/// Wishes, and whoever waits for some.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    open: Mutex<OpenWishes>,
    any: Notify,
}

/// Wishes that are not fulfilled yet.
#[derive(Debug, Default)]
pub(crate) struct OpenWishes {
    pub(crate) disconnect: BTreeSet<NodeId>,
    pub(crate) reconsider: BTreeSet<NodeId>,
    pub(crate) addresses: BTreeMap<NodeId, BTreeSet<Multiaddr>>,
    pub(crate) complaints: BTreeSet<(ConnectionId, NodeId)>,
}

impl Wishes {
    fn add(&self, wish: impl FnOnce(&mut OpenWishes)) {
        wish(&mut self.open.lock());
        self.any.notify_one();
    }

    /// All connections with this node are to be closed.
    pub(crate) fn disconnect(&self, node: NodeId) {
        self.add(|open| {
            open.disconnect.insert(node);
        });
    }

    /// The node's standing is to be looked at again.
    pub(crate) fn reconsider(&self, node: NodeId) {
        self.add(|open| {
            open.reconsider.insert(node);
        });
    }

    /// The address tables are to know this. Beyond the bound it is left out: it is a hint.
    pub(crate) fn add_address(&self, node: NodeId, address: Multiaddr) {
        self.add(|open| {
            if open.addresses.len() < WISHES_MAX {
                let known = open.addresses.entry(node).or_default();
                if known.len() < PEER_ADDRESSES_MAX {
                    known.insert(address);
                }
            }
        });
    }

    /// A stream on this connection stalled.
    pub(crate) fn complain(&self, node: NodeId, connection: ConnectionId) {
        self.add(|open| {
            if open.complaints.len() < WISHES_MAX {
                open.complaints.insert((connection, node));
            }
        });
    }

    /// Waits until there are wishes, and takes them.
    pub(crate) async fn take(&self) -> OpenWishes {
        self.any.notified().await;
        std::mem::take(&mut *self.open.lock())
    }
}
