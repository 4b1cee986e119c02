//! How much a stranger may send over one connection to us. The multiplexer keeps what nobody has read yet, up to a window for each stream;
//! a stranger has so little to say that it never needs them, and must not fill the memory with them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use nuthatch_format::NodeId;

use crate::config::STRANGER_LEN_MAX;
use crate::gate::{Gate, Standing};

/// What one node may send over one connection.
#[derive(Clone)]
pub(crate) struct Allowance {
    gate: Arc<dyn Gate>,
    node: NodeId,
    left: usize,
}

impl Allowance {
    /// Without a bound, unless the gate says that it is a stranger.
    pub(crate) fn of(gate: Arc<dyn Gate>, node: NodeId) -> Self {
        Self {
            gate,
            node,
            left: STRANGER_LEN_MAX,
        }
    }

    /// Takes what came off it; an error when a stranger has no more. Anybody else begins anew.
    fn take(&mut self, count: usize) -> io::Result<()> {
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None if self.gate.standing(&self.node) == Standing::Stranger => {
                tracing::debug!(node = %self.node.short(), "a stranger sends more than it may");
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            None => self.left = STRANGER_LEN_MAX,
        }
        Ok(())
    }
}

/// A connection under an allowance, or without.
pub(crate) struct Allowed<C> {
    socket: C,
    allowance: Option<Allowance>,
}

impl<C> Allowed<C> {
    pub(crate) fn new(socket: C, allowance: Option<Allowance>) -> Self {
        Self { socket, allowance }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Allowed<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if let Some(allowance) = &mut self.allowance {
            allowance.take(count)?;
        }
        Poll::Ready(Ok(count))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Allowed<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}
