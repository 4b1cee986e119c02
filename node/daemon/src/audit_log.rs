//! What is known of the audits of each host, for screens and for those who wait for one to end. Decides nothing.

use std::collections::BTreeMap;

use nuthatch_engine::audits::{AuditState, EndedAudit};
use nuthatch_format::NodeId;
use parking_lot::RwLock;
use tokio::sync::broadcast;

/// Audits whose end a listener may lag behind: each host has one at a time.
const ENDED_MAX: usize = 256;

/// All hosts' audits.
#[derive(Debug)]
pub(crate) struct AuditLog {
    states: RwLock<BTreeMap<NodeId, AuditState>>,
    ended: broadcast::Sender<EndedAudit>,
}

impl AuditLog {
    pub(crate) fn new() -> Self {
        Self {
            states: RwLock::default(),
            ended: broadcast::channel(ENDED_MAX).0,
        }
    }

    /// Notes what an earlier run knew.
    pub(crate) fn remember(&self, node: NodeId, state: AuditState) {
        self.states.write().insert(node, state);
    }

    /// Notes an end, and tells whoever waits.
    pub(crate) fn note(&self, ended: EndedAudit) {
        self.states.write().insert(ended.node, ended.state);
        // Nobody waiting is the usual case, and no error.
        let _ = self.ended.send(ended);
    }

    /// How a host's audits stand.
    pub(crate) fn state(&self, node: &NodeId) -> AuditState {
        self.states.read().get(node).copied().unwrap_or_default()
    }

    /// Ends from now on.
    pub(crate) fn ended(&self) -> broadcast::Receiver<EndedAudit> {
        self.ended.subscribe()
    }
}
