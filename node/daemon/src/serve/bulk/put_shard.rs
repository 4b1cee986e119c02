//! Taking one shard: for what it carries, never for who brings it.

use std::sync::Arc;

use nuthatch_disk::vault::{Begin, FinishShardError, ShardPlace, ShardWriter, WriteShardError};
use nuthatch_engine::boundary::{OfferFacts, OfferVerdict, Offered, PackKind, StripeHere};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::slice;
use nuthatch_format::{ByteCount, NodeId, ShardId};
use nuthatch_transport::BulkStream;
use nuthatch_wire::attest::Attestation;
use nuthatch_wire::bulk::{Accept, Credit, Data, Frame, PutShard, RANGE_LEN_MAX, Refusal, SLICE_LEN_MAX};
use nuthatch_wire::receipt::Receipt;

use super::{RETRY, ServeError, busy, may_offer, next, refusal, refuse};
use crate::clock;
use crate::hosting::{AcceptedOffer, Decided};
use crate::node::Node;
use crate::serve::DETACHED_RETRY;

/// Payload that an owner may send ahead of our disk, in bytes: four ranges.
const CREDIT: u64 = 4 * SLICE_LEN_MAX as u64;

/// A shard that has a name and a place.
struct Arrival {
    label: SignedLabel,
    place: ShardPlace,
    shard: ShardId,
}

/// Serves `PutShard` to its end.
pub(super) async fn serve(
    node: &Arc<Node>,
    stream: &mut BulkStream,
    put: PutShard,
) -> Result<(), ServeError> {
    let Some(arrival) = arrival(&put) else {
        return refuse(stream, Refusal::Damaged).await;
    };
    if !may_offer(node, stream, &arrival.place.archive) {
        return refuse(stream, Refusal::NotAllowed).await;
    }
    if !node.vault.is_attached() {
        return busy(stream, DETACHED_RETRY).await;
    }
    let (keeper, from) = (Arc::clone(node), stream.node());
    let (arrival, facts) = blocking(move || {
        let facts = facts(&keeper, from, &arrival);
        (arrival, facts)
    })
    .await?;
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => {
            tracing::warn!("the vault can't be asked: {error}");
            return busy(stream, RETRY).await;
        }
    };
    let accepted = match node.hosting.ask_offer(&node.engine, facts).await {
        Ok(Decided::Accept(accepted)) => accepted,
        Ok(Decided::Not(OfferVerdict::Have)) => return send_receipt(node, stream, &arrival, true).await,
        Ok(Decided::Not(OfferVerdict::Refuse(reason))) => return refuse(stream, refusal(reason)).await,
        Ok(Decided::Not(OfferVerdict::Busy { retry_after })) => return busy(stream, retry_after).await,
        Ok(Decided::Not(OfferVerdict::Accept)) | Err(_) => return busy(stream, RETRY).await,
    };
    let vault = Arc::clone(&node.vault);
    let (label, index) = (arrival.label.clone(), put.index);
    let begun = blocking(move || vault.begin(&label, index)).await?;
    let (writer, from) = match begun {
        Ok(Begin::Have) => return send_receipt(node, stream, &arrival, true).await,
        Ok(Begin::InWork) => return busy(stream, RETRY).await,
        Ok(Begin::Partial { from, writer }) => (writer, from),
        Ok(Begin::New { writer }) => (writer, 0),
        Err(error) => {
            tracing::warn!("a shard can't be begun: {error}");
            if !node.vault.is_attached() {
                return busy(stream, DETACHED_RETRY).await;
            }
            node.vault_changed();
            return refuse(stream, Refusal::Full).await;
        }
    };
    stream
        .send(&Frame::Accept(Accept {
            resume_from: from,
            credit: CREDIT,
        }))
        .await?;
    receive(node, stream, arrival, writer, accepted).await
}

/// The label's word on the shard; `None` when it is not a label, or has no such shard.
fn arrival(put: &PutShard) -> Option<Arrival> {
    let label = SignedLabel::parse(&put.label).ok()?;
    label.verify().ok()?;
    let shard = label.label().shard(put.index)?;
    let place = ShardPlace {
        archive: label.label().archive,
        label: label.id(),
        index: put.index,
    };
    Some(Arrival { label, place, shard })
}

fn facts(node: &Node, from: NodeId, arrival: &Arrival) -> Result<OfferFacts, String> {
    let ShardPlace {
        archive,
        label,
        index,
    } = arrival.place;
    let text = |error: &dyn std::error::Error| error.to_string();
    let here = node
        .vault
        .stripe(&archive, &label)
        .map_err(|error| text(&error))?;
    let here = if here.contains(&index) {
        StripeHere::SameShard
    } else if here.is_empty() {
        StripeHere::Nothing
    } else {
        StripeHere::OtherShard
    };
    let body = arrival.label.label();
    let statements = node.known_statements(&archive);
    let believed = node
        .believes_label(&archive, &label)
        .map_err(|error| text(&error))?;
    Ok(OfferFacts {
        from,
        archive,
        len: ByteCount(body.shard_len),
        offered: Offered::Shard {
            label,
            index,
            kind: match body.kind {
                nuthatch_format::pack::PackKind::Data => PackKind::Data,
                nuthatch_format::pack::PackKind::Meta => PackKind::Meta,
            },
            believed,
            here,
            mirror: statements.is_some_and(|statements| statements.is_mirror(&node.identity.node)),
        },
    })
}

/// Takes ranges until `Finish`, then syncs and signs.
async fn receive(
    node: &Node,
    stream: &mut BulkStream,
    arrival: Arrival,
    mut writer: ShardWriter,
    accepted: AcceptedOffer,
) -> Result<(), ServeError> {
    let mut credit = Credit::default();
    credit.add(CREDIT)?;
    loop {
        match next(stream).await? {
            Frame::Data(data) => {
                let payload = data.slice.len() as u64;
                credit.take(payload)?;
                let (root, shard_len) = (arrival.shard, arrival.label.label().shard_len);
                let (back, written) = blocking(move || {
                    let written = take_range(&mut writer, &root, shard_len, &data);
                    (writer, written)
                })
                .await?;
                writer = back;
                if let Err(refusal) = written {
                    return give_up(node, stream, writer, refusal).await;
                }
                credit.add(payload)?;
                stream.send(&Frame::Credit(payload)).await?;
            }
            Frame::Finish => break,
            Frame::Cancel => {
                stream.send(&Frame::Finish).await?;
                return Ok(());
            }
            other => return Err(ServeError::OutOfTurn(other.name())),
        }
    }
    match blocking(move || writer.finish()).await? {
        Ok(()) => {
            accepted.kept(ByteCount(arrival.label.label().shard_len)).await;
            send_receipt(node, stream, &arrival, false).await
        }
        Err(error @ FinishShardError::DiskFull(_)) => {
            tracing::warn!("the vault's disk is full: {error}");
            node.vault_changed();
            refuse(stream, Refusal::Full).await
        }
        Err(error) => {
            tracing::debug!("a shard did not arrive whole: {error}");
            refuse(stream, Refusal::Damaged).await
        }
    }
}

/// Verifies a range and writes it behind what is there.
fn take_range(writer: &mut ShardWriter, root: &ShardId, shard_len: u64, data: &Data) -> Result<(), Refusal> {
    if data.len == 0 || data.len > RANGE_LEN_MAX {
        return Err(Refusal::Damaged);
    }
    let range = data.offset..data.offset.saturating_add(u64::from(data.len));
    let bytes = slice::verify(root, shard_len, range, &data.slice).map_err(|_| Refusal::Damaged)?;
    writer.write(data.offset, &bytes).map_err(|error| match error {
        WriteShardError::DiskFull(_) => Refusal::Full,
        _ => Refusal::Damaged,
    })
}

/// Keeps what was verified so far, and refuses the rest.
async fn give_up(
    node: &Node,
    stream: &mut BulkStream,
    writer: ShardWriter,
    refusal: Refusal,
) -> Result<(), ServeError> {
    if refusal == Refusal::Full {
        node.vault_changed();
    }
    if let Err(error) = blocking(move || writer.keep_partial()).await? {
        tracing::debug!("what arrived of a shard is not kept: {error}");
    }
    refuse(stream, refusal).await
}

async fn send_receipt(
    node: &Node,
    stream: &mut BulkStream,
    arrival: &Arrival,
    was_here: bool,
) -> Result<(), ServeError> {
    let receipt = Receipt {
        archive: arrival.place.archive,
        host: node.identity.node,
        at: clock::now(),
        label: arrival.place.label,
        index: arrival.place.index,
        shard: arrival.shard,
    };
    let receipt = Attestation::sign(&receipt, &node.identity.key)
        .map_err(|error| ServeError::Own(error.to_string()))?;
    let frame = if was_here {
        Frame::Have(receipt)
    } else {
        Frame::Receipt(receipt)
    };
    Ok(stream.send(&frame).await?)
}

/// Runs what reads or writes the disk off the network's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ServeError::Own(error.to_string()))
}
