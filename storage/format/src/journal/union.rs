//! All lines of an archive together, as far as summaries of them tell: who is how far, where a line forked, what is missing, what is believed.
//!
//! Memory is bounded by lines, not by segments: whoever stores segments offers them here in the order of their sequence and stores each
//! as the verdict says. The result depends on the set of segments and not on the order of lines, but for which branch of a fork is the
//! head: the one that came first. Nothing here opens a segment or believes a device; [`crate::statement::StatementSet`] says who may
//! write, and [`believed_segments`] what is left of a device that was revoked.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChainVerdict, DEVICE_LINES_MAX, Head, LINES_MAX, LineHead, SignedSegment, verify_next};
use crate::id::{LineId, SegmentId};
use crate::statement::LastBelieved;

/// Most forks of one line that are remembered one by one; all are counted.
pub const FORKS_MAX: usize = 16;

/// Most lines whose named heads are remembered: those that exist and as many that were never shown.
const NAMED_MAX: usize = 2 * LINES_MAX;

/// Two or more segments for one place of a line: its device exists twice, or its state was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fork {
    /// Place of the segment beside the line.
    pub sequence: u64,
    /// That segment.
    pub segment: SegmentId,
}

/// What the union knows of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSummary {
    /// Its newest segment on the branch that came first.
    pub head: LineHead,
    /// Segments beside it, the first [`FORKS_MAX`] of them.
    pub forks: BTreeSet<Fork>,
    /// How many segments stand beside it in all.
    pub fork_count: u64,
}

/// A line of which segments are known to exist that nobody has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The line.
    pub line: LineId,
    /// The first place that is missing.
    pub from: u64,
    /// The newest segment that another line names.
    pub known: Head,
    /// The line that names it: its device's word, no more.
    pub named_by: LineId,
}

/// What to ask a host for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The line.
    pub line: LineId,
    /// The first place that is missing here.
    pub from: u64,
}

/// Why a line is not taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The archive has [`LINES_MAX`] lines.
    #[error("the archive has more than {LINES_MAX} lines")]
    TooManyLines,
    /// The device has [`DEVICE_LINES_MAX`] lines.
    #[error("the device has more than {DEVICE_LINES_MAX} lines")]
    TooManyLinesOfDevice,
}

/// The lines of one archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Union {
    lines: BTreeMap<LineId, LineSummary>,
    /// The newest head of each line that a segment of another line names, with that other line.
    named: BTreeMap<LineId, (Head, LineId)>,
}

impl Union {
    /// No lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a line as it was when the program last ran. See [`Union::hear`].
    pub fn restore(&mut self, summary: LineSummary) -> Result<(), OfferError> {
        self.make_room(&summary.head)?;
        self.lines.insert(summary.head.line, summary);
        Ok(())
    }

    /// Judges a segment whose signature was verified, and takes it up. `stored` are the segments kept already at its place of its line.
    pub fn offer(
        &mut self,
        segment: &SignedSegment,
        stored: &[SegmentId],
    ) -> Result<ChainVerdict, OfferError> {
        let link = segment.link();
        let line = self.lines.get_mut(&link.head.line);
        let verdict = verify_next(line.as_ref().map(|line| &line.head), stored, &link);
        match (verdict, line) {
            (ChainVerdict::Next, Some(line)) => line.head = link.head,
            (ChainVerdict::Next, None) => {
                self.make_room(&link.head)?;
                self.lines.insert(
                    link.head.line,
                    LineSummary {
                        head: link.head,
                        forks: BTreeSet::new(),
                        fork_count: 0,
                    },
                );
            }
            (ChainVerdict::Fork, Some(line)) => {
                line.fork_count = line.fork_count.saturating_add(1);
                if line.forks.len() < FORKS_MAX {
                    line.forks.insert(Fork {
                        sequence: link.head.sequence,
                        segment: link.head.segment,
                    });
                }
            }
            (
                ChainVerdict::Fork
                | ChainVerdict::Duplicate
                | ChainVerdict::Gap { .. }
                | ChainVerdict::WrongDevice { .. }
                | ChainVerdict::Contradiction,
                _,
            ) => return Ok(verdict),
        }
        self.hear(segment);
        Ok(verdict)
    }

    fn make_room(&self, head: &LineHead) -> Result<(), OfferError> {
        let of_device = self
            .lines
            .values()
            .filter(|line| line.head.device == head.device)
            .count();
        if self.lines.len() >= LINES_MAX {
            Err(OfferError::TooManyLines)
        } else if of_device >= DEVICE_LINES_MAX {
            Err(OfferError::TooManyLinesOfDevice)
        } else {
            Ok(())
        }
    }

    /// Takes up which heads of other lines a stored segment names. After [`Union::restore`] the newest segment of each line is enough, since
    /// every segment names the newest that its writer knew.
    pub fn hear(&mut self, segment: &SignedSegment) {
        let by = segment.public().line;
        for head in &segment.public().heads {
            let newer = match self.named.get(&head.line) {
                Some((known, _)) => known.sequence < head.sequence,
                None => self.named.len() < NAMED_MAX,
            };
            if newer {
                self.named.insert(head.line, (*head, by));
            }
        }
    }

    /// A line's summary.
    pub fn line(&self, line: &LineId) -> Option<&LineSummary> {
        self.lines.get(line)
    }

    /// All lines, by id.
    pub fn lines(&self) -> impl Iterator<Item = &LineSummary> {
        self.lines.values()
    }

    /// The newest head of every line: what the next segment of another line names.
    pub fn heads(&self) -> Vec<Head> {
        self.lines.values().map(|line| line.head.head()).collect()
    }

    /// Lines of which another line names a newer segment than was shown: somebody holds something back, or has not got it yet.
    pub fn behind(&self) -> impl Iterator<Item = Behind> {
        self.named.iter().filter_map(|(line, (known, named_by))| {
            let from = self.next_of(line);
            (known.sequence >= from).then_some(Behind {
                line: *line,
                from,
                known: *known,
                named_by: *named_by,
            })
        })
    }

    /// What to ask of a host that shows these heads. `stored` answers whether a segment is kept here. A head that is beside our line is
    /// asked for from the line's beginning, since a summary can't tell where the branch left it.
    pub fn wants(&self, shown: &[Head], stored: impl Fn(&SegmentId) -> bool) -> Vec<Want> {
        shown
            .iter()
            .filter(|head| !stored(&head.segment))
            .map(|head| Want {
                line: head.line,
                from: Some(self.next_of(&head.line))
                    .filter(|next| head.sequence >= *next)
                    .unwrap_or(0),
            })
            .collect()
    }

    /// Lines of which a host that shows these heads has less than is known here: it shows an old journal, or has not got the rest yet.
    pub fn lacks(&self, shown: &[Head]) -> Vec<Want> {
        let shown: BTreeMap<LineId, u64> = shown.iter().map(|head| (head.line, head.sequence)).collect();
        self.lines
            .values()
            .filter_map(|line| {
                let from = shown
                    .get(&line.head.line)
                    .map_or(0, |sequence| sequence.saturating_add(1));
                (from <= line.head.sequence).then_some(Want {
                    line: line.head.line,
                    from,
                })
            })
            .collect()
    }

    fn next_of(&self, line: &LineId) -> u64 {
        self.lines
            .get(line)
            .map_or(0, |line| line.head.sequence.saturating_add(1))
    }
}

/// Which of a revoked device's segments are still believed: those that lead, by `previous`, to each of the named ones. `previous_of` answers
/// the segment before a stored one, `None` at a line's beginning or where it is not stored.
pub fn believed_segments(
    ends: &[LastBelieved],
    previous_of: impl Fn(&SegmentId) -> Option<SegmentId>,
) -> BTreeSet<SegmentId> {
    let mut believed: Option<BTreeSet<SegmentId>> = None;
    for end in ends {
        let mut chain = BTreeSet::new();
        let mut next = Some(end.segment);
        // A chain of hashes can't come back to itself, but a stored index may be damaged: stop there.
        while let Some(segment) = next
            && chain.insert(segment)
        {
            next = previous_of(&segment);
        }
        believed = Some(match believed {
            None => chain,
            Some(before) => &before & &chain,
        });
    }
    believed.unwrap_or_default()
}

#[cfg(test)]
mod tests;
