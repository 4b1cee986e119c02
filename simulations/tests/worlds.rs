//! Every story over some seeds. A failing seed is in the message; `cargo run -p nuthatch-simulations -- --scenario NAME --seed N`
//! runs it again.

use nuthatch_engine::rules::Rules;
use nuthatch_format::{ByteCount, Span};
use nuthatch_simulations::checkers::Violation;
use nuthatch_simulations::faults;
use nuthatch_simulations::node::Setup;
use nuthatch_simulations::scenario::Scenario;
use nuthatch_simulations::vaults::Vault;
use nuthatch_simulations::world::{Action, World};

const SEEDS: u64 = 24;

fn holds(scenario: Scenario, seeds: u64) {
    let failed = (0..seeds).find_map(|seed| {
        scenario
            .run(seed)
            .err()
            .map(|violation| (seed, violation.to_string()))
    });
    assert_eq!(failed, None, "{}: seed and what did not hold", scenario.name());
}

#[test]
fn a_backup_becomes_protected_when_everybody_is_there() {
    holds(Scenario::Calm, SEEDS);
}

#[test]
fn a_backup_made_with_one_friend_becomes_protected_when_more_join() {
    holds(Scenario::FriendsJoin, SEEDS);
}

#[test]
fn broken_connections_and_a_divided_network_cost_only_time() {
    holds(Scenario::Flaky, SEEDS);
}

#[test]
fn a_lost_answer_costs_only_time() {
    holds(Scenario::LostAnswers, SEEDS);
}

#[test]
fn a_host_that_returns_with_a_shard_that_another_got_costs_no_protection() {
    holds(Scenario::Stranded, SEEDS);
}

#[test]
fn a_crash_between_any_two_effects_loses_nothing() {
    holds(Scenario::Crashes, SEEDS);
}

#[test]
fn no_quota_and_no_lease_is_exceeded() {
    holds(Scenario::Crowded, SEEDS);
}

#[test]
fn one_sleeping_host_blocks_nothing() {
    holds(Scenario::Sleeper, SEEDS);
}

#[test]
fn many_owners_share_their_hosts() {
    holds(Scenario::Many, 2);
}

#[test]
fn what_stands_in_one_house_counts_once() {
    holds(Scenario::SharedHouse, SEEDS);
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_does_not() {
    for scenario in [Scenario::Flaky, Scenario::Crashes] {
        let first = scenario.run(7).expect("the story holds");
        assert_eq!(scenario.run(7).expect("the story holds"), first);
        assert_ne!(scenario.run(8).expect("the story holds").trace, first.trace);
    }
}

#[test]
fn a_host_that_goes_off_daily_costs_nothing_and_a_shared_house_is_never_called_healthy() {
    holds(Scenario::Flapping, 6);
}

#[test]
fn a_cut_link_is_noticed_once_and_nobody_is_blamed() {
    holds(Scenario::OwnLink, 6);
}

#[test]
fn after_a_disaster_the_most_endangered_is_rebuilt_first_and_what_is_lost_is_said() {
    holds(Scenario::SixtyPercent, 12);
}

#[test]
fn every_first_host_can_be_replaced_one_by_one() {
    holds(Scenario::OneByOne, 12);
}

#[test]
fn what_a_bad_disk_has_lost_is_rebuilt() {
    holds(Scenario::BadDisks, SEEDS);
}

#[test]
fn after_four_weeks_shapes_follow_what_was_seen_of_the_hosts() {
    holds(Scenario::Habits, 1);
}

#[test]
fn everything_may_go_wrong_at_once_and_costs_only_time() {
    let failed = (0..6).find_map(|seed| {
        faults::run(seed, 2500)
            .err()
            .map(|violation| (seed, violation.to_string()))
    });
    assert_eq!(
        failed, None,
        "seed and what did not hold; again with: faults --seed N --steps 2500"
    );
}

#[test]
fn the_same_trouble_gives_the_same_trace() {
    let first = faults::run(5, 800).expect("every invariant holds");
    assert_eq!(faults::run(5, 800).expect("every invariant holds"), first);
    assert_ne!(
        faults::run(6, 800).expect("every invariant holds").trace,
        first.trace
    );
}

#[test]
fn a_host_that_loses_what_it_signed_for_does_not_go_unnoticed() {
    // The checkers must be able to fail.
    let setup = |owns| Setup {
        house: None,
        survive: None,
        owns,
    };
    let vault = || Vault::new(ByteCount(1 << 34), ByteCount(1 << 36));
    let setups = vec![
        (setup(true), vault()),
        (setup(false), vault()),
        (setup(false), vault()),
    ];
    let mut world = World::new(setups, Rules::default(), 1);
    world.is_checked_always = true;
    for at in 0..3 {
        world.plan(Span::ZERO, Action::Start(at));
    }
    world.plan(Span::from_secs(1), Action::Stage(0, 3));
    world.plan(Span::from_secs(2), Action::Commit(0));
    world.run_for(Span::from_secs(600)).expect("nothing is wrong yet");
    let quota = world.nodes[1].vault.quota;
    world.nodes[1].vault = Vault::new(quota, quota);
    let found = world.run_for(Span::from_secs(1));
    assert!(
        matches!(found, Err(Violation::AcknowledgedLost { host: 1, .. })),
        "{found:?}"
    );
}
