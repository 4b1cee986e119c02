//! Who can reach whom, who is connected, and how long things take. Data only; the world acts on it.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_format::{ByteCount, Span};
use rand::{Rng, RngExt};

/// A node by its place in the world.
pub type NodeIndex = usize;

/// The network as it is now.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Nodes of different parts can't reach each other; part 0 is everybody's who is not named.
    parts: BTreeMap<NodeIndex, u8>,
    /// Pairs, smaller first.
    connected: BTreeSet<(NodeIndex, NodeIndex)>,
}

/// How long a failed dial takes.
pub const DIAL_TIMEOUT: Span = Span::from_secs(3);

const fn pair(one: NodeIndex, other: NodeIndex) -> (NodeIndex, NodeIndex) {
    if one < other { (one, other) } else { (other, one) }
}

impl Network {
    /// Whether a message from one could reach the other.
    pub fn reaches(&self, one: NodeIndex, other: NodeIndex) -> bool {
        self.part_of(one) == self.part_of(other)
    }

    fn part_of(&self, node: NodeIndex) -> u8 {
        self.parts.get(&node).copied().unwrap_or(0)
    }

    /// Moves a node to another part.
    pub fn move_to(&mut self, node: NodeIndex, part: u8) {
        self.parts.insert(node, part);
    }

    /// Whether two nodes have a connection.
    pub fn is_connected(&self, one: NodeIndex, other: NodeIndex) -> bool {
        self.connected.contains(&pair(one, other))
    }

    /// Connects two nodes; says whether they were not.
    pub fn connect(&mut self, one: NodeIndex, other: NodeIndex) -> bool {
        self.connected.insert(pair(one, other))
    }

    /// Ends a connection; says whether there was one.
    pub fn disconnect(&mut self, one: NodeIndex, other: NodeIndex) -> bool {
        self.connected.remove(&pair(one, other))
    }

    /// Connections that can't last: their ends can't reach each other.
    pub fn broken(&self) -> Vec<(NodeIndex, NodeIndex)> {
        self.connected
            .iter()
            .filter(|(one, other)| !self.reaches(*one, *other))
            .copied()
            .collect()
    }

    /// All connections of a node, by its peers.
    pub fn peers_of(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let other_of = |&(one, other): &(NodeIndex, NodeIndex)| match node {
            own if own == one => Some(other),
            own if own == other => Some(one),
            _ => None,
        };
        self.connected.iter().filter_map(other_of).collect()
    }

    /// All connections.
    pub fn connections(&self) -> Vec<(NodeIndex, NodeIndex)> {
        self.connected.iter().copied().collect()
    }

    /// Time for a small message, one way: 5 to 80 ms, a home line to another.
    pub fn latency(rng: &mut impl Rng) -> Span {
        Span::from_millis(rng.random_range(5..80))
    }

    /// Time for so many bytes: 2 to 20 MiB/s.
    pub fn transfer_time(len: ByteCount, rng: &mut impl Rng) -> Span {
        let mib_per_s = rng.random_range(2..=20);
        Span::from_millis(1 + len.0 * 1000 / (mib_per_s << 20))
    }
}
