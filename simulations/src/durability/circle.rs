//! One circle of friends over years: each owns an archive, spread over all the others. Deaths, long absences, ended graces, replacements
//! and repairs are events; whether a machine is on in an hour is asked when it matters.
//!
//! What is decided (shape, target, grace, when to rebuild, from which source) is decided by the engine's functions.

mod looks;
mod repairs;
mod setting;
mod shapes;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use nuthatch_engine::Scheme;
use nuthatch_engine::durability::target_for;
use nuthatch_engine::presence::grace;
use nuthatch_engine::repair::RepairSource;
use nuthatch_engine::rules::{PresenceRules, Rules};
use nuthatch_format::Span;

use super::peers::{Draws, Machine};
pub use setting::{Deaths, Knowledge, Setting, Shaping, Tally};
use shapes::shapes;

/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;
/// Milliseconds of a day.
const DAY: u64 = 24 * HOUR;
/// Sets draws for what was seen before the first day apart from those after it: the fraction of the root of two.
const SHAPES_SALT: u64 = 0x6a09_e667_f3bc_c908;
/// Between two looks at whether an archive could be restored: every hour of the day and day of the week comes in turn.
const LOOK: u64 = 61 * DAY + 5 * HOUR;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Leaves { slot: usize, life: u32 },
    Returns { slot: usize, life: u32 },
    Dies { slot: usize, life: u32 },
    GraceEnds { slot: usize, life: u32, since: u64 },
    Replaced { slot: usize },
    DiesSoon { slot: usize },
    Disaster,
    Repaired { owner: usize, attempt: u32 },
    Look,
}

/// A member's place in the circle: one machine after the other.
#[derive(Debug, Clone)]
struct Member {
    machine: Machine,
    life: u32,
    is_alive: bool,
    /// Since when nobody has seen it; `None` while it comes and goes by its habit.
    away_since: Option<u64>,
    /// Given up by the others.
    is_gone: bool,
    born: u64,
    longest_absence: u64,
    /// When its grace ends, while it is away.
    grace_ends: u64,
}

/// A shard of an archive.
#[derive(Debug, Clone, Copy)]
struct Shard {
    slot: usize,
    /// The machine's life in that slot: another life has an empty vault.
    life: u32,
}

#[derive(Debug, Clone)]
struct Archive {
    scheme: Scheme,
    /// Who gets shards, the most wanted first.
    order: Vec<usize>,
    /// One for each shard of the shape; `None` while nobody has ever got it.
    shards: Vec<Option<Shard>>,
    /// Former holders of rebuilt shards that were not known to be dead, and which shard they have.
    given_up: Vec<(usize, Shard)>,
    repair: Option<Repair>,
    attempt: u32,
    is_below_k: bool,
    is_lost: bool,
    below_target_since: Option<u64>,
}

#[derive(Debug, Clone)]
struct Repair {
    begun: u64,
    done: u64,
    source: RepairSource,
    /// Shard and the slot that is to get it.
    moves: Vec<(usize, Shard)>,
}

/// The circle.
struct World<'s> {
    setting: &'s Setting,
    rules: PresenceRules,
    target: u8,
    members: Vec<Member>,
    archives: Vec<Archive>,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    queued: u64,
    draws: Draws,
    tally: Tally,
}

/// Runs a circle; `None` when so few friends have no shape.
pub fn run(setting: &Setting, seed: u64, circle: u64) -> Option<Tally> {
    let target = target_for(setting.friends, None);
    let count = setting.friends + 1;
    let machines: Vec<Machine> = (0..count as u64)
        .map(|slot| Machine::of(setting.mix, seed, (circle << 8) + slot))
        .collect();
    let mut world = World {
        setting,
        rules: Rules::default().presence,
        target,
        members: Vec::with_capacity(count),
        archives: Vec::with_capacity(count),
        queue: BinaryHeap::new(),
        queued: 0,
        draws: Draws::new(seed, circle),
        tally: Tally::default(),
    };
    for shape in shapes(
        &machines,
        setting,
        (target, &mut Draws::new(seed ^ SHAPES_SALT, circle)),
    )? {
        let first = shape.order.iter().take(usize::from(shape.scheme.total()));
        let mut shards: Vec<_> = first.map(|slot| Some(Shard { slot: *slot, life: 0 })).collect();
        shards.resize(usize::from(shape.scheme.total()), None);
        world.archives.push(Archive {
            scheme: shape.scheme,
            order: shape.order,
            shards,
            given_up: Vec::new(),
            repair: None,
            attempt: 0,
            is_below_k: false,
            is_lost: false,
            below_target_since: None,
        });
    }
    for (slot, machine) in machines.into_iter().enumerate() {
        world.join(slot, machine, (0, 0));
    }
    world.plan_deaths();
    world.at(LOOK, Happening::Look);
    Some(world.run())
}

/// Days as milliseconds.
fn days(count: f64) -> u64 {
    (count * DAY as f64) as u64
}

impl World<'_> {
    fn at(&mut self, time: u64, what: Happening) {
        self.queued += 1;
        self.queue.push(Reverse((time, self.queued, what)));
    }

    fn run(mut self) -> Tally {
        let end = self.setting.days * DAY;
        while let Some(Reverse((now, _, what))) = self.queue.pop() {
            if now >= end {
                break;
            }
            self.happens(now, what);
        }
        for owner in 0..self.archives.len() {
            self.count_time(owner, end, false);
        }
        self.count_shares();
        self.tally.circles = 1;
        self.tally.archives = self.archives.len() as u64;
        self.tally.days = (self.archives.len() as u64 * self.setting.days) as f64;
        self.tally
    }

    fn happens(&mut self, now: u64, what: Happening) {
        match what {
            Happening::Leaves { slot, life } if self.is_living(slot, life) => self.leaves(now, slot),
            Happening::Returns { slot, life } if self.is_living(slot, life) => self.returns(now, slot),
            Happening::Dies { slot, life } if self.is_living(slot, life) => self.dies(now, slot),
            Happening::GraceEnds { slot, life, since } => {
                let member = &mut self.members[slot];
                if member.life == life && member.away_since == Some(since) {
                    member.is_gone = true;
                    self.look_at_all(now);
                }
            }
            Happening::Replaced { slot } => self.replaced(now, slot),
            Happening::DiesSoon { slot } => self.dies(now, slot),
            Happening::Disaster => {
                for slot in 0..self.members.len() {
                    if self.members[slot].is_alive && self.draws.unit() < self.setting.lives.disaster_share {
                        self.dies(now, slot);
                    }
                }
                let next = days(self.draws.exponential(self.setting.lives.between_disasters));
                self.at(now + next, Happening::Disaster);
            }
            Happening::Repaired { owner, attempt } => self.repaired(now, owner, attempt),
            Happening::Look => self.look_for_restore(now),
            Happening::Leaves { .. } | Happening::Returns { .. } | Happening::Dies { .. } => {}
        }
    }

    fn is_living(&self, slot: usize, life: u32) -> bool {
        self.members[slot].is_alive && self.members[slot].life == life
    }

    /// Plans what is lost otherwise than at the end of a machine's own life.
    fn plan_deaths(&mut self) {
        match self.setting.deaths {
            Deaths::ByRates => {
                let first = self.draws.exponential(self.setting.lives.between_disasters);
                self.at(days(first), Happening::Disaster);
            }
            Deaths::Exactly(count) => {
                let mut slots: Vec<usize> = (0..self.members.len()).collect();
                for _ in 0..count.min(self.members.len()) {
                    let slot = slots.swap_remove(self.draws.below(slots.len()));
                    let when = days(self.draws.unit() * self.setting.days as f64);
                    self.at(when, Happening::DiesSoon { slot });
                }
            }
        }
    }

    /// A machine begins its life in a slot: its number and the time.
    fn join(&mut self, slot: usize, machine: Machine, (life, now): (u32, u64)) {
        let member = Member {
            machine,
            life,
            is_alive: true,
            away_since: None,
            is_gone: false,
            born: now,
            longest_absence: 0,
            grace_ends: 0,
        };
        if slot < self.members.len() {
            self.members[slot] = member;
        } else {
            self.members.push(member);
        }
        if self.setting.deaths == Deaths::ByRates {
            let dies = now + days(self.draws.exponential(self.setting.lives.life));
            self.at(dies, Happening::Dies { slot, life });
        }
        let leaves = now + days(self.draws.exponential(self.setting.lives.between_absences));
        self.at(leaves, Happening::Leaves { slot, life });
    }

    fn leaves(&mut self, now: u64, slot: usize) {
        let back = now + days(self.draws.log_uniform(self.setting.lives.absence));
        let life = self.members[slot].life;
        self.members[slot].away_since = Some(now);
        self.at(back, Happening::Returns { slot, life });
        if self.setting.knowledge == Knowledge::Node {
            self.begin_grace(now, slot);
        }
    }

    fn begin_grace(&mut self, now: u64, slot: usize) {
        let member = &self.members[slot];
        let age = Span(now - member.born);
        let ends = now + grace(age, Span(member.longest_absence), &self.rules).0;
        let (life, since) = (member.life, now);
        self.members[slot].grace_ends = ends;
        self.at(ends, Happening::GraceEnds { slot, life, since });
    }

    fn returns(&mut self, now: u64, slot: usize) {
        let member = &mut self.members[slot];
        let Some(since) = member.away_since.take() else {
            return;
        };
        member.longest_absence = member.longest_absence.max(now - since);
        member.is_gone = false;
        let (life, is_within_grace) = (member.life, now < member.grace_ends);
        let leaves = now + days(self.draws.exponential(self.setting.lives.between_absences));
        self.at(leaves, Happening::Leaves { slot, life });
        self.adopt_again(slot, is_within_grace);
        self.stop_needless_repairs(now);
        self.look_at_all(now);
    }

    fn dies(&mut self, now: u64, slot: usize) {
        self.tally.deaths += 1;
        let was_away = self.members[slot].away_since.is_some();
        self.members[slot].is_alive = false;
        self.members[slot].away_since.get_or_insert(now);
        for owner in 0..self.archives.len() {
            self.count(owner, now);
        }
        match self.setting.knowledge {
            Knowledge::Node if !was_away => self.begin_grace(now, slot),
            Knowledge::Node => {}
            Knowledge::Oracle => {
                self.members[slot].is_gone = true;
                self.look_at_all(now);
            }
        }
        let back = now + days(self.setting.lives.replacement);
        self.at(back, Happening::Replaced { slot });
    }

    /// A new machine: its owner restores, and its vault is empty. The others learn that the old one is gone.
    fn replaced(&mut self, now: u64, slot: usize) {
        let data = usize::from(self.archives[slot].scheme.data());
        if self.alive_count(slot) < data && !self.archives[slot].is_lost {
            self.archives[slot].is_lost = true;
            self.tally.lost += 1;
        }
        let life = self.members[slot].life + 1;
        // The person stays, with the same habits.
        self.join(slot, self.members[slot].machine, (life, now));
        self.look_at_all(now);
    }

    fn look_at_all(&mut self, now: u64) {
        for owner in 0..self.archives.len() {
            self.count(owner, now);
            self.look_at(owner, now);
        }
    }
}

#[cfg(test)]
mod tests;
