//! The hash trees of shards that were read lately, so that a restore does not hash a whole shard again for each range of it.

use std::collections::VecDeque;
use std::sync::Arc;

use nuthatch_disk::vault::ShardPlace;
use nuthatch_format::slice::Outboard;
use parking_lot::Mutex;

use crate::events::FaultKind;
use crate::node::Node;

/// Trees that are kept. One of a whole 16 MiB pack takes 64 KiB.
const OUTBOARDS_MAX: usize = 64;

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

/// The most recently used tree last.
#[derive(Debug, Default)]
pub(crate) struct Outboards(Mutex<VecDeque<(ShardPlace, Arc<Outboard>)>>);

impl Outboards {
    /// The tree of a shard in the vault.
    pub(crate) async fn of(&self, node: &Arc<Node>, place: ShardPlace) -> Result<Arc<Outboard>, NoTree> {
        if let Some(found) = self.take(&place) {
            return Ok(found);
        }
        let reader = Arc::clone(node);
        let made = tokio::task::spawn_blocking(move || make(&reader, &place))
            .await
            .map_err(|_| NoTree::Damaged)??;
        let made = Arc::new(made);
        let mut kept = self.0.lock();
        if kept.len() >= OUTBOARDS_MAX {
            kept.pop_front();
        }
        kept.push_back((place, Arc::clone(&made)));
        Ok(made)
    }

    /// Forgets the tree of a shard that turned out to be damaged.
    pub(crate) fn forget(&self, place: &ShardPlace) {
        self.0.lock().retain(|(kept, _)| kept != place);
    }

    fn take(&self, place: &ShardPlace) -> Option<Arc<Outboard>> {
        let mut kept = self.0.lock();
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
