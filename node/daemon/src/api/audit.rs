//! What `audit` answers, and what other screens show of audits.

use serde::{Deserialize, Serialize};

use super::failure::Exit;

/// Hosts were audited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditAnswer {
    /// Each host that was to be audited.
    pub hosts: Vec<AuditRow>,
    /// By what audits are made.
    pub rules: AuditRulesShown,
    /// How long it took.
    pub seconds: f64,
}

/// One host's audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// `kept`, `late`, `refused`, `wrong`, `lost`, `detached`; `away`: it was not reached, `failed`: this machine's
    /// disk is at fault; nothing is concluded from either.
    pub outcome: String,
    /// Challenges that it answered with proof.
    pub proven: u32,
    /// Shards that it no longer has, by its own word.
    pub shards_lost: u32,
    /// Shards for which it gave wrong bytes.
    pub shards_wrong: u32,
    /// Challenges that it still has to answer.
    pub open: u32,
    /// Bytes of its answers.
    pub bytes: u64,
    /// When it was asked what it last proved completely.
    pub last_proof: Option<String>,
    /// Since when a challenge is open.
    pub open_since: Option<String>,
}

/// By what audits are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRulesShown {
    /// Probability that a loss is found, `0..1`.
    pub detection: f64,
    /// The share of what a host keeps that is lost then, `0..1`.
    pub lost: f64,
    /// Challenges at random that this takes.
    pub challenges: u32,
    /// Seconds within which they are asked by themselves.
    pub within_seconds: u64,
    /// Bytes that all audits may cost in a day.
    pub traffic_per_day: u64,
}

/// How the audits of a host stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditShown {
    /// How the last one ended, as in [`AuditRow::outcome`]; `null` before the first one.
    pub outcome: Option<String>,
    /// When it ended.
    pub at: Option<String>,
    /// When the host was asked what it last proved completely.
    pub proven: Option<String>,
    /// Since when a challenge is open.
    pub open_since: Option<String>,
    /// Since when it says that its disk is not connected.
    pub detached_since: Option<String>,
    /// Whether its shards are counted on.
    pub counted: bool,
}

impl AuditAnswer {
    /// How the command ends.
    pub(super) fn exit(&self) -> Exit {
        let is = |row: &AuditRow, words: &[&str]| words.contains(&row.outcome.as_str());
        if self.hosts.iter().any(|row| is(row, &["wrong", "lost"])) {
            Exit::Damage
        } else if self.hosts.iter().all(|row| is(row, &["kept"])) {
            Exit::Done
        } else {
            Exit::TryLater
        }
    }
}
