//! One redb database as an index: bounded in memory, checked when opened, thrown away when damaged.
//!
//! Owns opening and the classification of what redb reports. It never holds the only copy of anything that cannot be had again:
//! whoever opens an index must be able to fill a new one.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use redb::{Database, StorageError, TransactionError};

use crate::atomic::{self, FileError};

/// Why an index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The disk is full: make room and try again.
    #[error("the disk is full")]
    DiskFull(#[source] Box<redb::Error>),
    /// The index contradicts itself. Opening it again builds a new one.
    #[error("the index is damaged")]
    Damaged(#[source] Box<redb::Error>),
    /// A value in the index is not what this program writes. Opening it again does not help: clear it.
    #[error("the index holds a value that makes no sense in table {table}")]
    BadValue {
        /// The table that holds it.
        table: &'static str,
    },
    /// The disk that it lies on is not connected: nothing is known of what lies there.
    #[error("the disk is not connected")]
    Detached,
    /// Another process has it open.
    #[error("the index is in use by another process")]
    InUse,
    /// The file itself failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system refused to read or write it.
    #[error("the index cannot be read or written")]
    Io(#[source] Box<redb::Error>),
}

impl IndexError {
    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull(_) => true,
            Self::File(error) => error.is_disk_full(),
            _ => false,
        }
    }

    /// Whether the file is no database any more, so that a new one would do.
    fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<redb::Error> for IndexError {
    fn from(error: redb::Error) -> Self {
        let error = Box::new(error);
        match *error {
            redb::Error::Io(ref io) if atomic::is_full(io) => Self::DiskFull(error),
            // A short read: the file ends before its own header says so. Invalid data: no magic number.
            redb::Error::Io(ref io)
                if matches!(
                    io.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                ) =>
            {
                Self::Damaged(error)
            }
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TableDoesNotExist(_) => Self::Damaged(error),
            _ => Self::Io(error),
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),+) => {
        $(impl From<$error> for IndexError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })+
    };
}

from_redb!(
    redb::DatabaseError,
    redb::TableError,
    redb::CommitError,
    redb::SetDurabilityError,
    StorageError,
    TransactionError
);

/// How often an index that another process has open is tried (count).
const OPEN_TRIES_MAX: u32 = 100;

/// Between two tries.
const OPEN_AGAIN: Duration = Duration::from_millis(20);

/// What was found when an index was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A database that agrees with all its check sums.
    Intact,
    /// None: a new one was made.
    Nothing,
    /// A damaged one, which was removed; a new one was made.
    Damage,
}

/// Opens the database, or makes a new one where there is none or where the old one fails its check.
///
/// redb verifies check sums only after a crash, so they are all verified here: it costs one reading of the file, once for each
/// process, and it is what makes a flipped bit cost time and not data. `cache_len_max` is in bytes.
pub(crate) fn open(path: &Path, cache_len_max: usize) -> Result<(Database, Found), IndexError> {
    let was_there = path.exists();
    if was_there {
        match while_in_use(|| open_checked(path, cache_len_max)) {
            Ok(database) => return Ok((database, Found::Intact)),
            Err(error) if error.is_damage() => {
                tracing::warn!(path = %path.display(), %error, "an index is damaged and is built again");
                fs::remove_file(path).map_err(|error| FileError::new("remove", path, error))?;
            }
            Err(error) => return Err(error),
        }
    }
    // Made here and empty: redb would let others read it, and paths and sizes are in it.
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options
        .open(path)
        .map_err(|error| FileError::new("create", path, error))?;
    let database = redb::Builder::new()
        .set_cache_size(cache_len_max)
        .create_file(file)?;
    atomic::sync_parent(path)?;
    Ok((database, if was_there { Found::Damage } else { Found::Nothing }))
}

/// Looks again while another process has the database open. Whoever opens one owns the home, and so the other is one that had it before
/// and is just ending: what it had open is closed one after the other, the home's lock perhaps before this.
fn while_in_use<T>(mut open: impl FnMut() -> Result<T, IndexError>) -> Result<T, IndexError> {
    for _ in 1..OPEN_TRIES_MAX {
        match open() {
            Err(IndexError::InUse) => std::thread::sleep(OPEN_AGAIN),
            other => return other,
        }
    }
    open()
}

fn open_checked(path: &Path, cache_len_max: usize) -> Result<Database, IndexError> {
    // redb states a few of its own assumptions about the file with assertions: with hostile bytes they are findings, not bugs.
    let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Database, IndexError> {
        let mut database = redb::Builder::new().set_cache_size(cache_len_max).open(path)?;
        if database.check_integrity()? {
            Ok(database)
        } else {
            // It was repaired by going back to an older state, which the files and journals that it mirrors have left behind.
            Err(damage("the check sums do not match"))
        }
    }));
    opened.unwrap_or_else(|_| Err(damage("the file is not laid out as a database")))
}

fn damage(what: &str) -> IndexError {
    IndexError::Damaged(Box::new(redb::Error::Corrupted(what.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

    #[test]
    fn who_comes_while_another_process_is_ending_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let mut before = Some(open(&path, 1 << 20).unwrap());
        let mut tries = 0;
        let opened = while_in_use(|| {
            tries += 1;
            let opened = open_checked(&path, 1 << 20);
            if tries == 3 {
                before = None;
            }
            opened
        });
        assert!(opened.is_ok(), "{opened:?}");
        assert_eq!(tries, 4);
    }

    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");

    fn fill(path: &Path) {
        let (database, found) = open(path, 1 << 20).unwrap();
        assert_eq!(found, Found::Nothing);
        let write = database.begin_write().unwrap();
        {
            let mut table = write.open_table(TABLE).unwrap();
            for key in 0..400_u64 {
                table.insert(key, [key as u8; 100].as_slice()).unwrap();
            }
        }
        write.commit().unwrap();
    }

    fn contents(path: &Path) -> (Found, Vec<(u64, Vec<u8>)>) {
        let (database, found) = open(path, 1 << 20).unwrap();
        if found == Found::Damage {
            return (found, Vec::new());
        }
        let read = database.begin_read().unwrap();
        let table = read.open_table(TABLE).unwrap();
        let rows = table
            .iter()
            .unwrap()
            .map(|row| {
                row.map(|(key, value)| (key.value(), value.value().to_vec()))
                    .unwrap()
            })
            .collect();
        (found, rows)
    }

    #[test]
    fn no_flipped_byte_survives_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        fill(&path);
        let good = fs::read(&path).unwrap();
        let (found, rows) = contents(&path);
        assert_eq!((found, rows.len()), (Found::Intact, 400));
        // Every part of the header, then samples of everything else.
        let offsets = (0..320).chain((320..good.len()).step_by(good.len() / 150));
        for offset in offsets {
            let mut bad = good.clone();
            bad[offset] ^= 0x41;
            fs::write(&path, &bad).unwrap();
            let (found, found_rows) = contents(&path);
            assert!(
                found == Found::Damage || found_rows == rows,
                "byte {offset} changed what is read"
            );
        }
        for len in [0, 1, 100, 4096, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..len]).unwrap();
            let (found, found_rows) = contents(&path);
            assert!(
                matches!(found, Found::Damage | Found::Nothing) || found_rows == rows,
                "cut to {len}"
            );
        }
    }

    #[test]
    fn an_index_is_for_its_owner_alone() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        fill(&path);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // As well when it takes a damaged one's place.
        fs::write(&path, b"damaged").unwrap();
        assert_eq!(contents(&path).0, Found::Damage);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_was_committed_survives_a_kill_at_any_commit() {
        let dir = tempfile::tempdir().unwrap();
        let (path, killed) = (dir.path().join("a.redb"), dir.path().join("killed.redb"));
        let (database, _) = open(&path, 1 << 20).unwrap();
        for round in 0..20_u64 {
            let write = database.begin_write().unwrap();
            {
                let mut table = write.open_table(TABLE).unwrap();
                for key in round * 50..(round + 1) * 50 {
                    table.insert(key, [key as u8; 100].as_slice()).unwrap();
                }
            }
            write.commit().unwrap();
            // The file as a killed process leaves it, half-way through another commit too.
            let unfinished = database.begin_write().unwrap();
            unfinished
                .open_table(TABLE)
                .unwrap()
                .insert(u64::MAX, [0; 10].as_slice())
                .unwrap();
            fs::copy(&path, &killed).unwrap();
            unfinished.abort().unwrap();
            let (found, rows) = contents(&killed);
            assert_eq!((found, rows.len() as u64), (Found::Intact, (round + 1) * 50));
        }
    }

    #[test]
    fn a_second_process_is_told_that_it_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.redb");
        let _held = open(&path, 1 << 20).unwrap();
        assert!(matches!(open(&path, 1 << 20), Err(IndexError::InUse)));
    }
}
