//! Bringing a pack's bytes back to this disk for a repair: from where they wait to be sent, from the
//! files that they were sealed from, else from hosts. What comes is checked by the
//! pack's name, and the label that it is sent under by coding its shards again.

use std::fs::File;
use std::sync::Arc;

use nuthatch_disk::catalogue::{self, PackRecord};
use nuthatch_disk::vault::ShardPlace;
use nuthatch_engine::boundary::{PackNumber, RecallOutcome};
use nuthatch_engine::repair::RepairSource;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::{ArchiveId, LabelId, PackId};

use super::reseal;
use crate::events::FaultKind;
use crate::node::{Node, Owned};
use crate::source::HostSource;
use crate::stripes::StripeFile;

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
            let_go(node, pack);
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
    let owned = node
        .owned()
        .filter(|owned| owned.archive == archive)
        .ok_or("no such archive here")?;
    let record = owned
        .catalogue
        .pack(catalogue::PackNumber(pack.0))
        .map_err(|error| error.to_string())?
        .ok_or("no such pack")?;
    let source = bring(node, &owned, &record).await?;
    let (worker, checked) = (Arc::clone(node), Arc::clone(&owned));
    blocking(move || check(&worker, &checked, &record.id, &label)).await?;
    Ok(source)
}

/// Has the bytes of a pack on this disk, from the cheapest source that gives them.
pub(super) async fn bring(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    record: &PackRecord,
) -> Result<RepairSource, String> {
    if owned.staging.contains(&record.id) || owned.recalled.contains(&record.id) {
        return Ok(RepairSource::Staging);
    }
    if reseal::from_files(node, owned, record).await? {
        return Ok(RepairSource::Files);
    }
    let source = HostSource::new(node, owned, &node.stop);
    let fetched = source.fetch_pack(record).await;
    node.repairs.fetched(source.fetched());
    let bytes = fetched.map_err(|error| error.to_string())?;
    let (recalled, id) = (Arc::clone(&owned.recalled), record.id);
    blocking(move || {
        recalled
            .put_pack_bytes(&id, &bytes)
            .map_err(|error| error.to_string())
    })
    .await?;
    Ok(RepairSource::Shards)
}

/// A pack's file, wherever it is on this disk.
pub(super) fn open(owned: &Owned, pack: &PackId) -> Result<File, nuthatch_disk::staging::ReadPackError> {
    if owned.recalled.contains(pack) {
        return owned.recalled.open_pack(pack);
    }
    owned.staging.open_pack(pack)
}

/// Checks that the shards of a label are cut from the bytes that are here: another device's label may name anything. Keeps their
/// trees for the sending.
fn check(node: &Node, owned: &Owned, pack: &PackId, id: &LabelId) -> Result<(), String> {
    let stripe = owned
        .catalogue
        .stripe(id)
        .map_err(|error| error.to_string())?
        .ok_or("no such stripe")?;
    let signed: SignedLabel = stripe.signed_label().map_err(|error| error.to_string())?;
    let label = signed.label();
    let file = open(owned, pack).map_err(|error| error.to_string())?;
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
            archive: owned.archive,
            label: *id,
            index,
        };
        node.sent_trees.put(place, Arc::new(tree));
    }
    Ok(())
}

/// A repair has ended: what was brought back for it goes.
pub(super) fn let_go(node: &Node, pack: PackNumber) {
    let Some(owned) = node.owned() else { return };
    let record = owned.catalogue.pack(catalogue::PackNumber(pack.0)).ok().flatten();
    if let Some(record) = record
        && let Err(error) = owned.recalled.remove(&record.id)
    {
        node.events.fault(
            FaultKind::OwnDisk,
            None,
            format!("a pack that was brought back can't be removed: {error}"),
        );
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}
