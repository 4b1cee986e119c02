//! In which order to read packs, and what to do with each chunk. Pure: places in, reads out.
//!
//! A window of wanted chunks is turned around: from "file, then its chunks" to "pack, then its sections, then the chunks wanted of each".
//! So each section is fetched and opened once a window, however many files share it.

use std::collections::BTreeMap;
use std::ops::Range;

use nuthatch_disk::catalogue::PackNumber;
use nuthatch_format::ChunkId;
use nuthatch_format::padding::PACK_LEN;

use super::ranges::{self, Shape};

/// Most bytes that one read asks for, unless one section alone needs more.
pub(crate) const READ_LEN_MAX: u64 = PACK_LEN as u64;

/// A chunk that is wanted, and the claim that is believed for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    /// The chunk.
    pub(crate) id: ChunkId,
    /// Number of the pack that is said to hold it.
    pub(crate) pack: PackNumber,
    /// Index of the section in it.
    pub(crate) section: u32,
    /// Offset in the section's plaintext, in bytes.
    pub(crate) offset: u32,
    /// Length in bytes.
    pub(crate) len: u32,
    /// Which destination in the window it is for.
    pub(crate) slot: u32,
}

/// A section and the chunks that are wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SectionWant {
    /// Index in the pack.
    pub(crate) index: u32,
    /// Where its sealed bytes lie in the pack.
    pub(crate) at: Range<u64>,
    /// Chunks wanted of it.
    pub(crate) wants: Vec<Want>,
}

/// One request to a source: ranges of one pack, and the sections that they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackRead {
    /// Number of the pack.
    pub(crate) pack: PackNumber,
    /// Ranges to ask for: sorted, apart.
    pub(crate) ranges: Vec<Range<u64>>,
    /// Sections that lie in them, by offset.
    pub(crate) sections: Vec<SectionWant>,
}

/// Groups wants by pack and section. Packs come in the order in which they are first wanted.
pub(crate) fn by_pack(wants: Vec<Want>) -> Vec<(PackNumber, BTreeMap<u32, Vec<Want>>)> {
    let mut packs: BTreeMap<PackNumber, (usize, BTreeMap<u32, Vec<Want>>)> = BTreeMap::new();
    for (order, want) in wants.into_iter().enumerate() {
        let (_, sections) = packs.entry(want.pack).or_insert_with(|| (order, BTreeMap::new()));
        sections.entry(want.section).or_default().push(want);
    }
    let mut ordered: Vec<_> = packs.into_iter().collect();
    ordered.sort_by_key(|(_, (order, _))| *order);
    ordered
        .into_iter()
        .map(|(pack, (_, sections))| (pack, sections))
        .collect()
}

/// The reads that get these sections of one pack.
pub(crate) fn reads(pack: PackNumber, shape: Shape, mut sections: Vec<SectionWant>) -> Vec<PackRead> {
    sections.sort_by_key(|section| section.at.start);
    let wanted: Vec<Range<u64>> = sections.iter().map(|section| section.at.clone()).collect();
    let all = ranges::cover(&wanted, shape);
    let groups = groups(sections, shape);
    let starts: Vec<u64> = groups.iter().map(|group| group_start(group, shape)).collect();
    let mut reads = Vec::with_capacity(groups.len());
    for (number, group) in groups.into_iter().enumerate() {
        let from = if number == 0 {
            0
        } else {
            starts.get(number).copied().unwrap_or(0)
        };
        let to = starts.get(number + 1).copied().unwrap_or(shape.pack_len);
        let own: Vec<Range<u64>> = group.iter().map(|section| section.at.clone()).collect();
        let mut ranges = ranges::within(&all, &(from..to));
        ranges.extend(ranges::align(&own, shape));
        reads.push(PackRead {
            pack,
            ranges: ranges::join(ranges),
            sections: group,
        });
    }
    reads
}

fn group_start(group: &[SectionWant], shape: Shape) -> u64 {
    let first = group.first().map_or(0..0, |section| section.at.clone());
    ranges::align(std::slice::from_ref(&first), shape)
        .first()
        .map_or(first.start, |range| range.start)
}

/// Neighbouring sections that are read together.
fn groups(sections: Vec<SectionWant>, shape: Shape) -> Vec<Vec<SectionWant>> {
    let mut groups: Vec<Vec<SectionWant>> = Vec::new();
    let mut start = 0;
    for section in sections {
        match groups.last_mut() {
            Some(group) if section.at.end - start <= READ_LEN_MAX => group.push(section),
            _ => {
                let group = vec![section];
                start = group_start(&group, shape);
                groups.push(group);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn want(pack: u64, section: u32, slot: u32) -> Want {
        let pack = PackNumber(pack);
        Want {
            id: ChunkId::from_bytes([slot as u8; 32]),
            pack,
            section,
            offset: 0,
            len: 1,
            slot,
        }
    }

    #[test]
    fn packs_come_in_the_order_of_first_use_and_each_once() {
        let plan = by_pack(vec![want(7, 1, 0), want(3, 0, 1), want(7, 0, 2), want(7, 1, 3)]);
        assert_eq!(
            plan.iter().map(|(pack, _)| pack.0).collect::<Vec<_>>(),
            vec![7, 3]
        );
        assert_eq!(plan[0].1.keys().copied().collect::<Vec<_>>(), vec![0, 1]);
        assert_eq!(
            plan[0].1[&1].iter().map(|want| want.slot).collect::<Vec<_>>(),
            vec![0, 3]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_section_lies_whole_in_its_own_read_and_reads_are_bounded(
            lens in proptest::collection::vec((1u64..1_048_000, any::<bool>()), 1..30),
            shard_len in proptest::option::of(400_000u64..16_000_000),
        ) {
            let mut at = 112;
            let mut sections = Vec::new();
            for (index, (len, wanted)) in lens.iter().enumerate() {
                if *wanted {
                    sections.push(SectionWant { index: index as u32, at: at..at + len, wants: vec![] });
                }
                at += len;
            }
            let shape = Shape { pack_len: at + 5000, shard_len };
            let count = sections.len();
            let reads = reads(PackNumber(1), shape, sections);
            prop_assert_eq!(reads.iter().map(|read| read.sections.len()).sum::<usize>(), count);
            for read in &reads {
                prop_assert!(ranges::total(&read.ranges) <= 2 * READ_LEN_MAX + 16_000_000);
                prop_assert!(read.ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(read.ranges.iter().all(|range| range.end <= shape.pack_len));
                for section in &read.sections {
                    prop_assert!(read.ranges.iter().any(|range| range.start <= section.at.start && section.at.end <= range.end));
                }
            }
        }
    }
}
