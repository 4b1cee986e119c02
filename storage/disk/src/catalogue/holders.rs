//! Who holds which shard and which part of the journal, and when that was last shown.

use std::collections::BTreeSet;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{LabelId, LineId, NodeId, PackId, Timestamp};
use redb::{
    ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, WriteTransaction,
};

use super::Catalogue;
use super::packs::{pack_of_label, refresh_pending, shard_count};
use super::tables::{
    DISPROVEN, HOLDER_KEY_LEN, HOLDERS, HOLDINGS, HOSTS, JOURNAL_HOSTS, STRIPES, holder_key,
    holder_key_parts, holder_range, holding_key, holding_key_shard,
};
use crate::index::IndexError;

/// A node that is known to hold a shard of a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Which shard.
    pub index: ShardIndex,
    /// Who.
    pub node: NodeId,
    /// When that was last shown: by a receipt, or by an inventory of the node that agreed with what stands here.
    pub evidence_at: Timestamp,
    /// When the node signed for this very shard, or an inventory first showed it.
    pub received_at: Timestamp,
}

/// A shard that a node is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldShard {
    /// The stripe's label.
    pub label: LabelId,
    /// Which shard.
    pub index: ShardIndex,
}

/// A node that has signed for a line of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalHost {
    /// Who.
    pub node: NodeId,
    /// The newest sequence that it has signed for.
    pub sequence: u64,
    /// When.
    pub receipt_at: Timestamp,
}

impl Catalogue {
    /// Records that a node holds a shard, by its receipt of that time. The newest receipt counts.
    pub fn add_holder(
        &self,
        shard: HeldShard,
        node: &NodeId,
        receipt_at: Timestamp,
    ) -> Result<(), IndexError> {
        self.add_holders(&[(shard, *node, receipt_at)])
    }

    /// As [`Catalogue::add_holder`] for many, in one durable commit.
    pub fn add_holders(&self, holders: &[(HeldShard, NodeId, Timestamp)]) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        let mut touched = BTreeSet::new();
        for (shard, node, receipt_at) in holders {
            add(&write, *shard, node, *receipt_at)?;
            touched.insert(shard.label);
        }
        refresh(&write, &touched)?;
        Ok(write.commit()?)
    }

    /// Records that a node does not hold a shard.
    pub fn remove_holder(&self, shard: HeldShard, node: &NodeId) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        remove(&write, shard, node)?;
        refresh(&write, &BTreeSet::from([shard.label]))?;
        Ok(write.commit()?)
    }

    /// Those of these shards that a stripe here has. Of what hosts name beyond that nothing is known, and they could name without end.
    pub fn known_shards(&self, shards: &[HeldShard]) -> Result<Vec<HeldShard>, IndexError> {
        let read = self.database.begin_read()?;
        let stripes = read.open_table(STRIPES)?;
        let mut known = Vec::new();
        for shard in shards {
            if shard_count(&stripes, &shard.label)?.is_some_and(|count| usize::from(shard.index.0) < count) {
                known.push(*shard);
            }
        }
        Ok(known)
    }

    /// Records that a node holds just these shards among those whose label begins with the byte `prefix`, by its inventory of that time.
    /// Shards that it was known to hold keep their receipts. What an audit has disproven is left out: a claim does not bring it back.
    pub fn replace_holdings(
        &self,
        node: &NodeId,
        prefix: u8,
        shards: &[HeldShard],
        inventory_at: Timestamp,
    ) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        let shown: BTreeSet<HeldShard> = shards
            .iter()
            .filter(|shard| shard.label.as_bytes().first() == Some(&prefix))
            .copied()
            .collect();
        let shown = without_disproven(&write, node, shown)?;
        let (first, last) = prefix_range(node, prefix);
        let known: BTreeSet<HeldShard> = {
            let table = write.open_table(HOLDINGS)?;
            let range = table.range::<&[u8; HOLDER_KEY_LEN]>(&first..=&last)?;
            range
                .map(|row| Ok(held_shard(row?.0.value())))
                .collect::<Result<_, IndexError>>()?
        };
        let mut touched = BTreeSet::new();
        for shard in known.difference(&shown) {
            remove(&write, *shard, node)?;
            touched.insert(shard.label);
        }
        for shard in shown.difference(&known) {
            add(&write, *shard, node, inventory_at)?;
            touched.insert(shard.label);
        }
        refresh(&write, &touched)?;
        Ok(write.commit()?)
    }

    /// Records that a node's signed inventory of that time agreed with what stands here: evidence for every shard that it holds.
    pub fn set_inventory(&self, node: &NodeId, confirmed_at: Timestamp) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        {
            let mut hosts = write.open_table(HOSTS)?;
            let known = hosts.get(node.as_bytes())?.map_or(0, |row| row.value());
            hosts.insert(node.as_bytes(), known.max(confirmed_at.0))?;
        }
        Ok(write.commit()?)
    }

    /// When a node's inventory last agreed with what stands here.
    pub fn inventory_confirmed_at(&self, node: &NodeId) -> Result<Option<Timestamp>, IndexError> {
        let read = self.database.begin_read()?;
        Ok(confirmed_at(&read, node)?.map(Timestamp))
    }

    /// The shards that a node is known to hold whose label begins with the byte `prefix`, in the order of inventories (label, then
    /// index), after a given one, at most `limit`.
    pub fn holdings_of(
        &self,
        node: &NodeId,
        prefix: u8,
        after: Option<HeldShard>,
        limit: usize,
    ) -> Result<Vec<HeldShard>, IndexError> {
        let read = self.database.begin_read()?;
        let (first, last) = prefix_range(node, prefix);
        let table = read.open_table(HOLDINGS)?;
        let from = after.map_or(first, |after| {
            holding_key(node, &after.label, after.index).max(first)
        });
        let mut shards = Vec::new();
        if from > last {
            return Ok(shards);
        }
        for row in table.range::<&[u8; HOLDER_KEY_LEN]>(&from..=&last)? {
            if shards.len() >= limit {
                break;
            }
            let shard = held_shard(row?.0.value());
            if after.is_none_or(|after| shard > after) {
                shards.push(shard);
            }
        }
        Ok(shards)
    }

    /// Who holds the shards of a stripe, in the order of the shards.
    pub fn holders(&self, label: &LabelId) -> Result<Vec<Holder>, IndexError> {
        holders_of(&self.database.begin_read()?, label)
    }

    /// Records that a node has signed for all segments of a line up to this sequence.
    pub fn add_journal_host(
        &self,
        line: &LineId,
        node: &NodeId,
        sequence: u64,
        receipt_at: Timestamp,
    ) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(JOURNAL_HOSTS)?;
            let key = (line.as_bytes(), node.as_bytes());
            let known = table.get(key)?.map(|row| row.value());
            if known.is_none_or(|known| known <= (sequence, receipt_at.0)) {
                table.insert(key, (sequence, receipt_at.0))?;
            }
        }
        Ok(write.commit()?)
    }

    /// Forgets that a node has segments of a line: it shows less than it signed for.
    pub fn remove_journal_host(&self, line: &LineId, node: &NodeId) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        write
            .open_table(JOURNAL_HOSTS)?
            .remove((line.as_bytes(), node.as_bytes()))?;
        Ok(write.commit()?)
    }

    /// Who has signed for a line, and how far.
    pub fn journal_hosts(&self, line: &LineId) -> Result<Vec<JournalHost>, IndexError> {
        let read = self.database.begin_read()?;
        let (first, last) = ([0; 32], [u8::MAX; 32]);
        let table = read.open_table(JOURNAL_HOSTS)?;
        let mut hosts = Vec::new();
        for row in table.range((line.as_bytes(), &first)..=(line.as_bytes(), &last))? {
            let (key, row) = row?;
            let (sequence, receipt_at) = row.value();
            hosts.push(JournalHost {
                node: NodeId::from_bytes(*key.value().1),
                sequence,
                receipt_at: Timestamp(receipt_at),
            });
        }
        Ok(hosts)
    }
}

fn add(write: &WriteTransaction, shard: HeldShard, node: &NodeId, at: Timestamp) -> Result<(), IndexError> {
    let mut holders = write.open_table(HOLDERS)?;
    let key = holder_key(&shard.label, shard.index, node);
    let known = holders.get(&key)?.map_or(0, |row| row.value());
    holders.insert(&key, known.max(at.0))?;
    write.open_table(DISPROVEN)?.remove(&key)?;
    let mut holdings = write.open_table(HOLDINGS)?;
    holdings.insert(&holding_key(node, &shard.label, shard.index), ())?;
    Ok(())
}

fn without_disproven(
    write: &WriteTransaction,
    node: &NodeId,
    shards: BTreeSet<HeldShard>,
) -> Result<BTreeSet<HeldShard>, IndexError> {
    let disproven = write.open_table(DISPROVEN)?;
    if disproven.is_empty()? {
        return Ok(shards);
    }
    let mut left = BTreeSet::new();
    for shard in shards {
        if disproven
            .get(&holder_key(&shard.label, shard.index, node))?
            .is_none()
        {
            left.insert(shard);
        }
    }
    Ok(left)
}

pub(super) fn remove(write: &WriteTransaction, shard: HeldShard, node: &NodeId) -> Result<(), IndexError> {
    let mut holders = write.open_table(HOLDERS)?;
    holders.remove(&holder_key(&shard.label, shard.index, node))?;
    let mut holdings = write.open_table(HOLDINGS)?;
    holdings.remove(&holding_key(node, &shard.label, shard.index))?;
    Ok(())
}

pub(super) fn refresh(write: &WriteTransaction, labels: &BTreeSet<LabelId>) -> Result<(), IndexError> {
    let mut packs: BTreeSet<PackId> = BTreeSet::new();
    for label in labels {
        packs.extend(pack_of_label(write, label)?);
    }
    packs.iter().try_for_each(|pack| refresh_pending(write, pack))
}

fn confirmed_at(read: &ReadTransaction, node: &NodeId) -> Result<Option<u64>, IndexError> {
    let row = read.open_table(HOSTS)?.get(node.as_bytes())?;
    Ok(row.map(|row| row.value()))
}

pub(super) fn holders_of(read: &ReadTransaction, label: &LabelId) -> Result<Vec<Holder>, IndexError> {
    let table = read.open_table(HOLDERS)?;
    let (first, last) = holder_range(label);
    let mut holders = Vec::new();
    for row in table.range::<&[u8; HOLDER_KEY_LEN]>(&first..=&last)? {
        let (key, receipt_at) = row?;
        let (_, index, node) = holder_key_parts(key.value());
        let confirmed = confirmed_at(read, &node)?.unwrap_or(0);
        holders.push(Holder {
            index,
            node,
            evidence_at: Timestamp(receipt_at.value().max(confirmed)),
            received_at: Timestamp(receipt_at.value()),
        });
    }
    Ok(holders)
}

pub(super) fn prefix_range(node: &NodeId, prefix: u8) -> ([u8; HOLDER_KEY_LEN], [u8; HOLDER_KEY_LEN]) {
    let mut first_label = [0; LabelId::LEN];
    first_label[0] = prefix;
    let mut last_label = [u8::MAX; LabelId::LEN];
    last_label[0] = prefix;
    (
        holding_key(node, &LabelId::from_bytes(first_label), ShardIndex(0)),
        holding_key(node, &LabelId::from_bytes(last_label), ShardIndex(u8::MAX)),
    )
}

pub(super) fn held_shard(key: &[u8; HOLDER_KEY_LEN]) -> HeldShard {
    let (label, index) = holding_key_shard(key);
    HeldShard { label, index }
}
