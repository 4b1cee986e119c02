//! One circle of friends over years: each owns an archive, spread over all the others. Deaths, long absences, ended graces, replacements
//! and repairs are events; whether a machine is on in an hour is asked when it matters.
//!
//! What is decided (shape, target, grace, when to rebuild, from which source) is decided by the engine's functions.

mod repairs;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use nuthatch_engine::Scheme;
use nuthatch_engine::boundary::PackKind;
use nuthatch_engine::durability::{shape_for, target_for};
use nuthatch_engine::presence::grace;
use nuthatch_engine::repair::RepairSource;
use nuthatch_engine::rules::{PresenceRules, Rules};
use nuthatch_format::Span;

use super::peers::{Draws, Lives, is_on};

/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;
/// Milliseconds of a day.
const DAY: u64 = 24 * HOUR;
/// Between two looks at whether an archive could be restored at that moment.
const LOOK: u64 = 61 * DAY + 5 * HOUR;

/// Who decides when a host has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// A node, from what it has seen.
    Node,
    /// Somebody who knows at once who is dead, has that rebuilt, and knows that everybody else comes back.
    Oracle,
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Members beside each owner (count): its possible hosts.
    pub friends: usize,
    /// How long, in days.
    pub days: u64,
    /// What machines do.
    pub lives: Lives,
    /// Who decides.
    pub knowledge: Knowledge,
    /// Plaintext of each archive, in bytes.
    pub archive_len: f64,
    /// What a machine uploads in an hour, in bytes.
    pub upload_an_hour: f64,
}

impl Setting {
    /// Ten years of an archive of 100 GB at 20 Mbit/s upwards.
    pub fn new(friends: usize) -> Self {
        Self {
            friends,
            days: 3650,
            lives: Lives::default(),
            knowledge: Knowledge::Node,
            archive_len: 100e9,
            upload_an_hour: 20e6 / 8.0 * 3600.0,
        }
    }
}

/// What came of it, summed over archives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// Archives (count).
    pub archives: u64,
    /// Archives that could not be restored any more when their owner needed it (count).
    pub lost: u64,
    /// Times that fewer than k shards were left in the world, the owner's own files aside (count).
    pub below_k: u64,
    /// Bytes moved to rebuild shards.
    pub repair_bytes: f64,
    /// Shards rebuilt (count).
    pub rebuilt: u64,
    /// Of them, for hosts that came back (count).
    pub rebuilt_in_vain: u64,
    /// Days of archives, and of these the days at which fewer losses were survived than should be.
    pub days: f64,
    /// See `days`.
    pub days_below_target: f64,
    /// Looks at whether the archive could be restored at that moment (count), and those at which it could.
    pub looks: u64,
    /// See `looks`.
    pub restorable: u64,
    /// Machines lost for good (count).
    pub deaths: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.archives += other.archives;
        self.lost += other.lost;
        self.below_k += other.below_k;
        self.repair_bytes += other.repair_bytes;
        self.rebuilt += other.rebuilt;
        self.rebuilt_in_vain += other.rebuilt_in_vain;
        self.days += other.days;
        self.days_below_target += other.days_below_target;
        self.looks += other.looks;
        self.restorable += other.restorable;
        self.deaths += other.deaths;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Leaves { slot: usize, life: u32 },
    Returns { slot: usize, life: u32 },
    Dies { slot: usize, life: u32 },
    GraceEnds { slot: usize, life: u32, since: u64 },
    Replaced { slot: usize },
    Disaster,
    Repaired { owner: usize, attempt: u32 },
    Look,
}

/// A member's place in the circle: one machine after the other.
#[derive(Debug, Clone)]
struct Member {
    peer: u64,
    life: u32,
    is_alive: bool,
    /// Since when nobody has seen it; `None` while it comes and goes by its habit.
    away_since: Option<u64>,
    /// Given up by the others.
    is_gone: bool,
    born: u64,
    longest_absence: u64,
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
    /// One for each shard of the shape; `None` while nobody has ever got it.
    shards: Vec<Option<Shard>>,
    /// Former holders of rebuilt shards that were not known to be dead.
    given_up: Vec<Shard>,
    repair: Option<Repair>,
    attempt: u32,
    is_below_k: bool,
    is_lost: bool,
    below_target_since: Option<u64>,
}

#[derive(Debug, Clone)]
struct Repair {
    source: RepairSource,
    /// Shard and the slot that is to get it.
    moves: Vec<(usize, Shard)>,
}

/// The circle.
struct World<'s> {
    setting: &'s Setting,
    rules: PresenceRules,
    seed: u64,
    scheme: Scheme,
    target: u8,
    members: Vec<Member>,
    archives: Vec<Archive>,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    queued: u64,
    next_peer: u64,
    draws: Draws,
    tally: Tally,
}

/// Runs a circle; `None` when so few friends have no shape.
pub fn run(setting: &Setting, seed: u64, circle: u64) -> Option<Tally> {
    let target = target_for(setting.friends, None);
    let scheme = shape_for(setting.friends, target, PackKind::Data)?;
    let count = setting.friends + 1;
    let mut world = World {
        setting,
        rules: Rules::default().presence,
        seed,
        scheme,
        target,
        members: Vec::with_capacity(count),
        archives: Vec::with_capacity(count),
        queue: BinaryHeap::new(),
        queued: 0,
        next_peer: circle << 20,
        draws: Draws::new(seed, circle),
        tally: Tally::default(),
    };
    for slot in 0..count {
        world.join(slot, 0, 0);
    }
    for owner in 0..count {
        let hosts = (1..count).map(|step| (owner + step) % count);
        let shards = hosts
            .map(|slot| Some(Shard { slot, life: 0 }))
            .take(usize::from(scheme.total()));
        world.archives.push(Archive {
            shards: shards.collect(),
            given_up: Vec::new(),
            repair: None,
            attempt: 0,
            is_below_k: false,
            is_lost: false,
            below_target_since: None,
        });
    }
    let first_disaster = world.draws.exponential(setting.lives.between_disasters);
    world.at(days(first_disaster), Happening::Disaster);
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

    /// A machine begins its life in a slot.
    fn join(&mut self, slot: usize, life: u32, now: u64) {
        let member = Member {
            peer: self.next_peer,
            life,
            is_alive: true,
            away_since: None,
            is_gone: false,
            born: now,
            longest_absence: 0,
        };
        self.next_peer += 1;
        if slot < self.members.len() {
            self.members[slot] = member;
        } else {
            self.members.push(member);
        }
        let dies = now + days(self.draws.exponential(self.setting.lives.life));
        self.at(dies, Happening::Dies { slot, life });
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
        self.at(ends, Happening::GraceEnds { slot, life, since });
    }

    fn returns(&mut self, now: u64, slot: usize) {
        let member = &mut self.members[slot];
        let Some(since) = member.away_since.take() else {
            return;
        };
        member.longest_absence = member.longest_absence.max(now - since);
        member.is_gone = false;
        let life = member.life;
        let leaves = now + days(self.draws.exponential(self.setting.lives.between_absences));
        self.at(leaves, Happening::Leaves { slot, life });
        for archive in &mut self.archives {
            // What was rebuilt elsewhere meanwhile is released.
            let before = archive.given_up.len();
            archive
                .given_up
                .retain(|shard| shard.slot != slot || shard.life != life);
            self.tally.rebuilt_in_vain += (before - archive.given_up.len()) as u64;
        }
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
        if self.alive_count(slot) < usize::from(self.scheme.data()) && !self.archives[slot].is_lost {
            self.archives[slot].is_lost = true;
            self.tally.lost += 1;
        }
        let life = self.members[slot].life + 1;
        self.join(slot, life, now);
        self.look_at_all(now);
    }

    /// Shards that exist (count), wherever their machine is.
    fn alive_count(&self, owner: usize) -> usize {
        let shards = self.archives[owner].shards.iter().flatten();
        shards
            .filter(|shard| self.is_living(shard.slot, shard.life))
            .count()
    }

    /// Takes note of how many shards exist.
    fn count(&mut self, owner: usize, now: u64) {
        let alive = self.alive_count(owner);
        let is_below_k = alive < usize::from(self.scheme.data());
        if is_below_k && !self.archives[owner].is_below_k {
            self.tally.below_k += 1;
        }
        self.archives[owner].is_below_k = is_below_k;
        let is_below = alive < usize::from(self.scheme.data()) + usize::from(self.target);
        self.count_time(owner, now, is_below);
    }

    fn count_time(&mut self, owner: usize, now: u64, is_below: bool) {
        let archive = &mut self.archives[owner];
        match (archive.below_target_since, is_below) {
            (Some(since), false) => {
                self.tally.days_below_target += (now - since) as f64 / DAY as f64;
                archive.below_target_since = None;
            }
            (None, true) => archive.below_target_since = Some(now),
            (Some(_), true) | (None, false) => {}
        }
    }

    fn look_at_all(&mut self, now: u64) {
        for owner in 0..self.archives.len() {
            self.count(owner, now);
            self.look_at(owner, now);
        }
    }

    fn look_for_restore(&mut self, now: u64) {
        let hour = now / HOUR;
        let on: BTreeMap<usize, u32> = (0..self.members.len())
            .filter(|slot| {
                let member = &self.members[*slot];
                member.is_alive && member.away_since.is_none() && is_on(self.seed, member.peer, hour)
            })
            .map(|slot| (slot, self.members[slot].life))
            .collect();
        for archive in &self.archives {
            let shards = archive.shards.iter().flatten();
            let count = shards
                .filter(|shard| on.get(&shard.slot) == Some(&shard.life))
                .count();
            self.tally.looks += 1;
            self.tally.restorable += u64::from(count >= usize::from(self.scheme.data()));
        }
        self.at(now + LOOK, Happening::Look);
    }
}

#[cfg(test)]
mod tests;
