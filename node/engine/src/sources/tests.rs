use proptest::prelude::*;

use super::*;

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn measured(latency_ms: u64) -> SourceHost {
    SourceHost {
        speed: Speed {
            latency_ms,
            per_mib_ms: 100,
        },
        waiting_count: 0,
    }
}

fn each_on_its_own(count: u8) -> Vec<(ShardIndex, NodeId)> {
    (0..count)
        .map(|number| (ShardIndex(number), node(number)))
        .collect()
}

const LEN: ByteCount = ByteCount(1 << 20);

#[test]
fn data_shards_are_read_directly_even_from_slow_hosts() {
    let hosts = BTreeMap::from([
        (node(0), measured(900)),
        (node(1), measured(900)),
        (node(2), measured(1)),
    ]);
    let wanted = BTreeSet::from([ShardIndex(0)]);
    let scheme = Scheme::new(2, 1).unwrap();
    let plan = choose(
        scheme,
        &wanted,
        &each_on_its_own(3),
        &BTreeSet::new(),
        (&hosts, LEN),
    );
    assert_eq!(
        plan,
        SourcePlan::Direct(BTreeMap::from([(ShardIndex(0), node(0))]))
    );
}

#[test]
fn a_failed_source_is_replaced_by_another_copy_then_by_parity_then_by_nothing() {
    let scheme = Scheme::new(2, 1).unwrap();
    let hosts: BTreeMap<_, _> = (0..4)
        .map(|number| (node(number), measured(u64::from(number))))
        .collect();
    let mut holders = each_on_its_own(3);
    holders.push((ShardIndex(0), node(3)));
    let wanted = BTreeSet::from([ShardIndex(0)]);
    let mut failed = BTreeSet::from([(ShardIndex(0), node(0))]);
    let plan = choose(scheme, &wanted, &holders, &failed, (&hosts, LEN));
    assert_eq!(
        plan,
        SourcePlan::Direct(BTreeMap::from([(ShardIndex(0), node(3))]))
    );
    failed.insert((ShardIndex(0), node(3)));
    let plan = choose(scheme, &wanted, &holders, &failed, (&hosts, LEN));
    assert_eq!(
        plan,
        SourcePlan::Decode(BTreeMap::from([
            (ShardIndex(1), node(1)),
            (ShardIndex(2), node(2))
        ]))
    );
    failed.insert((ShardIndex(2), node(2)));
    let plan = choose(scheme, &wanted, &holders, &failed, (&hosts, LEN));
    assert_eq!(
        plan,
        SourcePlan::TooFew {
            available: 1,
            needed: 2
        }
    );
}

#[test]
fn a_host_that_has_much_to_do_is_spared() {
    let scheme = Scheme::new(1, 1).unwrap();
    let waiting = SourceHost {
        waiting_count: 5,
        ..measured(1)
    };
    let hosts = BTreeMap::from([(node(0), waiting), (node(1), measured(2))]);
    let holders = [(ShardIndex(0), node(0)), (ShardIndex(0), node(1))];
    let plan = choose(
        scheme,
        &BTreeSet::from([ShardIndex(0)]),
        &holders,
        &BTreeSet::new(),
        (&hosts, LEN),
    );
    assert_eq!(
        plan,
        SourcePlan::Direct(BTreeMap::from([(ShardIndex(0), node(1))]))
    );
}

#[test]
fn measurements_order_hosts() {
    let (mut quick, mut slow, mut failing) = (Speed::default(), Speed::default(), Speed::default());
    for _ in 0..8 {
        quick.observe(Span(1), Span(11), ByteCount(1 << 20));
        slow.observe(Span(100), Span(2100), ByteCount(1 << 20));
    }
    failing.observe_failure();
    assert!(quick.expected(LEN, 0) < Speed::UNKNOWN.expected(LEN, 0));
    assert!(slow.expected(LEN, 0) > Speed::UNKNOWN.expected(LEN, 0));
    assert!(failing.expected(LEN, 0) > Speed::UNKNOWN.expected(LEN, 0));
    assert_eq!(quick.expected(LEN, 1), Span(2 * quick.expected(LEN, 0).0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_uses_only_live_holders_and_is_enough(
        data in 1..5_u8,
        parity in 0..5_u8,
        holders in prop::collection::vec((0..9_u8, 0..9_u8), 0..16),
        here in prop::collection::btree_set(0..9_u8, 0..9),
        failed in prop::collection::btree_set((0..9_u8, 0..9_u8), 0..6),
        wanted in prop::collection::btree_set(0..5_u8, 1..4),
    ) {
        let scheme = Scheme::new(data, parity).unwrap();
        let holders: Vec<_> = holders.into_iter().map(|(index, at)| (ShardIndex(index), node(at))).collect();
        let failed: BTreeSet<_> = failed.into_iter().map(|(index, at)| (ShardIndex(index), node(at))).collect();
        let hosts: BTreeMap<_, _> = here.into_iter().map(|at| (node(at), measured(u64::from(at)))).collect();
        let wanted: BTreeSet<_> = wanted.into_iter().filter(|index| *index < data).map(ShardIndex).collect();
        let usable = |index: ShardIndex, at: NodeId| {
            scheme.contains(index) && holders.contains(&(index, at)) && hosts.contains_key(&at) && !failed.contains(&(index, at))
        };
        let available: BTreeSet<ShardIndex> =
            holders.iter().filter(|(index, at)| usable(*index, *at)).map(|holder| holder.0).collect();
        match choose(scheme, &wanted, &holders, &failed, (&hosts, LEN)) {
            SourcePlan::Direct(plan) => {
                prop_assert_eq!(plan.keys().copied().collect::<BTreeSet<_>>(), wanted);
                prop_assert!(plan.into_iter().all(|(index, at)| usable(index, at)));
            }
            SourcePlan::Decode(plan) => {
                prop_assert!(!wanted.is_subset(&available));
                prop_assert_eq!(plan.len(), usize::from(data));
                prop_assert!(plan.into_iter().all(|(index, at)| usable(index, at)));
            }
            SourcePlan::TooFew { available: count, needed } => {
                prop_assert_eq!(usize::from(count), available.len());
                prop_assert!(count < needed && !wanted.is_subset(&available));
            }
        }
    }
}
