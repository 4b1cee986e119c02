//! Lists what a snapshot holds, entry by entry. Reads metadata only and keeps nothing.

use nuthatch_disk::IndexError;
use nuthatch_format::content::Content;
use nuthatch_format::snapshot::Snapshot;
use nuthatch_format::tree::{Entry, EntryKind};

use crate::cancel::{Cancel, Cancelled};
use crate::meta_reader::MetaReader;
use crate::progress::{Progress, Reporter, Warning, WarningKind};
use crate::section_reader::{ChunkError, ReadContext};
use crate::snapshot_path::{self, PathError};
use crate::tree_walk::{self, Found, TreeWalk, TreeWalkError, Visit};

/// How far down to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The entries of the directory.
    Entries,
    /// Everything below it.
    Everything,
}

/// What to list.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// The snapshot, opened.
    pub snapshot: Snapshot,
    /// A path in it; empty for all. A path that is no directory lists as itself.
    pub subpath: Vec<u8>,
    /// How far down.
    pub depth: Depth,
}

/// How a listing went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReport {
    /// Entries listed (count).
    pub entries: u64,
    /// Directories that could not be listed to their end (count).
    pub errors: u64,
    /// Bytes that came from the source.
    pub bytes_fetched: u64,
    /// What was not as it should be.
    pub warnings: Vec<Warning>,
}

/// Why nothing more was listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
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
}

impl From<TreeWalkError> for ListError {
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

/// Lists: calls `each` with the path (raw bytes) and the entry, in stored order. `false` from it ends the listing.
pub fn run(
    request: &ListRequest,
    context: ReadContext<'_>,
    each: &mut dyn FnMut(&[u8], &Entry) -> bool,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ListReport, ListError> {
    let reporter = Reporter::new(progress);
    let book = context.book();
    let sections = context.sections(&book, &reporter, cancel);
    let mut meta = MetaReader::new(&sections);
    let names = snapshot_path::names(&request.subpath)?;
    let path = names
        .iter()
        .fold(Vec::new(), |path, name| snapshot_path::join(&path, name));
    let mut entries = 0;
    match tree_walk::find(&request.snapshot.root, &names, &mut meta)? {
        Found::Nothing => return Err(ListError::NotFound { path }),
        Found::Root => entries += list(&path, &request.snapshot.root, request.depth, each, &mut meta)?,
        Found::Entry(entry) => {
            if let EntryKind::Dir { tree } = &entry.kind {
                entries += list(&path, tree, request.depth, each, &mut meta)?;
            } else {
                each(&path, &entry);
                entries += 1;
            }
        }
    }
    drop(meta);
    let tally = reporter.tally();
    Ok(ListReport {
        entries,
        errors: tally.errors,
        bytes_fetched: tally.bytes_moved,
        warnings: reporter.into_warnings(),
    })
}

fn list(
    path: &[u8],
    tree: &Content,
    depth: Depth,
    each: &mut dyn FnMut(&[u8], &Entry) -> bool,
    meta: &mut MetaReader<'_>,
) -> Result<u64, ListError> {
    let mut walk = TreeWalk::new(path, tree);
    let mut entries = 0;
    while let Some(visit) = walk.next(meta) {
        meta.sections().cancel.check()?;
        match visit {
            Visit::Entry { path, entry } => {
                entries += 1;
                if !each(&path, &entry) {
                    break;
                }
                if let (EntryKind::Dir { tree }, Depth::Everything) = (&entry.kind, depth) {
                    walk.enter(&path, tree);
                }
            }
            Visit::Left => {}
            Visit::Broken { path, error } => {
                let warning = tree_walk::broken(&path, error).map_err(ListError::from)?;
                meta.sections().reporter.error(warning);
            }
        }
    }
    Ok(entries)
}
