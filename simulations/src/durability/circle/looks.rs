//! What is counted: whether archives exist, survive what they should, and can be restored. Changes nothing but tallies.

use super::{DAY, HOUR, Happening, LOOK, World};

impl World<'_> {
    /// Shards that exist (count), wherever their machine is.
    pub(super) fn alive_count(&self, owner: usize) -> usize {
        let shards = self.archives[owner].shards.iter().flatten();
        shards
            .filter(|shard| self.is_living(shard.slot, shard.life))
            .count()
    }

    /// Takes note of how many shards exist.
    pub(super) fn count(&mut self, owner: usize, now: u64) {
        let alive = self.alive_count(owner);
        let data = usize::from(self.archives[owner].scheme.data());
        let is_below_k = alive < data;
        if is_below_k && !self.archives[owner].is_below_k {
            self.tally.below_k += 1;
        }
        self.archives[owner].is_below_k = is_below_k;
        self.count_time(owner, now, alive < data + usize::from(self.target));
    }

    pub(super) fn count_time(&mut self, owner: usize, now: u64, is_below: bool) {
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

    /// Whether each archive could be restored at this moment, and within a day: shards may be fetched one after the other.
    pub(super) fn look_for_restore(&mut self, now: u64) {
        let hour = now / HOUR;
        let on: Vec<(bool, bool)> = self
            .members
            .iter()
            .map(|member| {
                let is_on =
                    |hour| member.is_alive && member.away_since.is_none() && member.machine.is_on(hour);
                (is_on(hour), (hour..hour + 24).any(is_on))
            })
            .collect();
        for archive in &self.archives {
            let (mut here, mut in_a_day) = (0, 0);
            for shard in archive.shards.iter().flatten() {
                if self.members[shard.slot].life == shard.life {
                    here += usize::from(on[shard.slot].0);
                    in_a_day += usize::from(on[shard.slot].1);
                }
            }
            let data = usize::from(archive.scheme.data());
            self.tally.looks += 1;
            self.tally.restorable += u64::from(here >= data);
            self.tally.restorable_in_a_day += u64::from(in_a_day >= data);
        }
        self.at(now + LOOK, Happening::Look);
    }

    /// What each shape costs, and who keeps most.
    pub(super) fn count_shares(&mut self) {
        let mut kept = vec![0.0_f64; self.members.len()];
        for archive in &self.archives {
            let data = f64::from(archive.scheme.data());
            self.tally.stored += f64::from(archive.scheme.total()) / data;
            self.tally.shards += u64::from(archive.scheme.total());
            for shard in archive.shards.iter().flatten() {
                kept[shard.slot] += 1.0 / data;
            }
        }
        self.tally.busiest = kept.into_iter().fold(0.0, f64::max);
    }
}
