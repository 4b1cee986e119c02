//! Requests and answers about keeping data alive: what a person says of a member, and repairs. The keys are the command line's
//! interface, as those of other messages.

use serde::{Deserialize, Serialize};

/// What a person says of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerWord {
    /// It never comes back.
    Lost,
    /// It will leave.
    Drain,
    /// Neither (any more).
    Keep,
}

/// A word on a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStanding {
    /// Its name or id, or a beginning or end of the id that no other member has.
    pub peer: String,
    /// What is said.
    pub word: PeerWord,
}

/// The word holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStandingAnswer {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// What its shards are worth now: `sound`, `gone`, `leaving`, `lost`.
    pub health: String,
}

/// A repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Only show what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a repair did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepairSummary {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// What is to be done, the most endangered packs first; only of a dry run, and of a great many only the first.
    pub plan: Vec<RepairRow>,
    /// Packs that were found to be repaired.
    pub packs_due: u64,
    /// Packs that were repaired, all of what was missing.
    pub packs_repaired: u64,
    /// Shards that hosts were given; in a dry run, would be given.
    pub shards_placed: u64,
    /// Bytes of these shards.
    pub bytes_sent: u64,
    /// Bytes that were downloaded for it; in a dry run, at most.
    pub bytes_fetched: u64,
    /// Packs that were sealed again from the files here.
    pub from_files: u64,
    /// Packs that were on this disk.
    pub from_staging: u64,
    /// Packs that were downloaded.
    pub from_shards: u64,
    /// Packs that wait for another host to take what is missing.
    pub waiting_for_room: u64,
    /// Packs that wait for hosts that still have shards.
    pub waiting_for_hosts: u64,
    /// Packs that can't be repaired any more.
    pub unrepairable: u64,
    /// Packs of which several shards stand and fall together.
    pub clumped: u64,
    /// Whether this machine's own connection seems cut: then nothing is repaired.
    pub link_cut: bool,
    /// How long it took.
    pub seconds: f64,
}

/// A pack that is to be repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRow {
    /// The pack.
    pub pack_id: String,
    /// `data` or `meta`.
    pub kind: String,
    /// Shards that it has.
    pub shards: u8,
    /// Shards that it takes to read it.
    pub needed: u8,
    /// Shards that can still be read somewhere.
    pub retrievable: u8,
    /// Shards that count.
    pub healthy: u8,
    /// Where its bytes are looked for, the cheapest first: `files`, `staging`, `shards`.
    pub sources: Vec<String>,
    /// Names of the hosts that would get a shard; none: no host can take one.
    pub to: Vec<String>,
    /// Bytes that would be sent.
    pub bytes: u64,
}

/// How repairs stand, for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepairStanding {
    /// Packs that are being repaired.
    pub running: u64,
    /// Packs that wait for another host to take what is missing.
    pub waiting_for_room: u64,
    /// Packs that wait for hosts that still have shards.
    pub waiting_for_hosts: u64,
    /// Packs that can't be repaired any more.
    pub unrepairable: u64,
    /// Packs of which several shards stand and fall together.
    pub clumped: u64,
    /// Shards given to hosts since the node was started.
    pub shards_placed: u64,
    /// Packs since then that were sealed again from the files here.
    pub from_files: u64,
    /// Packs since then that were on this disk.
    pub from_staging: u64,
    /// Packs since then that were downloaded.
    pub from_shards: u64,
    /// Bytes that were downloaded for that.
    pub bytes_fetched: u64,
}
