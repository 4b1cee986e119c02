//! A restore: from a snapshot to files below a target.
//!
//! The tree is walked in its order; directories are made, links and special files too, and the chunks of files are collected into windows. Each
//! window is turned into reads of packs (see [`plan`]) whose chunks are proven and written wherever they belong. Attributes of directories
//! come last. It writes nothing outside the target, and leaves alone what is already right.

mod dir_spool;
mod fetch;
mod files;
mod links;
mod plan;
mod planner;
pub(crate) mod ranges;
mod segments;
mod walk;

use std::path::{Path, PathBuf};

use nuthatch_disk::IndexError;
use nuthatch_disk::owners::Owners;
use nuthatch_disk::target::{TargetDir, TargetError};
use nuthatch_format::snapshot::Snapshot;

use crate::budget::ByteBudget;
use crate::cancel::{Cancel, Cancelled};
use crate::meta_reader::MetaReader;
use crate::pattern::{PatternError, PatternSet};
use crate::progress::{Progress, Reporter, Warning, WarningKind};
use crate::section_reader::{ChunkError, ReadContext};
use crate::snapshot_path::{self, PathError};
use crate::tree_walk::{self, Found, TreeWalkError};
use fetch::Fetcher;
use files::Files;
use walk::Restorer;

/// What to do with what stands in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Replace it where its contents differ, which are read to find out.
    #[default]
    Always,
    /// The same, but a file of the right size and time counts as right without being read.
    IfChanged,
    /// Leave it alone.
    Never,
}

/// What to restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The snapshot, opened.
    pub snapshot: Snapshot,
    /// A path in the snapshot: what is there lands directly in the target. `None`: everything, by its full path.
    pub subpath: Option<Vec<u8>>,
    /// Where it goes; made where it is missing.
    pub target: PathBuf,
    /// Patterns of what is restored; none: everything. Matched against paths in the snapshot.
    pub includes: Vec<String>,
    /// Patterns of what is left out.
    pub excludes: Vec<String>,
    /// What to do with what is there.
    pub overwrite: Overwrite,
    /// Count and read metadata, and write nothing.
    pub dry_run: bool,
}

/// What a restore works with.
#[derive(Clone, Copy)]
pub struct RestoreContext<'a> {
    /// Where packs are read.
    pub read: ReadContext<'a>,
    /// A directory for scratch files, of the node's own.
    pub scratch: &'a Path,
    /// How much machine to use.
    pub params: RestoreParams,
}

/// How much of the machine a restore uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreParams {
    /// Reads from the source at a time; at least 1.
    pub reads_max: usize,
    /// Bytes that may be read and not written yet, in all.
    pub read_bytes_max: u64,
}

impl Default for RestoreParams {
    /// Four reads hide a network's round trips; three of the longest fit in the bytes.
    fn default() -> Self {
        Self {
            reads_max: 4,
            read_bytes_max: 3 * plan::READ_LEN_MAX,
        }
    }
}

/// How a restore went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreReport {
    /// Regular files written, hard links among them.
    pub files_restored: u64,
    /// Regular files that were right, or that were to be left alone.
    pub files_unchanged: u64,
    /// Directories made or found.
    pub dirs: u64,
    /// Links, pipes and devices made.
    pub others: u64,
    /// Bytes of data written.
    pub bytes_restored: u64,
    /// Bytes that came from the source.
    pub bytes_fetched: u64,
    /// Entries that could not be restored (count).
    pub errors: u64,
    /// What was not as it should be, up to `progress::WARNINGS_MAX`.
    pub warnings: Vec<Warning>,
}

/// Why a restore ended early. What was written stays; the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The job was told to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The snapshot has nothing at this path.
    #[error("the snapshot has no {}", snapshot_path::display(path))]
    NotFound {
        /// The path.
        path: Vec<u8>,
    },
    /// The path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A pattern is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The target cannot be written.
    #[error("the target cannot be used")]
    Target(#[source] TargetError),
    /// The path could not be looked up, because a directory on the way cannot be read.
    #[error("a directory on the way to the path cannot be read")]
    Lookup {
        /// What kind of trouble it is.
        kind: WarningKind,
        /// The trouble.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The catalogue failed.
    #[error("the catalogue could not be read")]
    Catalogue(#[from] IndexError),
    /// A scratch file failed.
    #[error("a scratch file could not be written or read")]
    Scratch(#[source] std::io::Error),
}

impl RestoreError {
    /// The end of a job because of a chunk; `Ok` where only an entry suffers.
    fn of_chunk(error: ChunkError) -> Result<ChunkError, Self> {
        match error {
            ChunkError::Cancelled(cancelled) => Err(cancelled.into()),
            ChunkError::Index(error) => Err(Self::Catalogue(error)),
            other => Ok(other),
        }
    }
}

impl From<TreeWalkError> for RestoreError {
    fn from(error: TreeWalkError) -> Self {
        match error {
            TreeWalkError::Chunk(ChunkError::Cancelled(cancelled)) => cancelled.into(),
            TreeWalkError::Chunk(ChunkError::Index(error)) => Self::Catalogue(error),
            other => Self::Lookup {
                kind: other.kind(),
                source: Box::new(other),
            },
        }
    }
}

/// Restores. Blocks until everything that can be written is.
pub fn run(
    request: &RestoreRequest,
    context: RestoreContext<'_>,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<RestoreReport, RestoreError> {
    let reporter = Reporter::new(progress);
    let book = context.read.book();
    let sections = context.read.sections(&book, &reporter, cancel);
    let mut meta = MetaReader::new(&sections);
    let names = snapshot_path::names(request.subpath.as_deref().unwrap_or_default())?;
    let found = tree_walk::find(&request.snapshot.root, &names, &mut meta)?;
    if matches!(found, Found::Nothing) {
        return Err(RestoreError::NotFound {
            path: request.subpath.clone().unwrap_or_default(),
        });
    }
    let includes = PatternSet::new(&request.includes)?;
    let excludes = PatternSet::new(&request.excludes)?;
    let root = if request.dry_run {
        None
    } else {
        Some(TargetDir::open_root(&request.target).map_err(RestoreError::Target)?)
    };
    let files = Files::new(root.clone(), &reporter);
    let budget = ByteBudget::new(context.params.read_bytes_max);
    let fetcher = Fetcher {
        sections: &sections,
        budget: &budget,
        reads_max: context.params.reads_max,
    };
    let owners = Owners::load();
    let mut restorer = Restorer::new(walk::Parts {
        includes: &includes,
        excludes: &excludes,
        overwrite: request.overwrite,
        owners: &owners,
        files: &files,
        fetcher: &fetcher,
        reporter: &reporter,
        root,
        scratch: context.scratch,
    })?;
    restorer.restore(&request.snapshot, &names, found, &mut meta)?;
    let counts = restorer.finish()?;
    let (files_written, bytes_restored) = files.written();
    let tally = reporter.tally();
    drop((files, sections));
    Ok(RestoreReport {
        files_restored: files_written + counts.files_linked,
        files_unchanged: counts.files_unchanged,
        dirs: counts.dirs,
        others: counts.others,
        bytes_restored,
        bytes_fetched: tally.bytes_moved,
        errors: tally.errors,
        warnings: reporter.into_warnings(),
    })
}
