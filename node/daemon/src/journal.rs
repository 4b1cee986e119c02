//! This device's line: the only place that appends to it. Gathers entries, seals and signs segments, keeps them synced, applies them to the
//! catalogue.
//!
//! A device goes on with its line only while nobody has shown a segment of it that is not here; after that it begins a new one.

mod apply;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::segment_store::{PutSegmentError, SegmentStore};
use nuthatch_engine::boundary::JournalPosition;
use nuthatch_format::journal::{
    Batch, BuildSegmentError, Draft, Entry, Head, LineHead, OpenSegmentError, Position, SignedSegment,
};
use nuthatch_format::keys::{DeviceKeys, WriterKeys};
use nuthatch_format::{LineId, SegmentId};
use parking_lot::Mutex;

use crate::archives::Statements;
use crate::clock::{self, EntropyError};

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
    /// They say which segments count.
    statements: Arc<Statements>,
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
        (segments, statements): (Arc<SegmentStore>, Arc<Statements>),
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
            statements,
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
        let mut opened = segment.open(&self.writer)?;
        self.leave_what_counts(&head, &mut opened);
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
}

fn position_of(state: &State) -> JournalPosition {
    JournalPosition(state.earlier + state.head.map_or(0, |head| head.sequence + 1))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use nuthatch_format::keys::{ArchiveKeys, RecoveryPhrase};
    use nuthatch_format::snapshot::{PackChange, PackSet, SealedSnapshot, SnapshotLine};
    use nuthatch_format::statement::{Capabilities, Certificate, LastBelieved, SignedStatement, Statement};
    use nuthatch_format::{ByteCount, NodeId, PackId, Timestamp};

    use super::*;

    fn open(home: &Path) -> (JournalWriter, Arc<SegmentStore>) {
        let writer = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([3; 32])).writer;
        let device = DeviceKeys::generate(&[4; 64], "laptop").unwrap();
        let segments = Arc::new(SegmentStore::open(&home.join("segments")).unwrap());
        let catalogue = Catalogue::open(&home.join("catalogue.redb")).unwrap().0;
        let store = Arc::clone(&segments);
        let statements = Arc::new(Statements::open(&segments).unwrap());
        let catalogue = Arc::new(catalogue);
        let journal = JournalWriter::open(writer, Arc::new(device), (store, statements), catalogue).unwrap();
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

    /// A statement by the archive's key, in the store.
    fn state(home: &Path, statement: Statement, at: u64) {
        let archive = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([3; 32]));
        let signed = SignedStatement::by_archive(statement, &archive.signing, Timestamp(at)).unwrap();
        let segments = SegmentStore::open(&home.join("segments")).unwrap();
        segments.put_statement(&signed).unwrap();
    }

    fn certified(device: &DeviceKeys, capabilities: Capabilities) -> Statement {
        let certificate = Certificate {
            device: device.id(),
            exchange_public: device.exchange_public(),
            node: NodeId::from_bytes([8; 32]),
            name: "another".to_owned(),
            capabilities,
            byte_budget: ByteCount(u64::MAX),
        };
        Statement::Certified { certificate }
    }

    /// Two segments of another device, in the store: each adds a snapshot and retires a pack.
    fn of_another(home: &Path, other: &DeviceKeys) -> Vec<SignedSegment> {
        let writer = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([3; 32])).writer;
        let store = SegmentStore::open(&home.join("segments")).unwrap();
        let mut position = Position::begin(other, [5; 16], None);
        let mut written = Vec::new();
        for number in 0..2 {
            let sealed = vec![number; 100];
            let none = PackSet::new();
            let line = SnapshotLine {
                time: Timestamp(1),
                tags: Vec::new(),
                bytes: ByteCount(1),
                files: 1,
                packs_needed: PackChange::between(&none, &none).unwrap(),
                group: [4; 32],
                parent: None,
            };
            let id = SealedSnapshot::id_of(&sealed);
            let pack = PackId::from_bytes([number; 32]);
            let draft = Draft {
                position,
                entries: &[
                    Entry::SnapshotAdded { id, line, sealed },
                    Entry::PackRetired { pack },
                ],
                heads: &[],
                time: Timestamp(1),
            };
            let segment = SignedSegment::build(&writer, other, &draft).unwrap();
            store.put(&segment).unwrap();
            position = Position::after(&segment.head());
            written.push(segment);
        }
        written
    }

    #[test]
    fn what_a_revocation_cuts_off_leaves_the_catalogue() {
        let home = tempfile::tempdir().unwrap();
        let other = DeviceKeys::generate(&[6; 64], "another").unwrap();
        state(home.path(), certified(&other, Capabilities::DEFAULT), 1);
        let written = of_another(home.path(), &other);
        let snapshots = |journal: &JournalWriter| -> Vec<SegmentId> {
            let all = journal.catalogue.snapshots().unwrap();
            all.iter().map(|snapshot| snapshot.segment).collect()
        };
        let (journal, segments) = open(home.path());
        assert_eq!(snapshots(&journal), [written[0].id(), written[1].id()]);
        drop((journal, segments));
        let head = written[0].head();
        let last = LastBelieved {
            line: head.line,
            sequence: head.sequence,
            segment: head.segment,
        };
        let revoked = Statement::Revoked {
            device: other.id(),
            after: vec![last],
        };
        state(home.path(), revoked, 2);
        for is_anew in [false, false, true] {
            if is_anew {
                std::fs::remove_file(home.path().join("catalogue.redb")).unwrap();
            }
            let (journal, segments) = open(home.path());
            assert_eq!(snapshots(&journal), [head.segment], "{is_anew}");
            assert_eq!(journal.apply_missing().unwrap(), 0);
            drop((journal, segments));
        }
    }

    #[test]
    fn only_who_may_prune_retires_packs() {
        let other = DeviceKeys::generate(&[6; 64], "another").unwrap();
        let may_prune = Capabilities::DEFAULT.with(Capabilities::PRUNE);
        for (capabilities, count) in [(Capabilities::DEFAULT, 0), (may_prune, 2)] {
            let home = tempfile::tempdir().unwrap();
            state(home.path(), certified(&other, capabilities), 1);
            of_another(home.path(), &other);
            let (journal, _segments) = open(home.path());
            assert_eq!(journal.catalogue.snapshots().unwrap().len(), 2);
            assert_eq!(journal.catalogue.retired_count().unwrap(), count);
        }
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
