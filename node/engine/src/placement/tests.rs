use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::matching::tests::largest_by_trying_all;

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

/// Nodes 0 and 1 share a house, 2 and 3 another one, the others live alone.
fn domain(number: u8) -> Domain {
    Domain(node(if number < 4 { number / 2 * 2 } else { number }))
}

fn candidate(number: u8, free: u64) -> Candidate {
    Candidate {
        node: node(number),
        domain: domain(number),
        free: ByteCount(free),
    }
}

fn generator(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

#[test]
fn every_shard_of_a_new_stripe_gets_a_host_when_there_are_enough() {
    let hosts: Vec<Candidate> = (4..9).map(|number| candidate(number, 1 << 30)).collect();
    let placement = place(Scheme::new(2, 3).unwrap(), &[], &hosts, &mut generator(1));
    assert_eq!(placement.moves.len(), 5);
    assert!(placement.waiting.is_empty());
}

#[test]
fn a_held_shard_stays_where_it_is() {
    let holders = [(ShardIndex(1), node(4), domain(4))];
    let placement = place(
        Scheme::new(1, 1).unwrap(),
        &holders,
        &[candidate(4, 1), candidate(5, 1)],
        &mut generator(1),
    );
    assert_eq!(placement.moves, BTreeMap::from([(ShardIndex(0), node(5))]));
}

#[test]
fn more_room_draws_more_shards() {
    let hosts = [candidate(4, 900 << 20), candidate(5, 100 << 20)];
    let mut generator = generator(7);
    let single = Scheme::new(1, 0).unwrap();
    let to_larger = (0..1000)
        .filter(|_| {
            place(single, &[], &hosts, &mut generator)
                .moves
                .get(&ShardIndex(0))
                == Some(&node(4))
        })
        .count();
    assert!((850..950).contains(&to_larger), "{to_larger} of 1000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_two_shards_share_a_host_or_a_domain_and_none_is_left_out_needlessly(
        data in 1..4_u8,
        parity in 0..4_u8,
        holders in prop::collection::vec((0..7_u8, 0..8_u8), 0..6),
        hosts in prop::collection::btree_set(0..10_u8, 0..8),
        seed in any::<u64>(),
    ) {
        let scheme = Scheme::new(data, parity).unwrap();
        let holders: Vec<_> = holders
            .into_iter()
            .filter(|(index, _)| *index < scheme.total())
            .map(|(index, at)| (ShardIndex(index), node(at), domain(at)))
            .collect();
        let candidates: Vec<Candidate> = hosts.iter().map(|number| candidate(*number, u64::from(*number) << 24)).collect();
        let placement = place(scheme, &holders, &candidates, &mut generator(seed));

        let holding: BTreeSet<NodeId> = holders.iter().map(|holder| holder.1).collect();
        let targets: BTreeSet<NodeId> = placement.moves.values().copied().collect();
        prop_assert_eq!(targets.len(), placement.moves.len());
        prop_assert!(targets.is_disjoint(&holding));
        let target_domains: BTreeSet<Domain> =
            candidates.iter().filter(|one| targets.contains(&one.node)).map(|one| one.domain).collect();
        prop_assert_eq!(target_domains.len(), targets.len());

        // The slow twin says how many shards can have a domain of their own.
        let number_of = |domain: Domain| usize::from(domain.0.as_bytes()[0]);
        let edges: Vec<Vec<usize>> = scheme
            .indices()
            .map(|index| {
                let held = holders.iter().filter(|holder| holder.0 == index).map(|holder| number_of(holder.2));
                let open = candidates.iter().filter(|one| !holding.contains(&one.node)).map(|one| number_of(one.domain));
                held.chain(open).collect::<BTreeSet<_>>().into_iter().collect()
            })
            .collect();
        let possible = largest_by_trying_all(&edges, &mut Vec::new());
        prop_assert_eq!(usize::from(scheme.total()) - placement.waiting.len(), possible);
    }

    #[test]
    fn the_same_seed_places_alike(seed in any::<u64>(), hosts in 1..9_u8) {
        let candidates: Vec<Candidate> = (0..hosts).map(|number| candidate(number, 1 << 30)).collect();
        let scheme = Scheme::new(2, 2).unwrap();
        prop_assert_eq!(
            place(scheme, &[], &candidates, &mut generator(seed)),
            place(scheme, &[], &candidates, &mut generator(seed))
        );
    }
}
