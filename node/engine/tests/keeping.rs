//! One owner's engine over weeks, seen through its face: whom it takes for gone, what it rebuilds for them, and what it leaves alone.
#![expect(
    clippy::unwrap_used,
    reason = "helper functions of tests are not seen as tests"
)]

#[path = "keeping/bench.rs"]
mod bench;

use std::collections::BTreeSet;

use nuthatch_engine::ShardIndex;
use nuthatch_engine::boundary::{
    Domain, Event, Input, JournalPosition, MemberFacts, PackNumber, RecallOutcome, Stripe,
};
use nuthatch_engine::history::Standing;
use nuthatch_engine::presence::Presence;
use nuthatch_engine::repair::{HostHealth, RepairSource};
use nuthatch_format::{LabelId, NodeId, Span};

use bench::{Bench, SHARD_LEN, node, scheme};

const DAY: Span = Span::from_days(1);

#[test]
fn nothing_is_rebuilt_for_a_host_that_returns_within_its_grace() {
    let mut bench = Bench::new(6, 3, scheme(2, 3));
    for number in [1, 2, 3] {
        bench.leave(number);
        bench.pass(Span::from_secs(3600));
    }
    bench.pass(Span::from_days(13));
    assert_eq!((bench.gone(), bench.sent.len(), bench.recalled.len()), (0, 0, 0));
    for number in [1, 2, 3] {
        bench.come(number);
    }
    bench.pass(Span::from_days(30));
    assert_eq!((bench.gone(), bench.sent.len()), (0, 0));
}

#[test]
fn what_gone_hosts_kept_is_rebuilt_once_too_little_is_left_and_not_again_when_they_return() {
    let mut bench = Bench::new(7, 3, scheme(2, 3));
    bench.leave(1);
    bench.pass(Span::from_days(15));
    assert_eq!(bench.health(1), HostHealth::Gone);
    assert_eq!(bench.sent.len(), 0, "one spare loss is waited for");
    bench.leave(2);
    bench.pass(Span::from_days(15));
    // Five hosts are left: two losses are to be survived, and both shards are rebuilt together.
    assert_eq!(bench.sent.len(), 6);
    let newcomers: BTreeSet<NodeId> = bench.sent.iter().map(|sent| sent.2).collect();
    assert_eq!(newcomers, BTreeSet::from([node(6), node(7)]));
    bench.come(1);
    bench.come(2);
    assert!(bench.events.contains(&Event::Returned { node: node(1) }));
    bench.pass(Span::from_days(30));
    assert_eq!(bench.sent.len(), 6);
}

#[test]
fn our_own_link_cut_for_hours_or_weeks_is_one_notice_and_nothing_else() {
    for span in [Span::from_secs(6 * 3600), DAY, Span::from_days(14)] {
        let mut bench = Bench::new(6, 3, scheme(2, 3));
        for number in 1..=6 {
            bench.leave(number);
        }
        bench.pass(span);
        assert_eq!((bench.cuts(), bench.gone()), (1, 0), "{span:?}");
        // They come back over a few minutes, as redials succeed.
        for number in 1..=6 {
            bench.come(number);
            bench.pass(Span::from_secs(60));
        }
        bench.pass(DAY);
        assert_eq!(
            (bench.cuts(), bench.gone(), bench.sent.len()),
            (1, 0, 0),
            "{span:?}"
        );
        let backs = bench
            .events
            .iter()
            .filter(|event| **event == Event::LinkBack)
            .count();
        assert_eq!(backs, 1);
    }
}

#[test]
fn a_machine_that_is_off_for_weeks_gives_nobody_up() {
    let mut bench = Bench::new(6, 3, scheme(2, 3));
    for _ in 0..4 {
        bench.sleep(Span::from_days(30));
        for number in 1..=6 {
            bench.pass(Span::from_secs(30));
            bench.come(number);
        }
        bench.pass(Span::from_secs(3600));
    }
    assert_eq!((bench.gone(), bench.sent.len()), (0, 0));
}

#[test]
fn a_machine_that_runs_by_day_only_still_learns_who_is_gone() {
    let mut bench = Bench::new(6, 3, scheme(2, 3));
    bench.leave(6);
    bench.pass(Span::from_secs(3600));
    for day in 0..20 {
        bench.sleep(Span::from_secs(16 * 3600));
        for number in 1..=5 {
            bench.come(number);
        }
        bench.pass(Span::from_secs(8 * 3600));
        assert!(day > 10 || bench.gone() == 0);
    }
    assert_eq!(bench.gone(), 1);
}

#[test]
fn what_is_gone_stays_gone_over_a_restart_and_a_word_is_kept() {
    let mut bench = Bench::new(6, 1, scheme(2, 3));
    bench.leave(1);
    bench.pass(Span::from_days(15));
    bench.tell(Input::StandingSet {
        node: node(2),
        standing: Standing::Leaving,
    });
    bench.sleep(Span::from_secs(60));
    assert_eq!(bench.health(1), HostHealth::Gone);
    assert_eq!(bench.health(2), HostHealth::Leaving);
    let view = bench
        .engine
        .members()
        .into_iter()
        .find(|member| member.node == node(1))
        .unwrap();
    assert!(matches!(view.presence, Presence::Gone { since: Some(_) }));
}

#[test]
fn sixty_per_cent_dead_at_once_are_repaired_the_most_endangered_first() {
    // Ten hosts; packs of 2+4 that lie on more and more of the six that die.
    let mut bench = Bench::new(10, 0, scheme(2, 4));
    for number in 0..5_u8 {
        let first = number + 1;
        let holders = (0..6).map(|index| (ShardIndex(index), node(first + index)));
        bench.packs.insert(
            PackNumber(u64::from(5 - number)),
            Stripe {
                label: LabelId::from_bytes([number; 32]),
                scheme: scheme(2, 4),
                shard_len: SHARD_LEN,
                journal: JournalPosition(1),
                holders: holders.collect(),
            },
        );
    }
    for number in 1..=6 {
        bench.leave(number);
    }
    assert_eq!(bench.cuts(), 0, "the others are here, so it is not our link");
    bench.pass(Span::from_days(15));
    assert_eq!(bench.gone(), 6);
    // Of 3, 2 and 1 there are 2, 3 and 4 shards, which is enough of 1; of 4 and 5 too few, until one of the dead is back after all.
    let mut order: Vec<u64> = bench.recalled.iter().map(|pack| pack.0).collect();
    order.truncate(4);
    assert_eq!(order, [3, 4, 5, 2]);
    let repaired: Vec<u64> = bench.sent.iter().map(|sent| sent.0.0).collect();
    assert!(repaired.iter().all(|pack| [2, 3].contains(pack)), "{repaired:?}");
    // Once it is said that they never come back, what lay on them alone is lost, and that is said at once.
    for number in 1..=6 {
        bench.tell(Input::StandingSet {
            node: node(number),
            standing: Standing::Lost,
        });
    }
    bench.pass(Span::from_secs(120));
    let last = bench.events.iter().rev().find_map(|event| match event {
        Event::RepairRound(round) => Some(*round),
        _ => None,
    });
    assert_eq!(last.unwrap().found.unrepairable, 2);
    for pack in bench
        .packs
        .values()
        .filter(|pack| pack.holders.iter().any(|holder| bench.is_here(holder.1)))
    {
        let alive: BTreeSet<ShardIndex> = pack
            .holders
            .iter()
            .filter(|holder| bench.is_here(holder.1))
            .map(|holder| holder.0)
            .collect();
        assert!(
            alive.len() == 4 || alive.len() == 1,
            "as many as there are hosts: {alive:?}"
        );
    }
}

#[test]
fn a_host_that_flaps_daily_moves_nothing_and_a_house_that_holds_two_shards_is_said_to_be_clumped() {
    // 3+1 over four hosts, two of which stand in one house; the last one comes and goes every day for a month.
    let mut bench = Bench::new(4, 2, scheme(3, 1));
    bench.members[3].domain = Domain(node(3));
    let members = bench.members.clone();
    bench.tell(Input::Members(members));
    for _ in 0..30 {
        bench.leave(4);
        bench.pass(Span::from_secs(12 * 3600));
        bench.come(4);
        bench.pass(Span::from_secs(12 * 3600));
    }
    assert_eq!((bench.gone(), bench.sent.len(), bench.recalled.len()), (0, 0, 0));
    let last = bench.events.iter().rev().find_map(|event| match event {
        Event::RepairRound(round) => Some(*round),
        _ => None,
    });
    let last = last.unwrap();
    assert_eq!((last.found.clumped, last.no_host), (2, 2));
    // A host in a house of its own mends it, with one shard of each pack.
    bench.members.push(MemberFacts {
        node: node(5),
        domain: Domain(node(5)),
    });
    let members = bench.members.clone();
    bench.tell(Input::Members(members));
    bench.come(5);
    bench.pass(DAY);
    assert_eq!(bench.sent.len(), 2);
    assert!(bench.sent.iter().all(|sent| sent.2 == node(5)));
}

#[test]
fn a_host_that_is_back_before_the_bytes_are_gets_no_second_copy_of_what_it_has() {
    let mut bench = Bench::new(7, 1, scheme(2, 3));
    bench.holds_recalls = true;
    bench.leave(1);
    bench.leave(2);
    bench.pass(Span::from_days(15));
    let op = bench.held.pop().unwrap();
    bench.come(1);
    let source = RepairSource::Shards;
    bench.tell(Input::RecallEnded {
        op,
        outcome: RecallOutcome::Here { source },
    });
    bench.pass(DAY);
    assert_eq!(bench.sent.len(), 0);
    let ended = |event: &&Event| matches!(event, Event::RepairEnded { placed: 0, .. });
    assert_eq!(bench.events.iter().filter(ended).count(), 1);
}

#[test]
fn a_leaving_host_keeps_nothing_alone_in_the_end_and_is_given_nothing() {
    let mut bench = Bench::new(6, 3, scheme(2, 3));
    bench.tell(Input::StandingSet {
        node: node(2),
        standing: Standing::Leaving,
    });
    bench.pass(DAY);
    assert_eq!(bench.sent.len(), 3);
    assert!(
        bench
            .sent
            .iter()
            .all(|(_, index, to)| *index == ShardIndex(1) && *to == node(6))
    );
    assert!(bench.events.contains(&Event::Drained { node: node(2) }));
    // It stays after all: nothing moves.
    bench.tell(Input::StandingSet {
        node: node(2),
        standing: Standing::Member,
    });
    bench.pass(DAY);
    assert_eq!((bench.health(2), bench.sent.len()), (HostHealth::Sound, 3));
}

#[test]
fn looks_that_lead_to_nothing_become_rare() {
    let mut bench = Bench::new(3, 1, scheme(1, 2));
    bench.leave(1);
    bench.tell(Input::StandingSet {
        node: node(1),
        standing: Standing::Lost,
    });
    bench.events.clear();
    bench.pass(Span::from_days(10));
    let rounds = bench
        .events
        .iter()
        .filter(|event| matches!(event, Event::RepairRound(_)))
        .count();
    assert!((5..60).contains(&rounds), "{rounds}");
    assert_eq!(
        bench.recalled.len(),
        0,
        "nobody could take it, so nothing is brought back"
    );
}
