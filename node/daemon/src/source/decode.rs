//! From ranges of shards to ranges of a pack: where each piece belongs, and decoding what is missing. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use nuthatch_erasure::{Scheme, ShardIndex, coder, geometry};
use nuthatch_format::label::Label;

/// Bytes that are decoded at a time.
const STRIP_LEN: u64 = 256 * 1024;

/// Ranges of shards that are here, by shard and first byte.
pub(super) type Fetched = BTreeMap<(u8, u64), Vec<u8>>;

/// A stretch of a shard, and the room for it where it is wanted: bytes are put there as they come and never copied again.
pub(super) struct Piece<'b> {
    /// The shard.
    pub(super) index: ShardIndex,
    /// Its bytes.
    pub(super) range: Range<u64>,
    /// As long as the range.
    pub(super) room: &'b mut [u8],
}

impl Piece<'_> {
    /// Keeps what belongs here of bytes of the shard that begin at `offset`.
    pub(super) fn take(&mut self, offset: u64, bytes: &[u8]) {
        let start = offset.max(self.range.start);
        let end = self.range.end.min(offset + bytes.len() as u64);
        if start >= end {
            return;
        }
        let to = (start - self.range.start) as usize..(end - self.range.start) as usize;
        let from = (start - offset) as usize..(end - offset) as usize;
        if let (Some(room), Some(part)) = (self.room.get_mut(to), bytes.get(from)) {
            room.copy_from_slice(part);
        }
    }
}

/// Lengths of ranges of a pack, as far as they lie in it.
pub(super) fn lens(label: &Label, ranges: &[Range<u64>]) -> Vec<usize> {
    let len = |range: &Range<u64>| range.end.min(label.pack_len).saturating_sub(range.start);
    ranges.iter().map(|range| len(range) as usize).collect()
}

/// The pieces of data shards that fill these buffers.
pub(super) fn pieces<'b>(label: &Label, ranges: &[Range<u64>], buffers: &'b mut [Vec<u8>]) -> Vec<Piece<'b>> {
    let mut pieces = Vec::new();
    for (range, buffer) in ranges.iter().zip(buffers) {
        let mut rest = buffer.as_mut_slice();
        let len = range.end - range.start;
        for part in geometry::shard_ranges(label.scheme, label.pack_len, range.start, len) {
            let Some((room, behind)) = rest.split_at_mut_checked(part.len as usize) else {
                break;
            };
            rest = behind;
            pieces.push(Piece {
                index: part.index,
                range: part.offset..part.offset + part.len,
                room,
            });
        }
    }
    pieces
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

/// Fills pieces of data shards: with what was fetched, or decoded from the same part of enough others.
pub(super) fn rebuild(
    scheme: Scheme,
    got: &Fetched,
    wide: &[Range<u64>],
    pieces: Vec<Piece<'_>>,
) -> Option<()> {
    let coder = coder(scheme);
    for mut piece in pieces {
        let around = wide
            .iter()
            .find(|wide| wide.start <= piece.range.start && piece.range.end <= wide.end)?;
        let mut at = piece.range.start;
        while at < piece.range.end {
            let end = piece.range.end.min(at + STRIP_LEN);
            let inside = (at - around.start) as usize..(end - around.start) as usize;
            let have: Vec<(ShardIndex, &[u8])> = got
                .iter()
                .filter(|((_, start), _)| *start == around.start)
                .filter_map(|((shard, _), bytes)| Some((ShardIndex(*shard), bytes.get(inside.clone())?)))
                .collect();
            piece.take(at, &coder.rebuild(&have, piece.index).ok()?);
            at = end;
        }
    }
    Some(())
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
    fn a_piece_keeps_what_belongs_to_it_and_no_more() {
        let mut room = [0; 4];
        let mut piece = Piece {
            index: ShardIndex(0),
            range: 10..14,
            room: &mut room,
        };
        piece.take(0, &[1; 10]);
        piece.take(14, &[2; 5]);
        piece.take(8, &[3; 4]);
        piece.take(12, &[4; 9]);
        assert_eq!(room, [3, 3, 4, 4]);
    }

    #[test]
    fn a_missing_part_is_decoded_from_the_same_part_of_others() {
        let scheme = Scheme::new(2, 2).unwrap();
        let shard_len = 700_000;
        let pack: Vec<u8> = (0..2 * shard_len as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 9) as u8)
            .collect();
        let parity = coder(scheme).parity_of(&pack);
        let (from, to) = (100, 600_000);
        let wide: Vec<Range<u64>> = std::iter::once(from as u64..to as u64).collect();
        let part = |shard: &[u8]| shard[from..to].to_vec();
        let mut got: Fetched = [((0, 100), part(&pack[..shard_len])), ((3, 100), part(&parity[1]))]
            .into_iter()
            .collect();
        let decoded = |got: &Fetched, index: u8, range: Range<usize>| {
            let mut room = vec![0; range.len()];
            let piece = Piece {
                index: ShardIndex(index),
                range: range.start as u64..range.end as u64,
                room: &mut room,
            };
            rebuild(scheme, got, &wide, vec![piece]).map(|()| room)
        };
        for range in [150..300, 100..600_000, 300_000..599_999] {
            for shard in 0..2 {
                let there = usize::from(shard) * shard_len;
                assert_eq!(
                    decoded(&got, shard, range.clone()).unwrap(),
                    &pack[there + range.start..there + range.end]
                );
            }
        }
        assert_eq!(decoded(&got, 1, 0..300), None);
        got.remove(&(3, 100));
        assert_eq!(decoded(&got, 1, 150..300), None);
    }
}
