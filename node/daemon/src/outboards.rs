//! Hash trees of shards that are read range by range, so that a shard is not hashed again as a whole for each of them: of shards in the
//! vault that were read lately, and of shards of our own packs until their host has them.

use std::collections::VecDeque;
use std::sync::Arc;

use nuthatch_disk::vault::ShardPlace;
use nuthatch_format::slice::Outboard;
use parking_lot::Mutex;

/// Trees of shards in the vault, in bytes: 64 of the longest, which take 64 KiB each.
const READ_LEN_MAX: usize = 64 * OUTBOARD_LEN_MAX;

/// Trees of shards that wait to be sent, in bytes: what is coded while the hosts are busy with what was coded before.
const SENT_LEN_MAX: usize = 128 * OUTBOARD_LEN_MAX;

/// Longest tree, in bytes: of a shard as long as a pack.
const OUTBOARD_LEN_MAX: usize = 64 << 10;

/// The most recently used trees, the newest last.
#[derive(Debug)]
pub(crate) struct Outboards {
    kept: Mutex<VecDeque<(ShardPlace, Arc<Outboard>)>>,
    len_max: usize,
}

impl Outboards {
    /// For shards in the vault.
    pub(crate) fn of_vault() -> Self {
        Self::bounded(READ_LEN_MAX)
    }

    /// For shards that are sent.
    pub(crate) fn of_sent() -> Self {
        Self::bounded(SENT_LEN_MAX)
    }

    fn bounded(len_max: usize) -> Self {
        Self {
            kept: Mutex::default(),
            len_max,
        }
    }

    /// Keeps a tree, and as many of the others as there is room for.
    pub(crate) fn put(&self, place: ShardPlace, tree: Arc<Outboard>) {
        let mut kept = self.kept.lock();
        kept.retain(|(kept, _)| *kept != place);
        kept.push_back((place, tree));
        let mut len: usize = kept.iter().map(|(_, tree)| tree.as_bytes().len()).sum();
        while len > self.len_max {
            len -= kept.pop_front().map_or(len, |(_, tree)| tree.as_bytes().len());
        }
    }

    /// Forgets the tree of a shard that is not needed any more.
    pub(crate) fn forget(&self, place: &ShardPlace) {
        self.kept.lock().retain(|(kept, _)| kept != place);
    }

    /// A tree that is kept.
    pub(crate) fn get(&self, place: &ShardPlace) -> Option<Arc<Outboard>> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|(kept, _)| kept == place)?;
        let found = kept.remove(at)?;
        let outboard = Arc::clone(&found.1);
        kept.push_back(found);
        Some(outboard)
    }
}

#[cfg(test)]
mod tests {
    use nuthatch_erasure::ShardIndex;
    use nuthatch_format::{ArchiveId, LabelId};

    use super::*;

    fn place(number: u8) -> ShardPlace {
        ShardPlace {
            archive: ArchiveId::from_bytes([1; 32]),
            label: LabelId::from_bytes([2; 32]),
            index: ShardIndex(number),
        }
    }

    #[test]
    fn the_trees_that_were_used_last_are_kept_within_their_bytes() {
        // One inner node each: 64 bytes.
        let tree = |number: u8| Arc::new(Outboard::of(&vec![number; 20_000]));
        let trees = Outboards::bounded(4 * 64);
        for number in 0..4 {
            trees.put(place(number), tree(number));
        }
        assert!(trees.get(&place(0)).is_some());
        trees.put(place(4), tree(4));
        assert!(trees.get(&place(0)).is_some() && trees.get(&place(1)).is_none());
        trees.put(place(0), tree(9));
        assert_eq!(trees.get(&place(0)), Some(tree(9)));
        assert!(
            trees.get(&place(2)).is_some(),
            "another tree of one shard takes no second place"
        );
        trees.forget(&place(0));
        assert_eq!(trees.get(&place(0)), None);
    }
}
