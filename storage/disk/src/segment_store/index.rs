//! The index of the segment store: which segments there are and which labels they name. A cache of the files.

use std::path::Path;

use nuthatch_format::journal::{LineHead, Link, SignedSegment};
use nuthatch_format::{ArchiveId, ByteCount, DeviceId, LabelId, LineId, SegmentId};
use redb::{Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::index::{self, Found, IndexError};

type SegmentKey = (&'static [u8; 32], &'static [u8; 16], u64, &'static [u8; 32]);
type LabelKey = (&'static [u8; 32], &'static [u8; 32], &'static [u8; 16], u64);

/// Archive, line, sequence and segment, to a row.
const SEGMENTS: TableDefinition<SegmentKey, &[u8]> = TableDefinition::new("segments");
/// Archive, label, line and sequence of each place where a segment names the label. Each has a row: what is written at one, by a device
/// that is not believed any more, hides no other.
const LABELS: TableDefinition<LabelKey, ()> = TableDefinition::new("label_places");
/// Present once the index was filled from the files.
const STATE: TableDefinition<&str, u64> = TableDefinition::new("state");
const VERSION_KEY: &str = "version";
const VERSION: u64 = 2;

/// Memory for its page cache, in bytes.
const CACHE_LEN_MAX: usize = 1 << 20;

/// A segment that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSegment {
    /// Its place: its line's head once it is the newest.
    pub head: LineHead,
    /// The segment before it in its line.
    pub previous: Option<SegmentId>,
    /// Length of its bytes.
    pub len: ByteCount,
    /// Whether it was the first to come for its place; the others are forks.
    pub is_first: bool,
}

impl StoredSegment {
    pub(super) fn of(segment: &SignedSegment) -> Self {
        Self {
            head: segment.head(),
            previous: segment.public().previous,
            len: ByteCount(segment.bytes().len() as u64),
            is_first: true,
        }
    }

    /// It as a link of its line's chain.
    pub fn link(&self) -> Link {
        Link {
            head: self.head,
            previous: self.previous,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Row {
    device: [u8; 32],
    packs: u64,
    previous: Option<[u8; 32]>,
    len: u64,
    is_first: bool,
}

/// Takes what a scan found: the archive, the segment, the labels that it names.
pub(super) type Sink<'a> = dyn FnMut(&ArchiveId, &StoredSegment, &[LabelId]) -> Result<(), IndexError> + 'a;

#[derive(Debug)]
pub(super) struct SegmentIndex {
    database: Database,
}

impl SegmentIndex {
    pub(super) fn open(path: &Path) -> Result<(Self, Found), IndexError> {
        let (database, found) = index::open(path, CACHE_LEN_MAX)?;
        let write = database.begin_write()?;
        write.open_table(SEGMENTS)?;
        write.open_table(LABELS)?;
        write.open_table(STATE)?;
        write.commit()?;
        Ok((Self { database }, found))
    }

    /// Whether it was ever filled, by this form of it.
    pub(super) fn is_complete(&self) -> Result<bool, IndexError> {
        let read = self.database.begin_read()?;
        let version = read.open_table(STATE)?.get(VERSION_KEY)?.map(|row| row.value());
        Ok(version == Some(VERSION))
    }

    /// Fills it anew with what `scan` finds, in one commit.
    pub(super) fn rebuild<E: From<IndexError>>(
        &self,
        scan: impl FnOnce(&mut Sink<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let write = self.database.begin_write().map_err(IndexError::from)?;
        write.delete_table(SEGMENTS).map_err(IndexError::from)?;
        write.delete_table(LABELS).map_err(IndexError::from)?;
        {
            let mut segments = write.open_table(SEGMENTS).map_err(IndexError::from)?;
            let mut labels = write.open_table(LABELS).map_err(IndexError::from)?;
            scan(&mut |archive, stored, named| insert(&mut segments, &mut labels, archive, stored, named))?;
            let mut state = write.open_table(STATE).map_err(IndexError::from)?;
            state.insert(VERSION_KEY, VERSION).map_err(IndexError::from)?;
        }
        Ok(write.commit().map_err(IndexError::from)?)
    }

    /// Records a segment, durably.
    pub(super) fn put(
        &self,
        archive: &ArchiveId,
        stored: &StoredSegment,
        labels: &[LabelId],
    ) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        {
            let mut segments = write.open_table(SEGMENTS)?;
            let mut table = write.open_table(LABELS)?;
            insert(&mut segments, &mut table, archive, stored, labels)?;
        }
        Ok(write.commit()?)
    }

    /// All segments, archive by archive, line by line, in order, those of one place with the first that came first.
    pub(super) fn for_each(
        &self,
        mut take: impl FnMut(&ArchiveId, &StoredSegment),
    ) -> Result<(), IndexError> {
        let read = self.database.begin_read()?;
        let mut place: Vec<(ArchiveId, StoredSegment)> = Vec::new();
        for row in read.open_table(SEGMENTS)?.iter()? {
            let (key, row) = row?;
            let (archive, line, sequence, segment) = key.value();
            let archive = ArchiveId::from_bytes(*archive);
            let stored = decode(*line, sequence, *segment, row.value())?;
            let is_same = |(known, other): &(ArchiveId, StoredSegment)| {
                *known == archive && (other.head.line, other.head.sequence) == (stored.head.line, sequence)
            };
            if !place.last().is_some_and(is_same) {
                flush(&mut place, &mut take);
            }
            place.push((archive, stored));
        }
        flush(&mut place, &mut take);
        Ok(())
    }

    /// The segments at one place, the first that came first.
    pub(super) fn at(
        &self,
        archive: &ArchiveId,
        line: &LineId,
        sequence: u64,
    ) -> Result<Vec<StoredSegment>, IndexError> {
        let mut found = self.range(archive, line, sequence, sequence, usize::MAX)?;
        found.sort_by_key(|stored| !stored.is_first);
        Ok(found)
    }

    /// Segments from a sequence on, in order, those of one place with the first that came first: about `limit`, but all of the last place.
    pub(super) fn page(
        &self,
        archive: &ArchiveId,
        line: &LineId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StoredSegment>, IndexError> {
        let mut found = self.range(archive, line, from, u64::MAX, limit.max(1))?;
        found.sort_by_key(|stored| (stored.head.sequence, !stored.is_first));
        Ok(found)
    }

    /// Whether anything stands at the place behind a segment.
    pub(super) fn has_after(&self, archive: &ArchiveId, stored: &StoredSegment) -> Result<bool, IndexError> {
        let Some(next) = stored.head.sequence.checked_add(1) else {
            return Ok(false);
        };
        Ok(!self.range(archive, &stored.head.line, next, next, 1)?.is_empty())
    }

    fn range(
        &self,
        archive: &ArchiveId,
        line: &LineId,
        from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<StoredSegment>, IndexError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(SEGMENTS)?;
        let (zeros, ones) = ([0; 32], [u8::MAX; 32]);
        let first = (archive.as_bytes(), line.as_bytes(), from, &zeros);
        let last = (archive.as_bytes(), line.as_bytes(), to, &ones);
        let mut found: Vec<StoredSegment> = Vec::new();
        for row in table.range(first..=last)? {
            let (key, row) = row?;
            let (_, line, sequence, segment) = key.value();
            if found.len() >= limit && found.last().is_some_and(|last| last.head.sequence != sequence) {
                break;
            }
            found.push(decode(*line, sequence, *segment, row.value())?);
        }
        Ok(found)
    }

    /// Every place where a segment names this label, as line and sequence, ascending.
    pub(super) fn label_places(
        &self,
        archive: &ArchiveId,
        label: &LabelId,
    ) -> Result<Vec<(LineId, u64)>, IndexError> {
        let read = self.database.begin_read()?;
        let key = |line, sequence| (archive.as_bytes(), label.as_bytes(), line, sequence);
        let mut places = Vec::new();
        for row in read
            .open_table(LABELS)?
            .range(key(&[0; 16], 0)..=key(&[u8::MAX; 16], u64::MAX))?
        {
            let (key, _) = row?;
            let (_, _, line, sequence) = key.value();
            places.push((LineId::from_bytes(*line), sequence));
        }
        Ok(places)
    }
}

fn flush(place: &mut Vec<(ArchiveId, StoredSegment)>, take: &mut impl FnMut(&ArchiveId, &StoredSegment)) {
    place.sort_by_key(|(_, stored)| !stored.is_first);
    for (archive, stored) in place.drain(..) {
        take(&archive, &stored);
    }
}

fn insert(
    segments: &mut Table<'_, SegmentKey, &'static [u8]>,
    labels: &mut Table<'_, LabelKey, ()>,
    archive: &ArchiveId,
    stored: &StoredSegment,
    named: &[LabelId],
) -> Result<(), IndexError> {
    let head = &stored.head;
    let row = Row {
        device: *head.device.as_bytes(),
        packs: head.packs,
        previous: stored.previous.map(|previous| *previous.as_bytes()),
        len: stored.len.0,
        is_first: stored.is_first,
    };
    let bytes = postcard::to_stdvec(&row).map_err(|_| bad_row())?;
    let key = (
        archive.as_bytes(),
        head.line.as_bytes(),
        head.sequence,
        head.segment.as_bytes(),
    );
    segments.insert(key, bytes.as_slice())?;
    for label in named {
        let line = head.line.as_bytes();
        labels.insert((archive.as_bytes(), label.as_bytes(), line, head.sequence), ())?;
    }
    Ok(())
}

fn decode(
    line: [u8; 16],
    sequence: u64,
    segment: [u8; 32],
    bytes: &[u8],
) -> Result<StoredSegment, IndexError> {
    let row: Row = postcard::from_bytes(bytes).map_err(|_| bad_row())?;
    Ok(StoredSegment {
        head: LineHead {
            line: LineId::from_bytes(line),
            device: DeviceId::from_bytes(row.device),
            sequence,
            segment: SegmentId::from_bytes(segment),
            packs: row.packs,
        },
        previous: row.previous.map(SegmentId::from_bytes),
        len: ByteCount(row.len),
        is_first: row.is_first,
    })
}

fn bad_row() -> IndexError {
    IndexError::BadValue { table: "segments" }
}
