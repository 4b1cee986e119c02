//! This device's line: the only place that appends to it. Gathers entries, seals and signs segments, keeps them synced, applies them to the
//! catalogue.
//!
//! A device goes on with its line only while nobody has shown a segment of it that is not here; after that it begins a new one.

use std::sync::Arc;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::segment_store::{PutSegmentError, ReadSegmentError, SegmentStore};
use nuthatch_engine::boundary::JournalPosition;
use nuthatch_format::SegmentId;
use nuthatch_format::journal::{
    Batch, BuildSegmentError, Draft, Entry, Head, LineHead, OpenSegmentError, Position, SignedSegment,
};
use nuthatch_format::keys::{DeviceKeys, WriterKeys};
use parking_lot::Mutex;

use crate::clock::{self, EntropyError};

/// Segments applied to the catalogue in one transaction.
const APPLY_BATCH: usize = 16;

/// Why the journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// An entry that no segment takes.
    #[error(transparent)]
    Build(#[from] BuildSegmentError),
    /// The store of segments.
    #[error(transparent)]
    Put(#[from] PutSegmentError),
    /// Reading a segment back.
    #[error(transparent)]
    Read(#[from] ReadSegmentError),
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
            }),
        };
        journal.apply_missing()?;
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

    /// Applies every segment of the archive that is here and not in the catalogue yet, of all lines. Answers how many.
    pub(crate) fn apply_missing(&self) -> Result<usize, JournalError> {
        let applied: std::collections::BTreeMap<_, _> = self
            .catalogue
            .applied_heads()?
            .into_iter()
            .map(|head| (head.line, head.sequence))
            .collect();
        let archive = self.writer.archive;
        let mut count = 0;
        for line in self.segments.lines(&archive) {
            // Forks stand beside earlier places, so a forked line is gone through from its first fork.
            let first_fork = line.forks.iter().map(|fork| fork.sequence).min();
            let behind = applied.get(&line.head.line).map_or(0, |sequence| sequence + 1);
            let mut from = first_fork.map_or(behind, |fork| fork.min(behind));
            loop {
                let page = self
                    .segments
                    .segments_from(&archive, &line.head.line, from, APPLY_BATCH)?;
                let Some(last) = page.last() else { break };
                from = last.head.sequence + 1;
                let mut opened = Vec::new();
                for stored in &page {
                    if self.catalogue.is_applied(&stored.head.segment)? {
                        continue;
                    }
                    let segment = self.segments.read(&archive, stored)?;
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
                count += self.catalogue.apply(&batch)?;
            }
        }
        Ok(count)
    }
}

fn position_of(state: &State) -> JournalPosition {
    JournalPosition(state.earlier + state.head.map_or(0, |head| head.sequence + 1))
}
