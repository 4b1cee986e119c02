//! All that is known of a circle: a set of verified signed items, and who is a member by them.
//!
//! Two nodes with the same items have the same members, in whatever order the items came. Nothing gets in whose signatures do not
//! hold, and nothing stays that the members by now have no right to say, so strangers and former members can't fill it.

use std::collections::BTreeMap;

use nuthatch_format::statement::{Certificate, StatementSet};
use nuthatch_format::{ArchiveId, CircleId, NodeId};

use crate::attest::Digest;
use crate::bounded::List;
use crate::membership::addresses::NodeAddresses;
use crate::membership::charter::Charter;
use crate::message::{ROSTER_ITEMS_PER_PAGE_MAX, RosterItem, RosterPage, page_of};

mod item;
mod pace;
mod standing;
mod welcome;

pub use item::ItemError;
use item::Known;
use pace::Pace;
use standing::Members;

/// Nodes that are admitted by themselves; the nodes of their archives come on top.
pub const CIRCLE_MEMBERS_MAX: usize = 256;
/// Admissions that are kept: a member may have several, from different hosts, and those that wait are kept too.
pub const ADMISSIONS_MAX: usize = 2 * CIRCLE_MEMBERS_MAX;
/// Admissions by one member that wait for a person and are kept.
pub(crate) const WAITING_PER_MEMBER_MAX: usize = 16;
/// Removals that are kept.
pub const REMOVALS_MAX: usize = 1024;
/// Certificates and revocations that are kept of one member's archive, which bounds its nodes too.
pub const STATEMENTS_PER_ARCHIVE_MAX: usize = 32;
/// Items of a roster in all: the bound of what a node collects before it merges.
pub const ROSTER_ITEMS_MAX: usize =
    1 + ADMISSIONS_MAX + REMOVALS_MAX + CIRCLE_MEMBERS_MAX * (1 + 2 * STATEMENTS_PER_ARCHIVE_MAX);

const _: () =
    assert!(CIRCLE_MEMBERS_MAX < ADMISSIONS_MAX && crate::membership::ADMINS_MAX < CIRCLE_MEMBERS_MAX);

/// Why a node is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The charter names it.
    Admin,
    /// It was admitted by an invitation.
    Admitted,
    /// It is a certified node of an archive, another node of which is a member by itself.
    OfArchive(ArchiveId),
}

/// What a merge has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Items that are new here (count).
    pub added: usize,
    /// Items that did not hold, or that nobody here had the right to say (count).
    pub refused: usize,
    /// Items that hold, and were not taken because there was too much from the same member lately (count).
    pub late: usize,
    /// Nodes that have become members, ascending.
    pub joined: Vec<NodeId>,
    /// Nodes that are no longer members, ascending.
    pub left: Vec<NodeId>,
    /// Nodes whose admission now waits for a person, because an invitation was used more often than it is for, ascending.
    pub waiting: Vec<NodeId>,
}

/// What is known of one circle.
#[derive(Debug, Clone)]
pub struct Roster {
    circle: CircleId,
    items: BTreeMap<Digest, Known>,
    members: Members,
    /// Says nothing of the circle: how often this node has heard of whom.
    pace: Pace,
}

impl Roster {
    /// Knows nothing yet but the circle's key.
    pub fn new(circle: CircleId) -> Self {
        Self {
            circle,
            items: BTreeMap::new(),
            members: Members::default(),
            pace: Pace::default(),
        }
    }

    /// The circle.
    pub fn circle(&self) -> CircleId {
        self.circle
    }

    /// The charter in force, if one is known.
    pub fn charter(&self) -> Option<&Charter> {
        self.members.charter.as_ref()
    }

    /// Epoch of the charter in force; 0 without one.
    pub fn epoch(&self) -> u32 {
        self.charter().map_or(0, |charter| charter.epoch)
    }

    /// Takes items that this node kept or says itself. All items of a batch are looked at together, so their order does not matter; what
    /// comes in several batches may need another round, until the digests agree.
    ///
    /// At most [`ROSTER_ITEMS_MAX`] items of a batch are looked at.
    pub fn merge(&mut self, items: impl IntoIterator<Item = RosterItem>) -> Changes {
        let (known, changes) = self.verify(items);
        self.take(known, changes)
    }

    /// Items of a batch that are new here and hold.
    fn verify(&self, items: impl IntoIterator<Item = RosterItem>) -> (Vec<Known>, Changes) {
        let mut changes = Changes::default();
        let mut new = Vec::new();
        for item in items.into_iter().take(ROSTER_ITEMS_MAX) {
            match Known::verify(item, &self.circle) {
                Ok(known) if self.items.contains_key(&known.digest()) => (),
                Ok(known) => new.push(known),
                Err(_) => changes.refused += 1,
            }
        }
        (new, changes)
    }

    fn take(&mut self, new: Vec<Known>, mut changes: Changes) -> Changes {
        let mut added = Vec::new();
        for known in new {
            if self.items.insert(known.digest(), known.clone()).is_none() {
                added.push(known.digest());
            }
        }
        if added.is_empty() {
            return changes;
        }
        let before = std::mem::replace(&mut self.members, Members::of(self.circle, &mut self.items));
        let kept = added
            .iter()
            .filter(|digest| self.items.contains_key(digest))
            .count();
        changes.added = kept;
        changes.refused += added.len() - kept;
        changes.joined = missing_in(&self.members, &before);
        changes.left = missing_in(&before, &self.members);
        changes.waiting = self
            .members
            .waiting
            .keys()
            .filter(|node| !before.waiting.contains_key(*node))
            .copied()
            .collect();
        changes
    }

    /// Whether the circle hosts for this node.
    pub fn is_member(&self, node: &NodeId) -> bool {
        self.standing(node).is_some()
    }

    /// Why a node is a member, if it is one.
    pub fn standing(&self, node: &NodeId) -> Option<Standing> {
        self.members.standings.get(node).copied()
    }

    /// All members, ascending.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, Standing)> {
        self.members
            .standings
            .iter()
            .map(|(node, standing)| (*node, *standing))
    }

    /// Whether the charter names it, and it is not removed.
    pub fn is_admin(&self, node: &NodeId) -> bool {
        self.standing(node) == Some(Standing::Admin)
    }

    /// Whether it is a member by itself, not by its archive.
    pub fn is_admitted(&self, node: &NodeId) -> bool {
        matches!(self.standing(node), Some(Standing::Admin | Standing::Admitted))
    }

    /// Members by themselves (count).
    pub fn admitted_count(&self) -> usize {
        self.members
            .standings
            .keys()
            .filter(|node| self.is_admitted(node))
            .count()
    }

    /// Nodes whose admission waits for a person, ascending.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> {
        self.members.waiting.keys().copied()
    }

    /// The invitation by which a node asked whose admission waits.
    pub fn invitation_of_waiting(&self, node: &NodeId) -> Option<[u8; 32]> {
        self.members.waiting.get(node).copied()
    }

    /// Whether a node was removed, counting removals of this or a later epoch.
    pub fn is_removed(&self, node: &NodeId, epoch: u32) -> bool {
        self.members
            .removals
            .get(node)
            .is_some_and(|removed| *removed >= epoch)
    }

    /// The nodes that were admitted by an invitation without a person's decision, ascending.
    pub fn users_of(&self, invite_public: &[u8; 32]) -> impl Iterator<Item = NodeId> {
        self.members
            .users
            .get(invite_public)
            .into_iter()
            .flatten()
            .copied()
    }

    /// What a member last said of where it is.
    pub fn addresses(&self, node: &NodeId) -> Option<&NodeAddresses> {
        self.members.addresses.get(node)
    }

    /// What the admission of a node, or its archive's certificate, calls it.
    pub fn name(&self, node: &NodeId) -> Option<&str> {
        self.members.names.get(node).map(String::as_str)
    }

    /// The archive that a member is of: by its own word and the archive's, or by the archive through which it is a member.
    pub fn archive_of(&self, node: &NodeId) -> Option<ArchiveId> {
        let own = self.addresses(node).and_then(|addresses| addresses.archive);
        let certified = |archive: &ArchiveId| {
            self.members
                .archives
                .get(archive)
                .is_some_and(|set| set.certificate_of_node(node).is_some())
        };
        own.filter(certified).or_else(|| match self.standing(node)? {
            Standing::OfArchive(archive) => Some(archive),
            Standing::Admin | Standing::Admitted => None,
        })
    }

    /// The unrevoked certificates of a member's archive.
    pub fn certificates(&self, archive: &ArchiveId) -> impl Iterator<Item = &Certificate> {
        self.members
            .archives
            .get(archive)
            .into_iter()
            .flat_map(StatementSet::certificates)
    }

    /// BLAKE3 over the digests of all items, ascending: equal where two nodes know the same.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("nuthatch v1 roster digest");
        for digest in self.items.keys() {
            hasher.update(&digest.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// All items, by digest: what is written to disk, and merged again when the node starts.
    pub fn items(&self) -> impl Iterator<Item = &RosterItem> {
        self.items.values().map(Known::item)
    }

    /// The items after a digest, as many as fit a message.
    pub fn page(&self, after: Option<Digest>) -> RosterPage {
        let rest = || {
            self.items
                .iter()
                .filter(move |(digest, _)| after.is_none_or(|after| **digest > after))
        };
        let items: List<RosterItem, ROSTER_ITEMS_PER_PAGE_MAX> =
            page_of(rest().map(|(_, known)| known.item().clone()), item::encoded_len);
        let complete = rest().nth(items.len()).is_none();
        let next = if complete {
            None
        } else {
            rest().take(items.len()).last().map(|(digest, _)| *digest)
        };
        RosterPage { items, next }
    }
}

fn missing_in(these: &Members, those: &Members) -> Vec<NodeId> {
    these
        .standings
        .keys()
        .filter(|node| !those.standings.contains_key(*node))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests;
