use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::codec;

/// Cuts after every 20 to 40 ids, by content, and keeps chunks in memory.
#[derive(Default)]
struct Memory {
    chunks: BTreeMap<ChunkId, Vec<u8>>,
}

impl ListStore for Memory {
    type Error = Infallible;

    fn chunk_len_max(&self) -> usize {
        1280
    }

    fn cut(&self, data: &[u8], at_end: bool) -> Option<usize> {
        (640..=data.len())
            .find(|end| data[end - 1] < 8 || *end == 1280)
            .or((at_end && !data.is_empty()).then_some(data.len()))
    }

    fn store(&mut self, list: &[u8]) -> Result<ChunkId, Infallible> {
        let id = ChunkId::from_bytes(*blake3::hash(list).as_bytes());
        self.chunks.insert(id, list.to_vec());
        Ok(id)
    }
}

fn id(number: u64) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn build(count: u64, store: &mut Memory) -> Content {
    let mut builder = ContentBuilder::new();
    for number in 0..count {
        builder.push(id(number), 10, store).unwrap();
    }
    builder.finish(store).unwrap()
}

fn read(content: &Content, store: &Memory) -> Vec<ChunkId> {
    let mut ids = content.chunks.clone();
    for _ in 0..content.depth {
        let mut reader = IdReader::new();
        ids = ids.iter().flat_map(|id| reader.push(&store.chunks[id])).collect();
        reader.finish().unwrap();
    }
    ids
}

#[test]
fn lists_grow_levels_only_when_they_must_and_read_back() {
    for (count, depth) in [(0, 0), (1, 0), (1024, 0), (1025, 1), (3000, 1), (9000, 1)] {
        let mut store = Memory::default();
        let content = build(count, &mut store);
        assert_eq!(content.depth, depth, "{count}");
        assert_eq!(content.len, count * 10);
        assert_eq!(read(&content, &store), (0..count).map(id).collect::<Vec<_>>());
        assert_eq!(content.invalid(), None);
    }
}

#[test]
fn two_levels_read_back() {
    let mut store = Memory::default();
    let content = build(60_000, &mut store);
    assert_eq!(content.depth, 2);
    assert_eq!(read(&content, &store).len(), 60_000);
}

#[test]
fn a_list_that_ends_inside_an_id_is_an_error() {
    let mut reader = IdReader::new();
    assert_eq!(reader.push(&[1; 40]).len(), 1);
    assert!(reader.finish().is_err());
}

#[test]
fn impossible_contents_are_refused() {
    let good = Content {
        depth: 0,
        len: 5,
        chunks: vec![id(1)],
    };
    let refused = [
        Content {
            depth: CONTENT_DEPTH_MAX + 1,
            ..good.clone()
        },
        Content {
            chunks: Vec::new(),
            ..good.clone()
        },
        Content {
            len: 0,
            ..good.clone()
        },
        Content {
            len: 1 << 20,
            chunks: vec![id(1); CONTENT_IDS_MAX + 1],
            ..good.clone()
        },
    ];
    assert!(codec::decode::<Content>(&codec::encode(&good)).is_ok());
    for content in refused {
        assert!(codec::decode::<Content>(&codec::encode(&content)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn content_and_back_is_the_same(depth in 0..=CONTENT_DEPTH_MAX, count in 1_u64..20, extra: u32) {
        let content = Content { depth, len: count + u64::from(extra), chunks: (0..count).map(id).collect() };
        let bytes = codec::encode(&content);
        prop_assert_eq!(codec::decode::<Content>(&bytes), Ok(content));
        for end in 0..bytes.len() {
            prop_assert!(codec::decode::<Content>(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(content) = codec::decode::<Content>(&bytes) {
            prop_assert_eq!(codec::encode(&content), bytes);
        }
    }
}
