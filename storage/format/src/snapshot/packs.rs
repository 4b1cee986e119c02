//! Sets of packs, named by the line that added them and their ordinal in it: a few bytes for a thousand packs in a row.
//!
//! Ordinals count the packs that a line adds, from 0. Where a line forked, an ordinal names the packs of that ordinal on every branch.
//! Runs of a set are in order and never touch, so that a set has one form.

use std::collections::BTreeMap;

use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::id::LineId;

/// Most runs in the two sets of a snapshot's line together: more than a terabyte of packs without two neighbours.
pub const PACK_RUNS_MAX: usize = 100_000;

/// Packs of one line with consecutive ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackRun {
    /// The line.
    pub line: LineId,
    /// Ordinal of the first.
    pub start: u64,
    /// How many; at least 1.
    pub count: u64,
}

/// A set of packs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackSet {
    /// Start and end (exclusive) of each run; lines without runs are not here.
    lines: BTreeMap<LineId, BTreeMap<u64, u64>>,
}

/// A set of packs grew past what a snapshot can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackSetError {
    /// Too many runs.
    #[error("a snapshot names its packs in at most {PACK_RUNS_MAX} runs, not {found}")]
    TooManyRuns {
        /// Runs needed.
        found: usize,
    },
}

impl PackSet {
    /// No packs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many packs.
    pub fn len(&self) -> u64 {
        self.runs().map(|run| run.count).fold(0, u64::saturating_add)
    }

    /// The runs, by line and ordinal.
    pub fn runs(&self) -> impl Iterator<Item = PackRun> {
        self.lines.iter().flat_map(|(line, runs)| {
            runs.iter().map(|(start, end)| PackRun {
                line: *line,
                start: *start,
                count: end - start,
            })
        })
    }

    /// How many runs.
    pub fn run_count(&self) -> usize {
        self.lines.values().map(BTreeMap::len).sum()
    }

    /// Whether a pack is in it.
    pub fn contains(&self, line: &LineId, ordinal: u64) -> bool {
        self.lines
            .get(line)
            .and_then(|runs| runs.range(..=ordinal).next_back())
            .is_some_and(|(_, end)| ordinal < *end)
    }

    /// Adds one pack.
    pub fn insert(&mut self, line: LineId, ordinal: u64) {
        self.insert_run(PackRun {
            line,
            start: ordinal,
            count: 1,
        });
    }

    /// Adds a run of packs; ordinals past the end of `u64` don't exist.
    pub fn insert_run(&mut self, run: PackRun) {
        let (mut start, mut end) = (run.start, run.start.saturating_add(run.count));
        if start == end {
            return;
        }
        let runs = self.lines.entry(run.line).or_default();
        // Swallow every run that overlaps or touches; each is removed once, so this is linear over a set's life.
        while let Some((&before, &before_end)) = runs.range(..=end).next_back()
            && before_end >= start
        {
            runs.remove(&before);
            start = start.min(before);
            end = end.max(before_end);
        }
        runs.insert(start, end);
    }

    /// Takes a run of packs away, as far as they are in it.
    pub fn remove_run(&mut self, run: PackRun) {
        let (start, end) = (run.start, run.start.saturating_add(run.count));
        let Some(runs) = self.lines.get_mut(&run.line) else {
            return;
        };
        while start < end
            && let Some((&before, &before_end)) = runs.range(..end).next_back()
            && before_end > start
        {
            runs.remove(&before);
            if before < start {
                runs.insert(before, start);
            }
            if before_end > end {
                runs.insert(end, before_end);
            }
        }
        if runs.is_empty() {
            self.lines.remove(&run.line);
        }
    }

    /// All packs of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for run in other.runs() {
            all.insert_run(run);
        }
        all
    }

    /// The packs of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for run in other.runs() {
            rest.remove_run(run);
        }
        rest
    }
}

/// Array of `[line, [gap, count, gap, count, ...]]`: a gap is the distance from the end of the run before (from 0 for the first).
impl<C> Encode<C> for PackSet {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, context: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(self.lines.len() as u64)?;
        for (line, runs) in &self.lines {
            e.array(2)?;
            line.encode(e, context)?;
            e.array(2 * runs.len() as u64)?;
            let mut before = 0;
            for (start, end) in runs {
                e.u64(start - before)?.u64(end - start)?;
                before = *end;
            }
        }
        Ok(())
    }
}

/// Lines or runs that are out of order, empty or touching decode to a set that encodes otherwise, or to an error. Runs are counted while
/// they are read: a few bytes of each would otherwise become many in memory before anybody looks at how many there are.
impl<'b, C> Decode<'b, C> for PackSet {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let invalid = |reason| minicbor::decode::Error::message(reason).at(at);
        let mut lines = BTreeMap::new();
        let mut run_count = 0;
        let indefinite = || invalid("indefinite length");
        for _ in 0..d.array()?.ok_or_else(indefinite)? {
            if d.array()? != Some(2) {
                return Err(invalid("not a line and its runs"));
            }
            let line = LineId::decode(d, context)?;
            let mut runs = BTreeMap::new();
            let mut before = 0_u64;
            for _ in 0..d.array()?.ok_or_else(indefinite)? / 2 {
                let start = before.checked_add(d.u64()?);
                let end = start.and_then(|start| start.checked_add(d.u64().ok()?));
                let (Some(start), Some(end)) = (start, end) else {
                    return Err(invalid("a run without an end"));
                };
                if start == end || (start == before && !runs.is_empty()) {
                    return Err(invalid("runs that are empty or touch"));
                }
                run_count += 1;
                if run_count > PACK_RUNS_MAX {
                    return Err(invalid("too many runs of packs"));
                }
                runs.insert(start, end);
                before = end;
            }
            if runs.is_empty() || lines.insert(line, runs).is_some() {
                return Err(invalid("a line without runs, or twice"));
            }
        }
        Ok(Self { lines })
    }
}

/// How one set of packs becomes another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct PackChange {
    /// In the new set only.
    #[n(0)]
    pub added: PackSet,
    /// In the old set only.
    #[n(1)]
    pub removed: PackSet,
}

impl PackChange {
    /// What leads from `old` to `new`.
    pub fn between(old: &PackSet, new: &PackSet) -> Result<Self, PackSetError> {
        let change = Self {
            added: new.difference(old),
            removed: old.difference(new),
        };
        let found = change.added.run_count() + change.removed.run_count();
        if found > PACK_RUNS_MAX {
            Err(PackSetError::TooManyRuns { found })
        } else {
            Ok(change)
        }
    }

    /// The new set.
    #[must_use]
    pub fn apply(&self, old: &PackSet) -> PackSet {
        old.difference(&self.removed).union(&self.added)
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.added.run_count() + self.removed.run_count() > PACK_RUNS_MAX {
            Err("too many runs of packs")
        } else {
            Ok(())
        }
    }
}
