use nuthatch_engine::boundary::PackKind;
use nuthatch_engine::durability::shape_for;
use nuthatch_engine::repair::threshold;
use nuthatch_engine::targets::{Goals, Upkeep, hosts_fail_in_a_year};

use super::*;
use crate::durability::figures::{ordinary_year, row};
use crate::durability::peers::Lives;

fn year(friends: usize, knowledge: Knowledge) -> Setting {
    Setting {
        days: 365,
        knowledge,
        ..Setting::new(friends)
    }
}

fn sum(setting: &Setting, circles: u64) -> Tally {
    let mut sum = Tally::default();
    for circle in 0..circles {
        sum.add(&run(setting, 1, circle).unwrap());
    }
    sum
}

#[test]
fn the_same_seed_gives_the_same_years() {
    let setting = Setting::new(5);
    assert_eq!(run(&setting, 3, 4), run(&setting, 3, 4));
    assert_ne!(run(&setting, 3, 4), run(&setting, 4, 4));
}

#[test]
fn nothing_is_moved_where_nobody_dies_and_absences_end_before_the_grace() {
    let lives = Lives {
        life: 1e9,
        between_disasters: 1e9,
        absence: (0.1, 13.9),
        ..Lives::default()
    };
    let setting = Setting {
        lives,
        ..year(5, Knowledge::Node)
    };
    let tally = sum(&setting, 50);
    assert_eq!((tally.rebuilt, tally.below_k, tally.lost), (0, 0, 0));
    assert!(tally.days_below_target.abs() < f64::EPSILON);
}

#[test]
fn without_repair_worth_the_name_data_is_lost() {
    // Uploads that never end: the checkers must be able to fail.
    let setting = Setting {
        upload_an_hour: 1.0,
        ..Setting::new(5)
    };
    assert!(sum(&setting, 50).lost > 0);
}

fn by_history() -> Shaping {
    Shaping::ByHistory(Goals::default())
}

#[test]
fn ordinary_friends_lose_nothing_in_a_year_and_repair_costs_little_more_than_knowing() {
    for (friends, shaping, circles) in [
        (5, Shaping::ByNumber, 120),
        (12, Shaping::ByNumber, 120),
        (5, by_history(), 12),
        (12, by_history(), 6),
    ] {
        for seed in 1..=4 {
            // Circles of different settings are different ones.
            let peers = circles * (friends as u64 + 1);
            let year = row(ordinary_year(friends, shaping), peers, seed);
            let ours = year.ours;
            assert_eq!(
                (ours.below_k, ours.lost),
                (0, 0),
                "{friends} friends, seed {seed}"
            );
            assert_eq!(ours.rebuilt_within_grace, 0, "{friends} friends, seed {seed}");
            assert_eq!(ours.deaths, 2 * circles);
            // What Carbonite reached (Chun et al., NSDI 2006): 1.44 times the traffic of an oracle.
            assert!(
                year.ratio() <= 1.44,
                "{friends} friends, seed {seed}: {}",
                year.ratio()
            );
        }
    }
}

#[test]
fn what_was_seen_of_friends_makes_restoring_likely_where_the_table_does_not() {
    let (table, seen) = (
        Setting::new(12),
        Setting {
            shaping: by_history(),
            ..Setting::new(12)
        },
    );
    let restorable = |tally: &Tally| tally.restorable as f64 / tally.looks as f64;
    let (before, after) = (sum(&table, 20), sum(&seen, 20));
    assert!(restorable(&before) < 0.4, "{}", restorable(&before));
    assert!(restorable(&after) > 0.8, "{}", restorable(&after));
    assert!(after.restorable_in_a_day * 100 > after.looks * 98);
    // Nobody keeps more than three times what each backs up.
    assert!(after.busiest / after.circles as f64 <= 3.3, "{after:?}");
    assert!(after.below_k <= before.below_k);
}

#[test]
fn losses_are_those_that_the_engine_computes() {
    for friends in [3, 5, 12] {
        let setting = Setting::new(friends);
        let target = target_for(friends, None);
        let scheme = shape_for(friends, target, PackKind::Data).unwrap();
        let tally = sum(&setting, 1500 / friends as u64);
        let seen = tally.lost as f64 / (tally.days / 365.0);
        let (hazard, upkeep) = (365.0 / setting.lives.life, Upkeep::default());
        let computed = hosts_fail_in_a_year(scheme, threshold(scheme, target), hazard, &upkeep)
            .and_owner(hazard, &upkeep);
        let ratio = seen / computed;
        assert!(
            (0.4..2.5).contains(&ratio),
            "{friends} friends: {seen} seen, {computed} computed"
        );
    }
}
