//! What a backup needs of the node that it runs in: somebody who journals packs, frees staging and commits snapshots.

use std::collections::BTreeSet;
use std::time::Duration;

use nuthatch_disk::catalogue::PackNumber;
use nuthatch_format::PackId;
use nuthatch_format::seal::SealedPack;
use nuthatch_format::snapshot::{SealedSnapshot, Snapshot};

/// Takes what a backup makes. Called from several threads at a time; each call may block.
pub trait Outlet: Sync {
    /// A pack is synced in staging: note it for the journal. It need not be in the catalogue when this returns.
    fn pack_staged(&self, pack: &SealedPack) -> Result<(), OutletError>;

    /// Every pack staged before this call is in the journal on disk and in the catalogue when it returns.
    fn flush(&self) -> Result<(), OutletError>;

    /// Staging is full: waits up to `patience` for a pack to leave it.
    fn wait_for_space(&self, patience: Duration) -> Space;

    /// The end of a backup, and its only commit point: everything before is journalled, then the snapshot, and then it returns.
    fn commit(&self, commit: Commit<'_>) -> Result<(), OutletError>;
}

/// Whether waiting for staging to empty makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Packs are being sent: some may have left, or will.
    Perhaps,
    /// Nobody takes any.
    Never,
}

/// Why the node could not take what a backup made.
#[derive(Debug, thiserror::Error)]
pub enum OutletError {
    /// The disk that holds the journal is full.
    #[error("the disk that holds the journal is full")]
    DiskFull,
    /// The journal or the catalogue could not be written.
    #[error("the journal could not be written")]
    Journal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A snapshot to be committed.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The snapshot in clear, for the listing line.
    pub snapshot: &'a Snapshot,
    /// The snapshot as it is stored.
    pub sealed: SealedSnapshot,
    /// Packs of earlier backups that it needs, by their number in the catalogue. A pack that this backup staged may be among them.
    pub packs_known: BTreeSet<PackNumber>,
    /// Packs that this backup staged: all are needed.
    pub packs_new: Vec<PackId>,
}
