//! Where the bytes of packs come from. The node implements it with hosts and staging; a job only asks.

use std::ops::Range;

use nuthatch_disk::catalogue::PackRecord;
use nuthatch_format::{LabelId, NodeId, PackId};

/// Gives ranges of packs. Called from several threads at a time; each call may block, and ends when the job is cancelled.
pub trait PackSource: Sync {
    /// The bytes of these ranges, in their order, each complete. The ranges are sorted, apart and inside the pack, at most one pack
    /// together. What a host sent is verified against the pack's label before it comes back from here.
    fn read(&self, pack: &PackRecord, ranges: &[Range<u64>]) -> Result<Reading, SourceError>;

    /// Takes back the buffers of a reading that nobody needs any more, for the next one: a fresh one has to be cleared page by page.
    fn give_back(&self, _parts: Vec<Vec<u8>>) {}

    /// Length in bytes of the shards that the pack is kept in, where that is known: reads then lie on a grid within shards.
    fn shard_len(&self, _pack: &PackRecord) -> Option<u64> {
        None
    }

    /// Bytes of the pack that came from here do not open. Answers whether there is another origin; then later readings come from there.
    fn distrust(&self, _pack: &PackRecord, _origin: Origin) -> bool {
        false
    }
}

/// What was read of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The bytes of each range.
    pub parts: Vec<Vec<u8>>,
    /// Where they came from, all of them.
    pub origin: Origin,
}

/// One of the places where a pack may lie. A device can label bytes that are not the pack, and a disk can damage it: what comes from one
/// place may open though what comes from another does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The stripe whose shards gave it; `None`: this machine's own disk.
    pub stripe: Option<LabelId>,
    /// One of the hosts that gave it, where there was one.
    pub host: Option<NodeId>,
}

/// Why ranges of a pack could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// Too few of its hosts answer now; with those that are away it would work.
    #[error("too few hosts of pack {} answer now", pack.short())]
    Away {
        /// The pack.
        pack: PackId,
    },
    /// Not even all known hosts together hold enough of it.
    #[error("no hosts hold enough of pack {}", pack.short())]
    Lost {
        /// The pack.
        pack: PackId,
    },
    /// What is stored of it is damaged, and nothing else is known to hold it.
    #[error("pack {} is damaged", pack.short())]
    Damaged {
        /// The pack.
        pack: PackId,
        /// The host that has the damaged bytes.
        host: Option<NodeId>,
    },
    /// The job was told to stop.
    #[error("interrupted")]
    Cancelled,
}
