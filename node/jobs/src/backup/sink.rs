//! Where chunks go: what is stored already is only noted, what is new becomes part of a section. One thread owns it.
//!
//! What this run has stored is remembered until the catalogue knows it, in a set of bounded size.

use std::collections::{BTreeSet, HashSet};

use crossbeam_channel::Sender;
use nuthatch_disk::catalogue::PackNumber;
use nuthatch_format::ChunkId;
use nuthatch_format::chunker::Chunker;
use nuthatch_format::pack::PackKind;
use nuthatch_format::section::{PlainSection, SectionBuilder};

use super::BackupError;
use super::env::Env;
use super::packer::SectionJob;
use crate::cancel::Cancelled;

/// Chunks of this run that are remembered before the outlet is asked to flush (count): 4 GiB of data at the average size, 1 MiB here.
const OWN_CHUNKS_MAX: usize = 16 * 1024;

/// Bytes of lists that are put into the file cache in one commit.
const LISTS_BATCH_LEN: usize = 2 * 1024 * 1024;

/// Takes chunks in the order of the walk.
pub(crate) struct ChunkSink<'e> {
    env: &'e Env<'e>,
    sections: Sender<SectionJob<'e>>,
    data: LaneInput,
    meta: LaneInput,
    /// Chunks that this run stored and that the catalogue may not know yet.
    own: HashSet<ChunkId>,
    own_max: usize,
    packs_known: BTreeSet<PackNumber>,
    bytes_added: u64,
    /// Lists that the file cache does not have yet.
    lists: Vec<(ChunkId, Vec<u8>)>,
    lists_len: usize,
}

#[derive(Default)]
struct LaneInput {
    builder: SectionBuilder,
    next: u64,
}

impl<'e> ChunkSink<'e> {
    /// A sink that sends its sections to the packer.
    pub(crate) fn new(env: &'e Env<'e>, sections: Sender<SectionJob<'e>>) -> Self {
        Self {
            env,
            sections,
            data: LaneInput::default(),
            meta: LaneInput::default(),
            own: HashSet::new(),
            own_max: OWN_CHUNKS_MAX,
            packs_known: BTreeSet::new(),
            bytes_added: 0,
            lists: Vec::new(),
            lists_len: 0,
        }
    }

    /// Cuts lists and trees.
    pub(crate) fn chunker(&self) -> &'e Chunker {
        &self.env.chunker
    }

    /// Takes a chunk of `1..=CHUNK_LEN_MAX` bytes.
    pub(crate) fn put(&mut self, kind: PackKind, id: ChunkId, bytes: &[u8]) -> Result<(), BackupError> {
        if let Some(harvest) = self.env.harvest {
            harvest.take(&id, bytes);
            return Ok(());
        }
        if self.own.contains(&id) || self.find(&id)? {
            return Ok(());
        }
        if self.own.len() >= self.own_max {
            self.forget_journalled()?;
        }
        self.own.insert(id);
        self.bytes_added += bytes.len() as u64;
        let section = self.lane(kind).builder.push(id, bytes);
        match section {
            Some(section) => self.send(kind, section),
            None => Ok(()),
        }
    }

    /// Takes a chunk of a tree or a list and names it.
    pub(crate) fn put_meta(&mut self, bytes: &[u8]) -> Result<ChunkId, BackupError> {
        let id = self.env.keys.chunk_id(bytes);
        self.put(PackKind::Meta, id, bytes)?;
        Ok(id)
    }

    /// Remembers a list for the next backup, which cannot read it from a pack.
    pub(crate) fn remember_list(&mut self, id: ChunkId, list: &[u8]) -> Result<(), BackupError> {
        self.lists_len += list.len();
        self.lists.push((id, list.to_vec()));
        if self.lists_len >= LISTS_BATCH_LEN {
            self.flush_lists()
        } else {
            Ok(())
        }
    }

    fn flush_lists(&mut self) -> Result<(), BackupError> {
        if !self.lists.is_empty() && !self.env.is_dry_run {
            self.env.file_cache.put_lists(&self.lists)?;
        }
        self.lists.clear();
        self.lists_len = 0;
        Ok(())
    }

    /// Whether the catalogue knows a chunk; its pack is needed then. A chunk claimed by several packs counts for one that is needed anyway.
    fn find(&mut self, id: &ChunkId) -> Result<bool, BackupError> {
        let places = self.env.catalogue.lookup(id)?;
        let Some(first) = places.first() else {
            return Ok(false);
        };
        if !places.iter().any(|place| self.packs_known.contains(&place.pack)) {
            self.packs_known.insert(first.pack);
        }
        Ok(true)
    }

    /// Has everything staged so far journalled, so that the catalogue remembers it instead of this sink.
    fn forget_journalled(&mut self) -> Result<(), BackupError> {
        if self.env.is_dry_run {
            // Nothing gets there: what comes again counts again.
            self.own.clear();
            return Ok(());
        }
        self.env.outlet.flush()?;
        let mut left = HashSet::new();
        for id in self.own.drain() {
            if self.env.catalogue.lookup(&id)?.is_empty() {
                left.insert(id);
            }
        }
        // What is left is in sections and packs on their way to staging, whose bytes are bounded.
        self.own_max = OWN_CHUNKS_MAX.max(2 * left.len());
        self.own = left;
        Ok(())
    }

    fn lane(&mut self, kind: PackKind) -> &mut LaneInput {
        match kind {
            PackKind::Data => &mut self.data,
            PackKind::Meta => &mut self.meta,
        }
    }

    fn send(&mut self, kind: PackKind, section: PlainSection) -> Result<(), BackupError> {
        let held = self
            .env
            .sections
            .take(section.bytes().len() as u64, &self.env.cancel)?;
        let lane = self.lane(kind);
        let sequence = lane.next;
        lane.next += 1;
        let job = SectionJob {
            kind,
            sequence,
            section,
            held,
        };
        self.sections.send(job).map_err(|_| Cancelled.into())
    }

    /// Sends the sections that are not full. Answers the packs of earlier backups that are needed, and the new plaintext in bytes.
    pub(crate) fn finish(mut self) -> Result<(BTreeSet<PackNumber>, u64), BackupError> {
        self.flush_lists()?;
        for kind in [PackKind::Data, PackKind::Meta] {
            let builder = std::mem::take(&mut self.lane(kind).builder);
            if let Some(section) = builder.finish() {
                self.send(kind, section)?;
            }
        }
        Ok((self.packs_known, self.bytes_added))
    }
}
