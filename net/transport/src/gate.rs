//! Who is let in. `Gated` wraps behaviours that are for members only: a connection with anybody else gets a handler that speaks nothing.
//!
//! The wrapped behaviours never hear of such a connection. When the node becomes a member ([`Gated::reconsider`]), its connections are
//! let in as they stand, so that the answer that admitted it is not lost; when it ceases to be one, they are closed.
//! The gate is asked; nothing here decides.

mod handler;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use nuthatch_format::NodeId;
use tokio::time::Instant;

use crate::address::node_of;
use handler::{GatedHandler, GatedIn};

/// What a node is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody we know: may ask to join, or claim.
    Stranger,
    /// Has proved that an archive is its own: may ask and transfer besides; the caller authorises each request.
    Claimant,
    /// A member of the circle: everything.
    Member,
}

/// Says what a node is. Asked at each connection and at each stream that is opened to us, often, from inside the network's tasks: it must
/// answer at once, from memory.
pub trait Gate: Send + Sync + 'static {
    /// What this node is, now.
    fn standing(&self, node: &NodeId) -> Standing;
}

/// What became of a node's connections when its standing was looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reconsidered {
    Unchanged,
    LetIn,
    PutOut,
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    #[error("as many connections with strangers as are allowed")]
    TooManyStrangers,
    #[error("found through the address tables, but not a member")]
    NotAMember,
    #[error("its key is of another kind than ours")]
    OtherKey,
}

/// A behaviour for members only.
pub(crate) struct Gated<B: NetworkBehaviour> {
    inner: B,
    gate: Arc<dyn Gate>,
    /// Connections that the inner behaviour does not know of.
    outside: HashMap<ConnectionId, Outsider>,
    /// Connections that it knows of (count for each peer).
    inside: HashMap<PeerId, usize>,
    /// Dials that the inner behaviour asked for: what it finds there must be a member.
    own_dials: HashSet<ConnectionId>,
    pending: VecDeque<ToSwarm<B::ToSwarm, THandlerInEvent<Self>>>,
    strangers_max: usize,
    turn: Duration,
}

/// A connection with somebody who is no member.
#[derive(Debug, Clone)]
struct Outsider {
    peer: PeerId,
    endpoint: ConnectedPoint,
    since: Instant,
    /// It is being closed, and no longer counted.
    is_leaving: bool,
}

impl<B: NetworkBehaviour> Gated<B> {
    /// So many connections with strangers at a time; each is kept for `turn` at least.
    pub(crate) fn new(inner: B, gate: Arc<dyn Gate>, (strangers_max, turn): (usize, Duration)) -> Self {
        Self {
            inner,
            gate,
            outside: HashMap::new(),
            inside: HashMap::new(),
            own_dials: HashSet::new(),
            pending: VecDeque::new(),
            strangers_max,
            turn,
        }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    fn standing(&self, peer: &PeerId) -> Standing {
        node_of(peer).map_or(Standing::Stranger, |node| self.gate.standing(&node))
    }

    fn admits(&self, peer: &PeerId) -> bool {
        self.standing(peer) == Standing::Member
    }

    /// Asks the gate again about a node that may be connected.
    pub(crate) fn reconsider(&mut self, peer: PeerId) -> Reconsidered {
        if !self.admits(&peer) {
            if !self.inside.contains_key(&peer) {
                return Reconsidered::Unchanged;
            }
            self.pending.push_back(ToSwarm::CloseConnection {
                peer_id: peer,
                connection: CloseConnection::All,
            });
            return Reconsidered::PutOut;
        }
        let waiting: Vec<_> = self
            .outside
            .iter()
            .filter(|(_, outsider)| outsider.peer == peer)
            .map(|(id, outsider)| (*id, outsider.endpoint.clone()))
            .collect();
        for (id, endpoint) in &waiting {
            self.let_in(peer, *id, endpoint);
        }
        if waiting.is_empty() {
            Reconsidered::Unchanged
        } else {
            Reconsidered::LetIn
        }
    }

    /// Shows the inner behaviour a connection that stands already, as if it were new, and hands its handler to the connection.
    fn let_in(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        self.outside.remove(&id);
        let handler = match endpoint {
            ConnectedPoint::Dialer {
                address,
                role_override,
                port_use,
            } => self.inner.handle_established_outbound_connection(
                id,
                peer,
                address,
                *role_override,
                *port_use,
            ),
            ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } => self
                .inner
                .handle_established_inbound_connection(id, peer, local_addr, send_back_addr),
        };
        match handler {
            Ok(handler) => {
                self.pending.push_back(ToSwarm::NotifyHandler {
                    peer_id: peer,
                    handler: NotifyHandler::One(id),
                    event: GatedIn::Open(Box::new(handler)),
                });
                self.established_inside(peer, id, endpoint, &[]);
            }
            Err(reason) => {
                tracing::debug!(%peer, %reason, "a member's connection is closed");
                self.pending.push_back(ToSwarm::CloseConnection {
                    peer_id: peer,
                    connection: CloseConnection::One(id),
                });
            }
        }
    }

    fn established_inside(
        &mut self,
        peer_id: PeerId,
        connection_id: ConnectionId,
        endpoint: &ConnectedPoint,
        failed_addresses: &[Multiaddr],
    ) {
        let count = self.inside.entry(peer_id).or_default();
        let other_established = *count;
        *count += 1;
        self.inner
            .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                failed_addresses,
                other_established,
            }));
    }

    fn closed_inside(&mut self, event: ConnectionClosed<'_>) {
        let remaining_established = match self.inside.get_mut(&event.peer_id) {
            Some(count) if *count > 1 => {
                *count -= 1;
                *count
            }
            Some(_) | None => {
                self.inside.remove(&event.peer_id);
                0
            }
        };
        self.inner
            .on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                remaining_established,
                ..event
            }));
    }

    fn shut_out(&mut self, peer: PeerId, connection: ConnectionId, endpoint: ConnectedPoint) {
        let outsider = Outsider {
            peer,
            endpoint,
            since: Instant::now(),
            is_leaving: false,
        };
        self.outside.insert(connection, outsider);
    }

    /// Whether one more stranger may come in. When there are as many as may be, whoever came to us first and has proved nothing in its
    /// turn goes: a few who only hold their places must not keep out everybody who wants to join or claim.
    fn has_room(&mut self) -> bool {
        let staying = self.outside.values().filter(|outsider| !outsider.is_leaving);
        if staying.count() < self.strangers_max {
            return true;
        }
        let now = Instant::now();
        let oldest = self
            .outside
            .iter()
            .filter(|(_, outsider)| !outsider.is_leaving && outsider.endpoint.is_listener())
            .filter(|(_, outsider)| now.duration_since(outsider.since) >= self.turn)
            .filter(|(_, outsider)| self.standing(&outsider.peer) == Standing::Stranger)
            .min_by_key(|(_, outsider)| outsider.since)
            .map(|(id, outsider)| (*id, outsider.peer));
        let Some((connection, peer_id)) = oldest else {
            return false;
        };
        if let Some(outsider) = self.outside.get_mut(&connection) {
            outsider.is_leaving = true;
        }
        self.pending.push_back(ToSwarm::CloseConnection {
            peer_id,
            connection: CloseConnection::One(connection),
        });
        true
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.outside.remove(&connection);
        self.own_dials.remove(&connection);
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gated<B> {
    type ConnectionHandler = GatedHandler<THandler<B>>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        local_addr: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(connection_id, local_addr, remote_addr)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        peer: PeerId,
        local_addr: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if node_of(&peer).is_none() {
            return Err(ConnectionDenied::new(Denied::OtherKey));
        }
        if self.admits(&peer) {
            let handler = self.inner.handle_established_inbound_connection(
                connection_id,
                peer,
                local_addr,
                remote_addr,
            )?;
            return Ok(GatedHandler::open(handler));
        }
        if !self.has_room() {
            return Err(ConnectionDenied::new(Denied::TooManyStrangers));
        }
        let endpoint = ConnectedPoint::Listener {
            local_addr: local_addr.clone(),
            send_back_addr: remote_addr.clone(),
        };
        self.shut_out(peer, connection_id, endpoint);
        Ok(GatedHandler::shut())
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection_id: ConnectionId,
        maybe_peer: Option<PeerId>,
        addresses: &[Multiaddr],
        effective_role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(connection_id, maybe_peer, addresses, effective_role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection_id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let own_dial = self.own_dials.remove(&connection_id);
        if node_of(&peer).is_none() {
            return Err(ConnectionDenied::new(Denied::OtherKey));
        }
        if self.admits(&peer) {
            let handler = self.inner.handle_established_outbound_connection(
                connection_id,
                peer,
                addr,
                role_override,
                port_use,
            )?;
            return Ok(GatedHandler::open(handler));
        }
        if own_dial {
            return Err(ConnectionDenied::new(Denied::NotAMember));
        }
        let endpoint = ConnectedPoint::Dialer {
            address: addr.clone(),
            role_override,
            port_use,
        };
        self.shut_out(peer, connection_id, endpoint);
        Ok(GatedHandler::shut())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                if !self.outside.contains_key(&event.connection_id) {
                    self.established_inside(
                        event.peer_id,
                        event.connection_id,
                        event.endpoint,
                        event.failed_addresses,
                    );
                }
            }
            FromSwarm::ConnectionClosed(event) => {
                if self.outside.remove(&event.connection_id).is_none() {
                    self.closed_inside(event);
                }
            }
            FromSwarm::AddressChange(event) => match self.outside.get_mut(&event.connection_id) {
                Some(outsider) => outsider.endpoint.clone_from(event.new),
                None => self.inner.on_swarm_event(FromSwarm::AddressChange(event)),
            },
            FromSwarm::DialFailure(event) => {
                self.forget(event.connection_id);
                self.inner.on_swarm_event(FromSwarm::DialFailure(event));
            }
            FromSwarm::ListenFailure(event) => {
                self.forget(event.connection_id);
                self.inner.on_swarm_event(FromSwarm::ListenFailure(event));
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer_id: PeerId,
        connection_id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner
            .on_connection_handler_event(peer_id, connection_id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.pending.pop_front() {
            return Poll::Ready(event);
        }
        let event = std::task::ready!(self.inner.poll(cx));
        if let ToSwarm::Dial { opts } = &event {
            self.own_dials.insert(opts.connection_id());
        }
        Poll::Ready(event.map_in(GatedIn::Inner))
    }
}
