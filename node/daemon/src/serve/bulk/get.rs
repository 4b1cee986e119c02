//! Giving ranges of shards and the segments of a line: to devices of the archive, and to nobody else.

use std::ops::Range;
use std::sync::Arc;

use nuthatch_disk::segment_store::SegmentStore;
use nuthatch_disk::vault::ShardPlace;
use nuthatch_format::journal::SignedSegment;
use nuthatch_format::slice::{self, Outboard, SLICE_RANGE};
use nuthatch_format::{ArchiveId, LineId};
use nuthatch_transport::BulkStream;
use nuthatch_wire::bounded::Opaque;
use nuthatch_wire::bulk::{Credit, Data, Frame, GetRange, GetSegments, Refusal, Segment};

use super::{ServeError, may_read, next, refuse};
use crate::node::Node;
use crate::outboards::NoTree;
use crate::send::Window;

/// Serves `GetRange` to its end.
pub(super) async fn serve_range(
    node: &Arc<Node>,
    stream: &mut BulkStream,
    get: GetRange,
) -> Result<(), ServeError> {
    if !may_read(node, stream, &get.archive) {
        return refuse(stream, Refusal::NotAllowed).await;
    }
    let place = ShardPlace {
        archive: get.archive,
        label: get.label,
        index: get.index,
    };
    let outboard = match node.outboards.of(node, place).await {
        Ok(outboard) => outboard,
        Err(NoTree::NotHere) => return refuse(stream, Refusal::NotFound).await,
        Err(NoTree::Damaged) => return refuse(stream, Refusal::Damaged).await,
    };
    let Some(end) = get.offset.checked_add(get.len) else {
        return refuse(stream, Refusal::NotFound).await;
    };
    if slice::check_range(outboard.total_len(), &(get.offset..end)).is_err() {
        return refuse(stream, Refusal::NotFound).await;
    }
    let mut credit = Credit::default();
    credit.add(get.credit)?;
    let mut offset = get.offset;
    while offset < end {
        while !credit.is_open() {
            match next(stream).await? {
                Frame::Credit(bytes) => credit.add(bytes)?,
                Frame::Cancel => return Ok(stream.send(&Frame::Finish).await?),
                other => return Err(ServeError::OutOfTurn(other.name())),
            }
        }
        // A device may be revoked meanwhile.
        if !may_read(node, stream, &get.archive) {
            return refuse(stream, Refusal::NotAllowed).await;
        }
        let range = offset..offset.saturating_add(SLICE_RANGE).min(end);
        let Some(slice) = read_slice(node, place, Arc::clone(&outboard), range.clone()).await else {
            node.outboards.forget(&place);
            return refuse(stream, Refusal::Damaged).await;
        };
        let Ok(slice) = Opaque::new(slice) else {
            return refuse(stream, Refusal::Damaged).await;
        };
        let frame = Frame::Data(Data {
            offset,
            len: (range.end - range.start) as u32,
            slice,
        });
        credit.take(frame.payload_len())?;
        stream.send(&frame).await?;
        offset = range.end;
    }
    Ok(stream.send(&Frame::Finish).await?)
}

/// The slice of a range; `None` when our copy is damaged or gone.
async fn read_slice(
    node: &Arc<Node>,
    place: ShardPlace,
    outboard: Arc<Outboard>,
    range: Range<u64>,
) -> Option<Vec<u8>> {
    let vault = Arc::clone(&node.vault);
    let made = tokio::task::spawn_blocking(move || {
        let bytes = vault
            .read_range(&place, range.start, range.end - range.start)
            .ok()?;
        slice::make(
            Window {
                start: range.start,
                bytes: &bytes,
            },
            &outboard,
            range,
        )
        .ok()
    });
    made.await.ok().flatten()
}

/// Serves `GetSegments` to its end.
pub(super) async fn serve_segments(
    node: &Arc<Node>,
    stream: &mut BulkStream,
    get: GetSegments,
) -> Result<(), ServeError> {
    let mut credit = Credit::default();
    credit.add(get.credit)?;
    let mut sequence = get.from_sequence;
    loop {
        // Asked at each place: a device may be revoked meanwhile.
        if !may_read(node, stream, &get.archive) {
            return refuse(stream, Refusal::NotAllowed).await;
        }
        let segments = Arc::clone(&node.segments);
        let (archive, line) = (get.archive, get.line);
        let read = tokio::task::spawn_blocking(move || read_place(&segments, archive, line, sequence));
        let Ok(Ok(found)) = read.await else {
            return refuse(stream, Refusal::Damaged).await;
        };
        if found.is_empty() {
            return Ok(stream.send(&Frame::Finish).await?);
        }
        for segment in found {
            while !credit.is_open() {
                match next(stream).await? {
                    Frame::Credit(bytes) => credit.add(bytes)?,
                    Frame::Cancel => return Ok(stream.send(&Frame::Finish).await?),
                    other => return Err(ServeError::OutOfTurn(other.name())),
                }
            }
            let Ok(bytes) = Opaque::new(segment.into_bytes()) else {
                return refuse(stream, Refusal::Damaged).await;
            };
            let frame = Frame::Segment(Segment { bytes });
            credit.take(frame.payload_len())?;
            stream.send(&frame).await?;
        }
        let Some(next_sequence) = sequence.checked_add(1) else {
            return Ok(stream.send(&Frame::Finish).await?);
        };
        sequence = next_sequence;
    }
}

/// Every segment that stands at one place of a line.
fn read_place(
    segments: &SegmentStore,
    archive: ArchiveId,
    line: LineId,
    sequence: u64,
) -> Result<Vec<SignedSegment>, String> {
    let stored = segments
        .segments_at(&archive, &line, sequence)
        .map_err(|error| error.to_string())?;
    stored
        .iter()
        .map(|stored| segments.read(&archive, stored).map_err(|error| error.to_string()))
        .collect()
}
