//! Where the bytes of a pack lie in its data shards. Arithmetic only; the layout is the systematic code's: the pack cut in equal pieces.

use std::borrow::Cow;

use crate::{Scheme, ShardIndex};

/// A run of bytes inside one data shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRange {
    /// The data shard.
    pub index: ShardIndex,
    /// First byte, counted from the start of the shard.
    pub offset: u64,
    /// Bytes, at least 1.
    pub len: u64,
}

/// The data-shard ranges that together are bytes `offset..offset + len` of a pack, in the pack's order.
///
/// What lies beyond the end of the pack is left out, so the answer is empty for an empty range or one outside the pack.
pub fn shard_ranges(scheme: Scheme, pack_len: u64, offset: u64, len: u64) -> Vec<ShardRange> {
    let shard_len = scheme.shard_len(pack_len);
    let end = offset.saturating_add(len).min(pack_len);
    let mut ranges = Vec::new();
    let mut at = offset;
    while at < end {
        // `at < pack_len <= shard_len * data`, so the quotient is below `data`.
        let index = ShardIndex((at / shard_len) as u8);
        let inside = at % shard_len;
        let len = (shard_len - inside).min(end - at);
        ranges.push(ShardRange {
            index,
            offset: inside,
            len,
        });
        at += len;
    }
    ranges
}

/// One data shard of a pack, `None` when the index is not that of a data shard.
///
/// Borrowed where the pack covers it, copied and filled with zeros where the pack ends inside or before it.
pub fn data_shard(scheme: Scheme, pack: &[u8], index: ShardIndex) -> Option<Cow<'_, [u8]>> {
    if !scheme.is_data(index) {
        return None;
    }
    let shard_len = scheme.shard_len(pack.len() as u64) as usize;
    let start = shard_len.saturating_mul(usize::from(index.0)).min(pack.len());
    let rest = pack.get(start..).unwrap_or(&[]);
    if let Some(whole) = rest.get(..shard_len) {
        return Some(Cow::Borrowed(whole));
    }
    let mut padded = Vec::with_capacity(shard_len);
    padded.extend_from_slice(rest);
    padded.resize(shard_len, 0);
    Some(Cow::Owned(padded))
}

#[cfg(test)]
mod tests;
