//! The node's own small records: keys and values that the engine asks to have kept, all read at the start.
//!
//! One batch is one durable commit. It does not know what a record means, and forgets nothing by itself.

use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::index::{self, Found, IndexError};

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

/// Memory for its page cache, in bytes: the records are read once.
const CACHE_LEN_MAX: usize = 1 << 20;
/// Longest key, in bytes.
pub const KEY_LEN_MAX: usize = 1024;
/// Longest value, in bytes.
pub const VALUE_LEN_MAX: usize = 1 << 20;

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// Keep this value under this key, in place of any other.
    Put {
        /// At most [`KEY_LEN_MAX`] bytes.
        key: Vec<u8>,
        /// At most [`VALUE_LEN_MAX`] bytes.
        value: Vec<u8>,
    },
    /// Forget what is under this key.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Why records could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum CommitRecordsError {
    /// A key or a value is longer than its bound.
    #[error("a record of {key_len} + {value_len} bytes is too long")]
    TooLong {
        /// Bytes of the key.
        key_len: usize,
        /// Bytes of the value.
        value_len: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// The records of one node.
#[derive(Debug)]
pub struct Records {
    database: Database,
    /// redb has one writer at a time; taking turns here keeps the order of batches the order of calls.
    turn: Mutex<()>,
}

impl Records {
    /// Opens the records in this file, or begins empty ones; says which. After [`Found::Damage`] the node has forgotten what it knew
    /// of others and asks them again.
    pub fn open(path: &Path) -> Result<(Self, Found), IndexError> {
        let (database, found) = index::open(path, CACHE_LEN_MAX)?;
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        write.commit()?;
        Ok((
            Self {
                database,
                turn: Mutex::new(()),
            },
            found,
        ))
    }

    /// Makes a batch durable: all of it or nothing.
    pub fn commit(&self, changes: &[RecordChange]) -> Result<(), CommitRecordsError> {
        for change in changes {
            check_len(change)?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        let _turn = self.turn.lock();
        self.write(changes)?;
        Ok(())
    }

    fn write(&self, changes: &[RecordChange]) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(RECORDS)?;
            for change in changes {
                match change {
                    RecordChange::Put { key, value } => {
                        table.insert(key.as_slice(), value.as_slice())?;
                    }
                    RecordChange::Delete { key } => {
                        table.remove(key.as_slice())?;
                    }
                }
            }
        }
        Ok(write.commit()?)
    }

    /// All records, in the order of their keys. The engine bounds how many there are.
    pub fn load(&self) -> Result<Vec<Record>, IndexError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(RECORDS)?;
        let mut records = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            records.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(records)
    }
}

fn check_len(change: &RecordChange) -> Result<(), CommitRecordsError> {
    let (key_len, value_len) = match change {
        RecordChange::Put { key, value } => (key.len(), value.len()),
        RecordChange::Delete { key } => (key.len(), 0),
    };
    if key_len > KEY_LEN_MAX || value_len > VALUE_LEN_MAX {
        return Err(CommitRecordsError::TooLong { key_len, value_len });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &[u8], value: &[u8]) -> RecordChange {
        RecordChange::Put {
            key: key.to_vec(),
            value: value.to_vec(),
        }
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.redb");
        {
            let (records, found) = Records::open(&path).unwrap();
            assert_eq!(found, Found::Nothing);
            records
                .commit(&[put(b"b", b"2"), put(b"a", b"1"), put(b"c", b"3")])
                .unwrap();
            records
                .commit(&[put(b"a", b"4"), RecordChange::Delete { key: b"c".to_vec() }])
                .unwrap();
            let longest = vec![0; VALUE_LEN_MAX + 1];
            assert!(matches!(
                records.commit(&[put(b"z", b"9"), put(b"d", &longest)]),
                Err(CommitRecordsError::TooLong { .. })
            ));
        }
        let (records, found) = Records::open(&path).unwrap();
        assert_eq!(found, Found::Intact);
        let expected = vec![(b"a".to_vec(), b"4".to_vec()), (b"b".to_vec(), b"2".to_vec())];
        assert_eq!(records.load().unwrap(), expected);
    }

    #[test]
    fn damaged_records_are_forgotten_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.redb");
        std::fs::write(&path, b"this was never a database").unwrap();
        let (records, found) = Records::open(&path).unwrap();
        assert_eq!(found, Found::Damage);
        assert_eq!(records.load().unwrap(), Vec::new());
    }
}
