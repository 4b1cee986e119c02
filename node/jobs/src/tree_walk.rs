//! Walks a stored tree in its order, one entry at a time. Holds a chunk a level; descends only where its caller says.

use nuthatch_format::content::Content;
use nuthatch_format::tree::{Entry, EntryKind, TreeReader};

use crate::content_reader::{ContentError, ContentReader};
use crate::meta_reader::MetaReader;
use crate::progress::{Warning, WarningKind};
use crate::section_reader::ChunkError;
use crate::snapshot_path;

/// Deepest nesting of directories that is walked: far more than a path of `PATH_LEN_MAX` bytes can name.
const DEPTH_MAX: usize = 40_000;

/// One thing on the walk.
#[derive(Debug)]
pub(crate) enum Visit {
    /// An entry. A directory is walked only if the caller enters it.
    Entry {
        /// Its path in the snapshot; the root's entries have one name after a slash.
        path: Vec<u8>,
        /// What it is.
        entry: Box<Entry>,
    },
    /// The end of a directory that was entered.
    Left,
    /// The rest of a directory cannot be read. `Left` follows.
    Broken {
        /// The directory.
        path: Vec<u8>,
        /// Why.
        error: TreeWalkError,
    },
}

/// Why the rest of a directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeWalkError {
    /// A chunk of it cannot be had.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// It is there, but not a tree.
    #[error("the directory's record is malformed")]
    Malformed,
    /// It is nested too deeply.
    #[error("directories are nested too deeply")]
    TooDeep,
}

impl From<ContentError<ChunkError>> for TreeWalkError {
    fn from(error: ContentError<ChunkError>) -> Self {
        match error {
            ContentError::Chunk(error) => Self::Chunk(error),
            ContentError::Malformed => Self::Malformed,
        }
    }
}

impl TreeWalkError {
    /// What kind of warning it is.
    pub(crate) fn kind(&self) -> WarningKind {
        match self {
            Self::Chunk(error) => error.kind(),
            Self::Malformed | Self::TooDeep => WarningKind::Damaged,
        }
    }
}

/// A walk in progress.
#[derive(Default)]
pub(crate) struct TreeWalk {
    levels: Vec<Level>,
}

struct Level {
    path: Vec<u8>,
    tree: TreeReader,
    state: LevelState,
}

enum LevelState {
    Reading(ContentReader),
    Failed(Option<TreeWalkError>),
}

impl TreeWalk {
    /// A walk that begins inside the directory with this path and tree.
    pub(crate) fn new(path: &[u8], tree: &Content) -> Self {
        let mut walk = Self::default();
        walk.enter(path, tree);
        walk
    }

    /// Goes down into a directory.
    pub(crate) fn enter(&mut self, path: &[u8], tree: &Content) {
        let state = if self.levels.len() >= DEPTH_MAX {
            LevelState::Failed(Some(TreeWalkError::TooDeep))
        } else {
            match ContentReader::new::<ChunkError>(tree) {
                Ok(reader) => LevelState::Reading(reader),
                Err(error) => LevelState::Failed(Some(error.into())),
            }
        };
        self.levels.push(Level {
            path: path.to_vec(),
            tree: TreeReader::new(),
            state,
        });
    }

    /// The next thing, or `None` at the end of the walk.
    pub(crate) fn next(&mut self, meta: &mut MetaReader<'_>) -> Option<Visit> {
        let level = self.levels.last_mut()?;
        match &mut level.state {
            LevelState::Reading(content) => match next_entry(&mut level.tree, content, meta) {
                Ok(Some(entry)) => {
                    let path = snapshot_path::join(&level.path, &entry.name);
                    Some(Visit::Entry {
                        path,
                        entry: Box::new(entry),
                    })
                }
                Ok(None) => {
                    self.levels.pop();
                    Some(Visit::Left)
                }
                Err(error) => {
                    level.state = LevelState::Failed(None);
                    Some(Visit::Broken {
                        path: level.path.clone(),
                        error,
                    })
                }
            },
            LevelState::Failed(reason) => {
                if let Some(error) = reason.take() {
                    return Some(Visit::Broken {
                        path: level.path.clone(),
                        error,
                    });
                }
                self.levels.pop();
                Some(Visit::Left)
            }
        }
    }
}

fn next_entry(
    tree: &mut TreeReader,
    content: &mut ContentReader,
    meta: &mut MetaReader<'_>,
) -> Result<Option<Entry>, TreeWalkError> {
    loop {
        if let Some(entry) = tree.next_entry().map_err(|_| TreeWalkError::Malformed)? {
            return Ok(Some(entry));
        }
        let Some(id) = content.next(meta)? else {
            return std::mem::take(tree)
                .finish()
                .map(|()| None)
                .map_err(|_| TreeWalkError::Malformed);
        };
        let bytes = crate::content_reader::ChunkReader::chunk(meta, &id)?;
        tree.push(&bytes);
    }
}

/// The warning about a directory that cannot be read to its end; an error where the whole job ends with it.
pub(crate) fn broken(path: &[u8], error: TreeWalkError) -> Result<Warning, TreeWalkError> {
    if let TreeWalkError::Chunk(ChunkError::Cancelled | ChunkError::Index(_)) = &error {
        return Err(error);
    }
    let kind = error.kind();
    let message = format!("what is below it cannot be listed to its end: {error}");
    Ok(Warning::about(kind, path, message))
}

/// What stands at a path of a snapshot.
pub(crate) enum Found {
    /// The root of all, which has no entry.
    Root,
    /// An entry.
    Entry(Box<Entry>),
    /// Nothing.
    Nothing,
}

/// Looks a path up, below a root tree.
pub(crate) fn find(
    root: &Content,
    names: &[&[u8]],
    meta: &mut MetaReader<'_>,
) -> Result<Found, TreeWalkError> {
    let mut tree = root.clone();
    let mut found = Found::Root;
    for name in names {
        let mut content = ContentReader::new::<ChunkError>(&tree)?;
        let mut reader = TreeReader::new();
        let entry = loop {
            match next_entry(&mut reader, &mut content, meta)? {
                Some(entry) if entry.name == *name => break entry,
                Some(entry) if entry.name.as_slice() < *name => {}
                _ => return Ok(Found::Nothing),
            }
        };
        tree = match &entry.kind {
            EntryKind::Dir { tree } => tree.clone(),
            _ => Content::default(),
        };
        found = Found::Entry(Box::new(entry));
    }
    Ok(found)
}
