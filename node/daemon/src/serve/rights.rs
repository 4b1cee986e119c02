//! What a node may have of an archive that is kept here: by the archive's own certificates, and by nothing else.

use nuthatch_format::statement::{Capabilities, SignedStatement, Signer, Statement, StatementSet};
use nuthatch_format::{ArchiveId, NodeId};

/// Whether the node runs a device of the archive that is not revoked and may read what is kept of it.
pub(crate) fn may_read(statements: &StatementSet, node: &NodeId) -> bool {
    statements
        .certificates()
        .any(|certificate| certificate.node == *node && certificate.capabilities.include(Capabilities::READ))
}

/// Whether a statement, by the archive's own signature, makes the node a device of the archive that may read.
pub(crate) fn certifies(statement: &SignedStatement, archive: &ArchiveId, node: &NodeId) -> bool {
    let by_the_archive = statement.archive() == *archive && statement.signer() == Signer::Archive;
    by_the_archive
        && matches!(statement.verify(), Ok(Statement::Certified { certificate })
            if certificate.node == *node && certificate.capabilities.include(Capabilities::READ))
}
