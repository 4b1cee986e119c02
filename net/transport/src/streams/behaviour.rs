//! Every connection of every node, and on which of them a stream is opened: the nearest; over TCP rather than QUIC at the same distance;
//! bulk never over a relay.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandlerInEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::handler::{StreamsHandler, StreamsIn};
use super::{OpenError, Opener};
use crate::address::{Path, PathClass, node_of};
use crate::gate::{Denied, Gate};
use crate::inbound::Inbound;
use crate::protocol::Protocol;

/// A connection and what it runs over.
pub(crate) type Link = (ConnectionId, Path);

/// All our streams.
pub(crate) struct Streams {
    gate: Arc<dyn Gate>,
    inbound: Inbound,
    /// Connections of each connected node, in the order in which they were made.
    links: HashMap<PeerId, Vec<Link>>,
    pending: VecDeque<ToSwarm<Infallible, StreamsIn>>,
}

impl Streams {
    pub(crate) fn new(gate: Arc<dyn Gate>, inbound: Inbound) -> Self {
        Self {
            gate,
            inbound,
            links: HashMap::new(),
            pending: VecDeque::new(),
        }
    }

    /// Opens a stream; the outcome goes to `opener`.
    pub(crate) fn open(&mut self, peer: PeerId, protocol: Protocol, opener: Opener) {
        let links = self.links.get(&peer).map_or(&[][..], Vec::as_slice);
        match best(links, protocol) {
            Ok(connection) => self.notify(peer, connection, StreamsIn::Open(protocol, opener)),
            Err(error) => {
                let _ = opener.send(Err(error));
            }
        }
    }

    /// Has the gate asked again about a node that may be connected.
    pub(crate) fn reconsider(&mut self, peer: PeerId) {
        let links = self.links.get(&peer).cloned().unwrap_or_default();
        for (connection, _) in links {
            self.notify(peer, connection, StreamsIn::Reconsider);
        }
    }

    /// The connections with a node.
    pub(crate) fn connections(&self, peer: &PeerId) -> impl Iterator<Item = Link> {
        self.links.get(peer).into_iter().flatten().copied()
    }

    fn notify(&mut self, peer_id: PeerId, connection: ConnectionId, event: StreamsIn) {
        self.pending.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event,
        });
    }

    fn handler(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
    ) -> Result<StreamsHandler, ConnectionDenied> {
        let node = node_of(&peer).ok_or_else(|| ConnectionDenied::new(Denied::OtherKey))?;
        let origin = self.inbound.origin(node);
        Ok(StreamsHandler::new(
            origin,
            connection,
            Path::to(remote),
            Arc::clone(&self.gate),
            self.inbound.clone(),
        ))
    }
}

/// The connection on which to open a stream.
fn best(links: &[Link], protocol: Protocol) -> Result<ConnectionId, OpenError> {
    let allowed = |path: &Path| match protocol {
        Protocol::Bulk => path.class != PathClass::Relayed,
        Protocol::Control(_) => true,
    };
    links
        .iter()
        .filter(|(_, path)| allowed(path))
        .min_by_key(|(_, path)| *path)
        .map(|(connection, _)| *connection)
        .ok_or(if links.is_empty() {
            OpenError::NotConnected
        } else {
            OpenError::OnlyRelayed
        })
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = StreamsHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<StreamsHandler, ConnectionDenied> {
        self.handler(connection_id, peer, remote_addr)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection_id: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<StreamsHandler, ConnectionDenied> {
        self.handler(connection_id, peer, addr)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                let path = Path::to(event.endpoint.get_remote_address());
                self.links
                    .entry(event.peer_id)
                    .or_default()
                    .push((event.connection_id, path));
            }
            FromSwarm::ConnectionClosed(event) => {
                let Some(links) = self.links.get_mut(&event.peer_id) else {
                    return;
                };
                links.retain(|(connection, _)| *connection != event.connection_id);
                if links.is_empty() {
                    self.links.remove(&event.peer_id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        self.pending.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ControlProtocol;

    fn link(id: usize, address: &str) -> Link {
        (
            ConnectionId::new_unchecked(id),
            Path::to(&address.parse().unwrap()),
        )
    }

    #[test]
    fn a_stream_takes_the_nearest_connection_and_tcp_among_equals() {
        let links = [
            link(1, "/ip4/9.9.9.9/tcp/1"),
            link(2, "/ip4/10.0.0.1/udp/1/quic-v1"),
            link(3, "/ip4/10.0.0.1/tcp/1"),
            link(4, "/ip4/10.0.0.1/tcp/2"),
        ];
        assert_eq!(best(&links, Protocol::Bulk), Ok(links[2].0));
        assert_eq!(best(&links[..2], Protocol::Bulk), Ok(links[1].0));
    }

    #[test]
    fn bulk_never_goes_over_a_relay_and_questions_may() {
        let links = [link(1, "/ip4/9.9.9.9/tcp/1/p2p-circuit")];
        assert_eq!(best(&links, Protocol::Bulk), Err(OpenError::OnlyRelayed));
        assert_eq!(
            best(&links, Protocol::Control(ControlProtocol::Control)),
            Ok(links[0].0)
        );
        assert_eq!(best(&[], Protocol::Bulk), Err(OpenError::NotConnected));
    }
}
