//! Agreeing on a stream's protocol. Nothing is exchanged beyond the name.

use std::convert::Infallible;
use std::future::{Ready, ready};

use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade};
use libp2p::swarm::Stream;

use crate::gate::Standing;
use crate::protocol::Protocol;

/// What a node of this standing is offered.
#[derive(Debug)]
pub(crate) struct Offered(pub(crate) Standing);

impl UpgradeInfo for Offered {
    type Info = &'static str;
    type InfoIter = std::vec::IntoIter<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        let names: Vec<_> = Protocol::open_to(self.0).map(Protocol::name).collect();
        names.into_iter()
    }
}

impl InboundUpgrade<Stream> for Offered {
    type Output = (Stream, &'static str);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: &'static str) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

/// What we ask for.
#[derive(Debug)]
pub(crate) struct Wanted(pub(crate) Protocol);

impl UpgradeInfo for Wanted {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(self.0.name())
    }
}

impl OutboundUpgrade<Stream> for Wanted {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: &'static str) -> Self::Future {
        ready(Ok(stream))
    }
}
