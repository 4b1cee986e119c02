//! Giving ranges of shards and the segments of a line: to devices of the archive and its stewards, and to nobody else.

use std::ops::Range;
use std::sync::Arc;

use nuthatch_disk::segment_store::SegmentStore;
use nuthatch_disk::vault::{ShardPlace, SliceShardError};
use nuthatch_format::journal::SignedSegment;
use nuthatch_format::slice::{self, SLICE_RANGE};
use nuthatch_format::{ArchiveId, LineId};
use nuthatch_transport::BulkStream;
use nuthatch_wire::bounded::Opaque;
use nuthatch_wire::bulk::{Credit, Data, Frame, GetRange, GetSegments, Refusal, SLICE_LEN_MAX, Segment};

use super::{ServeError, admit, is_device, may_read, next, refuse};
use crate::events::FaultKind;
use crate::node::Node;

/// Serves `GetRange` to its end.
pub(super) async fn serve_range(
    node: &Arc<Node>,
    stream: &mut BulkStream,
    get: GetRange,
) -> Result<(), ServeError> {
    if !admit(node, stream, &get.archive, get.len).await? {
        return Ok(());
    }
    if is_device(node, stream, &get.archive) {
        node.note_restore(get.archive);
    }
    let place = ShardPlace {
        archive: get.archive,
        label: get.label,
        index: get.index,
    };
    let Some(end) = get.offset.checked_add(get.len) else {
        return refuse(stream, Refusal::NotFound).await;
    };
    let mut credit = Credit::default();
    credit.add(get.credit)?;
    let mut offset = get.offset;
    loop {
        let range = offset..offset.saturating_add(SLICE_RANGE).min(end);
        let slice = match read_slice(node, place, range.clone(), end).await {
            Ok(slice) => slice,
            Err(refusal) => return refuse(stream, refusal).await,
        };
        if !is_wanted(stream, &mut credit).await? {
            return Ok(stream.send(&Frame::Finish).await?);
        }
        // A device may be revoked meanwhile.
        if !may_read(node, stream, &get.archive) {
            return refuse(stream, Refusal::NotAllowed).await;
        }
        let frame = Frame::Data(Data {
            offset,
            len: (range.end - range.start) as u32,
            slice,
        });
        credit.take(frame.payload_len())?;
        stream.send(&frame).await?;
        offset = range.end;
        if offset >= end {
            return Ok(stream.send(&Frame::Finish).await?);
        }
    }
}

/// Waits until payload may be sent; `false` when it is no longer wanted.
async fn is_wanted(stream: &mut BulkStream, credit: &mut Credit) -> Result<bool, ServeError> {
    while !credit.is_open() {
        match next(stream).await? {
            Frame::Credit(bytes) => credit.add(bytes)?,
            Frame::Cancel => return Ok(false),
            other => return Err(ServeError::OutOfTurn(other.name())),
        }
    }
    Ok(true)
}

/// The slice of a range; `end` is where the last one ends that was asked for.
async fn read_slice(
    node: &Arc<Node>,
    place: ShardPlace,
    range: Range<u64>,
    end: u64,
) -> Result<Opaque<SLICE_LEN_MAX>, Refusal> {
    let (vault, tree) = (Arc::clone(&node.vault), node.outboards.get(&place));
    let asked = range.start..end;
    let read = tokio::task::spawn_blocking(move || vault.read_slice(&place, range, tree)).await;
    let read = read.map_err(|_| Refusal::Damaged)?.map_err(|error| match error {
        SliceShardError::NotFound { .. } | SliceShardError::Range(_) => Refusal::NotFound,
        SliceShardError::Damaged { .. } | SliceShardError::File(_) => {
            let archive = place.archive.short();
            let message = format!("a shard in this vault is damaged (archive {archive}): {error}");
            node.events.fault(FaultKind::OwnDisk, None, message);
            Refusal::Damaged
        }
    })?;
    // All that was asked for, before the first part of it leaves.
    slice::check_range(read.tree.total_len(), &asked).map_err(|_| Refusal::NotFound)?;
    node.outboards.put(place, read.tree);
    Opaque::new(read.slice).map_err(|_| Refusal::Damaged)
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
            if !is_wanted(stream, &mut credit).await? {
                return Ok(stream.send(&Frame::Finish).await?);
            }
            if !admit(node, stream, &get.archive, segment.bytes().len() as u64).await? {
                return Ok(());
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
