use nuthatch_format::NodeId;
use proptest::prelude::*;

use super::*;
use crate::boundary::Domain;
use crate::durability::{shape_for, target_for};

/// Hosts that were here in about so many of a thousand looks, one an hour for nine weeks.
fn seen(here: &[u32]) -> Histories {
    let host = |(number, here): (u8, &u32)| {
        let mut host = HostHistory::new(Domain(NodeId::from_bytes([number; 32])), Span::from_days(63));
        for look in 0..1512_u64 {
            // SplitMix64: looks at one host tell nothing of another, nor of the hour.
            let mut word = (u64::from(number) << 32 | look).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            host.look(look as usize, (word >> 33) % 1000 < u64::from(*here));
        }
        host
    };
    Histories {
        hosts: (1..).zip(here).map(host).collect(),
        ..Histories::default()
    }
}

/// Twelve friends as they were measured: a third nearly always here, a third half the time, a third seldom.
fn twelve() -> Histories {
    seen(&[960, 960, 960, 960, 560, 560, 560, 560, 160, 160, 160, 160])
}

#[test]
fn a_young_circle_keeps_the_rule_by_numbers() {
    let mut young = twelve();
    for host in young.hosts.iter_mut().take(4) {
        *host = HostHistory::new(host.domain, Span::from_days(2));
    }
    assert_eq!(choose(&young, 3, PackKind::Data, &Goals::default()), None);
    assert_eq!(
        choose(&Histories::default(), 0, PackKind::Data, &Goals::default()),
        None
    );
    // One new friend among many changes nothing for the others.
    let mut one_new = twelve();
    if let Some(host) = one_new.hosts.last_mut() {
        *host = HostHistory::new(host.domain, Span::ZERO);
    }
    assert!(choose(&one_new, 3, PackKind::Data, &Goals::default()).is_some());
}

#[test]
fn sleeping_friends_get_a_shape_that_can_be_restored_where_the_table_can_not() {
    let (histories, goals) = (twelve(), Goals::default());
    let target = target_for(12, None);
    let table = shape_for(12, target, PackKind::Data).unwrap();
    let all: Vec<usize> = (0..12).collect();
    let before = outlook(
        (&histories, &Hours::of(&histories)),
        table,
        &all,
        (target, &goals),
    );
    assert!(before.restorable_now < 0.35, "{before:?}");
    let choice = choose(&histories, target, PackKind::Data, &goals).unwrap();
    assert!(choice.outlook.meets(&goals), "{choice:?}");
    assert!(stored(choice.scheme) <= 2.26, "{choice:?}");
    // Who is here most comes first.
    assert!(choice.hosts.iter().take(4).all(|place| *place < 4));
    let meta = choose(&histories, target, PackKind::Meta, &goals).unwrap();
    assert!(meta.outlook.restorable_now >= choice.outlook.restorable_now);
    assert!(meta.scheme.parity() > choice.scheme.parity());
}

#[test]
fn friends_who_are_always_here_cost_little_more_than_the_table() {
    for (hosts, stored_max) in [(3, 3.0), (5, 2.5), (8, 2.0), (12, 2.0), (20, 1.9)] {
        let target = target_for(hosts, None);
        let choice = choose(
            &seen(&vec![990; hosts]),
            target,
            PackKind::Data,
            &Goals::default(),
        )
        .unwrap();
        assert!(choice.outlook.meets(&Goals::default()), "{choice:?}");
        assert!(stored(choice.scheme) <= stored_max + 0.001, "{choice:?}");
    }
}

#[test]
fn where_nothing_meets_the_goals_the_likeliest_is_chosen() {
    let histories = seen(&[160; 3]);
    let choice = choose(&histories, 1, PackKind::Data, &Goals::default()).unwrap();
    assert!(!choice.outlook.meets(&Goals::default()));
    assert_eq!((choice.scheme.data(), choice.hosts.len()), (1, 3));
}

#[test]
fn hosts_that_go_off_together_count_as_what_they_are() {
    let mut histories = seen(&[600; 6]);
    let all: Vec<usize> = (0..6).collect();
    let alone = Hours::of(&histories).here_at_once(&all, 1.0);
    for one in 0..6 {
        for other in one + 1..6 {
            histories.together.push(Together {
                one,
                other,
                looks: 1512,
                both_away: 600,
            });
        }
    }
    assert_eq!(histories.dependences().len(), 15);
    let together = Hours::of(&histories).here_at_once(&all, 1.0);
    // Somebody is nearly always here, unless they share a switch.
    assert!(alone[0] < 0.01 && together[0] > 0.2, "{alone:?} {together:?}");
    // As often as independent hosts are away together tells nothing.
    for pair in &mut histories.together {
        pair.both_away = 242;
    }
    assert!(histories.dependences().is_empty());
    assert_eq!(Hours::of(&histories).here_at_once(&all, 1.0), alone);
}

#[test]
fn who_has_stayed_is_likelier_to_stay_and_a_circle_learns_from_its_losses() {
    let mut histories = seen(&[900, 900]);
    histories.hosts[1].age = Span(YEAR.0 * 5);
    assert!(histories.hazard(1) < histories.hazard(0) / 2.0);
    let before = histories.hazard(0);
    histories.watched = Span(YEAR.0 * 20);
    assert!(histories.hazard(0) < before / 3.0);
    histories.lost_count = 20;
    assert!(histories.hazard(0) > before);
}

#[test]
fn a_year_without_repair_is_the_binomial_one() {
    // 1+1 with a loss a year each of 5 % and no repair: both lost with about 0.0025 (published: 3e-3 with 5 %).
    let never = Upkeep {
        repair_days: 1e9,
        disasters_a_year: 0.0,
        disaster_share: 0.0,
    };
    let scheme = Scheme::new(1, 1).unwrap();
    let lost = hosts_fail_in_a_year(scheme, 2, 0.0513, &never).one_by_one;
    assert!((lost / 0.0025 - 1.0).abs() < 0.05, "{lost}");
    // 2-of-4: three of four lost, 5e-4 in print.
    let lost = hosts_fail_in_a_year(Scheme::new(2, 2).unwrap(), 4, 0.0513, &never).one_by_one;
    assert!((lost / 4.8e-4 - 1.0).abs() < 0.06, "{lost}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn odds_are_odds_and_a_choice_obeys_its_bounds(here in prop::collection::vec(50..1000_u32, 1..14), target in 0..4_u8) {
        let (histories, goals) = (seen(&here), Goals::default());
        let all: Vec<usize> = (0..here.len()).collect();
        let sum: f64 = Hours::of(&histories).here_at_once(&all, 1.0).iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-9);
        let choice = choose(&histories, target, PackKind::Data, &goals).unwrap();
        prop_assert_eq!(choice.hosts.len(), usize::from(choice.scheme.total()));
        let parity_min = (usize::from(target) + 1).min(here.len() - 1);
        prop_assert!(usize::from(choice.scheme.parity()) >= parity_min);
        prop_assert!(usize::from(choice.scheme.data()) >= here.len().div_ceil(3).min(here.len() - parity_min));
        prop_assert!((0.0..=1.0).contains(&choice.outlook.loss_a_year));
        prop_assert!((0.0..=1.0 + 1e-9).contains(&choice.outlook.restorable_now));
    }

    #[test]
    fn more_parity_never_loses_more(data in 1..6_u8, parity in 1..6_u8, hazard in 0.05..0.6_f64) {
        let lost = |parity: u8| {
            let scheme = Scheme::new(data, parity).unwrap();
            let upkeep = Upkeep::default();
            hosts_fail_in_a_year(scheme, scheme.total(), hazard, &upkeep).and_owner(hazard, &upkeep)
        };
        prop_assert!(lost(parity) <= lost(parity - 1) + 1e-12);
    }
}
