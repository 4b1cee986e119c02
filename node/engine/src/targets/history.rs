//! What has been seen of hosts, as tallies, and what that lets expect. Concludes nothing about a host that was seen for too short a time.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_format::Span;

use super::YEAR;
use crate::boundary::Domain;

/// Hours of a week (count).
pub const WEEK_HOURS: usize = 168;

/// Looks (count) that a guess from before the first look weighs as much as: for a host on the whole a day of them, for an hour of its week
/// four.
const GUESS_LOOKS: (f64, f64) = (24.0, 4.0);

/// Availability that is guessed before the first look (`0..1`): as likely here as not.
const GUESS: f64 = 0.5;

/// Looks (count) from which a host's own history decides: one an hour for four weeks.
const KNOWN_LOOKS: u32 = 4 * 168;

/// Age from which it does: four weeks.
const KNOWN_AGE: Span = Span::from_days(28);

/// Dependence (`0..1`) below which two hosts are taken for independent, however long they were watched.
const DEPENDENCE_MIN: f64 = 0.1;

/// Standard errors (count) that a dependence must stand out by. Looks at successive hours tell little new, so a day counts as one.
const DEPENDENCE_ERRORS: f64 = 3.0;

/// Time in which half of the hosts that nothing is known of are lost (years): a member who joins stays three years as likely as not.
/// Assumed, as published figures on the churn of home storage are; every year that hosts are watched corrects it.
const HALF_LIFE_YEARS: f64 = 3.0;

/// Looks at a host in one hour of the week (counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HourLooks {
    /// It was here.
    pub here: u16,
    /// All, while our own link was up; at least `here`.
    pub looks: u16,
}

/// What has been seen of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostHistory {
    /// What it is lost together with.
    pub domain: Domain,
    /// Since when it has been a host.
    pub age: Span,
    /// By hour of the week, in the order of time.
    pub hours: [HourLooks; WEEK_HOURS],
}

impl HostHistory {
    /// A host of which nothing has been seen.
    pub const fn new(domain: Domain, age: Span) -> Self {
        const NONE: HourLooks = HourLooks { here: 0, looks: 0 };
        Self {
            domain,
            age,
            hours: [NONE; WEEK_HOURS],
        }
    }

    /// Notes a look in an hour of the week (`0..WEEK_HOURS`, taken modulo). Tallies are halved before they overflow, so that what is
    /// older counts for less.
    pub fn look(&mut self, hour: usize, is_here: bool) {
        if let Some(looks) = self.hours.get_mut(hour % WEEK_HOURS) {
            if looks.looks == u16::MAX {
                (looks.here, looks.looks) = (looks.here / 2, looks.looks / 2);
            }
            looks.looks += 1;
            looks.here += u16::from(is_here);
        }
    }

    /// Looks in all (count).
    pub fn look_count(&self) -> u32 {
        self.hours.iter().map(|hour| u32::from(hour.looks)).sum()
    }

    /// Whether it was watched long enough to decide by.
    pub fn is_known(&self) -> bool {
        self.age >= KNOWN_AGE && self.look_count() >= KNOWN_LOOKS
    }

    /// Which part of the time it is here (`0..1`).
    pub fn availability(&self) -> f64 {
        let here: u32 = self
            .hours
            .iter()
            .map(|hour| u32::from(hour.here.min(hour.looks)))
            .sum();
        let (guess_looks, _) = GUESS_LOOKS;
        (f64::from(here) + GUESS * guess_looks) / (f64::from(self.look_count()) + guess_looks)
    }

    /// How likely it is here in each hour of the week (`0..1`).
    pub fn by_hour(&self) -> [f64; WEEK_HOURS] {
        let mean = self.availability();
        let (_, guess_looks) = GUESS_LOOKS;
        self.hours.map(|hour| {
            let here = f64::from(hour.here.min(hour.looks));
            (here + mean * guess_looks) / (f64::from(hour.looks) + guess_looks)
        })
    }
}

/// How often two hosts were away in the same look, by their places in the histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Together {
    /// The one.
    pub one: usize,
    /// The other.
    pub other: usize,
    /// Looks at both (count).
    pub looks: u32,
    /// Of these, both were away (count).
    pub both_away: u32,
}

/// How strongly two hosts come and go together, beyond their hours of the week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dependence {
    /// The one.
    pub one: usize,
    /// The other.
    pub other: usize,
    /// `0` is independent, `1` is one switch for both.
    pub strength: f64,
}

/// What has been seen of all hosts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histories {
    /// Each host.
    pub hosts: Vec<HostHistory>,
    /// Pairs that were watched together; a pair that is not named counts as independent.
    pub together: Vec<Together>,
    /// Hosts that were ever lost for good (count).
    pub lost_count: u32,
    /// Time that all hosts together, former ones too, have been hosts.
    pub watched: Span,
}

impl Histories {
    /// Failure domains (count).
    pub fn domain_count(&self) -> usize {
        self.hosts
            .iter()
            .map(|host| host.domain)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Of each domain the known host that is here most; those that are here most first, by their places.
    pub fn best_of_each_domain(&self) -> Vec<usize> {
        let mut best: BTreeMap<Domain, (f64, usize)> = BTreeMap::new();
        for (place, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.is_known()) {
            let here = host.availability();
            let first = best.entry(host.domain).or_insert((here, place));
            if here > first.0 {
                *first = (here, place);
            }
        }
        let mut ranked: Vec<(f64, usize)> = best.into_values().collect();
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        ranked.into_iter().map(|(_, place)| place).collect()
    }

    /// Pairs that are not independent, by more than chance explains.
    pub fn dependences(&self) -> Vec<Dependence> {
        let dependence = |pair: &Together| {
            let strength = self.strength(pair)?;
            let chance = DEPENDENCE_ERRORS / (f64::from(pair.looks) / 24.0).max(1.0).sqrt();
            (strength > chance.max(DEPENDENCE_MIN)).then_some(Dependence {
                one: pair.one,
                other: pair.other,
                strength,
            })
        };
        self.together.iter().filter_map(dependence).collect()
    }

    /// Correlation of two hosts' absences once the hour of the week is taken out: how much oftener both were away than independent hosts
    /// would be, as part of how much oftener they could be.
    fn strength(&self, pair: &Together) -> Option<f64> {
        let (one, other) = (self.hosts.get(pair.one)?, self.hosts.get(pair.other)?);
        let (mut expected, mut most) = (0.0, 0.0);
        for (one, other) in one.by_hour().into_iter().zip(other.by_hour()) {
            expected += (1.0 - one) * (1.0 - other);
            most += (1.0 - one).min(1.0 - other);
        }
        let (expected, most) = (expected / WEEK_HOURS as f64, most / WEEK_HOURS as f64);
        let seen = f64::from(pair.both_away.min(pair.looks)) / f64::from(pair.looks.max(1));
        (most > expected).then(|| ((seen - expected) / (most - expected)).clamp(0.0, 1.0))
    }

    /// Losses to expect of a host in a year (rate). The longer it has stayed, the likelier it stays: what is not known is each host's own
    /// rate, and having survived speaks for a low one. With nothing seen, half of all hosts last [`HALF_LIFE_YEARS`]; what the circle has
    /// lost and watched corrects that.
    pub fn hazard(&self, place: usize) -> f64 {
        let years = |span: Span| span.0 as f64 / YEAR.0 as f64;
        let mean = (1.0 + f64::from(self.lost_count)) / (HALF_LIFE_YEARS + years(self.watched));
        let age = self.hosts.get(place).map_or(0.0, |host| years(host.age));
        1.0 / (1.0 / mean + age)
    }

    /// The mean of the hazards of some hosts.
    pub fn mean_hazard(&self, hosts: &[usize]) -> f64 {
        let sum: f64 = hosts.iter().map(|place| self.hazard(*place)).sum();
        sum / hosts.len().max(1) as f64
    }
}
