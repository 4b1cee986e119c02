//! The face of a backup: what it is asked, what it works with, what it reports and how it fails. Types only.

use std::io::Read;
use std::path::PathBuf;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::file_cache::FileCache;
use nuthatch_disk::staging::{StagePackError, Staging};
use nuthatch_format::keys::WriterKeys;
use nuthatch_format::seal::SealError;
use nuthatch_format::section::{CompressError, LEVEL_DEFAULT, Level};
use nuthatch_format::snapshot::{PATHS_LEN_MAX, PATHS_MAX, SealSnapshotError, TAG_LEN_MAX, TAGS_MAX};
use nuthatch_format::{ChunkId, SnapshotId, Timestamp};

use super::known::KnownError;
use super::outlet::{Outlet, OutletError};
use crate::cancel::Cancelled;
use crate::pattern::PatternError;
use crate::progress::Warning;
use crate::snapshot_path::PathError;

/// What to back up.
pub struct BackupRequest {
    /// Absolute paths; at most `snapshot::PATHS_MAX` with `snapshot::PATHS_LEN_MAX` bytes. Not looked at when there is a stream.
    pub paths: Vec<PathBuf>,
    /// What the user calls the snapshot; at most `snapshot::TAGS_MAX` of `snapshot::TAG_LEN_MAX` bytes.
    pub tags: Vec<String>,
    /// Patterns of what is left out (see [`crate::pattern`]), those from files among them.
    pub excludes: Vec<String>,
    /// Stay on the file system of each path.
    pub one_file_system: bool,
    /// A stream to be backed up instead of paths.
    pub stream: Option<StreamSource>,
    /// The machine's name.
    pub hostname: String,
    /// The user's name.
    pub username: String,
    /// When the backup was asked for.
    pub start: Timestamp,
    /// Directories that are never backed up: the node's home.
    pub forbidden: Vec<PathBuf>,
    /// The snapshot before this one, of the same host and paths.
    pub parent: Option<SnapshotId>,
    /// Read, cut, compress and count, and store nothing.
    pub dry_run: bool,
}

/// A stream and the name of the file that it becomes.
pub struct StreamSource {
    /// Name of the file, without slashes.
    pub name: Vec<u8>,
    /// Where its bytes come from.
    pub reader: Box<dyn Read + Send>,
}

/// What a backup works with.
#[derive(Clone, Copy)]
pub struct BackupContext<'a> {
    /// The keys to name, cut and seal.
    pub keys: &'a WriterKeys,
    /// What is stored already.
    pub catalogue: &'a Catalogue,
    /// What earlier backups saw.
    pub file_cache: &'a FileCache,
    /// Where packs go.
    pub staging: &'a Staging,
    /// Who takes them from there.
    pub outlet: &'a dyn Outlet,
    /// The machine's clock.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// How much machine to use.
    pub params: BackupParams,
}

/// How much of the machine a backup uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupParams {
    /// How hard to compress.
    pub level: Level,
    /// Threads that compress and seal; at least 1.
    pub workers: usize,
    /// Threads that read small files; at least 1.
    pub readers: usize,
    /// Packs of 16 MiB that are sealed or written at a time, beside the two that are being filled; at least 1.
    pub packs_in_flight_max: usize,
}

impl BackupParams {
    /// For a machine with so many cores. One worker more than cores, since one is usually waiting for the disk; packs are the same
    /// few on every machine, since they are what memory goes to.
    pub fn for_cores(cores: usize) -> Self {
        Self {
            level: LEVEL_DEFAULT,
            workers: cores.clamp(1, 16) + 1,
            readers: cores.clamp(1, 4),
            packs_in_flight_max: 2,
        }
    }
}

/// How a backup went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The snapshot; of a dry run, the one that nobody has stored.
    pub snapshot: SnapshotId,
    /// Keyed hash of the root tree: equal when nothing at all differs.
    pub root_hash: ChunkId,
    /// Regular files of paths not seen before.
    pub files_new: u64,
    /// Regular files with other contents than before.
    pub files_changed: u64,
    /// Regular files as before.
    pub files_unmodified: u64,
    /// Directories of paths not seen before.
    pub dirs_new: u64,
    /// Directories in which something changed.
    pub dirs_changed: u64,
    /// Directories as before.
    pub dirs_unmodified: u64,
    /// Links, pipes, devices and sockets.
    pub others: u64,
    /// Bytes of data read, or found unchanged.
    pub bytes_processed: u64,
    /// New plaintext, in bytes.
    pub bytes_added: u64,
    /// New packs, in bytes.
    pub bytes_stored: u64,
    /// New packs (count).
    pub packs_new: u64,
    /// Entries that could not be read (count).
    pub errors: u64,
    /// When it was done.
    pub end: Timestamp,
    /// What was not as it should be, up to `progress::WARNINGS_MAX`.
    pub warnings: Vec<Warning>,
}

/// Why there is no snapshot. What was sealed until then stays in staging and is not made again.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The job was told to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// No path was given, or more than a snapshot can name.
    #[error("a backup takes 1 to {PATHS_MAX} paths, not {found}")]
    PathCount {
        /// How many were given.
        found: usize,
    },
    /// A path cannot be backed up.
    #[error("cannot back up {}", path.display())]
    Path {
        /// The path as given.
        path: PathBuf,
        /// What is wrong with it.
        source: PathError,
    },
    /// The paths together are longer than a snapshot can keep.
    #[error("the paths have {found} bytes together, at most {PATHS_LEN_MAX} are allowed")]
    PathsLen {
        /// Their length.
        found: usize,
    },
    /// More tags than a snapshot can keep, or one that is too long.
    #[error("a snapshot takes at most {TAGS_MAX} tags of at most {TAG_LEN_MAX} bytes")]
    Tags,
    /// The stream's file cannot have this name.
    #[error("a stream cannot be stored under this name")]
    StreamName,
    /// None of the paths could be read.
    #[error("nothing could be read: {first}")]
    NothingReadable {
        /// What was wrong with the first.
        first: String,
    },
    /// A pattern is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The stream ended with an error.
    #[error("the stream could not be read")]
    Stream(#[source] std::io::Error),
    /// Staging is full and nobody takes anything from it.
    #[error("staging is full, and no host takes anything: {needed} bytes more are needed")]
    StagingFull {
        /// Length of the pack that did not fit.
        needed: u64,
    },
    /// Staging failed.
    #[error("a pack could not be staged")]
    Staging(#[from] StagePackError),
    /// The journal failed.
    #[error(transparent)]
    Outlet(#[from] OutletError),
    /// The catalogue failed.
    #[error("the catalogue could not be read")]
    Catalogue(#[from] IndexError),
    /// What is known of earlier backups failed.
    #[error(transparent)]
    Known(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// Compressing failed.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The archive's keys cannot seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The snapshot cannot be sealed.
    #[error(transparent)]
    Snapshot(#[from] SealSnapshotError),
}

impl From<KnownError> for BackupError {
    fn from(error: KnownError) -> Self {
        Self::Known(Box::new(error))
    }
}
