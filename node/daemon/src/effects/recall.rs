//! Bringing a pack's bytes back to this disk for a repair: from where they wait to be sent, from the
//! files that they were sealed from, else from hosts. What comes is checked by the
//! pack's name, and the label that it is sent under by coding its shards again.

use std::fs::File;
use std::sync::Arc;

use nuthatch_disk::catalogue::{self, PackRecord};
use nuthatch_disk::staging::ReadPackError;
use nuthatch_disk::vault::ShardPlace;
use nuthatch_engine::boundary::{PackNumber, RecallOutcome};
use nuthatch_engine::repair::RepairSource;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::{ArchiveId, LabelId, PackId};

use super::reseal;
use crate::events::FaultKind;
use crate::node::Node;
use crate::source::HostSource;
use crate::stripes::StripeFile;
use crate::ward::Ward;

/// Brings it back; whatever fails here is tried again later.
pub(super) async fn recall(
    node: &Arc<Node>,
    archive: ArchiveId,
    pack: PackNumber,
    label: LabelId,
) -> RecallOutcome {
    match try_recall(node, archive, pack, label).await {
        Ok(source) => RecallOutcome::Here { source },
        Err(error) => {
            tracing::warn!("pack number {} can't be brought back now: {error}", pack.0);
            let left = node.ward(&archive).map(|ward| let_go(&ward, pack));
            if let Some(Err(error)) = left {
                tracing::warn!("what came of a pack can't be removed: {error}");
            }
            RecallOutcome::Failed
        }
    }
}

async fn try_recall(
    node: &Arc<Node>,
    archive: ArchiveId,
    pack: PackNumber,
    label: LabelId,
) -> Result<RepairSource, String> {
    let ward = node.ward(&archive).ok_or("no such archive here")?;
    let record = ward
        .catalogue
        .pack(catalogue::PackNumber(pack.0))
        .map_err(|error| error.to_string())?
        .ok_or("no such pack")?;
    let source = bring(node, &ward, &record).await?;
    let (worker, checked) = (Arc::clone(node), Arc::clone(&ward));
    blocking(move || check(&worker, &checked, &record.id, &label)).await?;
    Ok(source)
}

/// Has the bytes of a pack on this disk, from the cheapest source that gives them.
pub(super) async fn bring(
    node: &Arc<Node>,
    ward: &Arc<Ward>,
    record: &PackRecord,
) -> Result<RepairSource, String> {
    if ward.is_staged(&record.id) || ward.recalled.contains(&record.id) {
        return Ok(RepairSource::Staging);
    }
    if let Some(owned) = &ward.owned
        && reseal::from_files(node, owned, record).await?
    {
        return Ok(RepairSource::Files);
    }
    let source = HostSource::of_ward(node, ward, &node.stop);
    let fetched = source.fetch_pack(record).await;
    match ward.owned {
        Some(_) => node.repairs.fetched(source.fetched()),
        None => node.stewards.fetched(ward.archive, source.fetched()),
    }
    let bytes = fetched.map_err(|error| error.to_string())?;
    let (recalled, id) = (Arc::clone(&ward.recalled), record.id);
    blocking(move || {
        recalled
            .put_pack_bytes(&id, &bytes)
            .map_err(|error| error.to_string())
    })
    .await?;
    Ok(RepairSource::Shards)
}

/// A pack's file, wherever it is on this disk.
pub(super) fn open(ward: &Ward, pack: &PackId) -> Result<File, ReadPackError> {
    match ward.staging() {
        Some(staging) if !ward.recalled.contains(pack) => staging.open_pack(pack),
        _ => ward.recalled.open_pack(pack),
    }
}

/// Checks that the shards of a label are cut from the bytes that are here: another device's label may name anything. Keeps their
/// trees for the sending.
fn check(node: &Node, ward: &Ward, pack: &PackId, id: &LabelId) -> Result<(), String> {
    let stripe = ward
        .catalogue
        .stripe(id)
        .map_err(|error| error.to_string())?
        .ok_or("no such stripe")?;
    let signed: SignedLabel = stripe.signed_label().map_err(|error| error.to_string())?;
    let label = signed.label();
    let file = open(ward, pack).map_err(|error| error.to_string())?;
    let coded = StripeFile::new(&file, label.pack_len, label.scheme);
    let trees = coded.encode().map_err(|error| error.to_string())?;
    let is_true = label.pack == *pack
        && trees.len() == label.shards.len()
        && trees
            .iter()
            .zip(&label.shards)
            .all(|(tree, shard)| tree.root() == *shard);
    if !is_true {
        let message = format!(
            "the label of pack {} names other shards than the pack has: it can't be repaired under it",
            pack.short()
        );
        node.events.fault(FaultKind::WrongBytes, None, message.clone());
        return Err(message);
    }
    for (index, tree) in label.scheme.indices().zip(trees) {
        let place = ShardPlace {
            archive: ward.archive,
            label: *id,
            index,
        };
        node.sent_trees.put(place, Arc::new(tree));
    }
    Ok(())
}

/// What was brought back for a repair goes.
pub(crate) fn let_go(ward: &Ward, pack: PackNumber) -> Result<(), String> {
    let number = catalogue::PackNumber(pack.0);
    let record = ward.catalogue.pack(number).map_err(|error| error.to_string())?;
    match record {
        Some(record) => ward
            .recalled
            .remove(&record.id)
            .map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}
