//! Which hosts a stripe is read from. Pure: holders and measured hosts in, a plan out; when a source fails the plan is made again
//! without it.
//!
//! Data shards come first, because their ranges are the pack's own bytes; parity only replaces a data shard that nobody gives.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::{ByteCount, NodeId, Span};

/// How quickly a host has answered reads lately. Cheap to keep; nothing but an order is taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Smoothed time for the first byte, in milliseconds.
    latency_ms: u64,
    /// Smoothed time for each mebibyte, in milliseconds.
    per_mib_ms: u64,
}

/// Weight of the newest measurement, one part in this many; the smoothing of TCP's round-trip estimate (RFC 6298) is of this kind.
const NEWEST_DIVISOR: u64 = 4;

impl Speed {
    /// What is assumed of a host that was never measured: a home line, 50 ms away at 4 MiB/s.
    pub const UNKNOWN: Self = Self {
        latency_ms: 50,
        per_mib_ms: 250,
    };

    /// Takes in one finished read: how long the first byte took, and all of it.
    pub fn observe(&mut self, first_byte: Span, whole: Span, len: ByteCount) {
        self.latency_ms = smooth(self.latency_ms, first_byte.0);
        if len.0 >= 1 << 16 {
            let per_mib = (u128::from(whole.0.saturating_sub(first_byte.0)) << 20) / u128::from(len.0);
            self.per_mib_ms = smooth(self.per_mib_ms, u64::try_from(per_mib).unwrap_or(u64::MAX));
        }
    }

    /// Takes in a read that failed: the host seems twice as slow.
    pub fn observe_failure(&mut self) {
        self.latency_ms = self.latency_ms.saturating_mul(2).saturating_add(1);
        self.per_mib_ms = self.per_mib_ms.saturating_mul(2).saturating_add(1);
    }

    /// How long a read of `len` bytes should take when `waiting_count` reads of the same length are before it.
    pub fn expected(&self, len: ByteCount, waiting_count: usize) -> Span {
        let body = (u128::from(self.per_mib_ms) * u128::from(len.0)) >> 20;
        let each = self
            .latency_ms
            .saturating_add(u64::try_from(body).unwrap_or(u64::MAX));
        Span(each.saturating_mul(waiting_count as u64 + 1))
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

fn smooth(old: u64, new: u64) -> u64 {
    let new = u128::from(new) + u128::from(old) * u128::from(NEWEST_DIVISOR - 1);
    u64::try_from(new / u128::from(NEWEST_DIVISOR)).unwrap_or(u64::MAX)
}

/// A host that can be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceHost {
    /// How quickly it answers.
    pub speed: Speed,
    /// Reads that wait for it already (count).
    pub waiting_count: usize,
}

/// Where to read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePlan {
    /// Each wanted data shard has a source: read the wanted ranges, decode nothing.
    Direct(BTreeMap<ShardIndex, NodeId>),
    /// Some wanted data shard has none: read the same range of these `data` shards and decode.
    Decode(BTreeMap<ShardIndex, NodeId>),
    /// Too few shards can be had now.
    TooFew {
        /// Shards that can be had (count).
        available: u8,
        /// Shards that are needed (count).
        needed: u8,
    },
}

/// Chooses sources for some data shards of a stripe, each from the host expected to give `len` bytes soonest.
///
/// `hosts` are those connected; holders that are not among them, or are in `failed` with that shard, count for nothing. A host with
/// several chosen shards is expected to give them one after the other.
pub fn choose(
    scheme: Scheme,
    wanted: &BTreeSet<ShardIndex>,
    holders: &[(ShardIndex, NodeId)],
    failed: &BTreeSet<(ShardIndex, NodeId)>,
    (hosts, len): (&BTreeMap<NodeId, SourceHost>, ByteCount),
) -> SourcePlan {
    let mut sources: BTreeMap<ShardIndex, BTreeSet<NodeId>> = BTreeMap::new();
    for (index, node) in holders {
        if scheme.contains(*index) && hosts.contains_key(node) && !failed.contains(&(*index, *node)) {
            sources.entry(*index).or_default().insert(*node);
        }
    }
    let mut choice = Choice {
        sources: &sources,
        hosts,
        len,
        chosen: BTreeMap::new(),
    };
    let wanted: BTreeSet<ShardIndex> = wanted
        .iter()
        .filter(|index| scheme.is_data(**index))
        .copied()
        .collect();
    if wanted.iter().all(|index| sources.contains_key(index)) {
        for index in wanted {
            choice.take(index);
        }
        return SourcePlan::Direct(choice.chosen);
    }
    let needed = scheme.data();
    if sources.len() < usize::from(needed) {
        return SourcePlan::TooFew {
            available: u8::try_from(sources.len()).unwrap_or(u8::MAX),
            needed,
        };
    }
    for index in wanted {
        choice.take(index);
    }
    while choice.chosen.len() < usize::from(needed) {
        let Some(index) = choice.soonest_other(scheme) else {
            break;
        };
        choice.take(index);
    }
    SourcePlan::Decode(choice.chosen)
}

/// A plan in the making.
struct Choice<'a> {
    sources: &'a BTreeMap<ShardIndex, BTreeSet<NodeId>>,
    hosts: &'a BTreeMap<NodeId, SourceHost>,
    len: ByteCount,
    chosen: BTreeMap<ShardIndex, NodeId>,
}

impl Choice<'_> {
    /// Gives a shard its soonest source, if it has any.
    fn take(&mut self, index: ShardIndex) {
        if let Some((_, node)) = self.soonest(index) {
            self.chosen.insert(index, node);
        }
    }

    fn soonest(&self, index: ShardIndex) -> Option<(Span, NodeId)> {
        let nodes = self.sources.get(&index)?;
        nodes
            .iter()
            .filter_map(|node| {
                let host = self.hosts.get(node)?;
                let before = self.chosen.values().filter(|chosen| *chosen == node).count();
                Some((host.speed.expected(self.len, host.waiting_count + before), *node))
            })
            .min()
    }

    /// The shard, not chosen yet, that can be had soonest; a data shard where nothing else tells two apart.
    fn soonest_other(&self, scheme: Scheme) -> Option<ShardIndex> {
        scheme
            .indices()
            .filter(|index| !self.chosen.contains_key(index))
            .filter_map(|index| Some((self.soonest(index)?.0, index)))
            .min()
            .map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests;
