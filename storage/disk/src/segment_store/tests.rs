use std::fs;

use nuthatch_format::Timestamp;
use nuthatch_format::journal::Position;
use nuthatch_format::statement::{SignedStatement, Statement};

use super::*;
use crate::fixtures::{
    archive_keys, begin, device, keys, pack, pack_added, segment, stripe_added, stripe_of,
};

fn line_of(count: u64) -> Vec<SignedSegment> {
    let mut position = begin(2, 1);
    (0..count)
        .map(|number| {
            let made = segment(2, position, &[], number);
            position = Position::after(&made.head());
            made
        })
        .collect()
}

fn all(store: &SegmentStore, line: &LineId) -> Vec<SegmentId> {
    let stored = store.segments_from(&keys().archive, line, 0, 10_000).unwrap();
    stored.iter().map(|stored| stored.head.segment).collect()
}

#[test]
fn a_line_is_kept_in_order_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let segments = line_of(5);
    let line = segments[0].head().line;
    let archive = keys().archive;
    {
        let store = SegmentStore::open(dir.path()).unwrap();
        assert!(matches!(
            store.put(&segments[1]),
            Err(PutSegmentError::Gap { expected: 0 })
        ));
        for one in &segments {
            assert_eq!(store.put(one).unwrap(), PutSegment::New);
            assert_eq!(store.put(one).unwrap(), PutSegment::Have);
        }
    }
    let store = SegmentStore::open(dir.path()).unwrap();
    let lines = store.lines(&archive);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].head, segments[4].head());
    assert_eq!(lines[0].fork_count, 0);
    let ids: Vec<_> = segments.iter().map(SignedSegment::id).collect();
    assert_eq!(all(&store, &line), ids);
    let page = store.segments_from(&archive, &line, 1, 2).unwrap();
    assert_eq!(
        page.iter().map(|stored| stored.head.sequence).collect::<Vec<_>>(),
        [1, 2]
    );
    for (one, stored) in segments
        .iter()
        .zip(store.segments_from(&archive, &line, 0, 10).unwrap())
    {
        assert_eq!(store.read(&archive, &stored).unwrap().bytes(), one.bytes());
    }
    let bytes: usize = segments.iter().map(|one| one.bytes().len()).sum();
    assert_eq!(store.usage(&archive), ByteCount(bytes as u64));
    assert_eq!(
        store.usage_of_device(&archive, &device(2).id()),
        ByteCount(bytes as u64)
    );
    assert_eq!(store.usage_of_device(&archive, &device(3).id()), ByteCount::ZERO);
    assert_eq!(store.archives(), [archive]);
}

#[test]
fn both_branches_of_a_fork_are_kept_and_the_first_stays_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let segments = line_of(4);
    let line = segments[0].head().line;
    let twin = segment(2, Position::after(&segments[1].head()), &[], 99);
    let after_twin = segment(2, Position::after(&twin.head()), &[], 100);
    let order = [
        &segments[0],
        &segments[1],
        &segments[2],
        &twin,
        &after_twin,
        &segments[3],
    ];
    let expected = [
        PutSegment::New,
        PutSegment::New,
        PutSegment::New,
        PutSegment::Fork,
        PutSegment::Fork,
        PutSegment::New,
    ];
    {
        let store = SegmentStore::open(dir.path()).unwrap();
        let answers: Vec<_> = order.iter().map(|one| store.put(one).unwrap()).collect();
        assert_eq!(answers, expected);
    }
    for without_index in [false, true] {
        if without_index {
            fs::remove_file(dir.path().join("index.redb")).unwrap();
        }
        let store = SegmentStore::open(dir.path()).unwrap();
        let lines = store.lines(&keys().archive);
        assert_eq!(
            (lines.len(), lines[0].head, lines[0].fork_count),
            (1, segments[3].head(), 2)
        );
        let mut found = all(&store, &line);
        let mut ids: Vec<_> = order.iter().map(|one| one.id()).collect();
        found.sort_unstable();
        ids.sort_unstable();
        assert_eq!(found, ids);
        assert_eq!(store.segments_at(&keys().archive, &line, 2).unwrap().len(), 2);
    }
}

#[test]
fn a_branch_may_grow_longer_than_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let segments = line_of(3);
    let line = segments[0].head().line;
    let mut branch = Vec::new();
    let mut position = Position::after(&segments[1].head());
    for number in 90..94 {
        let made = segment(2, position, &[], number);
        position = Position::after(&made.head());
        branch.push(made);
    }
    {
        let store = SegmentStore::open(dir.path()).unwrap();
        for one in &segments {
            store.put(one).unwrap();
        }
        for one in &branch {
            assert_eq!(store.put(one).unwrap(), PutSegment::Fork);
        }
        let unconnected = segment(2, Position::after(&line_of(9)[8].head()), &[], 5);
        assert!(matches!(
            store.put(&unconnected),
            Err(PutSegmentError::Gap { .. })
        ));
    }
    fs::remove_file(dir.path().join("index.redb")).unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    assert_eq!(all(&store, &line).len(), segments.len() + branch.len());
    assert_eq!(store.lines(&keys().archive)[0].head.line, line);
}

#[test]
fn forks_of_one_place_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let first = segment(2, begin(2, 1), &[], 0);
    store.put(&first).unwrap();
    for time in 0..PLACE_SEGMENTS_MAX as u64 {
        store
            .put(&segment(2, Position::after(&first.head()), &[], time))
            .unwrap();
    }
    let one_more = store.put(&segment(2, Position::after(&first.head()), &[], 1000));
    assert!(matches!(
        one_more,
        Err(PutSegmentError::TooManyForks { sequence: 1 })
    ));
}

#[test]
fn labels_are_found_again_with_and_without_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let packed = pack(&[b"one"]);
    let label = stripe_of(&packed, nuthatch_erasure::Scheme::new(1, 1).unwrap(), 1);
    let made = segment(2, begin(2, 1), &[pack_added(&packed), stripe_added(&label)], 0);
    let archive = keys().archive;
    // Another device names it too, in a line of its own: neither place hides the other.
    let other = segment(3, begin(3, 1), &[pack_added(&packed), stripe_added(&label)], 0);
    {
        let store = SegmentStore::open(dir.path()).unwrap();
        store.put(&made).unwrap();
        store.put(&other).unwrap();
    }
    let mut places = vec![(made.head().line, 0), (other.head().line, 0)];
    places.sort_unstable();
    for _ in 0..2 {
        let store = SegmentStore::open(dir.path()).unwrap();
        assert_eq!(store.label_places(&archive, &label.id()).unwrap(), places);
        let (no_label, no_archive) = (LabelId::from_bytes([1; 32]), ArchiveId::from_bytes([1; 32]));
        assert_eq!(store.label_places(&archive, &no_label).unwrap(), []);
        assert_eq!(store.label_places(&no_archive, &label.id()).unwrap(), []);
        drop(store);
        fs::write(dir.path().join("index.redb"), b"nonsense").unwrap();
    }
}

#[test]
fn a_damaged_segment_is_named_and_whole_again_when_put_again() {
    let segments = line_of(4);
    let archive = keys().archive;
    let line = segments[0].head().line;
    for how in ["flip", "cut", "empty", "grow", "remove"] {
        for without_index in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let store = SegmentStore::open(dir.path()).unwrap();
            for one in &segments {
                store.put(one).unwrap();
            }
            let stored = store.segments_at(&archive, &line, 1).unwrap()[0];
            let path = store.path(&archive, &stored, true);
            let mut bytes = fs::read(&path).unwrap();
            match how {
                "flip" => {
                    let at = bytes.len() / 2;
                    bytes[at] ^= 1;
                }
                "cut" => bytes.truncate(100),
                "empty" => bytes.clear(),
                _ => bytes.push(0),
            }
            if how == "remove" {
                fs::remove_file(&path).unwrap();
            } else {
                fs::write(&path, bytes).unwrap();
            }
            let answer = store.read(&archive, &stored);
            assert!(
                matches!(answer, Err(ReadSegmentError::Damaged { .. })),
                "{how}: {answer:?}"
            );
            drop(store);
            if without_index {
                fs::remove_file(dir.path().join("index.redb")).unwrap();
            }
            let store = SegmentStore::open(dir.path()).unwrap();
            if without_index {
                // What stands behind the gap waits for it.
                assert_eq!(store.lines(&archive)[0].head, segments[0].head(), "{how}");
            }
            store.put(&segments[1]).unwrap();
            assert_eq!(
                store.lines(&archive)[0].head,
                segments[3].head(),
                "{how} {without_index}"
            );
            assert_eq!(store.read(&archive, &stored).unwrap().id(), segments[1].id());
        }
    }
}

#[test]
fn what_was_never_acknowledged_is_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    let segments = line_of(2);
    let store = SegmentStore::open(dir.path()).unwrap();
    store.put(&segments[0]).unwrap();
    // Killed after the file of another second segment, before the index.
    let lost = segment(2, Position::after(&segments[0].head()), &[], 77);
    let path = store.path(&keys().archive, &StoredSegment::of(&lost), true);
    fs::write(&path, lost.bytes()).unwrap();
    fs::write(path.with_file_name(".00.new~"), b"half").unwrap();
    drop(store);
    let store = SegmentStore::open(dir.path()).unwrap();
    assert!(!path.with_file_name(".00.new~").exists());
    assert_eq!(store.put(&segments[1]).unwrap(), PutSegment::New);
    let stored = store
        .segments_at(&keys().archive, &segments[0].head().line, 1)
        .unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(
        store.read(&keys().archive, &stored[0]).unwrap().id(),
        segments[1].id()
    );
}

#[test]
fn one_odd_file_does_not_keep_a_store_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let segments = line_of(3);
    let archive = keys().archive;
    let store = SegmentStore::open(dir.path()).unwrap();
    for one in &segments {
        store.put(one).unwrap();
    }
    let before = store.lines(&archive);
    let last = StoredSegment::of(&segments[2]);
    let line = store.path(&archive, &last, true).parent().unwrap().to_owned();
    // A directory in a line, files among the directories, a file and a directory where statements are.
    fs::create_dir(line.join("0000000000000009.segment")).unwrap();
    fs::write(line.with_file_name("note.txt"), b"mine").unwrap();
    fs::write(line.with_file_name("00".repeat(16)), b"mine").unwrap();
    fs::write(dir.path().join("00".repeat(32)), b"mine").unwrap();
    let statements = line.with_file_name("statements");
    fs::create_dir_all(statements.join(format!("{}.statement", "11".repeat(32)))).unwrap();
    drop(store);
    for without_index in [false, true] {
        drop(SegmentStore::open(dir.path()).unwrap());
        if without_index {
            fs::remove_file(dir.path().join("index.redb")).unwrap();
        }
        let store = SegmentStore::open(dir.path()).unwrap();
        assert_eq!(store.lines(&archive), before, "{without_index}");
        assert!(store.statements(&archive).unwrap().is_empty());
    }
}

#[test]
fn a_foreign_device_cannot_continue_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let first = segment(2, begin(2, 1), &[], 0);
    store.put(&first).unwrap();
    let foreign = segment(3, Position::after(&first.head()), &[], 0);
    assert!(matches!(store.put(&foreign), Err(PutSegmentError::Contradiction)));
}

#[test]
fn statements_are_kept_and_damaged_ones_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let archive = archive_keys();
    let make = |node: u8| {
        let statement = Statement::Mirror {
            node: nuthatch_format::NodeId::from_bytes([node; 32]),
        };
        SignedStatement::by_archive(statement, &archive.signing, Timestamp(1)).unwrap()
    };
    let (a, b) = (make(1), make(2));
    assert!(store.put_statement(&a).unwrap());
    assert!(!store.put_statement(&a).unwrap());
    assert!(store.put_statement(&b).unwrap());
    assert_eq!(store.statements(&archive.archive_id()).unwrap().len(), 2);
    assert_eq!(store.known_archives().unwrap(), [archive.archive_id()]);
    let dir = store
        .root
        .join(archive.archive_id().to_string())
        .join("statements");
    let path = dir.join(format!("{}.statement", a.id()));
    for damage in [&b""[..], b"x", &vec![0; 200_000], b.bytes()] {
        fs::write(&path, damage).unwrap();
        let left = store.statements(&archive.archive_id()).unwrap();
        assert_eq!(left.iter().map(SignedStatement::id).collect::<Vec<_>>(), [b.id()]);
    }
    assert!(store.put_statement(&a).unwrap());
    assert_eq!(store.statements(&archive.archive_id()).unwrap().len(), 2);
}
