//! The host's part of the engine's face: what others offer and ask for, the vault as it is, and how accounts stand. Facts only.

use std::collections::BTreeMap;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Span};

use super::PackKind;
use crate::fairness::{Balance, Stance};

/// What another node offers to put into this node's vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// A shard.
    Shard {
        /// Its stripe.
        label: LabelId,
        /// Which one.
        index: ShardIndex,
        /// What its pack holds, by the label.
        kind: PackKind,
        /// Whether the label's id stands in a believed segment that is here.
        believed: bool,
        /// What the vault has of this stripe.
        here: StripeHere,
        /// Whether a statement makes this node a mirror of the archive.
        mirror: bool,
    },
    /// A segment of a line, or a statement, verified.
    Journal,
}

/// What the vault already has of an offered shard's stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StripeHere {
    /// Nothing.
    Nothing,
    /// This very shard.
    SameShard,
    /// Another shard of the stripe.
    OtherShard,
}

/// An offer with everything a verdict needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferFacts {
    /// Who brings it. It decides nothing but how many operations one node may have open.
    pub from: NodeId,
    /// Whose it is.
    pub archive: ArchiveId,
    /// Its length.
    pub len: ByteCount,
    /// What it is.
    pub offered: Offered,
}

/// What a host says to an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferVerdict {
    /// Send it; its space is reserved until `OfferEnded`.
    Accept,
    /// It is here already: answer with a receipt. No `OfferEnded` follows.
    Have,
    /// Try again. No `OfferEnded` follows.
    Busy {
        /// When.
        retry_after: Span,
    },
    /// No. No `OfferEnded` follows.
    Refuse(OfferRefusal),
}

/// Why a host does not take what is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfferRefusal {
    /// The archive has no lease here.
    NoLease,
    /// The lease, the quota or the disk is full.
    Full,
    /// The host takes nothing new for a while, or is about to leave.
    Paused,
    /// The host keeps as much for the archive as it may, by what the archive's nodes keep for it.
    Unbalanced,
    /// The label stands in no segment that this host has and believes.
    NotBelieved,
    /// Another shard of the stripe is here, and this host is no mirror.
    StripeAlreadyHere,
    /// The host does not talk to this node about this archive.
    NotAllowed,
    /// The bytes do not match the label.
    Damaged,
    /// The host speaks another version.
    Version,
}

/// A question for a lease, with everything a verdict needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseAsked {
    /// Who asks.
    pub from: NodeId,
    /// For which archive.
    pub archive: ArchiveId,
    /// All that it wants to keep here, not an increment.
    pub bytes: ByteCount,
    /// Whether the archive belongs to a member of the circle. Without it a lease is renewed but not enlarged.
    pub member: bool,
}

/// The vault as it is: replaces everything the engine knew of it, but for offers that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VaultFacts {
    /// How much the person at this machine gives away in all; zero when this node hosts nothing.
    pub quota: ByteCount,
    /// Whether balance is ignored: this host asks nothing in return, or has no archive that others could keep.
    pub generous: bool,
    /// What the file system has free.
    pub disk_free: ByteCount,
    /// What lies in the vault for each archive, journals included.
    pub used: BTreeMap<ArchiveId, ByteCount>,
    /// What the person at this machine has said about hosting.
    pub stance: Stance,
    /// Which archive each member is of that is of one.
    pub owners: BTreeMap<NodeId, ArchiveId>,
    /// What the person at this machine lets an archive keep here at most, whatever else would allow.
    pub limits: BTreeMap<ArchiveId, ByteCount>,
}

/// How an archive stands with this host, for showing and for telling its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountView {
    /// Which.
    pub archive: ArchiveId,
    /// What is kept here for it, with what is arriving.
    pub kept_for_them: ByteCount,
    /// What its nodes keep for the archive of this node, by their signatures.
    pub kept_for_us: ByteCount,
    /// What it may keep here by that; `None`: nothing is asked in return.
    pub allowed: Option<ByteCount>,
    /// How it stands.
    pub balance: Balance,
}
