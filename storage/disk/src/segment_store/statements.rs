//! Statements of archives, a file each.

use std::path::PathBuf;

use nuthatch_format::statement::{STATEMENT_LEN_MAX, STATEMENTS_MAX, SignedStatement};
use nuthatch_format::{ArchiveId, StatementId};

use super::SegmentStore;
use crate::atomic::{self, Access, FileError};

const SUFFIX: &str = ".statement";
/// Longest file of a statement, in bytes.
const FILE_LEN_MAX: u64 = STATEMENT_LEN_MAX as u64;

/// Why a statement was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutStatementError {
    /// The archive has [`STATEMENTS_MAX`] statements.
    #[error("the archive has {STATEMENTS_MAX} statements already")]
    TooMany,
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SegmentStore {
    /// Keeps a verified statement: when this returns it is on the disk. `false` when it is here already.
    pub fn put_statement(&self, statement: &SignedStatement) -> Result<bool, PutStatementError> {
        let dir = self.statements_dir(&statement.archive());
        let path = dir.join(format!("{}{SUFFIX}", statement.id()));
        // One at a time, so that the bound holds.
        let _state = self.state.lock();
        let is_whole = match atomic::read_file(&path, FILE_LEN_MAX) {
            Ok(bytes) => bytes.is_some_and(|bytes| bytes == statement.bytes()),
            Err(error) if atomic::is_of_one_file(&error) => false,
            Err(error) => return Err(error.into()),
        };
        if is_whole {
            return Ok(false);
        }
        if atomic::list(&dir)?.len() >= STATEMENTS_MAX {
            return Err(PutStatementError::TooMany);
        }
        atomic::create_dir(&dir)?;
        atomic::write_file(&path, statement.bytes(), Access::Private)?;
        Ok(true)
    }

    /// The statements of an archive, in the order of their ids. Damaged ones are left out, and said; signatures are for the caller
    /// to verify.
    pub fn statements(&self, archive: &ArchiveId) -> Result<Vec<SignedStatement>, FileError> {
        let dir = self.statements_dir(archive);
        let mut statements = Vec::new();
        for name in atomic::list(&dir)? {
            let id = name
                .to_str()
                .and_then(|name| name.strip_suffix(SUFFIX)?.parse::<StatementId>().ok());
            let Some(id) = id else {
                continue;
            };
            let bytes = match atomic::read_file(&dir.join(&name), FILE_LEN_MAX) {
                Err(error) if atomic::is_of_one_file(&error) => None,
                other => other?,
            };
            let parsed = bytes.and_then(|bytes| SignedStatement::parse(&bytes).ok());
            match parsed.filter(|statement| statement.id() == id && statement.archive() == *archive) {
                Some(statement) => statements.push(statement),
                None => {
                    tracing::warn!(statement = %id.short(), "a statement's file is damaged and does not count");
                }
            }
        }
        statements.sort_unstable_by_key(SignedStatement::id);
        Ok(statements)
    }

    /// The archives of which there are statements or segments here.
    pub fn known_archives(&self) -> Result<Vec<ArchiveId>, FileError> {
        let mut archives: Vec<ArchiveId> = atomic::list(&self.root)?
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect();
        archives.sort_unstable();
        Ok(archives)
    }

    fn statements_dir(&self, archive: &ArchiveId) -> PathBuf {
        self.root.join(archive.to_string()).join("statements")
    }
}
