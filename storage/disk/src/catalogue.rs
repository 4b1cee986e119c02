//! The catalogue: from chunk to pack to stripe to host, and which snapshots need what. The local index of one archive.
//!
//! Everything here is made from journal segments and from what hosts say that they hold: [`Catalogue::clear`] and applying both again
//! gives the same. What a segment claims is recorded as a claim of its device; nothing here looks behind it. It forgets nothing by
//! itself and decides nothing.

mod apply;
mod audits;
mod chunks;
mod holders;
mod labels;
mod packs;
mod snapshots;
mod tables;
mod unapply;

use std::collections::BTreeSet;
use std::path::Path;

use nuthatch_format::SnapshotId;
use nuthatch_format::snapshot::PackSet;
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadableDatabase as _, ReadableTable as _};

pub use apply::JournalSegment;
pub use audits::{AuditBook, OpenChallenge, ShardShape};
pub use chunks::ChunkPlace;
pub use holders::{HeldShard, Holder, JournalHost};
pub use labels::PlacedLabel;
pub use packs::{PackFacts, PackNumber, PackRecord, StripeFacts, StripeRecord};
pub use snapshots::{PacksNeededError, PacksNeededPage, SnapshotRecord, SnapshotSummary};

use crate::index::{self, Found, IndexError};
use tables::{CATALOGUE_VERSION, META, META_VERSION, create_all, delete_all};

/// Memory for its page cache, in bytes: the largest of a node's, since every chunk of a backup is looked up here.
const CACHE_LEN_MAX: usize = 2 << 20;

/// The catalogue of one archive.
#[derive(Debug)]
pub struct Catalogue {
    database: Database,
    /// Packs that were retired: their chunks are not deduplicated against.
    retired: RwLock<BTreeSet<PackNumber>>,
    /// What the snapshot that was resolved last needs: the next one differs little from it.
    resolved: Mutex<Option<(SnapshotId, PackSet)>>,
}

impl Catalogue {
    /// Opens the catalogue in this file, or begins an empty one; says which. Unless it is [`Found::Intact`] it must be filled again
    /// from the journal and the hosts' inventories.
    pub fn open(path: &Path) -> Result<(Self, Found), IndexError> {
        let (database, mut found) = index::open(path, CACHE_LEN_MAX)?;
        let write = database.begin_write()?;
        let version = write.open_table(META)?.get(META_VERSION)?.map(|row| row.value());
        if version != Some(CATALOGUE_VERSION) {
            delete_all(&write)?;
            found = if found == Found::Intact {
                Found::Damage
            } else {
                found
            };
        }
        create_all(&write)?;
        write.open_table(META)?.insert(META_VERSION, CATALOGUE_VERSION)?;
        write.commit()?;
        let catalogue = Self {
            database,
            retired: RwLock::new(BTreeSet::new()),
            resolved: Mutex::new(None),
        };
        catalogue.reload_retired()?;
        Ok((catalogue, found))
    }

    /// Forgets everything, in one commit.
    pub fn clear(&self) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        delete_all(&write)?;
        create_all(&write)?;
        write.open_table(META)?.insert(META_VERSION, CATALOGUE_VERSION)?;
        write.commit()?;
        self.retired.write().clear();
        *self.resolved.lock() = None;
        Ok(())
    }

    /// How many packs were retired, whether they are known or not.
    pub fn retired_count(&self) -> Result<u64, IndexError> {
        use redb::ReadableTableMetadata as _;
        let read = self.database.begin_read()?;
        Ok(read.open_table(tables::RETIRED)?.len()?)
    }

    fn reload_retired(&self) -> Result<(), IndexError> {
        let read = self.database.begin_read()?;
        let retired = read.open_table(tables::RETIRED)?;
        let numbers = read.open_table(tables::PACK_NUMBERS)?;
        let mut set = BTreeSet::new();
        for row in retired.iter()? {
            let (pack, _) = row?;
            let pack = *pack.value();
            for row in numbers.range((&pack, 0)..=(&pack, u64::MAX))? {
                set.insert(PackNumber(row?.0.value().1));
            }
        }
        *self.retired.write() = set;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
