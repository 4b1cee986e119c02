mod holders;
mod unapply;

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::journal::{Entry, Position, SignedSegment};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::seal::SealedPack;
use nuthatch_format::snapshot::PackRun;
use nuthatch_format::{ChunkId, LineId, NodeId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::fixtures::{
    begin, chunk_id, device, keys, pack, pack_added, segment, snapshot_added, stripe_added, stripe_by,
    stripe_of,
};

fn open(dir: &tempfile::TempDir) -> Catalogue {
    Catalogue::open(&dir.path().join("catalogue.redb")).unwrap().0
}

fn apply(catalogue: &Catalogue, segments: &[SignedSegment]) -> usize {
    let opened: Vec<_> = segments
        .iter()
        .map(|one| (one.head(), one.open(&keys()).unwrap()))
        .collect();
    let parts: Vec<_> = opened
        .iter()
        .map(|(head, opened)| JournalSegment { head, opened })
        .collect();
    catalogue.apply(&parts).unwrap()
}

fn scheme() -> Scheme {
    Scheme::new(2, 1).unwrap()
}

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn shard(label: &SignedLabel, index: u8) -> HeldShard {
    HeldShard {
        label: label.id(),
        index: ShardIndex(index),
    }
}

fn set(line: LineId, ordinals: &[u64]) -> PackSet {
    let mut set = PackSet::new();
    for ordinal in ordinals {
        set.insert(line, *ordinal);
    }
    set
}

/// Two packs that share a chunk, one of them coded, and a snapshot of both.
struct Example {
    packs: [SealedPack; 2],
    label: SignedLabel,
    snapshot: SnapshotId,
    segments: Vec<SignedSegment>,
}

fn example() -> Example {
    let packs = [pack(&[b"one", b"two"]), pack(&[b"two", b"three"])];
    let label = stripe_of(&packs[0], scheme(), 1);
    let position = begin(2, 1);
    let first = segment(
        2,
        position,
        &[pack_added(&packs[0]), stripe_added(&label), pack_added(&packs[1])],
        0,
    );
    let (snapshot, entry) = snapshot_added(9, None, &set(position.line(), &[0, 1]));
    let second = segment(2, Position::after(&first.head()), &[entry], 1);
    Example {
        packs,
        label,
        snapshot,
        segments: vec![first, second],
    }
}

/// Everything that the catalogue says about an example.
#[derive(Debug, PartialEq)]
struct Facts {
    places: Vec<Vec<ChunkPlace>>,
    packs: Vec<PackFacts>,
    records: Vec<Option<PackRecord>>,
    pending: Vec<PackFacts>,
    snapshots: Vec<SnapshotSummary>,
    needed: PackSet,
    heads: Vec<nuthatch_format::journal::LineHead>,
}

fn facts(catalogue: &Catalogue, example: &Example) -> Facts {
    let chunks = [&b"one"[..], b"two", b"three", b"four"].map(chunk_id);
    let packs = catalogue.packs_page(None, 100).unwrap();
    Facts {
        places: chunks.map(|chunk| catalogue.lookup(&chunk).unwrap()).to_vec(),
        records: packs
            .iter()
            .map(|facts| catalogue.pack(facts.number).unwrap())
            .collect(),
        packs,
        pending: catalogue.pending_page(None, 100).unwrap(),
        snapshots: catalogue.snapshots().unwrap(),
        needed: catalogue.packs_needed(&example.snapshot).unwrap(),
        heads: catalogue.applied_heads().unwrap(),
    }
}

#[test]
fn a_journal_becomes_chunks_packs_stripes_and_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    assert_eq!(apply(&catalogue, &example.segments), 2);
    let found = facts(&catalogue, &example);
    let counts: Vec<_> = found.places.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 1, 0]);
    assert_eq!((found.places[1][0].offset, found.places[1][0].len), (3, 3));
    assert_eq!((found.places[1][1].offset, found.places[1][1].len), (0, 3));
    assert!(catalogue.contains(&chunk_id(b"one")).unwrap());
    assert!(!catalogue.contains(&chunk_id(b"four")).unwrap());
    let record = catalogue.pack(found.places[0][0].pack).unwrap().unwrap();
    assert_eq!((record.id, record.ordinal), (example.packs[0].id, 0));
    assert_eq!(record.header, example.packs[0].header.as_bytes());
    assert_eq!(
        record.directory,
        nuthatch_format::codec::encode(&example.packs[0].directory)
    );
    assert_eq!(
        catalogue.pack_numbers(&example.packs[1].id).unwrap(),
        [PackNumber(1)]
    );
    let stripe = catalogue.stripe(&example.label.id()).unwrap().unwrap();
    assert_eq!(stripe.signed_label().unwrap(), example.label);
    assert_eq!(
        (stripe.pack, stripe.scheme, stripe.sequence),
        (example.packs[0].id, scheme(), 0)
    );
    assert_eq!(catalogue.stripes_of(&example.packs[0].id).unwrap(), [stripe]);
    assert_eq!(catalogue.stripes_of(&example.packs[1].id).unwrap(), []);
    let snapshot = catalogue.snapshot(&example.snapshot).unwrap().unwrap();
    assert_eq!(snapshot.sealed, vec![9; 100]);
    assert_eq!(snapshot.summary, found.snapshots[0]);
    assert_eq!(found.snapshots[0].segment, example.segments[1].id());
    assert_eq!(found.heads, [example.segments[1].head()]);
    let page = catalogue.packs_in(&found.needed, None, 10).unwrap();
    assert_eq!(
        (page.packs, page.unknown_count, page.next),
        (vec![PackNumber(0), PackNumber(1)], 0, None)
    );
}

#[test]
fn applying_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    apply(&catalogue, &example.segments);
    let before = facts(&catalogue, &example);
    assert_eq!(apply(&catalogue, &example.segments), 0);
    let first = &example.segments[0];
    assert!(
        !catalogue
            .apply_segment(&first.head(), &first.open(&keys()).unwrap())
            .unwrap()
    );
    assert!(catalogue.is_applied(&first.id()).unwrap());
    assert_eq!(facts(&catalogue, &example), before);
}

#[test]
fn cleared_and_applied_again_it_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    let fill = |catalogue: &Catalogue| {
        apply(catalogue, &example.segments);
        for index in 0..3 {
            catalogue
                .add_holder(shard(&example.label, index), &node(index), Timestamp(5))
                .unwrap();
        }
        catalogue.set_inventory(&node(1), Timestamp(7)).unwrap();
        catalogue
            .add_journal_host(&example.segments[0].head().line, &node(1), 1, Timestamp(6))
            .unwrap();
    };
    fill(&catalogue);
    let before = facts(&catalogue, &example);
    catalogue.clear().unwrap();
    assert_eq!(catalogue.packs_page(None, 10).unwrap(), []);
    assert_eq!(catalogue.snapshots().unwrap(), []);
    assert!(!catalogue.is_applied(&example.segments[0].id()).unwrap());
    assert_eq!(catalogue.inventory_confirmed_at(&node(1)).unwrap(), None);
    fill(&catalogue);
    assert_eq!(facts(&catalogue, &example), before);
    drop(catalogue);
    // The same after reopening, and after the file was damaged.
    let path = dir.path().join("catalogue.redb");
    let (catalogue, found) = Catalogue::open(&path).unwrap();
    assert_eq!(
        (found, facts(&catalogue, &example) == before),
        (Found::Intact, true)
    );
    drop(catalogue);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(5000);
    std::fs::write(&path, bytes).unwrap();
    let (catalogue, found) = Catalogue::open(&path).unwrap();
    assert_eq!(found, Found::Damage);
    fill(&catalogue);
    assert_eq!(facts(&catalogue, &example), before);
}

#[test]
fn packs_needed_are_resolved_through_parents_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let position = begin(2, 1);
    let line = position.line();
    let packs: Vec<_> = (0..6_u8).map(|number| pack(&[&[number; 10]])).collect();
    let entries: Vec<_> = packs.iter().map(pack_added).collect();
    let first = segment(2, position, &entries, 0);
    let sets = [
        set(line, &[0, 1, 2]),
        set(line, &[1, 2, 4]),
        set(line, &[1, 5, 90, 91]),
    ];
    let (a, entry_a) = snapshot_added(1, None, &sets[0]);
    let (b, entry_b) = snapshot_added(2, Some((a, &sets[0])), &sets[1]);
    let (c, entry_c) = snapshot_added(3, Some((b, &sets[1])), &sets[2]);
    let second = segment(2, Position::after(&first.head()), &[entry_a, entry_b, entry_c], 1);
    apply(&catalogue, &[first, second]);
    for (id, expected) in [
        (c, &sets[2]),
        (a, &sets[0]),
        (b, &sets[1]),
        (c, &sets[2]),
        (c, &sets[2]),
    ] {
        assert_eq!(&catalogue.packs_needed(&id).unwrap(), expected);
    }
    for limit in 1..6 {
        let (mut numbers, mut unknown_count, mut from) = (Vec::new(), 0, None);
        loop {
            let page = catalogue.packs_in(&sets[2], from, limit).unwrap();
            assert!(page.packs.len() <= limit);
            numbers.extend(page.packs);
            unknown_count += page.unknown_count;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(
            (numbers, unknown_count),
            (vec![PackNumber(1), PackNumber(5)], 2),
            "limit {limit}"
        );
    }
    let nobody = SnapshotId::from_bytes([1; 32]);
    assert!(matches!(
        catalogue.packs_needed(&nobody),
        Err(PacksNeededError::Unknown { .. })
    ));
    let (orphan, entry) = snapshot_added(7, Some((nobody, &sets[0])), &sets[1]);
    apply(&catalogue, &[segment(2, begin(2, 9), &[entry], 5)]);
    let answer = catalogue.packs_needed(&orphan);
    assert!(matches!(answer, Err(PacksNeededError::Unknown { snapshot }) if snapshot == nobody));
}

/// A device can name more packs than there can be: what is not there is counted, never gone through.
#[test]
fn a_run_without_end_is_passed_by_arithmetic() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let position = begin(2, 1);
    let packs: Vec<_> = (0..3_u8).map(|number| pack(&[&[number; 10]])).collect();
    let entries: Vec<_> = packs.iter().map(pack_added).collect();
    apply(&catalogue, &[segment(2, position, &entries, 0)]);
    let mut endless = PackSet::new();
    endless.insert_run(PackRun {
        line: position.line(),
        start: 1,
        count: u64::MAX - 1,
    });
    let first = catalogue.packs_in(&endless, None, 1).unwrap();
    assert_eq!(first.packs, [PackNumber(1)]);
    let rest = catalogue.packs_in(&endless, first.next, 10).unwrap();
    assert_eq!(
        (rest.packs, rest.unknown_count, rest.next),
        (vec![PackNumber(2)], u64::MAX - 3, None)
    );
}

#[test]
fn snapshots_in_a_ring_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let line = begin(2, 1).line();
    let needed = set(line, &[0]);
    let (a, _) = snapshot_added(1, None, &needed);
    let (b, entry_b) = snapshot_added(2, Some((a, &needed)), &needed);
    let (_, entry_a) = snapshot_added(1, Some((b, &needed)), &needed);
    apply(&catalogue, &[segment(2, begin(2, 1), &[entry_a, entry_b], 0)]);
    assert!(matches!(
        catalogue.packs_needed(&a),
        Err(PacksNeededError::Ring { .. })
    ));
}

#[test]
fn a_device_forgets_its_own_snapshots_only() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let needed = set(begin(2, 1).line(), &[0]);
    let (mine, entry) = snapshot_added(1, None, &needed);
    let (other, other_entry) = snapshot_added(2, None, &needed);
    let forget = |id| Entry::SnapshotForgotten { id };
    let second = segment(3, begin(3, 1), &[other_entry, forget(mine)], 0);
    let first = segment(2, begin(2, 1), &[forget(mine), entry, forget(other)], 0);
    let ids = |catalogue: &Catalogue| -> Vec<_> {
        catalogue
            .snapshots()
            .unwrap()
            .iter()
            .map(|summary| summary.id)
            .collect()
    };
    apply(&catalogue, std::slice::from_ref(&second));
    assert_eq!(ids(&catalogue), [other]);
    apply(&catalogue, &[first]);
    assert_eq!(ids(&catalogue), [other]);
    assert!(catalogue.snapshot(&mine).unwrap().is_some());
}

#[test]
fn all_claims_of_a_chunk_are_kept_and_retired_packs_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let shared = pack(&[b"one", b"two"]);
    // The same pack by two devices, and a false claim: a directory that is of another pack.
    let false_claim = match (pack_added(&shared), pack_added(&pack(&[b"two", b"xyz"]))) {
        (
            Entry::PackAdded {
                pack,
                kind,
                len,
                header,
                ..
            },
            Entry::PackAdded { directory, .. },
        ) => Entry::PackAdded {
            pack,
            kind,
            len,
            header,
            directory,
        },
        _ => unreachable!(),
    };
    let nonsense = match pack_added(&shared) {
        Entry::PackAdded {
            pack,
            kind,
            len,
            header,
            ..
        } => Entry::PackAdded {
            pack,
            kind,
            len,
            header,
            directory: vec![1, 2, 3],
        },
        _ => unreachable!(),
    };
    let bad_label = Entry::StripeAdded { label: vec![9; 50] };
    let first = segment(2, begin(2, 1), &[pack_added(&shared)], 0);
    let second = segment(
        3,
        begin(3, 1),
        &[pack_added(&shared), false_claim, nonsense, bad_label],
        0,
    );
    apply(&catalogue, &[first.clone(), second]);
    assert_eq!(catalogue.lookup(&chunk_id(b"one")).unwrap().len(), 2);
    let places = catalogue.lookup(&chunk_id(b"two")).unwrap();
    assert_eq!(
        places.iter().map(|place| place.pack.0).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(catalogue.pack_numbers(&shared.id).unwrap().len(), 4);
    assert_eq!(catalogue.pack_count().unwrap(), 4);
    // One pack, so one row on each page.
    assert_eq!(catalogue.packs_page(None, 10).unwrap().len(), 1);
    assert_eq!(catalogue.pending_page(None, 10).unwrap().len(), 1);
    let retire = segment(
        2,
        Position::after(&first.head()),
        &[Entry::PackRetired { pack: shared.id }],
        1,
    );
    apply(&catalogue, std::slice::from_ref(&retire));
    assert!(!catalogue.contains(&chunk_id(b"two")).unwrap());
    assert_eq!(catalogue.lookup_all(&chunk_id(b"two")).unwrap(), places);
    drop(catalogue);
    let catalogue = open(&dir);
    assert!(!catalogue.contains(&chunk_id(b"two")).unwrap());
    let again = segment(2, Position::after(&retire.head()), &[pack_added(&shared)], 2);
    apply(&catalogue, &[again]);
    assert_eq!(catalogue.lookup(&chunk_id(b"two")).unwrap().len(), 4);
}

#[test]
fn both_branches_of_a_fork_count() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let first = segment(2, begin(2, 1), &[], 0);
    let after = Position::after(&first.head());
    let (one, two) = (pack(&[b"one"]), pack(&[b"two"]));
    let branches = [
        segment(2, after, &[pack_added(&one)], 1),
        segment(2, after, &[pack_added(&two)], 2),
    ];
    assert_eq!(apply(&catalogue, &[first]), 1);
    assert_eq!(apply(&catalogue, &branches), 2);
    assert!(catalogue.contains(&chunk_id(b"one")).unwrap());
    assert!(catalogue.contains(&chunk_id(b"two")).unwrap());
    // The ordinal names the packs of both branches: rather one too many than one too few.
    let page = catalogue.packs_in(&set(after.line(), &[0]), None, 10).unwrap();
    assert_eq!((page.packs.len(), page.unknown_count), (2, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The slow twin: every chunk of every directory, in order.
    #[test]
    fn look_ups_agree_with_the_directories(packs in proptest::collection::vec(proptest::collection::vec(1_u8..20, 1..6), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = open(&dir);
        let sealed: Vec<_> = packs
            .iter()
            .map(|chunks| {
                let mut unique = chunks.clone();
                unique.sort_unstable();
                unique.dedup();
                let bytes: Vec<Vec<u8>> = unique.iter().map(|chunk| vec![*chunk; usize::from(*chunk)]).collect();
                let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
                pack(&slices)
            })
            .collect();
        let entries: Vec<_> = sealed.iter().map(pack_added).collect();
        apply(&catalogue, &[segment(2, begin(2, 1), &entries, 0)]);
        let mut expected: std::collections::BTreeMap<ChunkId, Vec<ChunkPlace>> = std::collections::BTreeMap::new();
        for (number, sealed) in (0..).zip(&sealed) {
            for (section, entry) in (0..).zip(&sealed.directory.sections) {
                let mut offset = 0;
                for chunk in &entry.chunks {
                    let place = ChunkPlace { pack: PackNumber(number), section, offset, len: chunk.len };
                    expected.entry(chunk.id).or_default().push(place);
                    offset += chunk.len;
                }
            }
        }
        for (chunk, places) in expected {
            prop_assert_eq!(catalogue.lookup(&chunk).unwrap(), places);
        }
    }
}
