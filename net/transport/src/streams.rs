//! Our own streams: a behaviour that knows every connection of a node and opens each stream on the best one, and tells whoever asked
//! when it cannot. It negotiates and hands streams over; it never reads or writes them.

mod behaviour;
mod handler;
mod upgrade;

use libp2p::swarm::{ConnectionId, Stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::address::Path;
pub(crate) use behaviour::Streams;

/// Why a stream could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no connection with this node: dial first.
    #[error("not connected")]
    NotConnected,
    /// Every connection with this node runs over a relay, which bulk must not use.
    #[error("connected only through a relay, which is not for bulk")]
    OnlyRelayed,
    /// The node does not let us open this protocol, or does not know it.
    #[error("the other side does not offer this to us")]
    NotOffered,
    /// As many streams to this node are open as may be: end some first.
    #[error("as many streams are open as are allowed")]
    Busy,
    /// It took too long.
    #[error("the other side did not answer in time")]
    TimedOut,
    /// The connection broke meanwhile.
    #[error("the connection was lost")]
    Lost,
    /// The transport has ended.
    #[error("the network is shut down")]
    Stopped,
}

/// A stream that was opened, and on what.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) connection: ConnectionId,
    pub(crate) path: Path,
    /// Cancelled when the connection is gone.
    pub(crate) gone: CancellationToken,
    /// What the stream counts against.
    pub(crate) held: Held,
}

/// Places that a stream takes up; free again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    _places: Vec<OwnedSemaphorePermit>,
}

impl Held {
    pub(crate) fn these(places: Vec<OwnedSemaphorePermit>) -> Self {
        Self { _places: places }
    }
}

/// Takes the outcome of an opening.
pub(crate) type Opener = tokio::sync::oneshot::Sender<Result<Opened, OpenError>>;
