//! Troubles without a story: owners who back up among hosts while, for so many steps, everything goes wrong that can: messages get lost and
//! overtake each other, the network divides, clocks jump, machines lose power between any two effects, disks are pulled out and lose shards. Every invariant
//! is checked after every step. Then all is well again, a few
//! friends join, and every backup must become protected.

use nuthatch_engine::rules::Rules;
use nuthatch_format::{ByteCount, Span};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::checkers::{self, Violation};
use crate::node::Setup;
use crate::scenario::Report;
use crate::vaults::Vault;
use crate::world::{Action, World};

/// Machines of a circle, least and most (count).
const MACHINES: (usize, usize) = (4, 9);

/// Machines that join when the trouble is over (count). A host that was cut off for long and a host that got the same shard meanwhile both
/// keep it, and take no other of the stripe: what is missing then needs a host that has nothing of it.
const NEWCOMERS: usize = 3;

/// What each gives away.
const QUOTA: ByteCount = ByteCount(50 << 30);

/// Its disk.
const DISK: ByteCount = ByteCount(200 << 30);

/// Between two troubles, at most.
const CALM_MAX_MS: u64 = 8000;

/// Time in which a world whose trouble is over comes to rest: two of the longest pauses that the engine makes.
const REST: Span = Span::from_secs(3600);

/// No trouble lasts longer than the rest that follows can mend.
const TROUBLE_MAX: Span = Span::from_days(2);

/// Runs a world under so many steps of trouble.
pub fn run(seed: u64, steps: u64) -> Result<Report, Violation> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let count = rng.random_range(MACHINES.0..=MACHINES.1);
    let owners = rng.random_range(1..=3);
    let setups = (0..count + NEWCOMERS).map(|at| {
        let setup = Setup {
            house: None,
            survive: None,
            owns: at < owners,
        };
        (setup, Vault::new(QUOTA, DISK))
    });
    let mut world = World::new(setups.collect(), Rules::default(), seed);
    world.is_checked_always = true;
    for at in 0..count {
        world.plan(Span::from_millis(rng.random_range(0..20_000)), Action::Start(at));
    }
    let end = world.now.after(TROUBLE_MAX);
    let mut next = world.now;
    while world.step_count < steps && next < end {
        let action = trouble((count, owners), &mut rng);
        world.plan(Span::ZERO, action);
        next = next.after(Span::from_millis(rng.random_range(0..CALM_MAX_MS)));
        while world.step_count < steps && world.step(next)? {}
        world.now = world.now.max(next);
    }
    mend(&mut world, (count, owners));
    world.run_for(REST)?;
    checkers::all_protected(&world)?;
    Ok(Report::of(&world))
}

/// What goes wrong next, or what people do meanwhile.
fn trouble((count, owners): (usize, usize), rng: &mut impl Rng) -> Action {
    let machine = rng.random_range(0..count);
    let owner = rng.random_range(0..owners);
    match rng.random_range(0..17) {
        0..=2 => Action::Stage(owner, rng.random_range(1..6)),
        3 | 4 => Action::Commit(owner),
        5 => Action::Break(machine, rng.random_range(0..count)),
        6 => Action::Move(machine, rng.random_range(0..3)),
        7 => Action::Move(machine, 0),
        8 => Action::LoseMessages(rng.random_range(1..6)),
        9 => Action::LoseAnswers(rng.random_range(1..4)),
        10 => Action::StrandHosts(rng.random_range(1..3), Span::from_secs(rng.random_range(1..300))),
        11 | 12 => Action::StopAfter(machine, rng.random_range(0..12)),
        13 => Action::Start(machine),
        14 => Action::Skew(machine, skew(rng)),
        15 if rng.random_ratio(1, 8) => Action::Rot(machine, rng.random_range(10..100)),
        _ => Action::Detach(machine, rng.random_ratio(1, 2)),
    }
}

/// A clock that is a little wrong, mostly; else by days.
fn skew(rng: &mut impl Rng) -> i64 {
    let most = if rng.random_ratio(1, 8) {
        3 * 86_400_000
    } else {
        90_000
    };
    rng.random_range(-most..=most)
}

/// All is well again: everybody is on, whole and reachable, and commits what it has.
fn mend(world: &mut World, (count, owners): (usize, usize)) {
    world.plan(Span::ZERO, Action::LoseMessages(0));
    world.plan(Span::ZERO, Action::LoseAnswers(0));
    world.plan(Span::ZERO, Action::StrandHosts(0, Span::ZERO));
    for at in 0..count {
        world.plan(Span::ZERO, Action::Move(at, 0));
        world.plan(Span::ZERO, Action::Detach(at, false));
        // Power that was to fail fails now, and clocks that were set right are believed from the next start.
        world.plan(Span::from_secs(1), Action::Stop(at));
        world.plan(Span::from_secs(1), Action::Skew(at, 0));
        world.plan(Span::from_secs(30), Action::Start(at));
    }
    for newcomer in count..count + NEWCOMERS {
        world.plan(Span::from_secs(50), Action::Start(newcomer));
    }
    for owner in 0..owners {
        world.plan(Span::from_secs(60), Action::Stage(owner, 1));
        world.plan(Span::from_secs(61), Action::Commit(owner));
    }
}
