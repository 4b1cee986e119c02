use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::reference;

fn stripe(scheme: Scheme, pack: &[u8]) -> Vec<Vec<u8>> {
    let mut shards: Vec<Vec<u8>> = (0..scheme.data())
        .map(|index| {
            geometry::data_shard(scheme, pack, ShardIndex(index))
                .unwrap()
                .into_owned()
        })
        .collect();
    shards.extend(coder(scheme).parity_of(pack));
    shards
}

/// A small scheme, a pack and the places of `data` shards that survive.
fn damaged_stripe() -> impl Strategy<Value = (Scheme, Vec<u8>, Vec<usize>)> {
    (1u8..=9, 0u8..=6).prop_flat_map(|(data, parity)| {
        let scheme = Scheme::new(data, parity).unwrap();
        let places: Vec<usize> = (0..usize::from(scheme.total())).collect();
        let survivors = subsequence(places, usize::from(data));
        (
            Just(scheme),
            proptest::collection::vec(any::<u8>(), 1..300),
            survivors,
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parity_is_what_the_slow_reference_computes((scheme, pack, _) in damaged_stripe()) {
        prop_assert_eq!(coder(scheme).parity_of(&pack), reference::parity_of(scheme, &pack));
    }

    #[test]
    fn any_data_many_shards_give_all_of_them_back((scheme, pack, survivors) in damaged_stripe()) {
        let whole = stripe(scheme, &pack);
        let mut shards: Vec<Option<Vec<u8>>> = vec![None; whole.len()];
        for &place in &survivors {
            shards[place] = Some(whole[place].clone());
        }
        let mut data_only = shards.clone();

        coder(scheme).reconstruct(&mut shards).unwrap();
        prop_assert_eq!(shards.into_iter().flatten().collect::<Vec<_>>(), whole.clone());

        coder(scheme).reconstruct_data(&mut data_only).unwrap();
        let data: Vec<Vec<u8>> = data_only.into_iter().take(usize::from(scheme.data())).flatten().collect();
        prop_assert_eq!(&data[..], &whole[..usize::from(scheme.data())]);
        let survived: Vec<(usize, &[u8])> = survivors.iter().map(|&place| (place, whole[place].as_slice())).collect();
        prop_assert_eq!(data, reference::decode(scheme, &survived));
    }

    #[test]
    fn one_shard_or_a_range_of_it_is_rebuilt_from_any_others((scheme, pack, survivors) in damaged_stripe()) {
        let whole = stripe(scheme, &pack);
        let half = whole[0].len() / 2;
        for want in scheme.indices() {
            let expected = &whole[usize::from(want.0)];
            let have: Vec<(ShardIndex, &[u8])> = survivors
                .iter()
                .map(|&place| (ShardIndex(place as u8), whole[place].as_slice()))
                .collect();
            prop_assert_eq!(&coder(scheme).rebuild(&have, want).unwrap(), expected);
            let ranges: Vec<(ShardIndex, &[u8])> = have.iter().map(|(index, shard)| (*index, &shard[half..])).collect();
            prop_assert_eq!(&coder(scheme).rebuild(&ranges, want).unwrap()[..], &expected[half..]);
        }
    }
}

#[test]
fn the_widest_scheme_loses_all_that_it_may() {
    let scheme = Scheme::new(128, 127).unwrap();
    let pack: Vec<u8> = (0..1000u32).map(|number| (number * 7) as u8).collect();
    let whole = stripe(scheme, &pack);
    let mut shards: Vec<Option<Vec<u8>>> = whole.iter().cloned().map(Some).collect();
    for shard in shards.iter_mut().take(127) {
        *shard = None;
    }
    coder(scheme).reconstruct(&mut shards).unwrap();
    assert_eq!(shards.into_iter().flatten().collect::<Vec<_>>(), whole);
}

#[test]
fn one_data_shard_makes_every_parity_shard_a_copy() {
    let scheme = Scheme::new(1, 3).unwrap();
    assert_eq!(
        coder(scheme).parity_of(b"nuthatch"),
        vec![b"nuthatch".to_vec(); 3]
    );
}

#[test]
fn without_parity_there_is_nothing_to_compute() {
    let scheme = Scheme::new(2, 0).unwrap();
    assert_eq!(coder(scheme).parity_of(b"seed"), Vec::<Vec<u8>>::new());
    let mut whole = vec![Some(vec![1]), Some(vec![2])];
    assert_eq!(coder(scheme).reconstruct(&mut whole), Ok(()));
    let mut half = vec![Some(vec![1]), None];
    assert_eq!(
        coder(scheme).reconstruct(&mut half),
        Err(ReconstructError::TooFew {
            needed: 2,
            present: 1
        })
    );
}

#[test]
fn shards_that_are_no_stripe_are_refused_and_left_alone() {
    let coder = coder(Scheme::new(2, 1).unwrap());
    let mut short = vec![Some(vec![1]), None];
    assert_eq!(
        coder.reconstruct(&mut short),
        Err(ReconstructError::WrongCount {
            expected: 3,
            found: 2
        })
    );
    let mut few = vec![Some(vec![1]), None, None];
    assert_eq!(
        coder.reconstruct(&mut few),
        Err(ReconstructError::TooFew {
            needed: 2,
            present: 1
        })
    );
    let mut uneven = vec![Some(vec![1]), Some(vec![1, 2]), None];
    assert_eq!(
        coder.reconstruct(&mut uneven),
        Err(ReconstructError::UnequalLengths {
            expected: 1,
            found: 2
        })
    );
    assert_eq!(uneven[2], None);
    let mut empty = vec![Some(vec![]), Some(vec![]), None];
    assert_eq!(coder.reconstruct(&mut empty), Err(ReconstructError::Empty));
}

#[test]
fn rebuilding_says_what_is_wrong_with_its_sources() {
    let coder = coder(Scheme::new(2, 2).unwrap());
    let (zero, want) = (ShardIndex(0), ShardIndex(2));
    assert_eq!(
        coder.rebuild(&[], want),
        Err(ReconstructError::TooFew {
            needed: 2,
            present: 0
        })
    );
    assert_eq!(
        coder.rebuild(&[(zero, b"a"), (zero, b"a")], want),
        Err(ReconstructError::TooFew {
            needed: 2,
            present: 1
        })
    );
    assert_eq!(
        coder.rebuild(&[(zero, b"a"), (ShardIndex(1), b"ab")], want),
        Err(ReconstructError::UnequalLengths {
            expected: 1,
            found: 2
        })
    );
    for wrong in [
        coder.rebuild(&[(ShardIndex(4), b"a")], want),
        coder.rebuild(&[(zero, b"a")], ShardIndex(4)),
    ] {
        assert_eq!(
            wrong,
            Err(ReconstructError::NoSuchShard {
                index: ShardIndex(4),
                total: 4
            })
        );
    }
    assert_eq!(
        coder.rebuild(&[(zero, b""), (ShardIndex(1), b"")], want),
        Err(ReconstructError::Empty)
    );
}

#[test]
fn coders_are_shared_and_the_least_recently_used_makes_room() {
    let mut coders = Coders(Vec::new());
    let (often, once) = (Scheme::new(5, 2).unwrap(), Scheme::new(5, 3).unwrap());
    let (kept, dropped) = (coders.get(often), coders.get(once));
    for data in 1..=(CODERS_MAX as u8) {
        coders.get(Scheme::new(data, 1).unwrap());
        assert!(Arc::ptr_eq(&kept, &coders.get(often)));
        assert!(coders.0.len() <= CODERS_MAX);
    }
    assert!(!Arc::ptr_eq(&dropped, &coders.get(once)));
}
