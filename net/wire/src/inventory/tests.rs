use std::collections::BTreeSet;

use nuthatch_format::signed::KeyPair;
use proptest::prelude::*;

use super::*;

fn holding(first: u8, rest: u8, index: u8) -> Holding {
    let mut label = [rest; 32];
    label[0] = first;
    Holding {
        label: LabelId::from_bytes(label),
        index: ShardIndex(index),
    }
}

fn holdings() -> impl Strategy<Value = BTreeSet<Holding>> {
    proptest::collection::btree_set(
        (0u8..6, any::<u8>(), 0u8..4).prop_map(|(a, b, c)| holding(a, b, c)),
        0..60,
    )
}

/// The digests by definition: for each prefix, hash the sorted holdings in one go.
fn slow_root(holdings: &BTreeSet<Holding>) -> Digest {
    let mut all = Vec::new();
    for prefix in 0..=255 {
        let mut bytes = Vec::new();
        for holding in holdings.iter().filter(|holding| holding.prefix() == prefix) {
            bytes.extend_from_slice(holding.label.as_bytes());
            bytes.push(holding.index.0);
        }
        all.extend_from_slice(&blake3::derive_key("nuthatch v1 inventory prefix", &bytes));
    }
    Digest(blake3::derive_key("nuthatch v1 inventory root", &all))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn digests_are_what_their_definition_says(held in holdings()) {
        let digests = InventoryDigests::of(held.iter().copied()).unwrap();
        prop_assert_eq!(digests.count(), held.len() as u64);
        prop_assert_eq!(digests.table().root(), slow_root(&held));
    }

    #[test]
    fn exactly_the_prefixes_with_a_difference_differ(ours in holdings(), theirs in holdings()) {
        let (a, b) = (InventoryDigests::of(ours.iter().copied()).unwrap().table(), InventoryDigests::of(theirs.iter().copied()).unwrap().table());
        let expected: BTreeSet<u8> = ours.symmetric_difference(&theirs).map(Holding::prefix).collect();
        prop_assert_eq!(a.differing(&b), expected.into_iter().collect::<Vec<_>>());
        for prefix in 0..6 {
            let listed: Vec<Holding> = theirs.iter().copied().filter(|holding| holding.prefix() == prefix).collect();
            prop_assert!(b.is_of(prefix, &listed));
            prop_assert_eq!(a.is_of(prefix, &listed), !a.differing(&b).contains(&prefix));
        }
    }
}

#[test]
fn holdings_out_of_order_are_refused() {
    assert!(InventoryDigests::of([holding(2, 0, 0), holding(1, 0, 0)]).is_err());
    assert!(InventoryDigests::of([holding(2, 0, 0), holding(2, 0, 0)]).is_err());
}

fn reply(request: &InventoryRequest, key: &KeyPair) -> InventoryReply {
    let digests = InventoryDigests::of([holding(1, 1, 1)]).unwrap();
    let root = InventoryRoot {
        archive: request.archive,
        host: NodeId::from_bytes(key.public()),
        nonce: request.nonce,
        root: digests.table().root(),
        count: digests.count(),
        bytes: ByteCount(9),
        at: Timestamp(1),
    };
    InventoryReply {
        root: Attestation::sign(&root, key).unwrap(),
        table: digests.table(),
    }
}

#[test]
fn an_inventory_counts_only_for_its_question_its_host_and_its_digests() {
    let key = KeyPair::from_seed(&[1; 32]);
    let host = NodeId::from_bytes(key.public());
    let request = InventoryRequest {
        archive: ArchiveId::from_bytes([1; 32]),
        nonce: Nonce([2; 32]),
    };
    let good = reply(&request, &key);
    assert_eq!(good.verify(&request, &host).map(|root| root.count), Ok(1));

    let later = InventoryRequest {
        nonce: Nonce([3; 32]),
        ..request.clone()
    };
    assert_eq!(good.verify(&later, &host), Err(InventoryError::OtherQuestion));
    let elsewhere = NodeId::from_bytes([9; 32]);
    assert_eq!(
        good.verify(&request, &elsewhere),
        Err(InventoryError::OtherQuestion)
    );
    let swapped = InventoryReply {
        table: InventoryDigests::of([]).unwrap().table(),
        ..good
    };
    assert_eq!(swapped.verify(&request, &host), Err(InventoryError::OtherDigests));
}

#[test]
fn a_page_moves_on_within_its_prefix() {
    let request = |after| InventoryPageRequest {
        archive: ArchiveId::from_bytes([1; 32]),
        prefix: 1,
        after,
    };
    let page = |holdings: Vec<Holding>, complete| InventoryPage {
        holdings: List::new(holdings).unwrap(),
        complete,
    };
    let (one, two) = (holding(1, 1, 0), holding(1, 1, 1));
    assert!(page(vec![one, two], false).check(&request(None)).is_ok());
    assert!(page(vec![two], true).check(&request(Some(one))).is_ok());
    assert!(page(vec![], true).check(&request(Some(two))).is_ok());
    assert!(page(vec![], false).check(&request(Some(two))).is_err());
    assert!(page(vec![one], true).check(&request(Some(one))).is_err());
    assert!(page(vec![two, one], true).check(&request(None)).is_err());
    assert!(page(vec![holding(2, 1, 1)], true).check(&request(None)).is_err());
}
