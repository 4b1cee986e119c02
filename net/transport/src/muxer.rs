//! Yamux with a bound on memory. libp2p's own wrapper leaves a connection's receive window at 1 GiB and offers no way to lower it; a peer
//! that writes faster than we read could make us keep that much.
//!
//! It multiplexes and nothing else; it never looks at a stream's bytes.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::StreamMuxer;
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::StreamMuxerEvent;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};

use nuthatch_format::NodeId;

use crate::allowance::{Allowance, Allowed};
use crate::config::{STREAMS_PER_CONNECTION_MAX, YAMUX_CONNECTION_WINDOW};
use crate::gate::Gate;

/// Streams opened by the other side that wait for the swarm to look (count). Yamux opens no more before the first are accepted.
const WAITING_MAX: usize = 256;

const _: () = assert!(WAITING_MAX >= STREAMS_PER_CONNECTION_MAX);

/// How connections are multiplexed.
#[derive(Clone)]
pub(crate) struct Yamux {
    /// What the other side may send of a connection that it has opened.
    inbound: Option<Allowance>,
}

impl Yamux {
    /// For a connection with that node. One that cannot be a node is refused elsewhere.
    pub(crate) fn with(node: Option<NodeId>, gate: &Arc<dyn Gate>) -> Self {
        Self {
            inbound: node.map(|node| Allowance::of(Arc::clone(gate), node)),
        }
    }

    fn start<C: AsyncRead + AsyncWrite + Unpin>(
        socket: C,
        mode: yamux::Mode,
        allowance: Option<Allowance>,
    ) -> Muxer<C> {
        let mut config = yamux::Config::default();
        config
            .set_max_num_streams(STREAMS_PER_CONNECTION_MAX)
            .set_max_connection_receive_window(Some(YAMUX_CONNECTION_WINDOW));
        Muxer {
            connection: yamux::Connection::new(Allowed::new(socket, allowance), config, mode),
            waiting: VecDeque::new(),
            waker: None,
        }
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(Self::start(socket, yamux::Mode::Server, self.inbound)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(Self::start(socket, yamux::Mode::Client, None)))
    }
}

/// One multiplexed connection.
pub(crate) struct Muxer<C> {
    connection: yamux::Connection<Allowed<C>>,
    /// Yamux only moves while it is asked for new streams; those that come while nobody wants one wait here.
    waiting: VecDeque<yamux::Stream>,
    waker: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        let stream = ready!(self.connection.poll_next_inbound(cx)).ok_or(yamux::ConnectionError::Closed);
        Poll::Ready(stream.and_then(std::convert::identity).map_err(as_io))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = yamux::Stream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let polled = self.poll_next(cx);
        if polled.is_pending() {
            self.waker = Some(cx.waker().clone());
        }
        polled
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        self.connection.poll_new_outbound(cx).map_err(as_io)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(as_io)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let stream = ready!(self.poll_next(cx))?;
        if self.waiting.len() >= WAITING_MAX {
            // Cannot happen with a peer that keeps yamux's rules; whoever breaks them loses the stream, which resets it.
            tracing::debug!("a peer opens streams faster than it may");
        } else {
            self.waiting.push_back(stream);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
        // There may be more: come again, but let others run first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn as_io(error: yamux::ConnectionError) -> io::Error {
    match error {
        yamux::ConnectionError::Io(error) => error,
        other => io::Error::other(other),
    }
}
