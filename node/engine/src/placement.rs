//! Which host gets which shard of a stripe. Pure: holders and candidates in, moves out; starts nothing.
//!
//! At most one shard of a stripe goes to a host, and as many shards as possible get a failure domain of their own.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::{ByteCount, NodeId};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::boundary::Domain;
use crate::matching::Matching;

/// A host that can take a shard of the stripe now: connected, with room in its lease, and not known to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub node: NodeId,
    /// What it is lost together with.
    pub domain: Domain,
    /// Room that is left to the archive there. The more, the likelier it is chosen.
    pub free: ByteCount,
}

/// What to do for a stripe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Shards to send, and where. No two to one host or one domain.
    pub moves: BTreeMap<ShardIndex, NodeId>,
    /// Shards that have no holder in a domain of their own, and no candidate either: they wait.
    pub waiting: BTreeSet<ShardIndex>,
}

/// Where the shards go that have no holder in a failure domain of their own.
///
/// `holders` are those that have or are about to have a shard. A largest matching of shards to domains over the holders is kept
/// and enlarged by candidates; a candidate that holds any shard of the stripe is none. Among candidates the order is random with the
/// weight of their room, lower indices first: data shards go to the likeliest hosts, and packs spread in proportion to room.
pub fn place(
    scheme: Scheme,
    holders: &[(ShardIndex, NodeId, Domain)],
    candidates: &[Candidate],
    rng: &mut impl Rng,
) -> Placement {
    let holding: BTreeSet<NodeId> = holders.iter().map(|holder| holder.1).collect();
    let open: Vec<Candidate> = candidates
        .iter()
        .filter(|one| !holding.contains(&one.node))
        .copied()
        .collect();
    let ranked = rank(open, rng);

    let mut domains: BTreeMap<Domain, usize> = BTreeMap::new();
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); usize::from(scheme.total())];
    for (index, _, domain) in holders {
        let next = domains.len();
        let right = *domains.entry(*domain).or_insert(next);
        if let Some(rights) = held.get_mut(usize::from(index.0)) {
            rights.push(right);
        }
    }
    let mut hosts: BTreeMap<usize, NodeId> = BTreeMap::new();
    let mut wanted: Vec<usize> = Vec::new();
    for candidate in &ranked {
        let next = domains.len();
        let right = *domains.entry(candidate.domain).or_insert(next);
        // The first in rank order stands for its domain.
        if let Entry::Vacant(free) = hosts.entry(right) {
            free.insert(candidate.node);
            wanted.push(right);
        }
    }
    let mut matching = Matching::empty(held.len(), domains.len());
    matching.enlarge(&held);
    let all: Vec<Vec<usize>> = held
        .iter()
        .map(|rights| rights.iter().chain(&wanted).copied().collect())
        .collect();
    matching.enlarge(&all);

    let mut placement = Placement::default();
    for (left, index) in scheme.indices().enumerate() {
        match matching.of_left(left) {
            Some(right) if held.get(left).is_some_and(|rights| rights.contains(&right)) => {}
            Some(right) => {
                if let Some(node) = hosts.get(&right) {
                    placement.moves.insert(index, *node);
                }
            }
            None => {
                placement.waiting.insert(index);
            }
        }
    }
    placement
}

/// Where the shards might go, for showing: as [`place`], by a generator of its own. Which of several equal hosts is chosen may be
/// another one when it is done.
pub fn preview(
    scheme: Scheme,
    holders: &[(ShardIndex, NodeId, Domain)],
    candidates: &[Candidate],
    seed: u64,
) -> Placement {
    place(
        scheme,
        holders,
        candidates,
        &mut Xoshiro256PlusPlus::seed_from_u64(seed),
    )
}

/// A random order in which each next one is drawn with the weight of its room in MiB. Integers only: the same everywhere.
fn rank(mut candidates: Vec<Candidate>, rng: &mut impl Rng) -> Vec<Candidate> {
    let weight = |one: &Candidate| (one.free.0 >> 20).min(u64::from(u32::MAX)) + 1;
    let mut ranked = Vec::with_capacity(candidates.len());
    while !candidates.is_empty() {
        let total: u64 = candidates.iter().map(weight).sum();
        let mut drawn = rng.random_range(0..total);
        let at = candidates
            .iter()
            .position(|one| {
                let own = weight(one);
                let here = drawn < own;
                drawn = drawn.saturating_sub(own);
                here
            })
            .unwrap_or(0);
        ranked.push(candidates.remove(at));
    }
    ranked
}

#[cfg(test)]
mod tests;
