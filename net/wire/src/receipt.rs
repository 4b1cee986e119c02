//! What a host signs when bytes of others lie safely on its disk. Anyone may carry a receipt; its signature is all that counts.
//!
//! Both kinds share one signature context, so their map keys differ: neither can be read as the other.

use minicbor::{Decode, Encode};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::Context;
use nuthatch_format::{ArchiveId, LabelId, LineId, NodeId, SegmentId, ShardId, Timestamp};

use crate::attest::Attested;
use crate::bounded::{len_max, shard_index};

/// "I have synced this shard to disk." Given on every complete shard, and again when it is offered once more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// The archive that the shard belongs to; also the signature's scope.
    #[n(0)]
    pub archive: ArchiveId,
    /// Who keeps it, and signs.
    #[n(1)]
    pub host: NodeId,
    /// The host's clock when it signed.
    #[n(2)]
    pub at: Timestamp,
    /// The stripe's label.
    #[n(3)]
    pub label: LabelId,
    /// Which shard of the stripe.
    #[cbor(n(4), with = "shard_index")]
    pub index: ShardIndex,
    /// Hash of the shard's bytes, as they were read back or written.
    #[n(5)]
    pub shard: ShardId,
}

/// "I have synced this journal segment to disk."
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SegmentReceipt {
    /// The archive that the segment belongs to; also the signature's scope.
    #[n(0)]
    pub archive: ArchiveId,
    /// Who keeps it, and signs.
    #[n(1)]
    pub host: NodeId,
    /// The host's clock when it signed.
    #[n(2)]
    pub at: Timestamp,
    /// The line that it stands in.
    #[n(6)]
    pub line: LineId,
    /// Its place in the line.
    #[n(7)]
    pub sequence: u64,
    /// The segment.
    #[n(8)]
    pub segment: SegmentId,
}

impl Canonical for Receipt {
    const WHAT: &'static str = "shard receipt";
    const LEN_MAX: usize = len_max::map(6, 4 * len_max::ID + 2 * len_max::NUMBER);
}

impl Attested for Receipt {
    const CONTEXT: Context = Context::Receipt;

    fn scope(&self) -> &[u8; 32] {
        self.archive.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.host.as_bytes()
    }
}

impl Canonical for SegmentReceipt {
    const WHAT: &'static str = "segment receipt";
    const LEN_MAX: usize = len_max::map(6, 4 * len_max::ID + 2 * len_max::NUMBER);
}

impl Attested for SegmentReceipt {
    const CONTEXT: Context = Context::Receipt;

    fn scope(&self) -> &[u8; 32] {
        self.archive.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.host.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use nuthatch_format::codec;
    use nuthatch_format::signed::KeyPair;

    use super::*;
    use crate::attest::{AttestError, Attestation};

    fn host() -> KeyPair {
        KeyPair::from_seed(&[3; 32])
    }

    fn receipt() -> Receipt {
        Receipt {
            archive: ArchiveId::from_bytes([1; 32]),
            host: NodeId::from_bytes(host().public()),
            at: Timestamp(5),
            label: LabelId::from_bytes([2; 32]),
            index: ShardIndex(4),
            shard: ShardId::from_bytes([9; 32]),
        }
    }

    #[test]
    fn a_receipt_holds_wherever_it_is_carried_and_only_as_signed() {
        let signed = Attestation::sign(&receipt(), &host()).unwrap();
        let carried = Attestation::<Receipt>::from_bytes(&signed.to_bytes()).unwrap();
        assert_eq!(carried.open(), Ok(receipt()));
        let other = KeyPair::from_seed(&[4; 32]);
        assert_eq!(
            Attestation::sign(&receipt(), &other),
            Err(AttestError::OtherSigner)
        );
    }

    #[test]
    fn neither_kind_of_receipt_can_be_read_as_the_other() {
        let shard = Attestation::sign(&receipt(), &host()).unwrap();
        let as_segment = Attestation::<SegmentReceipt>::from_bytes(&shard.to_bytes()).unwrap();
        assert!(matches!(as_segment.open(), Err(AttestError::Decode(_))));
        let segment = SegmentReceipt {
            archive: ArchiveId::from_bytes([1; 32]),
            host: NodeId::from_bytes(host().public()),
            at: Timestamp(5),
            line: LineId::from_bytes([2; 16]),
            sequence: u64::MAX,
            segment: SegmentId::from_bytes([9; 32]),
        };
        assert!(codec::decode::<Receipt>(&codec::encode(&segment)).is_err());
    }
}
