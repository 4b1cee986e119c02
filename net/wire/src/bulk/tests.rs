use nuthatch_format::signed::KeyPair;
use nuthatch_format::{NodeId, SegmentId, ShardId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::hostile;

fn receipts() -> (Attestation<Receipt>, Attestation<SegmentReceipt>) {
    let key = KeyPair::from_seed(&[1; 32]);
    let (archive, host) = (ArchiveId::from_bytes([2; 32]), NodeId::from_bytes(key.public()));
    let shard = Receipt {
        archive,
        host,
        at: Timestamp(u64::MAX),
        label: LabelId::from_bytes([3; 32]),
        index: ShardIndex(255),
        shard: ShardId::from_bytes([4; 32]),
    };
    let segment = SegmentReceipt {
        archive,
        host,
        at: Timestamp(u64::MAX),
        line: LineId::from_bytes([5; 16]),
        sequence: u64::MAX,
        segment: SegmentId::from_bytes([6; 32]),
    };
    (
        Attestation::sign(&shard, &key).unwrap(),
        Attestation::sign(&segment, &key).unwrap(),
    )
}

/// One of each kind, with the longest that its fields can hold but for payload.
fn frames() -> Vec<Frame> {
    let (receipt, segment_receipt) = receipts();
    let archive = ArchiveId::from_bytes([1; 32]);
    vec![
        Frame::PutShard(PutShard {
            label: Opaque::new(vec![7; 300]).unwrap(),
            index: ShardIndex(255),
        }),
        Frame::GetRange(GetRange {
            archive,
            label: LabelId::from_bytes([1; 32]),
            index: ShardIndex(0),
            offset: u64::MAX,
            len: 1,
            credit: CREDIT_MAX,
        }),
        Frame::PutSegments(PutSegments { archive }),
        Frame::GetSegments(GetSegments {
            archive,
            line: LineId::from_bytes([1; 16]),
            from_sequence: 0,
            credit: 1,
        }),
        Frame::Accept(Accept {
            resume_from: 16384,
            credit: 1,
        }),
        Frame::Have(receipt.clone()),
        Frame::Busy(Busy {
            retry_after: Span::from_secs(3),
        }),
        Frame::Refused(Refusal::Version),
        Frame::Data(Data {
            offset: 0,
            len: 9,
            slice: Opaque::new(vec![1; 9]).unwrap(),
        }),
        Frame::Segment(Segment {
            bytes: Opaque::new(vec![1; 9]).unwrap(),
        }),
        Frame::Credit(u64::MAX),
        Frame::Finish,
        Frame::Receipt(receipt),
        Frame::SegmentReceipt(segment_receipt),
        Frame::Cancel,
    ]
}

#[test]
fn every_frame_has_one_encoding() {
    for frame in frames() {
        hostile::assert_one_encoding(&frame);
        let wire = frame.to_wire();
        let (prefix, body) = wire.split_first_chunk::<PREFIX_LEN>().unwrap();
        assert_eq!(Frame::body_len(*prefix), Ok(body.len()));
        assert_eq!(Frame::from_body(body), Ok(frame));
    }
}

#[test]
fn the_longest_payloads_fit_their_frames_and_count_against_credit() {
    let data = Frame::Data(Data {
        offset: u64::MAX,
        len: u32::MAX,
        slice: Opaque::new(vec![0; SLICE_LEN_MAX]).unwrap(),
    });
    assert_eq!(data.payload_len(), SLICE_LEN_MAX as u64);
    let segment = Frame::Segment(Segment {
        bytes: Opaque::new(vec![0; SEGMENT_LEN_MAX]).unwrap(),
    });
    assert_eq!(segment.payload_len(), SEGMENT_LEN_MAX as u64);
    let label = Frame::PutShard(PutShard {
        label: Opaque::new(vec![0; SIGNED_LABEL_LEN_MAX]).unwrap(),
        index: ShardIndex(255),
    });
    for frame in [data, segment, label] {
        let wire = frame.to_wire();
        assert!(wire.len() <= PREFIX_LEN + FRAME_LEN_MAX);
        assert_eq!(Frame::from_body(&wire[PREFIX_LEN..]), Ok(frame));
    }
}

#[test]
fn only_openings_open_and_only_payload_is_payload() {
    let openings: Vec<&str> = frames()
        .iter()
        .filter(|frame| frame.opens())
        .map(Frame::name)
        .collect();
    assert_eq!(
        openings,
        ["put shard", "get range", "put segments", "get segments"]
    );
    let payload: Vec<&str> = frames()
        .iter()
        .filter(|frame| frame.payload_len() > 0)
        .map(Frame::name)
        .collect();
    assert_eq!(payload, ["data", "segment"]);
}

#[test]
fn a_length_that_no_frame_has_is_refused_before_it_is_read() {
    for found in [0, FRAME_LEN_MAX as u32 + 1, u32::MAX] {
        assert_eq!(
            Frame::body_len(found.to_le_bytes()),
            Err(FrameLengthError { found })
        );
    }
    assert_eq!(
        Frame::body_len((FRAME_LEN_MAX as u32).to_le_bytes()),
        Ok(FRAME_LEN_MAX)
    );
}

#[test]
fn a_refusal_that_is_not_known_is_an_error() {
    // [7, 99]: refused, because of something that no version-1 node says.
    assert!(Frame::from_body(&[0x82, 0x07, 0x18, 99]).is_err());
    assert_eq!(
        Frame::from_body(&[0x82, 0x07, 0x03]),
        Ok(Frame::Refused(Refusal::StripeAlreadyHere))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_is_never_a_frame_of_another_encoding(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        place in any::<usize>(),
        flip in 1u8..=255,
    ) {
        for frame in frames() {
            hostile::assert_garbage_is_harmless::<Frame>(&codec::encode(&frame), &garbage, (place, flip))?;
        }
    }
}
