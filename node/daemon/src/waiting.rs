//! Petitions of nodes that wait for a person: their invitation was used up. Kept in memory, for as long as this node runs; a node that asks
//! again is here again. Decides nothing.

use std::collections::BTreeMap;

use nuthatch_format::NodeId;
use nuthatch_wire::membership::{JoinFacts, Petition};
use parking_lot::Mutex;

/// Petitions that are kept; the oldest makes room.
const WAITING_MAX: usize = 64;

/// What a person is told where a node waits.
pub(crate) const WAITS: &str = "a node used an invitation that others have used up: it waits until a person lets it in \
                                ('nuthatch circle waiting' shows it)";

/// A petition and what its connection had proved.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    pub(crate) petition: Petition,
    pub(crate) facts: JoinFacts,
}

/// The petitions, by who asks; the latest of each.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<BTreeMap<NodeId, Waits>>);

impl Waiting {
    /// Keeps a petition, in place of an earlier one of the same node.
    pub(crate) fn keep(&self, petition: Petition, facts: JoinFacts) {
        let mut kept = self.0.lock();
        kept.insert(facts.joiner, Waits { petition, facts });
        if kept.len() > WAITING_MAX
            && let Some(oldest) = kept
                .values()
                .map(|waits| (waits.facts.now, waits.facts.joiner))
                .min()
        {
            kept.remove(&oldest.1);
        }
    }

    /// Forgets the petition of a node that is in.
    pub(crate) fn forget(&self, node: &NodeId) {
        self.0.lock().remove(node);
    }

    /// The petition of a node.
    pub(crate) fn of(&self, node: &NodeId) -> Option<Waits> {
        self.0.lock().get(node).cloned()
    }

    /// Who waits, ascending.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.0.lock().keys().copied().collect()
    }
}
