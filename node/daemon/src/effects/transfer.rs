//! Sending one shard from staging to a host, and noting the host's receipt.

use std::fs::File;
use std::io;
use std::sync::Arc;

use nuthatch_disk::catalogue::HeldShard;
use nuthatch_disk::vault::ShardPlace;
use nuthatch_engine::boundary::{OfferRefusal, PackNumber, TransferOutcome};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::{ArchiveId, LabelId, NodeId};
use nuthatch_wire::bulk::Refusal;

use super::audit;
use super::recall;
use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;
use crate::send::{self, Put, SendError, Sent, ShardBytes, Shipment};
use crate::stripes::StripeFile;
use crate::ward::Ward;

/// One shard, one host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) archive: ArchiveId,
    pub(super) pack: PackNumber,
    pub(super) label: LabelId,
    pub(super) index: ShardIndex,
    pub(super) to: NodeId,
}

impl Order {
    fn place(&self) -> ShardPlace {
        ShardPlace {
            archive: self.archive,
            label: self.label,
            index: self.index,
        }
    }
}

/// A shard of a staged pack: cut out, or coded, as its ranges are asked for.
struct StagedShard {
    pack: File,
    label: Arc<SignedLabel>,
    index: ShardIndex,
}

impl ShardBytes for StagedShard {
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let label = self.label.label();
        StripeFile::new(&self.pack, label.pack_len, label.scheme)
            .read(self.index, offset, len)
            .map_err(io::Error::other)
    }
}

/// Sends it; the catalogue names the host as holder before this answers `Held`.
pub(super) async fn transfer(node: &Arc<Node>, order: &Order) -> TransferOutcome {
    let Some(ward) = node.ward(&order.archive) else {
        return TransferOutcome::Unreadable;
    };
    let (loader, reader, what) = (Arc::clone(node), Arc::clone(&ward), *order);
    let loaded = tokio::task::spawn_blocking(move || load(&loader, &reader, &what)).await;
    let shipment = match loaded.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(shipment) => shipment,
        Err(error) => {
            tracing::warn!("a shard can't be read from staging: {error}");
            return TransferOutcome::Unreadable;
        }
    };
    match send::put_shard(&node.links, order.to, &shipment).await {
        Ok(Put::Held(sent)) => held(node, &ward, (order, sent)).await,
        Ok(Put::Busy(retry_after)) => TransferOutcome::Busy { retry_after },
        Ok(Put::Refused(refusal)) => TransferOutcome::Refused(reason(refusal)),
        Err(SendError::Unreadable) => TransferOutcome::Unreadable,
        Err(
            error @ (SendError::Receipt
            | SendError::OutOfTurn(_)
            | SendError::Credit(_)
            | SendError::Resume(_)),
        ) => {
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

fn load(node: &Node, ward: &Ward, order: &Order) -> Result<Shipment, String> {
    let stripe = ward
        .catalogue
        .stripe(&order.label)
        .map_err(|error| error.to_string())?
        .ok_or("no such stripe")?;
    let label = Arc::new(stripe.signed_label().map_err(|error| error.to_string())?);
    let record = ward
        .catalogue
        .pack(nuthatch_disk::catalogue::PackNumber(order.pack.0))
        .map_err(|error| error.to_string())?
        .ok_or("no such pack")?;
    let pack = recall::open(ward, &record.id).map_err(|error| error.to_string())?;
    Ok(Shipment {
        label: Arc::clone(&label),
        index: order.index,
        tree: node.sent_trees.get(&order.place()),
        bytes: Arc::new(StagedShard {
            pack,
            label,
            index: order.index,
        }),
    })
}

/// The host has signed. Where an audit has shown before that it does not have the shard, and it says now that it had it all along, that
/// is no better than its inventory: it proves it, or is not given this shard again.
async fn held(node: &Arc<Node>, ward: &Ward, (order, sent): (&Order, Sent)) -> TransferOutcome {
    if sent == Sent::Rest {
        let shard = HeldShard {
            label: order.label,
            index: order.index,
        };
        match audit::has_again(node, ward, (order.to, shard)).await {
            Ok(true) => {}
            Ok(false) => return TransferOutcome::Refused(OfferRefusal::Damaged),
            Err(error) => {
                tracing::debug!("a shard was not proven by {:?}: {error}", order.to);
                return TransferOutcome::Disconnected;
            }
        }
    }
    note(node, ward, order).await
}

/// Notes the holder, durably.
async fn note(node: &Arc<Node>, ward: &Ward, order: &Order) -> TransferOutcome {
    let (catalogue, to) = (Arc::clone(&ward.catalogue), order.to);
    let shard = HeldShard {
        label: order.label,
        index: order.index,
    };
    let noted = tokio::task::spawn_blocking(move || catalogue.add_holder(shard, &to, clock::now())).await;
    match noted {
        Ok(Ok(())) => {
            node.sent_trees.forget(&order.place());
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
