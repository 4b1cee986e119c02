//! The handler of a gated behaviour on one connection: the inner behaviour's own, or nothing until it is let in.
//! It forwards and never looks into what it forwards.

use std::fmt;
use std::task::{Context, Poll};

use futures::future::{Either, Pending, pending};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, InboundUpgradeSend,
    ListenUpgradeError, UpgradeInfoSend,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, SubstreamProtocol};

/// What the behaviour tells its handler.
pub(crate) enum GatedIn<H: ConnectionHandler> {
    /// The node is let in: this handler speaks from now on.
    Open(Box<H>),
    /// From the inner behaviour to its handler.
    Inner(H::FromBehaviour),
}

impl<H: ConnectionHandler> fmt::Debug for GatedIn<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(_) => f.write_str("Open"),
            Self::Inner(event) => event.fmt(f),
        }
    }
}

/// A handler that may be shut.
pub(crate) struct GatedHandler<H> {
    inner: Option<H>,
}

impl<H> GatedHandler<H> {
    pub(crate) fn open(handler: H) -> Self {
        Self { inner: Some(handler) }
    }

    pub(crate) fn shut() -> Self {
        Self { inner: None }
    }
}

/// What is offered to the other side: the inner handler's protocols, or none at all.
pub(crate) struct Offer<U>(Option<U>);

impl<U: UpgradeInfoSend> UpgradeInfoSend for Offer<U> {
    type Info = U::Info;
    type InfoIter = std::vec::IntoIter<U::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        let names: Vec<_> = self.0.iter().flat_map(UpgradeInfoSend::protocol_info).collect();
        names.into_iter()
    }
}

impl<U: InboundUpgradeSend> InboundUpgradeSend for Offer<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = Either<U::Future, Pending<Result<U::Output, U::Error>>>;

    fn upgrade_inbound(self, socket: Stream, info: Self::Info) -> Self::Future {
        match self.0 {
            Some(upgrade) => Either::Left(upgrade.upgrade_inbound(socket, info)),
            // Nothing was offered, so nothing can have been agreed on; were it so, the negotiation's deadline would end it.
            None => Either::Right(pending()),
        }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for GatedHandler<H> {
    type FromBehaviour = GatedIn<H>;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Offer<H::InboundProtocol>;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = Option<H::InboundOpenInfo>;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        match &self.inner {
            Some(inner) => inner
                .listen_protocol()
                .map_upgrade(|upgrade| Offer(Some(upgrade)))
                .map_info(Some),
            None => SubstreamProtocol::new(Offer(None), None),
        }
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner
            .as_ref()
            .is_some_and(ConnectionHandler::connection_keep_alive)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.inner.as_mut().map_or(Poll::Pending, |inner| inner.poll(cx))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner
            .as_mut()
            .map_or(Poll::Ready(None), |inner| inner.poll_close(cx))
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match (event, &mut self.inner) {
            (GatedIn::Open(handler), inner @ None) => *inner = Some(*handler),
            (GatedIn::Inner(event), Some(inner)) => inner.on_behaviour_event(event),
            (GatedIn::Open(_), Some(_)) | (GatedIn::Inner(_), None) => {}
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        let Some(inner) = &mut self.inner else { return };
        let event = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol,
                info: Some(info),
            }) => ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }),
            ConnectionEvent::ListenUpgradeError(ListenUpgradeError {
                info: Some(info),
                error,
            }) => ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error })
            }
            ConnectionEvent::AddressChange(change) => ConnectionEvent::AddressChange(change),
            ConnectionEvent::LocalProtocolsChange(change) => ConnectionEvent::LocalProtocolsChange(change),
            ConnectionEvent::RemoteProtocolsChange(change) => ConnectionEvent::RemoteProtocolsChange(change),
            // Begun while shut.
            _ => return,
        };
        inner.on_connection_event(event);
    }
}
