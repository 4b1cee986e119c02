use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::{self, DecodeReason};
use crate::keys::{ArchiveKeys, DeviceKeys, OwnerSecrets, RecoveryPhrase, WriterKeys};
use crate::pack::{PackHeader, PackKind};
use crate::signed::{Context, SignatureError};
use crate::snapshot::{PackChange, PackSet, SealedSnapshot, SnapshotLine};
use crate::units::ByteCount;
use crate::{PackId, SnapshotId};

pub(super) fn keys() -> WriterKeys {
    ArchiveKeys::derive(&RecoveryPhrase::from_entropy([1; 32])).writer
}

pub(super) fn device(seed: u8) -> DeviceKeys {
    DeviceKeys::generate(&[seed; 64], "laptop").unwrap()
}

pub(super) fn pack_added(number: u8) -> Entry {
    let fixed = PackHeader::fixed(PackKind::Data, Epoch(0));
    let mut bound = [0; 56];
    bound[..fixed.len()].copy_from_slice(&fixed);
    Entry::PackAdded {
        pack: PackId::from_bytes([number; 32]),
        kind: PackKind::Data,
        len: 16 << 20,
        header: PackHeader::new(&bound, &[2; 32]).as_bytes().to_vec(),
        directory: vec![number; 300],
    }
}

fn snapshot_added() -> Entry {
    let mut packs = PackSet::new();
    packs.insert(LineId::from_bytes([3; 16]), 7);
    let sealed = vec![8; 500];
    Entry::SnapshotAdded {
        id: SealedSnapshot::id_of(&sealed),
        line: SnapshotLine {
            time: Timestamp(77),
            tags: vec!["weekly".to_owned()],
            bytes: ByteCount(1000),
            files: 10,
            packs_needed: PackChange::between(&PackSet::new(), &packs).unwrap(),
            group: [4; 32],
            parent: None,
        },
        sealed,
    }
}

fn every_entry() -> Vec<Entry> {
    vec![
        pack_added(1),
        Entry::StripeAdded { label: vec![5; 200] },
        pack_added(2),
        snapshot_added(),
        Entry::SnapshotForgotten {
            id: SnapshotId::from_bytes([6; 32]),
        },
        Entry::PackRetired {
            pack: PackId::from_bytes([7; 32]),
        },
    ]
}

pub(super) fn write(
    device: &DeviceKeys,
    position: Position,
    entries: &[Entry],
    heads: &[Head],
) -> SignedSegment {
    let draft = Draft {
        position,
        entries,
        heads,
        time: Timestamp(1234),
    };
    SignedSegment::build(&keys(), device, &draft).unwrap()
}

fn first() -> SignedSegment {
    let laptop = device(2);
    let heads = [
        Head {
            line: LineId::from_bytes([9; 16]),
            sequence: 3,
            segment: SegmentId::from_bytes([9; 32]),
        },
        Head {
            line: LineId::from_bytes([8; 16]),
            sequence: 0,
            segment: SegmentId::from_bytes([8; 32]),
        },
    ];
    let parent = Some(SegmentId::from_bytes([1; 32]));
    write(
        &laptop,
        Position::begin(&laptop, [3; 16], parent),
        &every_entry(),
        &heads,
    )
}

#[test]
fn what_a_segment_adds_comes_back_for_writers_only() {
    let segment = first();
    let again = SignedSegment::parse(segment.bytes().to_vec()).unwrap();
    assert_eq!(again, segment);
    assert_eq!(again.verify_signature(), Ok(()));
    let opened = again.open(&keys()).unwrap();
    assert_eq!(opened.entries, every_entry());
    assert_eq!(opened.first_ordinal, 0);
    assert_eq!(again.head().packs, 2);
    assert_eq!(again.public().labels, [every_entry()[1].label_id().unwrap()]);
    assert!(again.public().heads.is_sorted());
    let other = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([2; 32])).writer;
    assert_eq!(again.open(&other), Err(OpenSegmentError::OtherArchive));
    let owner = OwnerSecrets::derive(&RecoveryPhrase::from_entropy([1; 32]));
    assert_eq!(
        again.open(&owner.writer_keys(Epoch(1))),
        Err(OpenSegmentError::Epoch {
            found: 0,
            expected: 1
        })
    );
}

#[test]
fn ordinals_go_on_along_a_line() {
    let laptop = device(2);
    let second = write(
        &laptop,
        Position::after(&first().head()),
        &[pack_added(3), pack_added(4), pack_added(5)],
        &[],
    );
    let opened = second.open(&keys()).unwrap();
    assert_eq!(opened.first_ordinal, 2);
    assert_eq!(second.head().packs, 5);
    assert_eq!(second.public().sequence, 1);
    assert_eq!(second.public().previous, Some(first().id()));
    let begun = first().public().beginning.unwrap();
    assert_eq!(begun.parent, Some(SegmentId::from_bytes([1; 32])));
}

#[test]
fn hosts_see_padded_lengths_and_nothing_of_the_entries() {
    let segment = first();
    assert_eq!(segment.bytes().len() / SEGMENT_PADDING, 1);
    let small = write(
        &device(2),
        Position::begin(&device(2), [3; 16], None),
        &[pack_added(1)],
        &[],
    );
    assert_eq!(small.bytes().len() / SEGMENT_PADDING, 1);
    for planted in [&[1_u8; 32][..], &[5; 32], b"weekly", &[4; 16]] {
        assert!(
            !small
                .bytes()
                .windows(planted.len())
                .any(|window| window == planted)
        );
    }
}

#[test]
fn damage_anywhere_and_every_truncation_is_noticed() {
    let segment = first();
    let bytes = segment.bytes();
    for at in (0..bytes.len()).step_by(7).chain(0..400) {
        assert!(SignedSegment::parse(bytes[..at].to_vec()).is_err());
        let mut changed = bytes.to_vec();
        changed[at] ^= 4;
        if let Ok(parsed) = SignedSegment::parse(changed) {
            assert_eq!(parsed.verify_signature(), Err(SignatureError), "byte {at}");
            assert_ne!(parsed.id(), segment.id());
        }
    }
}

/// A body signed as it is, whatever it says.
fn signed(device: &DeviceKeys, body: &SegmentBody) -> Vec<u8> {
    codec::encode(
        &device
            .signing
            .sign(Context::Segment, body.archive.as_bytes(), codec::encode(body)),
    )
}

fn body() -> SegmentBody {
    let mut body = first().public().clone();
    body.sealed = vec![0; SEGMENT_PADDING];
    body
}

#[test]
fn impossible_public_parts_are_refused() {
    let laptop = device(2);
    assert!(SignedSegment::parse(signed(&laptop, &body())).is_ok());
    let changes: [&dyn Fn(&mut SegmentBody); 11] = [
        &|body| body.beginning = None,
        &|body| body.previous = Some(SegmentId::from_bytes([1; 32])),
        &|body| body.sequence = 1,
        &|body| body.line = LineId::from_bytes([3; 16]),
        &|body| body.device = device(3).id(),
        &|body| body.heads.reverse(),
        &|body| body.heads[0].line = body.heads[1].line,
        &|body| body.heads[0].line = body.line,
        &|body| body.labels = vec![LabelId::from_bytes([1; 32]); SEGMENT_LABELS_MAX + 1],
        &|body| body.sealed.clear(),
        &|body| body.sealed.push(0),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut body = body();
        change(&mut body);
        assert!(
            SignedSegment::parse(signed(&laptop, &body)).is_err(),
            "change {index}"
        );
    }
}

#[test]
fn another_device_cannot_begin_a_line_of_the_same_id() {
    let stolen = device(3);
    let mut body = body();
    body.device = stolen.id();
    assert!(matches!(
        SignedSegment::parse(signed(&stolen, &body)).unwrap_err().reason,
        DecodeReason::Invalid("a line that its device did not begin")
    ));
}

#[test]
fn labels_in_public_must_be_those_of_the_entries() {
    let laptop = device(2);
    let segment = first();
    let mut body = segment.public().clone();
    body.labels.clear();
    let plain = {
        let mut plain = vec![1, 0, 0, 0, 0x80];
        plain.resize(SEGMENT_PADDING - crate::siv::OVERHEAD, 0);
        plain
    };
    let keys = keys();
    let sealed_as = |body: &mut SegmentBody| {
        body.sealed.clear();
        body.sealed = crate::siv::seal(
            &keys.siv_key,
            &keys.index_key,
            crate::siv::ObjectType::Segment,
            &codec::encode(body),
            &plain,
        );
        SignedSegment::parse(signed(&laptop, body)).unwrap().open(&keys)
    };
    body.packs = 0;
    assert_eq!(sealed_as(&mut body).unwrap().entries, []);
    body.labels = vec![LabelId::from_bytes([1; 32])];
    assert!(matches!(sealed_as(&mut body), Err(OpenSegmentError::Decode(_))));
}

#[test]
fn moving_sealed_entries_to_another_place_is_noticed() {
    let laptop = device(2);
    let segment = first();
    let mut body = segment.public().clone();
    body.sealed =
        segment.bytes()[segment.bytes().len() - 67 - SEGMENT_PADDING..segment.bytes().len() - 67].to_vec();
    assert!(
        SignedSegment::parse(signed(&laptop, &body))
            .unwrap()
            .open(&keys())
            .is_ok()
    );
    body.time = Timestamp(9);
    assert_eq!(
        SignedSegment::parse(signed(&laptop, &body))
            .unwrap()
            .open(&keys()),
        Err(OpenSegmentError::Damaged)
    );
}

#[test]
fn impossible_entries_are_neither_written_nor_read() {
    let changed = |change: &dyn Fn(&mut Entry)| {
        let mut entry = pack_added(1);
        change(&mut entry);
        entry
    };
    let with_header = |change: &dyn Fn(&mut Vec<u8>)| {
        changed(&|entry| {
            if let Entry::PackAdded { header, .. } = entry {
                change(header);
            }
        })
    };
    let with_directory = |bytes: Vec<u8>| {
        let mut entry = pack_added(1);
        if let Entry::PackAdded { directory, .. } = &mut entry {
            *directory = bytes;
        }
        entry
    };
    let mut misnamed = snapshot_added();
    if let Entry::SnapshotAdded { id, .. } = &mut misnamed {
        *id = SnapshotId::from_bytes([0; 32]);
    }
    let refused = [
        changed(&|entry| {
            if let Entry::PackAdded { kind, .. } = entry {
                *kind = PackKind::Meta;
            }
        }),
        changed(&|entry| {
            if let Entry::PackAdded { len, .. } = entry {
                *len = 10;
            }
        }),
        changed(&|entry| {
            if let Entry::PackAdded { len, .. } = entry {
                *len = crate::padding::PACK_LEN as u64 + 1;
            }
        }),
        with_header(&|header| header.truncate(80)),
        with_header(&|header| header[0] ^= 1),
        with_directory(Vec::new()),
        with_directory(vec![0; crate::pack::DIRECTORY_LEN_MAX + 1]),
        Entry::StripeAdded { label: Vec::new() },
        Entry::StripeAdded {
            label: vec![0; crate::label::SIGNED_LABEL_LEN_MAX + 1],
        },
        misnamed,
    ];
    for entry in refused {
        let laptop = device(2);
        let draft = Draft {
            position: Position::begin(&laptop, [0; 16], None),
            entries: std::slice::from_ref(&entry),
            heads: &[],
            time: Timestamp(0),
        };
        assert!(matches!(
            SignedSegment::build(&keys(), &laptop, &draft),
            Err(BuildSegmentError::Invalid(_))
        ));
        assert!(codec::decode::<Entry>(&codec::encode(&entry)).is_err());
    }
}

#[test]
fn a_full_batch_makes_a_segment_that_fits() {
    let large = |number: u8| {
        let mut entry = pack_added(number);
        if let Entry::PackAdded { directory, .. } = &mut entry {
            *directory = vec![number; crate::pack::DIRECTORY_LEN_MAX];
        }
        entry
    };
    let mut batch = Batch::new();
    let mut number = 0;
    while batch.push(large(number)).is_none() {
        number += 1;
    }
    assert_eq!(number, 3);
    for number in 0..=255 {
        let _ = batch.push(Entry::StripeAdded {
            label: vec![number; 4000],
        });
    }
    assert!(batch.encoded_len() <= SEGMENT_ENTRIES_LEN_MAX);
    let laptop = device(2);
    let heads: Vec<_> = (0..LINES_MAX)
        .map(|line| {
            let mut id = [0xff; 16];
            id[..8].copy_from_slice(&(line as u64).to_le_bytes());
            Head {
                line: LineId::from_bytes(id),
                sequence: u64::MAX,
                segment: SegmentId::from_bytes([1; 32]),
            }
        })
        .collect();
    let segment = write(
        &laptop,
        Position::begin(&laptop, [1; 16], None),
        batch.entries(),
        &heads,
    );
    assert!(segment.bytes().len() <= SEGMENT_LEN_MAX);
    assert_eq!(
        SignedSegment::parse(segment.bytes().to_vec())
            .unwrap()
            .open(&keys())
            .unwrap()
            .entries,
        batch.take()
    );
    assert!(batch.is_empty());
}

#[test]
fn a_batch_holds_no_more_labels_than_a_segment() {
    let mut batch = Batch::new();
    for _ in 0..SEGMENT_LABELS_MAX {
        assert_eq!(batch.push(Entry::StripeAdded { label: vec![1] }), None);
    }
    assert!(batch.push(Entry::StripeAdded { label: vec![1] }).is_some());
    assert_eq!(
        batch.push(Entry::SnapshotForgotten {
            id: SnapshotId::from_bytes([1; 32])
        }),
        None
    );
}

#[test]
fn a_newer_segment_is_told_from_damage() {
    let laptop = device(2);
    let mut bytes = codec::encode(&body());
    bytes[2] = 3;
    let newer = laptop
        .signing
        .sign(Context::Segment, keys().archive.as_bytes(), bytes);
    assert!(matches!(
        SignedSegment::parse(codec::encode(&newer)).unwrap_err().reason,
        DecodeReason::Version { found: 3, .. }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn garbage_is_an_error(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(codec::decode::<Entry>(&bytes).is_err());
        prop_assert!(codec::decode::<SegmentBody>(&bytes).is_err());
        prop_assert!(SignedSegment::parse(bytes).is_err());
    }

    #[test]
    fn a_flipped_byte_of_an_entry_is_an_error_or_another_canonical_entry(which in 0_usize..6, at: usize, flip in 1_u8..) {
        let mut bytes = codec::encode(&every_entry()[which]);
        let at = at % bytes.len();
        prop_assert!(codec::decode::<Entry>(&bytes[..at]).is_err());
        bytes[at] ^= flip;
        if let Ok(other) = codec::decode::<Entry>(&bytes) {
            prop_assert_eq!(codec::encode(&other), bytes);
        }
    }
}
