//! The circle as this node knows it: the roster on disk and in memory, the gate that follows it, and where members were seen.
//!
//! Who is a member is the roster's verdict; this file keeps it, durable before it counts, and tells the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nuthatch_disk::FileError;
use nuthatch_disk::atomic::{self, Access};
use nuthatch_format::codec;
use nuthatch_format::{CircleId, NodeId, Timestamp};
use nuthatch_wire::membership::{Changes, ROSTER_ITEMS_MAX, Roster};
use nuthatch_wire::message::{ROSTER_ITEM_LEN_MAX, RosterItem};
use parking_lot::{Mutex, RwLock};

use crate::gate::NodeGate;

/// The roster's file inside a home.
const FILE_NAME: &str = "roster";

/// Longest roster file, in bytes.
const FILE_LEN_MAX: u64 = 32 + (ROSTER_ITEMS_MAX as u64) * (4 + ROSTER_ITEM_LEN_MAX as u64);

/// Nodes whose addresses are remembered from sight.
const SIGHTED_MAX: usize = 1024;

/// Addresses remembered of one node.
const ADDRESSES_MAX: usize = 16;

/// The circle of one node; it may have none yet.
#[derive(Debug)]
pub(crate) struct Circle {
    path: PathBuf,
    roster: RwLock<Option<Roster>>,
    /// Serializes changes, so that the file always holds what the memory does.
    turn: Mutex<()>,
    gate: Arc<NodeGate>,
    sighted: RwLock<BTreeMap<NodeId, Vec<String>>>,
}

/// Why the roster could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CircleError {
    /// Another circle than the one that this node is in.
    #[error("this node belongs to another circle")]
    OtherCircle,
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Circle {
    /// Reads the roster of a home. Items that do not hold are left out: the roster is learned again from any member.
    pub(crate) fn open(home: &Path, gate: Arc<NodeGate>) -> Result<Self, CircleError> {
        let path = home.join(FILE_NAME);
        let roster = atomic::read_file(&path, FILE_LEN_MAX)?.and_then(|bytes| parse(&bytes));
        let circle = Self {
            path,
            roster: RwLock::new(roster),
            turn: Mutex::new(()),
            gate,
            sighted: RwLock::default(),
        };
        circle.tell_gate();
        Ok(circle)
    }

    /// The gate that follows this circle.
    pub(crate) fn gate(&self) -> &Arc<NodeGate> {
        &self.gate
    }

    /// Reads the roster, where there is one.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Roster) -> T) -> Option<T> {
        self.roster.read().as_ref().map(look)
    }

    /// The circle's id.
    pub(crate) fn id(&self) -> Option<CircleId> {
        self.read(Roster::circle)
    }

    /// Members, ascending.
    pub(crate) fn members(&self) -> Vec<NodeId> {
        self.read(|roster| roster.members().map(|(node, _)| node).collect())
            .unwrap_or_default()
    }

    /// What a node is called: by the roster, else the beginning of its id.
    pub(crate) fn name_of(&self, node: &NodeId) -> String {
        self.read(|roster| roster.name(node).map(str::to_owned))
            .flatten()
            .unwrap_or_else(|| node.short())
    }

    /// Enters a circle with what is known of it. A node that is in one already stays there.
    pub(crate) fn enter(&self, id: CircleId, items: Vec<RosterItem>) -> Result<Changes, CircleError> {
        self.change(|roster| match roster {
            Some(roster) if roster.circle() != id => Err(CircleError::OtherCircle),
            Some(roster) => Ok(roster.merge(items)),
            None => {
                let mut new = Roster::new(id);
                let changes = new.merge(items);
                *roster = Some(new);
                Ok(changes)
            }
        })
    }

    /// Takes what this node says itself; without a circle there is nothing to take it into.
    pub(crate) fn merge(&self, items: Vec<RosterItem>) -> Result<Changes, CircleError> {
        self.change(|roster| {
            let merged = roster.as_mut().map(|roster| roster.merge(items));
            Ok(merged.unwrap_or_default())
        })
    }

    /// Takes items from anybody, as often as they may come from one member.
    pub(crate) fn hear(&self, items: Vec<RosterItem>, now: Timestamp) -> Result<Changes, CircleError> {
        self.change(|roster| {
            let heard = roster.as_mut().map(|roster| roster.hear(items, now));
            Ok(heard.unwrap_or_default())
        })
    }

    /// Changes the roster: on a copy, written and synced, and only then seen by anybody.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Option<Roster>) -> Result<T, CircleError>,
    ) -> Result<T, CircleError> {
        let _turn = self.turn.lock();
        let mut roster = self.roster.read().clone();
        let before = roster.as_ref().map(Roster::digest);
        let outcome = change(&mut roster)?;
        if roster.as_ref().map(Roster::digest) != before {
            if let Some(roster) = &roster {
                atomic::write_file(&self.path, &to_bytes(roster), Access::Private)?;
            }
            *self.roster.write() = roster;
        }
        Ok(outcome)
    }

    /// Tells the gate who is a member now; answers whose standing changed.
    pub(crate) fn tell_gate(&self) -> Vec<NodeId> {
        self.gate
            .set_members(self.members().into_iter().collect::<BTreeSet<_>>())
    }

    /// Notes where a node was seen.
    pub(crate) fn sighted(&self, node: NodeId, addresses: impl IntoIterator<Item = String>) {
        let mut sighted = self.sighted.write();
        if !sighted.contains_key(&node) && sighted.len() >= SIGHTED_MAX {
            sighted.pop_first();
        }
        let known = sighted.entry(node).or_default();
        for address in addresses {
            known.retain(|other| *other != address);
            known.insert(0, address);
        }
        known.truncate(ADDRESSES_MAX);
    }

    /// Nodes that were seen somewhere, ascending.
    pub(crate) fn sighted_nodes(&self) -> Vec<NodeId> {
        self.sighted.read().keys().copied().collect()
    }

    /// Where a node may be reached: its own signed word first, then where it was seen.
    pub(crate) fn addresses_of(&self, node: &NodeId) -> Vec<String> {
        let announced = self.read(|roster| {
            let addresses = roster.addresses(node)?;
            Some(
                addresses
                    .addresses
                    .iter()
                    .map(|address| address.as_str().to_owned())
                    .collect::<Vec<_>>(),
            )
        });
        let mut addresses = announced.flatten().unwrap_or_default();
        for seen in self.sighted.read().get(node).into_iter().flatten() {
            if !addresses.contains(seen) {
                addresses.push(seen.clone());
            }
        }
        addresses
    }
}

/// The circle's id, then each item after its length (u32, little-endian).
fn to_bytes(roster: &Roster) -> Vec<u8> {
    let mut bytes = roster.circle().as_bytes().to_vec();
    for item in roster.items() {
        let item = codec::encode(item);
        bytes.extend_from_slice(&(item.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&item);
    }
    bytes
}

fn parse(bytes: &[u8]) -> Option<Roster> {
    let (id, mut rest) = bytes.split_at_checked(CircleId::LEN)?;
    let mut roster = Roster::new(CircleId::from_slice(id)?);
    let mut items = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let Some((item, after)) = after.split_at_checked(u32::from_le_bytes(*len) as usize) else {
            break;
        };
        match codec::decode(item) {
            Ok(item) => items.push(item),
            Err(error) => tracing::warn!("a damaged item of the roster is left out: {error}"),
        }
        rest = after;
    }
    roster.merge(items);
    Some(roster)
}
