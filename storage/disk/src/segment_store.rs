//! Journals and statements as plain files: those of our own archive and those that we host.
//!
//! Every segment is kept under its line and sequence; where a device exists twice, the other segments of a place stand beside the
//! first under a second name. The files are the truth; the index beside them (which segments there are, where each line ends, which
//! labels are named) is made from them. Whom to believe is the callers' verdict: what comes in here was verified.

mod index;
mod scan;
mod statements;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nuthatch_format::journal::union::LineSummary;
use nuthatch_format::journal::{ChainVerdict, Link, SEGMENT_LEN_MAX, SignedSegment, verify_next};
use nuthatch_format::{ArchiveId, ByteCount, DeviceId, LabelId, LineId, SegmentId};
use parking_lot::Mutex;

pub use index::StoredSegment;
pub use statements::PutStatementError;

use crate::atomic::{self, Access, FileError};
use crate::index::{Found, IndexError};
use index::SegmentIndex;

/// Segments that are kept for one place of a line.
pub const PLACE_SEGMENTS_MAX: usize = 8;

/// Why the store could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentStoreError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// How a segment was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutSegment {
    /// It goes on where its line ended.
    New,
    /// It is here already.
    Have,
    /// It stands beside the line, on another branch: its device exists twice, or its state was rolled back.
    Fork,
}

/// Why a segment was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PutSegmentError {
    /// Segments before it are missing: put them first.
    #[error("segments from {expected} on are missing")]
    Gap {
        /// The first place that is missing.
        expected: u64,
    },
    /// Its line belongs to another device, or it takes packs back that its line has added.
    #[error("the segment contradicts its line")]
    Contradiction,
    /// [`PLACE_SEGMENTS_MAX`] segments stand at this place already.
    #[error("too many segments for place {sequence}")]
    TooManyForks {
        /// The place in the line.
        sequence: u64,
    },
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull(#[source] FileError),
    /// A file failed.
    #[error(transparent)]
    File(FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<FileError> for PutSegmentError {
    fn from(error: FileError) -> Self {
        if error.is_disk_full() {
            Self::DiskFull(error)
        } else {
            Self::File(error)
        }
    }
}

/// Why a segment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadSegmentError {
    /// Its file is gone or no longer has its bytes. Fetched again and put, it is whole again.
    #[error("segment {} is damaged on this disk", segment.short())]
    Damaged {
        /// The segment.
        segment: SegmentId,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The journals and statements of a node.
#[derive(Debug)]
pub struct SegmentStore {
    root: PathBuf,
    index: SegmentIndex,
    state: Mutex<State>,
}

/// Bounded by lines and devices, not by segments.
#[derive(Debug, Default)]
struct State {
    lines: BTreeMap<(ArchiveId, LineId), LineSummary>,
    usage: BTreeMap<(ArchiveId, DeviceId), u64>,
}

impl SegmentStore {
    /// Opens the store in this directory, or begins an empty one. A missing or damaged index is made again: all segments are read.
    pub fn open(dir: &Path) -> Result<Self, SegmentStoreError> {
        atomic::create_dir(dir)?;
        scan::settle(dir)?;
        let (index, found) = SegmentIndex::open(&dir.join("index.redb"))?;
        if found != Found::Intact || !index.is_complete()? {
            index.rebuild(|sink| scan::scan(dir, sink))?;
        }
        let store = Self {
            root: dir.to_owned(),
            state: Mutex::new(State::default()),
            index,
        };
        store.reload()?;
        Ok(store)
    }

    fn reload(&self) -> Result<(), SegmentStoreError> {
        let mut state = State::default();
        self.index.for_each(|archive, stored| {
            count(&mut state, archive, stored);
            note_in_line(&mut state.lines, archive, stored);
        })?;
        *self.state.lock() = state;
        Ok(())
    }

    /// Keeps a verified segment: when this returns it is on the disk.
    pub fn put(&self, segment: &SignedSegment) -> Result<PutSegment, PutSegmentError> {
        let stored = StoredSegment::of(segment);
        let archive = segment.public().archive;
        let link = segment.link();
        let mut state = self.state.lock();
        let at_place = self.index.at(&archive, &link.head.line, link.head.sequence)?;
        let ids: Vec<SegmentId> = at_place.iter().map(|stored| stored.head.segment).collect();
        let summary = state.lines.get(&(archive, link.head.line));
        let answer = match verify_next(summary.map(|line| &line.head), &ids, &link) {
            ChainVerdict::Next => PutSegment::New,
            ChainVerdict::Fork => PutSegment::Fork,
            ChainVerdict::Duplicate => {
                self.heal(&archive, segment, &stored, &at_place)?;
                return Ok(PutSegment::Have);
            }
            // Behind the line's end, and yet nothing is missing: a branch that grew longer than the line.
            ChainVerdict::Gap { .. } if self.has_previous(&archive, &link)? => PutSegment::Fork,
            ChainVerdict::Gap { expected } => return Err(PutSegmentError::Gap { expected }),
            ChainVerdict::WrongDevice { .. } | ChainVerdict::Contradiction => {
                return Err(PutSegmentError::Contradiction);
            }
        };
        if at_place.len() >= PLACE_SEGMENTS_MAX {
            return Err(PutSegmentError::TooManyForks {
                sequence: link.head.sequence,
            });
        }
        let path = self.path(&archive, &stored, at_place.is_empty());
        if let Some(dir) = path.parent() {
            atomic::create_dir(dir)?;
        }
        atomic::write_file(&path, segment.bytes(), Access::Private)?;
        let stored = StoredSegment {
            is_first: at_place.is_empty(),
            ..stored
        };
        self.index.put(&archive, &stored, &segment.public().labels)?;
        count(&mut state, &archive, &stored);
        if self.index.has_after(&archive, &stored)? {
            // It fills a gap that damage had left: what stands behind it counts again.
            self.relink(&mut state, &archive, &link.head.line)?;
        } else {
            note_in_line(&mut state.lines, &archive, &stored);
        }
        Ok(answer)
    }

    /// Whether the segment before this one is here, on whatever branch.
    fn has_previous(&self, archive: &ArchiveId, link: &Link) -> Result<bool, IndexError> {
        let Some(place) = link.head.sequence.checked_sub(1) else {
            return Ok(false);
        };
        let before = self.index.at(archive, &link.head.line, place)?;
        Ok(before
            .iter()
            .any(|stored| Some(stored.head.segment) == link.previous))
    }

    /// Writes a segment again whose file was lost or damaged.
    fn heal(
        &self,
        archive: &ArchiveId,
        segment: &SignedSegment,
        stored: &StoredSegment,
        at_place: &[StoredSegment],
    ) -> Result<(), FileError> {
        let is_first = at_place
            .iter()
            .any(|known| known.head.segment == stored.head.segment && known.is_first);
        let path = self.path(archive, stored, is_first);
        let is_whole = match atomic::read_file(&path, SEGMENT_LEN_MAX as u64) {
            Ok(bytes) => bytes.is_some_and(|bytes| bytes == segment.bytes()),
            Err(error) if atomic::is_of_one_file(&error) => false,
            Err(error) => return Err(error),
        };
        if is_whole {
            return Ok(());
        }
        if let Some(dir) = path.parent() {
            atomic::create_dir(dir)?;
        }
        atomic::write_file(&path, segment.bytes(), Access::Private)
    }

    fn relink(&self, state: &mut State, archive: &ArchiveId, line: &LineId) -> Result<(), IndexError> {
        state.lines.remove(&(*archive, *line));
        let mut from = 0;
        loop {
            let page = self.index.page(archive, line, from, 1000)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = last.head.sequence.saturating_add(1);
            for stored in &page {
                note_in_line(&mut state.lines, archive, stored);
            }
        }
    }

    /// The lines of an archive, by id, as far as they are here without a gap: what [`nuthatch_format::journal::union::Union::restore`] takes.
    pub fn lines(&self, archive: &ArchiveId) -> Vec<LineSummary> {
        let state = self.state.lock();
        let first = LineId::from_bytes([0; LineId::LEN]);
        let last = LineId::from_bytes([u8::MAX; LineId::LEN]);
        let range = state.lines.range((*archive, first)..=(*archive, last));
        range.map(|(_, summary)| summary.clone()).collect()
    }

    /// The archives of which there is a line here.
    pub fn archives(&self) -> Vec<ArchiveId> {
        let state = self.state.lock();
        let mut archives: Vec<ArchiveId> = state.lines.keys().map(|(archive, _)| *archive).collect();
        archives.dedup();
        archives
    }

    /// Segments of a line from a sequence on, in its order, those of one place with the first that came first; about `limit` of them, but
    /// always all of a place. The next page begins behind the last one's sequence.
    pub fn segments_from(
        &self,
        archive: &ArchiveId,
        line: &LineId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StoredSegment>, IndexError> {
        self.index.page(archive, line, from, limit)
    }

    /// The segments that stand at one place of a line; more than one after a fork.
    pub fn segments_at(
        &self,
        archive: &ArchiveId,
        line: &LineId,
        sequence: u64,
    ) -> Result<Vec<StoredSegment>, IndexError> {
        self.index.at(archive, line, sequence)
    }

    /// A segment's bytes, its hash checked.
    pub fn read(
        &self,
        archive: &ArchiveId,
        stored: &StoredSegment,
    ) -> Result<SignedSegment, ReadSegmentError> {
        let segment = stored.head.segment;
        let damaged = || ReadSegmentError::Damaged { segment };
        let path = self.path(archive, stored, stored.is_first);
        let bytes = match atomic::read_file(&path, SEGMENT_LEN_MAX as u64) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(damaged()),
            Err(error) if atomic::is_of_one_file(&error) => return Err(damaged()),
            Err(error) => return Err(error.into()),
        };
        let parsed = SignedSegment::parse(bytes).map_err(|_| damaged())?;
        if parsed.id() == segment {
            Ok(parsed)
        } else {
            Err(damaged())
        }
    }

    /// The line and sequence of every place where a segment names this label, ascending. Whether such a segment is believed is for the
    /// caller to say.
    pub fn label_places(
        &self,
        archive: &ArchiveId,
        label: &LabelId,
    ) -> Result<Vec<(LineId, u64)>, IndexError> {
        self.index.label_places(archive, label)
    }

    /// Bytes of segments that are kept for an archive.
    pub fn usage(&self, archive: &ArchiveId) -> ByteCount {
        let state = self.state.lock();
        let of_archive = state.usage.iter().filter(|((id, _), _)| id == archive);
        ByteCount(of_archive.map(|(_, bytes)| bytes).sum())
    }

    /// Bytes of segments that are kept for one device of an archive.
    pub fn usage_of_device(&self, archive: &ArchiveId, device: &DeviceId) -> ByteCount {
        let state = self.state.lock();
        ByteCount(state.usage.get(&(*archive, *device)).copied().unwrap_or_default())
    }

    fn path(&self, archive: &ArchiveId, stored: &StoredSegment, is_first: bool) -> PathBuf {
        let dir = line_dir(&self.root, archive, &stored.head.line);
        dir.join(file_name(stored.head.sequence, &stored.head.segment, is_first))
    }
}

fn line_dir(root: &Path, archive: &ArchiveId, line: &LineId) -> PathBuf {
    root.join(archive.to_string()).join(line.to_string())
}

/// The first segment that came for a place is named for the place alone, the others for themselves too.
fn file_name(sequence: u64, segment: &SegmentId, is_first: bool) -> String {
    if is_first {
        format!("{sequence:016x}.segment")
    } else {
        format!("{sequence:016x}.{segment}.fork")
    }
}

fn count(state: &mut State, archive: &ArchiveId, stored: &StoredSegment) {
    let bytes = state.usage.entry((*archive, stored.head.device)).or_default();
    *bytes = bytes.saturating_add(stored.len.0);
}

/// Takes a segment up into its line's summary, as [`nuthatch_format::journal::union::Union`] does; one behind a gap waits for the gap.
fn note_in_line(
    lines: &mut BTreeMap<(ArchiveId, LineId), LineSummary>,
    archive: &ArchiveId,
    stored: &StoredSegment,
) {
    let line = lines.get_mut(&(*archive, stored.head.line));
    let verdict = verify_next(line.as_ref().map(|line| &line.head), &[], &stored.link());
    match (verdict, line) {
        (ChainVerdict::Next, Some(line)) => line.head = stored.head,
        (ChainVerdict::Next, None) => {
            let summary = LineSummary {
                head: stored.head,
                forks: std::collections::BTreeSet::new(),
                fork_count: 0,
            };
            lines.insert((*archive, stored.head.line), summary);
        }
        (ChainVerdict::Fork, Some(line)) => {
            line.fork_count = line.fork_count.saturating_add(1);
            if line.forks.len() < nuthatch_format::journal::union::FORKS_MAX {
                line.forks.insert(nuthatch_format::journal::union::Fork {
                    sequence: stored.head.sequence,
                    segment: stored.head.segment,
                });
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
