//! What is remembered of one member over the years: how old it is, how long it stays away, at which hours it is there, and what a person
//! has said about it. Bounded, however long it lives. Decides nothing; `presence` and `repair` judge by it.

use minicbor::{Decode, Encode};
use nuthatch_format::{Span, Timestamp};

use crate::boundary::{Domain, PathClass};
use crate::presence::grace;
use crate::rules::PresenceRules;
use crate::targets::{HostHistory, HourLooks, WEEK_HOURS};

/// Length of an hour in milliseconds.
const HOUR: u64 = 3_600_000;

/// The first hour of 1970 was the 73rd of its week: a Thursday.
const FIRST_HOUR: u64 = 72;

/// Looks at one hour of the week that are remembered (count); beyond, all are halved, so that a year is forgotten over the next one.
const LOOKS_MAX: u8 = 104;

/// What a person has said about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// Nothing: it is one like all others.
    #[default]
    #[n(0)]
    Member,
    /// It will leave: what it keeps is copied away first.
    #[n(1)]
    Leaving,
    /// It never comes back: what it kept is rebuilt now.
    #[n(2)]
    Lost,
    /// Its own person says that it will leave: as `Leaving`, until that is taken back there.
    #[n(3)]
    Departing,
}

/// One member's past, as this node has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct History {
    /// When it was first known here.
    #[n(0)]
    pub first_seen: Timestamp,
    /// When it was last connected; `None`: never.
    #[n(1)]
    pub last_seen: Option<Timestamp>,
    /// How long its present absence has lasted, as far as it was observed: while somebody else was here.
    #[n(2)]
    pub absent: Span,
    /// The longest absence that has ended, as far as it was observed.
    #[n(3)]
    pub longest_absence: Span,
    /// Absences that have begun (count).
    #[n(4)]
    pub absence_count: u32,
    /// Of these, those that began together with another member's (count).
    #[n(5)]
    pub joint_count: u32,
    /// Whether its present absence has outlasted its grace.
    #[n(6)]
    pub is_gone: bool,
    /// Whether it was last reached on the local network.
    #[n(7)]
    pub is_near: bool,
    /// What a person has said about it.
    #[n(8)]
    pub standing: Standing,
    /// How often it was there when it was looked for, at each hour of the week (count; UTC, from Monday 0:00).
    #[cbor(n(9), with = "minicbor::bytes")]
    pub here: [u8; WEEK_HOURS],
    /// How often it was looked for, while somebody else was here (count; `0..=LOOKS_MAX`, at least `here`).
    #[cbor(n(10), with = "minicbor::bytes")]
    pub looks: [u8; WEEK_HOURS],
    /// Up to when its present absence is counted.
    #[n(11)]
    pub observed_at: Timestamp,
}

impl History {
    /// Of a member that becomes known now.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            first_seen: now,
            last_seen: None,
            absent: Span::ZERO,
            longest_absence: Span::ZERO,
            absence_count: 0,
            joint_count: 0,
            is_gone: false,
            is_near: true,
            standing: Standing::Member,
            here: [0; WEEK_HOURS],
            looks: [0; WEEK_HOURS],
            observed_at: now,
        }
    }

    /// How long it has been known.
    pub fn age(&self, now: Timestamp) -> Span {
        now.since(self.first_seen)
    }

    /// In how many of a thousand looks it was there; `None` before the first.
    pub fn availability_per_mille(&self) -> Option<u16> {
        let sum = |counts: &[u8]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        u16::try_from((sum(&self.here) * 1000).checked_div(sum(&self.looks))?).ok()
    }

    /// As the choice of shapes wants it.
    pub fn looks(&self, domain: Domain, now: Timestamp) -> HostHistory {
        let mut history = HostHistory::new(domain, self.age(now));
        for (hour, (here, looks)) in history.hours.iter_mut().zip(self.here.iter().zip(&self.looks)) {
            *hour = HourLooks {
                here: u16::from(*here.min(looks)),
                looks: u16::from(*looks),
            };
        }
        history
    }

    /// How long it may be away until it is gone.
    pub fn grace(&self, now: Timestamp, rules: &PresenceRules) -> Span {
        grace(self.age(now), self.longest_absence, rules)
    }

    /// It is connected.
    pub(crate) fn arrived(&mut self, class: PathClass, now: Timestamp) {
        self.longest_absence = self.longest_absence.max(self.absent);
        self.absent = Span::ZERO;
        self.is_gone = false;
        self.is_near = class == PathClass::Lan;
        self.last_seen = Some(now);
    }

    /// It is no longer connected.
    pub(crate) fn left(&mut self, now: Timestamp) {
        self.last_seen = Some(now);
        self.observed_at = now;
        self.absence_count = self.absence_count.saturating_add(1);
    }

    /// It was there, or was not, at the end of this hour.
    pub(crate) fn note_hour(&mut self, now: Timestamp, is_here: bool) {
        let hour = hour_of_week(now);
        let (Some(here), Some(looks)) = (self.here.get_mut(hour), self.looks.get_mut(hour)) else {
            return;
        };
        if *looks >= LOOKS_MAX {
            (*here, *looks) = (*here / 2, *looks / 2);
        }
        *looks += 1;
        *here += u8::from(is_here);
    }
}

/// Which hour of the week a moment lies in, `0..WEEK_HOURS`, from Monday 0:00 UTC.
pub const fn hour_of_week(at: Timestamp) -> usize {
    ((at.0 / HOUR + FIRST_HOUR) % WEEK_HOURS as u64) as usize
}

/// When the next hour begins.
pub(crate) const fn next_hour(now: Timestamp) -> Timestamp {
    Timestamp((now.0 / HOUR).saturating_add(1).saturating_mul(HOUR))
}

#[cfg(test)]
mod tests {
    use nuthatch_format::NodeId;

    use super::*;

    #[test]
    fn weeks_begin_on_monday() {
        // 2024-01-01 was a Monday.
        let monday = Timestamp(1_704_067_200_000);
        assert_eq!(hour_of_week(monday), 0);
        assert_eq!(hour_of_week(Timestamp(monday.0 - 1)), WEEK_HOURS - 1);
        assert_eq!(next_hour(monday), Timestamp(monday.0 + HOUR));
    }

    #[test]
    fn habits_are_learned_and_forgotten_and_stay_in_range() {
        let mut history = History::new(Timestamp(0));
        assert_eq!(history.availability_per_mille(), None);
        for _ in 0..1000 {
            history.note_hour(Timestamp(0), true);
        }
        assert_eq!(history.availability_per_mille(), Some(1000));
        for _ in 0..1000 {
            history.note_hour(Timestamp(0), false);
        }
        assert!(history.availability_per_mille() < Some(10));
        let looks = history.looks(Domain(NodeId::from_bytes([1; 32])), Timestamp(7));
        assert_eq!(looks.age, Span(7));
        assert!(looks.look_count() > 0 && looks.look_count() <= u32::from(LOOKS_MAX));
    }
}
