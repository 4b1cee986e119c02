//! What takes the packs and the snapshot of a backup job: the journal, and through it the engine. Decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nuthatch_disk::catalogue::{PackNumber, PackRecord};
use nuthatch_engine::boundary::Input;
use nuthatch_format::PackId;
use nuthatch_format::codec;
use nuthatch_format::journal::Entry;
use nuthatch_format::seal::SealedPack;
use nuthatch_format::snapshot::{PackChange, PackSet, SnapshotLine};
use nuthatch_jobs::backup::outlet::{Commit, Outlet, OutletError, Space};
use parking_lot::Mutex;

use crate::clock;
use crate::journal::JournalError;
use crate::node::{Node, Owned};

/// How long a backup whose staging is full waits for a host to come.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// Packs that share a segment while a backup runs: enough to keep segments few, few enough that sending begins early.
const PACKS_PER_SEGMENT: usize = 4;

/// The outlet of one backup.
#[derive(Debug)]
pub(crate) struct NodeOutlet {
    node: Arc<Node>,
    owned: Arc<Owned>,
    unwritten: AtomicUsize,
    /// When somebody took something last, or the job began.
    taken_at: Mutex<Instant>,
}

impl NodeOutlet {
    pub(crate) fn new(node: &Arc<Node>, owned: &Arc<Owned>) -> Self {
        Self {
            node: Arc::clone(node),
            owned: Arc::clone(owned),
            unwritten: AtomicUsize::new(0),
            taken_at: Mutex::new(clock::instant()),
        }
    }

    /// Writes what waits and tells the engine.
    fn write(&self) -> Result<(), OutletError> {
        self.unwritten.store(0, Ordering::Relaxed);
        let journal = self.owned.journal.flush().map_err(failed)?;
        let archive = self.owned.archive;
        self.node
            .engine
            .tell_blocking(Input::JournalGrew { archive, journal });
        self.node.engine.tell_blocking(Input::WorkChanged { archive });
        Ok(())
    }

    /// Whether a host takes what is staged, or may yet: one that is being dialled, or that was just lost, has a moment to come.
    fn may_take(&self) -> bool {
        let pulse = &self.node.pulse;
        let (online, full) = (pulse.online(), pulse.full());
        let mut taken_at = self.taken_at.lock();
        let now = clock::instant();
        if pulse
            .leases()
            .keys()
            .any(|host| online.contains_key(host) && !full.contains(host))
        {
            *taken_at = now;
        }
        !self.node.has_no_others() && now.saturating_duration_since(*taken_at) < ARRIVAL_MAX
    }

    fn needed(&self, commit: &Commit<'_>) -> Result<PackSet, OutletError> {
        let mut set = PackSet::new();
        let mut add = |record: Option<PackRecord>| {
            if let Some(record) = record {
                set.insert(record.line, record.ordinal);
            }
        };
        for number in &commit.packs_known {
            add(self.pack(*number)?);
        }
        let new: BTreeSet<&PackId> = commit.packs_new.iter().collect();
        for id in new {
            let numbers = self
                .owned
                .catalogue
                .pack_numbers(id)
                .map_err(|error| failed(error.into()))?;
            add(match numbers.last() {
                Some(number) => self.pack(*number)?,
                None => None,
            });
        }
        Ok(set)
    }

    fn pack(&self, number: PackNumber) -> Result<Option<PackRecord>, OutletError> {
        self.owned
            .catalogue
            .pack(number)
            .map_err(|error| failed(error.into()))
    }
}

fn failed(error: JournalError) -> OutletError {
    if error.is_disk_full() {
        OutletError::DiskFull
    } else {
        OutletError::Journal(Box::new(error))
    }
}

impl Outlet for NodeOutlet {
    fn pack_staged(&self, pack: &SealedPack) -> Result<(), OutletError> {
        let entry = Entry::PackAdded {
            pack: pack.id,
            kind: pack.kind,
            len: pack.bytes.len() as u64,
            header: pack.header.as_bytes().to_vec(),
            directory: codec::encode(&pack.directory),
        };
        self.owned.journal.add(entry).map_err(failed)?;
        if self.unwritten.fetch_add(1, Ordering::Relaxed) + 1 >= PACKS_PER_SEGMENT {
            self.write()?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), OutletError> {
        self.write()
    }

    fn wait_for_space(&self, patience: Duration) -> Space {
        if !self.may_take() {
            return Space::Never;
        }
        if let Err(error) = self.write() {
            tracing::warn!("the journal can't be written: {error}");
            return Space::Never;
        }
        std::thread::sleep(patience);
        Space::Perhaps
    }

    fn commit(&self, commit: Commit<'_>) -> Result<(), OutletError> {
        self.write()?;
        let snapshot = commit.snapshot;
        let needed = self.needed(&commit)?;
        let parent = snapshot
            .parent
            .filter(|parent| self.owned.catalogue.packs_needed(parent).is_ok());
        let before = match &parent {
            Some(parent) => self.owned.catalogue.packs_needed(parent).unwrap_or_default(),
            None => PackSet::new(),
        };
        let packs_needed =
            PackChange::between(&before, &needed).map_err(|error| OutletError::Journal(Box::new(error)))?;
        let line = SnapshotLine {
            time: snapshot.end,
            tags: snapshot.tags.clone(),
            bytes: snapshot.counts.bytes,
            files: snapshot.counts.files,
            packs_needed,
            group: self
                .owned
                .writer
                .snapshot_group(&snapshot.hostname, &snapshot.paths),
            parent,
        };
        let entry = Entry::SnapshotAdded {
            id: commit.sealed.id,
            line,
            sealed: commit.sealed.bytes,
        };
        self.owned.journal.add(entry).map_err(failed)?;
        self.write()?;
        self.node.engine.tell_blocking(Input::Committed {
            archive: self.owned.archive,
        });
        self.node.pulse.stir();
        Ok(())
    }
}
