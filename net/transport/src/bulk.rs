//! Bulk streams: long-lived, frames both ways, failing when no byte moves for a while. What the frames mean is the users' business.
//!
//! A stream that stalls is reset by dropping it; if the whole connection is silent, that is closed too, which covers the multiplexer's
//! known read-side deadlock under bulk in both directions.

use std::sync::Arc;
use std::time::Duration;

use futures::AsyncReadExt as _;
use futures::io::{ReadHalf, WriteHalf};
use libp2p::swarm::{ConnectionId, Stream};
use nuthatch_format::NodeId;
use nuthatch_format::codec::DecodeError;
use nuthatch_wire::bulk::{FRAME_LEN_MAX, Frame};
use tokio::time::timeout;

use crate::address::{Path, PathClass};
use crate::config::{LINGER_LEN_MAX, LINGER_TIMEOUT};
use crate::framed::{FrameError, FrameReader, FrameWriter, Terms};
use crate::meter::Counter;
use crate::streams::{Held, Opened};
use crate::wishes::Wishes;

/// Why a frame did not come or go. The stream is of no use any more: drop it.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// No byte moved for the length of the time-out.
    #[error("no byte moved for {} seconds", .after.as_secs())]
    Stalled {
        /// The time-out.
        after: Duration,
    },
    /// The stream or its connection broke.
    #[error("the connection was lost")]
    Lost(#[source] std::io::Error),
    /// The other side ended the stream inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// A frame longer than any may be; nothing of it was sent or taken in.
    #[error("a frame of {found} bytes, at most {max} are allowed")]
    TooLong {
        /// Its bytes.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// What came is no frame.
    #[error("the other side sent what is no frame")]
    Malformed(#[source] DecodeError),
    /// An earlier `send` was given up half-way.
    #[error("an earlier frame was given up half-way")]
    Spoilt,
}

impl From<FrameError> for BulkError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Stalled { after } => Self::Stalled { after },
            FrameError::Truncated => Self::Truncated,
            FrameError::TooLong { found, max } => Self::TooLong { found, max },
            FrameError::Spoilt => Self::Spoilt,
            FrameError::Io(source) => Self::Lost(source),
        }
    }
}

/// What both halves of a stream share.
#[derive(Debug)]
struct Line {
    node: NodeId,
    connection: ConnectionId,
    path: Path,
    wishes: Arc<Wishes>,
    /// Free again when both halves are dropped.
    _held: Held,
}

impl Line {
    /// Passes an error on, and complains about the connection when the stream stalled.
    fn fail(&self, error: FrameError) -> BulkError {
        if matches!(error, FrameError::Stalled { .. }) {
            self.wishes.complain(self.node, self.connection);
        }
        error.into()
    }
}

/// A bulk stream, either side.
#[derive(Debug)]
pub struct BulkStream {
    sender: BulkSender,
    receiver: BulkReceiver,
}

/// The sending half.
#[derive(Debug)]
pub struct BulkSender {
    line: Arc<Line>,
    writer: FrameWriter<WriteHalf<Stream>>,
}

/// The receiving half.
#[derive(Debug)]
pub struct BulkReceiver {
    line: Arc<Line>,
    reader: FrameReader<ReadHalf<Stream>>,
    progress: Duration,
}

impl BulkStream {
    pub(crate) fn new(
        node: NodeId,
        opened: Opened,
        counter: Counter,
        progress: Duration,
        wishes: Arc<Wishes>,
    ) -> Self {
        let Opened {
            stream,
            connection,
            path,
            gone,
            held,
        } = opened;
        let (read, write) = stream.split();
        let line = Arc::new(Line {
            node,
            connection,
            path,
            wishes,
            _held: held,
        });
        let terms = Terms {
            throttles: Some(counter.throttles()),
            counter,
            progress,
            frame_len_max: FRAME_LEN_MAX,
            gone,
        };
        Self {
            sender: BulkSender {
                line: Arc::clone(&line),
                writer: FrameWriter::new(write, terms.clone()),
            },
            receiver: BulkReceiver {
                line,
                reader: FrameReader::new(read, terms),
                progress,
            },
        }
    }

    /// Who is at the other end.
    pub fn node(&self) -> NodeId {
        self.sender.line.node
    }

    /// What the stream runs over.
    pub fn class(&self) -> PathClass {
        self.sender.line.path.class
    }

    /// See [`BulkSender::send`].
    pub async fn send(&mut self, frame: &Frame) -> Result<(), BulkError> {
        self.sender.send(frame).await
    }

    /// See [`BulkReceiver::recv`].
    pub async fn recv(&mut self) -> Result<Option<Frame>, BulkError> {
        self.receiver.recv().await
    }

    /// See [`BulkReceiver::recv_within`].
    pub async fn recv_within(&mut self, first: Duration) -> Result<Option<Frame>, BulkError> {
        self.receiver.recv_within(first).await
    }

    /// The two halves, to send and receive at the same time. The stream lives until both are dropped.
    pub fn split(self) -> (BulkSender, BulkReceiver) {
        (self.sender, self.receiver)
    }

    /// Ends the stream after a last word: what was sent arrives, then the other side's `recv` answers `None`. Waits a few seconds at
    /// most for the other side to end as well; what it still sends is thrown away.
    pub async fn finish(mut self) -> Result<(), BulkError> {
        self.sender.end().await?;
        // Should the other side never end, the stream is reset when it is dropped here.
        let _ = timeout(LINGER_TIMEOUT, self.receiver.reader.drain(LINGER_LEN_MAX)).await;
        Ok(())
    }
}

impl BulkSender {
    /// Sends one frame: done when the connection has taken it over, not when it has arrived. Fails when no byte could be handed over
    /// for the length of the progress time-out. Not to be given up half-way: a stream with half a frame on it refuses the next.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), BulkError> {
        self.writer
            .write(frame.to_wire())
            .await
            .map_err(|error| self.line.fail(error))
    }

    /// Ends the sending side; the other side's `recv` answers `None` after all that was sent.
    pub async fn end(&mut self) -> Result<(), BulkError> {
        self.writer.close().await.map_err(|error| self.line.fail(error))
    }
}

impl BulkReceiver {
    /// The next frame, or `None` when the other side has ended the stream in order. Fails when no byte came for the length of the
    /// progress time-out. May be given up and called again without losing anything.
    pub async fn recv(&mut self) -> Result<Option<Frame>, BulkError> {
        self.recv_within(self.progress).await
    }

    /// Like [`recv`](Self::recv), but the frame may take `first` to begin: for the pauses between operations on a long-lived stream.
    pub async fn recv_within(&mut self, first: Duration) -> Result<Option<Frame>, BulkError> {
        match self.reader.next(first).await {
            Ok(Some(bytes)) => Frame::from_body(bytes).map(Some).map_err(BulkError::Malformed),
            Ok(None) => Ok(None),
            Err(error) => Err(self.line.fail(error)),
        }
    }
}
