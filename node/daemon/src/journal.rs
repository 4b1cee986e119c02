//! This device's line: the only place that appends to it. Gathers entries, seals and signs segments, keeps them synced, applies them to the
//! catalogue.
//!
//! A device goes on with its line only while nobody has shown a segment of it that is not here; after that it begins a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::segment_store::{PutSegmentError, SegmentStore, StoredSegment};
use nuthatch_engine::boundary::JournalPosition;
use nuthatch_format::journal::{
    Batch, BuildSegmentError, Draft, Entry, Head, LineHead, OpenSegmentError, Position, SignedSegment,
};
use nuthatch_format::keys::{DeviceKeys, WriterKeys};
use nuthatch_format::{LineId, SegmentId};
use parking_lot::Mutex;

use crate::clock::{self, EntropyError};

/// Segments applied to the catalogue in one transaction.
const APPLY_BATCH: usize = 16;

/// Places of one line that are remembered as unreadable, the first ones.
const UNREAD_MAX: usize = 64;

/// Why the journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// An entry that no segment takes.
    #[error(transparent)]
    Build(#[from] BuildSegmentError),
    /// The store of segments.
    #[error(transparent)]
    Put(#[from] PutSegmentError),
    /// The index of segments, or the catalogue.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A segment that is signed, and does not open.
    #[error(transparent)]
    Open(#[from] OpenSegmentError),
    /// No randomness for a new line.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl JournalError {
    /// Whether this machine's disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Put(PutSegmentError::DiskFull(_)) => true,
            Self::Index(error) | Self::Put(PutSegmentError::Index(error)) => error.is_disk_full(),
            _ => false,
        }
    }
}

/// Appends to the line of one device.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    writer: WriterKeys,
    device: Arc<DeviceKeys>,
    segments: Arc<SegmentStore>,
    catalogue: Arc<Catalogue>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The newest segment of the line that is written now; `None` before the first one of a new line.
    head: Option<LineHead>,
    /// The newest segment of a line that was given up.
    parent: Option<SegmentId>,
    /// Own segments of lines before this one (count).
    earlier: u64,
    batch: Batch,
    /// Places whose segments could not be read from this disk, so that they are missing in the catalogue.
    unread: BTreeMap<LineId, BTreeSet<u64>>,
}

impl JournalWriter {
    /// Goes on with the device's line as the store has it, and applies to the catalogue what it lacks.
    pub(crate) fn open(
        writer: WriterKeys,
        device: Arc<DeviceKeys>,
        segments: Arc<SegmentStore>,
        catalogue: Arc<Catalogue>,
    ) -> Result<Self, JournalError> {
        let own: Vec<_> = segments
            .lines(&writer.archive)
            .into_iter()
            .filter(|line| line.head.device == device.id())
            .collect();
        // Of several lines, the one that forked is history; the newest by number of segments goes on.
        let current = own
            .iter()
            .filter(|line| line.fork_count == 0)
            .max_by_key(|line| (line.head.sequence, line.head.line));
        let head = current.map(|line| line.head);
        let parent = own
            .iter()
            .filter(|line| line.fork_count > 0)
            .map(|line| line.head.segment)
            .next_back();
        let earlier = own
            .iter()
            .filter(|line| Some(line.head.line) != head.map(|head| head.line))
            .map(|line| line.head.sequence + 1)
            .sum();
        let journal = Self {
            writer,
            device,
            segments,
            catalogue,
            state: Mutex::new(State {
                head,
                parent,
                earlier,
                batch: Batch::new(),
                unread: BTreeMap::new(),
            }),
        };
        journal.apply(true)?;
        Ok(journal)
    }

    /// How far the device's own journal has come: counts its segments.
    pub(crate) fn position(&self) -> JournalPosition {
        position_of(&self.state.lock())
    }

    /// The position at which a segment of the present line stands.
    pub(crate) fn position_of_sequence(&self, sequence: u64) -> JournalPosition {
        JournalPosition(self.state.lock().earlier + sequence + 1)
    }

    /// The newest segment of the own line.
    pub(crate) fn head(&self) -> Option<LineHead> {
        self.state.lock().head
    }

    /// Adds an entry; writes a segment when the batch is full. What is added is on the disk after the next `flush`.
    pub(crate) fn add(&self, entry: Entry) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        if let Some(entry) = state.batch.push(entry) {
            self.write(&mut state)?;
            if state.batch.push(entry).is_some() {
                return Err(BuildSegmentError::Invalid("an entry that no segment takes").into());
            }
        }
        Ok(())
    }

    /// Writes what was added: synced, and in the catalogue, when this returns. Answers where the journal stands.
    pub(crate) fn flush(&self) -> Result<JournalPosition, JournalError> {
        let mut state = self.state.lock();
        if !state.batch.is_empty() {
            self.write(&mut state)?;
        }
        Ok(position_of(&state))
    }

    /// Gives up the line, because segments of it exist elsewhere that are not ours: the next segment begins a new one.
    pub(crate) fn begin_new_line(&self) {
        let mut state = self.state.lock();
        if let Some(head) = state.head.take() {
            state.parent = Some(head.segment);
            state.earlier += head.sequence + 1;
        }
    }

    fn write(&self, state: &mut State) -> Result<(), JournalError> {
        let position = match &state.head {
            Some(head) => Position::after(head),
            None => Position::begin(&self.device, clock::entropy()?, state.parent),
        };
        let heads: Vec<Head> = self
            .segments
            .lines(&self.writer.archive)
            .iter()
            .map(|line| line.head.head())
            .collect();
        let draft = Draft {
            position,
            entries: state.batch.entries(),
            heads: &heads,
            time: clock::now(),
        };
        let segment = SignedSegment::build(&self.writer, &self.device, &draft)?;
        self.segments.put(&segment)?;
        // From here on it is written: an error of the catalogue is made good by `apply_missing` at the next start.
        let head = segment.head();
        state.head = Some(head);
        state.batch.take();
        let opened = segment.open(&self.writer)?;
        self.catalogue.apply_segment(&head, &opened)?;
        Ok(())
    }

    /// Places of a line whose segments can't be read from this disk, ascending: put again, they are read again by the next
    /// [`Self::apply_missing`].
    pub(crate) fn unread(&self, line: &LineId) -> Vec<u64> {
        let state = self.state.lock();
        let places = state.unread.get(line);
        places.into_iter().flatten().copied().collect()
    }

    /// Places of all lines of which that is known (count).
    pub(crate) fn unread_count(&self) -> usize {
        self.state.lock().unread.values().map(BTreeSet::len).sum()
    }

    /// Applies every segment of the archive that is here and not in the catalogue yet, of all lines. Answers how many. What the disk does
    /// not give back is left out and remembered: one damaged file must not keep a node from its archive.
    pub(crate) fn apply_missing(&self) -> Result<usize, JournalError> {
        self.apply(false)
    }

    /// As [`Self::apply_missing`]; `looks_behind` also for what is missing behind the last that was applied of a line.
    fn apply(&self, looks_behind: bool) -> Result<usize, JournalError> {
        let applied: BTreeMap<_, _> = self
            .catalogue
            .applied_heads()?
            .into_iter()
            .map(|head| (head.line, head.sequence + 1))
            .collect();
        let archive = self.writer.archive;
        let lines = self.segments.lines(&archive);
        let is_whole = !looks_behind || {
            let forks = lines.iter().map(|line| line.fork_count);
            let expected = applied
                .values()
                .copied()
                .chain(forks)
                .fold(0, u64::saturating_add);
            self.catalogue.applied_count()? >= expected
        };
        let before = std::mem::take(&mut self.state.lock().unread);
        let mut count = 0;
        let mut unread = BTreeMap::new();
        for line in lines {
            let id = line.head.line;
            let behind = applied.get(&id).copied().unwrap_or_default();
            // Forks stand beside earlier places, so a forked line is gone through from its first fork.
            let first_fork = line.forks.iter().map(|fork| fork.sequence).min();
            let first_unread = before.get(&id).and_then(BTreeSet::first).copied();
            let earlier = [first_fork, first_unread, (!is_whole).then_some(0)];
            let mut from = earlier.into_iter().flatten().fold(behind, u64::min);
            loop {
                let page = self.segments.segments_from(&archive, &id, from, APPLY_BATCH)?;
                let Some(last) = page.last() else { break };
                from = last.head.sequence + 1;
                count += self.apply_page(&page, &mut unread)?;
            }
        }
        self.state.lock().unread = unread;
        Ok(count)
    }

    fn apply_page(
        &self,
        page: &[StoredSegment],
        unread: &mut BTreeMap<LineId, BTreeSet<u64>>,
    ) -> Result<usize, JournalError> {
        let archive = self.writer.archive;
        let mut opened = Vec::new();
        for stored in page {
            if self.catalogue.is_applied(&stored.head.segment)? {
                continue;
            }
            let segment = match self.segments.read(&archive, stored) {
                Ok(segment) => segment,
                Err(error) => {
                    tracing::warn!("a segment of {archive:?} is left out: {error}");
                    let places = unread.entry(stored.head.line).or_default();
                    if places.len() < UNREAD_MAX {
                        places.insert(stored.head.sequence);
                    }
                    continue;
                }
            };
            match segment.open(&self.writer) {
                Ok(entries) => opened.push((stored.head, entries)),
                // Another device's nonsense stops nobody else.
                Err(error) => tracing::warn!("a segment of {archive:?} does not open: {error}"),
            }
        }
        let batch: Vec<_> = opened
            .iter()
            .map(|(head, opened)| nuthatch_disk::catalogue::JournalSegment { head, opened })
            .collect();
        Ok(self.catalogue.apply(&batch)?)
    }
}

fn position_of(state: &State) -> JournalPosition {
    JournalPosition(state.earlier + state.head.map_or(0, |head| head.sequence + 1))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use nuthatch_format::PackId;
    use nuthatch_format::keys::{ArchiveKeys, RecoveryPhrase};

    use super::*;

    fn open(home: &Path) -> (JournalWriter, Arc<SegmentStore>) {
        let writer = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([3; 32])).writer;
        let device = DeviceKeys::generate(&[4; 64], "laptop").unwrap();
        let segments = Arc::new(SegmentStore::open(&home.join("segments")).unwrap());
        let catalogue = Catalogue::open(&home.join("catalogue.redb")).unwrap().0;
        let store = Arc::clone(&segments);
        let journal = JournalWriter::open(writer, Arc::new(device), store, Arc::new(catalogue)).unwrap();
        (journal, segments)
    }

    fn segment_files(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                segment_files(&path, found);
            } else if path.extension().is_some_and(|end| end == "segment") {
                found.push(path);
            }
        }
        found.sort();
    }

    #[test]
    fn a_damaged_segment_is_left_out_and_taken_up_when_it_is_whole_again() {
        let home = tempfile::tempdir().unwrap();
        let (journal, segments) = open(home.path());
        for number in 0..4 {
            let pack = PackId::from_bytes([number; 32]);
            journal.add(Entry::PackRetired { pack }).unwrap();
            journal.flush().unwrap();
        }
        let line = journal.head().unwrap().line;
        let archive = journal.writer.archive;
        let second = segments.segments_at(&archive, &line, 1).unwrap();
        let whole = segments.read(&archive, &second[0]).unwrap();
        drop((journal, segments));
        // The disk damages a segment, and the catalogue has to be made again.
        let mut files = Vec::new();
        segment_files(&home.path().join("segments"), &mut files);
        std::fs::write(&files[1], b"damaged").unwrap();
        std::fs::remove_file(home.path().join("catalogue.redb")).unwrap();
        for _ in 0..2 {
            let (journal, segments) = open(home.path());
            assert_eq!((journal.unread(&line), journal.unread_count()), (vec![1], 1));
            assert_eq!(journal.catalogue.applied_count().unwrap(), 3);
            // The line goes on where it ended.
            assert_eq!(journal.head().unwrap().sequence, 3);
            assert_eq!(journal.apply_missing().unwrap(), 0);
            assert_eq!(journal.unread_count(), 1);
            drop((journal, segments));
        }
        let (journal, segments) = open(home.path());
        segments.put(&whole).unwrap();
        assert_eq!(journal.apply_missing().unwrap(), 1);
        assert_eq!(
            (journal.unread_count(), journal.catalogue.applied_count().unwrap()),
            (0, 4)
        );
    }
}
