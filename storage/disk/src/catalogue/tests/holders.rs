//! What is known of who holds what: pending packs, evidence, inventories.

use nuthatch_format::LabelId;

use super::*;

#[test]
fn a_pack_is_pending_until_its_newest_stripe_is_held_whole() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    let pending = || -> Vec<u64> {
        let page = catalogue.pending_page(None, 10).unwrap();
        page.iter().map(|facts| facts.number.0).collect()
    };
    // A holder that is known before the journal is.
    catalogue
        .add_holder(shard(&example.label, 0), &node(1), Timestamp(1))
        .unwrap();
    assert_eq!(pending(), Vec::<u64>::new());
    apply(&catalogue, &example.segments);
    assert_eq!(pending(), [0, 1]);
    catalogue
        .add_holder(shard(&example.label, 1), &node(2), Timestamp(2))
        .unwrap();
    // Twice the same shard is not two shards; nor is one that the stripe does not have.
    catalogue
        .add_holder(shard(&example.label, 1), &node(3), Timestamp(2))
        .unwrap();
    catalogue
        .add_holder(shard(&example.label, 9), &node(3), Timestamp(2))
        .unwrap();
    assert_eq!(pending(), [0, 1]);
    assert_eq!(
        catalogue.pack_facts(PackNumber(0)).unwrap().unwrap().stripes[0].missing_count(),
        1
    );
    catalogue
        .add_holder(shard(&example.label, 2), &node(3), Timestamp(2))
        .unwrap();
    assert_eq!(pending(), [1]);
    assert_eq!(catalogue.pending_page(Some(PackNumber(1)), 10).unwrap(), []);
    catalogue
        .remove_holder(shard(&example.label, 0), &node(1))
        .unwrap();
    assert_eq!(pending(), [0, 1]);
    catalogue
        .add_holder(shard(&example.label, 0), &node(1), Timestamp(3))
        .unwrap();
    assert_eq!(pending(), [1]);
    // A newer label begins from nothing.
    let newer = stripe_of(&example.packs[0], Scheme::new(1, 0).unwrap(), 2);
    let third = segment(
        2,
        Position::after(&example.segments[1].head()),
        &[stripe_added(&newer)],
        3,
    );
    apply(&catalogue, &[third]);
    assert_eq!(pending(), [0, 1]);
    let stripes = catalogue.pack_facts(PackNumber(0)).unwrap().unwrap().stripes;
    assert_eq!(
        stripes.iter().map(|facts| facts.label).collect::<Vec<_>>(),
        [example.label.id(), newer.id()]
    );
    catalogue
        .add_holder(shard(&newer, 0), &node(1), Timestamp(3))
        .unwrap();
    assert_eq!(pending(), [1]);
}

#[test]
fn a_stripe_of_one_device_hides_nothing_of_anothers() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    apply(&catalogue, &example.segments);
    let pending = || catalogue.pending_page(None, 10).unwrap().len();
    let strange = stripe_by(3, &example.packs[0], Scheme::new(1, 0).unwrap(), 7);
    apply(
        &catalogue,
        &[segment(3, begin(3, 1), &[stripe_added(&strange)], 3)],
    );
    catalogue
        .add_holder(shard(&strange, 0), &node(1), Timestamp(3))
        .unwrap();
    assert_eq!(pending(), 2);
    let stripes = catalogue.pack_facts(PackNumber(0)).unwrap().unwrap().stripes;
    assert_eq!(
        stripes.iter().map(|facts| facts.device).collect::<Vec<_>>(),
        [device(2).id(), device(3).id()]
    );
    for index in 0..3 {
        catalogue
            .add_holder(shard(&example.label, index), &node(1), Timestamp(3))
            .unwrap();
    }
    assert_eq!(pending(), 1);
}

#[test]
fn a_label_counts_only_in_the_journal_of_its_own_device() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    let stolen = segment(3, begin(3, 1), &[stripe_added(&example.label)], 0);
    apply(&catalogue, &[stolen]);
    assert_eq!(catalogue.stripe(&example.label.id()).unwrap(), None);
    apply(&catalogue, &example.segments);
    let stripe = catalogue.stripe(&example.label.id()).unwrap().unwrap();
    assert_eq!(
        (stripe.device, stripe.line),
        (device(2).id(), example.segments[0].head().line)
    );
}

#[test]
fn of_shards_that_no_stripe_has_nothing_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    apply(&catalogue, &example.segments);
    let strange = HeldShard {
        label: LabelId::from_bytes([9; 32]),
        index: ShardIndex(0),
    };
    let shown = [
        shard(&example.label, 0),
        strange,
        shard(&example.label, 2),
        shard(&example.label, 3),
    ];
    assert_eq!(catalogue.known_shards(&shown).unwrap(), [shown[0], shown[2]]);
}

#[test]
fn holders_known_before_their_stripe_count_once_it_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    for index in [0, 1, 2, 3, u8::MAX] {
        let held = [shard(&example.label, index)];
        let prefix = held[0].label.as_bytes()[0];
        let host = node(index.saturating_add(1));
        catalogue
            .replace_holdings(&host, prefix, &held, Timestamp(5))
            .unwrap();
    }
    apply(&catalogue, &example.segments);
    let pending: Vec<_> = catalogue
        .pending_page(None, 100)
        .unwrap()
        .into_iter()
        .map(|facts| facts.id)
        .collect();
    assert_eq!(pending, [example.packs[1].id]);
    let number = catalogue.pack_numbers(&example.packs[0].id).unwrap()[0];
    let facts = catalogue.pack_facts(number).unwrap().unwrap();
    let held: Vec<_> = facts.stripes[0]
        .holders
        .iter()
        .map(|holder| holder.index.0)
        .collect();
    assert_eq!(held, [0, 1, 2], "an index beyond the shape is none");
}

#[test]
fn evidence_is_the_newer_of_receipt_and_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    apply(&catalogue, &example.segments);
    let evidence = |number| {
        let holders = catalogue.holders(&example.label.id()).unwrap();
        holders
            .iter()
            .find(|holder| holder.node == node(number))
            .map(|holder| holder.evidence_at.0)
    };
    catalogue
        .add_holder(shard(&example.label, 0), &node(1), Timestamp(10))
        .unwrap();
    catalogue
        .add_holder(shard(&example.label, 0), &node(1), Timestamp(8))
        .unwrap();
    assert_eq!(evidence(1), Some(10));
    catalogue.set_inventory(&node(1), Timestamp(20)).unwrap();
    catalogue.set_inventory(&node(1), Timestamp(15)).unwrap();
    assert_eq!(evidence(1), Some(20));
    assert_eq!(
        catalogue.inventory_confirmed_at(&node(1)).unwrap(),
        Some(Timestamp(20))
    );
    assert_eq!(evidence(2), None);
    let line = example.segments[0].head().line;
    catalogue
        .add_journal_host(&line, &node(1), 4, Timestamp(9))
        .unwrap();
    catalogue
        .add_journal_host(&line, &node(1), 3, Timestamp(12))
        .unwrap();
    let expected = JournalHost {
        node: node(1),
        sequence: 4,
        receipt_at: Timestamp(9),
    };
    assert_eq!(catalogue.journal_hosts(&line).unwrap(), [expected]);
    catalogue.remove_journal_host(&line, &node(1)).unwrap();
    assert_eq!(catalogue.journal_hosts(&line).unwrap(), []);
}

#[test]
fn what_an_audit_has_disproven_is_brought_back_by_a_receipt_and_by_no_claim() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let example = example();
    apply(&catalogue, &example.segments);
    let (lost, kept) = (shard(&example.label, 0), shard(&example.label, 1));
    for index in 0..3 {
        catalogue
            .add_holder(shard(&example.label, index), &node(1), Timestamp(1))
            .unwrap();
    }
    let pending = |catalogue: &Catalogue| catalogue.pending_page(None, 10).unwrap().len();
    assert_eq!(pending(&catalogue), 1);
    let book = AuditBook {
        data_after: Some(kept),
        sweep_left: Some(7),
        open: vec![OpenChallenge {
            shard: kept,
            group: 3,
        }],
        ..AuditBook::default()
    };
    catalogue
        .set_audit_book(&node(1), &book, &BTreeSet::from([lost]), Timestamp(5))
        .unwrap();
    assert_eq!(pending(&catalogue), 2, "its pack lacks a holder again");
    assert_eq!(catalogue.audit_book(&node(1)).unwrap(), book);
    assert_eq!(catalogue.audit_book(&node(2)).unwrap(), AuditBook::default());
    let held = |catalogue: &Catalogue| {
        let mut held = Vec::new();
        catalogue
            .each_held(&node(1), |shard, _| held.push(shard.index.0))
            .unwrap();
        held
    };
    assert_eq!(held(&catalogue), [1, 2]);
    let prefix = example.label.id().as_bytes()[0];
    catalogue
        .replace_holdings(&node(1), prefix, &[lost, kept], Timestamp(9))
        .unwrap();
    assert_eq!(held(&catalogue), [1]);
    assert!(
        catalogue.is_disproven(lost, &node(1)).unwrap() && !catalogue.is_held_by(lost, &node(1)).unwrap()
    );
    assert!(
        !catalogue.is_disproven(lost, &node(2)).unwrap(),
        "another host is not concerned"
    );
    catalogue.add_holder(lost, &node(1), Timestamp(10)).unwrap();
    assert_eq!(held(&catalogue), [0, 1]);
    assert!(!catalogue.is_disproven(lost, &node(1)).unwrap());
}

#[test]
fn an_inventory_replaces_what_was_thought_of_its_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let held = |label: [u8; 2], index| {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&label);
        HeldShard {
            label: LabelId::from_bytes(bytes),
            index: ShardIndex(index),
        }
    };
    let (a, b, c, other) = (held([7, 1], 0), held([7, 1], 1), held([7, 2], 0), held([8, 0], 0));
    for shard in [a, b, other] {
        catalogue.add_holder(shard, &node(1), Timestamp(5)).unwrap();
    }
    catalogue.add_holder(a, &node(2), Timestamp(5)).unwrap();
    catalogue
        .replace_holdings(&node(1), 7, &[c, b, other], Timestamp(9))
        .unwrap();
    assert_eq!(catalogue.holdings_of(&node(1), 7, None, 10).unwrap(), [b, c]);
    assert_eq!(catalogue.holdings_of(&node(1), 7, Some(b), 10).unwrap(), [c]);
    assert_eq!(catalogue.holdings_of(&node(1), 7, Some(other), 10).unwrap(), []);
    assert_eq!(catalogue.holdings_of(&node(1), 7, None, 1).unwrap(), [b]);
    assert_eq!(catalogue.holdings_of(&node(1), 8, None, 10).unwrap(), [other]);
    assert_eq!(catalogue.holdings_of(&node(2), 7, None, 10).unwrap(), [a]);
    let times = |shard: HeldShard| -> Vec<(NodeId, u64)> {
        let holders = catalogue.holders(&shard.label).unwrap();
        let of_index = holders.iter().filter(|holder| holder.index == shard.index);
        of_index
            .map(|holder| (holder.node, holder.evidence_at.0))
            .collect()
    };
    assert_eq!(
        (times(a), times(b), times(c)),
        (vec![(node(2), 5)], vec![(node(1), 5)], vec![(node(1), 9)])
    );
}

#[test]
fn labels_alone_give_packs_stripes_and_holders_and_the_later_label_is_the_newer() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = open(&dir);
    let pack = pack(&[b"one"]);
    let older = stripe_of(&pack, scheme(), 1);
    let newer = stripe_of(&pack, Scheme::new(1, 1).unwrap(), 2);
    let placed = |label: &SignedLabel, sequence| PlacedLabel {
        label: label.clone(),
        line: LineId::from_bytes([1; LineId::LEN]),
        sequence,
    };
    let ids = [older.id(), newer.id()];
    assert_eq!(catalogue.unknown_labels(&ids).unwrap(), ids);
    // Inventories of hosts show them in any order.
    assert_eq!(catalogue.add_labels(&[placed(&newer, 7)]).unwrap(), 1);
    assert_eq!(
        catalogue
            .add_labels(&[placed(&older, 3), placed(&newer, 7)])
            .unwrap(),
        1
    );
    assert_eq!(catalogue.unknown_labels(&ids).unwrap(), []);
    catalogue
        .add_holder(shard(&older, 0), &node(1), Timestamp(1))
        .unwrap();
    let page = catalogue.packs_page(None, 10).unwrap();
    assert_eq!(page.len(), 1, "one pack");
    assert_eq!(page[0].id, older.label().pack);
    assert_eq!(page[0].len.0, older.label().pack_len);
    let stripes: Vec<_> = page[0].stripes.iter().map(|stripe| stripe.label).collect();
    assert_eq!(stripes, ids);
    assert_eq!(page[0].stripes[0].holders.len(), 1);
    let kept = catalogue.stripe(&newer.id()).unwrap().unwrap();
    assert_eq!(kept.signed_label().unwrap(), newer);
}
