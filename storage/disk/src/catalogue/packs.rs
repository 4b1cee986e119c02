//! Packs, their stripes, and which of them still wait for holders.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::pack::PackKind;
use nuthatch_format::{ByteCount, DeviceId, LabelId, LineId, PackId};
use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable, WriteTransaction};

use super::Catalogue;
use super::holders::{Holder, holders_of};
use super::tables::{
    Bytes32, HOLDER_KEY_LEN, HOLDERS, PACK_NUMBERS, PACK_STRIPES, PACKS, PENDING, PackRow, STRIPES,
    StripeRow, decode_row, holder_key_parts, holder_range,
};
use crate::index::IndexError;

/// A pack as one segment added it, numbered in the order in which this catalogue learned of it. Not the same after a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackNumber(pub u64);

/// What a device's journal says of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRecord {
    /// Its number here.
    pub number: PackNumber,
    /// The pack.
    pub id: PackId,
    /// What it holds.
    pub kind: PackKind,
    /// Its length.
    pub len: ByteCount,
    /// Its header, as [`nuthatch_format::pack::read_header`] reads it.
    pub header: Vec<u8>,
    /// Its directory in canonical form.
    pub directory: Vec<u8>,
    /// Who says so.
    pub device: DeviceId,
    /// In which line.
    pub line: LineId,
    /// As which of its packs.
    pub ordinal: u64,
}

/// What the journal says of a stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeRecord {
    /// Its label's name.
    pub label: LabelId,
    /// The pack that it codes.
    pub pack: PackId,
    /// Its shape.
    pub scheme: Scheme,
    /// Length of each shard.
    pub shard_len: ByteCount,
    /// Who signed the label, and journalled it.
    pub device: DeviceId,
    /// The line whose segment added it here first.
    pub line: LineId,
    /// That segment's place in it.
    pub sequence: u64,
    /// The signed label's bytes.
    pub signed: Vec<u8>,
}

impl StripeRecord {
    /// The label itself.
    pub fn signed_label(&self) -> Result<SignedLabel, IndexError> {
        SignedLabel::parse(&self.signed).map_err(|_| IndexError::BadValue { table: "stripes" })
    }
}

/// A stripe and who holds its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeFacts {
    /// Its label.
    pub label: LabelId,
    /// Its shape.
    pub scheme: Scheme,
    /// Length of each shard.
    pub shard_len: ByteCount,
    /// Who signed the label, and journalled it.
    pub device: DeviceId,
    /// The line whose segment added it here first.
    pub line: LineId,
    /// That segment's place in it.
    pub sequence: u64,
    /// Who holds which shard, in the order of the shards.
    pub holders: Vec<Holder>,
}

impl StripeFacts {
    /// Shards that nobody is known to hold.
    pub fn missing_count(&self) -> usize {
        let held: BTreeSet<_> = self.holders.iter().map(|holder| holder.index).collect();
        let is_missing = |index: &ShardIndex| !held.contains(index);
        self.scheme.indices().filter(is_missing).count()
    }
}

/// A pack, once for all its numbers, with its stripes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFacts {
    /// The first of its numbers.
    pub number: PackNumber,
    /// The pack.
    pub id: PackId,
    /// What it holds.
    pub kind: PackKind,
    /// Its length.
    pub len: ByteCount,
    /// Its stripes, the newest last; none when it was never coded.
    pub stripes: Vec<StripeFacts>,
}

impl Catalogue {
    /// What the journal says of a pack.
    pub fn pack(&self, number: PackNumber) -> Result<Option<PackRecord>, IndexError> {
        let read = self.database.begin_read()?;
        pack_record(&read, number)
    }

    /// The numbers of a pack, one for each segment that added it, the first first.
    pub fn pack_numbers(&self, pack: &PackId) -> Result<Vec<PackNumber>, IndexError> {
        let read = self.database.begin_read()?;
        numbers_of(&read.open_table(PACK_NUMBERS)?, pack)
    }

    /// How many numbers were given to packs.
    pub fn pack_count(&self) -> Result<u64, IndexError> {
        use redb::ReadableTableMetadata as _;
        let read = self.database.begin_read()?;
        Ok(read.open_table(PACKS)?.len()?)
    }

    /// A stripe by its label.
    pub fn stripe(&self, label: &LabelId) -> Result<Option<StripeRecord>, IndexError> {
        let read = self.database.begin_read()?;
        stripe_record(&read, label)
    }

    /// The stripes of a pack, the newest last.
    pub fn stripes_of(&self, pack: &PackId) -> Result<Vec<StripeRecord>, IndexError> {
        let read = self.database.begin_read()?;
        let mut records = Vec::new();
        for label in labels_of(&read.open_table(PACK_STRIPES)?, pack)? {
            records.extend(stripe_record(&read, &label)?);
        }
        Ok(records)
    }

    /// Who holds the shards of a pack, and since when that is known; `None` for a number that no pack has.
    pub fn pack_facts(&self, number: PackNumber) -> Result<Option<PackFacts>, IndexError> {
        let read = self.database.begin_read()?;
        pack_facts(&read, number)
    }

    /// Packs without a stripe, or with a device whose newest stripe of the pack has a shard that nobody is known to hold, in the order of
    /// their first numbers, after a given one, at most `limit`. A stripe of one device never hides that another's is not complete.
    pub fn pending_page(
        &self,
        after: Option<PackNumber>,
        limit: usize,
    ) -> Result<Vec<PackFacts>, IndexError> {
        let read = self.database.begin_read()?;
        let first = after.map_or(0, |number| number.0.saturating_add(1));
        let mut page = Vec::new();
        for row in read.open_table(PENDING)?.range(first..)?.take(limit) {
            page.extend(pack_facts(&read, PackNumber(row?.0.value()))?);
        }
        Ok(page)
    }

    /// All packs, each once, in the order of their first numbers, after a given one, at most `limit`.
    pub fn packs_page(&self, after: Option<PackNumber>, limit: usize) -> Result<Vec<PackFacts>, IndexError> {
        let read = self.database.begin_read()?;
        let first = after.map_or(0, |number| number.0.saturating_add(1));
        let mut page = Vec::new();
        for row in read.open_table(PACKS)?.range(first..)? {
            if page.len() >= limit {
                break;
            }
            let number = PackNumber(row?.0.value());
            let facts = pack_facts(&read, number)?;
            page.extend(facts.filter(|facts| facts.number == number));
        }
        Ok(page)
    }
}

fn pack_row(read: &ReadTransaction, number: PackNumber) -> Result<Option<PackRow>, IndexError> {
    let row = read.open_table(PACKS)?.get(number.0)?;
    row.map(|row| decode_row("packs", row.value())).transpose()
}

fn pack_record(read: &ReadTransaction, number: PackNumber) -> Result<Option<PackRecord>, IndexError> {
    let Some(row) = pack_row(read, number)? else {
        return Ok(None);
    };
    Ok(Some(PackRecord {
        number,
        id: PackId::from_bytes(row.id),
        kind: kind_of(row.kind)?,
        len: ByteCount(row.len),
        header: row.header,
        directory: row.directory,
        device: DeviceId::from_bytes(row.device),
        line: LineId::from_bytes(row.line),
        ordinal: row.ordinal,
    }))
}

fn kind_of(number: u8) -> Result<PackKind, IndexError> {
    [PackKind::Data, PackKind::Meta]
        .into_iter()
        .find(|kind| kind.number() == number)
        .ok_or(IndexError::BadValue { table: "packs" })
}

pub(super) fn stripe_row<T>(table: &T, label: &LabelId) -> Result<Option<StripeRow>, IndexError>
where
    T: ReadableTable<Bytes32, &'static [u8]>,
{
    let row = table.get(label.as_bytes())?;
    row.map(|row| decode_row("stripes", row.value())).transpose()
}

fn scheme_of(row: &StripeRow) -> Result<Scheme, IndexError> {
    Scheme::new(row.data, row.parity).map_err(|_| IndexError::BadValue { table: "stripes" })
}

fn stripe_record(read: &ReadTransaction, label: &LabelId) -> Result<Option<StripeRecord>, IndexError> {
    let Some(row) = stripe_row(&read.open_table(STRIPES)?, label)? else {
        return Ok(None);
    };
    Ok(Some(StripeRecord {
        label: *label,
        pack: PackId::from_bytes(row.pack),
        scheme: scheme_of(&row)?,
        shard_len: ByteCount(row.shard_len),
        device: DeviceId::from_bytes(row.device),
        line: LineId::from_bytes(row.line),
        sequence: row.sequence,
        signed: row.signed,
    }))
}

pub(super) fn numbers_of<T>(table: &T, pack: &PackId) -> Result<Vec<PackNumber>, IndexError>
where
    T: ReadableTable<(Bytes32, u64), ()>,
{
    let range = table.range((pack.as_bytes(), 0)..=(pack.as_bytes(), u64::MAX))?;
    range.map(|row| Ok(PackNumber(row?.0.value().1))).collect()
}

fn labels_of<T>(table: &T, pack: &PackId) -> Result<Vec<LabelId>, IndexError>
where
    T: ReadableTable<(Bytes32, u64), Bytes32>,
{
    let range = table.range((pack.as_bytes(), 0)..=(pack.as_bytes(), u64::MAX))?;
    range
        .map(|row| Ok(LabelId::from_bytes(*row?.1.value())))
        .collect()
}

fn pack_facts(read: &ReadTransaction, number: PackNumber) -> Result<Option<PackFacts>, IndexError> {
    let Some(row) = pack_row(read, number)? else {
        return Ok(None);
    };
    let id = PackId::from_bytes(row.id);
    let numbers = numbers_of(&read.open_table(PACK_NUMBERS)?, &id)?;
    let stripes_table = read.open_table(STRIPES)?;
    let mut stripes = Vec::new();
    for label in labels_of(&read.open_table(PACK_STRIPES)?, &id)? {
        let Some(row) = stripe_row(&stripes_table, &label)? else {
            return Err(IndexError::BadValue {
                table: "pack stripes",
            });
        };
        let mut holders = holders_of(read, &label)?;
        // A host may have named any index before the stripe was known.
        holders.retain(|holder| usize::from(holder.index.0) < shards_of(&row));
        stripes.push(StripeFacts {
            label,
            scheme: scheme_of(&row)?,
            shard_len: ByteCount(row.shard_len),
            device: DeviceId::from_bytes(row.device),
            line: LineId::from_bytes(row.line),
            sequence: row.sequence,
            holders,
        });
    }
    Ok(Some(PackFacts {
        number: numbers.first().copied().unwrap_or(number),
        id,
        kind: kind_of(row.kind)?,
        len: ByteCount(row.len),
        stripes,
    }))
}

/// Brings the pack's place in the pending table up to date, in the same commit as whatever changed it.
pub(super) fn refresh_pending(write: &WriteTransaction, pack: &PackId) -> Result<(), IndexError> {
    let Some(number) = numbers_of(&write.open_table(PACK_NUMBERS)?, pack)?
        .first()
        .copied()
    else {
        // Its label or its holders became known before the pack itself.
        return Ok(());
    };
    let mut newest = BTreeMap::new();
    for label in labels_of(&write.open_table(PACK_STRIPES)?, pack)? {
        if let Some(row) = stripe_row(&write.open_table(STRIPES)?, &label)? {
            newest.insert(
                row.device,
                (label, usize::from(row.data) + usize::from(row.parity)),
            );
        }
    }
    let mut is_pending = newest.is_empty();
    for (label, shard_count) in newest.values() {
        is_pending = is_pending || !is_fully_held(write, label, *shard_count)?;
    }
    let mut pending = write.open_table(PENDING)?;
    if is_pending {
        pending.insert(number.0, ())?;
    } else {
        pending.remove(number.0)?;
    }
    Ok(())
}

fn is_fully_held(write: &WriteTransaction, label: &LabelId, shard_count: usize) -> Result<bool, IndexError> {
    let holders = write.open_table(HOLDERS)?;
    let (first, last) = holder_range(label);
    let mut held = BTreeSet::new();
    for row in holders.range::<&[u8; HOLDER_KEY_LEN]>(&first..=&last)? {
        let (_, index, _) = holder_key_parts(row?.0.value());
        if usize::from(index.0) < shard_count {
            held.insert(index);
        }
    }
    Ok(held.len() == shard_count)
}

/// How many shards the stripe of a label has, when it is known.
pub(super) fn shard_count<T>(stripes: &T, label: &LabelId) -> Result<Option<usize>, IndexError>
where
    T: ReadableTable<Bytes32, &'static [u8]>,
{
    Ok(stripe_row(stripes, label)?.map(|row| shards_of(&row)))
}

fn shards_of(row: &StripeRow) -> usize {
    usize::from(row.data) + usize::from(row.parity)
}

/// The pack that a label codes, when the label is known.
pub(super) fn pack_of_label(write: &WriteTransaction, label: &LabelId) -> Result<Option<PackId>, IndexError> {
    let row = stripe_row(&write.open_table(STRIPES)?, label)?;
    Ok(row.map(|row| PackId::from_bytes(row.pack)))
}
