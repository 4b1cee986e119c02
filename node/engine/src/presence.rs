//! Who can be talked to, whom to count on, and when to dial again. Pure; nothing is ever concluded from one failed contact.
//!
//! A member is away until its grace ends, then gone. The grace follows its history, and only time in which somebody else was here counts:
//! a machine that sleeps, or whose own link is cut, learns nothing about others.

use nuthatch_format::{Span, Timestamp};
use rand::{Rng, RngExt};

use crate::boundary::PathClass;
use crate::rules::PresenceRules;

/// Whether a member can be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Connected.
    Here {
        /// Since when.
        since: Timestamp,
        /// How.
        class: PathClass,
    },
    /// Not connected.
    Away {
        /// When it was last connected; `None` when it never was.
        since: Option<Timestamp>,
    },
    /// Not connected for longer than its grace: it is not counted on, until it comes back.
    Gone {
        /// When it was last connected; `None` when it never was.
        since: Option<Timestamp>,
    },
}

impl Presence {
    /// Whether it is connected.
    pub const fn is_here(self) -> bool {
        matches!(self, Self::Here { .. })
    }

    /// Whether new stripes may count on it: it is here, or was and is not gone.
    pub const fn counts(self) -> bool {
        match self {
            Self::Here { .. } => true,
            Self::Away { since } => since.is_some(),
            Self::Gone { .. } => false,
        }
    }
}

/// How long a member may be away before it is taken for gone, from what is known of it: the grace of the rules while it is young, later
/// one and a half times its longest absence, but neither shorter than a third of the grace nor longer than four times it.
///
/// Who has once been away for three weeks and come back is not given up after two; who never misses a day is missed sooner. Nearly all
/// of what is rebuilt too early is rebuilt for hosts that come back (Lillibridge et al., "A Cooperative Internet Backup Scheme", USENIX
/// 2003, takes two weeks for everybody).
pub fn grace(age: Span, longest_absence: Span, rules: &PresenceRules) -> Span {
    let full = rules.grace.0;
    let adapted = longest_absence.0.saturating_mul(3) / 2;
    let known = age.0 / full.max(1) >= GRACE_LEARNT_AFTER;
    let least = if known { full / 3 } else { full };
    Span(adapted.clamp(least, full.saturating_mul(4)))
}

/// Graces that a member must be old before its own history shortens its grace (count): a quarter of a year, with two weeks.
const GRACE_LEARNT_AFTER: u64 = 6;

/// How long to wait before a member is dialled again after so many failures in a row (count, from 1): doubling from the shortest
/// pause to the longest, and each pause drawn from its upper half, so that nodes that lost each other together don't return in step.
/// Never longer than `redial_max`.
pub fn redial_pause(rules: &PresenceRules, failure_count: u32, rng: &mut impl Rng) -> Span {
    let doubled = 1_u64
        .checked_shl(failure_count.saturating_sub(1))
        .unwrap_or(u64::MAX);
    let full = rules.redial_min.0.saturating_mul(doubled).min(rules.redial_max.0);
    Span(rng.random_range(full / 2..=full))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;
    use crate::rules::Rules;

    #[test]
    fn a_member_counts_from_its_first_contact_until_it_is_gone() {
        let since = Timestamp(1000);
        let class = PathClass::Lan;
        assert!(Presence::Here { since, class }.counts());
        assert!(Presence::Away { since: Some(since) }.counts());
        assert!(!Presence::Away { since: None }.counts());
        assert!(!Presence::Gone { since: Some(since) }.counts());
    }

    #[test]
    fn a_grace_follows_the_longest_absence_once_a_member_is_known() {
        let rules = Rules::default().presence;
        let (young, old) = (Span::from_days(20), Span::from_days(200));
        let days = |count| Span::from_days(count);
        assert_eq!(grace(young, Span::ZERO, &rules), rules.grace);
        assert_eq!(grace(young, days(20), &rules), days(30));
        assert_eq!(grace(old, days(20), &rules), days(30));
        assert_eq!(grace(old, days(1), &rules), Span(rules.grace.0 / 3));
        assert_eq!(grace(old, days(300), &rules), days(56));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pauses_grow_and_stay_bounded(failure_count in 1..200_u32, seed in any::<u64>()) {
            let rules = Rules::default().presence;
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
            let pause = redial_pause(&rules, failure_count, &mut generator);
            prop_assert!(pause <= rules.redial_max);
            let full = rules.redial_max.0.min(rules.redial_min.0 << failure_count.saturating_sub(1).min(20));
            prop_assert!(pause.0 >= full / 2);
        }
    }
}
