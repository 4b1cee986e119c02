use proptest::prelude::*;

use super::super::Position;
use super::super::tests::{device, keys, pack_added, write};
use super::*;
use crate::Timestamp;
use crate::keys::{ArchiveKeys, DeviceKeys, RecoveryPhrase};
use crate::statement::{Belief, Capabilities, Certificate, SignedStatement, Statement, StatementSet};
use crate::units::ByteCount;
use crate::{DeviceId, NodeId};

/// A store of everything that was offered, with the union beside it.
#[derive(Default)]
struct Store {
    union: Union,
    segments: BTreeMap<SegmentId, SignedSegment>,
}

impl Store {
    fn offer(&mut self, segment: &SignedSegment) -> ChainVerdict {
        let head = segment.head();
        let stored: Vec<_> = self
            .segments
            .values()
            .map(SignedSegment::head)
            .filter(|other| (other.line, other.sequence) == (head.line, head.sequence))
            .map(|other| other.segment)
            .collect();
        let verdict = self.union.offer(segment, &stored).unwrap();
        if matches!(verdict, ChainVerdict::Next | ChainVerdict::Fork) {
            self.segments.insert(segment.id(), segment.clone());
        }
        verdict
    }

    fn wants(&self, shown: &[Head]) -> Vec<Want> {
        self.union.wants(shown, |id| self.segments.contains_key(id))
    }

    fn previous_of(&self) -> impl Fn(&SegmentId) -> Option<SegmentId> {
        |id| {
            self.segments
                .get(id)
                .and_then(|segment| segment.public().previous)
        }
    }
}

/// A line of so many segments, each with one pack.
fn line(device: &DeviceKeys, nonce: u8, count: u8, heads: &[Head]) -> Vec<SignedSegment> {
    let mut position = Position::begin(device, [nonce; 16], None);
    (0..count)
        .map(|number| {
            let segment = write(device, position, &[pack_added(number)], heads);
            position = Position::after(&segment.head());
            segment
        })
        .collect()
}

#[test]
fn a_line_in_order_is_next_after_next_and_then_known() {
    let segments = line(&device(2), 1, 4, &[]);
    let mut store = Store::default();
    for segment in &segments {
        assert_eq!(store.offer(segment), ChainVerdict::Next);
    }
    for segment in &segments {
        assert_eq!(store.offer(segment), ChainVerdict::Duplicate);
    }
    assert_eq!(store.union.heads(), [segments[3].head().head()]);
}

#[test]
fn a_gap_names_what_is_missing() {
    let segments = line(&device(2), 1, 4, &[]);
    let mut store = Store::default();
    assert_eq!(store.offer(&segments[2]), ChainVerdict::Gap { expected: 0 });
    store.offer(&segments[0]);
    assert_eq!(store.offer(&segments[3]), ChainVerdict::Gap { expected: 1 });
}

#[test]
fn both_segments_of_one_place_are_kept_and_reported() {
    let laptop = device(2);
    let segments = line(&laptop, 1, 3, &[]);
    let beside = write(
        &laptop,
        Position::after(&segments[0].head()),
        &[pack_added(9)],
        &[],
    );
    let after_beside = write(&laptop, Position::after(&beside.head()), &[pack_added(8)], &[]);
    let ahead = write(
        &laptop,
        Position::after(&after_beside.head()),
        &[pack_added(7)],
        &[],
    );
    let mut store = Store::default();
    for segment in &segments {
        store.offer(segment);
    }
    for segment in [&beside, &after_beside, &ahead] {
        assert_eq!(store.offer(segment), ChainVerdict::Fork);
        assert_eq!(store.offer(segment), ChainVerdict::Duplicate);
    }
    let summary = store.union.line(&segments[0].head().line).unwrap();
    assert_eq!(summary.fork_count, 3);
    assert!(summary.forks.contains(&Fork {
        sequence: 1,
        segment: beside.id()
    }));
    assert_eq!(summary.head, segments[2].head());
    assert_eq!(store.segments.len(), 6);
}

#[test]
fn forks_of_one_line_are_remembered_up_to_a_bound() {
    let laptop = device(2);
    let segments = line(&laptop, 1, 2, &[]);
    let mut store = Store::default();
    for segment in &segments {
        store.offer(segment);
    }
    for number in 10..60 {
        let beside = write(
            &laptop,
            Position::after(&segments[0].head()),
            &[pack_added(number)],
            &[],
        );
        assert_eq!(store.offer(&beside), ChainVerdict::Fork);
    }
    let summary = store.union.line(&segments[0].head().line).unwrap();
    assert_eq!((summary.forks.len(), summary.fork_count), (FORKS_MAX, 50));
}

#[test]
fn another_device_cannot_go_on_with_a_line() {
    let segments = line(&device(2), 1, 1, &[]);
    let foreign = write(&device(3), Position::after(&segments[0].head()), &[], &[]);
    let mut store = Store::default();
    store.offer(&segments[0]);
    assert_eq!(
        store.offer(&foreign),
        ChainVerdict::WrongDevice {
            owner: device(2).id()
        }
    );
}

#[test]
fn a_segment_that_takes_packs_back_is_refused() {
    let laptop = device(2);
    let segments = line(&laptop, 1, 2, &[]);
    let mut head = segments[1].head();
    head.packs = 0;
    let fewer = write(&laptop, Position::after(&head), &[], &[]);
    let mut store = Store::default();
    for segment in &segments {
        store.offer(segment);
    }
    assert_eq!(store.offer(&fewer), ChainVerdict::Contradiction);
}

#[test]
fn an_old_journal_is_noticed_when_another_line_names_the_newer() {
    let old = line(&device(2), 1, 3, &[]);
    let other = line(&device(3), 2, 1, &[old[2].head().head()]);
    let mut store = Store::default();
    store.offer(&old[0]);
    store.offer(&other[0]);
    let behind: Vec<_> = store.union.behind().collect();
    assert_eq!(
        behind,
        [Behind {
            line: old[0].head().line,
            from: 1,
            known: old[2].head().head(),
            named_by: other[0].head().line,
        }]
    );
    let mut again = Union::new();
    again
        .restore(store.union.line(&old[0].head().line).unwrap().clone())
        .unwrap();
    again
        .restore(store.union.line(&other[0].head().line).unwrap().clone())
        .unwrap();
    assert_eq!(again.behind().count(), 0);
    again.hear(&other[0]);
    assert_eq!(again.behind().collect::<Vec<_>>(), behind);
    store.offer(&old[1]);
    store.offer(&old[2]);
    assert_eq!(store.union.behind().count(), 0);
}

#[test]
fn what_to_ask_and_what_to_send_are_each_others_mirror() {
    let (first, second) = (line(&device(2), 1, 3, &[]), line(&device(3), 2, 2, &[]));
    let (mut here, mut there) = (Store::default(), Store::default());
    for segment in first.iter().chain(&second[..1]) {
        here.offer(segment);
    }
    for segment in first[..1].iter().chain(&second) {
        there.offer(segment);
    }
    let want = |line: &[SignedSegment], from| Want {
        line: line[0].head().line,
        from,
    };
    assert_eq!(here.wants(&there.union.heads()), [want(&second, 1)]);
    assert_eq!(here.union.lacks(&there.union.heads()), [want(&first, 1)]);
    assert_eq!(
        there.wants(&here.union.heads()),
        here.union.lacks(&there.union.heads())
    );
    assert_eq!(here.union.lacks(&[]).len(), 2);
}

#[test]
fn a_head_that_is_beside_ours_is_asked_for() {
    let laptop = device(2);
    let segments = line(&laptop, 1, 3, &[]);
    let beside = write(
        &laptop,
        Position::after(&segments[0].head()),
        &[pack_added(9)],
        &[],
    );
    let mut store = Store::default();
    for segment in &segments {
        store.offer(segment);
    }
    let shown = [beside.head().head()];
    assert_eq!(
        store.wants(&shown),
        [Want {
            line: shown[0].line,
            from: 0
        }]
    );
    store.offer(&beside);
    assert_eq!(store.wants(&shown), []);
}

#[test]
fn one_device_cannot_use_up_the_lines() {
    let laptop = device(2);
    let mut store = Store::default();
    let mut begin = |device: &DeviceKeys, number: usize| {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let segment = write(device, Position::begin(device, nonce, None), &[], &[]);
        store.union.offer(&segment, &[])
    };
    for number in 0..DEVICE_LINES_MAX {
        assert_eq!(begin(&laptop, number), Ok(ChainVerdict::Next));
    }
    assert_eq!(
        begin(&laptop, DEVICE_LINES_MAX),
        Err(OfferError::TooManyLinesOfDevice)
    );
    assert_eq!(begin(&device(3), 0), Ok(ChainVerdict::Next));
}

#[test]
fn a_union_goes_on_from_its_summaries() {
    let segments = line(&device(2), 1, 3, &[]);
    let mut store = Store::default();
    store.offer(&segments[0]);
    store.offer(&segments[1]);
    let mut again = Union::new();
    for summary in store.union.lines() {
        again.restore(summary.clone()).unwrap();
    }
    assert_eq!(again, store.union);
    assert_eq!(again.offer(&segments[2], &[]), Ok(ChainVerdict::Next));
}

fn owner() -> ArchiveKeys {
    ArchiveKeys::derive(&RecoveryPhrase::from_entropy([1; 32]))
}

fn statements(states: Vec<Statement>) -> StatementSet {
    let owner = owner();
    assert_eq!(owner.archive_id(), keys().archive);
    let mut set = StatementSet::new(owner.archive_id());
    for statement in states {
        set.insert(SignedStatement::by_archive(statement, &owner.signing, Timestamp(1)).unwrap())
            .unwrap();
    }
    set
}

fn certified(device: &DeviceKeys) -> Statement {
    Statement::Certified {
        certificate: Certificate {
            device: device.id(),
            exchange_public: device.exchange_public(),
            node: NodeId::from_bytes([1; 32]),
            name: "laptop".to_owned(),
            capabilities: Capabilities::DEFAULT,
            byte_budget: ByteCount(1),
        },
    }
}

fn revoked(device: DeviceId, last: &SignedSegment) -> Statement {
    let head = last.head();
    Statement::Revoked {
        device,
        after: vec![LastBelieved {
            line: head.line,
            sequence: head.sequence,
            segment: head.segment,
        }],
    }
}

/// Whether a segment is believed by these statements.
fn believes(set: &StatementSet, segment: &SignedSegment, store: &Store) -> bool {
    let head = segment.head();
    match set.belief(&head.device, &head.line) {
        Belief::All => true,
        Belief::Nothing => false,
        Belief::UpTo(ends) => believed_segments(&ends, store.previous_of()).contains(&head.segment),
    }
}

#[test]
fn nothing_after_the_last_believed_segment_counts_and_nothing_beside_it() {
    let laptop = device(2);
    let segments = line(&laptop, 1, 4, &[]);
    // What a thief signs later, for a place before the revocation.
    let backdated = write(
        &laptop,
        Position::after(&segments[0].head()),
        &[pack_added(66)],
        &[],
    );
    let mut store = Store::default();
    for segment in segments.iter().chain([&backdated]) {
        store.offer(segment);
    }
    let set = statements(vec![certified(&laptop), revoked(laptop.id(), &segments[2])]);
    let believed: Vec<_> = segments
        .iter()
        .chain([&backdated])
        .map(|segment| believes(&set, segment, &store))
        .collect();
    assert_eq!(believed, [true, true, true, false, false]);
    let unnamed = line(&laptop, 2, 1, &[]);
    assert!(!believes(&set, &unnamed[0], &store));
}

#[test]
fn of_two_revocations_both_must_believe() {
    let laptop = device(2);
    let segments = line(&laptop, 1, 4, &[]);
    let mut store = Store::default();
    for segment in &segments {
        store.offer(segment);
    }
    let set = statements(vec![
        certified(&laptop),
        revoked(laptop.id(), &segments[2]),
        revoked(laptop.id(), &segments[1]),
    ]);
    let believed: Vec<_> = segments
        .iter()
        .map(|segment| believes(&set, segment, &store))
        .collect();
    assert_eq!(believed, [true, true, false, false]);
}

#[test]
fn a_damaged_index_that_runs_in_a_ring_ends() {
    let segment = SegmentId::from_bytes([1; 32]);
    let end = LastBelieved {
        line: LineId::from_bytes([1; 16]),
        sequence: 5,
        segment,
    };
    assert_eq!(believed_segments(&[end], |id| Some(*id)).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever order lines come in, and however often, the union is the same.
    #[test]
    fn the_union_does_not_depend_on_the_order_of_lines(picks in proptest::collection::vec(0_usize..3, 0..40)) {
        let lines = [line(&device(2), 1, 4, &[]), line(&device(2), 2, 3, &[]), line(&device(3), 3, 5, &[])];
        let mut straight = Store::default();
        for segment in lines.iter().flatten() {
            prop_assert_eq!(straight.offer(segment), ChainVerdict::Next);
        }
        let mut mixed = Store::default();
        let mut next = [0_usize; 3];
        for pick in picks.into_iter().chain((0..3).flat_map(|pick| [pick; 5])) {
            if let Some(segment) = lines[pick].get(next[pick]) {
                prop_assert_eq!(mixed.offer(segment), ChainVerdict::Next);
                next[pick] += 1;
            } else {
                prop_assert_eq!(mixed.offer(&lines[pick][0]), ChainVerdict::Duplicate);
            }
        }
        prop_assert_eq!(mixed.union, straight.union);
    }
}
