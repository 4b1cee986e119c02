//! What it would take to lose an archive: the smallest sets of failure domains (houses, or single hosts) whose loss leaves some pack
//! unreadable. Pure; shows, decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_erasure::{Scheme, ShardIndex};

use crate::boundary::Domain;
use crate::durability::survives;

/// Sets that are named (count); of twelve hosts any four is 495 of them, which nobody reads.
pub const FATAL_SETS_MAX: usize = 16;

/// Sets that are tried for one stripe (count): every choice of ten out of twenty.
const TRIES_MAX: usize = 184_756;

/// Smallest sets of domains whose loss loses something, found by going once over all stripes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exposure {
    domain_count: Option<usize>,
    sets: BTreeSet<BTreeSet<Domain>>,
    is_cut: bool,
    seen: BTreeSet<(u8, BTreeMap<Domain, BTreeSet<ShardIndex>>)>,
}

/// Patterns of holders that are remembered so as not to be tried twice (count). Beyond it they are tried again; nothing else changes.
const PATTERNS_MAX: usize = 4096;

impl Exposure {
    /// Adds a stripe by who holds it. Each pack by the best of its stripes: a pack with two labels is lost only with both.
    pub fn add_stripe(&mut self, scheme: Scheme, holders: &[(ShardIndex, Domain)]) {
        let mut held: BTreeMap<Domain, BTreeSet<ShardIndex>> = BTreeMap::new();
        for (index, domain) in holders.iter().filter(|holder| holder.0.0 < scheme.total()) {
            held.entry(*domain).or_default().insert(*index);
        }
        if self.seen.len() < PATTERNS_MAX && !self.seen.insert((scheme.data(), held.clone())) {
            return;
        }
        // Fewer than `survives` says can't be fatal; where domains have several shards a few more may be needed.
        let least = survives(scheme, holders).map_or(0, |survives| usize::from(survives) + 1);
        for count in least..=held.len() {
            if self.domain_count.is_some_and(|smallest| smallest < count) {
                return;
            }
            let (found, is_cut) = fatal_sets(scheme, &held, count);
            if found.is_empty() {
                continue;
            }
            if self.domain_count != Some(count) {
                self.sets.clear();
                self.is_cut = false;
                self.domain_count = Some(count);
            }
            self.is_cut |= is_cut;
            self.sets.extend(found);
            while self.sets.len() > FATAL_SETS_MAX {
                self.sets.pop_last();
                self.is_cut = true;
            }
            return;
        }
    }

    /// How many domains it takes (count); 0: something can't be read as it is; `None`: there is nothing to lose.
    pub const fn domain_count(&self) -> Option<usize> {
        self.domain_count
    }

    /// The sets, at most [`FATAL_SETS_MAX`].
    pub const fn sets(&self) -> &BTreeSet<BTreeSet<Domain>> {
        &self.sets
    }

    /// Whether there are more than are named.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// Sets of just so many domains without which fewer than `data` different shards are left, in the order of their names; and whether
/// there are more than are given.
fn fatal_sets(
    scheme: Scheme,
    held: &BTreeMap<Domain, BTreeSet<ShardIndex>>,
    count: usize,
) -> (Vec<BTreeSet<Domain>>, bool) {
    let domains: Vec<(&Domain, &BTreeSet<ShardIndex>)> = held.iter().collect();
    let mut picked: Vec<usize> = (0..count).collect();
    let mut found = Vec::new();
    for _ in 0..TRIES_MAX {
        let is_picked = |at: &usize| picked.contains(at);
        let left: BTreeSet<ShardIndex> = domains
            .iter()
            .enumerate()
            .filter(|(at, _)| !is_picked(at))
            .flat_map(|(_, (_, shards))| shards.iter().copied())
            .collect();
        if left.len() < usize::from(scheme.data()) {
            if found.len() == FATAL_SETS_MAX {
                return (found, true);
            }
            let set = picked
                .iter()
                .filter_map(|at| domains.get(*at))
                .map(|(domain, _)| **domain);
            found.push(set.collect());
        }
        if !pick_next(&mut picked, domains.len()) {
            return (found, false);
        }
    }
    (found, true)
}

/// The next choice of as many out of `all`, in order; whether there is one.
fn pick_next(picked: &mut [usize], all: usize) -> bool {
    let count = picked.len();
    for place in (0..count).rev() {
        let Some(at) = picked.get(place).copied() else {
            return false;
        };
        if at + (count - place) < all {
            for (step, later) in picked.iter_mut().skip(place).enumerate() {
                *later = at + 1 + step;
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nuthatch_format::NodeId;
    use proptest::prelude::*;

    use super::*;

    fn domain(number: u8) -> Domain {
        Domain(NodeId::from_bytes([number; 32]))
    }

    fn holders(domains: &[u8]) -> Vec<(ShardIndex, Domain)> {
        (0..)
            .zip(domains)
            .map(|(index, at)| (ShardIndex(index), domain(*at)))
            .collect()
    }

    #[test]
    fn a_house_with_two_shards_is_named_alone() {
        let mut exposure = Exposure::default();
        exposure.add_stripe(Scheme::new(3, 1).unwrap(), &holders(&[1, 1, 2, 3]));
        assert_eq!(exposure.domain_count(), Some(1));
        assert_eq!(exposure.sets(), &BTreeSet::from([BTreeSet::from([domain(1)])]));
        assert!(!exposure.is_cut());
    }

    #[test]
    fn the_weakest_stripe_counts_and_many_sets_are_cut() {
        let mut exposure = Exposure::default();
        exposure.add_stripe(
            Scheme::new(8, 4).unwrap(),
            &holders(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        );
        assert_eq!((exposure.domain_count(), exposure.is_cut()), (Some(5), true));
        exposure.add_stripe(Scheme::new(2, 1).unwrap(), &holders(&[4, 7, 9]));
        assert_eq!((exposure.domain_count(), exposure.is_cut()), (Some(2), false));
        assert_eq!(exposure.sets().len(), 3);
        exposure.add_stripe(Scheme::new(2, 1).unwrap(), &holders(&[4]));
        assert_eq!(exposure.domain_count(), Some(0));
        assert_eq!(Exposure::default().domain_count(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_smaller_set_is_fatal_and_every_named_one_is(
            data in 1..4_u8,
            parity in 0..4_u8,
            at in prop::collection::vec((0..8_u8, 1..6_u8), 0..9),
        ) {
            let scheme = Scheme::new(data, parity).unwrap();
            let holders: Vec<_> = at.iter().map(|(index, at)| (ShardIndex(*index), domain(*at))).collect();
            let mut exposure = Exposure::default();
            exposure.add_stripe(scheme, &holders);
            let domains: BTreeSet<Domain> = holders.iter().map(|holder| holder.1).collect();
            let domains: Vec<Domain> = domains.into_iter().collect();
            // The slow twin: every set there is.
            let mut smallest = None;
            for gone in 0_u32..1 << domains.len() {
                let is_gone = |at: &Domain| domains.iter().position(|one| one == at).is_some_and(|bit| gone >> bit & 1 == 1);
                let left: BTreeSet<_> = holders.iter()
                    .filter(|(index, at)| index.0 < scheme.total() && !is_gone(at))
                    .map(|holder| holder.0).collect();
                if left.len() < usize::from(data) {
                    smallest = Some(smallest.unwrap_or(u32::MAX).min(gone.count_ones()));
                }
            }
            prop_assert_eq!(exposure.domain_count().map(|count| count as u32), smallest);
            for set in exposure.sets() {
                let left: BTreeSet<_> = holders.iter()
                    .filter(|(index, at)| index.0 < scheme.total() && !set.contains(at))
                    .map(|holder| holder.0).collect();
                prop_assert!(left.len() < usize::from(data));
            }
        }
    }
}
