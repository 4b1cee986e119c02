//! What a node may have of an archive that is kept here: by the archive's own statements, and by nothing else.

use nuthatch_format::statement::{Capabilities, SignedStatement, Signer, Statement, StatementSet};
use nuthatch_format::{ArchiveId, ByteCount, NodeId};
use nuthatch_wire::message::ErrorCode;

use crate::clock;
use crate::node::Node;

/// As what a node may read of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// It runs a device of the archive that is not revoked: all of it.
    Device,
    /// It is a steward: what it takes to check and to rebuild shards, and so many bytes a day.
    Steward {
        /// More than zero.
        budget: ByteCount,
    },
}

/// As what the node may read what is kept of the archive; `None`: not at all.
pub(crate) fn reader(statements: &StatementSet, node: &NodeId) -> Option<Reader> {
    if may_read(statements, node) {
        return Some(Reader::Device);
    }
    let budget = statements.steward_budget(node)?;
    Some(Reader::Steward { budget })
}

/// Whether the node runs a device of the archive that is not revoked and may read what is kept of it.
pub(crate) fn may_read(statements: &StatementSet, node: &NodeId) -> bool {
    statements
        .certificates()
        .any(|certificate| certificate.node == *node && certificate.capabilities.include(Capabilities::READ))
}

/// As what a statement, by the archive's own signature, lets the node read.
pub(crate) fn stated(statement: &SignedStatement, archive: &ArchiveId, node: &NodeId) -> Option<Reader> {
    if statement.archive() != *archive || statement.signer() != Signer::Archive {
        return None;
    }
    match statement.verify() {
        Ok(Statement::Certified { certificate })
            if certificate.node == *node && certificate.capabilities.include(Capabilities::READ) =>
        {
            Some(Reader::Device)
        }
        Ok(Statement::Steward {
            node: steward,
            byte_budget,
        }) if steward == node && *byte_budget > ByteCount::ZERO => {
            Some(Reader::Steward { budget: *byte_budget })
        }
        _ => None,
    }
}

impl Node {
    /// Lets the asker have so many bytes of an archive: a device any number, a steward as long as its budget for today lasts.
    pub(crate) fn admit_reading(
        &self,
        archive: &ArchiveId,
        asker: &NodeId,
        bytes: u64,
    ) -> Result<(), ErrorCode> {
        let statements = self.known_statements(archive).ok_or(ErrorCode::NotAllowed)?;
        match reader(&statements, asker) {
            None => Err(ErrorCode::NotAllowed),
            Some(Reader::Device) => Ok(()),
            Some(Reader::Steward { budget }) => self
                .budgets
                .take((*archive, *asker), bytes, budget, clock::now())
                .map_err(ErrorCode::Busy),
        }
    }
}
