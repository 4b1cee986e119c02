//! An outboard from bytes that come in strips, so that several shards are hashed side by side while they are coded. Holds one chaining
//! value a group; it never sees the bytes twice.

use bao_tree::BaoTree;
use bao_tree::io::outboard::PostOrderMemOutboard;
use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::{GROUP, GROUP_LEN, Outboard};

/// The outboard of a shard whose bytes come in order, in strips of any length.
#[derive(Debug)]
pub struct OutboardBuilder {
    /// Bytes so far.
    len: u64,
    /// The group that is not full, or the last full one: whether it is the root is not known yet.
    group: blake3::Hasher,
    /// Of every group before it.
    done: Vec<ChainingValue>,
}

impl Default for OutboardBuilder {
    fn default() -> Self {
        Self {
            len: 0,
            group: blake3::Hasher::new(),
            done: Vec::new(),
        }
    }
}

impl OutboardBuilder {
    /// The next bytes of the shard.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let filled = self.len - self.done.len() as u64 * GROUP_LEN;
            if filled == GROUP_LEN {
                self.next_group();
            }
            let room = (GROUP_LEN - filled % GROUP_LEN) as usize;
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.group.update(now);
            self.len += now.len() as u64;
            rest = later;
        }
    }

    fn next_group(&mut self) {
        self.done.push(self.group.finalize_non_root());
        let mut group = blake3::Hasher::new();
        group.set_input_offset(self.len);
        self.group = group;
    }

    /// The outboard of all bytes that came.
    pub fn finish(mut self) -> Outboard {
        let mut data = Vec::with_capacity(self.done.len() * 64);
        let root = if self.done.is_empty() {
            self.group.finalize()
        } else {
            self.done.push(self.group.finalize_non_root());
            let (left, right) = halves(&self.done, &mut data);
            merge_subtrees_root(&left, &right, Mode::Hash)
        };
        Outboard(PostOrderMemOutboard {
            root,
            tree: BaoTree::new(self.len, GROUP),
            data,
        })
    }
}

/// The chaining values of both children of the node over these groups (at least two), its pair written behind those of its descendants.
fn halves(groups: &[ChainingValue], data: &mut Vec<u8>) -> (ChainingValue, ChainingValue) {
    // The left child covers as many groups as the largest power of two that leaves one for the right (BLAKE3, section 2.1).
    let (left, right) = groups.split_at(groups.len().next_power_of_two() / 2);
    let pair = (over(left, data), over(right, data));
    data.extend_from_slice(&pair.0);
    data.extend_from_slice(&pair.1);
    pair
}

fn over(groups: &[ChainingValue], data: &mut Vec<u8>) -> ChainingValue {
    if let [group] = groups {
        return *group;
    }
    let (left, right) = halves(groups, data);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}
