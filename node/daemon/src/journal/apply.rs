//! From the segments of all lines to the catalogue: what is believed and not applied is applied, what is applied and believed no longer is
//! taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nuthatch_disk::catalogue::JournalSegment;
use nuthatch_disk::segment_store::StoredSegment;
use nuthatch_format::LineId;
use nuthatch_format::journal::union::LineSummary;
use nuthatch_format::journal::{Entry, LineHead, Opened};
use nuthatch_format::statement::{Capabilities, StatementSet};

use super::{JournalError, JournalWriter};
use crate::archives::Beliefs;

/// Segments applied to the catalogue in one transaction.
const APPLY_BATCH: usize = 16;

/// Places of one line that are remembered as unreadable, the first ones.
const UNREAD_MAX: usize = 64;

/// Places of lines whose segments can't be read from this disk.
type Unread = BTreeMap<LineId, BTreeSet<u64>>;

impl JournalWriter {
    /// Applies every believed segment of the archive that is here and not in the catalogue yet, of all lines, and takes back those of
    /// revoked devices that are believed no longer. Answers how many came or went. What the disk does not give back is left out and
    /// remembered: one damaged file must not keep a node from its archive.
    pub(crate) fn apply_missing(&self) -> Result<usize, JournalError> {
        self.apply(false)
    }

    /// As [`Self::apply_missing`]; `looks_behind` also for what is missing behind the last that was applied of a line.
    pub(super) fn apply(&self, looks_behind: bool) -> Result<usize, JournalError> {
        let archive = self.writer.archive;
        let lines = self.segments.lines(&archive);
        let statements = self.known_statements();
        let mut beliefs = Beliefs::new(archive, &statements, &self.segments);
        let mut count = 0;
        for line in lines.iter().filter(|line| self.is_cut(&statements, &line.head)) {
            count += self.take_back(line, &mut beliefs)?;
        }
        if count > 0 {
            self.apply_again(&lines)?;
        }
        let applied: BTreeMap<_, _> = self
            .catalogue
            .applied_heads()?
            .into_iter()
            .map(|head| (head.line, head.sequence + 1))
            .collect();
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
        let mut unread = BTreeMap::new();
        for line in lines {
            let id = line.head.line;
            let is_cut = self.is_cut(&statements, &line.head);
            let behind = applied.get(&id).copied().unwrap_or_default();
            // Forks stand beside earlier places, so a forked line is gone through from its first fork.
            let first_fork = line.forks.iter().map(|fork| fork.sequence).min();
            let first_unread = before.get(&id).and_then(BTreeSet::first).copied();
            let earlier = [first_fork, first_unread, (!is_whole).then_some(0)];
            let mut from = earlier.into_iter().flatten().fold(behind, u64::min);
            loop {
                let mut page = self.segments.segments_from(&archive, &id, from, APPLY_BATCH)?;
                let Some(last) = page.last() else { break };
                from = last.head.sequence + 1;
                if is_cut {
                    page = believed(page, &mut beliefs)?;
                }
                count += self.apply_page(&page, &mut unread)?;
            }
        }
        self.state.lock().unread = unread;
        Ok(count)
    }

    /// Those that are known of the archive; none where nothing is.
    fn known_statements(&self) -> Arc<StatementSet> {
        let archive = self.writer.archive;
        let known = self.statements.of(&archive);
        known.unwrap_or_else(|| Arc::new(StatementSet::new(archive)))
    }

    /// Whether less than all of a line may be believed. What was kept was certified then, so only a revocation can cut it; a device goes
    /// on knowing what it wrote itself.
    fn is_cut(&self, statements: &StatementSet, head: &LineHead) -> bool {
        statements.is_revoked(&head.device) && head.device != self.device.id()
    }

    /// Takes a line's applied segments that are not believed out of the catalogue.
    fn take_back(&self, line: &LineSummary, beliefs: &mut Beliefs<'_>) -> Result<usize, JournalError> {
        let archive = self.writer.archive;
        let id = line.head.line;
        let (mut from, mut count) = (0, 0);
        let mut end: Option<LineHead> = None;
        loop {
            let page = self.segments.segments_from(&archive, &id, from, APPLY_BATCH)?;
            let Some(last) = page.last() else {
                return Ok(count);
            };
            from = last.head.sequence + 1;
            let mut unbelieved = Vec::new();
            for stored in page {
                if !self.catalogue.is_applied(&stored.head.segment)? {
                    continue;
                }
                if beliefs.believes(&stored.head)? {
                    end = Some(stored.head);
                    continue;
                }
                let read = self.segments.read(&archive, &stored);
                match read.map(|segment| segment.open(&self.writer)) {
                    Ok(Ok(opened)) => unbelieved.push((stored.head, opened)),
                    Ok(Err(error)) => tracing::warn!("a segment of {archive:?} does not open: {error}"),
                    Err(error) => tracing::warn!("a segment of {archive:?} can't be taken back: {error}"),
                }
            }
            count += self.catalogue.unapply(&id, &batch(&unbelieved), end.as_ref())?;
        }
    }

    /// What was taken back may have named a snapshot or a label of another device's before it did.
    fn apply_again(&self, lines: &[LineSummary]) -> Result<(), JournalError> {
        let archive = self.writer.archive;
        for line in lines {
            let mut from = 0;
            loop {
                let page = self
                    .segments
                    .segments_from(&archive, &line.head.line, from, APPLY_BATCH)?;
                let Some(last) = page.last() else { break };
                from = last.head.sequence + 1;
                let mut opened = Vec::new();
                for stored in page {
                    if self.catalogue.is_applied(&stored.head.segment)?
                        && let Ok(segment) = self.segments.read(&archive, &stored)
                        && let Ok(entries) = segment.open(&self.writer)
                    {
                        opened.push((stored.head, entries));
                    }
                }
                self.catalogue.apply_again(&batch(&opened))?;
            }
        }
        Ok(())
    }

    fn apply_page(&self, page: &[StoredSegment], unread: &mut Unread) -> Result<usize, JournalError> {
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
                Ok(mut entries) => {
                    self.leave_what_counts(&stored.head, &mut entries);
                    opened.push((stored.head, entries));
                }
                // Another device's nonsense stops nobody else.
                Err(error) => tracing::warn!("a segment of {archive:?} does not open: {error}"),
            }
        }
        Ok(self.catalogue.apply(&batch(&opened))?)
    }

    /// Leaves out what the segment's device has no right to say: to retire packs takes a capability of its own.
    pub(super) fn leave_what_counts(&self, head: &LineHead, opened: &mut Opened) {
        if !self.known_statements().gives(&head.device, Capabilities::PRUNE) {
            let retires = |entry: &Entry| matches!(entry, Entry::PackRetired { .. });
            opened.entries.retain(|entry| !retires(entry));
        }
    }
}

fn believed(page: Vec<StoredSegment>, beliefs: &mut Beliefs<'_>) -> Result<Vec<StoredSegment>, JournalError> {
    let mut believed = Vec::with_capacity(page.len());
    for stored in page {
        if beliefs.believes(&stored.head)? {
            believed.push(stored);
        }
    }
    Ok(believed)
}

fn batch(opened: &[(LineHead, Opened)]) -> Vec<JournalSegment<'_>> {
    opened
        .iter()
        .map(|(head, opened)| JournalSegment { head, opened })
        .collect()
}
