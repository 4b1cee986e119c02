//! What the engine says about its doings, as events that people read and as state that jobs wait for.

mod audits;
mod keeping;

use std::sync::Arc;

use nuthatch_engine::boundary::{AccountView, Event, LeaseRefusal, OfferRefusal, PackNumber, PathClass};
use nuthatch_engine::fairness::Balance;
use nuthatch_format::{LabelId, NodeId};

use super::recall;
use crate::clock;
use crate::events::FaultKind;
use crate::node::{Node, Owned};
use crate::ward::Ward;

/// Passes one event on.
pub(super) fn report(node: &Arc<Node>, event: Event) {
    let name = |id: &NodeId| node.circle.name_of(id);
    match event {
        Event::Arrived { node: peer, class } => {
            node.pulse.connected(peer, class, clock::now());
            let path = match class {
                PathClass::Lan => "on the local network",
                PathClass::Direct => "directly",
                PathClass::Relayed => "through a relay",
            };
            node.events.say(
                "online",
                Some(peer),
                format!("{} is online, reached {path}", name(&peer)),
            );
            node.pulse.stir();
        }
        Event::Departed { node: peer } => {
            node.pulse.disconnected(&peer, clock::now());
            node.links.forget(&peer);
            node.events
                .say("away", Some(peer), format!("{} is away", name(&peer)));
            node.pulse.nudge();
        }
        Event::Leased {
            node: peer,
            bytes,
            until,
        } => {
            node.pulse.leased(peer, bytes, until);
            node.pulse.set_full(peer, false);
            let size = bytesize::ByteSize(bytes.0).display().si();
            node.events.say(
                "leased",
                Some(peer),
                format!("{} keeps up to {size} for this archive", name(&peer)),
            );
            node.pulse.stir();
        }
        Event::LeaseRefused { node: peer, reason } => {
            node.pulse.set_full(peer, reason == LeaseRefusal::Full);
            node.events.say(
                "lease_refused",
                Some(peer),
                format!("{} gives no space: {}", name(&peer), why_no_lease(reason)),
            );
            node.pulse.nudge();
        }
        Event::HostFull { node: peer } => {
            node.pulse.set_full(peer, true);
            node.events.say(
                "host_full",
                Some(peer),
                format!("{} takes no more: its space is full", name(&peer)),
            );
            node.pulse.nudge();
        }
        Event::OfferRefused { node: peer, reason } => {
            node.events.say(
                "refused",
                Some(peer),
                format!("{} refused a shard: {}", name(&peer), why_no_shard(reason)),
            );
        }
        Event::Shaped { scheme, again, .. } => {
            let word = if again { "spread again" } else { "spread" };
            tracing::debug!("a pack is {word} as {}+{} shards", scheme.data(), scheme.parity());
        }
        Event::StripeComplete { pack, label } => complete(node, pack, &label),
        Event::PackUnreadable { pack } => {
            let_go_recalled(node, pack);
            let message = format!(
                "pack number {} can't be read here now; it is tried again later",
                pack.0
            );
            node.events.fault(FaultKind::OwnDisk, None, message);
        }
        Event::ShardsLost {
            node: peer,
            lost_count,
        } => {
            let message = format!(
                "{} no longer has {lost_count} shards that it had signed for",
                name(&peer)
            );
            node.events.fault(FaultKind::WrongShard, Some(peer), message);
            node.pulse.stir();
        }
        event @ (Event::Gone { .. }
        | Event::Returned { .. }
        | Event::StandingChanged { .. }
        | Event::Drained { .. }
        | Event::LinkCut { .. }
        | Event::LinkBack
        | Event::RepairBegun { .. }
        | Event::RepairEnded { .. }
        | Event::RepairRound(_)) => keeping::report(node, event),
        Event::Audited(audit) => audits::audited(node, audit),
        Event::Account(view) => account(node, view),
        Event::Quiet { incomplete_count } => node.pulse.quiet(incomplete_count),
    }
}

/// How an archive stands here has changed: its owner is told, and the person here where it became another matter.
fn account(node: &Arc<Node>, view: AccountView) {
    let before = node.ledgers.note_account(view);
    let rank = before.map_or(Balance::Even, |before| before.balance).rank();
    if view.balance.rank() != rank {
        let own = node.identity.node;
        let members = node.circle.members().into_iter().filter(|member| *member != own);
        let theirs = |member: &NodeId| node.circle.read(|roster| roster.archive_of(member)).flatten();
        let of_archive = members.filter(|member| theirs(member) == Some(view.archive));
        let names: Vec<String> = of_archive.map(|member| node.circle.name_of(&member)).collect();
        let who = if names.is_empty() {
            view.archive.short()
        } else {
            names.join(", ")
        };
        let message = match view.balance {
            Balance::Even => format!("the account with {who} is even again"),
            Balance::Warned { .. } => {
                format!("{who} keeps more here than it keeps for this node, and was told so")
            }
            Balance::Stopped { .. } => {
                format!(
                    "{who} still keeps more here than it keeps for this node: nothing new is taken from it"
                )
            }
            Balance::Releasable => {
                format!(
                    "{who} has kept more here than it gives for long: 'nuthatch host release' would free the space"
                )
            }
        };
        node.events.say("account", None, message);
    }
    let said = |view: AccountView| (view.balance.rank(), view.allowed);
    if before.map(said) != Some(said(view)) {
        node.tell_account(view.archive);
    }
}

fn why_no_lease(reason: LeaseRefusal) -> &'static str {
    match reason {
        LeaseRefusal::NotHosting => "it keeps nothing for others",
        LeaseRefusal::NotMember => "it does not know this node as a member of the circle",
        LeaseRefusal::Full => "its space is full",
        LeaseRefusal::Paused => "it takes nothing new for a while",
        LeaseRefusal::Unbalanced => "it keeps as much for this archive as this node keeps for it",
        LeaseRefusal::TooManyArchives => "it keeps too many archives already",
    }
}

fn why_no_shard(reason: OfferRefusal) -> &'static str {
    match reason {
        OfferRefusal::NoLease => "it has promised this archive no space",
        OfferRefusal::Full => "its space is full",
        OfferRefusal::Paused => "it takes nothing new for a while",
        OfferRefusal::Unbalanced => "it keeps as much for this archive as this node keeps for it",
        OfferRefusal::NotBelieved => "it has not seen the journal entry for it yet",
        OfferRefusal::StripeAlreadyHere => "it has another shard of the same pack",
        OfferRefusal::NotAllowed => "it does not know this node as a device of the archive",
        OfferRefusal::Damaged => "the bytes did not match their label",
        OfferRefusal::Version => "it speaks another version",
    }
}

/// A repair has ended: what was brought back for it goes.
pub(super) fn let_go_recalled(node: &Node, pack: PackNumber) {
    let Some(owned) = node.owned() else { return };
    if let Err(error) = recall::let_go(&Ward::of_owned(&owned), pack) {
        let message = format!("a pack that was brought back can't be removed: {error}");
        node.events.fault(FaultKind::OwnDisk, None, message);
    }
}

/// Every shard of a pack's stripe is held: its staged copy may go, if the label is our own.
fn complete(node: &Node, pack: PackNumber, label: &LabelId) {
    let Some(owned) = node.owned() else { return };
    if let Err(error) = let_go(&owned, pack, label) {
        node.events.fault(
            FaultKind::OwnDisk,
            None,
            format!("a staged pack can't be removed: {error}"),
        );
    }
    node.pulse.nudge();
}

fn let_go(owned: &Owned, pack: PackNumber, label: &LabelId) -> Result<(), String> {
    let number = nuthatch_disk::catalogue::PackNumber(pack.0);
    let stripe = owned.catalogue.stripe(label).map_err(|error| error.to_string())?;
    let record = owned.catalogue.pack(number).map_err(|error| error.to_string())?;
    let (Some(stripe), Some(record)) = (stripe, record) else {
        return Ok(());
    };
    if stripe.device != owned.device.id() || stripe.pack != record.id {
        return Ok(());
    }
    owned
        .staging
        .remove(&record.id)
        .map_err(|error| error.to_string())
}
