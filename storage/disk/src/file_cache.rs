//! What the last backup saw of each file, so that an unchanged one is not read again.
//!
//! A cache with no authority: a row that does not fit its check sum is as if it were absent, since a wrong one would put content into
//! a snapshot that nobody stored. When a row may be used is the rule's business ([`rule`]).

mod lists;
pub mod rule;
mod sources;

use std::path::Path;

use nuthatch_format::ChunkId;
use nuthatch_format::content::Content;
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use crate::index::{self, Found, IndexError};
use crate::source::{FileTime, Hole, SourceEntry};
use lists::LISTS_OF_USE;
use rule::{Judgement, judge_renamed};
use sources::SOURCES;
pub use sources::{BackupSource, SOURCES_MAX};

/// Path to check sum and row.
const FILES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("files");
/// File system and inode to path.
const INODES: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("inodes");
/// Chunk of a list to check sum and its bytes.
const LISTS: TableDefinition<&[u8; ChunkId::LEN], &[u8]> = TableDefinition::new("lists");
/// What the rows were made for.
const SCOPE: TableDefinition<(), &[u8; 32]> = TableDefinition::new("scope");

/// Memory for its page cache, in bytes.
const CACHE_LEN_MAX: usize = 1 << 20;
/// Files that are remembered; a cache that has grown beyond (with files long gone) begins anew when it is opened.
const FILES_MAX: u64 = 8_000_000;
/// Bytes of the check sum before each row.
const SUM_LEN: usize = 8;

/// What identifies a file's content as unchanged, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Size in bytes.
    pub size: u64,
    /// When the contents last changed.
    pub mtime: FileTime,
    /// When the contents or attributes last changed.
    pub ctime: FileTime,
    /// Number of its inode.
    pub inode: u64,
    /// Number of its file system; not the same after every start of the machine.
    pub device: u64,
}

impl From<&SourceEntry> for FileStamp {
    fn from(entry: &SourceEntry) -> Self {
        Self {
            size: entry.size,
            mtime: entry.mtime,
            ctime: entry.ctime,
            inode: entry.inode,
            device: entry.device,
        }
    }
}

/// What is remembered of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// What it was when it was looked at, before it was read.
    pub stamp: FileStamp,
    /// The machine's clock at that look.
    pub seen_at: FileTime,
    /// Its content, as stored.
    pub content: Content,
    /// Its holes.
    pub holes: Vec<Hole>,
}

/// A file and what to remember of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRow {
    /// Its absolute path, as bytes.
    pub path: Vec<u8>,
    /// What to remember.
    pub file: CachedFile,
}

#[derive(Serialize, Deserialize)]
struct Row {
    stamp: FileStamp,
    seen_at: FileTime,
    depth: u8,
    len: u64,
    chunks: Vec<u8>,
    holes: Vec<(u64, u64)>,
}

/// The file cache of one archive.
#[derive(Debug)]
pub struct FileCache {
    database: Database,
}

impl FileCache {
    /// Opens the cache in this file, or begins an empty one. `scope` stands for everything that the rows depend on (the archive, its
    /// epoch, how it cuts chunks): a cache made for another scope is emptied.
    pub fn open(path: &Path, scope: &[u8; 32]) -> Result<(Self, Found), IndexError> {
        let (database, found) = index::open(path, CACHE_LEN_MAX)?;
        let write = database.begin_write()?;
        let is_same = write
            .open_table(SCOPE)?
            .get(())?
            .is_some_and(|row| row.value() == scope);
        if !is_same || write.open_table(FILES)?.len()? > FILES_MAX {
            delete_all(&write)?;
        }
        create_all(&write)?;
        write.open_table(SCOPE)?.insert((), scope)?;
        write.commit()?;
        Ok((Self { database }, found))
    }

    /// What is remembered of the same file under another path, if that may be used for what is there now.
    pub fn renamed(&self, now: &FileStamp) -> Result<Option<CachedFile>, IndexError> {
        let read = self.database.begin_read()?;
        let Some(path) = read.open_table(INODES)?.get((now.device, now.inode))? else {
            return Ok(None);
        };
        let cached = self.get(path.value())?;
        Ok(cached.filter(|cached| judge_renamed(cached, now) == Judgement::Unchanged))
    }

    /// What is remembered of the file at this path, whether or not it may be used.
    pub fn get(&self, path: &[u8]) -> Result<Option<CachedFile>, IndexError> {
        let read = self.database.begin_read()?;
        let row = read.open_table(FILES)?.get(path)?;
        Ok(row.and_then(|row| decode_row(path, row.value())))
    }

    /// Remembers files, in one durable commit.
    pub fn put(&self, rows: &[CachedRow]) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        {
            let mut files = write.open_table(FILES)?;
            let mut inodes = write.open_table(INODES)?;
            for CachedRow { path, file } in rows {
                let Some(row) = encode_row(path, file) else {
                    continue;
                };
                files.insert(path.as_slice(), row.as_slice())?;
                inodes.insert((file.stamp.device, file.stamp.inode), path.as_slice())?;
            }
        }
        Ok(write.commit()?)
    }

    /// The bytes of a chunk of a content list, if they are remembered: whoever only writes cannot read it from its pack.
    pub fn list(&self, chunk: &ChunkId) -> Result<Option<Vec<u8>>, IndexError> {
        lists::read(&self.database.begin_read()?.open_table(LISTS)?, chunk)
    }

    /// Remembers chunks of content lists, in one durable commit.
    pub fn put_lists(&self, lists: &[(ChunkId, Vec<u8>)]) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(LISTS)?;
            for (chunk, bytes) in lists {
                let row = [&sum(chunk.as_bytes(), bytes)[..], bytes].concat();
                table.insert(chunk.as_bytes(), row.as_slice())?;
            }
        }
        Ok(write.commit()?)
    }

    /// Forgets everything.
    pub fn clear(&self) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        delete_all(&write)?;
        create_all(&write)?;
        Ok(write.commit()?)
    }
}

fn delete_all(write: &WriteTransaction) -> Result<(), IndexError> {
    write.delete_table(FILES)?;
    write.delete_table(INODES)?;
    write.delete_table(LISTS)?;
    write.delete_table(LISTS_OF_USE)?;
    write.delete_table(SOURCES)?;
    Ok(())
}

fn create_all(write: &WriteTransaction) -> Result<(), IndexError> {
    write.open_table(FILES)?;
    write.open_table(INODES)?;
    write.open_table(LISTS)?;
    write.open_table(LISTS_OF_USE)?;
    write.open_table(SOURCES)?;
    Ok(())
}

fn encode_row(path: &[u8], file: &CachedFile) -> Option<Vec<u8>> {
    let row = Row {
        stamp: file.stamp,
        seen_at: file.seen_at,
        depth: file.content.depth,
        len: file.content.len,
        chunks: file.content.chunks.iter().flat_map(|id| *id.as_bytes()).collect(),
        holes: file.holes.iter().map(|hole| (hole.offset, hole.len)).collect(),
    };
    // Encoding to memory fails for no row that this program can make; one that is not remembered is read again.
    let body = postcard::to_stdvec(&row).ok()?;
    Some([&sum(path, &body)[..], &body].concat())
}

fn decode_row(path: &[u8], bytes: &[u8]) -> Option<CachedFile> {
    let (found_sum, body) = bytes.split_at_checked(SUM_LEN)?;
    if found_sum != sum(path, body) {
        return None;
    }
    let row: Row = postcard::from_bytes(body).ok()?;
    let ids = row.chunks.chunks_exact(ChunkId::LEN);
    if !ids.remainder().is_empty() {
        return None;
    }
    Some(CachedFile {
        stamp: row.stamp,
        seen_at: row.seen_at,
        content: Content {
            depth: row.depth,
            len: row.len,
            chunks: ids.filter_map(ChunkId::from_slice).collect(),
        },
        holes: row
            .holes
            .iter()
            .map(|&(offset, len)| Hole { offset, len })
            .collect(),
    })
}

/// Against accidents of the disk: binds the row to its path.
fn sum(path: &[u8], body: &[u8]) -> [u8; SUM_LEN] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(path.len() as u64).to_le_bytes());
    hasher.update(path);
    hasher.update(body);
    let mut sum = [0; SUM_LEN];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

#[cfg(test)]
mod tests;
