//! Requests and answers about stewards. The keys are the command line's interface, as those of other messages.

use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// What a person says of a steward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StewardWord {
    /// It is one from now on, or may fetch another amount.
    Appoint {
        /// Bytes a day that it may fetch from each host, `1..`.
        budget: u64,
    },
    /// It is none any more.
    Revoke,
}

/// An appointment, or its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StewardOrder {
    /// The member's name or id, or a beginning or end of the id that no other member has.
    pub peer: String,
    /// What is said.
    pub word: StewardWord,
    /// The archive's signing key, by which it is said.
    pub signing_key: Secret,
}

/// The appointment holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StewardAnswer {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// Bytes a day that it may fetch from each host; zero when it is no steward any more.
    pub budget: u64,
    /// Hosts that were told at once (count); the others are told when they are met.
    pub told: u32,
}

/// A steward of this node's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StewardRow {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// Bytes a day that it may fetch from each host.
    pub budget: u64,
    /// When that was said, RFC 3339.
    pub since: String,
    /// Whether it is connected.
    pub online: bool,
}

/// An archive that this node is a steward of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StewardingRow {
    /// Which.
    pub archive_id: String,
    /// Bytes a day that may be fetched from each host.
    pub budget: u64,
    /// Packs that are known by their labels (count).
    pub packs: u64,
    /// When everything was last looked over in this run, RFC 3339; `null` while it was not.
    pub last_look: Option<String>,
    /// Packs that were found to be repaired then, and were not (count).
    pub packs_due: u64,
    /// Packs that can't be repaired any more (count).
    pub unrepairable: u64,
    /// Shards given to hosts in this run (count).
    pub shards_placed: u64,
    /// Bytes that were downloaded for that.
    pub bytes_fetched: u64,
}

/// Stewards both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StewardsAnswer {
    /// Who looks after the archive of this node.
    pub stewards: Vec<StewardRow>,
    /// Archives of others that this node looks after.
    pub stewarding: Vec<StewardingRow>,
}
