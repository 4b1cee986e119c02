use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::keys::{ArchiveKeys, OwnerSecrets, RecoveryPhrase};
use crate::{ChunkId, Epoch, LineId, codec};

fn keys() -> ArchiveKeys {
    ArchiveKeys::derive(&RecoveryPhrase::from_entropy([1; 32]))
}

fn snapshot() -> Snapshot {
    let origin = Origin {
        paths: vec![b"/home/me".to_vec(), b"/etc\xff".to_vec()],
        hostname: "laptop".to_owned(),
        username: "me".to_owned(),
        tags: vec!["weekly".to_owned()],
        start: Timestamp(1000),
    };
    let root = Content {
        depth: 0,
        len: 8,
        chunks: vec![ChunkId::from_bytes([3; 32])],
    };
    let mut snapshot = Snapshot::new(origin, root, Counts::default(), Timestamp(2000));
    snapshot.warnings.push(Warning {
        path: b"/home/me/x".to_vec(),
        kind: WarningKind::Changed,
        message: "changed while it was read".to_owned(),
    });
    snapshot.parent = Some(SnapshotId::from_bytes([9; 32]));
    snapshot
}

#[test]
fn a_sealed_snapshot_opens_for_readers_and_is_the_same_every_time() {
    let keys = keys();
    let sealed = seal_snapshot(&snapshot(), &keys.writer).unwrap();
    assert_eq!(open_snapshot(&sealed.bytes, &keys.reader_keys()), Ok(snapshot()));
    assert_eq!(seal_snapshot(&snapshot(), &keys.writer).unwrap(), sealed);
    let mut other = snapshot();
    other.tags.clear();
    let other = seal_snapshot(&other, &keys.writer).unwrap();
    assert_ne!(
        other.bytes[16..48],
        sealed.bytes[16..48],
        "an ephemeral key seals one content"
    );
}

#[test]
fn names_and_paths_cannot_be_found_in_sealed_bytes() {
    let sealed = seal_snapshot(&snapshot(), &keys().writer).unwrap();
    for secret in [&b"laptop"[..], b"/home", b"weekly"] {
        assert!(!sealed.bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn damage_truncation_and_other_keys_open_nothing() {
    let keys = keys();
    let reader = keys.reader_keys();
    let sealed = seal_snapshot(&snapshot(), &keys.writer).unwrap().bytes;
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 0x20;
        assert!(open_snapshot(&bytes, &reader).is_err(), "byte {at}");
        assert!(open_snapshot(&sealed[..at], &reader).is_err());
    }
    let stranger = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([2; 32]));
    assert_eq!(
        open_snapshot(&sealed, &stranger.reader_keys()),
        Err(OpenSnapshotError::Damaged)
    );
    let owner = OwnerSecrets::derive(&RecoveryPhrase::from_entropy([1; 32]));
    assert_eq!(
        open_snapshot(&sealed, &owner.reader_keys(Epoch(1))),
        Err(OpenSnapshotError::Epoch {
            found: 0,
            expected: 1
        })
    );
}

#[test]
fn a_writer_without_the_sealing_secret_cannot_open() {
    let keys = keys();
    let sealed = seal_snapshot(&snapshot(), &keys.writer).unwrap();
    let mut reader = keys.reader_keys();
    reader.sealing = crate::keys::SealingSecret::from_bytes([5; 32]);
    assert_eq!(
        open_snapshot(&sealed.bytes, &reader),
        Err(OpenSnapshotError::Damaged)
    );
}

#[test]
fn a_snapshot_sealed_in_another_version_is_named() {
    let keys = keys();
    let mut bytes = seal_snapshot(&snapshot(), &keys.writer).unwrap().bytes;
    for found in [0, 2, 9] {
        bytes[8] = found;
        let refused = open_snapshot(&bytes, &keys.reader_keys());
        let found = u16::from(found);
        let reason = codec::DecodeReason::Version { found, known: 1 };
        assert!(
            matches!(&refused, Err(OpenSnapshotError::Decode(error)) if error.reason == reason),
            "{refused:?}"
        );
    }
}

#[test]
fn warnings_are_bounded_and_counted() {
    let mut snapshot = snapshot();
    for _ in 0..3000 {
        snapshot.warnings.push(Warning {
            path: vec![b'x'; 5000],
            kind: WarningKind::Unreadable,
            message: "é".repeat(400),
        });
    }
    assert_eq!(snapshot.warnings.total(), 3001);
    assert!(snapshot.warnings.listed().len() < WARNINGS_MAX);
    assert!(seal_snapshot(&snapshot, &keys().writer).is_ok());
}

#[test]
fn what_exceeds_a_bound_is_not_sealed() {
    let writer = keys().writer;
    let cases: [&dyn Fn(&mut Snapshot); 5] = [
        &|snapshot| snapshot.paths = vec![vec![b'a'; PATH_LEN_MAX]; 17],
        &|snapshot| snapshot.tags = vec![String::new(); TAGS_MAX + 1],
        &|snapshot| snapshot.tags = vec!["x".repeat(TAG_LEN_MAX + 1)],
        &|snapshot| snapshot.hostname = "x".repeat(ORIGIN_LEN_MAX + 1),
        &|snapshot| snapshot.root = Content::default(),
    ];
    for change in cases {
        let mut snapshot = snapshot();
        change(&mut snapshot);
        assert!(matches!(
            seal_snapshot(&snapshot, &writer),
            Err(SealSnapshotError::Invalid(_))
        ));
    }
}

/// A set of packs the slow way.
type Plain = BTreeSet<(LineId, u64)>;

fn set_of(plain: &Plain) -> PackSet {
    let mut set = PackSet::new();
    for (line, ordinal) in plain {
        set.insert(*line, *ordinal);
    }
    set
}

fn plain_of(set: &PackSet) -> Plain {
    set.runs()
        .flat_map(|run| (run.start..run.start + run.count).map(move |ordinal| (run.line, ordinal)))
        .collect()
}

fn packs() -> impl Strategy<Value = Plain> {
    btree_set(
        (
            (0_u8..3).prop_map(|line| LineId::from_bytes([line; 16])),
            0_u64..30,
        ),
        0..40,
    )
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[cbor(transparent)]
struct Alone(#[n(0)] PackChange);

impl Canonical for Alone {
    const WHAT: &'static str = "pack change";
    const LEN_MAX: usize = 1 << 22;
}

#[test]
fn runs_that_touch_overflow_or_are_empty_are_refused() {
    let mut line = vec![0x81, 0x82, 0x50];
    line.extend_from_slice(&[1; 16]);
    let with = |runs: &[u8]| {
        let mut bytes = vec![0xa2, 0x00];
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(runs);
        bytes.extend_from_slice(&[0x01, 0x80]);
        codec::decode::<Alone>(&bytes)
    };
    assert!(with(&[0x84, 0, 1, 1, 1]).is_ok());
    assert!(with(&[0x84, 0, 1, 0, 1]).is_err());
    assert!(with(&[0x82, 0, 0]).is_err());
    assert!(with(&[0x80]).is_err());
    assert!(with(&[0x83, 0, 1, 1]).is_err());
    let mut endless = vec![0x82, 0x1b];
    endless.extend_from_slice(&[0xff; 8]);
    endless.push(1);
    assert!(with(&endless).is_err());
}

#[test]
fn a_set_of_too_many_runs_is_neither_made_nor_read() {
    let line = LineId::from_bytes([1; 16]);
    let every_other = |count: u64| {
        let mut set = PackSet::new();
        (0..count).for_each(|number| set.insert(line, 2 * number));
        set
    };
    let read = |added| {
        let removed = PackSet::new();
        codec::decode::<Alone>(&codec::encode(&Alone(PackChange { added, removed })))
    };
    let most = PACK_RUNS_MAX as u64;
    assert!(read(every_other(most)).is_ok());
    assert!(PackChange::between(&PackSet::new(), &every_other(most)).is_ok());
    assert!(matches!(
        read(every_other(most + 1)).unwrap_err().reason,
        codec::DecodeReason::Malformed(_)
    ));
    assert_eq!(
        PackChange::between(&PackSet::new(), &every_other(most + 1)),
        Err(PackSetError::TooManyRuns {
            found: PACK_RUNS_MAX + 1
        })
    );
}

#[test]
fn a_run_to_the_end_of_all_ordinals_is_kept_as_it_is() {
    let line = LineId::from_bytes([1; 16]);
    let mut set = PackSet::new();
    set.insert_run(PackRun {
        line,
        start: u64::MAX - 5,
        count: 100,
    });
    assert_eq!(set.len(), 5);
    set.remove_run(PackRun {
        line,
        start: 0,
        count: u64::MAX,
    });
    assert!(set.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sets_of_runs_are_sets(first in packs(), second in packs()) {
        let (a, b) = (set_of(&first), set_of(&second));
        prop_assert_eq!(plain_of(&a), first.clone());
        prop_assert_eq!(a.len(), first.len() as u64);
        prop_assert_eq!(plain_of(&a.union(&b)), &first | &second);
        prop_assert_eq!(plain_of(&a.difference(&b)), &first - &second);
        for line in 0..3 {
            let line = LineId::from_bytes([line; 16]);
            for ordinal in 0..31 {
                prop_assert_eq!(a.contains(&line, ordinal), first.contains(&(line, ordinal)));
            }
        }
        let change = PackChange::between(&a, &b).unwrap();
        prop_assert_eq!(change.apply(&a), b);
        let alone = Alone(change);
        let bytes = codec::encode(&alone);
        prop_assert_eq!(codec::decode::<Alone>(&bytes), Ok(alone));
        for end in 0..bytes.len() {
            prop_assert!(codec::decode::<Alone>(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn garbage_is_an_error(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(codec::decode::<Snapshot>(&bytes).is_err());
        prop_assert!(open_snapshot(&bytes, &keys().reader_keys()).is_err());
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_another_canonical_snapshot(at: usize, flip in 1_u8..) {
        let mut bytes = codec::encode(&snapshot());
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(other) = codec::decode::<Snapshot>(&bytes) {
            prop_assert_eq!(codec::encode(&other), bytes);
        }
    }
}
