//! Addresses and names: node ids to libp2p's peer ids and back, what kind of path an address is, and which addresses are worth passing on.
//! Pure; never resolves a name.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use nuthatch_format::NodeId;

/// What a connection runs over, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathClass {
    /// The other end has a loopback, private or link-local address: the same house, or a private network laid over the internet.
    Lan,
    /// The other end has a public address.
    Direct,
    /// Another node carries the bytes: never for bulk.
    Relayed,
}

/// How bytes are carried, best for bulk first: TCP with Noise moves half as much again as QUIC for the same CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carrier {
    Tcp,
    Quic,
}

/// A connection's path: the smaller, the better for bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    pub(crate) class: PathClass,
    pub(crate) carrier: Carrier,
}

impl Path {
    /// The path to this remote address.
    pub(crate) fn to(address: &Multiaddr) -> Self {
        let quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
        let carrier = if quic { Carrier::Quic } else { Carrier::Tcp };
        Self {
            class: class_of(address),
            carrier,
        }
    }
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    World,
    House,
    Link,
    Machine,
    Nowhere,
}

/// How far this address reaches. Names count as the world.
pub(crate) fn reach_of(address: &Multiaddr) -> Reach {
    for part in address {
        match part {
            Protocol::Ip4(ip) => return reach_of_ip4(ip),
            Protocol::Ip6(ip) => return ip.to_ipv4_mapped().map_or_else(|| reach_of_ip6(ip), reach_of_ip4),
            _ => {}
        }
    }
    Reach::World
}

fn reach_of_ip4(ip: Ipv4Addr) -> Reach {
    match ip {
        ip if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() => Reach::Nowhere,
        ip if ip.is_loopback() => Reach::Machine,
        ip if ip.is_link_local() => Reach::Link,
        ip if ip.is_private() => Reach::House,
        _ => Reach::World,
    }
}

fn reach_of_ip6(ip: Ipv6Addr) -> Reach {
    match ip {
        ip if ip.is_unspecified() || ip.is_multicast() => Reach::Nowhere,
        ip if ip.is_loopback() => Reach::Machine,
        ip if ip.is_unicast_link_local() => Reach::Link,
        ip if ip.is_unique_local() => Reach::House,
        _ => Reach::World,
    }
}

fn class_of(address: &Multiaddr) -> PathClass {
    if address.iter().any(|part| matches!(part, Protocol::P2pCircuit)) {
        return PathClass::Relayed;
    }
    match reach_of(address) {
        Reach::World | Reach::Nowhere => PathClass::Direct,
        Reach::House | Reach::Link | Reach::Machine => PathClass::Lan,
    }
}

/// Whether an address that a node names as its own can be of use, seen from `here`, where it was itself seen: loopback only where it
/// is on this machine, private ones only where it is on a private network.
pub(crate) fn is_useful(address: &Multiaddr, here: &Multiaddr) -> bool {
    match reach_of(address) {
        Reach::World => true,
        Reach::Nowhere | Reach::Link => false,
        Reach::House => reach_of(here) != Reach::World,
        Reach::Machine => reach_of(here) == Reach::Machine,
    }
}

/// The order in which addresses are tried and shown: near before far but for loopback, which comes last; TCP before QUIC.
pub(crate) fn rank(address: &Multiaddr) -> (u8, Path) {
    let reach = match reach_of(address) {
        Reach::House => 0,
        Reach::World => 1,
        Reach::Link => 2,
        Reach::Machine => 3,
        Reach::Nowhere => 4,
    };
    (reach, Path::to(address))
}

/// Bytes of a peer id before an Ed25519 key: identity multihash, 36 bytes; key type 1 (Ed25519); key of 32 bytes.
/// From the libp2p specification "Peer Ids and Keys".
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The node with this peer id; `None` for keys that are not Ed25519, which no node of ours has.
pub(crate) fn node_of(peer: &PeerId) -> Option<NodeId> {
    NodeId::from_slice(peer.to_bytes().strip_prefix(&PEER_ID_PREFIX)?)
}

/// A node's id as libp2p programs write it, such as stands behind `/p2p/` in an address; hexadecimal for bytes that are no key.
pub fn peer_id_text(node: NodeId) -> String {
    peer_of(&node).map_or_else(|| node.to_string(), PeerId::to_base58)
}

/// The node that a text such as stands behind `/p2p/` names; `None` when it is not an Ed25519 peer id.
pub fn node_from_text(text: &str) -> Option<NodeId> {
    node_of(&text.parse().ok()?)
}

/// The peer id of a node. `None` cannot happen while [`PEER_ID_PREFIX`] is right; callers treat it as an unknown node.
pub(crate) fn peer_of(node: &NodeId) -> Option<PeerId> {
    PeerId::from_bytes(&[PEER_ID_PREFIX.as_slice(), node.as_bytes()].concat()).ok()
}

/// An address without the peer id that may stand at its end, and that peer id.
pub(crate) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    if let Some(Protocol::P2p(peer)) = address.iter().last() {
        address.pop();
        return (address, Some(peer));
    }
    (address, None)
}

#[cfg(test)]
mod tests;
