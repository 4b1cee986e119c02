//! Asking a host for its signed inventory, and correcting the catalogue by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use nuthatch_disk::catalogue::{Catalogue, HeldShard};
use nuthatch_engine::boundary::InventoryOutcome;
use nuthatch_format::{ArchiveId, NodeId};
use nuthatch_wire::attest::Nonce;
use nuthatch_wire::inventory::{
    Holding, InventoryBuilder, InventoryPageRequest, InventoryReply, InventoryRequest,
};
use nuthatch_wire::message::Request;

use crate::ask::ask_for;
use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;
use crate::stewards;
use crate::ward::Ward;

/// Holdings read from the catalogue at a time.
const PAGE: usize = 4096;

/// Holdings of one prefix that are read from a host: a 256th of what 512 TiB in full packs would have, a shard of each.
const HOLDINGS_PER_PREFIX_MAX: usize = 1 << 17;

/// Holdings of one prefix, of stripes that are not known here, that are noted: the journal that names them may come after the inventory,
/// and a host must not fill our disk with names. A 256th of 4 TiB in full packs.
const STRANGE_PER_PREFIX_MAX: usize = 1024;

/// Compares; afterwards the catalogue names just what the host says that it holds.
pub(crate) async fn inventory(node: &Arc<Node>, archive: ArchiveId, host: NodeId) -> InventoryOutcome {
    let Some(ward) = node.ward(&archive) else {
        return InventoryOutcome::Failed;
    };
    match compare(node, &ward, host).await {
        Ok(outcome) => {
            node.pulse.nudge();
            let teller = Arc::clone(node);
            node.tasks
                .spawn(async move { teller.exchange_ledger(host).await });
            outcome
        }
        Err(error) => {
            tracing::debug!("the inventory of {host:?} was not compared: {error}");
            InventoryOutcome::Failed
        }
    }
}

async fn compare(node: &Arc<Node>, ward: &Arc<Ward>, host: NodeId) -> Result<InventoryOutcome, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    // Evidence is as old as the question, not as the answer.
    let asked_at = clock::now();
    let nonce = Nonce(clock::entropy().map_err(|error| text(&error))?);
    let request = InventoryRequest {
        archive: ward.archive,
        nonce,
    };
    let reply: InventoryReply = ask_for!(
        &node.transport,
        host,
        Request::Inventory(request.clone()),
        Inventory
    )
    .map_err(|error| text(&error))?;
    let root = match reply.verify(&request, &host) {
        Ok(root) => root,
        Err(error) => {
            let message = format!(
                "{} shows an inventory that does not hold: {error}",
                node.circle.name_of(&host)
            );
            node.events.fault(FaultKind::WrongBytes, Some(host), message);
            return Err(text(&error));
        }
    };
    if ward.owned.is_some() {
        node.ledgers.note_evidence(host, reply.root.clone());
    }
    let catalogue = Arc::clone(&ward.catalogue);
    let own = blocking(move || own_table(&catalogue, &host)).await?;
    let (mut lost_count, mut found_count) = (0, 0);
    for prefix in own.differing(&reply.table) {
        let shown = pages(node, ward.archive, host, prefix).await?;
        if !reply.table.is_of(prefix, &shown) {
            // It changed while we asked, or the host contradicts itself: nothing is concluded from it.
            return Err("the inventory changed while it was read".to_owned());
        }
        let is_stewarded = ward.owned.is_none();
        if is_stewarded {
            // Nobody tells a steward of stripes but those who hold them. What it could not learn now it asks for again.
            stewards::learn(node, ward, host, &shown).await?;
        }
        let strange_max = if is_stewarded { 0 } else { STRANGE_PER_PREFIX_MAX };
        let catalogue = Arc::clone(&ward.catalogue);
        let (lost, found) =
            blocking(move || replace(&catalogue, &host, (prefix, strange_max), &shown, asked_at)).await?;
        lost_count += lost;
        found_count += found;
    }
    let catalogue = Arc::clone(&ward.catalogue);
    blocking(move || {
        catalogue
            .set_inventory(&host, asked_at)
            .map_err(|error| error.to_string())
    })
    .await?;
    Ok(InventoryOutcome::Compared {
        bytes: root.bytes,
        lost_count,
        found_count,
    })
}

/// What the catalogue says that a host holds, as digests.
pub(crate) fn own_table(
    catalogue: &Catalogue,
    host: &NodeId,
) -> Result<nuthatch_wire::inventory::DigestTable, String> {
    let mut builder = InventoryBuilder::new();
    for prefix in 0..=u8::MAX {
        for holding in held(catalogue, host, prefix)? {
            builder
                .push(Holding {
                    label: holding.label,
                    index: holding.index,
                })
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(builder.finish().table())
}

fn held(catalogue: &Catalogue, host: &NodeId, prefix: u8) -> Result<Vec<HeldShard>, String> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = catalogue
            .holdings_of(host, prefix, after, PAGE)
            .map_err(|error| error.to_string())?;
        let is_last = page.len() < PAGE;
        after = page.last().copied();
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// Replaces what the catalogue says of one prefix; answers how many shards went and came.
fn replace(
    catalogue: &Catalogue,
    host: &NodeId,
    (prefix, strange_max): (u8, usize),
    shown: &[Holding],
    at: nuthatch_format::Timestamp,
) -> Result<(u64, u64), String> {
    let known: BTreeSet<HeldShard> = held(catalogue, host, prefix)?.into_iter().collect();
    let shown: Vec<HeldShard> = shown
        .iter()
        .map(|holding| HeldShard {
            label: holding.label,
            index: holding.index,
        })
        .collect();
    let of_stripes: BTreeSet<HeldShard> = catalogue
        .known_shards(&shown)
        .map_err(|error| error.to_string())?
        .into_iter()
        .collect();
    let shown = noted(shown, &of_stripes, strange_max);
    let kept = shown.iter().filter(|shard| known.contains(shard)).count();
    catalogue
        .replace_holdings(host, prefix, &shown, at)
        .map_err(|error| error.to_string())?;
    Ok(((known.len() - kept) as u64, (shown.len() - kept) as u64))
}

/// What is noted of the holdings that a host shows: those of known stripes, and at most so many of others.
fn noted(shown: Vec<HeldShard>, of_stripes: &BTreeSet<HeldShard>, strange_max: usize) -> Vec<HeldShard> {
    let mut strange_count = 0;
    let is_noted = |shard: &HeldShard| {
        let is_strange = !of_stripes.contains(shard);
        strange_count += usize::from(is_strange);
        !is_strange || strange_count <= strange_max
    };
    shown.into_iter().filter(is_noted).collect()
}

/// All that a host says it holds under one prefix.
async fn pages(node: &Node, archive: ArchiveId, host: NodeId, prefix: u8) -> Result<Vec<Holding>, String> {
    let mut all: Vec<Holding> = Vec::new();
    loop {
        let request = InventoryPageRequest {
            archive,
            prefix,
            after: all.last().copied(),
        };
        let page = ask_for!(
            &node.transport,
            host,
            Request::InventoryPage(request.clone()),
            InventoryPage
        )
        .map_err(|error| error.to_string())?;
        page.check(&request).map_err(|error| error.to_string())?;
        all.extend(page.holdings.iter().copied());
        if page.complete {
            return Ok(all);
        }
        if all.len() > HOLDINGS_PER_PREFIX_MAX {
            return Err("the host names more shards than there can be".to_owned());
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use nuthatch_format::LabelId;
    use nuthatch_wire::ShardIndex;

    use super::*;

    #[test]
    fn of_stripes_that_nobody_knows_so_many_holdings_are_noted() {
        let shard = |number: u32| {
            let mut label = [0; 32];
            label[1..5].copy_from_slice(&number.to_le_bytes());
            HeldShard {
                label: LabelId::from_bytes(label),
                index: ShardIndex(0),
            }
        };
        let shown: Vec<HeldShard> = (0..10_000).map(shard).collect();
        let known = BTreeSet::from([shard(5000), shard(9999)]);
        let noted = noted(shown, &known, STRANGE_PER_PREFIX_MAX);
        assert_eq!(noted.len(), STRANGE_PER_PREFIX_MAX + known.len());
        assert!(known.iter().all(|shard| noted.contains(shard)));
    }
}
