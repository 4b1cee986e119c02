//! Packs and stripes known by their labels alone: what a steward has, which can open no segment. Who holds what is kept as for everybody.

use nuthatch_format::label::SignedLabel;
use nuthatch_format::pack::PackKind;
use nuthatch_format::{LabelId, LineId};
use redb::{ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::Catalogue;
use super::apply::next;
use super::packs::refresh_pending;
use super::tables::{
    META_NEXT_PACK, PACK_NUMBERS, PACK_STRIPES, PACKS, PackRow, STRIPES, StripeRow, encode_row,
};
use crate::index::IndexError;

/// Stripes of one pack whose segments stand at the same place of their lines (count): as many can be told apart.
const AT_ONE_PLACE_MAX: u64 = 1 << 20;

/// A label, and where in the journal it is named.
#[derive(Debug, Clone)]
pub struct PlacedLabel {
    /// The label; its signature was verified, and it is believed.
    pub label: SignedLabel,
    /// The line whose segment names it.
    pub line: LineId,
    /// That segment's place in it; of several, the last. Of two labels of a pack the one with the higher place counts as the newer.
    pub sequence: u64,
}

impl Catalogue {
    /// Notes stripes by their labels, in one durable commit; those that are known are passed over. Answers how many were new.
    pub fn add_labels(&self, labels: &[PlacedLabel]) -> Result<usize, IndexError> {
        let write = self.database.begin_write()?;
        let mut new_count = 0;
        for placed in labels {
            new_count += usize::from(add_label(&write, placed)?);
        }
        if new_count > 0 {
            write.commit()?;
        }
        Ok(new_count)
    }

    /// Those of these labels that no stripe here has.
    pub fn unknown_labels(&self, labels: &[LabelId]) -> Result<Vec<LabelId>, IndexError> {
        let read = self.database.begin_read()?;
        let stripes = read.open_table(STRIPES)?;
        let mut unknown = Vec::new();
        for label in labels {
            if stripes.get(label.as_bytes())?.is_none() {
                unknown.push(*label);
            }
        }
        Ok(unknown)
    }
}

fn add_label(write: &WriteTransaction, placed: &PlacedLabel) -> Result<bool, IndexError> {
    let (id, facts) = (placed.label.id(), placed.label.label());
    if write.open_table(STRIPES)?.get(id.as_bytes())?.is_some() {
        return Ok(false);
    }
    let is_known = write
        .open_table(PACK_NUMBERS)?
        .range((facts.pack.as_bytes(), 0)..=(facts.pack.as_bytes(), u64::MAX))?
        .next()
        .is_some();
    if !is_known {
        let row = PackRow {
            id: *facts.pack.as_bytes(),
            kind: PackKind::number(facts.kind),
            len: facts.pack_len,
            header: Vec::new(),
            directory: Vec::new(),
            device: *facts.device.as_bytes(),
            line: *placed.line.as_bytes(),
            ordinal: 0,
        };
        let number = next(write, META_NEXT_PACK)?;
        let bytes = encode_row("packs", &row)?;
        write.open_table(PACKS)?.insert(number, bytes.as_slice())?;
        write.open_table(PACK_NUMBERS)?.insert((&row.id, number), ())?;
    }
    let mut order = placed.sequence.saturating_mul(AT_ONE_PLACE_MAX);
    {
        let mut stripes = write.open_table(PACK_STRIPES)?;
        while stripes.get((facts.pack.as_bytes(), order))?.is_some() {
            order = order.saturating_add(1);
        }
        stripes.insert((facts.pack.as_bytes(), order), id.as_bytes())?;
    }
    let row = StripeRow {
        order,
        line: *placed.line.as_bytes(),
        sequence: placed.sequence,
        pack: *facts.pack.as_bytes(),
        data: facts.scheme.data(),
        parity: facts.scheme.parity(),
        shard_len: facts.shard_len,
        device: *facts.device.as_bytes(),
        signed: placed.label.bytes().to_vec(),
    };
    let bytes = encode_row("stripes", &row)?;
    write
        .open_table(STRIPES)?
        .insert(id.as_bytes(), bytes.as_slice())?;
    refresh_pending(write, &facts.pack)?;
    Ok(true)
}
