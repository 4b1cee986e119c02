//! Verified ranges of a shard: its bytes with the hashes that prove them.
//!
//! The hash tree is kept in a file beside the shard, a cache: one that is missing or wrong is made again from the shard.

use std::fs::File;
use std::io;
use std::ops::Range;

use nuthatch_format::ShardId;
use nuthatch_format::slice::{self, MakeError, Outboard, RangeError};

use super::{ReadShardError, ShardPlace, Vault, read_label, shard_id};
use crate::atomic::{self, At as _, FileError};

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

impl Vault {
    /// The slice of a range, as [`nuthatch_format::slice::verify`] takes it. It is checked against the label before it leaves.
    pub fn read_slice(&self, place: &ShardPlace, range: Range<u64>) -> Result<Vec<u8>, SliceShardError> {
        let not_found = SliceShardError::NotFound { place: *place };
        let damaged = || SliceShardError::Damaged { place: *place };
        let (file, len) = match self.open_shard(place) {
            Ok(opened) => opened,
            Err(ReadShardError::File(error)) => return Err(error.into()),
            Err(ReadShardError::NotFound { .. } | ReadShardError::OutOfRange { .. }) => {
                return Err(not_found);
            }
        };
        let layout = &self.inner.layout;
        let label = read_label(layout, &place.archive, &place.label)?;
        let root = label
            .and_then(|label| shard_id(&label, place.index))
            .ok_or_else(damaged)?;
        if let Some(outboard) = self.kept_outboard(place, &root, len)? {
            match slice::make(&file, &outboard, range.clone()) {
                Ok(slice) => return Ok(slice),
                Err(MakeError::Range(error)) => return Err(error.into()),
                // The shard or the tree is wrong: a fresh tree tells which.
                Err(MakeError::Damaged { .. } | MakeError::Read(_)) => {}
            }
        }
        let outboard = match self.make_outboard(place, &file, len) {
            Err(error) if atomic::is_of_one_file(&error) => return Err(damaged()),
            other => other?,
        };
        if outboard.root() != root {
            return Err(damaged());
        }
        slice::make(&file, &outboard, range).map_err(|error| match error {
            MakeError::Range(error) => error.into(),
            MakeError::Damaged { .. } => damaged(),
            MakeError::Read(error) => FileError::new("read", &layout.shard(place), error).into(),
        })
    }

    fn kept_outboard(
        &self,
        place: &ShardPlace,
        root: &ShardId,
        len: u64,
    ) -> Result<Option<Outboard>, FileError> {
        match atomic::read_file(&self.inner.layout.tree(place), TREE_LEN_MAX) {
            Ok(bytes) => Ok(bytes.and_then(|bytes| Outboard::from_parts(root, len, bytes).ok())),
            Err(error) if atomic::is_of_one_file(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_outboard(&self, place: &ShardPlace, file: &File, len: u64) -> Result<Outboard, FileError> {
        use io::Seek as _;
        let path = self.inner.layout.shard(place);
        let mut reader = io::BufReader::with_capacity(super::READ_LEN, file);
        reader.rewind().at("read", &path)?;
        let outboard = Outboard::read(reader, len).at("read", &path)?;
        if let Err(error) = atomic::write_hint(&self.inner.layout.tree(place), outboard.as_bytes()) {
            // Without it the next range takes longer, and that is all.
            tracing::debug!(%error, %place, "a hash tree is not kept");
        }
        Ok(outboard)
    }
}
