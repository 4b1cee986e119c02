//! `kit`: what a person prints and puts away: the archive's id and where to begin when this machine is gone. Never the phrase.
//!
//! Which hosts the last kit named is noted in the home, so that `status` can say when it is out of date.

use std::sync::Arc;

use nuthatch_disk::atomic::{self, Access};
use nuthatch_format::{NodeId, Timestamp};

use super::invite::texts;
use super::{blocking, catalogue_failure, hosts, say_as_of};
use crate::api::{Failure, KitAnswer, KitHost, Outlet, rfc3339};
use crate::clock;
use crate::node::{Node, Owned};
use crate::setup::disk_failure;

/// Hosts that a kit names: a page of print, and more than enough to find the rest.
const HOSTS_MAX: usize = 5;

/// Addresses of one host that a kit names.
const ADDRESSES_MAX: usize = 4;

/// Which hosts the last kit named: their ids in hexadecimal, one a line.
const NOTE_FILE: &str = "kit.hosts";

/// Longest note, in bytes: a line for each host.
const NOTE_LEN_MAX: u64 = (HOSTS_MAX * (2 * NodeId::LEN + 1)) as u64;

/// Gathers the kit and notes which hosts it names.
pub(crate) async fn run(node: &Arc<Node>, out: &Outlet) -> Result<KitAnswer, Failure> {
    let owned = super::owned(node)?;
    say_as_of(node, out).await;
    let node = Arc::clone(node);
    blocking(move || {
        let named = best_hosts(&node, &owned)?;
        let answer = KitAnswer {
            archive_id: owned.archive.to_string(),
            created: rfc3339(clock::now()),
            hosts: named.iter().map(|host| shown(&node, host)).collect(),
        };
        let note = note_of(&named);
        atomic::write_file(
            &node.home.root().join(NOTE_FILE),
            note.as_bytes(),
            Access::Private,
        )
        .map_err(|error| disk_failure(&error))?;
        Ok(answer)
    })
    .await
}

/// Whether the last kit names the hosts that one made now would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KitState {
    /// None was ever made.
    Missing,
    /// It names other hosts.
    Stale,
    /// As it should be, or there is no host to name.
    Good,
}

/// How the last kit compares with what is known now.
pub(super) fn state(node: &Node, owned: &Owned) -> Result<KitState, Failure> {
    let path = node.home.root().join(NOTE_FILE);
    let note = atomic::read_file(&path, NOTE_LEN_MAX).map_err(|error| disk_failure(&error))?;
    let hosts = hosts::hosts_of(node, owned).map_err(|error| catalogue_failure(&error))?;
    let named: Vec<String> = note
        .iter()
        .flat_map(|note| {
            String::from_utf8_lossy(note)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let still = hosts
        .iter()
        .filter(|host| named.contains(&host.to_string()))
        .count();
    Ok(compare(note.is_some(), named.len(), still, hosts.len()))
}

/// A kit is good while all whom it names are hosts, and it names as many as it can.
fn compare(is_made: bool, named: usize, still: usize, hosts: usize) -> KitState {
    if hosts == 0 {
        KitState::Good
    } else if !is_made {
        KitState::Missing
    } else if still < named || named < hosts.min(HOSTS_MAX) {
        KitState::Stale
    } else {
        KitState::Good
    }
}

/// What the order of hosts depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostFacts {
    node: NodeId,
    /// Whether it has signed for our journal: then a recovery can begin with it.
    keeps_journal: bool,
    is_online: bool,
    /// Whether it says where it can be reached from everywhere.
    has_addresses: bool,
    last_seen: Option<Timestamp>,
}

fn best_hosts(node: &Node, owned: &Owned) -> Result<Vec<NodeId>, Failure> {
    let keepers = hosts::journal_keepers(owned).map_err(|error| catalogue_failure(&error))?;
    let online = node.pulse.online();
    let hosts = hosts::hosts_of(node, owned).map_err(|error| catalogue_failure(&error))?;
    let facts = hosts.into_iter().map(|host| HostFacts {
        node: host,
        keeps_journal: keepers.contains(&host),
        is_online: online.contains_key(&host),
        has_addresses: !node.circle.addresses_of(&host).is_empty(),
        last_seen: node.pulse.last_seen(&host),
    });
    Ok(best_first(facts.collect()))
}

/// Those with which a recovery goes best come first; those that are online or were seen last are the likeliest to be on always.
fn best_first(mut facts: Vec<HostFacts>) -> Vec<NodeId> {
    facts.sort_by_key(|host| {
        let order = (
            host.keeps_journal,
            host.has_addresses,
            host.is_online,
            host.last_seen,
        );
        (std::cmp::Reverse(order), host.node)
    });
    facts.into_iter().take(HOSTS_MAX).map(|host| host.node).collect()
}

fn shown(node: &Node, host: &NodeId) -> KitHost {
    let peer_id = nuthatch_transport::peer_id_text(*host);
    let addresses = lasting_addresses(node, host);
    let addresses = addresses
        .iter()
        .take(ADDRESSES_MAX)
        .map(|address| with_peer(address, &peer_id));
    KitHost {
        addresses: addresses.collect(),
        name: node.circle.name_of(host),
        peer_id,
    }
}

/// Where a host says that it is; where it was seen only when it says nothing, since that may be an address for one connection.
fn lasting_addresses(node: &Node, host: &NodeId) -> Vec<String> {
    let said = node
        .circle
        .read(|roster| roster.addresses(host).map(|said| texts(&said.addresses)));
    let said = said.flatten().unwrap_or_default();
    if said.is_empty() {
        node.circle.addresses_of(host)
    } else {
        said
    }
}

fn with_peer(address: &str, peer_id: &str) -> String {
    if address.contains("/p2p/") {
        address.to_owned()
    } else {
        format!("{address}/p2p/{peer_id}")
    }
}

fn note_of(hosts: &[NodeId]) -> String {
    hosts
        .iter()
        .flat_map(|host| [host.to_string(), "\n".to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(byte: u8) -> HostFacts {
        HostFacts {
            node: NodeId::from_bytes([byte; 32]),
            keeps_journal: true,
            is_online: false,
            has_addresses: true,
            last_seen: None,
        }
    }

    #[test]
    fn hosts_that_keep_the_journal_come_first_then_those_that_are_there() {
        let facts = vec![
            HostFacts {
                keeps_journal: false,
                is_online: true,
                ..host(1)
            },
            HostFacts {
                last_seen: Some(Timestamp(5)),
                ..host(2)
            },
            HostFacts {
                last_seen: Some(Timestamp(9)),
                ..host(3)
            },
            HostFacts {
                is_online: true,
                ..host(4)
            },
        ];
        let order: Vec<u8> = best_first(facts).iter().map(|node| node.as_bytes()[0]).collect();
        assert_eq!(order, [4, 3, 2, 1]);
    }

    #[test]
    fn a_kit_names_at_most_five_hosts_and_its_note_fits() {
        let best = best_first((0..20).map(host).collect());
        assert_eq!(best.len(), HOSTS_MAX);
        assert_eq!(note_of(&best).len() as u64, NOTE_LEN_MAX);
    }

    #[test]
    fn a_kit_is_stale_when_a_named_host_is_gone_or_more_could_be_named() {
        assert_eq!(compare(false, 0, 0, 0), KitState::Good);
        assert_eq!(compare(false, 0, 0, 1), KitState::Missing);
        assert_eq!(compare(true, 2, 2, 2), KitState::Good);
        assert_eq!(compare(true, 2, 1, 2), KitState::Stale);
        assert_eq!(compare(true, 2, 2, 3), KitState::Stale);
        assert_eq!(compare(true, 5, 5, 9), KitState::Good);
    }

    #[test]
    fn addresses_of_a_kit_name_their_node_once() {
        assert_eq!(with_peer("/ip4/10.0.0.1/tcp/1", "X"), "/ip4/10.0.0.1/tcp/1/p2p/X");
        assert_eq!(
            with_peer("/ip4/10.0.0.1/tcp/1/p2p/X", "X"),
            "/ip4/10.0.0.1/tcp/1/p2p/X"
        );
    }
}
