//! From ranges of shards to ranges of a pack: cutting, and decoding what is missing. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use nuthatch_erasure::{Scheme, ShardIndex, coder, geometry};
use nuthatch_format::label::SignedLabel;

/// Ranges of shards that are here, by shard and first byte.
pub(super) type Fetched = BTreeMap<(u8, u64), Vec<u8>>;

/// A part of a shard out of what was fetched.
pub(super) fn cut(got: &Fetched, index: ShardIndex, range: &Range<u64>) -> Option<Vec<u8>> {
    let ((shard, start), bytes) = got.range(..=(index.0, range.start)).next_back()?;
    if *shard != index.0 {
        return None;
    }
    let from = (range.start - start) as usize;
    let to = from.checked_add((range.end - range.start) as usize)?;
    bytes.get(from..to).map(<[u8]>::to_vec)
}

/// The ranges of the pack, put together from parts of data shards that `part` gives.
pub(super) fn assemble(
    label: &SignedLabel,
    ranges: &[Range<u64>],
    part: impl Fn(ShardIndex, &Range<u64>) -> Option<Vec<u8>>,
) -> Option<Vec<Vec<u8>>> {
    let label = label.label();
    let whole = |range: &Range<u64>| {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        for shard in
            geometry::shard_ranges(label.scheme, label.pack_len, range.start, range.end - range.start)
        {
            bytes.extend(part(shard.index, &(shard.offset..shard.offset + shard.len))?);
        }
        Some(bytes)
    };
    ranges.iter().map(whole).collect()
}

/// Ranges joined where they touch or overlap, ascending.
pub(super) fn merge(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.collect();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// A part of a data shard: as fetched, or decoded from the same part of enough others.
pub(super) fn rebuild(
    scheme: Scheme,
    got: &Fetched,
    wide: &[Range<u64>],
    index: ShardIndex,
    range: &Range<u64>,
) -> Option<Vec<u8>> {
    if let Some(bytes) = cut(got, index, range) {
        return Some(bytes);
    }
    let around = wide
        .iter()
        .find(|wide| wide.start <= range.start && range.end <= wide.end)?;
    let from = (range.start - around.start) as usize;
    let to = from + (range.end - range.start) as usize;
    let have: Vec<(ShardIndex, &[u8])> = got
        .iter()
        .filter(|((_, start), _)| *start == around.start)
        .filter_map(|((shard, _), bytes)| Some((ShardIndex(*shard), bytes.get(from..to)?)))
        .collect();
    coder(scheme).rebuild(&have, index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_become_one() {
        assert_eq!(
            merge([10..20, 0..5, 5..7, 18..30].into_iter()),
            vec![0..7, 10..30]
        );
        assert_eq!(merge(std::iter::empty()), Vec::<Range<u64>>::new());
    }

    #[test]
    fn a_missing_part_is_decoded_from_the_same_part_of_others() {
        let scheme = Scheme::new(2, 2).unwrap();
        let pack: Vec<u8> = (0..2000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let parity = coder(scheme).parity_of(&pack);
        let wide: Vec<Range<u64>> = std::iter::once(100..400).collect();
        let part = |shard: &[u8]| shard[100..400].to_vec();
        let got: Fetched = [((0, 100), part(&pack[..1000])), ((3, 100), part(&parity[1]))]
            .into_iter()
            .collect();
        assert_eq!(
            rebuild(scheme, &got, &wide, ShardIndex(1), &(150..300)).unwrap(),
            &pack[1150..1300]
        );
        assert_eq!(
            rebuild(scheme, &got, &wide, ShardIndex(0), &(150..300)).unwrap(),
            &pack[150..300]
        );
        let too_few: Fetched = [((0, 100), part(&pack[..1000]))].into_iter().collect();
        assert_eq!(rebuild(scheme, &too_few, &wide, ShardIndex(1), &(150..300)), None);
    }
}
