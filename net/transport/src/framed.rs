//! Frames on a stream: a length (u32, little-endian), then that many bytes. Deadlines run from the last byte that moved.
//!
//! Reading may be given up at any time and taken up again later, and loses nothing. Writing may not: a frame cut short spoils the stream,
//! and the writer refuses to go on. Memory grows with the bytes that came, not with the length that was announced.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::meter::Counter;
use crate::throttle::{Throttle, Throttles};
pub(crate) use nuthatch_wire::bulk::PREFIX_LEN;

/// Room that is made before the bytes are there.
const READ_STEP: usize = 64 << 10;
/// Room that is kept from one frame to the next: enough for a range of a shard with its proof.
const KEPT_LEN_MAX: usize = 512 << 10;

/// Why a frame did not come or go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("no byte moved for {} seconds", .after.as_secs())]
    Stalled { after: Duration },
    #[error("the stream ended inside a frame")]
    Truncated,
    #[error("a frame of {found} bytes, at most {max} are allowed")]
    TooLong { found: usize, max: usize },
    #[error("an earlier frame was given up half-way")]
    Spoilt,
    #[error(transparent)]
    Io(io::Error),
}

/// What holds for both directions of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Limits on how fast it may move; `None`: it is too little to be limited.
    pub(crate) throttles: Option<Arc<Throttles>>,
    /// Counts what moves.
    pub(crate) counter: Counter,
    /// Longest wait for a byte to move.
    pub(crate) progress: Duration,
    /// Longest frame, in bytes, without its length.
    pub(crate) frame_len_max: usize,
    /// Cancelled when the stream's connection is gone. The multiplexer wakes nobody when we close a connection ourselves.
    pub(crate) gone: CancellationToken,
}

impl Terms {
    /// Waits for bytes to move, not longer than `patience`, nor than the connection lives.
    async fn within<T>(
        &self,
        patience: Duration,
        moving: impl Future<Output = io::Result<T>>,
    ) -> Result<T, FrameError> {
        let moved = async {
            tokio::select! {
                biased;
                moved = moving => moved,
                () = self.gone.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
            }
        };
        match timeout(patience, moved).await {
            Ok(moved) => moved.map_err(FrameError::Io),
            Err(_) => Err(FrameError::Stalled { after: patience }),
        }
    }

    /// Waits for a limit of our own, however long that takes: it is no stall. The connection may end meanwhile.
    async fn limited(&self, turn: impl Future<Output = usize>) -> Result<usize, FrameError> {
        tokio::select! {
            biased;
            portion = turn => Ok(portion),
            () = self.gone.cancelled() => Err(FrameError::Io(io::ErrorKind::ConnectionAborted.into())),
        }
    }

    fn up(&self) -> Option<&Throttle> {
        self.throttles.as_ref().map(|throttles| &throttles.up)
    }

    fn down(&self) -> Option<&Throttle> {
        self.throttles.as_ref().map(|throttles| &throttles.down)
    }
}

/// Reads frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    io: R,
    terms: Terms,
    /// Length and body of the frame that is coming; only the first `filled` bytes have come.
    buffer: Vec<u8>,
    filled: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(io: R, terms: Terms) -> Self {
        Self {
            io,
            terms,
            buffer: Vec::new(),
            filled: 0,
        }
    }

    /// The next frame's bytes; `None` when the other side has ended the stream between frames. Its first byte may take `first`.
    pub(crate) async fn next(&mut self, first: Duration) -> Result<Option<&[u8]>, FrameError> {
        if self.filled == 0 && self.buffer.len() > KEPT_LEN_MAX {
            self.buffer = Vec::new();
        }
        if self.filled == 0 && self.read_some(PREFIX_LEN, first).await? == 0 {
            return Ok(None);
        }
        let progress = self.terms.progress;
        while self.filled < PREFIX_LEN {
            self.read_more(PREFIX_LEN, progress).await?;
        }
        let end = PREFIX_LEN + self.body_len()?;
        while self.filled < end {
            self.read_more(end, progress).await?;
        }
        self.filled = 0;
        Ok(self.buffer.get(PREFIX_LEN..end))
    }

    /// One byte between frames; `None` at the end of the stream.
    pub(crate) async fn byte(&mut self, patience: Duration) -> Result<Option<u8>, FrameError> {
        if self.read_some(1, patience).await? == 0 {
            return Ok(None);
        }
        self.filled = 0;
        Ok(self.buffer.first().copied())
    }

    fn body_len(&self) -> Result<usize, FrameError> {
        let prefix = self
            .buffer
            .first_chunk::<PREFIX_LEN>()
            .ok_or(FrameError::Truncated)?;
        let found = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if found > self.terms.frame_len_max {
            return Err(FrameError::TooLong {
                found,
                max: self.terms.frame_len_max,
            });
        }
        Ok(found)
    }

    async fn read_more(&mut self, end: usize, patience: Duration) -> Result<(), FrameError> {
        match self.read_some(end, patience).await? {
            0 => Err(FrameError::Truncated),
            _ => Ok(()),
        }
    }

    /// Reads towards `end`; answers how many bytes came, 0 at the end of the stream.
    async fn read_some(&mut self, end: usize, patience: Duration) -> Result<usize, FrameError> {
        let mut room = end.min(self.filled + READ_STEP);
        if let Some(down) = self.terms.down() {
            let portion = self.terms.limited(down.allowed(room - self.filled)).await?;
            room = room.min(self.filled + portion);
        }
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let free = self.buffer.get_mut(self.filled..room).unwrap_or_default();
        let count = self.terms.within(patience, self.io.read(free)).await?;
        self.filled += count;
        self.terms.counter.received(count);
        if let Some(down) = self.terms.down() {
            down.moved(count);
        }
        Ok(count)
    }

    /// Reads and throws away what still comes, up to a length, until the other side ends: so that it can read our last word before
    /// the stream is torn down.
    pub(crate) async fn drain(&mut self, len_max: usize) {
        let mut waste = vec![0; 16 << 10];
        let mut left = len_max;
        while left > 0 {
            match self
                .terms
                .within(self.terms.progress, self.io.read(&mut waste))
                .await
            {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    self.terms.counter.received(count);
                    left = left.saturating_sub(count);
                }
            }
        }
    }
}

/// Writes frames.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    io: W,
    terms: Terms,
    inside_frame: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(io: W, terms: Terms) -> Self {
        Self {
            io,
            terms,
            inside_frame: false,
        }
    }

    /// Writes a frame that has [`PREFIX_LEN`] bytes of room in front of its body.
    pub(crate) async fn write(&mut self, mut frame: Vec<u8>) -> Result<(), FrameError> {
        let found = frame.len().saturating_sub(PREFIX_LEN);
        match (frame.first_chunk_mut::<PREFIX_LEN>(), u32::try_from(found)) {
            (Some(prefix), Ok(len)) if found <= self.terms.frame_len_max => *prefix = len.to_le_bytes(),
            _ => {
                return Err(FrameError::TooLong {
                    found,
                    max: self.terms.frame_len_max,
                });
            }
        }
        self.write_raw(&frame).await
    }

    /// Writes bytes as they are.
    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if std::mem::replace(&mut self.inside_frame, true) {
            return Err(FrameError::Spoilt);
        }
        let progress = self.terms.progress;
        let mut rest = bytes;
        while !rest.is_empty() {
            let portion = self.portion(rest).await?;
            let written = self.terms.within(progress, self.io.write(portion)).await;
            let count = *written.as_ref().unwrap_or(&0);
            if let Some(up) = self.terms.up() {
                up.unmoved(portion.len() - count);
            }
            written?;
            if count == 0 {
                return Err(FrameError::Io(io::ErrorKind::WriteZero.into()));
            }
            self.terms.counter.sent(count);
            rest = rest.get(count..).unwrap_or_default();
        }
        self.terms.within(progress, self.io.flush()).await?;
        self.inside_frame = false;
        Ok(())
    }

    /// As much of the bytes as may be sent now.
    async fn portion<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let Some(up) = self.terms.up() else {
            return Ok(bytes);
        };
        let portion = self.terms.limited(up.take(bytes.len())).await?;
        Ok(bytes.get(..portion).unwrap_or(bytes))
    }

    /// Ends our side of the stream.
    pub(crate) async fn close(&mut self) -> Result<(), FrameError> {
        self.terms.within(self.terms.progress, self.io.close()).await
    }
}

#[cfg(test)]
mod tests;
