//! The vault's index: which shards of which archives lie here, in the order of inventories.
//!
//! A cache of the files. Its commits are not synced one by one: when the process was killed, the next opening reads the directories
//! again, so the index never says more or less than the files do.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{ArchiveId, ByteCount, LabelId};
use parking_lot::Mutex;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::layout::ShardPlace;
use crate::index::{self, Found, IndexError};

/// Archive, label and index, in this order, to the length in bytes.
const SHARDS: TableDefinition<&[u8; KEY_LEN], u64> = TableDefinition::new("shards");
/// Whether the index was closed in order and says what the files say.
const STATE: TableDefinition<&str, bool> = TableDefinition::new("state");
const IS_CLEAN: &str = "is clean";

const KEY_LEN: usize = 65;
/// Memory for its page cache, in bytes.
const CACHE_LEN_MAX: usize = 1 << 20;
/// Commits that may be unsynced together: redb frees the space of replaced pages only when it syncs.
const UNSYNCED_COMMITS_MAX: u32 = 64;

/// A shard that a vault holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The stripe's label.
    pub label: LabelId,
    /// Which shard of the stripe.
    pub index: ShardIndex,
    /// Its length.
    pub len: ByteCount,
}

/// What a vault holds for one archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of shards.
    pub bytes: ByteCount,
    /// Number of shards.
    pub shard_count: u64,
}

#[derive(Debug)]
pub(super) struct VaultIndex {
    database: Database,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    usage: BTreeMap<ArchiveId, Usage>,
    unsynced_commit_count: u32,
    /// A change failed half-way: the index may not say what the files are.
    is_behind: bool,
}

impl Drop for VaultIndex {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the vault's index is read from its files at the next start");
        }
    }
}

impl VaultIndex {
    /// Opens the index; when it cannot be trusted, fills it with what `scan` finds and hands to the given sink.
    pub(super) fn open<E: From<IndexError>>(
        path: &Path,
        scan: impl FnOnce(&mut Sink<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (database, found) = index::open(path, CACHE_LEN_MAX)?;
        if found == Found::Intact && read_is_clean(&database)? {
            begin_life(&database)?;
        } else {
            rebuild(&database, scan)?;
        }
        let usage = read_usage(&database)?;
        Ok(Self {
            database,
            state: Mutex::new(State {
                usage,
                unsynced_commit_count: 0,
                is_behind: false,
            }),
        })
    }

    pub(super) fn put(&self, place: &ShardPlace, len: ByteCount) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        let old = self.change(&mut state, |table| {
            let old = table.insert(&key(place), len.0)?;
            Ok(old.map(|len| len.value()))
        })?;
        let usage = state.usage.entry(place.archive).or_default();
        usage.bytes = usage
            .bytes
            .saturating_sub(ByteCount(old.unwrap_or(0)))
            .saturating_add(len);
        usage.shard_count += u64::from(old.is_none());
        Ok(())
    }

    pub(super) fn remove(&self, place: &ShardPlace) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        let old = self.change(&mut state, |table| {
            let old = table.remove(&key(place))?;
            Ok(old.map(|len| len.value()))
        })?;
        if let (Some(len), Some(usage)) = (old, state.usage.get_mut(&place.archive)) {
            usage.bytes = usage.bytes.saturating_sub(ByteCount(len));
            usage.shard_count = usage.shard_count.saturating_sub(1);
            if usage.shard_count == 0 {
                state.usage.remove(&place.archive);
            }
        }
        Ok(())
    }

    /// Says that the files may be other than the index: the next opening reads them.
    pub(super) fn distrust(&self) {
        self.state.lock().is_behind = true;
    }

    fn change(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut redb::Table<'_, &'static [u8; KEY_LEN], u64>) -> Result<Option<u64>, IndexError>,
    ) -> Result<Option<u64>, IndexError> {
        let changed = self.try_change(state, change);
        state.is_behind |= changed.is_err();
        changed
    }

    fn try_change(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut redb::Table<'_, &'static [u8; KEY_LEN], u64>) -> Result<Option<u64>, IndexError>,
    ) -> Result<Option<u64>, IndexError> {
        let mut write = self.database.begin_write()?;
        state.unsynced_commit_count += 1;
        if state.unsynced_commit_count < UNSYNCED_COMMITS_MAX {
            write.set_durability(Durability::None)?;
        } else {
            state.unsynced_commit_count = 0;
        }
        let old = change(&mut write.open_table(SHARDS)?)?;
        write.commit()?;
        Ok(old)
    }

    pub(super) fn len(&self, place: &ShardPlace) -> Result<Option<ByteCount>, IndexError> {
        let read = self.database.begin_read()?;
        let len = read.open_table(SHARDS)?.get(&key(place))?;
        Ok(len.map(|len| ByteCount(len.value())))
    }

    /// Shards from `first` to `last`, both included, at most `limit`.
    pub(super) fn range(
        &self,
        first: &ShardPlace,
        last: &ShardPlace,
        limit: usize,
    ) -> Result<Vec<Holding>, IndexError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(SHARDS)?;
        let mut holdings = Vec::new();
        for row in table
            .range::<&[u8; KEY_LEN]>(&key(first)..=&key(last))?
            .take(limit)
        {
            let (row_key, len) = row?;
            let place = place_of(row_key.value());
            holdings.push(Holding {
                label: place.label,
                index: place.index,
                len: ByteCount(len.value()),
            });
        }
        Ok(holdings)
    }

    /// The shard behind another; the first one behind none.
    pub(super) fn next(
        &self,
        after: Option<&ShardPlace>,
    ) -> Result<Option<(ShardPlace, ByteCount)>, IndexError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(SHARDS)?;
        let after = after.map(key);
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = table.range::<&[u8; KEY_LEN]>((from, Bound::Unbounded))?;
        let row = rows.next().transpose()?;
        Ok(row.map(|(key, len)| (place_of(key.value()), ByteCount(len.value()))))
    }

    pub(super) fn usages(&self) -> Vec<(ArchiveId, Usage)> {
        self.state
            .lock()
            .usage
            .iter()
            .map(|(id, usage)| (*id, *usage))
            .collect()
    }

    /// Says that the index is what the files are, if it is. Otherwise the next opening reads the directories.
    fn close(&self) -> Result<(), IndexError> {
        if self.state.lock().is_behind {
            return Ok(());
        }
        let write = self.database.begin_write()?;
        write.open_table(STATE)?.insert(IS_CLEAN, true)?;
        Ok(write.commit()?)
    }
}

fn read_is_clean(database: &Database) -> Result<bool, IndexError> {
    let read = database.begin_read()?;
    let table = match read.open_table(STATE) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(false),
        other => other?,
    };
    Ok(table.get(IS_CLEAN)?.is_some_and(|flag| flag.value()))
}

/// Takes one shard that a scan found.
pub(super) type Sink<'a> = dyn FnMut(&ShardPlace, ByteCount) -> Result<(), IndexError> + 'a;

/// From here on, only [`VaultIndex::close`] makes the index trusted again.
fn begin_life(database: &Database) -> Result<(), IndexError> {
    let write = database.begin_write()?;
    write.open_table(STATE)?.insert(IS_CLEAN, false)?;
    write.open_table(SHARDS)?;
    Ok(write.commit()?)
}

fn rebuild<E: From<IndexError>>(
    database: &Database,
    scan: impl FnOnce(&mut Sink<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let write = database.begin_write().map_err(IndexError::from)?;
    write.delete_table(SHARDS).map_err(IndexError::from)?;
    {
        let mut table = write.open_table(SHARDS).map_err(IndexError::from)?;
        scan(&mut |place, len| {
            table.insert(&key(place), len.0)?;
            Ok(())
        })?;
    }
    write.commit().map_err(IndexError::from)?;
    Ok(begin_life(database)?)
}

fn read_usage(database: &Database) -> Result<BTreeMap<ArchiveId, Usage>, IndexError> {
    let read = database.begin_read()?;
    let table = read.open_table(SHARDS)?;
    let mut usages: BTreeMap<ArchiveId, Usage> = BTreeMap::new();
    for row in table.iter()? {
        let (row_key, len) = row?;
        let usage = usages.entry(place_of(row_key.value()).archive).or_default();
        usage.bytes = usage.bytes.saturating_add(ByteCount(len.value()));
        usage.shard_count += 1;
    }
    Ok(usages)
}

fn key(place: &ShardPlace) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    let (archive, rest) = key.split_at_mut(ArchiveId::LEN);
    let (label, index) = rest.split_at_mut(LabelId::LEN);
    archive.copy_from_slice(place.archive.as_bytes());
    label.copy_from_slice(place.label.as_bytes());
    index.fill(place.index.0);
    key
}

fn place_of(key: &[u8; KEY_LEN]) -> ShardPlace {
    let mut archive = [0; ArchiveId::LEN];
    let mut label = [0; LabelId::LEN];
    let (archive_part, rest) = key.split_at(ArchiveId::LEN);
    let (label_part, index) = rest.split_at(LabelId::LEN);
    archive.copy_from_slice(archive_part);
    label.copy_from_slice(label_part);
    ShardPlace {
        archive: ArchiveId::from_bytes(archive),
        label: LabelId::from_bytes(label),
        index: ShardIndex(index.first().copied().unwrap_or_default()),
    }
}
