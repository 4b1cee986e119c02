//! The swarm's task: the one place where libp2p is driven. It takes commands and wishes, passes on what happens, and does no I/O besides
//! the network's. When its events are not taken, it stops driving instead of forgetting.

mod happenings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use libp2p::kad::RecordKey;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm};
use nuthatch_format::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::address::{node_of, peer_of};
use crate::behaviour::Behaviour;
use crate::config::{BACKLOG_HINTS_MAX, BACKLOG_MAX, CLOSE_TIMEOUT};
use crate::dialing::{DialError, Dialer, Dials, reason_of};
use crate::event::Event;
use crate::finding::{Queries, Query};
use crate::gate::{Gate, Reconsidered, Standing};
use crate::meter::Meters;
use crate::silence::{Silence, Verdict};
use crate::swarm::Built;
use crate::transport::Command;
use crate::wishes::{OpenWishes, Wishes};

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
                () = events.closed() => Next::End,
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
        match behaviour.members.reconsider(peer) {
            Reconsidered::LetIn => self.announce(node, &peer),
            Reconsidered::PutOut => drop(behaviour.members.inner_mut().kad.remove_peer(&peer)),
            Reconsidered::Unchanged => {}
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
        if self
            .silence
            .complain(Instant::now(), connection, self.meters.of(&node))
            == Verdict::Close
        {
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
}
