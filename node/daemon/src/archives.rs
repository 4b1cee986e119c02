//! What this node knows of archives, its own and those that it hosts: statements in memory, segments and statements kept on disk.
//!
//! Everything is verified here before it is kept; what is kept was synced. Which archives are hosted is the engine's verdict: a lease
//! makes one known.

use std::collections::BTreeMap;

use nuthatch_disk::segment_store::{PutSegment, PutSegmentError, PutStatementError, SegmentStore};
use nuthatch_disk::{FileError, IndexError};
use nuthatch_engine::boundary::{Input, VaultFacts};
use nuthatch_format::journal::union::believed_segments;
use nuthatch_format::journal::{LineHead, SignedSegment};
use nuthatch_format::statement::{Belief, SignedStatement, StatementSet};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, LineId, NodeId, SegmentId};
use nuthatch_wire::attest::{AttestError, Attestation};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::bulk::Refusal;
use nuthatch_wire::inventory::Holding;
use nuthatch_wire::message::{INTRODUCTIONS_MAX, Introduction, RosterItem};
use nuthatch_wire::receipt::SegmentReceipt;
use parking_lot::RwLock;

use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;

/// Holdings read at a time.
const HOLDINGS_PAGE: usize = 4096;

/// The statements of every archive that is known here.
#[derive(Debug, Default)]
pub(crate) struct Statements(RwLock<BTreeMap<ArchiveId, StatementSet>>);

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
            sets.insert(archive, set);
        }
        Ok(Self(RwLock::new(sets)))
    }
}

/// Why a segment is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepSegmentError {
    /// Its signature does not hold.
    #[error("the segment is not signed by its device")]
    Signature,
    /// No certificate of the archive makes its device a writer.
    #[error("no certificate makes the segment's device a writer of its archive")]
    NotCertified,
    /// The store.
    #[error(transparent)]
    Put(#[from] PutSegmentError),
}

impl KeepSegmentError {
    /// As the protocol says it.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Signature | Self::Put(PutSegmentError::Contradiction) => Refusal::Damaged,
            Self::NotCertified => Refusal::NotAllowed,
            Self::Put(PutSegmentError::Gap { .. }) => Refusal::NotFound,
            Self::Put(_) => Refusal::Full,
        }
    }
}

impl Node {
    /// The statements of an archive that is owned or hosted here.
    pub(crate) fn known_statements(&self, archive: &ArchiveId) -> Option<StatementSet> {
        self.statements.0.read().get(archive).cloned()
    }

    /// Takes a statement of an archive that is known here; one that does not hold is left out. Answers whether it is new.
    pub(crate) fn take_statement(&self, statement: &SignedStatement) -> bool {
        let archive = statement.archive();
        let mut sets = self.statements.0.write();
        let Some(set) = sets.get_mut(&archive) else {
            return false;
        };
        if set.contains(&statement.id()) {
            return false;
        }
        if let Err(error) = set.insert(statement.clone()) {
            tracing::debug!("a statement of {archive:?} is left out: {error}");
            return false;
        }
        drop(sets);
        if let Err(error) = self.segments.put_statement(statement) {
            self.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("a statement can't be written: {error}"),
            );
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
            .or_insert_with(|| StatementSet::new(*archive));
        self.take_statement(statement);
        Ok(())
    }

    /// Verifies a segment and keeps it. Answers whether it is new here.
    pub(crate) fn keep_segment(
        &self,
        segment: &SignedSegment,
        from: NodeId,
    ) -> Result<bool, KeepSegmentError> {
        let public = segment.public();
        segment
            .verify_signature()
            .map_err(|_| KeepSegmentError::Signature)?;
        let believed = self.known_statements(&public.archive).is_some_and(|statements| {
            !matches!(statements.belief(&public.device, &public.line), Belief::Nothing)
        });
        if !believed {
            return Err(KeepSegmentError::NotCertified);
        }
        match self.segments.put(segment)? {
            PutSegment::New => Ok(true),
            PutSegment::Have => Ok(false),
            PutSegment::Fork => {
                let message = format!(
                    "device {} of archive {} wrote two journals from one place on: it exists twice, or was rolled back; both are kept",
                    public.device.short(),
                    public.archive.short()
                );
                self.events.fault(FaultKind::TwoLines, Some(from), message);
                Ok(true)
            }
        }
    }

    /// Whether a label's id stands in a segment that is here and believed.
    pub(crate) fn believes_label(&self, archive: &ArchiveId, label: &LabelId) -> Result<bool, IndexError> {
        let Some(statements) = self.known_statements(archive) else {
            return Ok(false);
        };
        let Some((line, sequence)) = self.segments.label_place(archive, label)? else {
            return Ok(false);
        };
        for stored in self.segments.segments_at(archive, &line, sequence)? {
            let is_believed = match statements.belief(&stored.head.device, &line) {
                Belief::All => true,
                Belief::Nothing => false,
                Belief::UpTo(ends) => {
                    let previous = self.previous_segments(archive, &line)?;
                    ends.iter().all(|end| sequence <= end.sequence)
                        && believed_segments(&ends, |segment| previous.get(segment).copied().flatten())
                            .contains(&stored.head.segment)
                }
            };
            if is_believed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The segment before each segment of a line.
    fn previous_segments(
        &self,
        archive: &ArchiveId,
        line: &LineId,
    ) -> Result<BTreeMap<SegmentId, Option<SegmentId>>, IndexError> {
        let mut previous = BTreeMap::new();
        let mut from = 0;
        loop {
            let page = self.segments.segments_from(archive, line, from, HOLDINGS_PAGE)?;
            let Some(last) = page.last() else {
                return Ok(previous);
            };
            from = last.head.sequence + 1;
            previous.extend(page.iter().map(|stored| (stored.head.segment, stored.previous)));
        }
    }

    /// This host's signature for a segment that it keeps.
    pub(crate) fn sign_segment_receipt(
        &self,
        archive: ArchiveId,
        head: &LineHead,
    ) -> Result<Attestation<SegmentReceipt>, AttestError> {
        let receipt = SegmentReceipt {
            archive,
            host: self.identity.node,
            at: clock::now(),
            line: head.line,
            sequence: head.sequence,
            segment: head.segment,
        };
        Attestation::sign(&receipt, &self.identity.key)
    }

    /// Goes through all that the vault holds of an archive, in order, until `take` says stop.
    pub(crate) fn each_holding(
        &self,
        archive: &ArchiveId,
        mut take: impl FnMut(Holding) -> bool,
    ) -> Result<(), nuthatch_disk::vault::VaultError> {
        for prefix in 0..=u8::MAX {
            let mut after = None;
            loop {
                let page = self.vault.holdings(archive, prefix, after, HOLDINGS_PAGE)?;
                let is_last = page.len() < HOLDINGS_PAGE;
                for held in page {
                    after = Some((held.label, held.index));
                    if !take(Holding {
                        label: held.label,
                        index: held.index,
                    }) {
                        return Ok(());
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Other members that may hold parts of an archive, and where they say that they are.
    pub(crate) fn introductions(&self, _archive: &ArchiveId) -> List<Introduction, INTRODUCTIONS_MAX> {
        let items = self.circle.read(|roster| {
            let own = self.identity.node;
            let mut items: Vec<Introduction> = roster
                .items()
                .filter_map(|item| match item {
                    RosterItem::Addresses(signed) => {
                        let node = signed.open().ok()?.node;
                        let is_other_member = node != own && roster.is_member(&node);
                        is_other_member.then(|| Introduction {
                            node,
                            addresses: Some(signed.clone()),
                        })
                    }
                    _ => None,
                })
                .collect();
            items.sort_by_key(|introduction| introduction.node);
            items
        });
        List::first_of(items.unwrap_or_default())
    }

    /// Tells the engine what the vault is like.
    pub(crate) fn vault_changed(&self) {
        match self.vault_facts() {
            Ok(facts) => self.engine.tell_soon(Input::Vault(facts)),
            Err(error) => self.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the vault's disk can't be asked: {error}"),
            ),
        }
    }

    pub(crate) fn vault_facts(&self) -> Result<VaultFacts, FileError> {
        let space = nuthatch_disk::atomic::disk_space(self.home.root())?;
        let mut used: BTreeMap<ArchiveId, ByteCount> = self
            .vault
            .usages()
            .into_iter()
            .map(|(archive, usage)| (archive, usage.bytes))
            .collect();
        let own = self.owned().map(|owned| owned.archive);
        for archive in self.segments.archives() {
            if Some(archive) != own {
                let bytes = used.entry(archive).or_default();
                *bytes = bytes.saturating_add(self.segments.usage(&archive));
            }
        }
        Ok(VaultFacts {
            quota: self.config().quota.unwrap_or_default(),
            generous: false,
            disk_free: space.free,
            used,
        })
    }
}
