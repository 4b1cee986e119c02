//! Who may open what at this node: a snapshot of the roster that the transport can ask at any moment, without waiting.
//!
//! Knows standings only. What a claimant or a member may have of which archive is decided where it asks (`serve`).

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_format::{NodeId, Span, Timestamp};
use nuthatch_transport::{Gate, Standing};
use parking_lot::RwLock;

use crate::clock;

/// Claimants that are remembered at a time; the one whose time ends first makes room.
const CLAIMANTS_MAX: usize = 64;

/// How long a proven claim opens the gate. A claimant becomes a member with its certificate; this bridges the moment between.
const CLAIM_VALID: Span = Span::from_secs(3600);

/// The gate of this node.
#[derive(Debug, Default)]
pub(crate) struct NodeGate {
    members: RwLock<BTreeSet<NodeId>>,
    claimants: RwLock<BTreeMap<NodeId, Timestamp>>,
}

impl NodeGate {
    /// Replaces the members; answers those whose standing has changed.
    pub(crate) fn set_members(&self, members: BTreeSet<NodeId>) -> Vec<NodeId> {
        let mut current = self.members.write();
        let changed = current.symmetric_difference(&members).copied().collect();
        *current = members;
        changed
    }

    /// Lets a node that has proven a claim reach the archive's protocols for a while.
    pub(crate) fn admit_claimant(&self, node: NodeId) {
        let now = clock::now();
        let mut claimants = self.claimants.write();
        claimants.retain(|_, until| *until > now);
        if claimants.len() >= CLAIMANTS_MAX
            && let Some(first) = claimants
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(node, _)| *node)
        {
            claimants.remove(&first);
        }
        claimants.insert(node, now.after(CLAIM_VALID));
    }

    /// Ends what a claim has opened: its device was revoked.
    pub(crate) fn forget_claimant(&self, node: &NodeId) {
        self.claimants.write().remove(node);
    }

    /// Whether the roster names this node.
    pub(crate) fn is_member(&self, node: &NodeId) -> bool {
        self.members.read().contains(node)
    }
}

impl Gate for NodeGate {
    fn standing(&self, peer: &NodeId) -> Standing {
        if self.is_member(peer) {
            Standing::Member
        } else if self
            .claimants
            .read()
            .get(peer)
            .is_some_and(|until| *until > clock::now())
        {
            Standing::Claimant
        } else {
            Standing::Stranger
        }
    }
}
