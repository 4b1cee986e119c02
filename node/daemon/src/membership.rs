//! This node as a member: who else is one, what it says of itself, and what it takes from others about the circle.
//!
//! Who is a member is the roster's verdict. Here every part that must know of it is told, in one place.

mod spread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nuthatch_engine::boundary::{Domain, Input, MemberFacts};
use nuthatch_engine::fairness::Stance;
use nuthatch_format::{ByteCount, CircleId, NodeId, Timestamp, codec};
use nuthatch_wire::attest::{AttestError, Attestation, Digest};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::membership::{ADDRESSES_MAX, Address, Changes, Name, NodeAddresses, Roster};
use nuthatch_wire::message::{Capabilities, Hello, RosterItem};

use crate::circle::CircleError;
use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;
use crate::waiting::WAITS;

/// What this program says it is.
const AGENT: &str = concat!("nuthatch/", env!("CARGO_PKG_VERSION"));

/// How often addresses are signed again because they changed meanwhile.
const PUBLISH_ROUNDS_MAX: usize = 4;

impl Node {
    /// Tells the engine, the gate and the transport who is a member now.
    pub(crate) fn members_changed(&self) {
        let own = self.identity.node;
        let mut told = None;
        // Of two that do this at a time, the one with the older list must not have the last word.
        loop {
            let members = self.circle.members();
            if told.as_ref() == Some(&members) {
                // Which archive each member is of, and so the account with it, may be another.
                return self.vault_changed();
            }
            let others = members.iter().copied().filter(|node| *node != own);
            let facts = others
                .map(|node| MemberFacts {
                    node,
                    domain: Domain(node),
                })
                .collect();
            self.engine.tell_soon(Input::Members(facts));
            for node in self.circle.tell_gate() {
                if node != own {
                    self.transport.reconsider(node);
                }
            }
            told = Some(members);
        }
    }

    /// Signs where this node is and whose, when that is not what the circle knows already, and tells the members that are connected.
    pub(crate) async fn publish_addresses(self: &Arc<Self>) {
        // Of two that do this at a time, the one with the older addresses must not have the last word.
        for _ in 0..PUBLISH_ROUNDS_MAX {
            let Some(circle) = self.circle.id() else { return };
            let items = match self.own_items(circle).await {
                Ok(items) => items,
                Err(error) => {
                    tracing::warn!("this node's addresses can't be signed: {error}");
                    return;
                }
            };
            let (publisher, told) = (Arc::clone(self), items.clone());
            let merged = tokio::task::spawn_blocking(move || publisher.circle.merge(told)).await;
            let changes = match merged {
                Ok(Ok(changes)) => changes,
                Ok(Err(error)) => return self.roster_unwritten(&error),
                Err(error) => return self.roster_unwritten(&error),
            };
            if changes.added == 0 {
                return;
            }
            if !changes.joined.is_empty() || !changes.left.is_empty() {
                self.members_changed();
            }
            self.spread(items);
        }
    }

    fn roster_unwritten(&self, error: &dyn std::error::Error) {
        self.events.fault(
            FaultKind::OwnDisk,
            None,
            format!("the roster can't be written: {error}"),
        );
    }

    /// What this node says of itself to a circle: its archive's certificate, and where it is and whose. The signed word that the
    /// roster has is said again while it is still true.
    pub(crate) async fn own_items(&self, circle: CircleId) -> Result<Vec<RosterItem>, AttestError> {
        let listening = announced(self.transport.listen_addresses().await);
        let owned = self.owned();
        let archive = owned.as_ref().map(|owned| owned.archive);
        let mut items = Vec::new();
        if let Some(owned) = &owned
            && let Ok(certificate) = Opaque::new(owned.certificate.bytes().to_vec())
        {
            items.push(RosterItem::Statement(certificate));
        }
        let own = self.identity.node;
        let known = self
            .circle
            .read(|roster| roster.addresses(&own).cloned())
            .flatten();
        // A command that runs a node for its own length listens nowhere: where the node is at other times stays true.
        let addresses = match &known {
            Some(known) if listening.is_empty() => known.addresses.to_vec(),
            _ => listening,
        };
        let is_known = known.as_ref().is_some_and(|known| {
            known.circle == circle && *known.addresses == *addresses && known.archive == archive
        });
        if !is_known {
            // The later word counts, so it is later even when the clock was set back.
            let at = known
                .map_or(Timestamp(0), |known| Timestamp(known.at.0.saturating_add(1)))
                .max(clock::now());
            let word = NodeAddresses {
                circle,
                node: own,
                addresses: List::first_of(addresses),
                archive,
                at,
            };
            items.push(RosterItem::Addresses(Attestation::sign(
                &word,
                &self.identity.key,
            )?));
        }
        Ok(items)
    }

    /// Takes what somebody knows of the circle; what does not hold is left out.
    pub(crate) fn take_roster(&self, items: Vec<RosterItem>) -> Result<Changes, CircleError> {
        self.keep_statements_in(&items);
        let before = self.address_times();
        let news = self.split_known(items.clone()).1;
        let changes = self.circle.hear(items, clock::now())?;
        if changes.added == 0 {
            return Ok(changes);
        }
        // What was refused is not passed on.
        self.spread(self.split_known(news).0);
        if !changes.joined.is_empty() || !changes.left.is_empty() {
            self.members_changed();
        }
        self.say_changes(&changes);
        let own = self.identity.node;
        let online = self.pulse.online();
        for (node, at) in self.address_times() {
            if node == own || before.get(&node) == Some(&at) {
                continue;
            }
            for address in self.circle.addresses_of(&node) {
                self.transport.add_address(node, &address);
            }
            if !online.contains_key(&node) {
                self.engine.tell_soon(Input::Sighted { node });
            }
        }
        Ok(changes)
    }

    /// Parts items into those that are in the roster and those that are not.
    fn split_known(&self, items: Vec<RosterItem>) -> (Vec<RosterItem>, Vec<RosterItem>) {
        let known = self
            .circle
            .read(|roster| roster.items().map(codec::encode).collect::<BTreeSet<_>>());
        let known = known.unwrap_or_default();
        items
            .into_iter()
            .partition(|item| known.contains(&codec::encode(item)))
    }

    /// When each member last said where it is.
    fn address_times(&self) -> BTreeMap<NodeId, Timestamp> {
        let times = self.circle.read(|roster| {
            let members = roster.members();
            members
                .filter_map(|(node, _)| Some((node, roster.addresses(&node)?.at)))
                .collect()
        });
        times.unwrap_or_default()
    }

    fn say_changes(&self, changes: &Changes) {
        let own = self.identity.node;
        for node in changes.joined.iter().filter(|node| **node != own) {
            let name = self.circle.name_of(node);
            self.events
                .say("member_joined", Some(*node), format!("{name} joined the circle"));
        }
        for node in &changes.left {
            if *node == own {
                let message =
                    "this node was removed from its circle: hosts keep what they have, and take nothing new";
                self.events.say("removed_from_circle", None, message);
            } else {
                let name = self.circle.name_of(node);
                self.events.say(
                    "member_left",
                    Some(*node),
                    format!("{name} is no longer in the circle"),
                );
            }
        }
        for node in &changes.waiting {
            self.events.fault(FaultKind::InvitationReused, Some(*node), WAITS);
        }
    }

    /// How this node introduces itself to a member.
    pub(crate) fn hello(&self) -> Hello {
        let certificate = self
            .owned()
            .and_then(|owned| Opaque::new(owned.certificate.bytes().to_vec()).ok());
        let (capabilities, free) = self.own_terms();
        Hello {
            circle: self.circle.id(),
            roster: self.circle.read(Roster::digest).unwrap_or(Digest([0; 32])),
            name: Name::cut(&self.identity.name),
            agent: Name::cut(AGENT),
            capabilities,
            free,
            certificate,
            at: clock::now(),
        }
    }

    /// What this node offers, and what of its quota is not used yet and is there on the disk. A hint: the engine's verdicts decide.
    fn own_terms(&self) -> (Capabilities, ByteCount) {
        let facts = match self.vault_facts() {
            Ok(facts) => facts,
            Err(error) => {
                tracing::debug!("the vault's disk can't be asked: {error}");
                return (Capabilities::default(), ByteCount::ZERO);
            }
        };
        let generous = if facts.generous {
            Capabilities::GENEROUS
        } else {
            Capabilities::default()
        };
        let (stance, is_open) = match facts.stance.at(clock::now()) {
            Stance::Open => (Capabilities::default(), facts.quota > ByteCount::ZERO),
            Stance::Paused { .. } => (Capabilities::PAUSED, false),
            Stance::Leaving => (Capabilities::LEAVING, false),
        };
        if !is_open {
            return (generous.with(stance), ByteCount::ZERO);
        }
        let used = facts
            .used
            .values()
            .fold(ByteCount::ZERO, |sum, used| sum.saturating_add(*used));
        let free = facts.quota.saturating_sub(used).min(facts.disk_free);
        (generous.with(Capabilities::HOST), free)
    }
}

/// The addresses that others can use: without the node's own id, loopback only where there is nothing else.
pub(crate) fn announced(listening: Vec<String>) -> Vec<Address> {
    let bare = listening
        .into_iter()
        .map(|address| match address.split_once("/p2p/") {
            Some((bare, _)) if !address.contains("/p2p-circuit") => bare.to_owned(),
            _ => address,
        });
    let (loopback, others): (Vec<String>, Vec<String>) = bare.partition(|address| is_loopback(address));
    let wanted = if others.is_empty() { loopback } else { others };
    wanted
        .iter()
        .filter_map(|address| Address::new(address).ok())
        .take(ADDRESSES_MAX)
        .collect()
}

fn is_loopback(address: &str) -> bool {
    address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(addresses: &[&str]) -> Vec<String> {
        let listening = addresses.iter().map(|address| (*address).to_owned()).collect();
        announced(listening)
            .iter()
            .map(|address| address.as_str().to_owned())
            .collect()
    }

    #[test]
    fn loopback_is_announced_only_where_there_is_nothing_else() {
        assert_eq!(
            texts(&["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"]),
            ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"]
        );
        assert_eq!(
            texts(&["/ip4/10.0.0.2/tcp/1", "/ip4/127.0.0.1/tcp/1"]),
            ["/ip4/10.0.0.2/tcp/1"]
        );
    }

    #[test]
    fn announced_addresses_are_bare_short_and_few() {
        assert_eq!(
            texts(&["/ip4/10.0.0.2/tcp/1/p2p/12D3KooW"]),
            ["/ip4/10.0.0.2/tcp/1"]
        );
        let long = format!("/dns/{}/tcp/1", "a".repeat(250));
        assert!(texts(&[long.as_str()]).is_empty());
        let many: Vec<String> = (1..30).map(|host| format!("/ip4/10.0.0.{host}/tcp/1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(texts(&many).len(), ADDRESSES_MAX);
    }
}
