//! Which nodes keep something of the own archive, and since when that was last shown. Reads the catalogue; asks nobody.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_disk::IndexError;
use nuthatch_format::{ByteCount, NodeId, Timestamp};

use crate::node::{Node, Owned};

/// Packs read at a time.
const PAGE: usize = 512;

/// Nodes that have signed for a line of the archive's journal, or promise space to it.
pub(crate) fn hosts_of(node: &Node, owned: &Owned) -> Result<BTreeSet<NodeId>, IndexError> {
    let mut hosts = journal_keepers(owned)?;
    hosts.extend(node.pulse.leases().into_keys());
    hosts.remove(&node.identity.node);
    Ok(hosts)
}

/// Nodes that have signed for some line of the archive's journal: with one of them a recovery can begin.
pub(crate) fn journal_keepers(owned: &Owned) -> Result<BTreeSet<NodeId>, IndexError> {
    let mut keepers = BTreeSet::new();
    for head in owned.catalogue.applied_heads()? {
        keepers.extend(
            owned
                .catalogue
                .journal_hosts(&head.line)?
                .into_iter()
                .map(|host| host.node),
        );
    }
    Ok(keepers)
}

/// When a host was last asked for a proof that it gave. Until its first audit that is its last signed inventory: after that, its word
/// alone is no proof.
pub(crate) fn last_proof(node: &Node, owned: &Owned, host: &NodeId) -> Result<Option<Timestamp>, IndexError> {
    let audits = node.audits.state(host);
    if audits.ended_at.is_some() {
        return Ok(audits.proven_at);
    }
    owned.catalogue.inventory_confirmed_at(host)
}

/// Bytes of shards that each node is known to hold.
pub(crate) fn bytes_held(owned: &Owned) -> Result<BTreeMap<NodeId, ByteCount>, IndexError> {
    let mut held: BTreeMap<NodeId, ByteCount> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = owned.catalogue.packs_page(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(held) };
        after = Some(last.number);
        for stripe in page.iter().flat_map(|pack| &pack.stripes) {
            for holder in &stripe.holders {
                let bytes = held.entry(holder.node).or_default();
                *bytes = bytes.saturating_add(stripe.shard_len);
            }
        }
    }
}

/// Shards of the newest stripes that a node keeps and none of the others that count (count).
pub(crate) fn needed_of(
    owned: &Owned,
    node: &NodeId,
    counts: impl Fn(&NodeId) -> bool,
) -> Result<u64, IndexError> {
    let (mut needed, mut after) = (0, None);
    loop {
        let page = owned.catalogue.packs_page(after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(needed);
        };
        after = Some(last.number);
        for stripe in page.iter().filter_map(|pack| pack.stripes.last()) {
            let held: BTreeSet<_> = stripe
                .holders
                .iter()
                .filter(|holder| holder.node != *node && counts(&holder.node))
                .map(|holder| holder.index)
                .collect();
            let only_there = stripe
                .holders
                .iter()
                .filter(|holder| holder.node == *node && !held.contains(&holder.index));
            needed += only_there.count() as u64;
        }
    }
}
