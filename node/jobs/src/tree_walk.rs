//! Walks a stored tree in its order, one entry at a time. Holds a chunk a level; descends only where its caller says.

use nuthatch_format::ChunkId;
use nuthatch_format::content::Content;
use nuthatch_format::tree::{Entry, EntryKind, TreeReader};

use crate::content_reader::{ChunkReader, ContentError, ContentReader};
use crate::meta_reader::MetaReader;
use crate::progress::{Warning, WarningKind};
use crate::section_reader::ChunkError;
use crate::snapshot_path;

/// Bytes of chunks that the directories on the way down may hold: ten thousands of usual ones, and a bound for those that somebody has
/// made to fill the memory of whoever walks them.
const HELD_LEN_MAX: usize = 256 * 1024 * 1024;

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
    /// The path of the deepest level; those of the others are its beginnings.
    path: Vec<u8>,
    /// What all levels hold, in bytes.
    held: usize,
}

struct Level {
    path_len: usize,
    tree: TreeReader,
    state: LevelState,
    /// Chunks that are held at a time, one for each level of the content (count).
    chunks_held: usize,
    /// What they take at most, in bytes.
    held: usize,
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

    /// Goes down into a directory, by the path of its entry.
    pub(crate) fn enter(&mut self, path: &[u8], tree: &Content) {
        let state = if path.len() > snapshot_path::PATH_LEN_MAX {
            LevelState::Failed(Some(TreeWalkError::TooDeep))
        } else {
            match ContentReader::new::<ChunkError>(tree) {
                Ok(reader) => LevelState::Reading(reader),
                Err(error) => LevelState::Failed(Some(error.into())),
            }
        };
        self.path.clear();
        self.path.extend_from_slice(path);
        self.levels.push(Level {
            path_len: path.len(),
            tree: TreeReader::new(),
            state,
            chunks_held: usize::from(tree.depth) + 1,
            held: 0,
        });
    }

    fn leave(&mut self) -> Visit {
        let left = self.levels.pop();
        self.held -= left.map_or(0, |level| level.held);
        self.path
            .truncate(self.levels.last().map_or(0, |level| level.path_len));
        Visit::Left
    }

    /// The next thing, or `None` at the end of the walk.
    pub(crate) fn next(&mut self, meta: &mut MetaReader<'_>) -> Option<Visit> {
        let level = self.levels.last_mut()?;
        let error = match &mut level.state {
            LevelState::Reading(content) => {
                let mut reader = Measured { meta, longest: 0 };
                let next = next_entry(&mut level.tree, content, &mut reader);
                let holds = reader.longest * level.chunks_held;
                if holds > level.held {
                    self.held += holds - level.held;
                    level.held = holds;
                }
                match next {
                    Ok(Some(_)) if self.held > HELD_LEN_MAX => TreeWalkError::TooDeep,
                    Ok(Some(entry)) => {
                        return Some(Visit::Entry {
                            path: snapshot_path::join(&self.path, &entry.name),
                            entry: Box::new(entry),
                        });
                    }
                    Ok(None) => return Some(self.leave()),
                    Err(error) => error,
                }
            }
            LevelState::Failed(reason) => match reason.take() {
                Some(error) => error,
                None => return Some(self.leave()),
            },
        };
        level.state = LevelState::Failed(None);
        Some(Visit::Broken {
            path: self.path.clone(),
            error,
        })
    }
}

/// Notes how long the chunks are that it gives.
struct Measured<'m, 'a> {
    meta: &'m mut MetaReader<'a>,
    longest: usize,
}

impl ChunkReader for Measured<'_, '_> {
    type Error = ChunkError;

    fn chunk(&mut self, id: &ChunkId) -> Result<Vec<u8>, ChunkError> {
        let bytes = self.meta.chunk(id)?;
        self.longest = self.longest.max(bytes.len());
        Ok(bytes)
    }
}

fn next_entry(
    tree: &mut TreeReader,
    content: &mut ContentReader,
    reader: &mut impl ChunkReader<Error = ChunkError>,
) -> Result<Option<Entry>, TreeWalkError> {
    loop {
        if let Some(entry) = tree.next_entry().map_err(|_| TreeWalkError::Malformed)? {
            return Ok(Some(entry));
        }
        let Some(id) = content.next(reader)? else {
            return std::mem::take(tree)
                .finish()
                .map(|()| None)
                .map_err(|_| TreeWalkError::Malformed);
        };
        let bytes = reader.chunk(&id)?;
        tree.push(&bytes);
    }
}

/// The warning about a directory that cannot be read to its end; an error where the whole job ends with it.
pub(crate) fn broken(path: &[u8], error: TreeWalkError) -> Result<Warning, TreeWalkError> {
    if let TreeWalkError::Chunk(ChunkError::Cancelled(_) | ChunkError::Index(_)) = &error {
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
