//! What becomes of an archive that lost shards: asked of the engine's policies, and carried out at the speed of home lines.

use nuthatch_engine::repair::{RepairDecision, RepairSource, StripeHealth, decide};

use super::{Archive, HOUR, Happening, Knowledge, Repair, Shard, World};

/// A repair that found too few shards to read, or took longer than this, is tried again.
const RETRY: u64 = 24 * HOUR;

/// Hours that a repair may take (count), however seldom both ends are on.
const REPAIR_HOURS_MAX: u64 = 90 * 24;

/// Bytes that travel to rebuild so many shards of an archive of this length.
fn bytes_moved(archive: &Archive, archive_len: f64, (source, rebuilt): (RepairSource, u8)) -> f64 {
    let shard_len = archive_len / f64::from(archive.scheme.data());
    f64::from(source.shards_moved(archive.scheme, rebuilt)) * shard_len
}

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
        let scheme = self.archives[owner].scheme;
        let order = self.archives[owner].order.iter().copied();
        let free: Vec<usize> = order
            .filter(|slot| self.members[*slot].is_alive)
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
            retrievable: if has_files { scheme.total() } else { healthy },
            healthy,
        };
        let keep = match self.setting.knowledge {
            Knowledge::Node => self.target,
            // What is lost for good is rebuilt at once, and nothing else is missing.
            Knowledge::Oracle => scheme.parity(),
        };
        let decision = decide(scheme, health, keep, free.len() as u8);
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
        let done = self.done_at(
            now,
            sender,
            &moves,
            bytes_moved(
                &self.archives[owner],
                self.setting.archive_len,
                (source, moves.len() as u8),
            ),
        );
        let archive = &mut self.archives[owner];
        archive.attempt += 1;
        archive.repair = Some(Repair {
            begun: now,
            done,
            source,
            moves,
        });
        let attempt = archive.attempt;
        self.at(done, Happening::Repaired { owner, attempt });
    }

    /// When so many bytes have gone over the sender's line, in hours at which both ends are on.
    fn done_at(&self, now: u64, sender: usize, moves: &[(usize, Shard)], bytes: f64) -> u64 {
        let mut left = bytes;
        let first = now / HOUR + 1;
        for hour in first..first + REPAIR_HOURS_MAX {
            let on = |slot: usize| self.members[slot].machine.is_on(hour);
            if on(sender) && moves.iter().any(|to| on(to.1.slot)) {
                left -= self.setting.upload_an_hour;
            }
            if left <= 0.0 {
                return (hour + 1) * HOUR;
            }
        }
        (first + REPAIR_HOURS_MAX) * HOUR
    }

    /// A host is back with shards that have been rebuilt elsewhere: the more wanted of the two hosts keeps each, the other lets it go.
    pub(super) fn adopt_again(&mut self, slot: usize, is_within_grace: bool) {
        let life = self.members[slot].life;
        for owner in 0..self.archives.len() {
            let given_up = std::mem::take(&mut self.archives[owner].given_up);
            let (back, others): (Vec<_>, Vec<_>) = given_up
                .into_iter()
                .partition(|(_, shard)| (shard.slot, shard.life) == (slot, life));
            self.archives[owner].given_up = others;
            self.tally.rebuilt_in_vain += back.len() as u64;
            self.tally.rebuilt_within_grace += back.len() as u64 * u64::from(is_within_grace);
            for (index, shard) in back {
                let now_at = self.archives[owner].shards[index];
                let rank = |slot: usize| self.archives[owner].order.iter().position(|one| *one == slot);
                if now_at.is_none_or(|other| !self.is_healthy(&other) || rank(slot) < rank(other.slot)) {
                    self.archives[owner].shards[index] = Some(shard);
                }
            }
        }
    }

    /// A host is back: what was being rebuilt in its place is not needed any more. What has travelled for it by now has been in vain.
    pub(super) fn stop_needless_repairs(&mut self, now: u64) {
        for owner in 0..self.archives.len() {
            let archive = &self.archives[owner];
            let Some(repair) = &archive.repair else { continue };
            let is_needed =
                |at: &(usize, Shard)| !archive.shards[at.0].is_some_and(|shard| self.is_healthy(&shard));
            let moves: Vec<_> = repair.moves.iter().filter(|at| is_needed(at)).copied().collect();
            let dropped = repair.moves.len() - moves.len();
            if dropped == 0 {
                continue;
            }
            let part = (now - repair.begun) as f64 / (repair.done - repair.begun).max(1) as f64;
            let read_too = if moves.is_empty() { dropped as u8 } else { 0 };
            let bytes = match read_too {
                // Only the writing of some.
                0 => bytes_moved(
                    archive,
                    self.setting.archive_len,
                    (RepairSource::Files, dropped as u8),
                ),
                all => bytes_moved(archive, self.setting.archive_len, (repair.source, all)),
            };
            self.tally.repair_bytes += part.min(1.0) * bytes;
            let archive = &mut self.archives[owner];
            if moves.is_empty() {
                archive.repair = None;
                archive.attempt += 1;
            } else if let Some(repair) = &mut archive.repair {
                repair.moves = moves;
            }
        }
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
            RepairSource::Shards => {
                self.alive_count(owner) >= usize::from(self.archives[owner].scheme.data())
            }
        };
        if !can_read {
            let archive = &mut self.archives[owner];
            archive.attempt += 1;
            let attempt = archive.attempt;
            archive.repair = Some(Repair {
                begun: now,
                done: now + RETRY,
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
                self.archives[owner].given_up.push((index, former));
            }
            done += 1;
        }
        if done > 0 {
            self.tally.rebuilt += u64::from(done);
            let archive_len = self.setting.archive_len;
            self.tally.repair_bytes += bytes_moved(&self.archives[owner], archive_len, (repair.source, done));
        }
        self.count(owner, now);
        self.look_at(owner, now);
    }
}
