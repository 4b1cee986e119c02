//! The cheapest shape for the hosts that there are, by what has been seen of them: how often each is here and at which hours, who is away
//! together, how long each has stayed. Pure: histories and goals in, a shape and its odds out; asks nobody, starts nothing.
//!
//! The table of `durability::shape_for` knows only how many hosts there are, so that it stays the rule while histories are young. It is
//! too narrow for hosts that sleep: of eight shards on twelve friends' machines, the fewest hours find eight awake.

mod history;
mod odds;

use nuthatch_erasure::Scheme;
use nuthatch_format::Span;

use crate::boundary::PackKind;
use crate::repair::{MISSING_MAX, threshold};
use crate::rules::STRIPE_HOSTS_MAX;

pub use history::{Dependence, Histories, HostHistory, HourLooks, Together, WEEK_HOURS};
pub use odds::{HostsFail, Hours, Upkeep, hosts_fail_in_a_year};

/// What a shape is to reach, and what it may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goals {
    /// Probability (`0..1`) that an owner loses data within a year: that fewer shards exist than it takes to read while its own machine is
    /// lost too. One owner in five hundred, nearly all of it by the disaster that [`Upkeep`] supposes.
    pub loss_a_year: f64,
    /// Probability (`0..1`) that at a moment of no particular choice enough hosts are here to restore everything.
    pub restorable_now: f64,
    /// Most that a circle of equals may ask of any one host: so many times (from 1) what each of them backs up itself. With `h` hosts no
    /// shape has fewer than `h / load_max` data shards, so that even a host whom everybody chooses keeps no more.
    pub load_max: f64,
    /// How shards are rebuilt and what takes several hosts at once.
    pub upkeep: Upkeep,
}

impl Default for Goals {
    fn default() -> Self {
        Self {
            loss_a_year: 2e-3,
            restorable_now: 0.9,
            load_max: 3.0,
            upkeep: Upkeep::default(),
        }
    }
}

/// What is to be expected of a shape on some hosts (probabilities, `0..=1`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// As in [`Goals`].
    pub loss_a_year: f64,
    /// As in [`Goals`].
    pub restorable_now: f64,
}

impl Outlook {
    /// Whether it is as good as it is to be.
    pub fn meets(&self, goals: &Goals) -> bool {
        self.loss_a_year <= goals.loss_a_year && self.restorable_now >= goals.restorable_now
    }
}

/// A shape and the hosts for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The shape; as many shards as hosts.
    pub scheme: Scheme,
    /// Hosts by their place in the histories, those that are here most first.
    pub hosts: Vec<usize>,
    /// What is to be expected.
    pub outlook: Outlook,
}

/// Bytes stored for each byte of a pack.
fn stored(scheme: Scheme) -> f64 {
    f64::from(scheme.total()) / f64::from(scheme.data())
}

/// Part of the hosts (as `KNOWN_PARTS.0 / KNOWN_PARTS.1`) that must have been known long enough before histories decide anything: one
/// new friend does not bring back the rule for strangers, a new circle has no other.
const KNOWN_PARTS: (usize, usize) = (3, 4);

/// One host of each failure domain, those that are here most first, by their places; `None` while too few are known.
pub fn ranked(histories: &Histories) -> Option<Vec<usize>> {
    let hosts = histories.best_of_each_domain();
    let (parts, whole) = KNOWN_PARTS;
    let is_enough = !hosts.is_empty() && hosts.len() * whole >= histories.domain_count() * parts;
    is_enough.then_some(hosts)
}

/// The cheapest shape that survives `target` losses, with as many shards more as may be missing at rest, and meets the goals; where none does, the one that comes
/// closest, which is the likeliest to be restorable among those that lose little enough. `None` while too few hosts are known: then the
/// rule by numbers holds.
///
/// One host of each failure domain at most, the one that is here most. Metadata, without which nothing is found, gets one parity shard
/// more on one host more where there is one.
pub fn choose(histories: &Histories, target: u8, kind: PackKind, goals: &Goals) -> Option<Choice> {
    let hosts = ranked(histories)?;
    let width_max = hosts.len().min(STRIPE_HOSTS_MAX);
    let fair = (histories.domain_count() as f64 / goals.load_max).ceil() as usize;
    // A spare shard that is dearer than the load allows is done without, the one for the sleeper is not.
    let data_min = fair.clamp(1, (width_max - 1).saturating_sub(usize::from(target)).max(1));
    let parity_min = (usize::from(target) + usize::from(MISSING_MAX)).min(width_max - data_min);
    let hours = Hours::of(histories);
    let mut best: Option<Choice> = None;
    for width in parity_min + data_min..=width_max {
        let chosen: Vec<usize> = hosts.iter().copied().take(width).collect();
        for data in data_min..=width - parity_min {
            let Some(scheme) = scheme_of(data, width) else {
                continue;
            };
            let is_dearer = |best: &Choice| best.outlook.meets(goals) && stored(scheme) > stored(best.scheme);
            if best.as_ref().is_some_and(is_dearer) {
                continue;
            }
            let choice = Choice {
                scheme,
                hosts: chosen.clone(),
                outlook: outlook((histories, &hours), scheme, &chosen, (target, goals)),
            };
            if best
                .as_ref()
                .is_none_or(|best| is_preferred(&choice, best, goals))
            {
                best = Some(choice);
            }
        }
    }
    match kind {
        PackKind::Data => best,
        PackKind::Meta => best.map(|best| with_one_more(best, &hosts, (histories, &hours), (target, goals))),
    }
}

fn scheme_of(data: usize, width: usize) -> Option<Scheme> {
    let parity = u8::try_from(width.checked_sub(data)?).ok()?;
    Scheme::new(u8::try_from(data).ok()?, parity).ok()
}

/// Whether one choice is better than another: one that meets the goals before one that does not; of those that do the cheaper; of those
/// that don't first one that loses little enough, then the likelier to be restorable.
fn is_preferred(choice: &Choice, than: &Choice, goals: &Goals) -> bool {
    let lasts = |choice: &Choice| choice.outlook.loss_a_year <= goals.loss_a_year;
    match (choice.outlook.meets(goals), than.outlook.meets(goals)) {
        (true, false) => true,
        (false, true) => false,
        (true, true) if (stored(choice.scheme) - stored(than.scheme)).abs() < 1e-9 => {
            choice.outlook.loss_a_year < than.outlook.loss_a_year
        }
        (true, true) => stored(choice.scheme) < stored(than.scheme),
        (false, false) => match (lasts(choice), lasts(than)) {
            (true, true) => choice.outlook.restorable_now > than.outlook.restorable_now,
            (false, false) => choice.outlook.loss_a_year < than.outlook.loss_a_year,
            (is_better, _) => is_better,
        },
    }
}

/// The same with one parity shard more, on the next host; or with one data shard fewer where there is none.
fn with_one_more(
    choice: Choice,
    hosts: &[usize],
    seen: (&Histories, &Hours),
    (target, goals): (u8, &Goals),
) -> Choice {
    let width = (choice.hosts.len() + 1).min(hosts.len()).min(STRIPE_HOSTS_MAX);
    let data = usize::from(choice.scheme.data());
    let data = if width > choice.hosts.len() {
        data
    } else {
        (data - 1).max(1)
    };
    let Some(scheme) = scheme_of(data, width) else {
        return choice;
    };
    let chosen: Vec<usize> = hosts.iter().copied().take(width).collect();
    let outlook = outlook(seen, scheme, &chosen, (target, goals));
    Choice {
        scheme,
        hosts: chosen,
        outlook,
    }
}

/// The outlook of a shape on some hosts, also on such as were chosen some other way. Hosts by their place; those that are not known count
/// for what is known of them. A stripe rests with any number of shards from the threshold of repair to all; it is taken for as likely
/// to have each, and each shard for as likely to be the missing one.
pub fn outlook(
    (histories, hours): (&Histories, &Hours),
    scheme: Scheme,
    hosts: &[usize],
    (target, goals): (u8, &Goals),
) -> Outlook {
    let rests = f64::from(threshold(scheme, target)) + f64::from(scheme.total());
    let present = rests / (2.0 * f64::from(scheme.total()));
    Outlook {
        loss_a_year: owner_loses(histories, scheme, hosts, (target, goals)),
        restorable_now: hours
            .here_at_once(hosts, present)
            .iter()
            .skip(usize::from(scheme.data()))
            .sum(),
    }
}

/// Probability that an owner whose machine lasts as its hosts' do loses data within a year.
fn owner_loses(histories: &Histories, scheme: Scheme, hosts: &[usize], (target, goals): (u8, &Goals)) -> f64 {
    let hazard = histories.mean_hazard(hosts);
    hosts_fail_in_a_year(scheme, threshold(scheme, target), hazard, &goals.upkeep)
        .and_owner(hazard, &goals.upkeep)
}

/// A year of 365 days.
const YEAR: Span = Span::from_days(365);

#[cfg(test)]
mod tests;
