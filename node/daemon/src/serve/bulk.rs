//! The host's side of bulk streams: taking shards and segments, giving ranges and segments.
//!
//! A shard is verified range by range while it arrives, synced, and only then signed for. A stream carries one operation after another;
//! anything out of turn ends it.

mod get;
mod put_segments;
mod put_shard;

use std::sync::Arc;
use std::time::Duration;

use nuthatch_format::{ArchiveId, Span};
use nuthatch_transport::{BulkError, BulkStream, Gate as _, Standing};
use nuthatch_wire::bulk::{Busy, Frame, Refusal};
use nuthatch_wire::message::ErrorCode;

use super::rights;
use crate::links::IDLE_TIMEOUT;
use crate::node::Node;

/// How long a stream may rest between two operations.
const NEXT_OPERATION: Duration = Duration::from_mins(5);

/// When to try again, where nothing better is known.
const RETRY: Span = Span::from_secs(2);

const _: () = assert!(
    NEXT_OPERATION.as_secs() > 2 * IDLE_TIMEOUT.as_secs(),
    "the opener gives up first"
);

/// Why a stream is given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// The stream broke.
    #[error(transparent)]
    Stream(#[from] BulkError),
    /// The other side ended the stream inside an operation.
    #[error("the stream ended inside an operation")]
    Ended,
    /// The other side said something that has no place there.
    #[error("'{0}' came out of turn")]
    OutOfTurn(&'static str),
    /// More payload than there was credit for, or too much credit.
    #[error(transparent)]
    Credit(#[from] nuthatch_wire::bulk::CreditError),
    /// This node's own key or disk.
    #[error("this node can't go on: {0}")]
    Own(String),
}

/// Serves a stream until it ends.
pub(crate) async fn serve(node: Arc<Node>, mut stream: BulkStream) {
    let peer = stream.node();
    loop {
        let opening = match stream.recv_within(NEXT_OPERATION).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!("bulk stream of {peer:?} ended: {error}");
                return;
            }
        };
        // Standing may have ended since the stream was opened.
        if node.circle.gate().standing(&peer) == Standing::Stranger {
            tracing::debug!("{peer:?} has no standing any more");
            drop(refuse(&mut stream, Refusal::NotAllowed).await);
            return;
        }
        let ended = match opening {
            Frame::PutShard(put) => put_shard::serve(&node, &mut stream, put).await,
            Frame::GetRange(get) => get::serve_range(&node, &mut stream, get).await,
            Frame::PutSegments(put) => put_segments::serve(&node, &mut stream, put.archive).await,
            Frame::GetSegments(get) => get::serve_segments(&node, &mut stream, get).await,
            // Said by an opener that gave up just when the operation ended.
            Frame::Cancel => stream.send(&Frame::Finish).await.map_err(ServeError::from),
            // Given for payload whose operation had ended meanwhile.
            Frame::Credit(_) => Ok(()),
            other => Err(ServeError::OutOfTurn(other.name())),
        };
        if let Err(error) = ended {
            tracing::debug!("bulk stream of {peer:?} given up: {error}");
            return;
        }
    }
}

/// Whether the asker may have anything of the archive.
fn may_read(node: &Node, stream: &BulkStream, archive: &ArchiveId) -> bool {
    node.known_statements(archive)
        .is_some_and(|statements| rights::reader(&statements, &stream.node()).is_some())
}

/// Whether the asker is one of the archive's devices: what it reads, it restores.
fn is_device(node: &Node, stream: &BulkStream, archive: &ArchiveId) -> bool {
    node.known_statements(archive)
        .is_some_and(|statements| rights::may_read(&statements, &stream.node()))
}

/// Lets the asker have so many bytes of the archive, or tells it why not.
async fn admit(
    node: &Node,
    stream: &mut BulkStream,
    archive: &ArchiveId,
    bytes: u64,
) -> Result<bool, ServeError> {
    match node.admit_reading(archive, &stream.node(), bytes) {
        Ok(()) => Ok(true),
        Err(ErrorCode::Busy(retry_after)) => busy(stream, retry_after).await.map(|()| false),
        Err(_) => refuse(stream, Refusal::NotAllowed).await.map(|()| false),
    }
}

/// Whether the asker may offer anything for the archive: members may for every one, since what is carried decides; a claimant for its
/// own.
fn may_offer(node: &Node, stream: &BulkStream, archive: &ArchiveId) -> bool {
    node.circle.gate().is_member(&stream.node()) || may_read(node, stream, archive)
}

async fn refuse(stream: &mut BulkStream, refusal: Refusal) -> Result<(), ServeError> {
    Ok(stream.send(&Frame::Refused(refusal)).await?)
}

async fn busy(stream: &mut BulkStream, retry_after: Span) -> Result<(), ServeError> {
    Ok(stream.send(&Frame::Busy(Busy { retry_after })).await?)
}

async fn next(stream: &mut BulkStream) -> Result<Frame, ServeError> {
    stream.recv().await?.ok_or(ServeError::Ended)
}

/// The engine's reason as the protocol says it.
fn refusal(reason: nuthatch_engine::boundary::OfferRefusal) -> Refusal {
    use nuthatch_engine::boundary::OfferRefusal;
    match reason {
        OfferRefusal::NoLease => Refusal::NoLease,
        // Why there is no room is told by the ledger, to those who ask.
        OfferRefusal::Full | OfferRefusal::Paused | OfferRefusal::Unbalanced => Refusal::Full,
        OfferRefusal::NotBelieved => Refusal::NotBelieved,
        OfferRefusal::StripeAlreadyHere => Refusal::StripeAlreadyHere,
        OfferRefusal::NotAllowed => Refusal::NotAllowed,
        OfferRefusal::Damaged => Refusal::Damaged,
        OfferRefusal::Version => Refusal::Version,
    }
}
