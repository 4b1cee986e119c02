//! `peers`: who belongs to the circle, where they are, and what each keeps for the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nuthatch_engine::boundary::PathClass;
use nuthatch_engine::history::History;
use nuthatch_engine::record::Record;
use nuthatch_engine::repair::HostHealth;
use nuthatch_format::{ByteCount, NodeId, Timestamp};
use nuthatch_wire::message::RosterItem;

use super::host::{paused_until, stance_word};
use super::peer::health_word;
use super::{audit, blocking, catalogue_failure, hosts, say_as_of};
use crate::api::{Failure, Outlet, PeerRow, Peers, PeersAnswer, rfc3339};
use crate::clock;
use crate::ledger::{Heard, rank};
use crate::node::{Node, load_records};

/// Shows the circle without this node; with `all`, also those who wait or were removed.
pub(crate) async fn run(node: &Arc<Node>, wanted: &Peers, out: &Outlet) -> Result<PeersAnswer, Failure> {
    say_as_of(node, out).await;
    let (node, all) = (Arc::clone(node), wanted.all);
    blocking(move || gather(&node, all)).await
}

fn gather(node: &Node, all: bool) -> Result<PeersAnswer, Failure> {
    let own = node.identity.node;
    let owned = node.owned();
    let held = match &owned {
        Some(owned) => hosts::bytes_held(owned).map_err(|error| catalogue_failure(&error))?,
        None => BTreeMap::new(),
    };
    let rules = node.config().audits.rules;
    let online = node.pulse.online();
    let members: BTreeSet<NodeId> = node
        .circle
        .members()
        .into_iter()
        .filter(|member| *member != own)
        .collect();
    let (waiting, removed) = if all {
        others(node, &members)
    } else {
        Default::default()
    };
    let histories = histories(node)?;
    let drained = node.repairs.state().drained;
    let quotas = node.config().peer_quotas;
    let mut peers = Vec::new();
    for peer in members.iter().chain(&waiting).chain(&removed) {
        let last_proof = match &owned {
            Some(owned) => hosts::last_proof(node, owned, peer).map_err(|error| catalogue_failure(&error))?,
            None => None,
        };
        let class = online.get(peer).copied();
        let (health, history) = (node.pulse.health(peer), histories.get(peer));
        let (heard, stance) = (node.ledgers.heard(peer), node.ledgers.stance(peer));
        let archive = node.circle.read(|roster| roster.archive_of(peer)).flatten();
        let account = archive.and_then(|archive| node.ledgers.account(&archive));
        peers.push(PeerRow {
            peer_id: nuthatch_transport::peer_id_text(*peer),
            name: node.circle.name_of(peer),
            state: match (removed.contains(peer), waiting.contains(peer), class, health) {
                (true, ..) => "removed",
                (_, true, ..) => "waiting",
                (.., Some(_), _) => "online",
                (.., None, HostHealth::Lost) => "lost",
                (.., None, HostHealth::Gone) => "gone",
                (.., None, _) if node.meets_others() => "away",
                (.., None, _) => "unknown",
            }
            .to_owned(),
            health: if drained.contains(peer) {
                "drained"
            } else {
                health_word(health)
            }
            .to_owned(),
            addresses: node.circle.addresses_of(peer),
            path: class.map(|class| path_word(class).to_owned()),
            hosted_for_me: held.get(peer).map_or(0, |bytes| bytes.0),
            hosted_for_them: kept_for(node, peer).0,
            allowed_there: heard.as_ref().and_then(|heard| Some(heard.view.allowed?.0)),
            balance_there: heard
                .as_ref()
                .map_or("unknown", |heard| balance_word(rank(heard.view.balance)))
                .to_owned(),
            allowed_here: account.and_then(|account| Some(account.allowed?.0)),
            balance_here: balance_word(account.map_or(0, |account| account.balance.rank())).to_owned(),
            quota: quotas.get(peer).map(|quota| quota.0),
            stance: stance_word(stance).to_owned(),
            paused_until: paused_until(stance),
            ledger_agrees: heard.as_ref().map(Heard::agrees),
            last_seen: last_seen(node, peer, class.is_some()).map(rfc3339),
            last_proof: last_proof.map(rfc3339),
            known_since: history.map(|history| rfc3339(history.first_seen)),
            availability_per_mille: history.and_then(History::availability_per_mille),
            longest_absence_seconds: history.map(|history| history.longest_absence.0 / 1000),
            audit: held
                .contains_key(peer)
                .then(|| audit::shown(&node.audits.state(peer), &rules)),
        });
    }
    Ok(PeersAnswer { peers })
}

/// What is remembered of members.
fn histories(node: &Node) -> Result<BTreeMap<NodeId, History>, Failure> {
    let known = |record| match record {
        Record::Known { node, history } => Some((node, *history)),
        Record::Seen { .. }
        | Record::Held { .. }
        | Record::Granted { .. }
        | Record::Audited { .. }
        | Record::Debt { .. }
        | Record::Restored { .. } => None,
    };
    Ok(load_records(&node.records)?
        .into_iter()
        .filter_map(known)
        .collect())
}

/// Nodes that wait for a person's decision, and nodes that were removed; neither are members.
fn others(node: &Node, members: &BTreeSet<NodeId>) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
    let found = node.circle.read(|roster| {
        let waiting: BTreeSet<NodeId> = roster.waiting().collect();
        let removed = roster.items().filter_map(|item| match item {
            RosterItem::Removal(removal) => Some(removal.open().ok()?.node),
            _ => None,
        });
        let removed = removed
            .filter(|node| !members.contains(node) && !waiting.contains(node))
            .collect();
        (waiting, removed)
    });
    found.unwrap_or_default()
}

fn last_seen(node: &Node, peer: &NodeId, is_online: bool) -> Option<Timestamp> {
    if is_online {
        Some(clock::now())
    } else {
        node.pulse.last_seen(peer)
    }
}

/// What this node keeps of the archive of another node, its journal included.
fn kept_for(node: &Node, peer: &NodeId) -> ByteCount {
    let archive = node.circle.read(|roster| roster.archive_of(peer)).flatten();
    archive.map_or(ByteCount::ZERO, |archive| {
        node.vault
            .usage(&archive)
            .bytes
            .saturating_add(node.segments.usage(&archive))
    })
}

/// As scripts read it.
const fn balance_word(rank: u8) -> &'static str {
    match rank {
        0 => "even",
        1 => "warned",
        2 => "stopped",
        _ => "releasable",
    }
}

/// As scripts read it.
pub(crate) const fn path_word(class: PathClass) -> &'static str {
    match class {
        PathClass::Lan => "lan",
        PathClass::Direct => "direct",
        PathClass::Relayed => "relayed",
    }
}
