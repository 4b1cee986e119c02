//! Journal segments into the catalogue: each once, all of a call in one commit.

use nuthatch_format::codec;
use nuthatch_format::journal::{Entry, LineHead, Opened};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::pack::{PackDirectory, PackKind};
use nuthatch_format::snapshot::SnapshotLine;
use nuthatch_format::{PackId, SegmentId, SnapshotId};
use redb::{ReadableDatabase as _, ReadableTable as _, Table, WriteTransaction};

use super::Catalogue;
use super::packs::refresh_pending;
use super::tables::{
    APPLIED, CHUNK_KEY_LEN, CHUNKS, FORGOTTEN, LINES, META, META_NEXT_ORDER, META_NEXT_PACK, ORDINALS,
    PACK_NUMBERS, PACK_STRIPES, PACKS, PackRow, RETIRED, SNAPSHOT_BYTES, SNAPSHOTS, STRIPES, SnapshotRow,
    StripeRow, chunk_key, encode_row,
};
use crate::index::IndexError;

/// A segment whose signature was verified, whose device is believed, and whose entries were opened.
#[derive(Debug, Clone, Copy)]
pub struct JournalSegment<'a> {
    /// Its place: its line's head once it is the newest.
    pub head: &'a LineHead,
    /// What it adds.
    pub opened: &'a Opened,
}

impl Catalogue {
    /// Applies segments, in one durable commit; those that were applied before are passed over. Answers how many were new.
    ///
    /// An entry that does not hold what it should (a directory that is none, a label that is none or another device's) is passed over: it
    /// is a claim that nobody can use.
    pub fn apply(&self, segments: &[JournalSegment<'_>]) -> Result<usize, IndexError> {
        let write = self.database.begin_write()?;
        let mut new_count = 0;
        let mut touches_retired = false;
        for segment in segments {
            if write
                .open_table(APPLIED)?
                .insert(segment.head.segment.as_bytes(), ())?
                .is_some()
            {
                continue;
            }
            new_count += 1;
            note_line(&write, segment.head)?;
            let mut ordinal = segment.opened.first_ordinal;
            for entry in &segment.opened.entries {
                touches_retired |= matches!(entry, Entry::PackRetired { .. });
                touches_retired |= apply_entry(&write, segment.head, entry, &mut ordinal)?;
            }
        }
        if new_count == 0 {
            return Ok(0);
        }
        write.commit()?;
        if touches_retired {
            self.reload_retired()?;
        }
        Ok(new_count)
    }

    /// Applies one segment; `false` when it was applied before.
    pub fn apply_segment(&self, head: &LineHead, opened: &Opened) -> Result<bool, IndexError> {
        Ok(self.apply(&[JournalSegment { head, opened }])? == 1)
    }

    /// Adds the stripes and snapshots of applied segments that are not here, since another segment, which was taken back since, had named
    /// them first. In one durable commit.
    pub fn apply_again(&self, segments: &[JournalSegment<'_>]) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        for segment in segments {
            for entry in &segment.opened.entries {
                match entry {
                    Entry::StripeAdded { label } => add_stripe(&write, segment.head, label)?,
                    Entry::SnapshotAdded { id, line, sealed } => {
                        add_snapshot(&write, segment.head, id, line, sealed)?;
                    }
                    Entry::PackAdded { .. } | Entry::SnapshotForgotten { .. } | Entry::PackRetired { .. } => {
                    }
                }
            }
        }
        Ok(write.commit()?)
    }

    /// Whether a segment was applied.
    pub fn is_applied(&self, segment: &SegmentId) -> Result<bool, IndexError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(APPLIED)?.get(segment.as_bytes())?.is_some())
    }

    /// How many segments were applied.
    pub fn applied_count(&self) -> Result<u64, IndexError> {
        use redb::ReadableTableMetadata as _;
        let read = self.database.begin_read()?;
        Ok(read.open_table(APPLIED)?.len()?)
    }

    /// The applied segment with the highest sequence of each line.
    pub fn applied_heads(&self) -> Result<Vec<LineHead>, IndexError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(LINES)?;
        let mut heads = Vec::new();
        for row in table.iter()? {
            let (line, row) = row?;
            let (device, sequence, segment, packs) = row.value();
            heads.push(LineHead {
                line: nuthatch_format::LineId::from_bytes(*line.value()),
                device: nuthatch_format::DeviceId::from_bytes(*device),
                sequence,
                segment: SegmentId::from_bytes(*segment),
                packs,
            });
        }
        Ok(heads)
    }
}

fn note_line(write: &WriteTransaction, head: &LineHead) -> Result<(), IndexError> {
    let mut lines = write.open_table(LINES)?;
    let known = lines.get(head.line.as_bytes())?.map(|row| row.value().1);
    if known.is_none_or(|sequence| sequence < head.sequence) {
        let row = (
            head.device.as_bytes(),
            head.sequence,
            head.segment.as_bytes(),
            head.packs,
        );
        lines.insert(head.line.as_bytes(), row)?;
    }
    Ok(())
}

/// Answers whether a retired pack came back.
fn apply_entry(
    write: &WriteTransaction,
    head: &LineHead,
    entry: &Entry,
    ordinal: &mut u64,
) -> Result<bool, IndexError> {
    match entry {
        Entry::PackAdded {
            pack,
            kind,
            len,
            header,
            directory,
        } => {
            let row = PackRow {
                id: *pack.as_bytes(),
                kind: PackKind::number(*kind),
                len: *len,
                header: header.clone(),
                directory: directory.clone(),
                device: *head.device.as_bytes(),
                line: *head.line.as_bytes(),
                ordinal: *ordinal,
            };
            *ordinal += 1;
            add_pack(write, &row)
        }
        Entry::StripeAdded { label } => add_stripe(write, head, label).map(|()| false),
        Entry::SnapshotAdded { id, line, sealed } => {
            add_snapshot(write, head, id, line, sealed).map(|()| false)
        }
        Entry::SnapshotForgotten { id } => {
            let mut forgotten = write.open_table(FORGOTTEN)?;
            forgotten.insert((id.as_bytes(), head.device.as_bytes()), ())?;
            Ok(false)
        }
        Entry::PackRetired { pack } => {
            write.open_table(RETIRED)?.insert(pack.as_bytes(), ())?;
            Ok(false)
        }
    }
}

pub(super) fn next(write: &WriteTransaction, counter: &str) -> Result<u64, IndexError> {
    let mut meta = write.open_table(META)?;
    let number = meta.get(counter)?.map_or(0, |row| row.value());
    meta.insert(counter, number + 1)?;
    Ok(number)
}

/// Answers whether the pack had been retired: a pack that is added anew counts again.
fn add_pack(write: &WriteTransaction, row: &PackRow) -> Result<bool, IndexError> {
    let number = next(write, META_NEXT_PACK)?;
    let bytes = encode_row("packs", row)?;
    write.open_table(PACKS)?.insert(number, bytes.as_slice())?;
    write.open_table(PACK_NUMBERS)?.insert((&row.id, number), ())?;
    write
        .open_table(ORDINALS)?
        .insert((&row.line, row.ordinal, number), ())?;
    let was_retired = write.open_table(RETIRED)?.remove(&row.id)?.is_some();
    match codec::decode::<PackDirectory>(&row.directory) {
        Ok(directory) => add_chunks(&mut write.open_table(CHUNKS)?, number, &directory)?,
        Err(error) => {
            let pack = PackId::from_bytes(row.id);
            tracing::warn!(?pack, %error, "a pack's directory in the journal cannot be read");
        }
    }
    refresh_pending(write, &PackId::from_bytes(row.id))?;
    Ok(was_retired)
}

fn add_chunks(
    table: &mut Table<'_, &'static [u8; CHUNK_KEY_LEN], (u32, u32)>,
    number: u64,
    directory: &PackDirectory,
) -> Result<(), IndexError> {
    let mut rows = Vec::new();
    for (section, entry) in (0_u32..).zip(&directory.sections) {
        let mut offset = 0_u32;
        for chunk in &entry.chunks {
            rows.push((chunk_key(&chunk.id, number, section), (offset, chunk.len)));
            // A decoded directory's chunks add up to its section, which is at most 1 MiB.
            offset = offset.saturating_add(chunk.len);
        }
    }
    // In the order of the keys, each page of the table is touched once, and a small page cache does.
    rows.sort_unstable();
    for (key, row) in &rows {
        table.insert(key, *row)?;
    }
    Ok(())
}

fn add_stripe(write: &WriteTransaction, head: &LineHead, signed: &[u8]) -> Result<(), IndexError> {
    let label = match SignedLabel::parse(signed) {
        Ok(label) => label,
        Err(error) => {
            tracing::warn!(%error, "a label in the journal cannot be read");
            return Ok(());
        }
    };
    if label.label().device != head.device {
        tracing::warn!(device = ?head.device, "a device has journalled a label of another");
        return Ok(());
    }
    let id = label.id();
    if write.open_table(STRIPES)?.get(id.as_bytes())?.is_some() {
        return Ok(());
    }
    let order = next(write, META_NEXT_ORDER)?;
    let facts = label.label();
    let row = StripeRow {
        order,
        line: *head.line.as_bytes(),
        sequence: head.sequence,
        pack: *facts.pack.as_bytes(),
        data: facts.scheme.data(),
        parity: facts.scheme.parity(),
        shard_len: facts.shard_len,
        device: *facts.device.as_bytes(),
        signed: signed.to_vec(),
    };
    let bytes = encode_row("stripes", &row)?;
    write
        .open_table(STRIPES)?
        .insert(id.as_bytes(), bytes.as_slice())?;
    write
        .open_table(PACK_STRIPES)?
        .insert((facts.pack.as_bytes(), order), id.as_bytes())?;
    refresh_pending(write, &facts.pack)
}

fn add_snapshot(
    write: &WriteTransaction,
    head: &LineHead,
    id: &SnapshotId,
    line: &SnapshotLine,
    sealed: &[u8],
) -> Result<(), IndexError> {
    if write.open_table(SNAPSHOTS)?.get(id.as_bytes())?.is_some() {
        return Ok(());
    }
    let row = SnapshotRow {
        order: next(write, META_NEXT_ORDER)?,
        device: *head.device.as_bytes(),
        line: *head.line.as_bytes(),
        sequence: head.sequence,
        segment: *head.segment.as_bytes(),
        time: line.time.0,
        tags: line.tags.clone(),
        bytes: line.bytes.0,
        files: line.files,
        group: line.group,
        parent: line.parent.map(|parent| *parent.as_bytes()),
    };
    let row = encode_row("snapshots", &row)?;
    write
        .open_table(SNAPSHOTS)?
        .insert(id.as_bytes(), row.as_slice())?;
    let listing = codec::encode(line);
    write
        .open_table(SNAPSHOT_BYTES)?
        .insert(id.as_bytes(), (listing.as_slice(), sealed))?;
    Ok(())
}
