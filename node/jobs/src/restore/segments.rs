//! Where a file's data lies in the file: its content is the data without the holes, joined. Pure.

/// The stretches of data of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Segments {
    /// Offset in the data, offset in the file and length of each, in order.
    stretches: Vec<(u64, u64, u64)>,
}

impl Segments {
    /// Of a file of this size with these holes (offset and length, in order and apart).
    pub(crate) fn new(size: u64, holes: &[(u64, u64)]) -> Self {
        let mut stretches = Vec::with_capacity(holes.len() + 1);
        let (mut data, mut at) = (0, 0);
        for (offset, len) in holes.iter().copied().chain([(size, 0)]) {
            if offset > at {
                stretches.push((data, at, offset - at));
                data += offset - at;
            }
            at = at.max(offset.saturating_add(len));
        }
        Self { stretches }
    }

    /// Bytes of data.
    pub(crate) fn data_len(&self) -> u64 {
        self.stretches.last().map_or(0, |(data, _, len)| data + len)
    }

    /// Where a stretch of data lies: offset in the file, offset in the stretch, length. What lies behind the data is left out.
    pub(crate) fn locate(&self, data: u64, len: u64) -> impl Iterator<Item = (u64, usize, usize)> {
        let first = self
            .stretches
            .partition_point(|(start, _, own)| start + own <= data);
        let end = data.saturating_add(len);
        self.stretches
            .get(first..)
            .unwrap_or_default()
            .iter()
            .map_while(move |(start, at, own)| {
                let from = data.max(*start);
                let to = end.min(start + own);
                (from < to).then(|| (at + (from - start), (from - data) as usize, (to - from) as usize))
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn data_written_by_segments_is_the_file(
            parts in proptest::collection::vec((1u64..50, 1u64..50), 0..10),
            begins_with_hole in any::<bool>(),
            cuts in proptest::collection::vec(1usize..40, 1..40),
        ) {
            let (mut file, mut data, mut holes) = (Vec::new(), Vec::new(), Vec::new());
            for (index, (data_len, hole_len)) in parts.iter().enumerate() {
                if index > 0 || begins_with_hole {
                    holes.push((file.len() as u64, *hole_len));
                    file.resize(file.len() + *hole_len as usize, 0u8);
                }
                let bytes = vec![index as u8 + 1; *data_len as usize];
                file.extend_from_slice(&bytes);
                data.extend_from_slice(&bytes);
            }
            let segments = Segments::new(file.len() as u64, &holes);
            prop_assert_eq!(segments.data_len(), data.len() as u64);
            let mut written = vec![0u8; file.len()];
            let mut at = 0;
            for cut in cuts.iter().cycle() {
                if at >= data.len() { break; }
                let len = (*cut).min(data.len() - at);
                for (offset, from, count) in segments.locate(at as u64, len as u64) {
                    written[offset as usize..offset as usize + count].copy_from_slice(&data[at + from..at + from + count]);
                }
                at += len;
            }
            prop_assert_eq!(written, file);
            prop_assert_eq!(segments.locate(data.len() as u64, 5).count(), 0);
        }
    }
}
