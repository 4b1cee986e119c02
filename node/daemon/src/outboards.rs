//! Hash trees of shards that are read range by range, so that a shard is not hashed again as a whole for each of them: of shards in the
//! vault that were read lately, and of shards of our own packs until their host has them.

use std::collections::VecDeque;
use std::sync::Arc;

use nuthatch_disk::vault::ShardPlace;
use nuthatch_format::slice::Outboard;
use parking_lot::Mutex;

use crate::events::FaultKind;
use crate::node::Node;

/// Trees of shards in the vault, in bytes: 64 of the longest, which take 64 KiB each.
const READ_LEN_MAX: usize = 64 * OUTBOARD_LEN_MAX;

/// Trees of shards that wait to be sent, in bytes: what is coded while the hosts are busy with what was coded before.
const SENT_LEN_MAX: usize = 128 * OUTBOARD_LEN_MAX;

/// Longest tree, in bytes: of a shard as long as a pack.
const OUTBOARD_LEN_MAX: usize = 64 << 10;

/// Bytes read at a time to make a tree.
const READ_LEN: u64 = 1 << 20;

/// Why there is no tree of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTree {
    /// There is no such shard here.
    NotHere,
    /// What is here is no longer what its label says.
    Damaged,
}

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

    /// The tree of a shard in the vault.
    pub(crate) async fn of(&self, node: &Arc<Node>, place: ShardPlace) -> Result<Arc<Outboard>, NoTree> {
        if let Some(found) = self.get(&place) {
            return Ok(found);
        }
        let reader = Arc::clone(node);
        let made = tokio::task::spawn_blocking(move || make(&reader, &place))
            .await
            .map_err(|_| NoTree::Damaged)??;
        let made = Arc::new(made);
        self.put(place, Arc::clone(&made));
        Ok(made)
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

    /// Forgets the tree of a shard that turned out to be damaged, or is not needed any more.
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

/// Reads a shard once and checks it against its label.
fn make(node: &Node, place: &ShardPlace) -> Result<Outboard, NoTree> {
    let label = node
        .vault
        .label(&place.archive, &place.label)
        .ok()
        .flatten()
        .ok_or(NoTree::NotHere)?;
    if !node.vault.has(place).unwrap_or(false) {
        return Err(NoTree::NotHere);
    }
    let shard_len = label.label().shard_len;
    let reader = ShardReader {
        node,
        place,
        at: 0,
        shard_len,
    };
    let buffered = std::io::BufReader::with_capacity(READ_LEN as usize, reader);
    let outboard = Outboard::read(buffered, shard_len).ok();
    outboard
        .filter(|outboard| Some(outboard.root()) == label.label().shard(place.index))
        .ok_or_else(|| {
            let message = format!(
                "a shard in this vault is damaged (archive {})",
                place.archive.short()
            );
            node.events.fault(FaultKind::OwnDisk, None, message);
            NoTree::Damaged
        })
}

struct ShardReader<'n> {
    node: &'n Node,
    place: &'n ShardPlace,
    at: u64,
    shard_len: u64,
}

impl std::io::Read for ShardReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = (self.shard_len - self.at).min(buffer.len() as u64);
        if len == 0 {
            return Ok(0);
        }
        let bytes = self
            .node
            .vault
            .read_range(self.place, self.at, len)
            .map_err(std::io::Error::other)?;
        let count = bytes.len().min(buffer.len());
        if let (Some(target), Some(source)) = (buffer.get_mut(..count), bytes.get(..count)) {
            target.copy_from_slice(source);
        }
        self.at += count as u64;
        Ok(count)
    }
}
