//! Verified slices: any range of a shard with the hashes that prove it, by BLAKE3's own tree.
//!
//! A shard is named by its plain BLAKE3 hash, so its name is the root of the tree and whoever knows the name and the length can check
//! any part. Groups are 16 KiB: the hashes beside a shard (its *outboard*) are 0.4 % of it. This file owns ranges, outboards and slices; it never
//! stores them.
//!
//! ```text
//! slice    = the nodes of the tree that touch the range, in pre-order: an inner node is the hashes of its two children (64 bytes),
//!            a leaf is the bytes of its group
//! outboard = the hash pairs of all inner nodes, in post-order: (groups - 1) * 64 bytes
//! ```

use std::io::Read;
use std::ops::Range;

use bao_tree::io::outboard::PostOrderMemOutboard;
use bao_tree::io::sync::{DecodeResponseIter, encode_ranges_validated, outboard_post_order};
use bao_tree::io::{BaoContentItem, DecodeError, EncodeError, Leaf};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};

pub use bao_tree::io::sync::ReadAt;

use crate::id::ShardId;

mod builder;

pub use builder::OutboardBuilder;

/// Bytes of a group: the finest grain of a range.
pub const GROUP_LEN: u64 = 16 * 1024;
/// Bytes of a range that travel in one message.
pub const SLICE_RANGE: u64 = 256 * 1024;
/// Longest slice of a range of at most [`SLICE_RANGE`] bytes in a shard as long as a pack: its bytes, the inner nodes above its groups,
/// and two paths from the root, which has ten levels of inner nodes above 1024 groups.
pub const SLICE_LEN_MAX: usize = SLICE_RANGE as usize + 64 * (SLICE_RANGE / GROUP_LEN + 2 * 10) as usize;

const GROUP: BlockSize = BlockSize::from_chunk_log(4);
/// BLAKE3's chunk, in bytes: the unit in which the tree counts.
const LEAF_LEN: u64 = 1024;

const _: () = assert!(GROUP_LEN == LEAF_LEN << 4 && SLICE_RANGE.is_multiple_of(GROUP_LEN));
const _: () = assert!((crate::padding::PACK_LEN as u64).div_ceil(GROUP_LEN) <= 1 << 10);

/// A range that can't be cut out: empty, beyond the end, or with an end that is neither the shard's nor a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes {start}..{end} are no range of groups in a shard of {total_len} bytes")]
pub struct RangeError {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// Length of the shard in bytes.
    pub total_len: u64,
}

/// Whether a range can be cut out: it begins with a group, ends with a group or the shard, and is not empty.
pub fn check_range(total_len: u64, range: &Range<u64>) -> Result<(), RangeError> {
    let ends_well = range.end == total_len || (range.end < total_len && range.end.is_multiple_of(GROUP_LEN));
    if range.start < range.end && range.start.is_multiple_of(GROUP_LEN) && ends_well {
        Ok(())
    } else {
        Err(RangeError {
            start: range.start,
            end: range.end,
            total_len,
        })
    }
}

/// The smallest range that can be cut out and holds `range`, which must lie inside the shard.
pub fn widen(total_len: u64, range: &Range<u64>) -> Range<u64> {
    let start = range.start - range.start % GROUP_LEN;
    start..range.end.next_multiple_of(GROUP_LEN).min(total_len)
}

/// The inner hashes of a shard, which a host keeps beside it to answer without reading all of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Outboard(PostOrderMemOutboard);

/// Stored bytes are not the outboard of a shard of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an outboard for {total_len} bytes has {expected} bytes, not {found}")]
pub struct OutboardError {
    /// Length of the shard in bytes.
    pub total_len: u64,
    /// Bytes that its outboard has.
    pub expected: u64,
    /// Bytes given.
    pub found: usize,
}

impl Outboard {
    /// The outboard of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(PostOrderMemOutboard::create(bytes, GROUP))
    }

    /// The outboard of exactly `total_len` bytes from a reader, a group at a time.
    pub fn read(reader: impl Read, total_len: u64) -> std::io::Result<Self> {
        let tree = BaoTree::new(total_len, GROUP);
        let mut data = Vec::new();
        let root = outboard_post_order(reader, tree, &mut data)?;
        Ok(Self(PostOrderMemOutboard { root, tree, data }))
    }

    /// An outboard kept as [`Outboard::as_bytes`]. Its length is checked; wrong hashes show when a slice is made.
    pub fn from_parts(root: &ShardId, total_len: u64, bytes: Vec<u8>) -> Result<Self, OutboardError> {
        let tree = BaoTree::new(total_len, GROUP);
        let expected = tree.outboard_size();
        if bytes.len() as u64 != expected {
            return Err(OutboardError {
                total_len,
                expected,
                found: bytes.len(),
            });
        }
        Ok(Self(PostOrderMemOutboard {
            root: blake3::Hash::from_bytes(*root.as_bytes()),
            tree,
            data: bytes,
        }))
    }

    /// The shard's name: BLAKE3 of all its bytes.
    pub fn root(&self) -> ShardId {
        ShardId::from_bytes(*self.0.root.as_bytes())
    }

    /// Length of the shard in bytes.
    pub fn total_len(&self) -> u64 {
        self.0.tree.size()
    }

    /// The hash pairs, to keep in a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.data
    }
}

impl std::fmt::Debug for Outboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outboard({:?}, {} bytes)", self.root(), self.total_len())
    }
}

/// Why a slice can't be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// No such range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The shard or its outboard has changed since it was stored.
    #[error("the shard is damaged near byte {offset}")]
    Damaged {
        /// Start of the part that does not match.
        offset: u64,
    },
    /// The shard can't be read, or ends early.
    #[error("reading the shard failed")]
    Read(#[source] std::io::Error),
}

/// The slice of a range, checked against the outboard's root: a host finds out here that its own copy is damaged.
pub fn make(data: impl ReadAt, outboard: &Outboard, range: Range<u64>) -> Result<Vec<u8>, MakeError> {
    check_range(outboard.total_len(), &range)?;
    let mut slice = Vec::new();
    encode_ranges_validated(data, &outboard.0, &leaves(&range), &mut slice).map_err(|error| match error {
        EncodeError::ParentHashMismatch(node) => MakeError::Damaged {
            offset: node.chunk_range().start.0 * LEAF_LEN,
        },
        EncodeError::LeafHashMismatch(leaf) => MakeError::Damaged {
            offset: leaf.0 * LEAF_LEN,
        },
        EncodeError::Io(error) => MakeError::Read(error),
        EncodeError::ParentWrite(_) | EncodeError::LeafWrite(_) | EncodeError::SizeMismatch => {
            unreachable!("writing to memory does not fail")
        }
    })?;
    Ok(slice)
}

/// Why a slice proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    /// No such range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// It ends before the range does.
    #[error("the slice ends too early")]
    Truncated,
    /// Bytes or hashes that are not the shard's.
    #[error("the slice is wrong near byte {offset} of the shard")]
    Wrong {
        /// Start of the part that does not match.
        offset: u64,
    },
    /// It goes on behind the range.
    #[error("the slice has {excess} bytes too many")]
    TooLong {
        /// Bytes behind its end.
        excess: usize,
    },
}

/// The bytes of a range, proven to be that range of the shard with this name and length.
///
/// `total_len` must come from the label, as the name does: a slice of the middle of a shard does not prove the length.
pub fn verify(
    root: &ShardId,
    total_len: u64,
    range: Range<u64>,
    slice: &[u8],
) -> Result<Vec<u8>, SliceError> {
    check_range(total_len, &range)?;
    let root = blake3::Hash::from_bytes(*root.as_bytes());
    let tree = BaoTree::new(total_len, GROUP);
    let ranges = leaves(&range);
    let mut rest = slice;
    let mut bytes = Vec::with_capacity(slice.len().min((range.end - range.start) as usize));
    for item in DecodeResponseIter::new(root, tree, &mut rest, &ranges) {
        match item.map_err(|error| slice_error(&error))? {
            BaoContentItem::Leaf(Leaf { data, .. }) => bytes.extend_from_slice(&data),
            BaoContentItem::Parent(_) => (),
        }
    }
    if !rest.is_empty() {
        return Err(SliceError::TooLong { excess: rest.len() });
    }
    assert!(
        bytes.len() as u64 == range.end - range.start,
        "the leaves of a range are its bytes"
    );
    Ok(bytes)
}

fn slice_error(error: &DecodeError) -> SliceError {
    match error {
        DecodeError::ParentHashMismatch(node) => SliceError::Wrong {
            offset: node.chunk_range().start.0 * LEAF_LEN,
        },
        DecodeError::LeafHashMismatch(leaf) => SliceError::Wrong {
            offset: leaf.0 * LEAF_LEN,
        },
        // Reading from memory fails in no other way than by its end.
        DecodeError::ParentNotFound(_) | DecodeError::LeafNotFound(_) | DecodeError::Io(_) => {
            SliceError::Truncated
        }
    }
}

fn leaves(range: &Range<u64>) -> ChunkRanges {
    ChunkRanges::from(ChunkNum(range.start / LEAF_LEN)..ChunkNum(range.end.div_ceil(LEAF_LEN)))
}

#[cfg(test)]
mod tests;
