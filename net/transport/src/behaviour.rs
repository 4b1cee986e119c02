//! The parts of libp2p that we use, composed: who may connect at all, what members speak to each other, our own streams, the local network.
//!
//! Relay, hole punching, reachability tests and port mapping join `ForMembers` and `Behaviour` when they come.

use std::sync::Arc;
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::kad::{self, Mode, StoreInserts};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{StreamProtocol, identify, mdns, ping};
use nuthatch_wire::protocol::Protocol;

use crate::config::{
    CONNECTIONS_MAX, CONNECTIONS_PER_NODE_MAX, HANDSHAKES_MAX, QUERY_TIMEOUT, STRANGERS_MAX,
};
use crate::event::Degraded;
use crate::gate::{Gate, Gated};
use crate::inbound::Inbound;
use crate::silence::SILENCE_MIN;
use crate::streams::Streams;

/// What identify calls the network that we speak; a change of its meaning changes the number.
const NETWORK: &str = "/nuthatch/1";
/// Keys in the address tables that this node keeps for others and for itself (count). A record is about 100 bytes.
const KAD_KEYS_MAX: usize = 4096;
/// Nodes kept for each key (count); Kademlia's usual replication.
const KAD_PROVIDERS_MAX: usize = 20;
/// How often the address tables are refreshed without a cause. They are one hint among others.
const KAD_REFRESH: Duration = Duration::from_mins(30);
/// How often members ask each other where they listen and what they speak. Where one side takes the other for a member first, its
/// first question is refused; this is how soon it asks again.
const IDENTIFY_INTERVAL: Duration = Duration::from_mins(1);
/// How often a connection is tried, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

const _: () = assert!(PING_INTERVAL.as_millis() < SILENCE_MIN.as_millis());

/// What members speak to each other, and nobody else hears.
#[derive(NetworkBehaviour)]
pub(crate) struct ForMembers {
    pub(crate) ping: ping::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
}

/// Everything.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    /// First, so that a connection too many is refused before anything else hears of it.
    limits: connection_limits::Behaviour,
    pub(crate) members: Gated<ForMembers>,
    pub(crate) streams: Streams,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// Whether to look for nodes on the local network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalSearch {
    On,
    Off,
}

impl Behaviour {
    /// All behaviours of a node; and, if the local network cannot be searched, why.
    pub(crate) fn new(
        key: &Keypair,
        gate: &Arc<dyn Gate>,
        inbound: Inbound,
        mode: Mode,
        (search, stranger_turn): (LocalSearch, Duration),
    ) -> (Self, Option<Degraded>) {
        let (mdns, degraded) = match (search, key.public().to_peer_id()) {
            (LocalSearch::Off, _) => (None, None),
            (LocalSearch::On, peer) => match mdns::tokio::Behaviour::new(mdns::Config::default(), peer) {
                Ok(mdns) => (Some(mdns), None),
                Err(error) => (
                    None,
                    Some(Degraded::Mdns {
                        reason: error.to_string(),
                    }),
                ),
            },
        };
        let behaviour = Self {
            limits: connection_limits::Behaviour::new(limits()),
            members: Gated::new(
                ForMembers::new(key, mode),
                Arc::clone(gate),
                (STRANGERS_MAX, stranger_turn),
            ),
            streams: Streams::new(Arc::clone(gate), inbound),
            mdns: mdns.into(),
        };
        (behaviour, degraded)
    }
}

impl ForMembers {
    fn new(key: &Keypair, mode: Mode) -> Self {
        let identify = identify::Config::new(NETWORK.to_owned(), key.public())
            .with_agent_version(format!("nuthatch/{}", env!("CARGO_PKG_VERSION")))
            .with_interval(IDENTIFY_INTERVAL)
            .with_push_listen_addr_updates(true);
        Self {
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(PING_INTERVAL)
                    .with_timeout(PING_TIMEOUT),
            ),
            identify: identify::Behaviour::new(identify),
            kad: address_tables(key, mode),
        }
    }
}

/// Kademlia for finding only: no values are kept or passed on, and provider records come to us for approval.
fn address_tables(key: &Keypair, mode: Mode) -> kad::Behaviour<MemoryStore> {
    let peer = key.public().to_peer_id();
    let store = MemoryStoreConfig {
        max_records: 0,
        max_value_bytes: 0,
        max_providers_per_key: KAD_PROVIDERS_MAX,
        max_provided_keys: KAD_KEYS_MAX,
    };
    let mut config = kad::Config::new(StreamProtocol::new(Protocol::Kad.name()));
    config
        .set_query_timeout(QUERY_TIMEOUT)
        .set_record_filtering(StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_periodic_bootstrap_interval(Some(KAD_REFRESH));
    let mut tables = kad::Behaviour::with_config(peer, MemoryStore::with_config(peer, store), config);
    tables.set_mode(Some(mode));
    tables
}

fn limits() -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(HANDSHAKES_MAX))
        .with_max_pending_outgoing(Some(HANDSHAKES_MAX))
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_NODE_MAX))
}
