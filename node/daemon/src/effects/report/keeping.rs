//! What the engine says about keeping data alive: who is gone or back, what is repaired from where, and what is not and why.

use std::sync::Arc;

use nuthatch_engine::boundary::{Event, RepairRound};
use nuthatch_engine::history::Standing;
use nuthatch_engine::repair::{HostHealth, RepairSource};
use nuthatch_format::NodeId;

use crate::api::rfc3339;
use crate::node::Node;

/// Passes one event on; others are not for here.
pub(super) fn report(node: &Arc<Node>, event: Event) {
    let name = |id: &NodeId| node.circle.name_of(id);
    match event {
        Event::Gone { node: peer, since } => {
            node.pulse.set_health(peer, HostHealth::Gone);
            let when = since.map_or_else(
                || "was never reached".to_owned(),
                |at| format!("was last seen {}", rfc3339(at)),
            );
            let message = format!(
                "{} {when}: it is taken for gone, and what it keeps is rebuilt elsewhere where too little is left",
                name(&peer)
            );
            node.events.say("gone", Some(peer), message);
            node.pulse.stir();
        }
        Event::Returned { node: peer } => {
            node.pulse.set_health(peer, HostHealth::Sound);
            let message = format!(
                "{} is back: what it still keeps counts again as it shows it",
                name(&peer)
            );
            node.events.say("returned", Some(peer), message);
            node.pulse.stir();
        }
        Event::StandingChanged { node: peer, standing } => standing_changed(node, peer, standing),
        Event::Drained { node: peer } => {
            let message = format!(
                "nothing is kept by {} alone any more: it may be switched off",
                name(&peer)
            );
            node.repairs.drained(peer);
            node.events.say("drained", Some(peer), message);
            node.pulse.nudge();
            // It waits for that, if it leaves by its own word.
            let teller = Arc::clone(node);
            node.tasks
                .spawn(async move { teller.exchange_ledger(peer).await });
        }
        Event::LinkCut { count } => {
            node.pulse.set_cut(true);
            let message = format!(
                "{count} members vanished at once: this looks like the connection of this machine; until one of them is back                  nobody is given up and nothing is repaired"
            );
            node.events.say("link_cut", None, message);
        }
        Event::LinkBack => {
            node.pulse.set_cut(false);
            node.events.say(
                "link_back",
                None,
                "this machine's connection works again: all goes on as before",
            );
        }
        Event::RepairBegun { pack, source, shards } => {
            node.repairs.begun(pack, source);
            let message = format!(
                "pack number {} is repaired {}: {shards} of its shards go to other hosts",
                pack.0,
                source_words(source)
            );
            node.events.say("repair", None, message);
        }
        Event::RepairEnded { pack, placed, .. } => {
            super::let_go_recalled(node, pack);
            node.repairs.ended(pack, placed);
            node.pulse.nudge();
        }
        Event::RepairRound(round) => round_ended(node, round),
        _ => {}
    }
}

/// What a person said of a member holds.
fn standing_changed(node: &Node, peer: NodeId, standing: Standing) {
    let name = node.circle.name_of(&peer);
    let (health, message) = match standing {
        Standing::Member => (
            HostHealth::Sound,
            format!("{name} counts as a member like all others again"),
        ),
        Standing::Leaving => (
            HostHealth::Leaving,
            format!(
                "{name} is leaving: what it keeps is copied to others first, and it is given nothing new"
            ),
        ),
        Standing::Departing => (
            HostHealth::Leaving,
            format!(
                "{name} says that it is about to leave: what it keeps is copied to others first, and it is given nothing new"
            ),
        ),
        Standing::Lost => (
            HostHealth::Lost,
            format!("{name} never comes back: what it kept is rebuilt on others now"),
        ),
    };
    node.pulse.set_health(peer, health);
    node.repairs.standing_changed(peer);
    node.events.say("standing", Some(peer), message);
    node.pulse.stir();
}

/// Everything that is to be repaired was looked at; said where there is something to say.
fn round_ended(node: &Node, round: RepairRound) {
    let before = node.repairs.state().last;
    node.repairs.round_ended(round);
    node.pulse.nudge();
    let mut parts = Vec::new();
    for (count, what) in [
        (round.rebuilt, "packs were repaired"),
        (round.no_host, "wait for another host to take what is missing"),
        (round.out_of_reach, "wait for hosts that still have shards"),
        (round.found.unrepairable, "can't be repaired any more"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if !parts.is_empty() && round != before {
        node.events.say("repair_round", None, parts.join(", "));
    }
}

/// Where a repair takes its bytes from.
pub(crate) const fn source_words(source: RepairSource) -> &'static str {
    match source {
        RepairSource::Files => "from the files here",
        RepairSource::Staging => "from this disk",
        RepairSource::Shards => "from shards of other hosts",
    }
}
