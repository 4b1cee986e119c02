//! What all threads of one backup share. Owns the byte budgets and the first failure; does no work itself.

use std::sync::atomic::{AtomicU64, Ordering};

use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::file_cache::FileCache;
use nuthatch_disk::staging::Staging;
use nuthatch_format::PackId;
use nuthatch_format::chunker::Chunker;
use nuthatch_format::keys::WriterKeys;
use nuthatch_format::pack::PackKind;
use nuthatch_format::padding::PACK_LEN;
use nuthatch_format::seal::PackPlan;
use nuthatch_format::section::{Level, SECTION_LEN_MAX};
use parking_lot::Mutex;

use super::BackupError;
use super::harvest::Harvest;
use super::outlet::Outlet;
use crate::budget::ByteBudget;
use crate::cancel::Cancel;

/// Bytes of small files that readers may hold ready.
const READ_AHEAD_LEN: u64 = 8 * 1024 * 1024;

/// Everything that the threads of a backup have in common.
pub(crate) struct Env<'a> {
    /// The keys to name, cut and seal.
    pub(crate) keys: &'a WriterKeys,
    /// Cuts files, trees and lists.
    pub(crate) chunker: Chunker,
    /// What is stored already.
    pub(crate) catalogue: &'a Catalogue,
    /// What earlier backups saw.
    pub(crate) file_cache: &'a FileCache,
    /// Where packs go.
    pub(crate) staging: &'a Staging,
    /// Who takes them from there.
    pub(crate) outlet: &'a dyn Outlet,
    /// Where chunks go instead of into packs, when that is what this is for.
    pub(crate) harvest: Option<&'a Harvest>,
    /// How hard to compress.
    pub(crate) level: Level,
    /// Nothing is stored: neither packs nor what the next backup would know.
    pub(crate) is_dry_run: bool,
    /// Set when the job is cancelled or a part of it fails.
    pub(crate) cancel: Cancel,
    /// For sections on their way from the sequencer into a pack.
    pub(crate) sections: ByteBudget,
    /// For packs that are sealed or written.
    pub(crate) packs: ByteBudget,
    /// Buffers of packs that were staged, for those to come: as many as there are packs at a time.
    pub(crate) buffers: Mutex<Vec<Vec<u8>>>,
    /// For small files on their way from a reader to the sequencer.
    pub(crate) read_ahead: ByteBudget,
    /// Bytes in packs that were staged, or would be.
    pub(crate) bytes_stored: AtomicU64,
    /// Packs that were staged, or would be.
    pub(crate) packs_new: Mutex<Vec<PackId>>,
    failure: Mutex<Option<BackupError>>,
}

/// What an [`Env`] is made of.
pub(crate) struct Parts<'a> {
    pub(crate) keys: &'a WriterKeys,
    pub(crate) chunker: Chunker,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) file_cache: &'a FileCache,
    pub(crate) staging: &'a Staging,
    pub(crate) outlet: &'a dyn Outlet,
    pub(crate) harvest: Option<&'a Harvest>,
    pub(crate) level: Level,
    pub(crate) is_dry_run: bool,
    pub(crate) workers: usize,
    pub(crate) packs_in_flight_max: usize,
}

impl<'a> Env<'a> {
    /// The environment of one backup that ends with `cancel`.
    pub(crate) fn new(parts: Parts<'a>, cancel: &Cancel) -> Self {
        Self {
            keys: parts.keys,
            chunker: parts.chunker,
            catalogue: parts.catalogue,
            file_cache: parts.file_cache,
            staging: parts.staging,
            outlet: parts.outlet,
            harvest: parts.harvest,
            level: parts.level,
            is_dry_run: parts.is_dry_run,
            cancel: cancel.for_parts(),
            sections: ByteBudget::new((2 * parts.workers as u64 + 2) * SECTION_LEN_MAX as u64),
            packs: ByteBudget::new(parts.packs_in_flight_max.max(1) as u64 * PACK_LEN as u64),
            buffers: Mutex::new(Vec::new()),
            read_ahead: ByteBudget::new(READ_AHEAD_LEN),
            bytes_stored: AtomicU64::new(0),
            packs_new: Mutex::new(Vec::new()),
            failure: Mutex::new(None),
        }
    }

    /// Ends the backup because a part of it failed. The first failure is the one that counts.
    pub(crate) fn fail(&self, error: BackupError) {
        let mut failure = self.failure.lock();
        if failure.is_none() {
            *failure = Some(error);
        }
        self.cancel.cancel();
    }

    /// The failure that ended the backup, if one did.
    pub(crate) fn take_failure(&self) -> Option<BackupError> {
        self.failure.lock().take()
    }

    /// An empty pack, in the buffer of one that was staged if there is one.
    pub(crate) fn new_plan(&self, kind: PackKind) -> PackPlan {
        let buffer = self.buffers.lock().pop();
        PackPlan::with_buffer(kind, buffer.unwrap_or_default())
    }

    /// Counts a pack that is staged, or would be.
    pub(crate) fn staged(&self, id: PackId, len: u64) {
        self.bytes_stored.fetch_add(len, Ordering::Relaxed);
        self.packs_new.lock().push(id);
    }
}
