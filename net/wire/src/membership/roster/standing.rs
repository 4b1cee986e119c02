//! Who is a member, as a function of verified items; and which items nobody had the right to say, so that they are dropped.
//!
//! The rules, in the order in which they are applied:
//! 1. The charter with the highest epoch is in force. Its admins may invite, decide and remove, until the circle's key removes them.
//! 2. A removal by the circle's key counts for anybody, one by an admin for anybody but an admin.
//! 3. An admission counts when an admin invited and a node that is or was vouched for admitted. Rounds outward from the admins: in each,
//!    the earliest admissions take the invitation's uses that are left, and whoever comes later waits. An admin's approval takes no use.
//!    Of those that wait, each member has admitted a few at most; the others are dropped.
//! 4. A removal beats the admissions by invitations of its epoch and before.
//! 5. An archive belongs to the circle when a node that is a member by itself says that it is of that archive, and a certificate of the
//!    archive says the same, revoked or not: revoking a stolen device must not put its owner out. All nodes with an unrevoked certificate
//!    are members then, but for those that were removed.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_format::statement::{Statement, StatementSet};
use nuthatch_format::{ArchiveId, CircleId, NodeId};

use super::item::{Admitted, Fact, Known};
use super::{
    ADMISSIONS_MAX, CIRCLE_MEMBERS_MAX, REMOVALS_MAX, STATEMENTS_PER_ARCHIVE_MAX, Standing,
    WAITING_PER_MEMBER_MAX,
};
use crate::attest::Digest;
use crate::membership::addresses::NodeAddresses;
use crate::membership::charter::{Charter, Removal};

type Items = BTreeMap<Digest, Known>;

/// What follows from a roster's items.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    pub(super) charter: Option<Charter>,
    pub(super) standings: BTreeMap<NodeId, Standing>,
    /// Whose admission waits for a person, and by which invitation it was made.
    pub(super) waiting: BTreeMap<NodeId, [u8; 32]>,
    /// The latest epoch in which each was removed.
    pub(super) removals: BTreeMap<NodeId, u32>,
    /// Who took a use of each invitation.
    pub(super) users: BTreeMap<[u8; 32], BTreeSet<NodeId>>,
    pub(super) addresses: BTreeMap<NodeId, NodeAddresses>,
    pub(super) archives: BTreeMap<ArchiveId, StatementSet>,
    pub(super) names: BTreeMap<NodeId, String>,
}

impl Members {
    /// Applies the rules, and drops the items that they give no weight.
    pub(super) fn of(circle: CircleId, items: &mut Items) -> Self {
        let mut members = Self::default();
        let mut kept = BTreeSet::new();
        let Some(charter) = charter_in_force(items, &mut kept) else {
            items.clear();
            return members;
        };
        members.removals = removals(items, circle, &charter, &mut kept);
        let admins = charter.admins.iter().copied();
        let admins: BTreeSet<NodeId> = admins
            .filter(|admin| {
                members
                    .removals
                    .get(admin)
                    .is_none_or(|epoch| *epoch < charter.epoch)
            })
            .collect();
        members.stand_by_themselves(items, &charter, &admins, &mut kept);
        members.take_addresses(items);
        members.stand_by_archives(items, &mut kept);
        members.keep_addresses(items, &mut kept);
        let standings = &members.standings;
        members.waiting.retain(|node, _| !standings.contains_key(node));
        members.charter = Some(charter);
        items.retain(|digest, _| kept.contains(digest));
        members
    }

    /// Rules 3 and 4.
    fn stand_by_themselves(
        &mut self,
        items: &Items,
        charter: &Charter,
        admins: &BTreeSet<NodeId>,
        kept: &mut BTreeSet<Digest>,
    ) {
        let mut open = admissions(items, charter, admins);
        let mut vouched: BTreeMap<NodeId, u32> = admins.iter().map(|admin| (*admin, charter.epoch)).collect();
        let mut weighed = Weighed::default();
        loop {
            let (round, later): (Vec<_>, Vec<_>) = open
                .into_iter()
                .partition(|(_, admitted)| vouched.contains_key(&admitted.admitted_by));
            open = later;
            if round.is_empty() {
                break;
            }
            for (digest, admitted) in round {
                let users = self.users.entry(admitted.invite_public).or_default();
                let known = vouched.get(&admitted.node).copied();
                let has_room = known.is_some() || vouched.len() < CIRCLE_MEMBERS_MAX;
                let counts = admitted.approved
                    || users.contains(&admitted.node)
                    || users.len() < usize::try_from(admitted.uses).unwrap_or(usize::MAX);
                if !(counts && has_room) {
                    weighed.waiting(digest, admitted);
                    continue;
                }
                let takes_use = !admitted.approved && users.insert(admitted.node);
                let raises = known.is_none_or(|epoch| epoch < admitted.epoch);
                vouched.insert(admitted.node, admitted.epoch.max(known.unwrap_or_default()));
                weighed.counted(digest, admitted, takes_use || raises);
            }
        }
        for (digest, admitted, is_waiting) in weighed.kept() {
            kept.insert(digest);
            self.names
                .insert(admitted.node, admitted.name.as_str().to_owned());
            if is_waiting {
                self.waiting.insert(admitted.node, admitted.invite_public);
            }
        }
        for (node, epoch) in vouched {
            if admins.contains(&node) {
                self.standings.insert(node, Standing::Admin);
            } else if self.removals.get(&node).is_none_or(|removed| *removed < epoch) {
                self.standings.insert(node, Standing::Admitted);
            }
        }
    }

    /// The newest words of each node on where it is.
    fn take_addresses(&mut self, items: &Items) {
        for known in items.values() {
            if let Fact::Addresses(addresses) = known.fact() {
                let newest = self
                    .addresses
                    .entry(addresses.node)
                    .or_insert_with(|| addresses.clone());
                // Equal times: the item with the greater digest, as items come in that order.
                if newest.at <= addresses.at {
                    *newest = addresses.clone();
                }
            }
        }
    }

    /// Rule 5.
    fn stand_by_archives(&mut self, items: &Items, kept: &mut BTreeSet<Digest>) {
        let claims: Vec<(NodeId, ArchiveId)> = self
            .addresses
            .values()
            .filter(|addresses| self.standings.contains_key(&addresses.node))
            .filter_map(|addresses| Some((addresses.node, addresses.archive?)))
            .collect();
        let claimed: BTreeSet<ArchiveId> = claims.iter().map(|(_, archive)| *archive).collect();
        let sets = statements(items, &claimed, kept);
        for (node, archive) in claims {
            if let Some(set) = sets.get(&archive).filter(|set| has_certified(set, &node)) {
                self.archives.entry(archive).or_insert_with(|| set.clone());
            }
        }
        for (archive, set) in &self.archives {
            for certificate in set.certificates() {
                if !self.removals.contains_key(&certificate.node) {
                    self.standings
                        .entry(certificate.node)
                        .or_insert(Standing::OfArchive(*archive));
                    self.names
                        .entry(certificate.node)
                        .or_insert_with(|| certificate.name.clone());
                }
            }
        }
    }

    /// Keeps one record of each member, and none of others.
    fn keep_addresses(&mut self, items: &Items, kept: &mut BTreeSet<Digest>) {
        self.addresses.retain(|node, _| self.standings.contains_key(node));
        for (digest, known) in items {
            if let Fact::Addresses(addresses) = known.fact()
                && self.addresses.get(&addresses.node) == Some(addresses)
            {
                kept.insert(*digest);
            }
        }
    }
}

/// Whether the archive has ever certified the node.
fn has_certified(set: &StatementSet, node: &NodeId) -> bool {
    set.all().any(|signed| match signed.unverified() {
        Statement::Certified { certificate } => certificate.node == *node,
        Statement::Revoked { .. }
        | Statement::Steward { .. }
        | Statement::Mirror { .. }
        | Statement::Epoch { .. }
        | Statement::Delay { .. }
        | Statement::Delete { .. }
        | Statement::Keep { .. } => false,
    })
}

/// Rule 1. Of two charters of one epoch the one with the greater digest, on every node.
fn charter_in_force(items: &Items, kept: &mut BTreeSet<Digest>) -> Option<Charter> {
    let charters = items.iter().filter_map(|(digest, known)| match known.fact() {
        Fact::Charter(charter) => Some((charter.epoch, *digest, charter)),
        Fact::Admission(_) | Fact::Removal(_) | Fact::Addresses(_) | Fact::Statement(_) => None,
    });
    let (_, digest, charter) = charters.max_by_key(|(epoch, digest, _)| (*epoch, *digest))?;
    kept.insert(digest);
    Some(charter.clone())
}

/// Rule 2: the latest removal of each node.
fn removals(
    items: &Items,
    circle: CircleId,
    charter: &Charter,
    kept: &mut BTreeSet<Digest>,
) -> BTreeMap<NodeId, u32> {
    let all: Vec<(Digest, &Removal)> = items
        .iter()
        .filter_map(|(digest, known)| match known.fact() {
            Fact::Removal(removal) => Some((*digest, removal)),
            Fact::Charter(_) | Fact::Admission(_) | Fact::Addresses(_) | Fact::Statement(_) => None,
        })
        .filter(|(_, removal)| removal.epoch <= charter.epoch)
        .collect();
    let by_circle = |removal: &Removal| *removal.removed_by == *circle.as_bytes();
    let removed_admin = |admin: &NodeId| {
        all.iter().any(|(_, removal)| {
            by_circle(removal) && removal.node == *admin && removal.epoch == charter.epoch
        })
    };
    let by_admin = |removal: &Removal| {
        NodeId::from_slice(removal.removed_by.as_slice())
            .is_some_and(|admin| charter.admins.contains(&admin) && !removed_admin(&admin))
    };
    let mut latest: BTreeMap<NodeId, (u32, Digest)> = BTreeMap::new();
    for (digest, removal) in &all {
        if by_circle(removal) || (by_admin(removal) && !charter.admins.contains(&removal.node)) {
            let newest = latest.entry(removal.node).or_insert((removal.epoch, *digest));
            *newest = (*newest).max((removal.epoch, *digest));
        }
    }
    latest
        .into_iter()
        .take(REMOVALS_MAX)
        .map(|(node, (epoch, digest))| {
            kept.insert(digest);
            (node, epoch)
        })
        .collect()
}

/// The admissions that an admin's invitation stands behind, earliest first, one of each node by each member.
fn admissions(items: &Items, charter: &Charter, admins: &BTreeSet<NodeId>) -> Vec<(Digest, Admitted)> {
    let mut all: Vec<(Digest, Admitted)> = items
        .iter()
        .filter_map(|(digest, known)| match known.fact() {
            Fact::Admission(admitted) => Some((*digest, admitted.clone())),
            Fact::Charter(_) | Fact::Removal(_) | Fact::Addresses(_) | Fact::Statement(_) => None,
        })
        .filter(|(_, admitted)| admins.contains(&admitted.inviter) && admitted.epoch <= charter.epoch)
        .filter(|(_, admitted)| !admitted.approved || admins.contains(&admitted.admitted_by))
        .collect();
    all.sort_by_key(|(digest, admitted)| (admitted.admitted_at, *digest));
    let mut seen = BTreeSet::new();
    all.retain(|(_, admitted)| {
        seen.insert((
            admitted.invite_public,
            admitted.node,
            admitted.admitted_by,
            admitted.approved,
        ))
    });
    all
}

/// Admissions by what hangs on them. A member can admit whomever it makes up, at any time that it likes, so time alone must not say
/// which are kept: those that make somebody a member come before those that wait, and of those each member has a few.
#[derive(Debug, Default)]
struct Weighed {
    bearing: Vec<(Digest, Admitted)>,
    waiting: Vec<(Digest, Admitted)>,
    idle: Vec<(Digest, Admitted)>,
    waiting_by: BTreeMap<NodeId, usize>,
}

impl Weighed {
    /// One that counts; `bears` when somebody's standing or an invitation's uses would be others without it.
    fn counted(&mut self, digest: Digest, admitted: Admitted, bears: bool) {
        if bears {
            self.bearing.push((digest, admitted));
        } else {
            self.idle.push((digest, admitted));
        }
    }

    /// One that waits for a person.
    fn waiting(&mut self, digest: Digest, admitted: Admitted) {
        let count = self.waiting_by.entry(admitted.admitted_by).or_default();
        *count += 1;
        if *count <= WAITING_PER_MEMBER_MAX {
            self.waiting.push((digest, admitted));
        }
    }

    /// Those that are kept, at most [`ADMISSIONS_MAX`], and whether they wait.
    fn kept(self) -> impl Iterator<Item = (Digest, Admitted, bool)> {
        let all = |some: Vec<(Digest, Admitted)>, is_waiting| {
            some.into_iter()
                .map(move |(digest, admitted)| (digest, admitted, is_waiting))
        };
        all(self.bearing, false)
            .chain(all(self.waiting, true))
            .chain(all(self.idle, false))
            .take(ADMISSIONS_MAX)
    }
}

/// What the archives that members claim say of their devices. Revocations first, then the newest, so that none is crowded out.
fn statements(
    items: &Items,
    claimed: &BTreeSet<ArchiveId>,
    kept: &mut BTreeSet<Digest>,
) -> BTreeMap<ArchiveId, StatementSet> {
    let mut found = Vec::new();
    for (digest, known) in items {
        if let Fact::Statement(statement) = known.fact()
            && claimed.contains(&statement.archive())
        {
            let revokes = matches!(statement.unverified(), Statement::Revoked { .. });
            found.push((!revokes, std::cmp::Reverse(statement.time()), *digest, statement));
        }
    }
    found.sort_by_key(|(certifies, newest, digest, _)| (*certifies, *newest, *digest));
    let mut sets: BTreeMap<ArchiveId, StatementSet> = BTreeMap::new();
    for (_, _, digest, statement) in found {
        let archive = statement.archive();
        let set = sets.entry(archive).or_insert_with(|| StatementSet::new(archive));
        if set.all().count() < STATEMENTS_PER_ARCHIVE_MAX && set.insert(statement.clone()).is_ok() {
            kept.insert(digest);
        }
    }
    sets
}
