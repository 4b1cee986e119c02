//! The statements of every archive that is known here: verified, in memory for whoever asks, on disk before they count.
//!
//! Shared, not copied: looking one up takes the same short time whether its archive has many, few, or is not here.

use std::collections::BTreeMap;
use std::sync::Arc;

use nuthatch_disk::FileError;
use nuthatch_disk::segment_store::{PutStatementError, SegmentStore};
use nuthatch_engine::boundary::Input;
use nuthatch_format::statement::{STATEMENT_LEN_MAX, SignedStatement, Statement, StatementSet};
use nuthatch_format::{ArchiveId, NodeId};
use nuthatch_wire::bounded::Opaque;
use nuthatch_wire::message::RosterItem;
use nuthatch_wire::protocol::provider_key;
use parking_lot::RwLock;

use crate::events::FaultKind;
use crate::node::Node;

/// Bytes of statements that every hosted archive may have, whatever the others have: one of the longest.
const LEN_PER_ARCHIVE: usize = STATEMENT_LEN_MAX;

/// Bytes of statements of all hosted archives, beyond which each keeps to [`LEN_PER_ARCHIVE`]. They are in memory, and a member can make
/// as many archives as it likes.
const LEN_MAX: usize = 64 << 20;

/// The statements of every archive that is known here.
#[derive(Debug, Default)]
pub(crate) struct Statements(RwLock<BTreeMap<ArchiveId, Kept>>);

#[derive(Debug)]
struct Kept {
    set: Arc<StatementSet>,
    /// Of all statements in it, in bytes.
    len: usize,
}

impl Kept {
    fn new(archive: ArchiveId) -> Self {
        Self::of(StatementSet::new(archive))
    }

    fn of(set: StatementSet) -> Self {
        Self {
            len: set.all().map(|statement| statement.bytes().len()).sum(),
            set: Arc::new(set),
        }
    }
}

/// What became of a statement.
enum Taken {
    /// It is here already, or is not kept.
    Not,
    /// It is new; the device of this node is revoked by it.
    New { revoked: Option<NodeId> },
}

impl Statements {
    /// Reads all statements of a store. Those that do not hold are left out: they are learned again.
    pub(crate) fn open(store: &SegmentStore) -> Result<Self, FileError> {
        let mut sets = BTreeMap::new();
        for archive in store.known_archives()? {
            let mut set = StatementSet::new(archive);
            for statement in store.statements(&archive)? {
                if let Err(error) = set.insert(statement) {
                    tracing::warn!("a statement of {archive:?} is left out: {error}");
                }
            }
            sets.insert(archive, Kept::of(set));
        }
        Ok(Self(RwLock::new(sets)))
    }

    /// The statements of an archive that is known here.
    pub(crate) fn of(&self, archive: &ArchiveId) -> Option<Arc<StatementSet>> {
        self.0.read().get(archive).map(|kept| Arc::clone(&kept.set))
    }

    fn take(&self, statement: &SignedStatement, own: Option<ArchiveId>) -> Taken {
        let archive = statement.archive();
        let mut sets = self.0.write();
        let total: usize = sets.values().map(|kept| kept.len).sum();
        let Some(kept) = sets.get_mut(&archive) else {
            return Taken::Not;
        };
        if kept.set.contains(&statement.id()) {
            return Taken::Not;
        }
        let len = statement.bytes().len();
        if own != Some(archive) && kept.len + len > LEN_PER_ARCHIVE && total + len > LEN_MAX {
            tracing::debug!("a statement of {archive:?} is left out: there are too many of all archives");
            return Taken::Not;
        }
        let revoked = match statement.unverified() {
            Statement::Revoked { device, .. } => kept
                .set
                .certificate_of(device)
                .map(|certificate| certificate.node),
            _ => None,
        };
        if let Err(error) = Arc::make_mut(&mut kept.set).insert(statement.clone()) {
            tracing::debug!("a statement of {archive:?} is left out: {error}");
            return Taken::Not;
        }
        kept.len += len;
        Taken::New { revoked }
    }
}

impl Node {
    /// The statements of an archive that is owned or hosted here.
    pub(crate) fn known_statements(&self, archive: &ArchiveId) -> Option<Arc<StatementSet>> {
        self.statements.of(archive)
    }

    /// Takes a statement of an archive that is known here; one that does not hold is left out. Answers whether it is new.
    pub(crate) fn take_statement(&self, statement: &SignedStatement) -> bool {
        if !self.keep_statement(statement) {
            return false;
        }
        // A certificate or a revocation may change who is a member.
        if let Ok(bytes) = Opaque::new(statement.bytes().to_vec())
            && let Err(error) = self.take_roster(vec![RosterItem::Statement(bytes)])
        {
            self.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the roster can't be written: {error}"),
            );
        }
        true
    }

    /// Takes what a roster says of the devices of archives that are known here: a revocation counts by whatever way it came.
    pub(crate) fn keep_statements_in(&self, items: &[RosterItem]) {
        for item in items {
            if let RosterItem::Statement(bytes) = item
                && let Ok(statement) = SignedStatement::parse(bytes)
            {
                self.keep_statement(&statement);
            }
        }
    }

    /// Keeps a statement in memory and on disk; one that revokes a device ends its claim.
    fn keep_statement(&self, statement: &SignedStatement) -> bool {
        let own = self.owned().map(|owned| owned.archive);
        let Taken::New { revoked } = self.statements.take(statement, own) else {
            return false;
        };
        if let Err(error) = self.segments.put_statement(statement) {
            self.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("a statement can't be written: {error}"),
            );
        }
        self.stewards.heard(statement.unverified());
        if let Some(node) = revoked {
            self.circle.gate().forget_claimant(&node);
            self.transport.reconsider(node);
        }
        if matches!(statement.unverified(), Statement::Revoked { .. }) {
            self.forget_claims(statement.archive());
        }
        true
    }

    /// Takes out of the own archive's catalogue what is believed no longer. What fails is made good when segments are applied next.
    fn forget_claims(&self, archive: ArchiveId) {
        let Some(owned) = self.owned().filter(|owned| owned.archive == archive) else {
            return;
        };
        let engine = self.engine.clone();
        self.tasks.spawn(async move {
            match tokio::task::spawn_blocking(move || owned.journal.apply_missing()).await {
                Ok(Ok(_)) => engine.tell(Input::WorkChanged { archive }).await,
                Ok(Err(error)) => tracing::warn!("the claims of a revoked device stay for now: {error}"),
                Err(error) => tracing::warn!("forgetting a revoked device's claims ended early: {error}"),
            }
        });
    }

    /// Makes an archive known here, with the statement that came with its lease.
    pub(crate) fn begin_hosting(
        &self,
        archive: &ArchiveId,
        statement: &SignedStatement,
    ) -> Result<(), PutStatementError> {
        self.segments.put_statement(statement)?;
        self.statements
            .0
            .write()
            .entry(*archive)
            .or_insert_with(|| Kept::new(*archive));
        self.take_statement(statement);
        self.announce(archive);
        Ok(())
    }

    /// Tells the circle's address tables that this node holds something of an archive: a hint for whoever knows the archive.
    pub(crate) fn announce(&self, archive: &ArchiveId) {
        let (transport, key) = (self.transport.clone(), provider_key(archive));
        self.tasks.spawn(async move { transport.provide(key).await });
    }

    /// The archives that are known here, ascending.
    pub(crate) fn known_archives(&self) -> Vec<ArchiveId> {
        self.statements.0.read().keys().copied().collect()
    }
}
