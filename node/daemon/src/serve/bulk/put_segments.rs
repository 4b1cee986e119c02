//! Taking segments of a journal: each verified against the archive's certificates, judged against its line, synced, signed for.

use std::sync::Arc;

use nuthatch_engine::boundary::{OfferFacts, OfferVerdict, Offered};
use nuthatch_format::journal::SignedSegment;
use nuthatch_format::{ArchiveId, ByteCount};
use nuthatch_transport::BulkStream;
use nuthatch_wire::bulk::{Accept, Credit, Frame, Refusal, SEGMENT_LEN_MAX};

use super::{RETRY, ServeError, busy, may_offer, next, refusal, refuse};
use crate::hosting::Decided;
use crate::node::Node;

/// Payload that may come ahead of our disk, in bytes.
const CREDIT: u64 = SEGMENT_LEN_MAX as u64;

/// Serves `PutSegments` to its end.
pub(super) async fn serve(
    node: &Arc<Node>,
    stream: &mut BulkStream,
    archive: ArchiveId,
) -> Result<(), ServeError> {
    if !may_offer(node, stream, &archive) {
        return refuse(stream, Refusal::NotAllowed).await;
    }
    if node.known_statements(&archive).is_none() {
        return refuse(stream, Refusal::NoLease).await;
    }
    stream
        .send(&Frame::Accept(Accept {
            resume_from: 0,
            credit: CREDIT,
        }))
        .await?;
    let mut credit = Credit::default();
    credit.add(CREDIT)?;
    loop {
        match next(stream).await? {
            Frame::Segment(segment) => {
                let payload = segment.bytes.len() as u64;
                credit.take(payload)?;
                if !take(node, stream, archive, segment.bytes.into_vec()).await? {
                    return Ok(());
                }
                credit.add(payload)?;
                stream.send(&Frame::Credit(payload)).await?;
            }
            Frame::Finish | Frame::Cancel => return Ok(stream.send(&Frame::Finish).await?),
            other => return Err(ServeError::OutOfTurn(other.name())),
        }
    }
}

/// Takes one segment and signs for it; `false` when the operation has ended with a refusal.
async fn take(
    node: &Arc<Node>,
    stream: &mut BulkStream,
    archive: ArchiveId,
    bytes: Vec<u8>,
) -> Result<bool, ServeError> {
    let len = ByteCount(bytes.len() as u64);
    let Ok(segment) = SignedSegment::parse(bytes) else {
        refuse(stream, Refusal::Damaged).await?;
        return Ok(false);
    };
    if segment.public().archive != archive {
        refuse(stream, Refusal::Damaged).await?;
        return Ok(false);
    }
    let facts = OfferFacts {
        from: stream.node(),
        archive,
        len,
        offered: Offered::Journal,
    };
    let accepted = match node.hosting.ask_offer(&node.engine, facts).await {
        Ok(Decided::Accept(accepted)) => Some(accepted),
        Ok(Decided::Not(OfferVerdict::Have)) => None,
        Ok(Decided::Not(OfferVerdict::Refuse(reason))) => {
            refuse(stream, refusal(reason)).await?;
            return Ok(false);
        }
        Ok(Decided::Not(OfferVerdict::Busy { retry_after })) => {
            busy(stream, retry_after).await?;
            return Ok(false);
        }
        Ok(Decided::Not(OfferVerdict::Accept)) | Err(_) => {
            busy(stream, RETRY).await?;
            return Ok(false);
        }
    };
    let head = segment.head();
    let (keeper, from) = (Arc::clone(node), stream.node());
    let kept = tokio::task::spawn_blocking(move || keeper.host_segment(&segment, from)).await;
    match kept {
        Ok(Ok(is_new)) => {
            if let (Some(accepted), true) = (accepted, is_new) {
                accepted.kept(len).await;
            }
            let receipt = node
                .sign_segment_receipt(archive, &head)
                .map_err(|error| ServeError::Own(error.to_string()))?;
            stream.send(&Frame::SegmentReceipt(receipt)).await?;
            Ok(true)
        }
        Ok(Err(error)) => {
            tracing::debug!("a segment is refused: {error}");
            refuse(stream, error.refusal()).await?;
            Ok(false)
        }
        Err(error) => Err(ServeError::Own(error.to_string())),
    }
}
