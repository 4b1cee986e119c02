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
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::upgrade::{Offered, Wanted};
use super::{Held, OpenError, Opened, Opener};
use crate::address::Path;
use crate::config::{NEGOTIATION_TIMEOUT, OPENED_PER_CONNECTION_MAX};
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

/// Who waits for a stream, and the place that it takes up.
pub(crate) type Opening = (Opener, Held);

/// One connection's streams.
pub(crate) struct StreamsHandler {
    origin: Origin,
    connection: ConnectionId,
    path: Path,
    /// Cancels when the handler is dropped, which is when the connection is gone.
    gone: DropGuard,
    gate: Arc<dyn Gate>,
    /// As last heard from the gate; decides whether the connection stays open when idle.
    standing: Standing,
    inbound: Inbound,
    /// Places for streams that we open. The multiplexer ends the whole connection when there are too many.
    places: Arc<Semaphore>,
    wanted: VecDeque<(Protocol, Opening)>,
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
            places: Arc::new(Semaphore::new(OPENED_PER_CONNECTION_MAX)),
            wanted: VecDeque::new(),
        }
    }

    fn node(&self) -> &NodeId {
        &self.origin.node
    }

    fn on_this_connection(&self, stream: Stream, held: Held) -> Opened {
        Opened {
            stream,
            connection: self.connection,
            path: self.path,
            gone: DropGuard::token(&self.gone).clone(),
            held,
        }
    }

    fn take_in(&mut self, stream: Stream, name: &str) {
        self.standing = self.gate.standing(self.node());
        match Protocol::from_name(name) {
            Some(protocol) if protocol.is_open_to(self.standing) => {
                let opened = self.on_this_connection(stream, Held::default());
                self.inbound.accept(&self.origin, self.standing, protocol, opened);
            }
            Some(_) | None => {
                tracing::debug!(node = %self.node().short(), name, "a stream that is not allowed any more");
            }
        }
    }

    /// Takes a wish for a stream, if there is a place for it.
    fn want(&mut self, protocol: Protocol, opener: Opener) {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => self
                .wanted
                .push_back((protocol, (opener, Held::these(vec![place])))),
            Err(_) => drop(opener.send(Err(OpenError::Busy))),
        }
    }

    fn opened(&self, stream: Stream, (opener, held): Opening) {
        // If nobody waits any more, the stream is dropped, which resets it.
        let _ = opener.send(Ok(self.on_this_connection(stream, held)));
    }

    fn failed((opener, _): Opening, error: &StreamUpgradeError<Infallible>) {
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
    type OutboundOpenInfo = Opening;

    fn listen_protocol(&self) -> SubstreamProtocol<Offered, ()> {
        // Asked anew: who has just heard that it is let in may open the next stream before `Reconsider` has come this far.
        let standing = self.gate.standing(self.node());
        SubstreamProtocol::new(Offered(standing), ()).with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        self.standing == Standing::Member
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Wanted, Opening, Infallible>> {
        while let Some((protocol, opening)) = self.wanted.pop_front() {
            if !opening.0.is_closed() {
                let protocol =
                    SubstreamProtocol::new(Wanted(protocol), opening).with_timeout(NEGOTIATION_TIMEOUT);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: StreamsIn) {
        match event {
            StreamsIn::Open(protocol, opener) => self.want(protocol, opener),
            StreamsIn::Reconsider => self.standing = self.gate.standing(self.node()),
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offered, Wanted, (), Opening>) {
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
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => Self::failed(info, &error),
            _ => {}
        }
    }
}
