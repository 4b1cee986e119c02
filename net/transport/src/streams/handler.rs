//! One connection's streams: asks for those that we open, takes in those that the other side opens.
//! The gate is asked anew for every stream taken in, so a standing that fell has effect at once.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, ConnectionId, Stream, StreamUpgradeError, SubstreamProtocol,
};
use nuthatch_format::NodeId;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::upgrade::{Offered, Wanted};
use super::{OpenError, Opened, Opener};
use crate::address::Path;
use crate::config::{NEGOTIATION_TIMEOUT, OPENS_PER_CONNECTION_MAX};
use crate::gate::{Gate, Standing};
use crate::inbound::{Inbound, Origin};
use crate::protocol::Protocol;

/// What the behaviour tells a connection's handler.
#[derive(Debug)]
pub(crate) enum StreamsIn {
    /// Open a stream.
    Open(Protocol, Opener),
    /// The node's standing may have changed.
    Reconsider,
}

/// One connection's streams.
pub(crate) struct StreamsHandler {
    origin: Origin,
    connection: ConnectionId,
    path: Path,
    /// Cancels when the handler is dropped, which is when the connection is gone.
    gone: DropGuard,
    gate: Arc<dyn Gate>,
    /// As last heard from the gate; decides what is offered and whether the connection stays open when idle.
    standing: Standing,
    inbound: Inbound,
    wanted: VecDeque<(Protocol, Opener)>,
    /// Streams being negotiated (count).
    opening_count: usize,
}

impl StreamsHandler {
    pub(crate) fn new(
        origin: Origin,
        connection: ConnectionId,
        path: Path,
        gate: Arc<dyn Gate>,
        inbound: Inbound,
    ) -> Self {
        let standing = gate.standing(&origin.node);
        Self {
            origin,
            connection,
            path,
            gone: CancellationToken::new().drop_guard(),
            gate,
            standing,
            inbound,
            wanted: VecDeque::new(),
            opening_count: 0,
        }
    }

    fn node(&self) -> &NodeId {
        &self.origin.node
    }

    fn on_this_connection(&self, stream: Stream) -> Opened {
        Opened {
            stream,
            connection: self.connection,
            path: self.path,
            gone: DropGuard::token(&self.gone).clone(),
        }
    }

    fn take_in(&mut self, stream: Stream, name: &str) {
        self.standing = self.gate.standing(self.node());
        match Protocol::from_name(name) {
            Some(protocol) if protocol.is_open_to(self.standing) => {
                let opened = self.on_this_connection(stream);
                self.inbound.accept(&self.origin, self.standing, protocol, opened);
            }
            Some(_) | None => {
                tracing::debug!(node = %self.node().short(), name, "a stream that is not allowed any more");
            }
        }
    }

    fn opened(&mut self, stream: Stream, opener: Opener) {
        self.opening_count -= 1;
        // Nobody waits any more: the stream is dropped, which resets it.
        let _ = opener.send(Ok(self.on_this_connection(stream)));
    }

    fn failed(&mut self, opener: Opener, error: &StreamUpgradeError<Infallible>) {
        self.opening_count -= 1;
        let error = match error {
            StreamUpgradeError::Timeout => OpenError::TimedOut,
            StreamUpgradeError::NegotiationFailed => OpenError::NotOffered,
            StreamUpgradeError::Io(_) => OpenError::Lost,
            StreamUpgradeError::Apply(never) => match *never {},
        };
        let _ = opener.send(Err(error));
    }
}

impl ConnectionHandler for StreamsHandler {
    type FromBehaviour = StreamsIn;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offered;
    type OutboundProtocol = Wanted;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opener;

    fn listen_protocol(&self) -> SubstreamProtocol<Offered, ()> {
        SubstreamProtocol::new(Offered(self.standing), ()).with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        self.standing == Standing::Member
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Wanted, Opener, Infallible>> {
        while let Some((protocol, opener)) = self.wanted.pop_front() {
            if !opener.is_closed() {
                self.opening_count += 1;
                let protocol =
                    SubstreamProtocol::new(Wanted(protocol), opener).with_timeout(NEGOTIATION_TIMEOUT);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: StreamsIn) {
        match event {
            StreamsIn::Open(_, opener)
                if self.wanted.len() + self.opening_count >= OPENS_PER_CONNECTION_MAX =>
            {
                let _ = opener.send(Err(OpenError::Busy));
            }
            StreamsIn::Open(protocol, opener) => self.wanted.push_back((protocol, opener)),
            StreamsIn::Reconsider => self.standing = self.gate.standing(self.node()),
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offered, Wanted, (), Opener>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, name),
                info: (),
            }) => {
                self.take_in(stream, name);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info,
            }) => {
                self.opened(stream, info);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => self.failed(info, &error),
            _ => {}
        }
    }
}
