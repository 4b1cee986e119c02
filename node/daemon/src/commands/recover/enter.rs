//! Entering the circle of the hosts that let a recovery in.
//!
//! A node enters one circle for good, so the word of whoever says that he lets us in does not count: the circle has to show that this
//! archive belongs to it, or be the one that the 24 words have founded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nuthatch_format::keys::ArchiveKeys;
use nuthatch_format::{CircleId, NodeId};
use nuthatch_wire::membership::{Charter, Roster};
use nuthatch_wire::message::RosterItem;

use super::claim::Granted;
use crate::events::FaultKind;
use crate::node::Node;
use crate::roster_sync;

/// Circles that are looked at, those that most hosts name first.
const CIRCLES_MAX: usize = 8;

/// Hosts that are asked about each.
const WITNESSES_MAX: usize = 4;

/// How long one may take to show its roster.
const SHOW_MAX: Duration = Duration::from_secs(20);

/// Enters the circle of the hosts: this node is a member by its archive. Whoever has the words of the founder becomes an admin again.
pub(super) async fn enter_circle(node: &Arc<Node>, granted: &BTreeMap<NodeId, Granted>, keys: &ArchiveKeys) {
    let founded = keys.owner_secrets().circle_id();
    let Some(id) = find_circle(node, granted, founded).await else {
        return;
    };
    let hosts: BTreeSet<NodeId> = granted
        .iter()
        .filter(|(_, grant)| grant.circle == Some(id))
        .map(|(host, _)| *host)
        .collect();
    exchange(node, &hosts).await;
    if founded == id
        && let Some(charter) = node
            .circle
            .read(|roster| next_charter(roster, node.identity.node))
            .flatten()
    {
        match nuthatch_wire::attest::Attestation::sign(&charter, &keys.circle) {
            Ok(signed) => {
                if let Err(error) = node.take_roster(vec![RosterItem::Charter(signed)]) {
                    node.events.fault(
                        FaultKind::OwnDisk,
                        None,
                        format!("the roster can't be written: {error}"),
                    );
                }
            }
            Err(error) => tracing::warn!("no new charter: {error}"),
        }
    }
    node.members_changed();
    node.publish_addresses().await;
    exchange(node, &hosts).await;
}

async fn exchange(node: &Arc<Node>, hosts: &BTreeSet<NodeId>) {
    for host in hosts {
        if let Err(error) = roster_sync::exchange(node, *host).await {
            tracing::debug!("the roster was not exchanged with {host:?}: {error}");
        }
    }
}

/// The circle that this node is in; else the first one that is shown to be its own, which is entered.
async fn find_circle(
    node: &Arc<Node>,
    granted: &BTreeMap<NodeId, Granted>,
    founded: CircleId,
) -> Option<CircleId> {
    if let Some(id) = node.circle.id() {
        return Some(id);
    }
    let mut named: BTreeMap<CircleId, Vec<NodeId>> = BTreeMap::new();
    for (host, grant) in granted {
        if let Some(circle) = grant.circle {
            named.entry(circle).or_default().push(*host);
        }
    }
    let mut circles: Vec<_> = named.into_iter().collect();
    circles.sort_by_key(|(circle, hosts)| (*circle != founded, std::cmp::Reverse(hosts.len())));
    for (circle, hosts) in circles.into_iter().take(CIRCLES_MAX) {
        let Some(items) = show(node, circle, &hosts, founded).await else {
            continue;
        };
        match node.circle.enter(circle, items) {
            Ok(_) => return Some(circle),
            Err(error) => {
                node.events
                    .say("circle", None, format!("the circle was not entered: {error}"));
                return None;
            }
        }
    }
    if granted.values().any(|grant| grant.circle.is_some()) {
        let message = "no circle that the hosts name knows this archive, so none was entered: ask a friend for an invitation";
        node.events.say("circle", None, message.to_owned());
    }
    None
}

/// What the hosts show of a circle, if that makes this node a member of it.
async fn show(
    node: &Arc<Node>,
    circle: CircleId,
    hosts: &[NodeId],
    founded: CircleId,
) -> Option<Vec<RosterItem>> {
    let own = match node.own_items(circle).await {
        Ok(own) => own,
        Err(error) => {
            tracing::warn!("this node's addresses can't be signed: {error}");
            return None;
        }
    };
    let mut roster = Roster::new(circle);
    for host in hosts.iter().take(WITNESSES_MAX) {
        let shown = tokio::time::timeout(SHOW_MAX, roster_sync::pull(node, *host, circle)).await;
        let items = match shown {
            Ok(Ok(items)) => items,
            Ok(Err(error)) => {
                tracing::debug!("{host:?} does not show its circle: {error}");
                continue;
            }
            Err(_) => {
                tracing::debug!("{host:?} takes too long to show its circle");
                continue;
            }
        };
        let items = own.iter().cloned().chain(items);
        tokio::task::block_in_place(|| roster.merge(items));
        let is_ours =
            roster.is_member(&node.identity.node) || (circle == founded && roster.charter().is_some());
        if is_ours {
            return Some(roster.items().cloned().collect());
        }
    }
    None
}

/// The charter in force with one more admin; `None` when there is nothing to change.
fn next_charter(roster: &Roster, node: NodeId) -> Option<Charter> {
    let charter = roster.charter()?;
    if charter.admins.contains(&node) {
        return None;
    }
    let mut admins = charter.admins.clone().into_vec();
    admins.push(node);
    admins.sort_unstable();
    Some(Charter {
        circle: charter.circle,
        epoch: charter.epoch.checked_add(1)?,
        name: charter.name.clone(),
        admins: nuthatch_wire::bounded::List::new(admins).ok()?,
    })
}
