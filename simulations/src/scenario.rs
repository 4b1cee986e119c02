//! Stories to run, each a function of a seed. A story plans what happens to the world and then says what must be true at the end.

mod keeping;

use nuthatch_engine::rules::Rules;
use nuthatch_format::{ByteCount, Span};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::checkers::{self, Violation};
use crate::network::NodeIndex;
use crate::node::Setup;
use crate::trace::Trace;
use crate::vaults::Vault;
use crate::world::{Action, World};

/// A story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Everybody is there: a backup becomes protected.
    Calm,
    /// A backup made with one friend becomes protected as more join.
    FriendsJoin,
    /// Connections break, and the network divides and heals.
    Flaky,
    /// Hosts store shards, and their answers are lost with the connections.
    LostAnswers,
    /// Hosts store shards, lose power before they answer, and return long after.
    Stranded,
    /// Machines crash between any two effects.
    Crashes,
    /// Some hosts give little: what has room is placed, and no quota is exceeded.
    Crowded,
    /// A host sleeps through the backup and wakes later.
    Sleeper,
    /// Twelve owners who are each other's hosts, with more packs than a window holds.
    Many,
    /// Two hosts stand in one house.
    SharedHouse,
    /// Three of four shards, two hosts that turn out to share a house, and one host that goes off every day for a month.
    Flapping,
    /// The owner's own link is cut for hours, a day, two weeks.
    OwnLink,
    /// Sixty per cent of the hosts are lost at once.
    SixtyPercent,
    /// One host after the other is lost, until every first one has been replaced.
    OneByOne,
    /// Disks go bad shard by shard.
    BadDisks,
    /// Most hosts are on for a few hours a day, and that is known after four weeks.
    Habits,
}

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Fingerprint of all decisions.
    pub trace: Trace,
    /// Steps (count).
    pub step_count: u64,
    /// Shards sent (count).
    pub sent_count: u64,
    /// Shards acknowledged (count).
    pub acknowledged_count: usize,
    /// Shards that have several holders at the end, each beyond the first (count).
    pub surplus_count: usize,
    /// Packs that owners say still wait at the end (count).
    pub waiting_count: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Time in which a world whose trouble is over comes to rest: two of the longest pauses that the engine makes.
const REST: Span = Span::from_secs(1800);

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Calm,
        Self::FriendsJoin,
        Self::Flaky,
        Self::LostAnswers,
        Self::Stranded,
        Self::Crashes,
        Self::Crowded,
        Self::Sleeper,
        Self::Many,
        Self::SharedHouse,
        Self::Flapping,
        Self::OwnLink,
        Self::SixtyPercent,
        Self::OneByOne,
        Self::BadDisks,
        Self::Habits,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::FriendsJoin => "friends-join",
            Self::Flaky => "flaky",
            Self::LostAnswers => "lost-answers",
            Self::Stranded => "stranded",
            Self::Crashes => "crashes",
            Self::Crowded => "crowded",
            Self::Sleeper => "sleeper",
            Self::Many => "many",
            Self::SharedHouse => "shared-house",
            Self::Flapping => "flapping",
            Self::OwnLink => "own-link",
            Self::SixtyPercent => "sixty-percent",
            Self::OneByOne => "one-by-one",
            Self::BadDisks => "bad-disks",
            Self::Habits => "habits",
        }
    }

    /// Runs it.
    pub fn run(self, seed: u64) -> Result<Report, Violation> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let world = match self {
            Self::Calm => calm(seed, &mut rng)?,
            Self::FriendsJoin => friends_join(seed, &mut rng)?,
            Self::Flaky => flaky(seed, &mut rng)?,
            Self::LostAnswers => lost_answers(seed, &mut rng)?,
            Self::Stranded => stranded(seed, &mut rng)?,
            Self::Crashes => crashes(seed, &mut rng)?,
            Self::Crowded => crowded(seed, &mut rng)?,
            Self::Sleeper => sleeper(seed, &mut rng)?,
            Self::Many => many(seed, &mut rng)?,
            Self::SharedHouse => shared_house(seed, &mut rng)?,
            Self::Flapping => keeping::flapping(seed, &mut rng)?,
            Self::OwnLink => keeping::own_link(seed, &mut rng)?,
            Self::SixtyPercent => keeping::sixty_percent(seed, &mut rng)?,
            Self::OneByOne => keeping::one_by_one(seed, &mut rng)?,
            Self::BadDisks => keeping::bad_disks(seed, &mut rng)?,
            Self::Habits => keeping::habits(seed, &mut rng)?,
        };
        Ok(Report::of(&world))
    }
}

impl Report {
    /// Of a run that has ended.
    pub fn of(world: &World) -> Self {
        Self {
            trace: world.trace,
            step_count: world.step_count,
            sent_count: world.sent_count,
            acknowledged_count: world.acknowledged.len(),
            surplus_count: world.surplus_count(),
            waiting_count: world.waiting_count(),
        }
    }
}

fn vault(quota: u64) -> Vault {
    Vault::new(ByteCount(quota), ByteCount(100 * GIB))
}

fn machine(owns: bool, quota: u64) -> (Setup, Vault) {
    (
        Setup {
            house: None,
            survive: None,
            owns,
        },
        vault(quota),
    )
}

/// Node 0 owns; so many others host.
fn one_owner(hosts: usize, seed: u64) -> World {
    let setups = (0..=hosts)
        .map(|at| machine(at == 0, if at == 0 { 0 } else { 50 * GIB }))
        .collect();
    World::new(setups, Rules::default(), seed)
}

fn start_all(world: &mut World, rng: &mut Xoshiro256PlusPlus) {
    for at in 0..world.nodes.len() {
        world.plan(Span::from_millis(rng.random_range(0..3000)), Action::Start(at));
    }
}

/// A backup in several bursts, committed at the end.
fn back_up(world: &mut World, owner: NodeIndex, rng: &mut Xoshiro256PlusPlus) {
    let mut at_ms = rng.random_range(0..5000);
    for _ in 0..rng.random_range(1..6) {
        world.plan(
            Span::from_millis(at_ms),
            Action::Stage(owner, rng.random_range(1..12)),
        );
        at_ms += rng.random_range(100..8000);
    }
    world.plan(Span::from_millis(at_ms), Action::Commit(owner));
}

fn calm(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let mut world = one_owner(rng.random_range(1..12), seed);
    start_all(&mut world, rng);
    back_up(&mut world, 0, rng);
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

fn friends_join(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(2..8);
    let mut world = one_owner(hosts, seed);
    world.plan(Span::ZERO, Action::Start(0));
    world.plan(Span::from_secs(5), Action::Start(1));
    back_up(&mut world, 0, rng);
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    for at in 2..=hosts {
        world.plan(Span::from_secs(rng.random_range(0..2000)), Action::Start(at));
    }
    world.run_for(Span::from_secs(2000))?;
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

fn flaky(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(2..8);
    let mut world = one_owner(hosts, seed);
    start_all(&mut world, rng);
    back_up(&mut world, 0, rng);
    for _ in 0..rng.random_range(5..40) {
        let at = Span::from_millis(rng.random_range(0..120_000));
        let one = rng.random_range(0..=hosts);
        let action = match rng.random_range(0..3) {
            0 => Action::Move(one, 1),
            1 => Action::Move(one, 0),
            _ => Action::Break(0, rng.random_range(1..=hosts)),
        };
        world.plan(at, action);
    }
    for at in 0..=hosts {
        world.plan(Span::from_secs(130), Action::Move(at, 0));
    }
    for _ in 0..30 {
        world.run_for(Span::from_secs(10))?;
    }
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

fn lost_answers(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(2..8);
    let mut world = one_owner(hosts, seed);
    start_all(&mut world, rng);
    back_up(&mut world, 0, rng);
    for _ in 0..rng.random_range(1..6) {
        let at = Span::from_millis(rng.random_range(1000..40_000));
        world.plan(at, Action::LoseAnswers(rng.random_range(1..8)));
    }
    for _ in 0..30 {
        world.run_for(Span::from_secs(10))?;
    }
    world.run_for(REST)?;
    // Each host said soon what it had kept, so no shard was given to a second one.
    checkers::no_surplus(&world)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

fn stranded(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(2..8);
    let mut world = one_owner(hosts + 1, seed);
    for at in 0..=hosts {
        world.plan(Span::from_millis(rng.random_range(0..3000)), Action::Start(at));
    }
    back_up(&mut world, 0, rng);
    for _ in 0..rng.random_range(1..4) {
        let at = Span::from_millis(rng.random_range(3000..40_000));
        let away = Span::from_secs(rng.random_range(10..600));
        world.plan(at, Action::StrandHosts(rng.random_range(1..3), away));
    }
    for _ in 0..60 {
        world.run_for(Span::from_secs(10))?;
    }
    world.run_for(REST)?;
    // A copy may have taken the place of a shard that is missing. That costs no more than the one spare shard.
    checkers::all_protected(&world)?;
    // It stays missing until there is a host that has nothing of the stripe.
    world.plan(Span::ZERO, Action::Start(hosts + 1));
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

fn crashes(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(2..7);
    let mut world = one_owner(hosts, seed);
    start_all(&mut world, rng);
    back_up(&mut world, 0, rng);
    for _ in 0..rng.random_range(3..15) {
        let at = Span::from_millis(rng.random_range(3000..100_000));
        let who = if rng.random_ratio(1, 2) {
            0
        } else {
            rng.random_range(1..=hosts)
        };
        world.plan(at, Action::StopAfter(who, rng.random_range(0..12)));
    }
    for _ in 0..30 {
        world.run_for(Span::from_secs(10))?;
    }
    for at in 0..=hosts {
        world.plan(Span::from_secs(30), Action::Start(at));
    }
    world.run_for(REST)?;
    checkers::all_protected(&world)?;
    Ok(world)
}

fn crowded(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(2..7);
    let mut setups = vec![machine(true, 0), machine(true, 0)];
    setups.extend((0..hosts).map(|_| machine(false, rng.random_range(8..200) * MIB)));
    let mut world = World::new(setups, Rules::default(), seed);
    start_all(&mut world, rng);
    back_up(&mut world, 0, rng);
    back_up(&mut world, 1, rng);
    for _ in 0..20 {
        world.run_for(Span::from_secs(60))?;
    }
    world.run_for(REST)?;
    Ok(world)
}

fn sleeper(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(3..8);
    let mut world = one_owner(hosts, seed);
    start_all(&mut world, rng);
    world.run_for(Span::from_secs(30))?;
    let asleep = rng.random_range(1..=hosts);
    world.plan(Span::ZERO, Action::Stop(asleep));
    world.plan(Span::from_secs(1), Action::Stage(0, rng.random_range(1..40)));
    world.plan(Span::from_secs(40), Action::Commit(0));
    world.run_for(REST)?;
    // One spare shard beyond the target: the sleeper keeps nothing from being protected.
    let safety = checkers::truth(&world, &world.nodes[0]);
    if !matches!(safety, nuthatch_engine::durability::Safety::Protected { .. }) {
        let incomplete = world.nodes[0]
            .engine
            .as_ref()
            .and_then(nuthatch_engine::Engine::quiet);
        return Err(Violation::NotProtected {
            owner: 0,
            safety,
            incomplete,
        });
    }
    world.plan(Span::ZERO, Action::Start(asleep));
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

fn many(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let setups = (0..12).map(|_| machine(true, 50 * GIB)).collect();
    let mut world = World::new(setups, Rules::default(), seed);
    start_all(&mut world, rng);
    for owner in 0..12 {
        back_up(&mut world, owner, rng);
    }
    world.plan(Span::from_secs(6), Action::Stage(0, 150));
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}

fn shared_house(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Result<World, Violation> {
    let hosts = rng.random_range(4..8);
    let mut world = one_owner(hosts, seed);
    world.nodes[2].setup.house = Some(1);
    start_all(&mut world, rng);
    back_up(&mut world, 0, rng);
    world.run_for(REST)?;
    checkers::all_complete(&world)?;
    Ok(world)
}
