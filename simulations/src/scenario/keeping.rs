//! Stories of keeping data alive: hosts that come and go, a link that is cut, machines that are lost, disks that go bad.

use nuthatch_engine::boundary::{Event, PackKind, PackNumber, RepairRound};
use nuthatch_engine::durability::{Safety, shape_for};
use nuthatch_engine::history::Standing;
use nuthatch_engine::repair::Due;
use nuthatch_format::Span;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::{REST, back_up, one_owner, start_all};
use crate::checkers::{self, Violation};
use crate::network::NodeIndex;
use crate::node::index_of;
use crate::world::{Action, World};

/// Something that must not be.
fn never(what: &'static str, count: u64) -> Result<(), Violation> {
    match count {
        0 => Ok(()),
        count => Err(Violation::Kept { what, count }),
    }
}

/// Something that must be just so.
fn exactly(what: &'static str, count: u64, wanted: u64) -> Result<(), Violation> {
    if count == wanted {
        Ok(())
    } else {
        Err(Violation::Kept { what, count })
    }
}

/// What the owner's engine has said (count).
fn said(world: &World, is_it: impl Fn(&Event) -> bool) -> u64 {
    world
        .said
        .iter()
        .filter(|(at, event)| *at == 0 && is_it(event))
        .count() as u64
}

/// Of the owner's stripes, how many are clumped and how many healthy by its own word (counts).
fn shown(world: &mut World) -> Result<(u64, u64), Violation> {
    world.plan(Span::ZERO, Action::Ask(0));
    world.run_for(Span::from_secs(1))?;
    let owner = &world.nodes[0];
    let Some((view, _)) = &owner.plan else {
        return Err(Violation::Kept {
            what: "no word on the health of backups",
            count: 1,
        });
    };
    let is_clumped =
        |stripe: &&nuthatch_engine::boundary::Stripe| view.is_clumped(stripe.scheme, &stripe.holders);
    let is_healthy = |stripe: &&nuthatch_engine::boundary::Stripe| {
        view.health(stripe.scheme, &stripe.holders).healthy >= stripe.scheme.total()
    };
    let clumped = owner.catalogue.stripes().filter(is_clumped).count();
    let healthy = owner.catalogue.stripes().filter(is_healthy).count();
    Ok((clumped as u64, healthy as u64))
}

/// An owner whose backup lies complete on so many hosts.
fn at_rest(hosts: usize, seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let mut world = one_owner(hosts, seed);
    start_all(&mut world, rng);
    back_up(&mut world, 0, rng);
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

pub(super) fn flapping(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let mut world = one_owner(4, seed);
    // Three data shards over four hosts: one loss is survived, and no spare is asked for beyond it.
    world.nodes[0].setup.survive = Some(0);
    start_all(&mut world, rng);
    world.run_for(Span::from_secs(60))?;
    back_up(&mut world, 0, rng);
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    let is_three_of_four = |stripe: &&nuthatch_engine::boundary::Stripe| stripe.scheme.total() == 4;
    let stripes = world.nodes[0]
        .catalogue
        .stripes()
        .filter(is_three_of_four)
        .count() as u64;
    let (sent, flaps) = (world.sent_count, rng.random_range(1..=4));
    let house = if flaps == 1 { 2 } else { 1 };
    for day in 0..30 {
        if day == 10 {
            world.plan(Span::ZERO, Action::House(house + 1, Some(house)));
        }
        if day == 20 {
            world.plan(Span::ZERO, Action::House(house + 1, None));
        }
        for action in [Action::Stop(flaps), Action::Start(flaps)] {
            world.plan(Span::ZERO, action);
            let (clumped, healthy) = shown(&mut world)?;
            let is_shared = (10..20).contains(&day);
            exactly(
                "stripes shown as clumped",
                clumped,
                if is_shared { stripes } else { 0 },
            )?;
            exactly(
                "stripes shown as healthy",
                healthy,
                if is_shared { 0 } else { stripes },
            )?;
            world.run_for(Span::from_secs(rng.random_range(6..12) * 3600))?;
        }
    }
    never("shards moved for nothing", world.sent_count - sent)?;
    never(
        "members given up",
        said(&world, |event| matches!(event, Event::Gone { .. })),
    )?;
    never(
        "repairs begun for nothing",
        said(&world, |event| matches!(event, Event::RepairBegun { .. })),
    )?;
    Ok(world)
}

pub(super) fn own_link(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let mut world = at_rest(rng.random_range(3..8), seed, rng)?;
    let sent = world.sent_count;
    for (cut_count, hours) in (1..).zip([6, 24, 14 * 24]) {
        world.plan(Span::ZERO, Action::Move(0, 1));
        world.run_for(Span::from_secs(hours * 3600))?;
        exactly(
            "notices of a cut link",
            said(&world, |event| matches!(event, Event::LinkCut { .. })),
            cut_count,
        )?;
        world.plan(Span::ZERO, Action::Move(0, 0));
        world.run_for(REST)?;
        exactly(
            "notices that it is back",
            said(&world, |event| matches!(event, Event::LinkBack)),
            cut_count,
        )?;
        world.run_for(Span::from_days(2))?;
    }
    never("shards moved for a cut link", world.sent_count - sent)?;
    never(
        "members blamed for a cut link",
        said(&world, |event| matches!(event, Event::Gone { .. })),
    )?;
    never(
        "repairs for a cut link",
        said(&world, |event| matches!(event, Event::RepairBegun { .. })),
    )?;
    checkers::all_complete(&world)?;
    Ok(world)
}

pub(super) fn sixty_percent(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let mut world = one_owner(10, seed);
    world.nodes[0].setup.survive = Some(1);
    world.plan(Span::ZERO, Action::Start(0));
    // Packs of different ages lie on few hosts, more, and all.
    for joined in [1..=3, 4..=5, 6..=10] {
        for at in joined {
            world.plan(Span::from_secs(1), Action::Start(at));
        }
        world.run_for(Span::from_secs(60))?;
        back_up(&mut world, 0, rng);
        world.run_for(REST)?;
    }
    checkers::all_complete(&world)?;
    let lost: [NodeIndex; 6] = [1, 4, 6, 7, 8, 9];
    for at in lost {
        world.plan(Span::ZERO, Action::Die(at));
    }
    world.run_for(Span::from_secs(60))?;
    never(
        "taken for a cut link",
        said(&world, |event| matches!(event, Event::LinkCut { .. })),
    )?;
    // All is said before any host is reached again: what is pressing is judged by all of it.
    world.plan(Span::ZERO, Action::Stop(0));
    world.plan(Span::ZERO, Action::Start(0));
    for at in lost {
        world.plan(Span::ZERO, Action::Say(0, at, Standing::Lost));
    }
    world.said.clear();
    let (_, _) = shown(&mut world)?;
    let dues = dues(&world);
    let unreadable = dues.iter().filter(|due| due.1 == Due::Unrepairable).count() as u64;
    world.run_for(Span::from_secs(120))?;
    let last = world.said.iter().rev().find_map(|(at, event)| {
        if let (0, Event::RepairRound(round)) = (at, event) {
            Some(*round)
        } else {
            None
        }
    });
    let RepairRound { found, .. } = last.unwrap_or_default();
    exactly("packs said to be lost at once", found.unrepairable, unreadable)?;
    world.run_for(REST)?;
    in_order(&world, &dues)?;
    let still_due = self::dues(&world)
        .iter()
        .filter(|due| is_rebuilt_by_four(due.1))
        .count();
    never("readable packs not rebuilt", still_due as u64)?;
    Ok(world)
}

/// Whether a stripe can stand no further loss, although four hosts are left.
fn is_rebuilt_by_four(due: Due) -> bool {
    due == (Due::Rebuild { margin: 0 })
}

/// What a look at each of the owner's packs says now, by its own view.
fn dues(world: &World) -> Vec<(PackNumber, Due)> {
    let owner = &world.nodes[0];
    let Some((view, _)) = &owner.plan else {
        return Vec::new();
    };
    let packs = owner.catalogue.packs.iter();
    packs
        .filter_map(|(number, pack)| {
            let stripe = pack.stripes.last()?;
            Some((*number, view.due(stripe.scheme, &stripe.holders)))
        })
        .collect()
}

/// The most endangered stripes were begun first.
fn in_order(world: &World, dues: &[(PackNumber, Due)]) -> Result<(), Violation> {
    let begun = world.said.iter().filter_map(|(at, event)| {
        if let (0, Event::RepairBegun { pack, .. }) = (at, event) {
            dues.iter().find(|due| due.0 == *pack).map(|due| due.1)
        } else {
            None
        }
    });
    let begun: Vec<Due> = begun.collect();
    let inversions = begun
        .windows(2)
        .filter(|pair| matches!(pair, [one, other] if one > other))
        .count();
    never("repairs begun before more pressing ones", inversions as u64)?;
    never(
        "disasters after which nothing was repaired",
        u64::from(begun.is_empty()),
    )
}

pub(super) fn one_by_one(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let first = rng.random_range(3..7);
    let mut world = one_owner(2 * first, seed);
    for at in 0..=first {
        world.plan(Span::from_millis(rng.random_range(0..3000)), Action::Start(at));
    }
    back_up(&mut world, 0, rng);
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    for lost in 1..=first {
        world.plan(Span::ZERO, Action::Start(first + lost));
        world.plan(Span::from_secs(1), Action::Die(lost));
        world.plan(Span::from_secs(2), Action::Say(0, lost, Standing::Lost));
        world.run_for(Span::from_secs(60))?;
        let safety = checkers::truth(&world, &world.nodes[0]);
        never(
            "backups that could not be restored",
            u64::from(safety == Safety::Staged),
        )?;
        world.run_for(REST)?;
        checkers::all_protected(&world)?;
    }
    Ok(world)
}

pub(super) fn bad_disks(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let mut world = at_rest(rng.random_range(3..8), seed, rng)?;
    for _ in 0..4 {
        let (host, one_in) = (rng.random_range(1..world.nodes.len()), rng.random_range(1..6));
        world.plan(Span::ZERO, Action::Rot(host, one_in));
        // A commit asks for inventories, and what they no longer name is rebuilt.
        world.plan(Span::from_secs(1), Action::Commit(0));
        world.run_for(REST)?;
        checkers::all_protected(&world)?;
    }
    Ok(world)
}

pub(super) fn habits(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    const HOSTS: usize = 9;
    let mut world = one_owner(HOSTS, seed);
    start_all(&mut world, rng);
    world.run_for(Span::from_secs(60))?;
    back_up(&mut world, 0, rng);
    world.run_for(REST)?;
    let before = world.nodes[0].catalogue.packs.len() as u64;
    let first = world.nodes[0].catalogue.stripes().map(|stripe| stripe.scheme);
    let by_number = [PackKind::Data, PackKind::Meta].map(|kind| shape_for(HOSTS, 3, kind));
    never(
        "first shapes not by number",
        first.filter(|scheme| !by_number.contains(&Some(*scheme))).count() as u64,
    )?;
    // Three are always on; six for six hours a day, at different hours.
    for _ in 0..29 {
        for sleeper in 4..=HOSTS {
            let wakes = 2 * (sleeper as u64 - 4);
            world.plan(Span::from_secs(3600 * wakes), Action::Start(sleeper));
            world.plan(Span::from_secs(3600 * (wakes + 6)), Action::Stop(sleeper));
        }
        world.run_for(Span::from_days(1))?;
    }
    for at in 4..=HOSTS {
        world.plan(Span::ZERO, Action::Start(at));
    }
    world.run_for(Span::from_secs(60))?;
    world.plan(Span::ZERO, Action::Stage(0, 20));
    world.plan(Span::from_secs(60), Action::Commit(0));
    world.run_for(REST)?;
    checkers::all_protected(&world)?;
    let (mut narrow, mut missed) = (0, 0);
    for (number, pack) in &world.nodes[0].catalogue.packs {
        let Some(stripe) = pack.stripes.last().filter(|_| number.0 >= before) else {
            continue;
        };
        narrow += u64::from(stripe.scheme.data() < 5);
        let always = (1..=3).filter(|at| stripe.holders.iter().any(|holder| index_of(holder.1) == *at));
        missed += 3 - always.count() as u64;
    }
    exactly("packs with few enough data shards for sleeping hosts", narrow, 20)?;
    never("shards not given to a host that is always on", missed)?;
    Ok(world)
}
