//! What is asked and answered about this node as a host, and about what it gives: limits, quota, holidays. The keys are the command
//! line's interface, as those of other messages.

use serde::{Deserialize, Serialize};

/// A limit to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateChoice {
    /// As fast as it goes.
    Unlimited,
    /// At most so many bytes a second, within the transport's bounds.
    BytesPerSecond(u64),
}

/// Limits to set; what is absent stays.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Limit {
    /// What is sent.
    pub up: Option<RateChoice>,
    /// What is received.
    pub down: Option<RateChoice>,
}

/// The limits that hold now, for all nodes together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitAnswer {
    /// Bytes a second that are sent at most; `null` is no limit.
    pub up: Option<u64>,
    /// Bytes a second that are received at most; `null` is no limit.
    pub down: Option<u64>,
}

/// What to change about this node as a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostChange {
    /// Nothing: only tell.
    Show,
    /// How much it keeps for others at most, in bytes.
    Quota(u64),
    /// A holiday from now on.
    Pause {
        /// Until then, in milliseconds since 1970; `None`: until it is resumed.
        until_ms: Option<u64>,
    },
    /// The holiday is over.
    Resume,
    /// It is about to leave.
    Leave,
    /// It stays after all.
    Stay,
    /// Whether it asks nothing in return.
    Generous(bool),
}

/// This node as a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAnswer {
    /// `open`, `paused` or `leaving`.
    pub stance: String,
    /// When the holiday ends by itself.
    pub paused_until: Option<String>,
    /// Whether it asks nothing in return.
    pub generous: bool,
    /// What it keeps for others at most.
    pub quota_bytes: u64,
    /// What it keeps for others.
    pub hosted_bytes: u64,
    /// How much more than the quota that is. Nothing is deleted for it; owners move what they keep here away.
    pub over_bytes: u64,
    /// What it may safely promise, by its disk and, where that is known, its line.
    pub safe_bytes: u64,
    /// What bounds that: `disk`, `upkeep` (the line, to keep data alive while members come and go) or `give_back` (the line, to give
    /// everything back within a month).
    pub safe_bound: String,
    /// What of its line is for this, by the limit that is set; `null`: not known.
    pub upload_bytes_per_second: Option<u64>,
    /// How much of the time it has been online since it began to count; `null`: too young to tell.
    pub uptime_per_mille: Option<u16>,
    /// What it keeps, and for whom.
    pub archives: Vec<HostedRow>,
    /// Whether every owner says that nothing is kept here alone any more; `null` unless it is leaving.
    pub may_switch_off: Option<bool>,
}

/// An archive that is kept here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedRow {
    /// Which.
    pub archive_id: String,
    /// What the members of it call themselves; not yet escaped.
    pub names: Vec<String>,
    /// What is kept here for it.
    pub bytes: u64,
    /// Shards that its owner still needs here, as it last said; `null`: it has not said yet.
    pub needed_shards: Option<u64>,
    /// When it said so.
    pub told: Option<String>,
}

/// Space to free that is kept for a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Release {
    /// Its name or id, or a beginning or end of the id; also the id of an archive that is kept here.
    pub peer: String,
}

/// What was kept for a member was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseAnswer {
    /// The archive.
    pub archive_id: String,
    /// Bytes that are free again.
    pub bytes: u64,
    /// Shards that were deleted.
    pub shards: u64,
}

/// What a member may keep here at most.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerQuota {
    /// Its name or id, or a beginning or end of the id.
    pub peer: String,
    /// Bytes; `None`: as much as everything else allows.
    pub bytes: Option<u64>,
}

/// What a member may keep here at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerQuotaAnswer {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// Bytes; `null`: as much as everything else allows.
    pub quota: Option<u64>,
}
