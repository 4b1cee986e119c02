//! What earlier backups looked at: the paths that were named and what was left out. With it the same files are found again when a pack
//! that hosts have lost is to be sealed once more.

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{FileCache, SUM_LEN, sum};
use crate::index::IndexError;

/// Order of use to check sum and row.
pub(super) const SOURCES: TableDefinition<u64, &[u8]> = TableDefinition::new("sources");

/// Sources that are remembered; the one that was not used for longest makes room.
pub const SOURCES_MAX: usize = 32;

/// What a backup was asked to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSource {
    /// The paths that were named, absolute, as bytes.
    pub paths: Vec<Vec<u8>>,
    /// Patterns of what was left out.
    pub excludes: Vec<String>,
    /// Whether it stayed on the file system of each path.
    pub one_file_system: bool,
}

impl FileCache {
    /// Remembers a source as the one used last.
    pub fn note_source(&self, source: &BackupSource) -> Result<(), IndexError> {
        let Ok(body) = postcard::to_stdvec(source) else {
            return Ok(());
        };
        let row = [&sum(b"", &body)[..], &body].concat();
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(SOURCES)?;
            let is_newest = table.last()?.is_some_and(|(_, newest)| newest.value() == row);
            if is_newest {
                return Ok(());
            }
            table.retain(|_, known| known != row)?;
            let next = table
                .last()?
                .map_or(0, |(order, _)| order.value().saturating_add(1));
            table.insert(next, row.as_slice())?;
            while table.iter()?.count() > SOURCES_MAX {
                table.pop_first()?;
            }
        }
        Ok(write.commit()?)
    }

    /// All that is remembered, the one used last first.
    pub fn sources(&self) -> Result<Vec<BackupSource>, IndexError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(SOURCES)?;
        let mut sources = Vec::new();
        for row in table.iter()?.rev() {
            let (_, row) = row?;
            let decoded = row.value().split_at_checked(SUM_LEN);
            let fits = decoded.filter(|(found, body)| *found == sum(b"", body));
            sources.extend(fits.and_then(|(_, body)| postcard::from_bytes(body).ok()));
        }
        Ok(sources)
    }
}
