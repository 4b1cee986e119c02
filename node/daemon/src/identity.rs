//! Who this node is: its key and its name.

use nuthatch_format::NodeId;
use nuthatch_format::signed::KeyPair;

/// The node's key pair and what it calls itself. The key is on disk in the home; losing it makes another node.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: KeyPair,
    pub(crate) node: NodeId,
    pub(crate) name: String,
}

impl Identity {
    /// The node with this key.
    pub(crate) fn new(key: KeyPair, name: String) -> Self {
        let node = NodeId::from_bytes(key.public());
        Self { key, node, name }
    }
}
