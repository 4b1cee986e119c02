//! Snapshots as the journal lists them, and the packs that they need.

use std::collections::BTreeSet;

use nuthatch_format::codec;
use nuthatch_format::snapshot::{PackChange, PackRun, PackSet, SnapshotLine};
use nuthatch_format::{ByteCount, DeviceId, LineId, SegmentId, SnapshotId, Timestamp};
use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::Catalogue;
use super::packs::PackNumber;
use super::tables::{FORGOTTEN, ORDINALS, SNAPSHOT_BYTES, SNAPSHOTS, SnapshotRow, decode_row};
use crate::index::IndexError;

/// What a writer may know of a snapshot, without the packs that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// The snapshot.
    pub id: SnapshotId,
    /// The device that signed the segment.
    pub device: DeviceId,
    /// That segment's line.
    pub line: LineId,
    /// Its place in the line.
    pub sequence: u64,
    /// The segment that commits the snapshot.
    pub segment: SegmentId,
    /// When the backup ended, by its device's clock.
    pub time: Timestamp,
    /// What the user calls it.
    pub tags: Vec<String>,
    /// Bytes in files.
    pub bytes: ByteCount,
    /// Regular files.
    pub files: u64,
    /// Equal for snapshots of the same host and paths.
    pub group: [u8; 32],
    /// The snapshot that its packs are a difference to.
    pub parent: Option<SnapshotId>,
}

/// A snapshot with all its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// What stands in its row.
    pub summary: SnapshotSummary,
    /// What writers list.
    pub listing: SnapshotLine,
    /// What readers open.
    pub sealed: Vec<u8>,
}

/// Why it cannot be said which packs a snapshot needs.
#[derive(Debug, thiserror::Error)]
pub enum PacksNeededError {
    /// The journal here has no such snapshot: it is incomplete, or the snapshot never was.
    #[error("snapshot {} is not in the journal here", snapshot.short())]
    Unknown {
        /// The snapshot itself, or one that its packs are a difference to.
        snapshot: SnapshotId,
    },
    /// Snapshots that are each a difference to the next, in a ring: a false claim.
    #[error("snapshot {} is a difference to itself", snapshot.short())]
    Ring {
        /// One of them.
        snapshot: SnapshotId,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Some of the packs that a snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PacksNeededPage {
    /// Packs by their numbers. Where a line forked, those of every branch: rather one too many than one too few.
    pub packs: Vec<PackNumber>,
    /// Packs that the snapshot names and the journal here does not have: while there are any, nothing is safe.
    pub unknown_count: u64,
    /// What to give for the next page; `None` when this is the last.
    pub next: Option<(LineId, u64)>,
}

impl Catalogue {
    /// All snapshots that their own device has not forgotten, in the order in which they became known.
    pub fn snapshots(&self) -> Result<Vec<SnapshotSummary>, IndexError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(SNAPSHOTS)?;
        let forgotten = read.open_table(FORGOTTEN)?;
        let mut snapshots = Vec::new();
        for row in table.iter()? {
            let (id, bytes) = row?;
            let row: SnapshotRow = decode_row("snapshots", bytes.value())?;
            // A device forgets its own snapshots only.
            if forgotten.get((id.value(), &row.device))?.is_none() {
                snapshots.push((row.order, summary(SnapshotId::from_bytes(*id.value()), row)));
            }
        }
        snapshots.sort_by_key(|(order, _)| *order);
        Ok(snapshots.into_iter().map(|(_, summary)| summary).collect())
    }

    /// A snapshot with all its bytes, forgotten or not.
    pub fn snapshot(&self, id: &SnapshotId) -> Result<Option<SnapshotRecord>, IndexError> {
        let read = self.database.begin_read()?;
        let Some(row) = row_of(&read, id)? else {
            return Ok(None);
        };
        let bytes = read.open_table(SNAPSHOT_BYTES)?.get(id.as_bytes())?;
        let bad = || IndexError::BadValue {
            table: "snapshot bytes",
        };
        let bytes = bytes.ok_or_else(bad)?;
        let (listing, sealed) = bytes.value();
        Ok(Some(SnapshotRecord {
            summary: summary(*id, row),
            listing: codec::decode(listing).map_err(|_| bad())?,
            sealed: sealed.to_vec(),
        }))
    }

    /// The packs that a snapshot needs, by line and ordinal: its own difference and those of all that it builds on.
    pub fn packs_needed(&self, id: &SnapshotId) -> Result<PackSet, PacksNeededError> {
        let read = self.database.begin_read().map_err(IndexError::from)?;
        let known = self.resolved.lock().clone();
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut set = PackSet::new();
        let mut at = Some(*id);
        while let Some(snapshot) = at {
            if let Some((known, packs)) = &known
                && *known == snapshot
            {
                set = packs.clone();
                break;
            }
            if !seen.insert(snapshot) {
                return Err(PacksNeededError::Ring { snapshot });
            }
            let row = row_of(&read, &snapshot)?.ok_or(PacksNeededError::Unknown { snapshot })?;
            chain.push(snapshot);
            at = row.parent.map(SnapshotId::from_bytes);
        }
        for snapshot in chain.into_iter().rev() {
            set = change_of(&read, &snapshot)?.apply(&set);
        }
        *self.resolved.lock() = Some((*id, set.clone()));
        Ok(set)
    }

    /// Some of the packs of a set, from a place in it on (`None`: from its beginning), about `limit` of them.
    pub fn packs_in(
        &self,
        set: &PackSet,
        from: Option<(LineId, u64)>,
        limit: usize,
    ) -> Result<PacksNeededPage, IndexError> {
        let read = self.database.begin_read()?;
        let ordinals = read.open_table(ORDINALS)?;
        let mut page = PacksNeededPage::default();
        let mut left = limit.max(1);
        for run in set.runs() {
            let Some(run) = rest_of(run, from) else {
                continue;
            };
            if left == 0 {
                page.next = Some((run.line, run.start));
                return Ok(page);
            }
            // By the rows that there are, never by the ordinals: a run may name more of those than anybody could count.
            let last = run.start.saturating_add(run.count - 1);
            let line = run.line.as_bytes();
            let mut found_count = 0;
            let mut newest = None;
            for row in ordinals.range((line, run.start, 0)..=(line, last, u64::MAX))? {
                let (_, ordinal, number) = row?.0.value();
                if newest != Some(ordinal) {
                    if left == 0 {
                        page.next = Some((run.line, ordinal));
                        let passed = ordinal - run.start;
                        page.unknown_count = page.unknown_count.saturating_add(passed - found_count);
                        return Ok(page);
                    }
                    left -= 1;
                    found_count += 1;
                    newest = Some(ordinal);
                }
                page.packs.push(PackNumber(number));
            }
            page.unknown_count = page.unknown_count.saturating_add(run.count - found_count);
        }
        Ok(page)
    }
}

/// The part of a run that lies at `from` or behind it.
fn rest_of(run: PackRun, from: Option<(LineId, u64)>) -> Option<PackRun> {
    let Some((line, ordinal)) = from else {
        return Some(run);
    };
    let end = run.start.saturating_add(run.count);
    if run.line < line || (run.line == line && end <= ordinal) {
        return None;
    }
    let start = if run.line == line {
        run.start.max(ordinal)
    } else {
        run.start
    };
    Some(PackRun {
        start,
        count: end - start,
        ..run
    })
}

fn row_of(read: &ReadTransaction, id: &SnapshotId) -> Result<Option<SnapshotRow>, IndexError> {
    let row = read.open_table(SNAPSHOTS)?.get(id.as_bytes())?;
    row.map(|row| decode_row("snapshots", row.value())).transpose()
}

fn change_of(read: &ReadTransaction, id: &SnapshotId) -> Result<PackChange, IndexError> {
    let bad = || IndexError::BadValue {
        table: "snapshot bytes",
    };
    let bytes = read
        .open_table(SNAPSHOT_BYTES)?
        .get(id.as_bytes())?
        .ok_or_else(bad)?;
    let listing: SnapshotLine = codec::decode(bytes.value().0).map_err(|_| bad())?;
    Ok(listing.packs_needed)
}

fn summary(id: SnapshotId, row: SnapshotRow) -> SnapshotSummary {
    SnapshotSummary {
        id,
        device: DeviceId::from_bytes(row.device),
        line: LineId::from_bytes(row.line),
        sequence: row.sequence,
        segment: SegmentId::from_bytes(row.segment),
        time: Timestamp(row.time),
        tags: row.tags,
        bytes: ByteCount(row.bytes),
        files: row.files,
        group: row.group,
        parent: row.parent.map(SnapshotId::from_bytes),
    }
}
