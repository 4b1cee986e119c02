//! Chunks that are wanted again, gathered from the files that they once came from. A walk over the same paths reads only what holds one of
//! them, and what it finds goes to a file without a name instead of into packs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nuthatch_format::ChunkId;
use parking_lot::Mutex;

use crate::cancel::Cancel;

/// What is wanted, and what was found of it.
#[derive(Debug)]
pub(crate) struct Harvest {
    wanted: BTreeSet<ChunkId>,
    spool: File,
    found: Mutex<Found>,
    /// Ends the walk when nothing is wanting any more.
    cancel: Cancel,
}

#[derive(Debug, Default)]
struct Found {
    places: BTreeMap<ChunkId, (u64, u32)>,
    len: u64,
    failure: Option<std::io::Error>,
}

impl Harvest {
    /// Nothing found yet. `spool` is empty; `cancel` ends the walk.
    pub(crate) fn new(wanted: BTreeSet<ChunkId>, spool: File, cancel: Cancel) -> Self {
        Self {
            wanted,
            spool,
            found: Mutex::default(),
            cancel,
        }
    }

    /// Whether a chunk is still wanting.
    pub(crate) fn wants(&self, id: &ChunkId) -> bool {
        self.wanted.contains(id) && !self.found.lock().places.contains_key(id)
    }

    /// Whether nothing is wanting any more.
    pub(crate) fn is_complete(&self) -> bool {
        self.found.lock().places.len() == self.wanted.len()
    }

    /// Takes a chunk that was just named by its bytes; keeps it if it is wanting.
    pub(crate) fn take(&self, id: &ChunkId, bytes: &[u8]) {
        if !self.wanted.contains(id) {
            return;
        }
        let mut found = self.found.lock();
        if found.places.contains_key(id) || found.failure.is_some() {
            return;
        }
        let offset = found.len;
        match self.spool.write_all_at(bytes, offset) {
            Ok(()) => {
                found.len += bytes.len() as u64;
                found.places.insert(*id, (offset, bytes.len() as u32));
            }
            Err(error) => {
                found.failure = Some(error);
                self.cancel.cancel();
            }
        }
        if found.places.len() == self.wanted.len() {
            self.cancel.cancel();
        }
    }

    /// The bytes of a chunk that was found.
    pub(crate) fn read(&self, id: &ChunkId) -> std::io::Result<Option<Vec<u8>>> {
        let place = self.found.lock().places.get(id).copied();
        let Some((offset, len)) = place else {
            return Ok(None);
        };
        let mut bytes = vec![0; len as usize];
        self.spool.read_exact_at(&mut bytes, offset)?;
        Ok(Some(bytes))
    }

    /// The failure of the disk that the chunks go to, if there was one.
    pub(crate) fn take_failure(&self) -> Option<std::io::Error> {
        self.found.lock().failure.take()
    }
}
