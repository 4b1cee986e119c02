use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ranges_of_a_pack_read_from_its_shards_are_the_ranges_themselves(
        pack in proptest::collection::vec(any::<u8>(), 0..600),
        data in 1u8..=20,
        offset in 0u64..700,
        len in 0u64..700,
    ) {
        let scheme = Scheme::new(data, 0).unwrap();
        let mut read = Vec::new();
        for range in shard_ranges(scheme, pack.len() as u64, offset, len) {
            prop_assert!(range.len > 0);
            let shard = data_shard(scheme, &pack, range.index).unwrap();
            read.extend_from_slice(&shard[range.offset as usize..(range.offset + range.len) as usize]);
        }
        let start = (offset as usize).min(pack.len());
        let end = ((offset + len) as usize).min(pack.len());
        prop_assert_eq!(read, pack[start..end.max(start)].to_vec());
    }

    #[test]
    fn data_shards_in_order_are_the_pack_and_zeros(
        pack in proptest::collection::vec(any::<u8>(), 0..600),
        data in 1u8..=255,
    ) {
        let scheme = Scheme::new(data, 0).unwrap();
        let mut joined = Vec::new();
        for index in scheme.indices() {
            joined.extend_from_slice(&data_shard(scheme, &pack, index).unwrap());
        }
        prop_assert_eq!(&joined[..pack.len()], &pack[..]);
        prop_assert!(joined[pack.len()..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn whole_data_shards_are_not_copied() {
    let scheme = Scheme::new(4, 2).unwrap();
    let pack = vec![1; 4 * 16 - 3];
    for index in 0..3 {
        assert!(matches!(
            data_shard(scheme, &pack, ShardIndex(index)),
            Some(Cow::Borrowed(_))
        ));
    }
    assert!(matches!(
        data_shard(scheme, &pack, ShardIndex(3)),
        Some(Cow::Owned(_))
    ));
    assert_eq!(data_shard(scheme, &pack, ShardIndex(4)), None);
}

#[test]
fn the_end_of_the_number_range_is_no_trap() {
    let scheme = Scheme::new(3, 0).unwrap();
    assert_eq!(shard_ranges(scheme, u64::MAX, u64::MAX, u64::MAX), Vec::new());
    let last = shard_ranges(scheme, u64::MAX, u64::MAX - 1, u64::MAX);
    assert_eq!(last.iter().map(|range| range.len).sum::<u64>(), 1);
}
