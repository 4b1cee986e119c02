use proptest::prelude::*;

use super::*;

#[test]
fn the_published_counts_come_out() {
    // "Remote data checking": detection of 99 % and 99.9 % for shares lost, by the formula above.
    for (lost, ninety_nine, three_nines) in [
        (0.001, 4603, 6905),
        (0.01, 459, 688),
        (0.05, 90, 135),
        (0.1, 44, 66),
        (0.2, 21, 31),
        (0.5, 7, 10),
    ] {
        assert_eq!(challenges_for(0.99, lost), ninety_nine);
        assert_eq!(challenges_for(0.999, lost), three_nines);
    }
}

#[test]
fn what_was_asked_for_is_detected_and_no_number_makes_a_flood() {
    for lost in [0.001, 0.01, 0.3] {
        let count = challenges_for(0.99, lost);
        assert!(detection(count, lost) >= 0.99);
        assert!(detection(count - 1, lost) < 0.99);
    }
    for (detection, lost) in [(1.0, 0.01), (0.99, 0.0), (0.99, 1.0), (f64::NAN, 0.1), (0.0, 0.1)] {
        assert!((1..=CHALLENGES_MAX).contains(&challenges_for(detection, lost)));
    }
}

#[test]
fn rounds_begin_for_all_hosts_of_an_archive_at_once_and_one_period_apart() {
    let archive = ArchiveId::from_bytes([7; 32]);
    for period in [Span(2000), Span::from_days(1)] {
        let start = round_of(&archive, Timestamp(1_800_000_000_000), period);
        assert_eq!(round_of(&archive, start, period), start);
        assert_eq!(
            round_of(&archive, Timestamp(start.0 + period.0 - 1), period),
            start
        );
        assert_eq!(
            round_of(&archive, start.after(period), period),
            start.after(period)
        );
    }
}

#[test]
fn the_rounds_of_a_month_ask_what_the_detection_takes_within_their_traffic() {
    let rules = AuditRules::default();
    assert_eq!(challenges_wanted(&rules), 459);
    assert!(30 * challenges_per_round(&rules) >= 459 && challenges_per_round(&rules) <= 16);
    for hosts in [1, 5, 12, 200] {
        let order = AuditOrder::round(&rules, hosts, false);
        assert!(order.bytes_max.0 * hosts <= rules.traffic.0);
        // A 1 TiB archive in packs of 16 MiB, each with a shard at each host.
        let counts = order.counts(65_536, 700, 0);
        let cost = u64::from(counts.random + counts.meta + counts.data) * CHALLENGE_COST;
        assert!(cost <= order.bytes_max.0, "{hosts} hosts");
        assert_eq!(counts.random, challenges_per_round(&rules));
        if hosts <= 5 {
            assert_eq!((counts.meta, counts.data), (50, 729));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_host_that_lost_a_share_is_found_as_often_as_was_computed(seed in any::<[u8; 32]>(), lost in 1_u64..30) {
        // Of 1000 groups, so many tens are gone; each audit asks 40 places.
        let (rounds, challenges) = (400, 40);
        let mut chance = Draw::new(seed);
        let found = (0..rounds).filter(|_| chance.places(1000, challenges).iter().any(|place| *place < lost * 10)).count();
        let expected = detection(challenges, lost as f64 / 100.0);
        let error = 4.5 * (expected * (1.0 - expected) / f64::from(rounds)).sqrt() + 0.003;
        let share = found as f64 / f64::from(rounds);
        prop_assert!((share - expected).abs() <= error, "{share} found, {expected} computed");
    }

    #[test]
    fn places_are_ascending_among_what_there_is_and_hit_every_part_alike(seed in any::<[u8; 32]>(), total in 1..10_000_u64) {
        let places = Draw::new(seed).places(total, 1600);
        prop_assert_eq!(places.len(), 1600);
        prop_assert!(places.is_sorted() && places.iter().all(|place| *place < total));
        if total >= 16 {
            let in_first_half = places.iter().filter(|place| **place < total / 2).count() as f64;
            let share = (total / 2) as f64 / total as f64;
            prop_assert!((in_first_half / 1600.0 - share).abs() < 0.08);
        }
    }

    #[test]
    fn an_order_never_asks_for_more_than_it_may_cost_nor_for_what_is_not_there(
        (data, meta, open) in (0..100_000_u64, 0..1000_u64, 0..20_000_u32),
        (random, parts, bytes) in (0..20_000_u32, 1..200_u64, 0..1_u64 << 30),
    ) {
        let order = AuditOrder {
            random,
            data_parts: Some(parts),
            meta_parts: Some(1),
            bytes_max: ByteCount(bytes),
        };
        let counts = order.counts(data, meta, open);
        let all = u64::from(counts.random) + u64::from(counts.meta) + u64::from(counts.data);
        let least = u64::from(random > 0 && open == 0 && data + meta > 0);
        prop_assert!(all <= (bytes / CHALLENGE_COST).max(least));
        prop_assert!(u64::from(open.max(CHALLENGES_MAX)) >= all.min(1) * u64::from(open) && all + u64::from(open.min(CHALLENGES_MAX)) <= u64::from(CHALLENGES_MAX).max(least));
        prop_assert!(u64::from(counts.data) <= data && u64::from(counts.meta) <= meta);
        prop_assert!(all >= least);
    }
}
