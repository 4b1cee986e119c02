//! Sealing a snapshot to the archive's readers, deterministically: the same snapshot seals to the same bytes (`envelope`).

use zeroize::Zeroizing;

use super::Snapshot;
use crate::codec::{self, Canonical, DecodeError};
use crate::envelope::{self, Kind, Terms};
use crate::id::SnapshotId;
use crate::keys::{ReaderKeys, WriterKeys};

const SNAPSHOT: Kind = Kind {
    magic: *b"nuthsnap",
    what: "sealed snapshot",
    ephemeral: "nuthatch v1 snapshot ephemeral secret",
    keys: "nuthatch v1 snapshot key and commitment",
    len_max: Snapshot::LEN_MAX,
};

/// A snapshot as it is stored and named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSnapshot {
    /// BLAKE3 of the bytes.
    pub id: SnapshotId,
    /// What the journal carries.
    pub bytes: Vec<u8>,
}

/// Longest sealed snapshot, in bytes.
pub(crate) const SEALED_SNAPSHOT_LEN_MAX: usize = SNAPSHOT.len_max + envelope::OVERHEAD;

/// Why a snapshot can't be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealSnapshotError {
    /// It says something impossible, or too much.
    #[error("the snapshot can't be kept: {0}")]
    Invalid(&'static str),
    /// The archive's public sealing key is no key.
    #[error("the archive's public sealing key is damaged")]
    SealingKey,
}

/// Why sealed bytes are not a snapshot that these keys open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenSnapshotError {
    /// Not shaped like one, before or after opening.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Sealed with the keys of another epoch.
    #[error("the snapshot was sealed in epoch {found}, these keys are of epoch {expected}")]
    Epoch {
        /// Epoch in the bytes.
        found: u32,
        /// Epoch of the keys.
        expected: u32,
    },
    /// Damaged, or sealed for another archive.
    #[error("the snapshot is damaged or belongs to another archive")]
    Damaged,
}

impl SealedSnapshot {
    /// The name of sealed bytes.
    pub fn id_of(bytes: &[u8]) -> SnapshotId {
        SnapshotId::from_bytes(*blake3::hash(bytes).as_bytes())
    }
}

/// Seals a snapshot so that only the archive's readers can open it.
pub fn seal_snapshot(snapshot: &Snapshot, keys: &WriterKeys) -> Result<SealedSnapshot, SealSnapshotError> {
    snapshot.check().map_err(SealSnapshotError::Invalid)?;
    let plain = Zeroizing::new(codec::encode(snapshot));
    let bytes = SNAPSHOT
        .seal(&terms(keys), &keys.sealing_public, &keys.pack_seed_key, &plain)
        .map_err(|_| SealSnapshotError::SealingKey)?;
    Ok(SealedSnapshot {
        id: SealedSnapshot::id_of(&bytes),
        bytes,
    })
}

/// Opens a sealed snapshot.
pub fn open_snapshot(bytes: &[u8], keys: &ReaderKeys) -> Result<Snapshot, OpenSnapshotError> {
    let opened = SNAPSHOT.open(&terms(&keys.writer), &keys.sealing, bytes);
    let plain = opened.map_err(|error| match error {
        envelope::OpenError::Decode(error) => error.into(),
        envelope::OpenError::Epoch(found) => OpenSnapshotError::Epoch {
            found: found.0,
            expected: keys.writer.epoch.0,
        },
        envelope::OpenError::Damaged => OpenSnapshotError::Damaged,
    })?;
    Ok(codec::decode(&plain)?)
}

fn terms(keys: &WriterKeys) -> Terms<'_> {
    Terms {
        archive: &keys.archive,
        epoch: keys.epoch,
        common_secret: &keys.writer_secret,
    }
}
