use std::collections::BTreeSet;

use nuthatch_format::NodeId;
use proptest::prelude::*;

use super::*;

fn domain(number: u8) -> Domain {
    Domain(NodeId::from_bytes([number; 32]))
}

fn scheme(data: u8, parity: u8) -> Scheme {
    Scheme::new(data, parity).unwrap()
}

/// The slow twin: removes every set of domains and counts the shards that are left.
fn survives_by_trying_all(scheme: Scheme, holders: &[(ShardIndex, Domain)]) -> Option<u8> {
    let domains: Vec<Domain> = holders
        .iter()
        .map(|holder| holder.1)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut smallest_fatal = None;
    for gone in 0_u32..1 << domains.len() {
        let left: BTreeSet<ShardIndex> = holders
            .iter()
            .filter(|(index, _)| index.0 < scheme.total())
            .filter(|(_, at)| {
                domains
                    .iter()
                    .position(|one| one == at)
                    .is_some_and(|bit| gone >> bit & 1 == 0)
            })
            .map(|(index, _)| *index)
            .collect();
        if left.len() < usize::from(scheme.data()) {
            smallest_fatal = smallest_fatal
                .min(Some(gone.count_ones()))
                .or(Some(gone.count_ones()));
        }
    }
    match smallest_fatal {
        Some(0) => None,
        Some(count) => Some((count - 1) as u8),
        None => unreachable!("without any domain no stripe can be read"),
    }
}

#[test]
fn shapes_are_those_of_the_design() {
    let expected = [
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 2),
        (2, 3),
        (3, 3),
        (4, 3),
        (5, 3),
        (5, 4),
        (6, 4),
        (7, 4),
    ];
    for (hosts, (data, parity)) in (1..).zip(expected) {
        let shape = shape_for(hosts, target_for(hosts, None), PackKind::Data);
        assert_eq!(shape, Some(scheme(data, parity)), "{hosts} hosts");
    }
    assert_eq!(shape_for(20, 3, PackKind::Data), Some(scheme(16, 4)));
    assert_eq!(shape_for(200, 3, PackKind::Data), Some(scheme(16, 4)));
    assert_eq!(shape_for(0, 0, PackKind::Data), None);
    assert_eq!(shape_for(6, 2, PackKind::Meta), Some(scheme(2, 4)));
    assert_eq!(shape_for(3, 1, PackKind::Meta), Some(scheme(1, 2)));
}

#[test]
fn a_backup_made_with_one_friend_gets_a_better_shape_when_friends_join() {
    let alone = scheme(1, 0);
    assert_eq!(reshape(alone, 1, target_for(1, None), PackKind::Data), None);
    assert_eq!(
        reshape(alone, 2, target_for(2, None), PackKind::Data),
        Some(scheme(1, 1))
    );
    assert_eq!(
        reshape(alone, 3, target_for(3, None), PackKind::Data),
        Some(scheme(1, 2))
    );
    assert_eq!(
        reshape(scheme(1, 1), 3, target_for(3, None), PackKind::Data),
        None
    );
}

#[test]
fn shards_in_one_house_count_once() {
    let doubled = [
        (ShardIndex(0), domain(1)),
        (ShardIndex(1), domain(1)),
        (ShardIndex(2), domain(2)),
    ];
    assert_eq!(survives(scheme(1, 2), &doubled), Some(1));
    assert_eq!(survives(scheme(2, 1), &doubled), Some(0));
    assert_eq!(
        verdict(scheme(2, 1), &doubled, 1),
        Safety::Recoverable { survives: 0 }
    );
    assert_eq!(verdict(scheme(3, 0), &doubled[..2], 0), Safety::Staged);
}

#[test]
fn a_copy_of_a_shard_counts_where_it_saves_something() {
    let holders = |indices: &[u8]| {
        let holders = (0..)
            .zip(indices)
            .map(|(at, index)| (ShardIndex(*index), domain(at)));
        holders.collect::<Vec<_>>()
    };
    // Of one data shard every copy is all of it.
    assert_eq!(survives(scheme(1, 1), &holders(&[0, 0])), Some(1));
    assert_eq!(survives(scheme(1, 2), &holders(&[0, 0, 1])), Some(2));
    // Of several, two copies of one shard are no two shards.
    assert_eq!(survives(scheme(2, 2), &holders(&[0, 0, 1, 2])), Some(1));
    assert_eq!(survives(scheme(2, 2), &holders(&[0, 0, 1, 1])), Some(1));
    assert_eq!(survives(scheme(3, 0), &holders(&[0, 0, 1])), None);
}

#[test]
fn a_snapshot_is_as_safe_as_its_least_safe_part() {
    let held = |count: u8| {
        (0..count)
            .map(|index| (ShardIndex(index), domain(index)))
            .collect::<Vec<_>>()
    };
    let mut safety = SnapshotSafety::new(2, (0..5).map(domain));
    safety.add_pack([(scheme(2, 3), held(5))]);
    assert_eq!(safety.finish(), Safety::Protected { survives: 3 });
    safety.add_pack([(scheme(1, 0), held(1)), (scheme(2, 3), held(4))]);
    assert_eq!(safety.finish(), Safety::Protected { survives: 2 });
    safety.add_pack([(scheme(1, 0), held(1))]);
    assert_eq!(safety.finish(), Safety::Recoverable { survives: 0 });
    safety.add_pack([]);
    assert_eq!(safety.finish(), Safety::Staged);
    assert_eq!(
        SnapshotSafety::new(0, [domain(1), domain(1)]).finish(),
        Safety::Protected { survives: 0 }
    );
    assert_eq!(SnapshotSafety::new(0, []).finish(), Safety::Staged);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_verdict_never_promises_more_than_the_truth(
        data in 1..4_u8,
        parity in 0..4_u8,
        holders in prop::collection::vec((0..8_u8, 0..6_u8), 0..12),
    ) {
        let holders: Vec<_> = holders.into_iter().map(|(index, at)| (ShardIndex(index), domain(at))).collect();
        let (said, truth) = (survives(scheme(data, parity), &holders), survives_by_trying_all(scheme(data, parity), &holders));
        prop_assert!(said <= truth);
        prop_assert_eq!(said.is_some(), truth.is_some());
    }

    #[test]
    fn a_verdict_is_exact_when_each_shard_has_one_holder_in_a_domain_of_its_own(
        data in 1..5_u8,
        parity in 0..5_u8,
        held in 0..10_u8,
    ) {
        let shape = scheme(data, parity);
        let holders: Vec<_> = (0..held.min(shape.total())).map(|at| (ShardIndex(at), domain(at))).collect();
        prop_assert_eq!(survives(shape, &holders), survives_by_trying_all(shape, &holders));
    }

    #[test]
    fn a_verdict_is_exact_when_no_domain_has_several_shards(
        data in 1..4_u8,
        parity in 0..4_u8,
        held in prop::collection::vec(prop::option::of(0..8_u8), 0..9),
    ) {
        let shape = scheme(data, parity);
        let held = (0..).zip(held).filter_map(|(at, index)| Some((ShardIndex(index?), domain(at))));
        let holders: Vec<_> = held.collect();
        prop_assert_eq!(survives(shape, &holders), survives_by_trying_all(shape, &holders));
    }

    #[test]
    fn one_more_holder_never_makes_it_less_safe(
        data in 1..4_u8,
        holders in prop::collection::vec((0..6_u8, 0..6_u8), 1..12),
    ) {
        let holders: Vec<_> = holders.into_iter().map(|(index, at)| (ShardIndex(index), domain(at))).collect();
        let shape = scheme(data, 3);
        prop_assert!(survives(shape, &holders[1..]) <= survives(shape, &holders));
    }

    #[test]
    fn every_shape_survives_its_target_where_hosts_allow(hosts in 1..60_usize, survive in prop::option::of(0..12_u8)) {
        let target = target_for(hosts, survive);
        for kind in [PackKind::Data, PackKind::Meta] {
            let shape = shape_for(hosts, target, kind).unwrap();
            prop_assert!(usize::from(shape.total()) <= hosts.min(STRIPE_HOSTS_MAX));
            prop_assert!(usize::from(shape.parity()) >= usize::from(target).min(hosts.min(STRIPE_HOSTS_MAX) - 1));
        }
    }

    #[test]
    fn reshaping_gains_and_ends(data in 1..8_u8, parity in 0..8_u8, hosts in 0..30_usize, survive in prop::option::of(0..12_u8)) {
        let target = target_for(hosts, survive);
        let mut current = scheme(data, parity);
        if let Some(better) = reshape(current, hosts, target, PackKind::Data) {
            let count = hosts.min(STRIPE_HOSTS_MAX) as u8;
            prop_assert!(survives_at_best(better, count) > survives_at_best(current, count));
            current = better;
            prop_assert_eq!(reshape(current, hosts, target, PackKind::Data), None);
        }
    }
}
