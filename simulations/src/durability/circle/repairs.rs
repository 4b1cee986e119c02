//! What becomes of an archive that lost shards: asked of the engine's policies, and carried out at the speed of home lines.

use nuthatch_engine::repair::{RepairDecision, RepairSource, StripeHealth, decide};

use crate::durability::peers::is_on;

use super::{HOUR, Happening, Knowledge, Repair, Shard, World};

/// A repair that found too few shards to read, or took longer than this, is tried again.
const RETRY: u64 = 24 * HOUR;

/// Hours that a repair may take (count), however seldom both ends are on.
const REPAIR_HOURS_MAX: u64 = 90 * 24;

impl World<'_> {
    /// Whether a shard counts: its host is the machine that got it, and is not given up.
    fn is_healthy(&self, shard: &Shard) -> bool {
        let member = &self.members[shard.slot];
        member.life == shard.life && !member.is_gone
    }

    /// When the machine that got a shard was last there; 0 when another stands in its place.
    fn last_seen(&self, shard: &Shard) -> u64 {
        let member = &self.members[shard.slot];
        if member.life == shard.life {
            member.away_since.unwrap_or(u64::MAX)
        } else {
            0
        }
    }

    /// Decides on an archive as its owner or steward would.
    pub(super) fn look_at(&mut self, owner: usize, now: u64) {
        if self.archives[owner].repair.is_some() || self.archives[owner].is_lost {
            return;
        }
        let shards = &self.archives[owner].shards;
        let healthy = shards
            .iter()
            .flatten()
            .filter(|shard| self.is_healthy(shard))
            .count() as u8;
        let free: Vec<usize> = (0..self.members.len())
            .filter(|slot| *slot != owner && self.members[*slot].is_alive)
            .filter(|slot| self.members[*slot].away_since.is_none())
            .filter(|slot| {
                let holds = |shard: &Shard| shard.slot == *slot && self.is_healthy(shard);
                !shards.iter().flatten().any(holds)
            })
            .collect();
        let has_files = self.members[owner].is_alive && self.members[owner].away_since.is_none();
        let source = if has_files {
            RepairSource::Files
        } else {
            RepairSource::Shards
        };
        let health = StripeHealth {
            // With the files here nothing needs to be read.
            retrievable: if has_files { self.scheme.total() } else { healthy },
            healthy,
        };
        let keep = match self.setting.knowledge {
            Knowledge::Node => self.target,
            // What is lost for good is rebuilt at once, and nothing else is missing.
            Knowledge::Oracle => self.scheme.parity(),
        };
        let decision = decide(self.scheme, health, keep, free.len() as u8);
        let RepairDecision::Rebuild { shards: rebuilt } = decision else {
            return;
        };
        let mut missing: Vec<usize> = (0..shards.len())
            .filter(|index| !shards[*index].is_some_and(|shard| self.is_healthy(&shard)))
            .collect();
        // First those whose host has been away the longest: it is the least likely to come back.
        missing.sort_by_key(|index| shards[*index].map_or(0, |shard| self.last_seen(&shard)));
        let moves: Vec<_> = missing
            .into_iter()
            .zip(&free)
            .take(usize::from(rebuilt))
            .map(|(index, slot)| {
                let life = self.members[*slot].life;
                (index, Shard { slot: *slot, life })
            })
            .collect();
        let sender = if has_files {
            owner
        } else {
            moves.first().map_or(owner, |to| to.1.slot)
        };
        let done = self.done_at(now, sender, &moves, source);
        let archive = &mut self.archives[owner];
        archive.attempt += 1;
        archive.repair = Some(Repair { source, moves });
        let attempt = archive.attempt;
        self.at(done, Happening::Repaired { owner, attempt });
    }

    fn shard_len(&self) -> f64 {
        self.setting.archive_len / f64::from(self.scheme.data())
    }

    /// When so many shards have gone over the sender's line, in hours at which both ends are on.
    fn done_at(&self, now: u64, sender: usize, moves: &[(usize, Shard)], source: RepairSource) -> u64 {
        let shards = source.shards_moved(self.scheme, moves.len() as u8);
        let mut left = f64::from(shards) * self.shard_len();
        let first = now / HOUR + 1;
        for hour in first..first + REPAIR_HOURS_MAX {
            let on = |slot: usize| is_on(self.seed, self.members[slot].peer, hour);
            if on(sender) && moves.iter().any(|to| on(to.1.slot)) {
                left -= self.setting.upload_an_hour;
            }
            if left <= 0.0 {
                return (hour + 1) * HOUR;
            }
        }
        (first + REPAIR_HOURS_MAX) * HOUR
    }

    pub(super) fn repaired(&mut self, now: u64, owner: usize, attempt: u32) {
        if self.archives[owner].attempt != attempt {
            return;
        }
        let Some(repair) = self.archives[owner].repair.take() else {
            return;
        };
        let can_read = match repair.source {
            RepairSource::Files | RepairSource::Staging => self.members[owner].is_alive,
            RepairSource::Shards => self.alive_count(owner) >= usize::from(self.scheme.data()),
        };
        if !can_read {
            let archive = &mut self.archives[owner];
            archive.attempt += 1;
            let attempt = archive.attempt;
            archive.repair = Some(Repair {
                source: repair.source,
                moves: Vec::new(),
            });
            return self.at(now + RETRY, Happening::Repaired { owner, attempt });
        }
        let mut done = 0;
        for (index, to) in repair.moves {
            if !self.is_living(to.slot, to.life) {
                continue;
            }
            let former = self.archives[owner].shards[index].replace(to);
            if let Some(former) = former
                && self.is_living(former.slot, former.life)
            {
                self.archives[owner].given_up.push(former);
            }
            done += 1;
        }
        if done > 0 {
            self.tally.rebuilt += u64::from(done);
            self.tally.repair_bytes +=
                f64::from(repair.source.shards_moved(self.scheme, done)) * self.shard_len();
        }
        self.count(owner, now);
        self.look_at(owner, now);
    }
}
