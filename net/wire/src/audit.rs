//! Audits: challenges that only a holder of the bytes can answer, and their proofs.
//!
//! A challenge names one group of one shard, drawn at random by the asker. Its proof is the slice of that group (`nuthatch_format::slice`),
//! checked against the label that the asker has, so that nothing is kept for it and no proof can be made before the question. Who may ask,
//! how much and how often is decided elsewhere.

use std::ops::Range;

use minicbor::{Decode, Encode};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::slice::{self, GROUP_LEN};
use nuthatch_format::{ArchiveId, LabelId, ShardId};

use crate::bounded::{List, Opaque, len_max, shard_index};
use crate::protocol::PAGE_LEN_MAX;

/// Longest proof, in bytes: a group, and the ten pairs of hashes above one of the 1024 groups of a shard as long as a pack.
pub const PROOF_LEN_MAX: usize = GROUP_LEN as usize + 64 * 10;

/// Challenges in one question (count): as many as have their proofs in one message.
pub const CHALLENGES_PER_QUESTION_MAX: usize = 15;

const CHALLENGE_LEN_MAX: usize = len_max::HEADER + len_max::ID + 2 + len_max::NUMBER;
const _: () = assert!(len_max::list(CHALLENGES_PER_QUESTION_MAX, CHALLENGE_LEN_MAX) <= PAGE_LEN_MAX);
const _: () = assert!(
    len_max::list(
        CHALLENGES_PER_QUESTION_MAX,
        len_max::HEADER + len_max::bytes(PROOF_LEN_MAX)
    ) <= PAGE_LEN_MAX
);

/// One group of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Challenge {
    /// The stripe's label.
    #[n(0)]
    pub label: LabelId,
    /// Which shard of the stripe.
    #[cbor(n(1), with = "shard_index")]
    pub index: ShardIndex,
    /// Which group of the shard, from 0.
    #[n(2)]
    pub group: u32,
}

/// Groups of a shard of so many bytes (count); the last one may be shorter than the others.
pub const fn group_count(shard_len: u64) -> u64 {
    shard_len.div_ceil(GROUP_LEN)
}

/// What a proof is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are those of the shard: its holder has read them.
    Proven,
    /// The holder says that it no longer has the shard.
    Missing,
    /// Bytes that are not the shard's.
    Wrong,
}

impl Challenge {
    /// The bytes of the group in a shard of so many bytes; `None` when it has no such group.
    pub fn range(&self, shard_len: u64) -> Option<Range<u64>> {
        let start = u64::from(self.group) * GROUP_LEN;
        (start < shard_len).then(|| start..shard_len.min(start + GROUP_LEN))
    }

    /// Judges a proof by the name and the length that the label gives the shard. `None` when it has no such group: then the question was
    /// wrong, not the answer.
    pub fn judge(&self, shard: &ShardId, shard_len: u64, proof: &Proof) -> Option<Verdict> {
        let range = self.range(shard_len)?;
        Some(match proof {
            Proof::Missing => Verdict::Missing,
            Proof::Slice(bytes) => match slice::verify(shard, shard_len, range, bytes) {
                Ok(_) => Verdict::Proven,
                Err(_) => Verdict::Wrong,
            },
        })
    }
}

/// Asks for proofs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditRequest {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// Of which groups.
    #[n(1)]
    pub challenges: List<Challenge, CHALLENGES_PER_QUESTION_MAX>,
}

/// The answer to one challenge.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Proof {
    /// The group's slice.
    #[n(0)]
    Slice(#[n(0)] Opaque<PROOF_LEN_MAX>),
    /// The shard is not here any more, or damaged.
    #[n(1)]
    Missing,
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum AuditReply {
    /// Proofs in the order of the challenges. Where there are fewer, the rest was not answered.
    #[n(0)]
    Proofs(#[n(0)] List<Proof, CHALLENGES_PER_QUESTION_MAX>),
    /// The disk with the vault is not connected at the moment: nothing is known of its shards.
    #[n(1)]
    Detached,
}

#[cfg(test)]
mod tests;
