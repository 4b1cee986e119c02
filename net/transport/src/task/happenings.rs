//! What happens in the network, turned into events and into the task's own books. It starts nothing by itself.

use libp2p::core::transport::ListenerId;
use libp2p::kad::store::RecordStore as _;
use libp2p::kad::{self, InboundRequest};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, mdns, ping};

use super::Task;
use crate::address::{Path, Reach, is_useful, node_of, rank, reach_of, split_peer};
use crate::behaviour::{BehaviourEvent, ForMembersEvent};
use crate::config::PEER_ADDRESSES_MAX;
use crate::event::{Degraded, Event};

impl Task {
    pub(super) fn happened(&mut self, event: SwarmEvent<BehaviourEvent>) {
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
