//! All statements of an archive together, and who wins where two disagree.
//!
//! Revoked beats certified; of several revocations only what all of them believe is believed. Keep beats delete, as long as one signer of a
//! `keep` stands: the archive always does, a device while it is certified. The highest epoch is the epoch. Of two certificates for one
//! device, or two budgets for one steward, the later one counts (by time, then by id). The answers depend on the set alone, never on
//! the order in which statements came.

use std::collections::{BTreeMap, BTreeSet};

use super::{Capabilities, Certificate, LastBelieved, SignedStatement, Signer, Statement};
use crate::id::{ArchiveId, DeviceId, LabelId, LineId, NodeId, StatementId};
use crate::units::{ByteCount, Epoch, Span, Timestamp};

/// Most statements kept for an archive.
pub const STATEMENTS_MAX: usize = 8192;
/// Most bytes of statements kept for an archive.
pub const STATEMENTS_LEN_MAX: usize = 16 * 1024 * 1024;
/// Most statements kept of one device, so that one device can't use up the archive's room.
pub const DEVICE_STATEMENTS_MAX: usize = 256;
/// Room that statements by devices leave to the archive's own.
const ARCHIVE_RESERVE: usize = 2;

/// What became of a statement that was given to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the set now.
    New,
    /// It was there before.
    Known,
}

/// Why a statement is not taken into a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// It is about another archive.
    #[error("the statement is about another archive")]
    OtherArchive,
    /// Its signature does not match.
    #[error("the statement is not signed by its signer")]
    Signature,
    /// The signing device has no certificate here. It may be taken when that has come.
    #[error("the statement is by a device that the archive has not certified")]
    UnknownDevice,
    /// No room.
    #[error("no more statements are kept for this archive")]
    Full,
}

/// What is believed of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belief {
    /// Every segment: its device is certified.
    All,
    /// Only segments that are one of these, or lead to it by their successors' `previous`; of several, to each.
    UpTo(Vec<LastBelieved>),
    /// Nothing: its device is unknown, may not write, or was revoked without naming the line.
    Nothing,
}

#[derive(Debug, Default, Clone)]
struct Orders {
    deleted: bool,
    keepers: Vec<Signer>,
}

type Newest<T> = (Timestamp, StatementId, T);

/// The statements of one archive; everything in it is verified.
#[derive(Debug, Clone)]
pub struct StatementSet {
    archive: ArchiveId,
    all: BTreeMap<StatementId, SignedStatement>,
    len: usize,
    by_devices: usize,
    certificates: BTreeMap<DeviceId, Newest<Certificate>>,
    revocations: BTreeMap<DeviceId, Vec<Vec<LastBelieved>>>,
    stewards: BTreeMap<NodeId, Newest<ByteCount>>,
    mirrors: BTreeSet<NodeId>,
    delays: BTreeMap<StatementId, (Timestamp, Span)>,
    epoch: Epoch,
    orders: BTreeMap<LabelId, Orders>,
}

impl StatementSet {
    /// None yet.
    pub fn new(archive: ArchiveId) -> Self {
        Self {
            archive,
            all: BTreeMap::new(),
            len: 0,
            by_devices: 0,
            certificates: BTreeMap::new(),
            revocations: BTreeMap::new(),
            stewards: BTreeMap::new(),
            mirrors: BTreeSet::new(),
            delays: BTreeMap::new(),
            epoch: Epoch::default(),
            orders: BTreeMap::new(),
        }
    }

    /// The archive.
    pub fn archive(&self) -> ArchiveId {
        self.archive
    }

    /// Verifies a statement and takes it in.
    pub fn insert(&mut self, statement: SignedStatement) -> Result<Inserted, InsertError> {
        if statement.archive() != self.archive {
            return Err(InsertError::OtherArchive);
        }
        if self.all.contains_key(&statement.id()) {
            return Ok(Inserted::Known);
        }
        statement.verify().map_err(|_| InsertError::Signature)?;
        self.make_room(&statement)?;
        self.apply(&statement);
        self.len += statement.bytes().len();
        self.by_devices += usize::from(statement.signer() != Signer::Archive);
        self.all.insert(statement.id(), statement);
        Ok(Inserted::New)
    }

    fn make_room(&self, statement: &SignedStatement) -> Result<(), InsertError> {
        let len = self.len + statement.bytes().len();
        let fits = match statement.signer() {
            Signer::Archive => self.all.len() < STATEMENTS_MAX && len <= STATEMENTS_LEN_MAX,
            Signer::Device { device } => {
                if !self.certificates.contains_key(&device) {
                    return Err(InsertError::UnknownDevice);
                }
                let own = self.all.values().filter(|one| one.signer() == statement.signer());
                self.by_devices < STATEMENTS_MAX / ARCHIVE_RESERVE
                    && len <= STATEMENTS_LEN_MAX / ARCHIVE_RESERVE
                    && own.count() < DEVICE_STATEMENTS_MAX
            }
        };
        if fits { Ok(()) } else { Err(InsertError::Full) }
    }

    fn apply(&mut self, signed: &SignedStatement) {
        let (time, id) = (signed.time(), signed.id());
        match signed.unverified() {
            Statement::Certified { certificate } => {
                let newest = (time, id, certificate.clone());
                keep_newest(&mut self.certificates, certificate.device, newest);
            }
            Statement::Revoked { device, after } => {
                self.revocations.entry(*device).or_default().push(after.clone());
            }
            Statement::Steward { node, byte_budget } => {
                keep_newest(&mut self.stewards, *node, (time, id, *byte_budget));
            }
            Statement::Mirror { node } => {
                self.mirrors.insert(*node);
            }
            Statement::Epoch { epoch, .. } => self.epoch = self.epoch.max(*epoch),
            Statement::Delay { span } => {
                self.delays.insert(id, (time, *span));
            }
            Statement::Delete { labels } => {
                for label in labels {
                    self.orders.entry(*label).or_default().deleted = true;
                }
            }
            Statement::Keep { labels } => {
                for label in labels {
                    let keepers = &mut self.orders.entry(*label).or_default().keepers;
                    if !keepers.contains(&signed.signer()) {
                        keepers.push(signed.signer());
                    }
                }
            }
        }
    }

    /// Every statement, by id: also those that others beat, since they are kept and passed on.
    pub fn all(&self) -> impl Iterator<Item = &SignedStatement> {
        self.all.values()
    }

    /// Whether a statement is in the set.
    pub fn contains(&self, id: &StatementId) -> bool {
        self.all.contains_key(id)
    }

    /// The certificate of a device that is not revoked.
    pub fn certificate_of(&self, device: &DeviceId) -> Option<&Certificate> {
        self.certificate_statement_of(device)
            .map(|(_, certificate)| certificate)
    }

    /// The certificate of a device that is not revoked, with the statement that makes it.
    pub fn certificate_statement_of(&self, device: &DeviceId) -> Option<(&SignedStatement, &Certificate)> {
        if self.is_revoked(device) {
            return None;
        }
        let (_, id, certificate) = self.certificates.get(device)?;
        Some((self.all.get(id)?, certificate))
    }

    /// The certificate of the unrevoked device that runs a node.
    pub fn certificate_of_node(&self, node: &NodeId) -> Option<&Certificate> {
        self.certificates().find(|certificate| certificate.node == *node)
    }

    /// The certificates of all devices that are not revoked, by device.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates
            .iter()
            .filter(|(device, _)| !self.is_revoked(device))
            .map(|(_, (_, _, certificate))| certificate)
    }

    /// The last name that a device was certified under, whether it is revoked or not.
    pub fn name_of(&self, device: &DeviceId) -> Option<&str> {
        self.certificates
            .get(device)
            .map(|(_, _, certificate)| certificate.name.as_str())
    }

    /// Whether a device was revoked.
    pub fn is_revoked(&self, device: &DeviceId) -> bool {
        self.revocations.contains_key(device)
    }

    /// Whether the last certificate of a device, revoked since or not, gives it these rights.
    pub fn gives(&self, device: &DeviceId, capabilities: Capabilities) -> bool {
        self.certificates
            .get(device)
            .is_some_and(|(_, _, certificate)| certificate.capabilities.include(capabilities))
    }

    /// What is believed of a device's line.
    pub fn belief(&self, device: &DeviceId, line: &LineId) -> Belief {
        if !self.gives(device, Capabilities::WRITE) {
            return Belief::Nothing;
        }
        let Some(revocations) = self.revocations.get(device) else {
            return Belief::All;
        };
        let mut ends = Vec::new();
        for after in revocations {
            let Some(last) = after.iter().find(|last| last.line == *line) else {
                return Belief::Nothing;
            };
            if !ends.contains(last) {
                ends.push(*last);
            }
        }
        ends.sort_unstable();
        Belief::UpTo(ends)
    }

    /// The epoch that writers use.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The archive's stewards, with how many bytes a day each may fetch from a host. One whose budget is zero is none (any more).
    pub fn stewards(&self) -> impl Iterator<Item = (NodeId, ByteCount)> {
        self.stewards
            .iter()
            .map(|(node, (_, _, budget))| (*node, *budget))
            .filter(|(_, budget)| *budget > ByteCount::ZERO)
    }

    /// How many bytes a day a node may fetch from a host as a steward; `None` for a node that is none.
    pub fn steward_budget(&self, node: &NodeId) -> Option<ByteCount> {
        let (_, _, budget) = self.stewards.get(node)?;
        (*budget > ByteCount::ZERO).then_some(*budget)
    }

    /// The statement that makes a node a steward, when one does.
    pub fn steward_statement(&self, node: &NodeId) -> Option<&SignedStatement> {
        let (_, id, budget) = self.stewards.get(node)?;
        self.all.get(id).filter(|_| *budget > ByteCount::ZERO)
    }

    /// When the last statement about a steward was made, by its signer's word; also of one that is none any more.
    pub fn steward_stated_at(&self, node: &NodeId) -> Option<Timestamp> {
        self.stewards.get(node).map(|(time, _, _)| *time)
    }

    /// Whether a node may keep every shard of a stripe.
    pub fn is_mirror(&self, node: &NodeId) -> bool {
        self.mirrors.contains(node)
    }

    /// All delays ever ordered, with when their signer says so. A host puts a shorter one in force only when
    /// the one before has passed since its arrival.
    pub fn delays(&self) -> impl Iterator<Item = (StatementId, Timestamp, Span)> {
        self.delays.iter().map(|(id, (time, span))| (*id, *time, *span))
    }

    /// Whether shards of a label are ordered away, and nobody's `keep` holds them.
    pub fn is_deleted(&self, label: &LabelId) -> bool {
        self.orders.get(label).is_some_and(|orders| {
            orders.deleted
                && !orders.keepers.iter().any(|keeper| match keeper {
                    Signer::Archive => true,
                    Signer::Device { device } => self.certificate_of(device).is_some(),
                })
        })
    }
}

fn keep_newest<K: Ord, T>(map: &mut BTreeMap<K, Newest<T>>, key: K, newest: Newest<T>) {
    match map.entry(key) {
        std::collections::btree_map::Entry::Vacant(place) => {
            place.insert(newest);
        }
        std::collections::btree_map::Entry::Occupied(mut place) => {
            if (place.get().0, place.get().1) < (newest.0, newest.1) {
                place.insert(newest);
            }
        }
    }
}
