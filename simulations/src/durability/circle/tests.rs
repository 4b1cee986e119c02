use super::*;
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

#[test]
fn ordinary_friends_lose_nothing_in_a_year_and_repair_costs_little_more_than_knowing() {
    for friends in [5, 12] {
        let lives = Lives {
            between_disasters: 1e9,
            ..Lives::default()
        };
        let ours = sum(
            &Setting {
                lives,
                ..year(friends, Knowledge::Node)
            },
            400,
        );
        let oracle = sum(
            &Setting {
                lives,
                ..year(friends, Knowledge::Oracle)
            },
            400,
        );
        assert_eq!((ours.below_k, ours.lost), (0, 0), "{friends} friends");
        // What Carbonite reached (Chun et al., NSDI 2006): 1.44 times the traffic of an oracle.
        let ratio = ours.repair_bytes / oracle.repair_bytes;
        assert!(ratio < 1.44, "{friends} friends: {ratio}");
    }
}
