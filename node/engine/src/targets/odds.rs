//! Odds: how many hosts are here at once, and whether a stripe outlives a year. Arithmetic only.

use nuthatch_erasure::Scheme;

use super::history::{Dependence, Histories, HostHistory, WEEK_HOURS};

/// Days of a year (count).
const DAYS: u32 = 365;

/// How shards are rebuilt, and what takes several hosts at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Upkeep {
    /// From a loss until what is missing has been rebuilt, in days: the grace of two weeks, and a week for slow lines.
    pub repair_days: f64,
    /// Disasters in a year that hit all hosts at once (rate): one in fifty years. Assumed.
    pub disasters_a_year: f64,
    /// Part of the hosts that is lost in one (`0..1`): a third. Assumed; Glacier (Haeberlen et al., NSDI 2005) prepares for 0.6.
    pub disaster_share: f64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            repair_days: 21.0,
            disasters_a_year: 0.02,
            disaster_share: 0.33,
        }
    }
}

/// When hosts are here, as their histories let expect it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hours {
    by_hour: Vec<[f64; WEEK_HOURS]>,
    dependences: Vec<Dependence>,
}

impl Hours {
    /// Of all hosts.
    pub fn of(histories: &Histories) -> Self {
        Self {
            by_hour: histories.hosts.iter().map(HostHistory::by_hour).collect(),
            dependences: histories.dependences(),
        }
    }

    /// For each number of hosts, from none to all of `chosen` (by their place in the histories): how likely just so many are here with their
    /// shard at a moment of no particular choice, when each still has it with probability `present` (`0..=1`).
    ///
    /// Within an hour of the week hosts count as independent, but for those whose history says otherwise: of these it is supposed that with
    /// the probability of their dependence one thing decides for all of them, who is here less being away first.
    pub fn here_at_once(&self, chosen: &[usize], present: f64) -> Vec<f64> {
        let groups = groups(chosen, &self.dependences);
        let mut sum = vec![0.0; chosen.len() + 1];
        for hour in 0..WEEK_HOURS {
            let mut here = Vec::with_capacity(chosen.len() + 1);
            here.push(1.0);
            for (members, strength) in &groups {
                let likely = members.iter().filter_map(|member| {
                    let hours = self.by_hour.get(*chosen.get(*member)?)?;
                    hours.get(hour).map(|here| here * present)
                });
                if members.len() == 1 {
                    likely.for_each(|likely| one_more(&mut here, likely));
                } else {
                    here = convolved(&here, &group_at_once(likely.collect(), *strength));
                }
            }
            for (sum, part) in sum.iter_mut().zip(here) {
                *sum += part / WEEK_HOURS as f64;
            }
        }
        sum
    }
}

/// Adds a host that is here with this probability.
fn one_more(here: &mut Vec<f64>, likely: f64) {
    let mut before = 0.0;
    for count in here.iter_mut() {
        let now = *count;
        *count = now * (1.0 - likely) + before * likely;
        before = now;
    }
    here.push(before * likely);
}

/// Hosts (by their place in `chosen`) that depend on each other, directly or through others, and how strongly.
fn groups(chosen: &[usize], dependences: &[Dependence]) -> Vec<(Vec<usize>, f64)> {
    let mut group: Vec<usize> = (0..chosen.len()).collect();
    let mut strengths = vec![0.0_f64; chosen.len()];
    for pair in dependences {
        let find = |host: usize| chosen.iter().position(|place| *place == host);
        let (Some(one), Some(other)) = (find(pair.one), find(pair.other)) else {
            continue;
        };
        let (Some(&from), Some(&to)) = (group.get(one.max(other)), group.get(one.min(other))) else {
            continue;
        };
        let moved = strengths.get(from).copied().unwrap_or(0.0);
        for label in group.iter_mut().filter(|label| **label == from) {
            *label = to;
        }
        if let Some(strength) = strengths.get_mut(to) {
            *strength = strength.max(moved).max(pair.strength);
        }
    }
    let members = |label: usize| -> Vec<usize> {
        let of_label = group.iter().enumerate().filter(|(_, own)| **own == label);
        of_label.map(|(member, _)| member).collect()
    };
    strengths
        .iter()
        .enumerate()
        .map(|(label, strength)| (members(label), *strength))
        .filter(|(members, _)| !members.is_empty())
        .collect()
}

/// How many of a group are here: with probability `strength` by one draw for all, else each by its own.
fn group_at_once(mut likely: Vec<f64>, strength: f64) -> Vec<f64> {
    let mut alone = vec![1.0];
    for here in &likely {
        one_more(&mut alone, *here);
    }
    if likely.len() < 2 || strength <= 0.0 {
        return alone;
    }
    likely.sort_by(|one, other| other.total_cmp(one));
    let at_least = |count: usize| match count {
        0 => 1.0,
        count => likely.get(count - 1).copied().unwrap_or(0.0),
    };
    alone
        .iter()
        .enumerate()
        .map(|(count, alone)| {
            let together = at_least(count) - at_least(count + 1);
            strength * together + (1.0 - strength) * alone
        })
        .collect()
}

fn convolved(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; one.len() + other.len() - 1];
    for (at, one) in one.iter().enumerate() {
        for (sum, other) in sum.iter_mut().skip(at).zip(other) {
            *sum += one * other;
        }
    }
    sum
}

/// How likely fewer shards exist within a year than it takes to read a stripe, by what takes them (probabilities, `0..=1`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostsFail {
    /// One host after the other, faster than what is missing is rebuilt.
    pub one_by_one: f64,
    /// A disaster that takes several at once.
    pub by_disaster: f64,
}

impl HostsFail {
    /// Probability that an owner loses data by it: that its own machine is lost too, in the same disaster or by chance in the time before
    /// and after in which a machine or a stripe is being replaced. `hazard` is of the owner's machine, in losses a year.
    pub fn and_owner(self, hazard: f64, upkeep: &Upkeep) -> f64 {
        let meanwhile = (hazard * 2.0 * upkeep.repair_days / f64::from(DAYS)).clamp(0.0, 1.0);
        self.one_by_one * meanwhile + self.by_disaster * upkeep.disaster_share
    }
}

/// How likely the hosts of a stripe fail within a year.
///
/// Begins anywhere from the fewest shards that are left alone (`threshold`) to all, as a stripe that is rebuilt now and then does; each
/// host is lost at `hazard` a year; below the threshold everything is rebuilt after the time that repair takes; and a disaster may come
/// on any day. Day by day, at most one loss a day beside a disaster.
pub fn hosts_fail_in_a_year(scheme: Scheme, threshold: u8, hazard: f64, upkeep: &Upkeep) -> HostsFail {
    let (data, total) = (usize::from(scheme.data()), usize::from(scheme.total()));
    let threshold = usize::from(threshold).clamp(data, total);
    let stays = (1.0 - hazard / f64::from(DAYS)).clamp(0.0, 1.0);
    let repaired = (1.0 / upkeep.repair_days.max(1.0)).min(1.0);
    let disaster = (upkeep.disasters_a_year / f64::from(DAYS)).clamp(0.0, 1.0);
    let fatal: Vec<f64> = (0..=total)
        .map(|left| too_many_lost(left, data, upkeep.disaster_share))
        .collect();
    // Probability of each number of shards.
    let mut left = vec![0.0; total + 1];
    for begin in left.iter_mut().skip(threshold) {
        *begin = 1.0 / (total + 1 - threshold) as f64;
    }
    let loses_one: Vec<f64> = (0..=i32::from(scheme.total()))
        .map(|shards| 1.0 - stays.powi(shards))
        .collect();
    let mut next = vec![0.0; total + 1];
    let (mut one_by_one, mut by_disaster) = (0.0, 0.0);
    for _ in 0..DAYS {
        next.fill(0.0);
        let each = left.iter().zip(&fatal).zip(&loses_one).enumerate();
        for (shards, ((probability, fatal), loses_one)) in each.skip(data) {
            by_disaster += probability * disaster * fatal;
            let goes_on = probability * (1.0 - disaster * fatal);
            let rebuilt = if shards < threshold {
                goes_on * repaired
            } else {
                0.0
            };
            let rests = goes_on - rebuilt;
            let one_less = rests * loses_one;
            add(&mut next, total, rebuilt);
            add(&mut next, shards, rests - one_less);
            if shards > data {
                add(&mut next, shards - 1, one_less);
            } else {
                one_by_one += one_less;
            }
        }
        std::mem::swap(&mut left, &mut next);
    }
    HostsFail {
        one_by_one,
        by_disaster,
    }
}

fn add(to: &mut [f64], at: usize, what: f64) {
    if let Some(place) = to.get_mut(at) {
        *place += what;
    }
}

/// Probability that of so many shards fewer than `data` are left when each is lost with probability `share`.
fn too_many_lost(shards: usize, data: usize, share: f64) -> f64 {
    let mut left = vec![1.0];
    for _ in 0..shards {
        one_more(&mut left, 1.0 - share);
    }
    left.iter().take(data).sum()
}
