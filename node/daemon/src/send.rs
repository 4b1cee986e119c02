//! Sending one shard, or the segments of a journal, to a host: the client's side of the bulk protocol. Decides nothing.

use std::sync::Arc;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::journal::SignedSegment;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::slice::{self, GROUP_LEN, Outboard, SLICE_RANGE};
use nuthatch_format::{NodeId, Span};
use nuthatch_transport::{BulkError, BulkStream, OpenError};
use nuthatch_wire::attest::Attestation;
use nuthatch_wire::bounded::{Opaque, OutOfBounds};
use nuthatch_wire::bulk::{
    Credit, CreditError, Data, Frame, LabelBytes, PutSegments, PutShard, Refusal, Segment, SegmentBytes,
};
use nuthatch_wire::receipt::{Receipt, SegmentReceipt};

use crate::links::{Link, Links};

/// Bytes of one shard, wherever they are.
pub(crate) trait ShardBytes: Send + Sync + 'static {
    /// Bytes `offset..offset + len`, inside the shard.
    fn read(&self, offset: u64, len: usize) -> std::io::Result<Vec<u8>>;
}

/// How an offer ended that the host understood.
#[derive(Debug)]
pub(crate) enum Put<T> {
    /// The host has signed for it.
    Held(T),
    /// Not now.
    Busy(Span),
    /// No.
    Refused(Refusal),
}

/// How a host came to what it has signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it was sent now.
    Whole,
    /// It said that it had some of it, or all.
    Rest,
}

/// Why an operation broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No stream.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The stream broke.
    #[error(transparent)]
    Stream(#[from] BulkError),
    /// The host ended the stream.
    #[error("the host ended the stream")]
    Ended,
    /// The host said something that has no place here.
    #[error("the host answered '{0}' out of turn")]
    OutOfTurn(&'static str),
    /// More credit than there may be.
    #[error(transparent)]
    Credit(#[from] CreditError),
    /// A receipt that does not hold, or is for something else.
    #[error("the host's receipt is not for what was sent")]
    Receipt,
    /// A place to go on from at which no group of the shard begins.
    #[error("the host wants the shard from byte {0} on, where no group begins")]
    Resume(u64),
    /// Our own bytes can't be read, or are not what the label says.
    #[error("the shard's bytes can't be had")]
    Unreadable,
    /// Something longer than the protocol allows.
    #[error(transparent)]
    TooLong(#[from] OutOfBounds),
}

/// A shard on its way.
#[derive(Clone)]
pub(crate) struct Shipment {
    pub(crate) label: Arc<SignedLabel>,
    pub(crate) index: ShardIndex,
    /// Its hash tree, where that is known already.
    pub(crate) tree: Option<Arc<Outboard>>,
    pub(crate) bytes: Arc<dyn ShardBytes>,
}

/// Offers a shard to a host and sends what it lacks of it. A stream that was used before is tried again with a fresh one.
pub(crate) async fn put_shard(
    links: &Links,
    host: NodeId,
    shipment: &Shipment,
) -> Result<Put<Sent>, SendError> {
    loop {
        let mut link = links.take(host).await?;
        match put_shard_on(&mut link.stream, host, shipment).await {
            // After a refusal payload may still be under way: such a stream is not used again.
            Ok(put @ Put::Refused(_)) => return Ok(put),
            Ok(put) => {
                links.put_back(link);
                return Ok(put);
            }
            Err(SendError::Stream(_) | SendError::Ended) if link.used => links.forget(&host),
            Err(error) => return Err(error),
        }
    }
}

async fn put_shard_on(
    stream: &mut BulkStream,
    host: NodeId,
    shipment: &Shipment,
) -> Result<Put<Sent>, SendError> {
    let label = LabelBytes::new(shipment.label.bytes().to_vec())?;
    stream
        .send(&Frame::PutShard(PutShard {
            label,
            index: shipment.index,
        }))
        .await?;
    let accept = match next(stream).await? {
        Frame::Accept(accept) => accept,
        Frame::Have(receipt) => {
            return check_receipt(&receipt, host, shipment).map(|()| Put::Held(Sent::Rest));
        }
        Frame::Busy(busy) => return Ok(Put::Busy(busy.retry_after)),
        Frame::Refused(refusal) => return Ok(Put::Refused(refusal)),
        other => return Err(SendError::OutOfTurn(other.name())),
    };
    let mut credit = Credit::default();
    credit.add(accept.credit)?;
    let shard_len = shipment.label.label().shard_len;
    if accept.resume_from < shard_len && !accept.resume_from.is_multiple_of(GROUP_LEN) {
        return Err(SendError::Resume(accept.resume_from));
    }
    if let Some(refusal) = send_ranges(stream, shipment, accept.resume_from, credit).await? {
        return Ok(Put::Refused(refusal));
    }
    stream.send(&Frame::Finish).await?;
    let sent = if accept.resume_from == 0 {
        Sent::Whole
    } else {
        Sent::Rest
    };
    loop {
        match next(stream).await? {
            Frame::Credit(_) => {}
            Frame::Receipt(receipt) => {
                return check_receipt(&receipt, host, shipment).map(|()| Put::Held(sent));
            }
            Frame::Refused(refusal) => return Ok(Put::Refused(refusal)),
            other => return Err(SendError::OutOfTurn(other.name())),
        }
    }
}

/// Sends the shard from an offset on, as credit allows; `Some` when the host has had enough.
async fn send_ranges(
    stream: &mut BulkStream,
    shipment: &Shipment,
    from: u64,
    mut credit: Credit,
) -> Result<Option<Refusal>, SendError> {
    let shard_len = shipment.label.label().shard_len;
    if from >= shard_len {
        return Ok(None);
    }
    let outboard = outboard(shipment).await?;
    let mut offset = from;
    while offset < shard_len {
        while !credit.is_open() {
            match next(stream).await? {
                Frame::Credit(bytes) => credit.add(bytes)?,
                Frame::Refused(refusal) => return Ok(Some(refusal)),
                other => return Err(SendError::OutOfTurn(other.name())),
            }
        }
        let end = (offset + SLICE_RANGE).min(shard_len);
        let slice = slice_of(shipment, Arc::clone(&outboard), offset..end).await?;
        let frame = Frame::Data(Data {
            offset,
            len: (end - offset) as u32,
            slice: Opaque::new(slice)?,
        });
        credit.take(frame.payload_len())?;
        stream.send(&frame).await?;
        offset = end;
    }
    Ok(None)
}

/// The hashes of the shard, which must be the one that the label names.
async fn outboard(shipment: &Shipment) -> Result<Arc<Outboard>, SendError> {
    let named = shipment.label.label().shard(shipment.index);
    if let Some(tree) = shipment.tree.as_ref().filter(|tree| Some(tree.root()) == named) {
        return Ok(Arc::clone(tree));
    }
    let shipment = shipment.clone();
    let made = tokio::task::spawn_blocking(move || {
        let shard_len = shipment.label.label().shard_len;
        let reader = Sequential {
            bytes: shipment.bytes.as_ref(),
            at: 0,
            shard_len,
        };
        let buffered = std::io::BufReader::with_capacity(SLICE_RANGE as usize, reader);
        let outboard = Outboard::read(buffered, shard_len).ok()?;
        (Some(outboard.root()) == named).then(|| Arc::new(outboard))
    });
    made.await.ok().flatten().ok_or(SendError::Unreadable)
}

async fn slice_of(
    shipment: &Shipment,
    outboard: Arc<Outboard>,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, SendError> {
    let bytes = Arc::clone(&shipment.bytes);
    let made = tokio::task::spawn_blocking(move || {
        let part = bytes.read(range.start, (range.end - range.start) as usize).ok()?;
        slice::make(
            Window {
                start: range.start,
                bytes: &part,
            },
            &outboard,
            range,
        )
        .ok()
    });
    made.await.ok().flatten().ok_or(SendError::Unreadable)
}

fn check_receipt(receipt: &Attestation<Receipt>, host: NodeId, shipment: &Shipment) -> Result<(), SendError> {
    let label = shipment.label.label();
    let body = receipt.open().map_err(|_| SendError::Receipt)?;
    let holds = body.host == host
        && body.archive == label.archive
        && body.label == shipment.label.id()
        && body.index == shipment.index
        && Some(body.shard) == label.shard(shipment.index);
    if holds { Ok(()) } else { Err(SendError::Receipt) }
}

/// A shard read from its start to its end.
struct Sequential<'b> {
    bytes: &'b dyn ShardBytes,
    at: u64,
    shard_len: u64,
}

impl std::io::Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = (self.shard_len - self.at).min(buffer.len() as u64) as usize;
        if let Some(part) = buffer.get_mut(..len) {
            part.copy_from_slice(&self.bytes.read(self.at, len)?);
        }
        self.at += len as u64;
        Ok(len)
    }
}

/// A range of a shard, read by its place in the shard.
pub(crate) struct Window<'b> {
    pub(crate) start: u64,
    pub(crate) bytes: &'b [u8],
}

impl slice::ReadAt for Window<'_> {
    fn read_at(&self, pos: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let from = pos.checked_sub(self.start).map(|from| from as usize);
        let part = from.and_then(|from| self.bytes.get(from..)).unwrap_or(&[]);
        let len = part.len().min(buffer.len());
        if let (Some(target), Some(source)) = (buffer.get_mut(..len), part.get(..len)) {
            target.copy_from_slice(source);
        }
        Ok(len)
    }
}

/// Sends segments of one archive to a host, in order, each acknowledged; `take` hears of each receipt, which is for the segment that was
/// sent. The segments come from `next_segment`, which reads them one by one, so that a long journal is never in memory at once.
pub(crate) async fn put_segments(
    links: &Links,
    host: NodeId,
    archive: nuthatch_format::ArchiveId,
    mut next_segment: impl FnMut() -> Option<SignedSegment>,
    mut take: impl FnMut(&SegmentReceipt),
) -> Result<Put<u64>, SendError> {
    // A fresh stream: a retry in the middle would have to begin the reading again.
    let mut link: Link = links.open(host).await?;
    let stream = &mut link.stream;
    stream.send(&Frame::PutSegments(PutSegments { archive })).await?;
    let mut credit = Credit::default();
    match next(stream).await? {
        Frame::Accept(accept) => credit.add(accept.credit)?,
        Frame::Busy(busy) => return Ok(Put::Busy(busy.retry_after)),
        Frame::Refused(refusal) => return Ok(Put::Refused(refusal)),
        other => return Err(SendError::OutOfTurn(other.name())),
    }
    let mut sent_count = 0;
    while let Some(segment) = next_segment() {
        let head = segment.head();
        let frame = Frame::Segment(Segment {
            bytes: SegmentBytes::new(segment.into_bytes())?,
        });
        while !credit.is_open() {
            match next(stream).await? {
                Frame::Credit(bytes) => credit.add(bytes)?,
                Frame::Refused(refusal) => return Ok(Put::Refused(refusal)),
                other => return Err(SendError::OutOfTurn(other.name())),
            }
        }
        credit.take(frame.payload_len())?;
        stream.send(&frame).await?;
        loop {
            match next(stream).await? {
                Frame::Credit(bytes) => credit.add(bytes)?,
                Frame::SegmentReceipt(receipt) => {
                    let body = receipt.open().map_err(|_| SendError::Receipt)?;
                    let is_for_it = body.host == host
                        && body.archive == archive
                        && (body.line, body.sequence, body.segment)
                            == (head.line, head.sequence, head.segment);
                    if !is_for_it {
                        return Err(SendError::Receipt);
                    }
                    take(&body);
                    break;
                }
                Frame::Refused(refusal) => return Ok(Put::Refused(refusal)),
                other => return Err(SendError::OutOfTurn(other.name())),
            }
        }
        sent_count += 1;
    }
    stream.send(&Frame::Finish).await?;
    loop {
        match next(stream).await? {
            Frame::Credit(_) => {}
            Frame::Finish => break,
            Frame::Refused(refusal) => return Ok(Put::Refused(refusal)),
            other => return Err(SendError::OutOfTurn(other.name())),
        }
    }
    links.put_back(link);
    Ok(Put::Held(sent_count))
}

async fn next(stream: &mut BulkStream) -> Result<Frame, SendError> {
    stream.recv().await?.ok_or(SendError::Ended)
}
