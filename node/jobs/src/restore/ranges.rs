//! Which byte ranges of a pack to ask for, so that a host learns no chunk boundary and gets few requests. Pure.

use std::ops::Range;

/// Grid on which partial reads lie, in bytes.
pub(crate) const GRID: u64 = 256 * 1024;

/// A pack, as far as ranges are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Its length in bytes.
    pub(crate) pack_len: u64,
    /// Length of each of its shards in bytes, where that is known; the grid then begins anew at each shard.
    pub(crate) shard_len: Option<u64>,
}

/// The ranges that cover all wanted ones: on the grid, joined where they touch, and a whole shard where more than half of it is wanted.
pub(crate) fn cover(wanted: &[Range<u64>], shape: Shape) -> Vec<Range<u64>> {
    let joined = align(wanted, shape);
    match shape.shard_len.filter(|len| *len > 0) {
        Some(shard_len) => join(widen(&joined, shard_len, shape.pack_len)),
        None => joined,
    }
}

/// The ranges that cover all wanted ones: on the grid, joined where they touch.
pub(crate) fn align(wanted: &[Range<u64>], shape: Shape) -> Vec<Range<u64>> {
    let shard_len = shape
        .shard_len
        .filter(|len| *len > 0)
        .unwrap_or(shape.pack_len.max(1));
    let mut aligned = Vec::new();
    for range in wanted {
        let end = range.end.min(shape.pack_len);
        let mut at = range.start;
        while at < end {
            let shard = at / shard_len * shard_len;
            let shard_end = (shard + shard_len).min(shape.pack_len);
            let piece_end = end.min(shard_end);
            let from = shard + (at - shard) / GRID * GRID;
            let to = (shard + (piece_end - shard).div_ceil(GRID) * GRID).min(shard_end);
            aligned.push(from..to);
            at = piece_end;
        }
    }
    join(aligned)
}

/// Adds each shard of which more than half is covered.
fn widen(joined: &[Range<u64>], shard_len: u64, pack_len: u64) -> Vec<Range<u64>> {
    let mut all = joined.to_vec();
    let mut at = 0;
    while at < pack_len {
        let shard = at..(at + shard_len).min(pack_len);
        let covered: u64 = joined.iter().map(|range| overlap(range, &shard)).sum();
        if 2 * covered > shard.end - shard.start {
            all.push(shard.clone());
        }
        at = shard.end;
    }
    all
}

/// Sorted, and joined where they touch or overlap.
pub(crate) fn join(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The part of the ranges that lies inside a window.
pub(crate) fn within(ranges: &[Range<u64>], window: &Range<u64>) -> Vec<Range<u64>> {
    ranges
        .iter()
        .map(|range| range.start.max(window.start)..range.end.min(window.end))
        .filter(|range| range.start < range.end)
        .collect()
}

/// Bytes in all ranges together; they must not overlap.
pub(crate) fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// The bytes of one range, cut out of what was read for the ranges that cover it.
pub(crate) fn slice<'a>(ranges: &[Range<u64>], read: &'a [Vec<u8>], wanted: &Range<u64>) -> Option<&'a [u8]> {
    let (range, bytes) = ranges
        .iter()
        .zip(read)
        .find(|(range, _)| range.start <= wanted.start && wanted.end <= range.end)?;
    bytes.get((wanted.start - range.start) as usize..(wanted.end - range.start) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACK_LEN: u64 = 16 * 1024 * 1024;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_cover_holds_every_wanted_byte_and_shows_no_boundary(
            wanted in proptest::collection::vec((0..PACK_LEN, 1u64..1_100_000), 1..20),
            shard_len in proptest::option::of(1u64..PACK_LEN),
        ) {
            let wanted: Vec<_> = wanted.into_iter().map(|(at, len)| at..(at + len).min(PACK_LEN)).collect();
            let shape = Shape { pack_len: PACK_LEN, shard_len: shard_len.map(|len| len.max(300_000)) };
            let cover = cover(&wanted, shape);
            for range in &wanted {
                prop_assert!(cover.iter().any(|c| c.start <= range.start && range.end <= c.end));
            }
            prop_assert!(cover.windows(2).all(|pair| pair[0].end < pair[1].start));
            let unit = shape.shard_len.unwrap_or(PACK_LEN);
            for range in &cover {
                prop_assert!(range.end <= PACK_LEN);
                prop_assert_eq!(range.start % unit % GRID, 0);
                prop_assert!((range.end % unit).is_multiple_of(GRID) || range.end == PACK_LEN);
            }
        }
    }

    #[test]
    fn more_than_half_a_shard_becomes_the_whole_shard() {
        let shape = Shape {
            pack_len: 8 * GRID,
            shard_len: Some(4 * GRID),
        };
        let of = |range: Range<u64>| cover(std::slice::from_ref(&range), shape).pop();
        assert_eq!(of(0..2 * GRID), Some(0..2 * GRID));
        assert_eq!(of(0..2 * GRID + 1), Some(0..4 * GRID));
        assert_eq!(of(3 * GRID..5 * GRID), Some(3 * GRID..5 * GRID));
    }

    #[test]
    fn a_slice_is_found_in_the_range_that_holds_it() {
        let read = vec![vec![1, 2, 3], vec![4, 5]];
        let ranges = [0..3, 10..12];
        assert_eq!(slice(&ranges, &read, &(11..12)), Some(&[5][..]));
        assert_eq!(slice(&ranges, &read, &(2..4)), None);
        assert_eq!(total(&ranges), 5);
    }
}
