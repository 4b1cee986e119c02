//! Which segments of an archive are believed, by its statements: all of a certified device, of a revoked one what the revocation names.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use nuthatch_disk::IndexError;
use nuthatch_disk::segment_store::SegmentStore;
use nuthatch_format::journal::LineHead;
use nuthatch_format::journal::union::believed_segments;
use nuthatch_format::statement::{Belief, LastBelieved, StatementSet};
use nuthatch_format::{ArchiveId, LineId, SegmentId};

/// Segments looked at in one reading of the store.
const PAGE: usize = 4096;

/// What is believed of one archive's lines. What is looked up of a revoked device's line is remembered.
pub(crate) struct Beliefs<'a> {
    archive: ArchiveId,
    statements: &'a StatementSet,
    segments: &'a SegmentStore,
    of_lines: BTreeMap<LineId, BTreeSet<SegmentId>>,
}

impl<'a> Beliefs<'a> {
    /// By these statements, of the segments in this store.
    pub(crate) fn new(archive: ArchiveId, statements: &'a StatementSet, segments: &'a SegmentStore) -> Self {
        Self {
            archive,
            statements,
            segments,
            of_lines: BTreeMap::new(),
        }
    }

    /// Whether a stored segment is believed.
    pub(crate) fn believes(&mut self, head: &LineHead) -> Result<bool, IndexError> {
        let ends = match self.statements.belief(&head.device, &head.line) {
            Belief::All => return Ok(true),
            Belief::Nothing => return Ok(false),
            Belief::UpTo(ends) => ends,
        };
        if ends.iter().any(|end| head.sequence > end.sequence) {
            return Ok(false);
        }
        let believed = match self.of_lines.entry(head.line) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                place.insert(believed_of(self.segments, &self.archive, &head.line, &ends)?)
            }
        };
        Ok(believed.contains(&head.segment))
    }
}

/// The segments of a revoked device's line that are still believed.
fn believed_of(
    segments: &SegmentStore,
    archive: &ArchiveId,
    line: &LineId,
    ends: &[LastBelieved],
) -> Result<BTreeSet<SegmentId>, IndexError> {
    let mut previous = BTreeMap::new();
    let mut from = 0;
    loop {
        let page = segments.segments_from(archive, line, from, PAGE)?;
        let Some(last) = page.last() else { break };
        from = last.head.sequence.saturating_add(1);
        previous.extend(page.iter().map(|stored| (stored.head.segment, stored.previous)));
    }
    Ok(believed_segments(ends, |segment| {
        previous.get(segment).copied().flatten()
    }))
}
