//! One directory on its way into the archive: entries are encoded, cut and stored as they come. Holds a chunk's worth of bytes at most.

use nuthatch_format::ChunkId;
use nuthatch_format::chunker::Chunker;
use nuthatch_format::content::{Content, ContentBuilder, ListStore};
use nuthatch_format::tree::{Entry, TreeError, TreeWriter};

use super::BackupError;
use super::sink::ChunkSink;
use crate::cutter::Cutter;

/// A directory's tree under construction.
pub(crate) struct DirWriter<'e> {
    tree: TreeWriter,
    cutter: Cutter<'e>,
    content: ContentBuilder,
}

impl<'e> DirWriter<'e> {
    /// An empty directory.
    pub(crate) fn new(chunker: &'e Chunker) -> Self {
        let mut cutter = Cutter::new(chunker);
        let mut header = Vec::new();
        let tree = TreeWriter::begin(&mut header);
        cutter.push(&header);
        Self {
            tree,
            cutter,
            content: ContentBuilder::new(),
        }
    }

    /// Adds an entry. The inner error says why this one cannot be stored; the directory goes on without it.
    pub(crate) fn push(
        &mut self,
        entry: &Entry,
        sink: &mut ChunkSink<'_>,
    ) -> Result<Result<(), TreeError>, BackupError> {
        let mut bytes = Vec::new();
        if let Err(error) = self.tree.push(entry, &mut bytes) {
            return Ok(Err(error));
        }
        self.cutter.push(&bytes);
        self.drain(sink)?;
        Ok(Ok(()))
    }

    /// Stores what is left and names the whole tree.
    pub(crate) fn finish(mut self, sink: &mut ChunkSink<'_>) -> Result<Content, BackupError> {
        self.cutter.end();
        self.drain(sink)?;
        self.content.finish(sink)
    }

    fn drain(&mut self, sink: &mut ChunkSink<'_>) -> Result<(), BackupError> {
        while let Some(chunk) = self.cutter.next() {
            let id = sink.put_meta(chunk)?;
            self.content.push(id, chunk.len() as u32, sink)?;
        }
        Ok(())
    }
}

impl ListStore for ChunkSink<'_> {
    type Error = BackupError;

    fn chunk_len_max(&self) -> usize {
        self.chunker().params().max()
    }

    fn cut(&self, data: &[u8], at_end: bool) -> Option<usize> {
        self.chunker().next_cut(data, at_end)
    }

    fn store(&mut self, list: &[u8]) -> Result<ChunkId, BackupError> {
        let id = self.put_meta(list)?;
        self.remember_list(id, list)?;
        Ok(id)
    }
}
