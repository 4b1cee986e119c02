//! Stewards of an archive, and which of them looks after a stripe. Pure.
//!
//! Nobody is asked and nothing is agreed on: stewards who see each other come to the same answer by themselves, and those who do not
//! may both rebuild a stripe. That costs a copy and loses nothing, since a steward only ever adds.

use std::collections::BTreeSet;

use nuthatch_format::{ArchiveId, LabelId, NodeId};

/// An archive of somebody else's that this node is a steward of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stewardship {
    /// Which.
    pub archive: ArchiveId,
    /// All its stewards, this node among them.
    pub stewards: BTreeSet<NodeId>,
    /// The nodes of its devices.
    pub devices: BTreeSet<NodeId>,
}

/// The steward of a stripe among those that are here; `None` when there is none.
///
/// Highest random weight (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 1998): when one comes or
/// goes, only the stripes that it gains or had change hands.
pub fn elect(label: &LabelId, here: &BTreeSet<NodeId>) -> Option<NodeId> {
    here.iter()
        .copied()
        .max_by_key(|node| (weight(label, node), *node))
}

/// A number for a stripe and a node, as good as random: labels are hashes. Who chooses its own id to be elected more often gets more work.
fn weight(label: &LabelId, node: &NodeId) -> u64 {
    let words = |bytes: &[u8; 32]| {
        let (words, _) = bytes.as_chunks::<8>();
        words
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect::<Vec<_>>()
    };
    let all = words(label.as_bytes()).into_iter().chain(words(node.as_bytes()));
    all.fold(0, |state, word| mixed(state ^ word))
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
const fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn label(number: u32) -> LabelId {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        LabelId::from_bytes(bytes)
    }

    proptest! {
        #[test]
        fn among_stewards_who_see_each_other_exactly_one_is_elected(
            numbers in btree_set(any::<u8>(), 1..12),
            stripe: u32,
        ) {
            let here: BTreeSet<NodeId> = numbers.into_iter().map(node).collect();
            let takes_it = |own: &&NodeId| elect(&label(stripe), &here) == Some(**own);
            prop_assert_eq!(here.iter().filter(takes_it).count(), 1);
        }

        #[test]
        fn whoever_goes_hands_on_its_own_stripes_and_no_others(
            numbers in btree_set(any::<u8>(), 2..12),
            stripe: u32,
            gone: prop::sample::Index,
        ) {
            let all: BTreeSet<NodeId> = numbers.into_iter().map(node).collect();
            let gone = *gone.get(&all.iter().copied().collect::<Vec<_>>());
            let left: BTreeSet<NodeId> = all.iter().copied().filter(|one| *one != gone).collect();
            let before = elect(&label(stripe), &all);
            prop_assert!(before == Some(gone) || elect(&label(stripe), &left) == before);
        }

        #[test]
        fn of_a_stripe_that_somebody_sees_somebody_is_the_steward(
            numbers in btree_set(any::<u8>(), 1..8),
            seen in prop::collection::vec(any::<u8>(), 8),
            stripe: u32,
        ) {
            // Each sees itself and any part of the others: the one with the highest weight of all always takes it.
            let all: BTreeSet<NodeId> = numbers.into_iter().map(node).collect();
            let takes_it = |(own, mask): (&NodeId, &u8)| {
                let sees = |(at, one): (usize, &NodeId)| (one == own || mask & (1 << at) != 0).then_some(*one);
                let here: BTreeSet<NodeId> = all.iter().enumerate().filter_map(sees).collect();
                elect(&label(stripe), &here) == Some(*own)
            };
            prop_assert!(all.iter().zip(&seen).any(takes_it));
        }
    }

    #[test]
    fn the_work_is_shared_evenly() {
        let here: BTreeSet<NodeId> = (1..=3).map(node).collect();
        for own in &here {
            let count = (0..3000)
                .filter(|stripe| elect(&label(*stripe), &here) == Some(*own))
                .count();
            assert!((900..1100).contains(&count), "{count} of 3000");
        }
        assert_eq!(elect(&label(0), &BTreeSet::new()), None);
    }
}
