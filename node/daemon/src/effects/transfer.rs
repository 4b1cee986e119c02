//! Sending one shard from staging to a host, and noting the host's receipt.

use std::sync::Arc;

use nuthatch_disk::catalogue::HeldShard;
use nuthatch_engine::boundary::{OfferRefusal, PackNumber, TransferOutcome};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::{ArchiveId, LabelId, NodeId};
use nuthatch_wire::bulk::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock;
use crate::events::FaultKind;
use crate::node::{Node, Owned};
use crate::send::{self, Put, SendError, ShardBytes, Shipment};
use crate::stripes::StripeFile;

/// Memory for shards on their way, in KiB: two of the largest. Transfers of large shards wait for each other.
pub(crate) const SHIPPING_KIB: usize = 32 * 1024;

/// One shard, one host.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) archive: ArchiveId,
    pub(super) pack: PackNumber,
    pub(super) label: LabelId,
    pub(super) index: ShardIndex,
    pub(super) to: NodeId,
}

/// A shard in memory, with the place that it takes there.
struct Loaded {
    bytes: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl ShardBytes for Loaded {
    fn read(&self, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
        let start = offset as usize;
        let part = start.checked_add(len).and_then(|end| self.bytes.get(start..end));
        part.map(<[u8]>::to_vec)
            .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// Sends it; the catalogue names the host as holder before this answers `Held`.
pub(super) async fn transfer(node: &Arc<Node>, order: &Order) -> TransferOutcome {
    let Some(owned) = node.owned().filter(|owned| owned.archive == order.archive) else {
        return TransferOutcome::Unreadable;
    };
    let shipment = match load(node, &owned, order).await {
        Ok(shipment) => shipment,
        Err(error) => {
            tracing::warn!("a shard can't be read from staging: {error}");
            return TransferOutcome::Unreadable;
        }
    };
    match send::put_shard(&node.links, order.to, &shipment).await {
        Ok(Put::Held(_receipt)) => note(node, &owned, order).await,
        Ok(Put::Busy(retry_after)) => TransferOutcome::Busy { retry_after },
        Ok(Put::Refused(refusal)) => TransferOutcome::Refused(reason(refusal)),
        Err(SendError::Unreadable) => TransferOutcome::Unreadable,
        Err(error @ (SendError::Receipt | SendError::OutOfTurn(_) | SendError::Credit(_))) => {
            let message = format!(
                "{} does not keep to the protocol: {error}",
                node.circle.name_of(&order.to)
            );
            node.events.fault(FaultKind::WrongBytes, Some(order.to), message);
            TransferOutcome::Disconnected
        }
        Err(error) => {
            tracing::debug!("a transfer to {:?} broke: {error}", order.to);
            TransferOutcome::Disconnected
        }
    }
}

async fn load(node: &Arc<Node>, owned: &Arc<Owned>, order: &Order) -> Result<Shipment, String> {
    let (owned, label_id, number, index) = (Arc::clone(owned), order.label, order.pack, order.index);
    let stripe = owned
        .catalogue
        .stripe(&label_id)
        .map_err(|error| error.to_string())?
        .ok_or("no such stripe")?;
    let label = stripe.signed_label().map_err(|error| error.to_string())?;
    let kib = (label.label().shard_len.div_ceil(1024) as usize).min(SHIPPING_KIB);
    let place = Arc::clone(&node.shipping)
        .acquire_many_owned(kib as u32)
        .await
        .map_err(|error| error.to_string())?;
    let read = tokio::task::spawn_blocking(move || {
        let record = owned
            .catalogue
            .pack(nuthatch_disk::catalogue::PackNumber(number.0))
            .map_err(|error| error.to_string())?
            .ok_or("no such pack")?;
        let file = owned
            .staging
            .open_pack(&record.id)
            .map_err(|error| error.to_string())?;
        let bytes = read_shard(&file, &label, index)?;
        Ok::<_, String>((label, bytes))
    });
    let (label, bytes) = read.await.map_err(|error| error.to_string())??;
    Ok(Shipment {
        label: Arc::new(label),
        index,
        bytes: Arc::new(Loaded { bytes, _place: place }),
    })
}

fn read_shard(file: &std::fs::File, label: &SignedLabel, index: ShardIndex) -> Result<Vec<u8>, String> {
    let label = label.label();
    StripeFile::new(file, label.pack_len, label.scheme)
        .read_all(index)
        .map_err(|error| error.to_string())
}

/// Notes the holder, durably.
async fn note(node: &Arc<Node>, owned: &Arc<Owned>, order: &Order) -> TransferOutcome {
    let (catalogue, to) = (Arc::clone(&owned.catalogue), order.to);
    let shard = HeldShard {
        label: order.label,
        index: order.index,
    };
    let noted = tokio::task::spawn_blocking(move || catalogue.add_holder(shard, &to, clock::now())).await;
    match noted {
        Ok(Ok(())) => {
            node.pulse.nudge();
            TransferOutcome::Held
        }
        Ok(Err(error)) => {
            node.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the catalogue can't be written: {error}"),
            );
            TransferOutcome::Unreadable
        }
        Err(_) => TransferOutcome::Disconnected,
    }
}

/// The host's reason as the engine knows it.
pub(crate) fn reason(refusal: Refusal) -> OfferRefusal {
    match refusal {
        Refusal::NoLease => OfferRefusal::NoLease,
        Refusal::Full => OfferRefusal::Full,
        Refusal::NotBelieved | Refusal::NotFound => OfferRefusal::NotBelieved,
        Refusal::StripeAlreadyHere => OfferRefusal::StripeAlreadyHere,
        Refusal::NotAllowed => OfferRefusal::NotAllowed,
        Refusal::Damaged => OfferRefusal::Damaged,
        Refusal::Version => OfferRefusal::Version,
    }
}

/// The memory that transfers share.
pub(crate) fn shipping() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SHIPPING_KIB))
}
