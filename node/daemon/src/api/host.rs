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
