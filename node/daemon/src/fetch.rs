//! Getting a range of a shard, or the segments of a line, from a host: the client's side of the bulk protocol. Decides nothing.
//!
//! Every byte is verified before it is handed on: ranges against the label, segments by whoever takes them.

use nuthatch_erasure::ShardIndex;
use nuthatch_format::label::Label;
use nuthatch_format::slice::{self, SliceError};
use nuthatch_format::{ArchiveId, LabelId, LineId, NodeId, Span};
use nuthatch_transport::{BulkError, BulkStream, OpenError};
use nuthatch_wire::bulk::{Credit, Frame, GetRange, GetSegments, RANGE_LEN_MAX, Refusal, SEGMENT_LEN_MAX};

use crate::links::Links;

/// Payload that a host may send ahead of us, in bytes.
const CREDIT: u64 = 1024 * 1024 + SEGMENT_LEN_MAX as u64;

/// Why a range or a line could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No stream.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The stream broke.
    #[error(transparent)]
    Stream(#[from] BulkError),
    /// The host ended the stream.
    #[error("the host ended the stream")]
    Ended,
    /// The host has no room for another operation.
    #[error("the host is busy")]
    Busy(Span),
    /// The host says no.
    #[error("{0}")]
    Refused(Refusal),
    /// The host said something that has no place here.
    #[error("the host answered '{0}' out of turn")]
    OutOfTurn(&'static str),
    /// The host sent bytes that are not the shard's.
    #[error("the host sent wrong bytes: {0}")]
    Wrong(#[from] SliceError),
    /// The host ended before all of it had come.
    #[error("the host sent {found} of {expected} bytes")]
    Truncated {
        /// Bytes that came.
        found: u64,
        /// Bytes asked for.
        expected: u64,
    },
    /// The host sent more, or something else, than was asked for.
    #[error("the host sent a range that was not asked for")]
    OtherRange,
}

/// A range of a shard.
#[derive(Debug, Clone)]
pub(crate) struct WantedRange<'l> {
    pub(crate) label: &'l Label,
    pub(crate) label_id: LabelId,
    pub(crate) index: ShardIndex,
    /// Aligned to groups, or up to the end of the shard.
    pub(crate) range: std::ops::Range<u64>,
}

/// Takes verified bytes of a shard as they come: their offset in the shard, and the bytes.
pub(crate) type Take<'t> = dyn FnMut(u64, &[u8]) + Send + 't;

/// Fetches a range from a host, handing it to `take` in order. A stream that was used before is tried again with a fresh one, and then
/// the range is handed over from its beginning again.
pub(crate) async fn get_range(
    links: &Links,
    host: NodeId,
    wanted: &WantedRange<'_>,
    take: &mut Take<'_>,
) -> Result<(), FetchError> {
    loop {
        let mut link = links.take(host).await?;
        match get_range_on(&mut link.stream, wanted, take).await {
            Ok(()) => {
                links.put_back(link);
                return Ok(());
            }
            Err(error @ (FetchError::Busy(_) | FetchError::Refused(_))) => {
                links.put_back(link);
                return Err(error);
            }
            Err(FetchError::Stream(_) | FetchError::Ended) if link.used => links.forget(&host),
            Err(error) => return Err(error),
        }
    }
}

async fn get_range_on(
    stream: &mut BulkStream,
    wanted: &WantedRange<'_>,
    take: &mut Take<'_>,
) -> Result<(), FetchError> {
    let std::ops::Range { start, end } = wanted.range;
    let expected = end - start;
    let request = GetRange {
        archive: wanted.label.archive,
        label: wanted.label_id,
        index: wanted.index,
        offset: start,
        len: expected,
        credit: CREDIT,
    };
    stream.send(&Frame::GetRange(request)).await?;
    let root = wanted.label.shard(wanted.index).ok_or(FetchError::OtherRange)?;
    let mut at = start;
    let mut credit = Credit::default();
    credit.add(CREDIT).map_err(|_| FetchError::OtherRange)?;
    loop {
        let frame = stream.recv().await?.ok_or(FetchError::Ended)?;
        credit
            .take(frame.payload_len())
            .or_else(|error| {
                if frame.payload_len() == 0 {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(|_| FetchError::OtherRange)?;
        match frame {
            Frame::Data(data) => {
                // From our own place: what the host says may be any number.
                let range = at..at + u64::from(data.len);
                if data.offset != at || range.end > end || data.len == 0 || data.len > RANGE_LEN_MAX {
                    return Err(FetchError::OtherRange);
                }
                let next = range.end;
                take(
                    at,
                    &slice::verify(&root, wanted.label.shard_len, range, &data.slice)?,
                );
                at = next;
                let payload = data.slice.len() as u64;
                if at < end {
                    credit.add(payload).map_err(|_| FetchError::OtherRange)?;
                    stream.send(&Frame::Credit(payload)).await?;
                }
            }
            Frame::Finish if at == end => return Ok(()),
            Frame::Finish => {
                return Err(FetchError::Truncated {
                    found: at - start,
                    expected,
                });
            }
            Frame::Busy(busy) => return Err(FetchError::Busy(busy.retry_after)),
            Frame::Refused(refusal) => return Err(FetchError::Refused(refusal)),
            other => return Err(FetchError::OutOfTurn(other.name())),
        }
    }
}

/// Fetches a line's segments from a place on, handing each to `take` as it came, unverified. `take` answers whether to go on.
pub(crate) async fn get_segments(
    links: &Links,
    host: NodeId,
    archive: ArchiveId,
    line: LineId,
    from_sequence: u64,
    mut take: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), FetchError> {
    // A fresh stream: a retry in the middle would hand segments over twice.
    let mut link = links.open(host).await?;
    let stream = &mut link.stream;
    stream
        .send(&Frame::GetSegments(GetSegments {
            archive,
            line,
            from_sequence,
            credit: CREDIT,
        }))
        .await?;
    loop {
        match stream.recv().await?.ok_or(FetchError::Ended)? {
            Frame::Segment(segment) => {
                let payload = segment.bytes.len() as u64;
                if !take(segment.bytes.into_vec()) {
                    // What is still on its way is thrown away with the stream.
                    return Ok(());
                }
                stream.send(&Frame::Credit(payload)).await?;
            }
            Frame::Finish => break,
            Frame::Busy(busy) => return Err(FetchError::Busy(busy.retry_after)),
            Frame::Refused(refusal) => return Err(FetchError::Refused(refusal)),
            other => return Err(FetchError::OutOfTurn(other.name())),
        }
    }
    links.put_back(link);
    Ok(())
}
