//! Verified ranges of a shard: its bytes with the hashes that prove them.
//!
//! The hash tree is kept in a file beside the shard, a cache: one that is missing or wrong is made again from the shard.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use nuthatch_format::ShardId;
use nuthatch_format::slice::{self, MakeError, Outboard, RangeError};

use super::{Inner, ReadShardError, ShardPlace, Vault, read_label, shard_id};
use crate::atomic::{self, At as _, FileError};
use crate::page_cache;

/// Longest hash tree, in bytes: 64 for each 16 KiB of a shard that is at most as long as a pack.
const TREE_LEN_MAX: u64 = 1 << 20;

/// Why a verified range could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SliceShardError {
    /// This vault has no such shard.
    #[error("{place} is not here")]
    NotFound {
        /// The shard that was asked for.
        place: ShardPlace,
    },
    /// The range does not lie in the shard, or not on the borders of its groups.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The shard's bytes are no longer those that its label names, or can't be read, or its label is gone.
    #[error("{place} is damaged")]
    Damaged {
        /// The shard.
        place: ShardPlace,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A slice, and the tree that it was cut with.
#[derive(Debug)]
pub struct ReadSlice {
    /// The slice, as [`nuthatch_format::slice::verify`] takes it.
    pub slice: Vec<u8>,
    /// The tree: with it, the next slice of this shard costs no reading but its own bytes.
    pub tree: Arc<Outboard>,
}

impl Vault {
    /// The slice of a range, checked against the label before it leaves. `tree` is the one of an earlier slice of this shard, if the
    /// caller remembers it; else the one in the file beside the shard is taken, or made.
    pub fn read_slice(
        &self,
        place: &ShardPlace,
        range: Range<u64>,
        tree: Option<Arc<Outboard>>,
    ) -> Result<ReadSlice, SliceShardError> {
        let (file, len) = match self.open_shard(place) {
            Ok(opened) => opened,
            Err(ReadShardError::File(error)) => return Err(error.into()),
            Err(ReadShardError::NotFound { .. } | ReadShardError::OutOfRange { .. }) => {
                return Err(SliceShardError::NotFound { place: *place });
            }
        };
        let known = match tree {
            Some(tree) => Some(tree),
            None => self.kept_tree(place, &self.root_of(place)?, len)?.map(Arc::new),
        };
        if let Some(tree) = known.filter(|tree| tree.total_len() == len) {
            match slice::make(&file, &tree, range.clone()) {
                Ok(slice) => {
                    page_cache::let_go(&file, &range);
                    return Ok(ReadSlice { slice, tree });
                }
                Err(MakeError::Range(error)) => return Err(error.into()),
                // The shard or the tree is wrong: a fresh tree tells which.
                Err(MakeError::Damaged { .. } | MakeError::Read(_)) => {}
            }
        }
        let damaged = SliceShardError::Damaged { place: *place };
        let tree = match self.make_tree(place, &file, len) {
            Err(error) if atomic::is_of_one_file(&error) => return Err(damaged),
            other => other?,
        };
        if tree.root() != self.root_of(place)? {
            return Err(damaged);
        }
        match slice::make(&file, &tree, range) {
            Ok(slice) => {
                let tree = Arc::new(tree);
                Ok(ReadSlice { slice, tree })
            }
            Err(MakeError::Range(error)) => Err(error.into()),
            Err(MakeError::Damaged { .. }) => Err(damaged),
            Err(MakeError::Read(error)) => {
                let path = self.inner.layout.shard(place);
                Err(FileError::new("read", &path, error).into())
            }
        }
    }

    /// The hash that the label gives a shard.
    fn root_of(&self, place: &ShardPlace) -> Result<ShardId, SliceShardError> {
        let label = read_label(&self.inner.layout, &place.archive, &place.label)?;
        let root = label.and_then(|label| shard_id(&label, place.index));
        root.ok_or(SliceShardError::Damaged { place: *place })
    }

    fn kept_tree(&self, place: &ShardPlace, root: &ShardId, len: u64) -> Result<Option<Outboard>, FileError> {
        match atomic::read_file(&self.inner.layout.tree(place), TREE_LEN_MAX) {
            Ok(bytes) => Ok(bytes.and_then(|bytes| Outboard::from_parts(root, len, bytes).ok())),
            Err(error) if atomic::is_of_one_file(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_tree(&self, place: &ShardPlace, file: &File, len: u64) -> Result<Outboard, FileError> {
        use io::Seek as _;
        let path = self.inner.layout.shard(place);
        let mut reader = io::BufReader::with_capacity(super::READ_LEN, file);
        reader.rewind().at("read", &path)?;
        let tree = Outboard::read(reader, len).at("read", &path)?;
        self.inner.keep_tree(place, &tree);
        Ok(tree)
    }
}

impl Inner {
    /// Keeps the hash tree of a shard beside it.
    pub(super) fn keep_tree(&self, place: &ShardPlace, tree: &Outboard) {
        if let Err(error) = atomic::write_hint(&self.layout.tree(place), tree.as_bytes()) {
            // Without it the next range takes longer, and that is all.
            tracing::debug!(%error, %place, "a hash tree is not kept");
        }
    }
}
