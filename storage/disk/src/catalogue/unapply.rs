//! Journal segments out of the catalogue again: what a device claimed in segments that are not believed any more, since it was revoked.

use std::collections::BTreeSet;

use nuthatch_format::codec;
use nuthatch_format::journal::{Entry, LineHead};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::pack::PackDirectory;
use nuthatch_format::{LineId, PackId, SegmentId, SnapshotId};
use redb::{ReadableTable as _, WriteTransaction};

use super::packs::{PackNumber, numbers_of, refresh_pending};
use super::tables::{
    APPLIED, CHUNKS, FORGOTTEN, LINES, ORDINALS, PACK_NUMBERS, PACK_STRIPES, PACKS, PENDING, PackRow,
    SNAPSHOT_BYTES, SNAPSHOTS, STRIPES, SnapshotRow, StripeRow, chunk_key, decode_row,
};
use super::{Catalogue, JournalSegment};
use crate::index::IndexError;

impl Catalogue {
    /// Takes back what these segments of a line added, in one durable commit; those that were not applied are passed over. `end` is the
    /// newest segment of the line that stays applied. Answers how many were taken back; after that [`Catalogue::apply_again`] is due for
    /// all that stay.
    ///
    /// Other packs keep their numbers, and no number is given twice. A pack that such a segment retired stays retired: nobody loses
    /// anything by not reusing it.
    pub fn unapply(
        &self,
        line: &LineId,
        segments: &[JournalSegment<'_>],
        end: Option<&LineHead>,
    ) -> Result<usize, IndexError> {
        let write = self.database.begin_write()?;
        let mut count = 0;
        let mut packs = BTreeSet::new();
        for segment in segments.iter().filter(|segment| segment.head.line == *line) {
            let id = segment.head.segment;
            if write.open_table(APPLIED)?.remove(id.as_bytes())?.is_none() {
                continue;
            }
            count += 1;
            let mut ordinal = segment.opened.first_ordinal;
            for entry in &segment.opened.entries {
                packs.extend(unapply_entry(&write, segment.head, entry, &mut ordinal)?);
            }
        }
        if count == 0 {
            return Ok(0);
        }
        for pack in &packs {
            refresh_pending(&write, pack)?;
        }
        {
            let mut lines = write.open_table(LINES)?;
            match end {
                Some(end) => {
                    let segment = end.segment.as_bytes();
                    let row = (end.device.as_bytes(), end.sequence, segment, end.packs);
                    lines.insert(line.as_bytes(), row)?;
                }
                None => {
                    lines.remove(line.as_bytes())?;
                }
            }
        }
        write.commit()?;
        *self.resolved.lock() = None;
        self.reload_retired()?;
        Ok(count)
    }
}

/// Answers the pack whose place among the pending ones may have changed.
fn unapply_entry(
    write: &WriteTransaction,
    head: &LineHead,
    entry: &Entry,
    ordinal: &mut u64,
) -> Result<Option<PackId>, IndexError> {
    match entry {
        Entry::PackAdded { pack, .. } => {
            *ordinal += 1;
            remove_pack(write, head, pack, *ordinal - 1)?;
            Ok(Some(*pack))
        }
        Entry::StripeAdded { label } => remove_stripe(write, head, label),
        Entry::SnapshotAdded { id, .. } => remove_snapshot(write, &head.segment, id).map(|()| None),
        Entry::SnapshotForgotten { id } => {
            let mut forgotten = write.open_table(FORGOTTEN)?;
            forgotten.remove((id.as_bytes(), head.device.as_bytes()))?;
            Ok(None)
        }
        Entry::PackRetired { .. } => Ok(None),
    }
}

/// Removes the number that a segment's pack got. Of a fork's branches, which share an ordinal, one of the numbers.
fn remove_pack(
    write: &WriteTransaction,
    head: &LineHead,
    pack: &PackId,
    ordinal: u64,
) -> Result<(), IndexError> {
    let numbers = numbers_of(&write.open_table(PACK_NUMBERS)?, pack)?;
    for PackNumber(number) in numbers.iter().copied() {
        let row = write
            .open_table(PACKS)?
            .get(number)?
            .map(|row| row.value().to_vec());
        let Some(row) = row else { continue };
        let row: PackRow = decode_row("packs", &row)?;
        if row.line != *head.line.as_bytes() || row.ordinal != ordinal {
            continue;
        }
        write.open_table(PACKS)?.remove(number)?;
        write.open_table(PACK_NUMBERS)?.remove((&row.id, number))?;
        write.open_table(ORDINALS)?.remove((&row.line, ordinal, number))?;
        // It stands there under the first of its pack's numbers, which may be this one.
        write.open_table(PENDING)?.remove(number)?;
        if let Ok(directory) = codec::decode::<PackDirectory>(&row.directory) {
            let mut chunks = write.open_table(CHUNKS)?;
            for (section, entry) in (0_u32..).zip(&directory.sections) {
                for chunk in &entry.chunks {
                    chunks.remove(&chunk_key(&chunk.id, number, section))?;
                }
            }
        }
        return Ok(());
    }
    Ok(())
}

fn remove_stripe(
    write: &WriteTransaction,
    head: &LineHead,
    signed: &[u8],
) -> Result<Option<PackId>, IndexError> {
    let Ok(label) = SignedLabel::parse(signed) else {
        return Ok(None);
    };
    let id = label.id();
    let row = write
        .open_table(STRIPES)?
        .get(id.as_bytes())?
        .map(|row| row.value().to_vec());
    let Some(row) = row else { return Ok(None) };
    let row: StripeRow = decode_row("stripes", &row)?;
    if row.line != *head.line.as_bytes() || row.sequence != head.sequence {
        return Ok(None);
    }
    write.open_table(STRIPES)?.remove(id.as_bytes())?;
    write.open_table(PACK_STRIPES)?.remove((&row.pack, row.order))?;
    Ok(Some(PackId::from_bytes(row.pack)))
}

fn remove_snapshot(write: &WriteTransaction, segment: &SegmentId, id: &SnapshotId) -> Result<(), IndexError> {
    let row = write
        .open_table(SNAPSHOTS)?
        .get(id.as_bytes())?
        .map(|row| row.value().to_vec());
    let Some(row) = row else { return Ok(()) };
    let row: SnapshotRow = decode_row("snapshots", &row)?;
    if row.segment == *segment.as_bytes() {
        write.open_table(SNAPSHOTS)?.remove(id.as_bytes())?;
        write.open_table(SNAPSHOT_BYTES)?.remove(id.as_bytes())?;
    }
    Ok(())
}
