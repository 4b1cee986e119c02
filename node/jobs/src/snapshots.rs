//! Opens snapshots that the catalogue has. Reads; nothing else.

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::Catalogue;
use nuthatch_format::SnapshotId;
use nuthatch_format::keys::ReaderKeys;
use nuthatch_format::snapshot::{OpenSnapshotError, Snapshot, open_snapshot};

/// Why a snapshot cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The journal here does not have it.
    #[error("there is no snapshot {} here", snapshot.short())]
    Unknown {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// It is there and does not open with these keys.
    #[error("snapshot {} cannot be opened", snapshot.short())]
    Unopened {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Why.
        source: OpenSnapshotError,
    },
    /// The catalogue failed.
    #[error("the catalogue could not be read")]
    Catalogue(#[from] IndexError),
}

/// The snapshot of this id, opened.
pub fn open(id: &SnapshotId, catalogue: &Catalogue, keys: &ReaderKeys) -> Result<Snapshot, SnapshotError> {
    let record = catalogue
        .snapshot(id)?
        .ok_or(SnapshotError::Unknown { snapshot: *id })?;
    open_snapshot(&record.sealed, keys).map_err(|source| SnapshotError::Unopened {
        snapshot: *id,
        source,
    })
}
