//! The swarm's task: the one place where libp2p is driven. It takes commands and wishes, passes on what happens, and does no I/O besides
//! the network's. When its events are not taken, it stops driving instead of forgetting.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::kad::store::RecordStore as _;
use libp2p::kad::{self, InboundRequest, RecordKey};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, mdns, ping};
use nuthatch_format::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::address::{Path, Reach, is_useful, node_of, peer_of, rank, reach_of, split_peer};
use crate::behaviour::{Behaviour, BehaviourEvent, ForMembersEvent};
use crate::config::{BACKLOG_HINTS_MAX, BACKLOG_MAX, CLOSE_TIMEOUT, PEER_ADDRESSES_MAX};
use crate::dialing::{DialError, Dialer, Dials, reason_of};
use crate::event::{Degraded, Event};
use crate::finding::{Queries, Query};
use crate::gate::{Gate, Reconsidered, Standing};
use crate::meter::Meters;
use crate::silence::{Silence, Verdict};
use crate::swarm::Built;
use crate::transport::{Command, OpenWishes, Wishes};

/// Where we listen, and which listeners have not said yet.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    starting: BTreeSet<String>,
    addresses: Vec<Multiaddr>,
}

impl Listening {
    /// Whether every listener has said where it listens.
    pub(crate) fn is_settled(&self) -> bool {
        self.starting.is_empty()
    }

    /// All addresses, best first.
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        self.addresses.clone()
    }
}

/// The task's state.
pub(crate) struct Task {
    swarm: Swarm<Behaviour>,
    gate: Arc<dyn Gate>,
    meters: Arc<Meters>,
    wishes: Arc<Wishes>,
    events: mpsc::Sender<Event>,
    backlog: VecDeque<Event>,
    listening: watch::Sender<Listening>,
    dials: Dials,
    queries: Queries,
    silence: Silence,
    /// Where each connection leads.
    remotes: BTreeMap<ConnectionId, Multiaddr>,
}

/// Whether the task goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Task {
    pub(crate) fn new(
        built: Built,
        gate: Arc<dyn Gate>,
        meters: Arc<Meters>,
        wishes: Arc<Wishes>,
        events: mpsc::Sender<Event>,
    ) -> (Self, watch::Receiver<Listening>) {
        let starting = built.listeners.iter().map(ToString::to_string).collect();
        let (listening, receiver) = watch::channel(Listening {
            starting,
            addresses: Vec::new(),
        });
        let task = Self {
            swarm: built.swarm,
            gate,
            meters,
            wishes,
            events,
            backlog: built.degraded.into_iter().map(Event::Degraded).collect(),
            listening,
            dials: Dials::default(),
            queries: Queries::default(),
            silence: Silence::default(),
            remotes: BTreeMap::new(),
        };
        (task, receiver)
    }

    /// Runs until it is told to end, nobody can tell it any more, or nobody listens.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let events = self.events.clone();
        let mut next = Next::GoOn;
        while next == Next::GoOn {
            next = tokio::select! {
                room = events.reserve(), if !self.backlog.is_empty() => match (room, self.backlog.pop_front()) {
                    (Ok(room), Some(event)) => {
                        room.send(event);
                        Next::GoOn
                    }
                    (Err(_), _) => Next::End,
                    (Ok(_), None) => Next::GoOn,
                },
                command = commands.recv() => match command {
                    Some(Command::Shutdown) | None => Next::End,
                    Some(command) => {
                        self.obey(command);
                        Next::GoOn
                    }
                },
                wishes = self.wishes.take() => {
                    self.fulfil(wishes);
                    Next::GoOn
                }
                event = self.swarm.select_next_some(), if self.backlog.len() < BACKLOG_MAX => {
                    self.happened(event);
                    Next::GoOn
                }
            };
        }
        self.close().await;
    }

    /// Closes connections in order, as far as that goes quickly; dropping the swarm cuts the rest.
    async fn close(mut self) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // Gone meanwhile is as good.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::debug!("some connections are cut");
        }
    }

    fn obey(&mut self, command: Command) {
        let members = self.swarm.behaviour_mut().members.inner_mut();
        match command {
            Command::Dial(peer, addresses, dialer) => self.dial(peer, addresses, dialer),
            Command::Open(peer, protocol, opener) => {
                self.swarm.behaviour_mut().streams.open(peer, protocol, opener);
            }
            // Too many look-ups: whoever asked hears nothing found when its end is dropped.
            Command::FindNode(..) | Command::Provide(..) | Command::Providers(..)
                if !self.queries.has_room() => {}
            Command::FindNode(peer, asker) => {
                let id = members.kad.get_closest_peers(peer);
                self.queries.started(id, Query::Node(peer, asker));
            }
            Command::Provide(key, asker) => match members.kad.start_providing(RecordKey::new(&key)) {
                Ok(id) => self.queries.started(id, Query::Provide(asker)),
                Err(error) => tracing::debug!(%error, "no room for another key in the address tables"),
            },
            Command::Providers(key, asker) => {
                let id = members.kad.get_providers(RecordKey::new(&key));
                self.queries.started(id, Query::Providers(BTreeSet::new(), asker));
            }
            Command::Shutdown => {}
        }
    }

    fn dial(&mut self, peer: Option<PeerId>, addresses: Vec<Multiaddr>, dialer: Dialer) {
        if let Some((peer, node)) = peer.and_then(|peer| Some((peer, node_of(&peer)?)))
            && self.swarm.is_connected(&peer)
        {
            let _ = dialer.send(Ok(node));
            return;
        }
        if !self.dials.has_room() {
            let _ = dialer.send(Err(DialError::Busy));
            return;
        }
        let Some(first) = addresses.first().cloned() else {
            let _ = dialer.send(Err(DialError::NoAddress));
            return;
        };
        let options: DialOpts = match peer {
            // Another dial to the same node may be under way with other addresses: both go on, and either serves both.
            Some(peer) => DialOpts::peer_id(peer)
                .condition(PeerCondition::Disconnected)
                .addresses(addresses)
                .build(),
            None => DialOpts::unknown_peer_id().address(first.clone()).build(),
        };
        let connection = options.connection_id();
        let failure = match self.swarm.dial(options) {
            Ok(()) => return self.dials.started(connection, peer, dialer),
            // There were some, and the swarm leaves out those that we listen on ourselves.
            Err(libp2p::swarm::DialError::NoAddresses) => DialError::Ourselves {
                address: first.to_string(),
            },
            Err(error) => reason_of(&error),
        };
        let _ = dialer.send(Err(failure));
    }

    fn fulfil(&mut self, wishes: OpenWishes) {
        for peer in wishes.disconnect.iter().filter_map(peer_of) {
            // Not connected is what was wished for.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        for node in wishes.reconsider {
            self.reconsider(node);
        }
        for (node, addresses) in wishes.addresses {
            if let Some(peer) = peer_of(&node).filter(|_| self.is_member(&node)) {
                for address in addresses {
                    self.swarm
                        .behaviour_mut()
                        .members
                        .inner_mut()
                        .kad
                        .add_address(&peer, address);
                }
            }
        }
        for (connection, node) in wishes.complaints {
            self.complain(connection, node);
        }
    }

    fn is_member(&self, node: &NodeId) -> bool {
        self.gate.standing(node) == Standing::Member
    }

    fn reconsider(&mut self, node: NodeId) {
        let Some(peer) = peer_of(&node) else { return };
        let behaviour = self.swarm.behaviour_mut();
        behaviour.streams.reconsider(peer);
        if behaviour.members.reconsider(peer) == Reconsidered::LetIn {
            self.announce(node, &peer);
        }
    }

    /// Says that a node is connected, by its best connection.
    fn announce(&mut self, node: NodeId, peer: &PeerId) {
        let links = self.swarm.behaviour().streams.connections(peer);
        let best = links.min_by_key(|(_, path)| *path);
        if let Some((connection, path)) = best
            && let Some(address) = self.remotes.get(&connection)
        {
            self.tell(Event::Connected {
                node,
                class: path.class,
                address: address.to_string(),
            });
        }
    }

    /// A connection seems dead. One that is gone already needs no closing.
    fn complain(&mut self, connection: ConnectionId, node: NodeId) {
        if !self.remotes.contains_key(&connection) {
            return;
        }
        if self.silence.complain(connection, self.meters.of(&node)) == Verdict::Close {
            tracing::info!(node = %node.short(), "a connection is silent and is closed");
            self.swarm.close_connection(connection);
        }
    }

    fn tell(&mut self, event: Event) {
        self.backlog.push_back(event);
    }

    /// Tells what nobody needs to know; left out while much else waits.
    fn hint(&mut self, event: Event) {
        if self.backlog.len() < BACKLOG_HINTS_MAX {
            self.tell(event);
        }
    }

    fn happened(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                ..
            } => {
                let address = endpoint.get_remote_address().clone();
                self.connected(peer_id, connection_id, address, num_established.get());
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                tracing::debug!(%peer_id, ?cause, num_established, "a connection is closed");
                self.remotes.remove(&connection_id);
                self.silence.forget(connection_id);
                if let Some(node) = node_of(&peer_id).filter(|_| num_established == 0) {
                    self.tell(Event::Disconnected { node });
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id, error, ..
            } => self.dials.failed(connection_id, &error),
            SwarmEvent::NewListenAddr { listener_id, address } => self.listens(listener_id, &address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening
                    .send_modify(|listening| listening.addresses.retain(|known| *known != address));
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                addresses,
                reason,
            } => {
                self.listening.send_modify(|listening| {
                    listening.starting.remove(&listener_id.to_string());
                    listening.addresses.retain(|known| !addresses.contains(known));
                });
                let reason = reason
                    .err()
                    .map_or_else(|| "closed".to_owned(), |error| error.to_string());
                let addresses = addresses.iter().map(ToString::to_string).collect();
                self.tell(Event::Degraded(Degraded::ListenerClosed { addresses, reason }));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Members(event)) => self.among_members(event),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                self.discovered(found);
            }
            _ => {}
        }
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId, address: Multiaddr, count: u32) {
        let Some(node) = node_of(&peer) else { return };
        self.dials.connected(connection, peer, node);
        let class = Path::to(&address).class;
        if count == 1 {
            self.tell(Event::Connected {
                node,
                class,
                address: split_peer(address.clone()).0.to_string(),
            });
        }
        self.remotes.insert(connection, split_peer(address).0);
    }

    fn listens(&mut self, listener: ListenerId, address: &Multiaddr) {
        self.listening.send_modify(|listening| {
            listening.starting.remove(&listener.to_string());
            if !listening.addresses.contains(address) {
                listening.addresses.push(address.clone());
                listening.addresses.sort_by_key(rank);
            }
        });
        self.tell(Event::Listening {
            address: address.to_string(),
        });
    }

    fn discovered(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        for (peer, address) in found {
            if let Some(node) = node_of(&peer) {
                self.hint(Event::Discovered {
                    node,
                    address: split_peer(address).0.to_string(),
                });
            }
        }
    }

    fn among_members(&mut self, event: ForMembersEvent) {
        match event {
            ForMembersEvent::Ping(ping::Event {
                peer,
                connection,
                result,
            }) => match (result, node_of(&peer)) {
                (Ok(_), _) => self.silence.forget(connection),
                (Err(ping::Failure::Unsupported), _) | (Err(_), None) => {}
                (Err(_), Some(node)) => self.complain(connection, node),
            },
            ForMembersEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => {
                self.introduced(connection_id, peer_id, info.listen_addrs);
            }
            ForMembersEvent::Kad(kad::Event::OutboundQueryProgressed { id, result, step, .. }) => {
                self.queries.progressed(id, result, step.last);
            }
            ForMembersEvent::Kad(kad::Event::InboundRequest {
                request: InboundRequest::AddProvider { record: Some(record) },
            }) => {
                let tables = &mut self.swarm.behaviour_mut().members.inner_mut().kad;
                if let Err(error) = tables.store_mut().add_provider(record) {
                    tracing::debug!(%error, "a key is not kept for another node");
                }
            }
            ForMembersEvent::Identify(_) | ForMembersEvent::Kad(_) => {}
        }
    }

    /// A member says where it listens.
    fn introduced(&mut self, connection: ConnectionId, peer: PeerId, mut said: Vec<Multiaddr>) {
        let (Some(node), Some(seen)) = (node_of(&peer), self.remotes.get(&connection)) else {
            return;
        };
        said = said.into_iter().map(|address| split_peer(address).0).collect();
        said.retain(|address| reach_of(address) != Reach::Nowhere && is_useful(address, seen));
        said.sort_by_key(rank);
        said.dedup();
        said.truncate(PEER_ADDRESSES_MAX);
        for address in &said {
            self.swarm
                .behaviour_mut()
                .members
                .inner_mut()
                .kad
                .add_address(&peer, address.clone());
        }
        if !said.is_empty() {
            let addresses = said.iter().map(ToString::to_string).collect();
            self.hint(Event::PeerAddresses { node, addresses });
        }
    }
}
