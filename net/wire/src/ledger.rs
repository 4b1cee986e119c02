//! What each of two nodes keeps for the other, as each sees it. Told both ways, so that both know when they do not agree.
//!
//! What is counted is what the other has signed for: whoever says that somebody keeps so much for it shows that host's own signature. What a
//! host says of itself beyond that is a claim. How somebody stands with a host is that host's verdict, told here before anything follows.

use minicbor::{Decode, Encode};
use nuthatch_format::{ArchiveId, ByteCount, Timestamp};

use crate::attest::Attestation;
use crate::inventory::InventoryRoot;

/// How a node sees the account with the one that it talks to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LedgerView {
    /// The archive of the node that speaks, when it has one.
    #[n(0)]
    pub archive: Option<ArchiveId>,
    /// Bytes of shards that it keeps for the other's archive, by its vault.
    #[n(1)]
    pub keeps: ByteCount,
    /// Bytes of shards that the other keeps for its archive, by what the other has signed.
    #[n(2)]
    pub kept: ByteCount,
    /// The newest of what the other has signed for that.
    #[n(3)]
    pub evidence: Option<Attestation<InventoryRoot>>,
    /// What the other's archive may keep here by the balance; absent: nothing is asked in return.
    #[n(4)]
    pub allowed: Option<ByteCount>,
    /// How the other's archive stands here.
    #[n(5)]
    pub balance: Balance,
    /// What this node's person has said about hosting.
    #[n(6)]
    pub stance: Stance,
    /// Shards that the other keeps for this node's archive and no other sound host does, as far as is known: while there are any, it had
    /// better not be switched off. Told only to a node that is about to leave.
    #[n(7)]
    pub needed: Option<u64>,
}

/// How an archive stands with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Balance {
    /// It keeps no more there than it may.
    #[n(0)]
    Even,
    /// It keeps more than it may; after that moment nothing new is taken.
    #[n(1)]
    Warned(#[n(0)] Timestamp),
    /// Nothing new is taken; after that moment the host's person may release what is there.
    #[n(2)]
    Stopped(#[n(0)] Timestamp),
    /// The host's person may release what is there.
    #[n(3)]
    Releasable,
}

/// What a person has said about hosting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Stance {
    /// The node takes what its quota allows; also where it hosts nothing.
    #[n(0)]
    Open,
    /// A holiday: it takes nothing new, until its person says otherwise.
    #[n(1)]
    Paused,
    /// A holiday that ends by itself.
    #[n(2)]
    PausedUntil(#[n(0)] Timestamp),
    /// It is about to leave.
    #[n(3)]
    Leaving,
}

/// What becomes of a claim that a host keeps so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Both say about the same.
    Same,
    /// They do not; this is the difference in bytes.
    Differs(ByteCount),
}

/// Bytes by which two views may differ: what is just on its way, and journals that one of them counts.
pub const SLACK_MIN: ByteCount = ByteCount(256 << 20);

/// Of the larger view, one part in this many may be on its way as well.
const SLACK_PARTS: u64 = 16;

/// Whether two numbers for the same thing agree.
pub fn agree(one: ByteCount, other: ByteCount) -> Agreement {
    let slack = SLACK_MIN.0.max(one.0.max(other.0) / SLACK_PARTS);
    let difference = one.0.abs_diff(other.0);
    if difference <= slack {
        Agreement::Same
    } else {
        Agreement::Differs(ByteCount(difference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_is_no_disagreement_and_what_is_missing_is() {
        let kept = ByteCount(10 << 30);
        assert_eq!(agree(kept, kept), Agreement::Same);
        assert_eq!(agree(kept, ByteCount(kept.0 - (600 << 20))), Agreement::Same);
        assert_eq!(
            agree(ByteCount(kept.0 / 2), kept),
            Agreement::Differs(ByteCount(kept.0 / 2))
        );
        assert_eq!(agree(ByteCount::ZERO, SLACK_MIN), Agreement::Same);
        assert_eq!(
            agree(ByteCount(u64::MAX), ByteCount::ZERO),
            Agreement::Differs(ByteCount(u64::MAX))
        );
    }
}
