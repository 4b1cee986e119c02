//! Answers to audits: groups of shards straight from the disk, with the hashes that prove them. Whoever may read may ask, at a pace.

use std::collections::BTreeMap;

use nuthatch_disk::vault::{ShardPlace, SliceShardError};
use nuthatch_format::{NodeId, Span, Timestamp};
use nuthatch_wire::audit::{AuditReply, AuditRequest, Challenge, Proof};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::message::ErrorCode;
use parking_lot::Mutex;

use crate::clock;
use crate::node::Node;

/// Challenges that one node may put at once (count): all that a person's audit of a full host asks.
const AT_ONCE: u64 = 1 << 14;

/// After that, one more in this time: a gigabyte of reading in a day.
const REFILL: Span = Span::from_millis(1000);

/// Nodes whose questions are remembered; when there are more, whoever asked least is forgotten.
const ASKERS_MAX: usize = 512;

/// How much each node has asked lately.
#[derive(Debug, Default)]
pub(crate) struct AuditPace(Mutex<BTreeMap<NodeId, Asked>>);

#[derive(Debug, Clone, Copy)]
struct Asked {
    count: u64,
    since: Timestamp,
}

impl AuditPace {
    /// Whether so many more challenges are answered now; if so, they count. Else, when they may be put again.
    fn allows(&self, node: NodeId, challenges: u64, now: Timestamp) -> Result<(), Span> {
        let mut asked = self.0.lock();
        if asked.len() >= ASKERS_MAX && !asked.contains_key(&node) {
            let least = asked
                .iter()
                .min_by_key(|(_, asked)| asked.count)
                .map(|(node, _)| *node);
            least.and_then(|node| asked.remove(&node));
        }
        let one = asked.entry(node).or_insert(Asked { count: 0, since: now });
        let refills = now.since(one.since).0 / REFILL.0;
        one.count = one.count.saturating_sub(refills);
        one.since = if one.count == 0 {
            now
        } else {
            one.since.after(Span(refills * REFILL.0))
        };
        if one.count + challenges > AT_ONCE {
            return Err(Span((one.count + challenges - AT_ONCE) * REFILL.0));
        }
        one.count += challenges;
        Ok(())
    }
}

/// Proofs for what is asked, by a node that may read.
pub(super) fn answer(node: &Node, asker: NodeId, asked: &AuditRequest) -> Result<AuditReply, ErrorCode> {
    node.audit_pace
        .allows(asker, asked.challenges.len() as u64, clock::now())
        .map_err(ErrorCode::Busy)?;
    if !node.vault.is_attached() {
        return Ok(AuditReply::Detached);
    }
    let proofs: Result<Vec<Proof>, ErrorCode> = asked
        .challenges
        .iter()
        .map(|challenge| proof(node, asked, challenge))
        .collect();
    let proofs = proofs?;
    // What looks missing may be on a disk that has just been pulled out.
    if proofs.contains(&Proof::Missing) && !is_there(node) {
        return Ok(AuditReply::Detached);
    }
    Ok(AuditReply::Proofs(List::first_of(proofs)))
}

fn is_there(node: &Node) -> bool {
    matches!(node.vault.look(), Ok(true))
}

fn proof(node: &Node, asked: &AuditRequest, challenge: &Challenge) -> Result<Proof, ErrorCode> {
    let place = ShardPlace {
        archive: asked.archive,
        label: challenge.label,
        index: challenge.index,
    };
    let Some(len) = node.vault.len(&place).map_err(|_| ErrorCode::Failed)? else {
        return Ok(Proof::Missing);
    };
    let range = challenge.range(len.0).ok_or(ErrorCode::Malformed)?;
    match node.vault.read_slice(&place, range, node.outboards.get(&place)) {
        Ok(read) => {
            node.outboards.put(place, read.tree);
            Opaque::new(read.slice)
                .map(Proof::Slice)
                .map_err(|_| ErrorCode::Failed)
        }
        Err(SliceShardError::NotFound { .. } | SliceShardError::Damaged { .. }) => Ok(Proof::Missing),
        Err(SliceShardError::Range(_)) => Err(ErrorCode::Malformed),
        Err(SliceShardError::File(_)) if !is_there(node) => Ok(Proof::Missing),
        // The disk fails: nothing is known of the shard.
        Err(SliceShardError::File(error)) => {
            tracing::warn!("a shard can't be read for an audit: {error}");
            Err(ErrorCode::Failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_asks_much_at_once_and_then_little_in_a_while_and_keeps_no_other_from_asking() {
        let (pace, node, other) = (
            AuditPace::default(),
            NodeId::from_bytes([1; 32]),
            NodeId::from_bytes([2; 32]),
        );
        let now = Timestamp(1_000_000);
        assert_eq!(pace.allows(node, AT_ONCE, now), Ok(()));
        assert_eq!(pace.allows(node, 15, now), Err(Span(15 * REFILL.0)));
        assert_eq!(pace.allows(other, 15, now), Ok(()));
        let later = now.after(Span(15 * REFILL.0));
        assert_eq!(pace.allows(node, 15, later), Ok(()));
        assert!(pace.allows(node, 1, later).is_err());
        for number in 0..2000_u16 {
            let mut id = [3; 32];
            id[..2].copy_from_slice(&number.to_le_bytes());
            assert_eq!(pace.allows(NodeId::from_bytes(id), 1, later), Ok(()));
        }
        assert!(pace.0.lock().len() <= ASKERS_MAX);
        assert!(
            pace.allows(node, 1, later).is_err(),
            "who has asked much is not forgotten"
        );
    }
}
