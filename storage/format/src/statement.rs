//! Public signed facts about an archive that hosts keep, pass on and enforce: who may write, who no longer may, what is deleted or kept.
//!
//! Statements are a set, not a chain: any order of arrival gives the same answers (`set`). Each is signed by the archive key; `keep`
//! may be signed by a device too. A statement's time is shown and decides only between two of the same kind by the same signer. This
//! file never asks what time it is: delays are counted by hosts, from arrival.

mod set;
mod signed;

use minicbor::{Decode, Encode};

use crate::id::{DeviceId, LabelId, LineId, NodeId, SegmentId};
use crate::keys::check_name;
use crate::units::{ByteCount, Epoch, Span};

pub use set::{
    Belief, DEVICE_STATEMENTS_MAX, InsertError, Inserted, STATEMENTS_LEN_MAX, STATEMENTS_MAX, StatementSet,
};
pub use signed::{MakeStatementError, SignedStatement, Signer, VerifyStatementError};

/// Longest statement with its signature, in bytes.
pub const STATEMENT_LEN_MAX: usize = 64 * 1024;
/// Most labels that one statement names.
pub const STATEMENT_LABELS_MAX: usize = 1024;
/// Most lines of a device that one revocation names.
pub const REVOKED_LINES_MAX: usize = 512;
/// Most devices that one epoch is granted to.
pub const EPOCH_GRANTS_MAX: usize = 64;
/// Longest sealed grant of an epoch's keys, in bytes.
pub const EPOCH_GRANT_LEN_MAX: usize = 512;
/// How long hosts wait before they delete, unless a statement says otherwise.
pub const DELAY_DEFAULT: Span = Span::from_days(30);
/// The longest delay that can be ordered.
pub const DELAY_MAX: Span = Span::from_days(3650);

/// What a device may do; unknown bits are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Capabilities(#[n(0)] u32);

impl Capabilities {
    /// May fetch what hosts keep of the archive.
    pub const READ: Self = Self(1);
    /// May write a line and have shards stored.
    pub const WRITE: Self = Self(2);
    /// May retire packs unattended.
    pub const PRUNE: Self = Self(4);
    /// What a device is given unless the owner says otherwise.
    pub const DEFAULT: Self = Self(Self::READ.0 | Self::WRITE.0);

    const KNOWN: u32 = Self::READ.0 | Self::WRITE.0 | Self::PRUNE.0;

    /// Those of either.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    pub const fn include(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Binds a device's keys and its node to an archive. It ends by revocation only.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Certificate {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Its X25519 public key, to which later epochs' keys are sealed.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub exchange_public: [u8; 32],
    /// The node that it runs.
    #[n(2)]
    pub node: NodeId,
    /// What its owner calls it.
    #[n(3)]
    pub name: String,
    /// What it may do.
    #[n(4)]
    pub capabilities: Capabilities,
    /// How much each host keeps for what this device adds; `u64::MAX` for no bound but the host's own.
    #[n(5)]
    pub byte_budget: ByteCount,
}

/// The last segment of a line that is believed; so are those that it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct LastBelieved {
    /// The line.
    #[n(0)]
    pub line: LineId,
    /// The segment's place in it.
    #[n(1)]
    pub sequence: u64,
    /// The segment.
    #[n(2)]
    pub segment: SegmentId,
}

/// Writer keys of an epoch for one device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Grant {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// The keys, sealed to its exchange key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
}

/// What is stated.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum Statement {
    /// A device belongs to the archive.
    #[n(0)]
    Certified {
        /// Which, and how.
        #[n(0)]
        certificate: Certificate,
    },
    /// A device no longer does.
    #[n(1)]
    Revoked {
        /// The device.
        #[n(0)]
        device: DeviceId,
        /// What of its lines is still believed, sorted by line; of lines that are not named, nothing.
        #[n(1)]
        after: Vec<LastBelieved>,
    },
    /// A node may audit and repair the archive's shards.
    #[n(2)]
    Steward {
        /// The node.
        #[n(0)]
        node: NodeId,
        /// How many bytes a day it may fetch from each host; zero: it is no steward any more.
        #[n(1)]
        byte_budget: ByteCount,
    },
    /// A node may keep every shard of a stripe.
    #[n(3)]
    Mirror {
        /// The node.
        #[n(0)]
        node: NodeId,
    },
    /// Writers use the keys of this epoch from now on.
    #[n(4)]
    Epoch {
        /// The epoch.
        #[n(0)]
        epoch: Epoch,
        /// Its keys for each remaining device, sorted by device.
        #[n(1)]
        grants: Vec<Grant>,
    },
    /// How long hosts wait before they delete.
    #[n(5)]
    Delay {
        /// At most [`DELAY_MAX`].
        #[n(0)]
        span: Span,
    },
    /// Shards of these labels go, after the delay.
    #[n(6)]
    Delete {
        /// Sorted, at least one.
        #[n(0)]
        labels: Vec<LabelId>,
    },
    /// Shards of these labels stay, whatever was ordered.
    #[n(7)]
    Keep {
        /// Sorted, at least one.
        #[n(0)]
        labels: Vec<LabelId>,
    },
}

impl Statement {
    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Certified { certificate } => {
                check_name(&certificate.name)
                    .map_err(|_| "a name that is empty, too long or has control characters")?;
                if certificate.capabilities.0 & !Capabilities::KNOWN == 0 {
                    Ok(())
                } else {
                    Err("a capability that is not known")
                }
            }
            Self::Revoked { after, .. } if after.len() > REVOKED_LINES_MAX => Err("too many lines"),
            Self::Revoked { after, .. } if !after.is_sorted_by(|a, b| a.line < b.line) => {
                Err("lines out of order")
            }
            Self::Epoch { epoch, .. } if epoch.0 == 0 => Err("epoch 0 needs no statement"),
            Self::Epoch { grants, .. } => check_grants(grants),
            Self::Delay { span } if *span > DELAY_MAX => Err("a delay that is too long"),
            Self::Delete { labels } | Self::Keep { labels } => check_labels(labels),
            Self::Revoked { .. } | Self::Steward { .. } | Self::Mirror { .. } | Self::Delay { .. } => Ok(()),
        }
    }
}

fn check_grants(grants: &[Grant]) -> Result<(), &'static str> {
    if grants.len() > EPOCH_GRANTS_MAX
        || grants
            .iter()
            .any(|grant| grant.sealed.len() > EPOCH_GRANT_LEN_MAX)
    {
        Err("too many grants, or one that is too long")
    } else if grants.is_sorted_by(|a, b| a.device < b.device) {
        Ok(())
    } else {
        Err("grants out of order")
    }
}

fn check_labels(labels: &[LabelId]) -> Result<(), &'static str> {
    if labels.is_empty() || labels.len() > STATEMENT_LABELS_MAX {
        Err("no labels, or too many")
    } else if labels.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err("labels out of order")
    }
}

#[cfg(test)]
mod tests;
