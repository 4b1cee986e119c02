//! What a new member is told first: enough to see that it is one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nuthatch_format::NodeId;

use super::Roster;
use super::item::{self, Fact, Known};
use crate::attest::Digest;
use crate::bounded::List;
use crate::message::{ROSTER_ITEMS_PER_PAGE_MAX, RosterItem, page_of};

impl Roster {
    /// What a new member is given at once: the charter, what makes it a member, admissions, and then the rest, as much as fits a message.
    pub fn welcome(&self, joiner: &NodeId) -> List<RosterItem, ROSTER_ITEMS_PER_PAGE_MAX> {
        let vouching = self.vouching_for(joiner);
        let mut all: Vec<&Known> = self.items.values().collect();
        all.sort_by_key(|known| match known.fact() {
            Fact::Charter(_) => 0,
            Fact::Admission(_) if vouching.contains(&known.digest()) => 1,
            Fact::Admission(_) => 2,
            Fact::Removal(_) => 3,
            Fact::Addresses(_) => 4,
            Fact::Statement(_) => 5,
        });
        page_of(
            all.into_iter().map(|known| known.item().clone()),
            item::encoded_len,
        )
    }

    /// The admissions that lead from an admin to a node, as few as there are; none where no chain of them does.
    fn vouching_for(&self, node: &NodeId) -> BTreeSet<Digest> {
        let mut admissions: BTreeMap<NodeId, Vec<(NodeId, Digest)>> = BTreeMap::new();
        for known in self.items.values() {
            if let Fact::Admission(admitted) = known.fact() {
                let of_node = admissions.entry(admitted.node).or_default();
                of_node.push((admitted.admitted_by, known.digest()));
            }
        }
        // Outward from the node: who was reached, by which admission, and whom that one admitted.
        let mut reached: BTreeMap<NodeId, (Digest, NodeId)> = BTreeMap::new();
        let mut next = VecDeque::from([*node]);
        while let Some(at) = next.pop_front() {
            if self.is_admin(&at) {
                return chain_to(node, at, &reached);
            }
            for (by, digest) in admissions.get(&at).into_iter().flatten() {
                if by != node && !reached.contains_key(by) {
                    reached.insert(*by, (*digest, at));
                    next.push_back(*by);
                }
            }
        }
        BTreeSet::new()
    }
}

/// The admissions between a node and whoever was reached from it.
fn chain_to(node: &NodeId, mut at: NodeId, reached: &BTreeMap<NodeId, (Digest, NodeId)>) -> BTreeSet<Digest> {
    let mut chain = BTreeSet::new();
    while at != *node
        && let Some((digest, admitted)) = reached.get(&at)
    {
        chain.insert(*digest);
        at = *admitted;
    }
    chain
}
