//! How far the audits of each host have come, and which of its claims they have disproven. Draws and judges nothing.

use std::collections::BTreeSet;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::pack::PackKind;
use nuthatch_format::{ByteCount, LabelId, NodeId, Timestamp};
use redb::{ReadableDatabase as _, WriteTransaction};

use super::Catalogue;
use super::holders::{HeldShard, held_shard, prefix_range, refresh, remove};
use super::packs::stripe_row;
use super::tables::{
    AUDITS, AuditRow, DISPROVEN, HOLDER_KEY_LEN, HOLDERS, HOLDINGS, STRIPES, decode_row, encode_row,
    holder_key,
};
use crate::index::IndexError;

/// A challenge that is not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenChallenge {
    /// The shard.
    pub shard: HeldShard,
    /// Which of its groups, from 0.
    pub group: u32,
}

/// How far the audits of a host have come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditBook {
    /// The last metadata shard that the sweep came to, in the order of names.
    pub meta_after: Option<HeldShard>,
    /// The same of data.
    pub data_after: Option<HeldShard>,
    /// Shards (count) that a sweep over all of them has still to come to; `None` when there is no such sweep.
    pub sweep_left: Option<u64>,
    /// What was asked, or is to be asked, and is not answered.
    pub open: Vec<OpenChallenge>,
}

/// What a label says of a shard that a host is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardShape {
    /// Its length.
    pub len: ByteCount,
    /// What its pack holds.
    pub kind: PackKind,
}

impl Catalogue {
    /// How far the audits of a host have come.
    pub fn audit_book(&self, node: &NodeId) -> Result<AuditBook, IndexError> {
        let read = self.database.begin_read()?;
        let row = read.open_table(AUDITS)?.get(node.as_bytes())?;
        let row: AuditRow = row.map_or_else(
            || Ok(AuditRow::default()),
            |row| decode_row("audits", row.value()),
        )?;
        Ok(AuditBook {
            meta_after: row.meta_after.map(shard),
            data_after: row.data_after.map(shard),
            sweep_left: row.sweep_left,
            open: row
                .open
                .into_iter()
                .map(|(label, index, group)| OpenChallenge {
                    shard: shard((label, index)),
                    group,
                })
                .collect(),
        })
    }

    /// Replaces it, and records that the host does not hold these shards, all in one durable commit.
    pub fn set_audit_book(
        &self,
        node: &NodeId,
        book: &AuditBook,
        disproven: &BTreeSet<HeldShard>,
        at: Timestamp,
    ) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        put_book(&write, node, book)?;
        for shard in disproven {
            remove(&write, *shard, node)?;
            let key = holder_key(&shard.label, shard.index, node);
            write.open_table(DISPROVEN)?.insert(&key, at.0)?;
        }
        refresh(&write, &disproven.iter().map(|shard| shard.label).collect())?;
        Ok(write.commit()?)
    }

    /// Whether a node is known to hold a shard.
    pub fn is_held_by(&self, shard: HeldShard, node: &NodeId) -> Result<bool, IndexError> {
        let read = self.database.begin_read()?;
        let key = holder_key(&shard.label, shard.index, node);
        Ok(read.open_table(HOLDERS)?.get(&key)?.is_some())
    }

    /// Whether an audit has shown that a node does not hold a shard, and nothing since that it does.
    pub fn is_disproven(&self, shard: HeldShard, node: &NodeId) -> Result<bool, IndexError> {
        let read = self.database.begin_read()?;
        let key = holder_key(&shard.label, shard.index, node);
        Ok(read.open_table(DISPROVEN)?.get(&key)?.is_some())
    }

    /// Shows every shard of a known stripe that a node is known to hold, in the order of inventories.
    pub fn each_held(
        &self,
        node: &NodeId,
        mut show: impl FnMut(HeldShard, ShardShape),
    ) -> Result<(), IndexError> {
        let read = self.database.begin_read()?;
        let (table, stripes) = (read.open_table(HOLDINGS)?, read.open_table(STRIPES)?);
        let (first, last) = (prefix_range(node, 0).0, prefix_range(node, u8::MAX).1);
        for row in table.range::<&[u8; HOLDER_KEY_LEN]>(&first..=&last)? {
            let held = held_shard(row?.0.value());
            let Some(stripe) = stripe_row(&stripes, &held.label)? else {
                continue;
            };
            if held.index.0 >= stripe.data.saturating_add(stripe.parity) {
                continue;
            }
            let label =
                SignedLabel::parse(&stripe.signed).map_err(|_| IndexError::BadValue { table: "stripes" })?;
            let shape = ShardShape {
                len: ByteCount(stripe.shard_len),
                kind: label.label().kind,
            };
            show(held, shape);
        }
        Ok(())
    }
}

fn put_book(write: &WriteTransaction, node: &NodeId, book: &AuditBook) -> Result<(), IndexError> {
    let place = |shard: HeldShard| (*shard.label.as_bytes(), shard.index.0);
    let row = AuditRow {
        meta_after: book.meta_after.map(place),
        data_after: book.data_after.map(place),
        sweep_left: book.sweep_left,
        open: book
            .open
            .iter()
            .map(|open| (*open.shard.label.as_bytes(), open.shard.index.0, open.group))
            .collect(),
    };
    let bytes = encode_row("audits", &row)?;
    write
        .open_table(AUDITS)?
        .insert(node.as_bytes(), bytes.as_slice())?;
    Ok(())
}

fn shard((label, index): ([u8; 32], u8)) -> HeldShard {
    HeldShard {
        label: LabelId::from_bytes(label),
        index: ShardIndex(index),
    }
}
