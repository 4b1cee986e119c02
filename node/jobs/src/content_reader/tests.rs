use std::collections::BTreeMap;
use std::convert::Infallible;

use nuthatch_format::ChunkId;
use nuthatch_format::chunker::{Chunker, ChunkerParams};
use nuthatch_format::content::{Content, ContentBuilder, ListStore};
use proptest::prelude::*;

use super::*;

struct Memory {
    chunks: BTreeMap<ChunkId, Vec<u8>>,
    chunker: Chunker,
}

impl Memory {
    fn new() -> Self {
        Self {
            chunks: BTreeMap::new(),
            chunker: Chunker::new(&[9; 32], ChunkerParams::DEFAULT),
        }
    }
}

impl ListStore for Memory {
    type Error = Infallible;

    fn chunk_len_max(&self) -> usize {
        self.chunker.params().max()
    }

    fn cut(&self, data: &[u8], at_end: bool) -> Option<usize> {
        self.chunker.next_cut(data, at_end)
    }

    fn store(&mut self, list: &[u8]) -> Result<ChunkId, Infallible> {
        let id = ChunkId::from_bytes(*blake3::hash(list).as_bytes());
        self.chunks.insert(id, list.to_vec());
        Ok(id)
    }
}

impl ChunkReader for Memory {
    type Error = ();

    fn chunk(&mut self, id: &ChunkId) -> Result<Vec<u8>, ()> {
        self.chunks.get(id).cloned().ok_or(())
    }
}

fn ids(count: usize) -> Vec<ChunkId> {
    (0..count as u64)
        .map(|number| ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes()))
        .collect()
}

fn write(ids: &[ChunkId], memory: &mut Memory) -> Content {
    let mut builder = ContentBuilder::new();
    for id in ids {
        builder.push(*id, 10, memory).unwrap();
    }
    builder.finish(memory).unwrap()
}

fn read(content: &Content, memory: &mut Memory) -> Result<Vec<ChunkId>, ContentError<()>> {
    let mut reader = ContentReader::new(content)?;
    let mut found = Vec::new();
    while let Some(id) = reader.next(memory)? {
        found.push(id);
    }
    Ok(found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_written_is_read_whatever_its_length(count in prop_oneof![0usize..8, 1000usize..1100, 5000usize..60_000]) {
        let mut memory = Memory::new();
        let ids = ids(count);
        let content = write(&ids, &mut memory);
        prop_assert_eq!(read(&content, &mut memory).unwrap(), ids);
    }
}

#[test]
fn a_missing_or_torn_list_is_an_error() {
    let mut memory = Memory::new();
    let content = write(&ids(3000), &mut memory);
    let list = content.chunks[0];
    memory.chunks.get_mut(&list).unwrap().pop();
    assert!(matches!(
        read(&content, &mut memory),
        Err(ContentError::Malformed)
    ));
    memory.chunks.clear();
    assert!(matches!(
        read(&content, &mut memory),
        Err(ContentError::Chunk(()))
    ));
    let deep = Content {
        depth: 200,
        ..content
    };
    assert!(matches!(read(&deep, &mut memory), Err(ContentError::Malformed)));
}
