//! Whether a pair of nodes gives each other about as much: who may keep how much here, who is warned, who gets no more. Pure.
//!
//! What somebody keeps for us is counted by what it signed for, never by what it says. Nothing is ever taken away here: the worst that a
//! verdict says is that this host's *person* may release what is kept, long after that was announced. Giving back what is kept is not
//! this file's business: nobody is refused his backup for his balance.
//!
//! Only time in which its owner could hear of it counts against an archive: while none of its nodes is here, or all that are have
//! declared a holiday, the clock stands still. So nobody comes home to find that he was warned in his absence.

use nuthatch_format::{ByteCount, Span, Timestamp};

use crate::rules::FairRules;

/// What a host's person has said about hosting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stance {
    /// It takes what its quota allows.
    #[default]
    Open,
    /// A holiday: it takes nothing new, and keeps and gives what it has. It is not counted against it.
    Paused {
        /// When it ends by itself; `None`: when its person says so, or not known.
        until: Option<Timestamp>,
    },
    /// It is about to leave: it takes nothing new, and its shards are to be kept elsewhere.
    Leaving,
}

impl Stance {
    /// What holds at a moment: a holiday that has ended is none.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Paused { until: Some(until) } if now >= until => Self::Open,
            Self::Open | Self::Paused { .. } | Self::Leaving => self,
        }
    }

    /// Whether new data is taken.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }
}

/// How an archive stands with this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// It keeps no more here than it may.
    #[default]
    Even,
    /// It keeps more here than it may; it is told, and new data is still taken, up to twice what it may keep.
    Warned {
        /// Until then, if its owner can be told all the while.
        until: Timestamp,
    },
    /// It was told long enough: what is here stays, is given back and renewed, and nothing new is taken.
    Stopped {
        /// When this host's person may release what is here, if its owner can be told all the while.
        release_at: Timestamp,
    },
    /// This host's person may release what is here.
    Releasable,
}

impl Balance {
    /// How pressing it is (`0..=3`): for telling whether it became another.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Even => 0,
            Self::Warned { .. } => 1,
            Self::Stopped { .. } => 2,
            Self::Releasable => 3,
        }
    }
}

/// What is known of the account with one archive, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What is kept here for it.
    pub kept_for_them: ByteCount,
    /// What its nodes keep for the archive of this node, by their signatures.
    pub kept_for_us: ByteCount,
    /// Whether anything is asked in return.
    pub terms: AccountTerms,
    /// Whether time counts now.
    pub hearing: Hearing,
}

/// Whether a host asks for anything in return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountTerms {
    /// About as much as it gives.
    Balanced,
    /// Nothing: it is generous, or it is its own archive.
    Free,
}

/// Whether the owner of an archive could hear how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// One of its nodes is here, has shown what it keeps, and is not on a holiday.
    Open,
    /// None is.
    Closed,
}

/// How long an archive has kept more here than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debt {
    /// For so long, of the time that counts.
    pub lasted: Span,
    /// Up to when that was counted.
    pub counted_at: Timestamp,
}

/// What an archive may keep here whose nodes keep so much for us: a starter's allowance, and what they keep with some tolerance.
pub fn allowance(kept_for_us: ByteCount, rules: &FairRules) -> ByteCount {
    let tolerated = u128::from(kept_for_us.0) * u128::from(rules.tolerance_percent) / 100;
    let tolerated = ByteCount(u64::try_from(tolerated).unwrap_or(u64::MAX));
    rules
        .allowance
        .saturating_add(kept_for_us)
        .saturating_add(tolerated)
}

/// What may be kept here in all by new promises and new data; `None`: as far as this question goes, anything.
///
/// Twice the allowance, while there is still time to mend it; the allowance itself afterwards.
pub fn most(account: &Account, balance: Balance, rules: &FairRules) -> Option<ByteCount> {
    match account.terms {
        AccountTerms::Free => None,
        AccountTerms::Balanced => {
            let allowed = allowance(account.kept_for_us, rules);
            Some(match balance {
                Balance::Even | Balance::Warned { .. } => allowed.saturating_add(allowed),
                Balance::Stopped { .. } | Balance::Releasable => allowed,
            })
        }
    }
}

/// Goes on counting. A debt begins when more is kept than allowed, grows only while its owner can hear of it, and is forgotten when the
/// account is even again. A gap between two looks counts as a day at most: this host may have slept.
pub fn count(before: Option<Debt>, account: &Account, now: Timestamp, rules: &FairRules) -> Option<Debt> {
    let is_over = account.kept_for_them > allowance(account.kept_for_us, rules);
    if account.terms == AccountTerms::Free || (!is_over && account.hearing == Hearing::Open) {
        return None;
    }
    let begun = Debt {
        lasted: Span::ZERO,
        counted_at: now,
    };
    let Some(before) = before else {
        // Of those who are away it is not known what they keep: that is no reason to begin.
        return (is_over && account.hearing == Hearing::Open).then_some(begun);
    };
    let passed = match account.hearing {
        Hearing::Open => now.since(before.counted_at).min(rules.gap_max),
        Hearing::Closed => Span::ZERO,
    };
    Some(Debt {
        lasted: Span(before.lasted.0.saturating_add(passed.0)),
        counted_at: now.max(before.counted_at),
    })
}

/// How an archive stands with such a debt.
pub fn balance(debt: Option<Debt>, now: Timestamp, rules: &FairRules) -> Balance {
    let Some(debt) = debt else { return Balance::Even };
    let stopped_after = rules.warning.0;
    let released_after = stopped_after.saturating_add(rules.release.0);
    let left = |after: u64| now.after(Span(after.saturating_sub(debt.lasted.0)));
    if debt.lasted.0 < stopped_after {
        Balance::Warned {
            until: left(stopped_after),
        }
    } else if debt.lasted.0 < released_after {
        Balance::Stopped {
            release_at: left(released_after),
        }
    } else {
        Balance::Releasable
    }
}

/// What a host's person is told who wants to release what is kept for an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseVerdict {
    /// It may be released; the host has forgotten its promise by now.
    Granted,
    /// Nothing was promised to it, and nothing is here.
    Nothing,
    /// A promise stands, and its owner was not told long enough that it ends.
    Promised {
        /// Until when the lease lasts.
        until: Timestamp,
        /// How it stands.
        balance: Balance,
    },
    /// Its owner is getting its backup back.
    Restoring {
        /// When that counts as over, if nothing more is read meanwhile.
        until: Timestamp,
    },
}

/// Whether what is kept for an archive may be released: after its lease has ended, or when its balance says so; never while it is being
/// restored.
pub fn may_release(
    lease_until: Option<Timestamp>,
    balance: Balance,
    restored_at: Option<Timestamp>,
    now: Timestamp,
    rules: &FairRules,
) -> ReleaseVerdict {
    let restoring_until = restored_at.map(|at| at.after(rules.restore_quiet));
    if let Some(until) = restoring_until.filter(|until| now < *until) {
        return ReleaseVerdict::Restoring { until };
    }
    match lease_until {
        Some(until) if now < until && balance != Balance::Releasable => {
            ReleaseVerdict::Promised { until, balance }
        }
        Some(_) | None => ReleaseVerdict::Granted,
    }
}

#[cfg(test)]
mod tests;
