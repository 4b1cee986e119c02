//! What hosts are challenged for, how often, and what their answers are worth. Pure; asks nobody.
//!
//! A challenge names one group of one shard at random, so that a host that has lost a share `lost` of all groups passes it with
//! probability `1 - lost`, and `n` of them with `(1 - lost)^n` (Ateniese et al., "Provable Data Possession", CCS 2007). Besides, a sweep
//! goes over all shards in the order of their names, so that none is left out for long.
//!
//! Silence proves nothing against a host, and nothing for it: a challenge stays open until it is answered. Wrong bytes and a shard that
//! the host admits to miss are lost at once.

use minicbor::{Decode, Encode};
use nuthatch_format::{ArchiveId, ByteCount, NodeId, Span, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::rules::AuditRules;

/// Most challenges that are open at one host (count): some hundred megabytes of proofs.
pub const CHALLENGES_MAX: u32 = 1 << 14;

/// What one challenge costs on the wire, in bytes: a group of 16 KiB, the hashes above it, and what stands around them.
pub const CHALLENGE_COST: u64 = 17 << 10;

/// A share of a whole, in ten-thousandths: `Share(9900)` is 99 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u16);

impl Share {
    /// All of it.
    pub const WHOLE: u16 = 10_000;

    /// As a fraction, `0..=1` for what is at most a whole.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

/// Challenges (count, from 1) that find with probability `detection` a host that has lost a share `lost` of what it keeps, both in
/// `0..1`. 459 for 0.99 and 0.01. Where the numbers ask for more than [`CHALLENGES_MAX`], that many.
pub fn challenges_for(detection: f64, lost: f64) -> u32 {
    let count = (1.0 - detection).ln() / (1.0 - lost).ln();
    if count.is_finite() && count >= 1.0 {
        // Saturates at the bound, which is far below what a u32 holds.
        count.ceil().min(f64::from(CHALLENGES_MAX)) as u32
    } else {
        1
    }
}

/// Probability (`0..=1`) that so many challenges find a host that has lost a share `lost`.
pub fn detection(challenges: u32, lost: f64) -> f64 {
    1.0 - (1.0 - lost).powi(i32::try_from(challenges).unwrap_or(i32::MAX))
}

/// Challenges at random (count) that the wanted detection takes in all.
pub fn challenges_wanted(rules: &AuditRules) -> u32 {
    challenges_for(rules.detection.fraction(), rules.lost.fraction())
}

/// Challenges at random (count) of one round: as many rounds as there are within the wanted time make up what is wanted.
pub fn challenges_per_round(rules: &AuditRules) -> u32 {
    let rounds = rounds_in(rules.within, rules);
    let count = u64::from(challenges_wanted(rules)).div_ceil(rounds);
    u32::try_from(count).unwrap_or(CHALLENGES_MAX)
}

/// Rounds in a span (count, from 1).
fn rounds_in(span: Span, rules: &AuditRules) -> u64 {
    (span.0 / rules.period.0.max(1)).max(1)
}

/// When the round began that a moment belongs to. Rounds of one archive begin for all its hosts at once, so that none of them can have
/// another fetch what it should have; those of different archives at different times.
pub fn round_of(archive: &ArchiveId, now: Timestamp, period: Span) -> Timestamp {
    let period = period.0.max(1);
    let [a, b, c, d, ..] = *archive.as_bytes();
    let offset = (period / 4096).saturating_mul(u64::from(u32::from_le_bytes([a, b, c, d]) % 4096));
    let shifted = now.0.saturating_add(period - offset);
    Timestamp((shifted - shifted % period).saturating_sub(period - offset))
}

/// How many challenges one audit is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditOrder {
    /// New ones at random (count), beside those that are still open.
    pub random: u32,
    /// New ones of the sweep over data: one part in so many of the host's data shards; `None`: none.
    pub data_parts: Option<u64>,
    /// As `data_parts`, of its metadata shards.
    pub meta_parts: Option<u64>,
    /// What they may cost on the wire together.
    pub bytes_max: ByteCount,
}

impl AuditOrder {
    /// Nothing new: what is open is asked again.
    pub const AGAIN: Self = Self {
        random: 0,
        data_parts: None,
        meta_parts: None,
        bytes_max: ByteCount::ZERO,
    };

    /// A round of one of so many hosts, which share a day's traffic. A suspect is asked for every shard.
    pub fn round(rules: &AuditRules, hosts: u64, is_suspect: bool) -> Self {
        let day = u128::from(Span::from_days(1).0);
        let share = u128::from(rules.traffic.0) * u128::from(rules.period.0) / day / u128::from(hosts.max(1));
        let parts = |within| Some(if is_suspect { 1 } else { rounds_in(within, rules) });
        Self {
            random: challenges_per_round(rules),
            data_parts: parts(rules.data_within),
            meta_parts: parts(rules.meta_within),
            bytes_max: ByteCount(u64::try_from(share).unwrap_or(u64::MAX)),
        }
    }

    /// All that the wanted detection takes, at once, whatever it costs: a person asks, or a host has just been found out.
    pub fn whole(rules: &AuditRules, is_suspect: bool) -> Self {
        Self {
            random: challenges_wanted(rules),
            bytes_max: rules
                .traffic
                .max(ByteCount(u64::from(challenges_wanted(rules)) * CHALLENGE_COST)),
            ..Self::round(rules, 1, is_suspect)
        }
    }

    /// Whether it is for every shard of the host.
    pub fn is_of_all(&self) -> bool {
        self.data_parts == Some(1) && self.meta_parts == Some(1)
    }

    /// How many challenges of each kind, for a host with so many shards and so many open challenges: first those at random, then
    /// metadata, then data, as far as the traffic and [`CHALLENGES_MAX`] go. At least one, when there is a shard and nothing is open.
    pub fn counts(&self, data_shards: u64, meta_shards: u64, open: u32) -> ChallengeCounts {
        let can_pay = u32::try_from(self.bytes_max.0 / CHALLENGE_COST).unwrap_or(u32::MAX);
        let mut left = can_pay.min(CHALLENGES_MAX.saturating_sub(open));
        let mut take = |wanted: u64| {
            let taken = left.min(u32::try_from(wanted).unwrap_or(u32::MAX));
            left -= taken;
            taken
        };
        let swept = |shards: u64, parts: Option<u64>| parts.map_or(0, |parts| shards.div_ceil(parts.max(1)));
        let is_nothing = data_shards + meta_shards == 0;
        let least = u32::from(self.random > 0 && open == 0);
        let random = if is_nothing {
            0
        } else {
            take(u64::from(self.random)).max(least)
        };
        ChallengeCounts {
            random,
            meta: take(swept(meta_shards, self.meta_parts)),
            data: take(swept(data_shards, self.data_parts)),
        }
    }
}

/// An audit to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditTask {
    /// Of which archive.
    pub archive: ArchiveId,
    /// The host.
    pub node: NodeId,
    /// How many challenges.
    pub order: AuditOrder,
    /// How long one question may take to be answered.
    pub answer: Span,
}

/// Challenges of one audit, by kind (counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChallengeCounts {
    /// Groups at random, of all shards.
    pub random: u32,
    /// The next metadata shards in the order of their names, one group at random of each.
    pub meta: u32,
    /// The next data shards.
    pub data: u32,
}

/// Chance for challenges: nobody can tell from those already seen which come next, as long as the seed comes from the system.
#[derive(Debug)]
pub struct Draw(StdRng);

impl Draw {
    /// A fresh one; the seed is used for nothing else.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(StdRng::from_seed(seed))
    }

    /// So many places among `0..total`, each equally likely and chosen by itself, ascending; none where there is nothing to choose from.
    pub fn places(&mut self, total: u64, count: u32) -> Vec<u64> {
        if total == 0 {
            return Vec::new();
        }
        let count = count.min(CHALLENGES_MAX);
        let mut places: Vec<u64> = (0..count).map(|_| self.place(total)).collect();
        places.sort_unstable();
        places
    }

    /// One place among `0..total`; the first where there is nothing to choose from.
    pub fn place(&mut self, total: u64) -> u64 {
        if total == 0 {
            0
        } else {
            self.0.random_range(0..total)
        }
    }
}

/// How the last audit of a host ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum AuditWord {
    /// It proved all that was asked.
    #[n(0)]
    Kept,
    /// It did not answer all of it in time. Nothing is concluded; what it has not answered stays open.
    #[n(1)]
    Late,
    /// It said no.
    #[n(2)]
    Refused,
    /// Bytes that are not the shard's: these shards are lost, and its word on them counts no more.
    #[n(3)]
    Wrong,
    /// It said that it no longer has what it had signed for.
    #[n(4)]
    Lost,
    /// Its vault's disk is not connected.
    #[n(5)]
    Detached,
}

/// What is remembered of the audits of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct AuditState {
    /// Beginning of the last round in which it was asked something new.
    #[n(0)]
    pub round_at: Option<Timestamp>,
    /// When it was asked what it last proved completely.
    #[n(1)]
    pub proven_at: Option<Timestamp>,
    /// Since when a challenge is open.
    #[n(2)]
    pub open_since: Option<Timestamp>,
    /// Since when it says that its disk is not connected.
    #[n(3)]
    pub detached_since: Option<Timestamp>,
    /// How the last audit ended.
    #[n(4)]
    pub last: Option<AuditWord>,
    /// When that was.
    #[n(5)]
    pub ended_at: Option<Timestamp>,
    /// As what it was found out, wrong or lost; until it has proved every other shard since.
    #[n(6)]
    pub found_out: Option<AuditWord>,
}

/// What came of the challenges of one audit; the catalogue has been corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditCounts {
    /// Challenges answered with proof (count).
    pub proven: u32,
    /// Shards that the host said it no longer has (count); the catalogue does not name it for them any more.
    pub missing: u32,
    /// Shards for which it gave wrong bytes (count); the same, and its word alone does not bring them back.
    pub wrong: u32,
    /// Challenges that are still open (count).
    pub open: u32,
    /// Shards that a sweep over all did not come to (count), for its traffic.
    pub unswept: u64,
    /// What came over the wire.
    pub bytes: ByteCount,
}

/// How an audit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditEnd {
    /// Every challenge was answered.
    Answered,
    /// Some were not: no answer in time, a broken connection, a busy host.
    Late,
    /// The host said no.
    Refused,
    /// The host says that its vault's disk is not connected.
    Detached,
    /// The fault is here: nothing was asked, or nothing concluded.
    Failed,
}

/// An audit that has ended, and what is known of its host now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedAudit {
    /// The host.
    pub node: NodeId,
    /// How its audits stand.
    pub state: AuditState,
    /// How this one ended.
    pub end: AuditEnd,
    /// What came of it.
    pub counts: AuditCounts,
    /// Whether a person had asked for it.
    pub was_wanted: bool,
}

/// What a host's audits mean for what it is said to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditStanding {
    /// Nothing speaks against it.
    Sound,
    /// It owes an answer for too long, excused or not: its shards may be read, but are not counted on.
    Overdue,
    /// It gave wrong bytes for something, and has not proved the rest since: the same.
    Caught,
}

/// What to make of a host. Whoever gave wrong bytes lies or has a broken machine; whoever said that it lost something does not.
pub fn standing(state: &AuditState, now: Timestamp, rules: &AuditRules) -> AuditStanding {
    let has_lied = state.found_out == Some(AuditWord::Wrong);
    let is_overdue = state
        .open_since
        .is_some_and(|since| now.since(since) >= rules.excused);
    match (has_lied, is_overdue) {
        (true, _) => AuditStanding::Caught,
        (false, true) => AuditStanding::Overdue,
        (false, false) => AuditStanding::Sound,
    }
}

/// Whether a shard that was received or read at a moment counts as healthy: its host is sound and has proved something, or received
/// the shard, not too long ago. Whether it can be read is another question.
pub fn is_proven(state: &AuditState, received_at: Timestamp, now: Timestamp, rules: &AuditRules) -> bool {
    let shown_at = state.proven_at.unwrap_or_default().max(received_at);
    standing(state, now, rules) == AuditStanding::Sound && now.since(shown_at) < rules.proven_within
}

#[cfg(test)]
mod tests;
