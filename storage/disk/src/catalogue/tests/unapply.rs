//! What a revoked device claimed is taken back, and nothing else.

use super::*;

/// Applies segments of another device that claim a pack and a chunk of the example too, a label, and the example's snapshot.
fn thief(example: &Example) -> Vec<SignedSegment> {
    let own = pack(&[b"three", b"four"]);
    let begin = begin(3, 1);
    let label = stripe_by(3, &example.packs[0], scheme(), 7);
    let first = segment(
        3,
        begin,
        &[pack_added(&example.packs[0]), stripe_added(&label)],
        0,
    );
    let (_, snapshot) = snapshot_added(9, None, &set(begin.line(), &[0]));
    let (_, other) = snapshot_added(8, None, &set(begin.line(), &[0, 1]));
    let after = Position::after(&first.head());
    let second = segment(3, after, &[pack_added(&own), snapshot, other], 1);
    vec![first, second]
}

fn unapply(catalogue: &Catalogue, segments: &[SignedSegment], end: Option<&SignedSegment>) -> usize {
    let opened: Vec<_> = segments
        .iter()
        .map(|one| (one.head(), one.open(&keys()).unwrap()))
        .collect();
    let parts: Vec<_> = opened
        .iter()
        .map(|(head, opened)| JournalSegment { head, opened })
        .collect();
    let end = end.map(SignedSegment::head);
    catalogue
        .unapply(&parts[0].head.line, &parts, end.as_ref())
        .unwrap()
}

fn apply_again(catalogue: &Catalogue, segments: &[SignedSegment]) {
    for one in segments {
        let (head, opened) = (one.head(), one.open(&keys()).unwrap());
        let part = JournalSegment {
            head: &head,
            opened: &opened,
        };
        catalogue.apply_again(&[part]).unwrap();
    }
}

#[test]
fn what_is_taken_back_was_never_there() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    apply(&catalogue, &example.segments);
    let before = facts(&catalogue, &example);
    let thief = thief(&example);
    apply(&catalogue, &thief);
    assert_ne!(facts(&catalogue, &example), before);
    assert_eq!(unapply(&catalogue, &thief, None), 2);
    assert_eq!(unapply(&catalogue, &thief, None), 0);
    assert_eq!(facts(&catalogue, &example), before);
    assert_eq!(catalogue.applied_count().unwrap(), 2);
    // It may be applied once more.
    assert_eq!(apply(&catalogue, &thief), 2);
}

#[test]
fn what_two_devices_claimed_stays_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    let thief = thief(&example);
    apply(&catalogue, &thief);
    apply(&catalogue, &example.segments);
    assert_eq!(unapply(&catalogue, &thief, None), 2);
    apply_again(&catalogue, &example.segments);
    let snapshots = catalogue.snapshots().unwrap();
    let of: Vec<_> = snapshots
        .iter()
        .map(|snapshot| (snapshot.id, snapshot.device))
        .collect();
    assert_eq!(of, [(example.snapshot, device(2).id())]);
    let numbers = catalogue.pack_numbers(&example.packs[0].id).unwrap();
    assert_eq!(numbers.len(), 1);
    let pending: Vec<_> = catalogue
        .pending_page(None, 10)
        .unwrap()
        .iter()
        .map(|facts| facts.number)
        .collect();
    assert_eq!(pending.len(), 2, "under the number that is left");
    assert!(pending.contains(&numbers[0]));
}

#[test]
fn the_believed_part_of_a_line_stays() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    let thief = thief(&example);
    apply(&catalogue, &thief);
    assert_eq!(unapply(&catalogue, &thief[1..], Some(&thief[0])), 1);
    assert_eq!(catalogue.applied_heads().unwrap(), [thief[0].head()]);
    assert!(catalogue.contains(&chunk_id(b"one")).unwrap());
    assert!(!catalogue.contains(&chunk_id(b"four")).unwrap());
    assert_eq!(catalogue.snapshots().unwrap(), []);
}
