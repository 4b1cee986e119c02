use proptest::prelude::*;

use super::*;

fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// A length with interesting ends, and a range of it.
fn length_and_range() -> impl Strategy<Value = (usize, Range<u64>)> {
    let ends = prop_oneof![
        Just(0_usize),
        Just(1),
        Just(1023),
        Just(1024),
        Just(1025),
        1_usize..16_384
    ];
    (0_usize..40, ends, any::<u64>(), any::<u64>()).prop_map(|(groups, end, from, count)| {
        let len = (groups * GROUP_LEN as usize + end).max(1);
        let total = (len as u64).div_ceil(GROUP_LEN);
        let first = from % total;
        let last = first + 1 + count % (total - first);
        (len, first * GROUP_LEN..(last * GROUP_LEN).min(len as u64))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_is_proven((len, range) in length_and_range(), seed in any::<u8>()) {
        let data = noise(seed, len);
        let outboard = Outboard::of(&data);
        prop_assert_eq!(outboard.root(), ShardId::from_bytes(blake3::hash(&data).into()));
        let slice = make(data.as_slice(), &outboard, range.clone()).unwrap();
        let wanted = &data[range.start as usize..range.end as usize];
        prop_assert_eq!(verify(&outboard.root(), len as u64, range.clone(), &slice), Ok(wanted.to_vec()));
        if wanted.len() as u64 <= SLICE_RANGE {
            prop_assert!(slice.len() <= SLICE_LEN_MAX);
        }
        let kept = Outboard::from_parts(&outboard.root(), len as u64, outboard.as_bytes().to_vec());
        prop_assert_eq!(kept.as_ref(), Ok(&outboard));
        prop_assert_eq!(Outboard::read(data.as_slice(), len as u64).unwrap(), outboard);
    }

    #[test]
    fn strips_of_any_length_give_the_outboard_of_the_whole(
        (len, _) in length_and_range(),
        strips in prop::collection::vec(0_usize..50_000, 1..8),
    ) {
        let data = noise(2, len);
        let mut builder = OutboardBuilder::default();
        let mut rest = data.as_slice();
        for strip in strips {
            let (now, later) = rest.split_at(strip.min(rest.len()));
            builder.update(now);
            rest = later;
        }
        builder.update(rest);
        prop_assert_eq!(builder.finish(), Outboard::of(&data));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused((len, range) in length_and_range(), at in any::<usize>(), bit in 0_u8..8) {
        let data = noise(1, len);
        let outboard = Outboard::of(&data);
        let mut slice = make(data.as_slice(), &outboard, range.clone()).unwrap();
        let at = at % slice.len();
        slice[at] ^= 1 << bit;
        let refused = verify(&outboard.root(), len as u64, range, &slice);
        prop_assert!(matches!(refused, Err(SliceError::Wrong { .. })), "{:?}", refused);
    }

    #[test]
    fn a_slice_that_is_too_short_or_too_long_is_refused((len, range) in length_and_range(), cut in any::<usize>()) {
        let data = noise(1, len);
        let outboard = Outboard::of(&data);
        let mut slice = make(data.as_slice(), &outboard, range.clone()).unwrap();
        let cut = cut % slice.len();
        prop_assert!(verify(&outboard.root(), len as u64, range.clone(), &slice[..cut]).is_err());
        slice.push(0);
        prop_assert_eq!(
            verify(&outboard.root(), len as u64, range, &slice),
            Err(SliceError::TooLong { excess: 1 })
        );
    }

    #[test]
    fn garbage_proves_nothing(slice in proptest::collection::vec(any::<u8>(), 0..300), total_len in 1_u64..1_000_000) {
        let root = ShardId::from_bytes([7; 32]);
        prop_assert!(verify(&root, total_len, 0..total_len, &slice).is_err());
    }

    #[test]
    fn a_damaged_shard_is_found_when_a_slice_is_made((len, range) in length_and_range(), at in any::<u64>()) {
        let mut data = noise(1, len);
        let outboard = Outboard::of(&data);
        let at = range.start + at % (range.end - range.start);
        data[at as usize] ^= 1;
        let offset = at - at % GROUP_LEN;
        let made = make(data.as_slice(), &outboard, range);
        prop_assert!(matches!(made, Err(MakeError::Damaged { offset: found }) if found == offset), "{:?}", made);
    }

    #[test]
    fn a_widened_range_can_be_cut_out(total_len in 1_u64..10_000_000, from in any::<u64>(), count in any::<u64>()) {
        let start = from % total_len;
        let end = start + 1 + count % (total_len - start);
        let wide = widen(total_len, &(start..end));
        prop_assert_eq!(check_range(total_len, &wide), Ok(()));
        prop_assert!(wide.start <= start && wide.end >= end);
        prop_assert!(start - wide.start < GROUP_LEN && wide.end - end < GROUP_LEN);
    }
}

#[test]
fn another_shard_or_another_range_does_not_match() {
    let data = noise(1, 100_000);
    let outboard = Outboard::of(&data);
    let slice = make(data.as_slice(), &outboard, 0..GROUP_LEN).unwrap();
    let wrong = ShardId::from_bytes(*blake3::hash(b"another").as_bytes());
    assert_eq!(
        verify(&wrong, 100_000, 0..GROUP_LEN, &slice),
        Err(SliceError::Wrong { offset: 0 })
    );
    let next = GROUP_LEN..2 * GROUP_LEN;
    assert!(verify(&outboard.root(), 100_000, next, &slice).is_err());
}

#[test]
fn ranges_that_are_no_groups_are_refused() {
    let data = noise(1, 100_000);
    let outboard = Outboard::of(&data);
    for (start, end) in [
        (0, 0),
        (1, GROUP_LEN),
        (0, 1),
        (0, 100_001),
        (0, 131_072),
        (GROUP_LEN, 0),
        (114_688, 100_000),
    ] {
        let error = RangeError {
            start,
            end,
            total_len: 100_000,
        };
        assert!(
            matches!(make(data.as_slice(), &outboard, start..end), Err(MakeError::Range(found)) if found == error)
        );
        assert_eq!(
            verify(&outboard.root(), 100_000, start..end, &[]),
            Err(SliceError::Range(error))
        );
    }
    assert_eq!(
        verify(&outboard.root(), u64::MAX, 0..u64::MAX, &[]),
        Err(SliceError::Truncated)
    );
}

#[test]
fn a_shard_that_ends_early_is_an_error() {
    let data = noise(1, 100_000);
    let outboard = Outboard::of(&data);
    assert!(matches!(
        make(&data[..50_000], &outboard, 0..100_000),
        Err(MakeError::Read(_))
    ));
    let error = OutboardError {
        total_len: 100_000,
        expected: 6 * 64,
        found: 64,
    };
    assert_eq!(
        Outboard::from_parts(&outboard.root(), 100_000, vec![0; 64]),
        Err(error)
    );
    assert!(Outboard::read(&data[..50_000], 100_000).is_err());
}

#[test]
fn the_longest_slices_keep_their_bound() {
    let len = crate::padding::PACK_LEN;
    let data = vec![0; len];
    let outboard = Outboard::of(&data);
    for start in (0..64)
        .map(|step| step * 13 * GROUP_LEN)
        .chain([len as u64 - SLICE_RANGE, (len as u64 - SLICE_RANGE) / 2])
    {
        let start = start - start % GROUP_LEN;
        let slice = make(data.as_slice(), &outboard, start..start + SLICE_RANGE).unwrap();
        assert!(slice.len() <= SLICE_LEN_MAX);
    }
}
