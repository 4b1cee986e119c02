//! What this node knows of archives, its own and those that it hosts: statements in memory, segments and statements kept on disk.
//!
//! Everything is verified here before it is kept; what is kept was synced. Which archives are hosted is the engine's verdict: a lease
//! makes one known.

mod belief;
mod statements;

use std::collections::BTreeMap;

use nuthatch_disk::segment_store::{PutSegment, PutSegmentError};
use nuthatch_disk::{FileError, IndexError};
use nuthatch_engine::boundary::{Input, VaultFacts};
use nuthatch_format::journal::{LineHead, SignedSegment};
use nuthatch_format::statement::Belief;
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId};
use nuthatch_wire::attest::{AttestError, Attestation};
use nuthatch_wire::bounded::List;
use nuthatch_wire::bulk::Refusal;
use nuthatch_wire::inventory::Holding;
use nuthatch_wire::message::{INTRODUCTIONS_MAX, Introduction, LINES_MAX, RosterItem};
use nuthatch_wire::receipt::SegmentReceipt;

use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;

pub(crate) use belief::Beliefs;
pub(crate) use statements::Statements;

/// Holdings read at a time.
const HOLDINGS_PAGE: usize = 4096;

/// Lines that are kept of one device of a hosted archive. A device begins a new one only when its home was cloned or rolled back; one
/// that is stolen can't take the places of the others.
const LINES_PER_DEVICE_MAX: usize = 64;

const _: () = assert!(LINES_PER_DEVICE_MAX < LINES_MAX);

/// Why a segment is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepSegmentError {
    /// Its signature does not hold.
    #[error("the segment is not signed by its device")]
    Signature,
    /// No certificate of the archive makes its device a writer.
    #[error("no certificate makes the segment's device a writer of its archive")]
    NotCertified,
    /// The device, or its archive, has as many lines as are kept.
    #[error("as many lines of this archive are here as are kept")]
    TooManyLines,
    /// The device has added as much as its certificate allows it.
    #[error("the device has used up its budget of {budget} bytes")]
    OverBudget {
        /// What its certificate allows.
        budget: u64,
    },
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
            Self::TooManyLines | Self::OverBudget { .. } | Self::Put(_) => Refusal::Full,
        }
    }
}

impl Node {
    /// Keeps a segment of a hosted archive, as far as its device may still add something here. Answers whether it is new.
    pub(crate) fn host_segment(
        &self,
        segment: &SignedSegment,
        from: NodeId,
    ) -> Result<bool, KeepSegmentError> {
        let public = segment.public();
        let at_place = self
            .segments
            .segments_at(&public.archive, &public.line, public.sequence)
            .map_err(PutSegmentError::from)?;
        if at_place.iter().all(|stored| stored.head.segment != segment.id()) {
            self.check_bounds(segment)?;
        }
        self.keep_segment(segment, from)
    }

    fn check_bounds(&self, segment: &SignedSegment) -> Result<(), KeepSegmentError> {
        let public = segment.public();
        let lines = self.segments.lines(&public.archive);
        let of_device = lines.iter().filter(|line| line.head.device == public.device);
        let is_full = lines.len() >= LINES_MAX || of_device.count() >= LINES_PER_DEVICE_MAX;
        if is_full && lines.iter().all(|line| line.head.line != public.line) {
            return Err(KeepSegmentError::TooManyLines);
        }
        let statements = self.known_statements(&public.archive);
        let certificate = statements
            .as_ref()
            .and_then(|set| set.certificate_of(&public.device));
        let budget = certificate.map_or(u64::MAX, |certificate| certificate.byte_budget.0);
        let used = self.segments.usage_of_device(&public.archive, &public.device);
        if used.0.saturating_add(segment.bytes().len() as u64) > budget {
            return Err(KeepSegmentError::OverBudget { budget });
        }
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

    /// Whether a label's id stands in a segment that is here and believed, of whichever line.
    pub(crate) fn believes_label(&self, archive: &ArchiveId, label: &LabelId) -> Result<bool, IndexError> {
        let Some(statements) = self.known_statements(archive) else {
            return Ok(false);
        };
        let mut beliefs = Beliefs::new(*archive, &statements, &self.segments);
        for (line, sequence) in self.segments.label_places(archive, label)? {
            for stored in self.segments.segments_at(archive, &line, sequence)? {
                if beliefs.believes(&stored.head)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
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

    /// Other members, each of which may hold parts of an archive, and where they say that they are.
    pub(crate) fn introductions(&self) -> List<Introduction, INTRODUCTIONS_MAX> {
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
        let config = self.config();
        let members = self.circle.members();
        let of_archive = |node: &NodeId| {
            Some((
                *node,
                self.circle.read(|roster| roster.archive_of(node)).flatten()?,
            ))
        };
        let owners: BTreeMap<NodeId, ArchiveId> = members.iter().filter_map(of_archive).collect();
        let limit = |(node, most): (&NodeId, &ByteCount)| Some((*owners.get(node)?, *most));
        Ok(VaultFacts {
            quota: config.quota.unwrap_or_default(),
            generous: config.generous.unwrap_or(own.is_none()),
            disk_free: space.free,
            used,
            stance: config.stance(),
            limits: config.peer_quotas.iter().filter_map(limit).collect(),
            owners,
        })
    }
}
