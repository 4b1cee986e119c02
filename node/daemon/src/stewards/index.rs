//! What a steward knows: stripes by their labels, each believed by the segments that are here, and who holds their shards.

use std::collections::BTreeSet;
use std::sync::Arc;

use nuthatch_disk::catalogue::{Catalogue, HeldShard, PlacedLabel};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::{ArchiveId, LabelId, NodeId};
use nuthatch_wire::bounded::List;
use nuthatch_wire::inventory::{Holding, InventoryBuilder};
use nuthatch_wire::message::{LABELS_PER_QUESTION_MAX, Request, StripeLabelsRequest};

use crate::ask::ask_for;
use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;
use crate::sync::own_table;
use crate::ward::Ward;

/// Gets the labels of shards that a host shows and that are not known here: those whose ids stand in believed segments, and no others, so
/// that a host can't fill this disk with stripes of its own making. One that the host does not give, or that does not hold, is left out.
pub(crate) async fn learn(
    node: &Arc<Node>,
    ward: &Arc<Ward>,
    host: NodeId,
    shown: &[Holding],
) -> Result<(), String> {
    let ids: Vec<LabelId> = shown
        .iter()
        .map(|holding| holding.label)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let (worker, looked) = (Arc::clone(node), Arc::clone(ward));
    let wanted = blocking(move || {
        let unknown = looked
            .catalogue
            .unknown_labels(&ids)
            .map_err(|error| error.to_string())?;
        let is_believed = |id: &LabelId| worker.believes_label(&looked.archive, id).unwrap_or(false);
        Ok(unknown.into_iter().filter(is_believed).collect::<Vec<_>>())
    })
    .await?;
    let mut rest = wanted.as_slice();
    while !rest.is_empty() {
        let (asked, others) = rest.split_at(rest.len().min(LABELS_PER_QUESTION_MAX));
        let request = Request::StripeLabels(StripeLabelsRequest {
            archive: ward.archive,
            labels: List::first_of(asked.iter().copied()),
        });
        let answer = ask_for!(&node.transport, host, request, Labels).map_err(|error| error.to_string())?;
        let labels: Vec<SignedLabel> = answer
            .iter()
            .filter_map(|bytes| SignedLabel::parse(bytes).ok())
            .collect();
        // An answer that is full ends early: what comes after its last label is asked for again.
        let reached = labels
            .last()
            .and_then(|last| asked.iter().position(|id| *id == last.id()));
        let (worker, noted) = (Arc::clone(node), Arc::clone(ward));
        let wanted: BTreeSet<LabelId> = asked.iter().copied().collect();
        blocking(move || {
            let labels = labels.into_iter().filter(|label| wanted.contains(&label.id()));
            note(&worker, &noted, labels)
        })
        .await?;
        rest = match reached {
            Some(at) => rest.get(at + 1..).unwrap_or_default(),
            None => others,
        };
    }
    Ok(())
}

/// Notes labels that hold.
fn note(node: &Node, ward: &Ward, labels: impl Iterator<Item = SignedLabel>) -> Result<(), String> {
    let placed: Vec<PlacedLabel> = labels.filter_map(|label| placed(node, ward, label)).collect();
    ward.catalogue
        .add_labels(&placed)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// A label of the archive, signed, named in a believed segment, and not ordered away.
fn placed(node: &Node, ward: &Ward, label: SignedLabel) -> Option<PlacedLabel> {
    let id = label.id();
    label.verify().ok()?;
    let is_deleted = node.known_statements(&ward.archive)?.is_deleted(&id);
    if label.label().archive != ward.archive || is_deleted || !node.believes_label(&ward.archive, &id).ok()? {
        return None;
    }
    let places = node.segments.label_places(&ward.archive, &id).ok()?;
    let (line, sequence) = places.into_iter().max_by_key(|(_, sequence)| *sequence)?;
    Some(PlacedLabel {
        label,
        line,
        sequence,
    })
}

/// Takes up what this node's own vault holds of the archive.
pub(crate) async fn learn_own(node: &Arc<Node>, archive: ArchiveId) {
    let Some(ward) = node.stewards.ward(&archive) else {
        return;
    };
    let worker = Arc::clone(node);
    if let Err(error) = blocking(move || take_own(&worker, &ward)).await {
        let message = format!("what this node keeps of an archive can't be noted: {error}");
        node.events.fault(FaultKind::OwnDisk, None, message);
    }
}

fn take_own(node: &Node, ward: &Ward) -> Result<(), String> {
    let own = node.identity.node;
    let mut builder = InventoryBuilder::new();
    let mut shards: Vec<Vec<HeldShard>> = vec![Vec::new(); 256];
    node.each_holding(&ward.archive, |holding| {
        if let Some(of_prefix) = shards.get_mut(prefix_of(&holding.label)) {
            of_prefix.push(HeldShard {
                label: holding.label,
                index: holding.index,
            });
        }
        builder.push(holding).is_ok()
    })
    .map_err(|error| error.to_string())?;
    let known = own_table(&ward.catalogue, &own)?;
    for prefix in known.differing(&builder.finish().table()) {
        let here = shards
            .get(usize::from(prefix))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let labels = labels_here(node, ward, here)?;
        note(node, ward, labels.into_iter())?;
        replace(&ward.catalogue, &own, prefix, here)?;
    }
    Ok(())
}

fn prefix_of(label: &LabelId) -> usize {
    label.as_bytes().first().copied().map_or(0, usize::from)
}

/// Labels in the vault that the index does not have.
fn labels_here(node: &Node, ward: &Ward, here: &[HeldShard]) -> Result<Vec<SignedLabel>, String> {
    let ids: BTreeSet<LabelId> = here.iter().map(|shard| shard.label).collect();
    let ids: Vec<LabelId> = ids.into_iter().collect();
    let unknown = ward
        .catalogue
        .unknown_labels(&ids)
        .map_err(|error| error.to_string())?;
    let label = |id: &LabelId| node.vault.label(&ward.archive, id).ok().flatten();
    Ok(unknown.iter().filter_map(label).collect())
}

fn replace(catalogue: &Catalogue, host: &NodeId, prefix: u8, here: &[HeldShard]) -> Result<(), String> {
    let known = catalogue.known_shards(here).map_err(|error| error.to_string())?;
    catalogue
        .replace_holdings(host, prefix, &known, clock::now())
        .map_err(|error| error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}
