//! What a transport tells its caller. Values only.

use nuthatch_format::NodeId;
use tokio::sync::oneshot;

use crate::address::PathClass;
use crate::bulk::BulkStream;
use crate::protocol::ControlProtocol;

/// Something happened. Requests and bulk streams may come before the `Connected` of their node, since they come by another way.
#[derive(Debug)]
pub enum Event {
    /// We listen on this address now.
    Listening {
        /// The address, without the node's id.
        address: String,
    },
    /// The first connection with a node stands; also when a node that was connected already rises to member by
    /// [`reconsider`](crate::Transport::reconsider).
    Connected {
        /// The node; its key is proven, its standing is the gate's to say.
        node: NodeId,
        /// What the connection runs over.
        class: PathClass,
        /// Where the node is seen. If it dialled us, this may be no address to dial.
        address: String,
    },
    /// The last connection with a node is gone.
    Disconnected {
        /// The node.
        node: NodeId,
    },
    /// A node asks.
    Request {
        /// Who asks.
        node: NodeId,
        /// Over which protocol; strangers come only over `Join` and `Claim`.
        protocol: ControlProtocol,
        /// The question, at most `MESSAGE_LEN_MAX` bytes, not looked at.
        message: Vec<u8>,
        /// Takes the answer.
        respond: Responder,
    },
    /// A node opened a bulk stream.
    Bulk {
        /// Who.
        node: NodeId,
        /// The stream. It counts against the node's bound until it is dropped.
        stream: BulkStream,
    },
    /// A node says that it is on the local network. Nothing of this is proven, not even that it is one of ours.
    Discovered {
        /// Who it says it is.
        node: NodeId,
        /// Where.
        address: String,
    },
    /// A member says where it can be reached.
    PeerAddresses {
        /// The member.
        node: NodeId,
        /// Its addresses, near ones first; those that cannot be of use here are left out.
        addresses: Vec<String>,
    },
    /// Something that was configured does not work; the rest goes on without.
    Degraded(Degraded),
}

/// A part of the network that a transport does without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Degraded {
    /// Nodes on the local network are not found by themselves.
    #[error("nodes on the local network cannot be found: {reason}")]
    Mdns {
        /// What the system says.
        reason: String,
    },
    /// This machine has no IPv6, or not here.
    #[error("cannot listen on {address}: {reason}")]
    Ipv6 {
        /// The address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// A listener ended.
    #[error("no longer listening on {addresses:?}: {reason}")]
    ListenerClosed {
        /// Where it listened.
        addresses: Vec<String>,
        /// What the system says.
        reason: String,
    },
    /// Names in addresses cannot be resolved the way this machine is configured.
    #[error(
        "this machine's resolver configuration cannot be read, so names are asked for at no server: {reason}"
    )]
    Resolver {
        /// What the system says.
        reason: String,
    },
    /// QUIC is off because the environment asks for TLS session keys to be written to a file.
    #[error("SSLKEYLOGFILE is set, so QUIC stays off: its keys would be written there")]
    KeyLog,
}

/// Takes the answer to one question. Dropped without one, it tells the asker that there is none.
#[derive(Debug)]
pub struct Responder(oneshot::Sender<Vec<u8>>);

impl Responder {
    pub(crate) fn new(answer: oneshot::Sender<Vec<u8>>) -> Self {
        Self(answer)
    }

    /// Answers. An answer longer than `MESSAGE_LEN_MAX` is not sent; the asker is told that there is none.
    /// If the asker is gone, nothing happens.
    pub fn respond(self, answer: Vec<u8>) {
        let _ = self.0.send(answer);
    }
}
