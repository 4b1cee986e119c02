//! Which chunks of content lists are still of use. A file that changes leaves its old lists behind; nothing else would ever forget them.

use std::collections::BTreeSet;

use nuthatch_format::ChunkId;
use nuthatch_format::content::{CONTENT_DEPTH_MAX, IdReader};
use redb::{ReadableTable, ReadableTableMetadata as _, TableDefinition};

use super::{FILES, FileCache, LISTS, SUM_LEN, decode_row, sum};
use crate::index::IndexError;

/// How many lists were of use when that was last looked at.
pub(super) const LISTS_OF_USE: TableDefinition<(), u64> = TableDefinition::new("lists of use");

/// Lists beyond those of use (count) for which it is not worth a look at every file: about 256 MiB of them.
const SURPLUS_MAX: u64 = 1024;

impl FileCache {
    /// Forgets lists that no remembered file needs, once they are more than twice as many as were of use at the last look; answers how
    /// many. Before a backup, not during one: a list whose file is not remembered yet would go, and the file be read again next time.
    pub fn forget_unused_lists(&self) -> Result<u64, IndexError> {
        let write = self.database.begin_write()?;
        let mut lists = write.open_table(LISTS)?;
        let mut of_use = write.open_table(LISTS_OF_USE)?;
        let count = lists.len()?;
        let known = of_use.get(())?.map_or(0, |row| row.value());
        if count <= known.saturating_mul(2).saturating_add(SURPLUS_MAX) {
            return Ok(0);
        }
        let mut needed = BTreeSet::new();
        for row in write.open_table(FILES)?.iter()? {
            let (path, row) = row?;
            if let Some(file) = decode_row(path.value(), row.value()) {
                let depth = file.content.depth.min(CONTENT_DEPTH_MAX);
                note(&lists, depth, &file.content.chunks, &mut needed)?;
            }
        }
        lists.retain(|id, _| needed.contains(id))?;
        let kept = lists.len()?;
        of_use.insert((), kept)?;
        drop((lists, of_use));
        write.commit()?;
        Ok(count - kept)
    }
}

/// Notes the lists of a content, from the top down; at depth 0 ids are those of data.
fn note<T>(
    lists: &T,
    depth: u8,
    ids: &[ChunkId],
    needed: &mut BTreeSet<[u8; ChunkId::LEN]>,
) -> Result<(), IndexError>
where
    T: ReadableTable<&'static [u8; ChunkId::LEN], &'static [u8]>,
{
    if depth == 0 {
        return Ok(());
    }
    let mut below = IdReader::new();
    for id in ids {
        needed.insert(*id.as_bytes());
        if depth > 1 {
            // Chunks of a list need not end where ids do: without one, those behind it say nothing.
            let Some(list) = read(lists, id)? else {
                return Ok(());
            };
            note(lists, depth - 1, &below.push(&list), needed)?;
        }
    }
    Ok(())
}

/// The bytes of a list, if they are what was put.
pub(super) fn read<T>(lists: &T, chunk: &ChunkId) -> Result<Option<Vec<u8>>, IndexError>
where
    T: ReadableTable<&'static [u8; ChunkId::LEN], &'static [u8]>,
{
    let row = lists.get(chunk.as_bytes())?;
    Ok(row.and_then(|row| {
        let (found_sum, bytes) = row.value().split_at_checked(SUM_LEN)?;
        (found_sum == sum(chunk.as_bytes(), bytes)).then(|| bytes.to_vec())
    }))
}
