//! One question, one answer, one stream.
//!
//! The asker sends the question as one frame and ends its side. The answer is one status byte: 0, followed by one frame; or 1 busy,
//! 2 too long, 3 no answer, followed by nothing. The messages themselves are not looked at here.

use std::time::Duration;

use futures::AsyncReadExt as _;
use futures::io::{ReadHalf, WriteHalf};
use libp2p::swarm::Stream;
use nuthatch_wire::protocol::MESSAGE_LEN_MAX;
use tokio::time::timeout;

use crate::config::{CONTROL_PROGRESS, LINGER_LEN_MAX, LINGER_TIMEOUT};
use crate::framed::{FrameError, FrameReader, FrameWriter, PREFIX_LEN, Terms};
use crate::meter::Counter;
use crate::streams::{Held, OpenError, Opened};

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The question is longer than any may be; nothing was sent.
    #[error("a message of {found} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes of the question.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// No stream for it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The node has too much to do: ask again later.
    #[error("the other side is busy")]
    Busy,
    /// The node finds the question too long.
    #[error("the other side refuses a message of this length")]
    RefusedAsTooLong,
    /// The node has no answer to give, for reasons of its own.
    #[error("the other side gave no answer")]
    NoAnswer,
    /// The answer did not begin in time, or stopped coming.
    #[error("the other side did not answer in time")]
    TimedOut,
    /// What came is not an answer.
    #[error("the other side's answer cannot be read")]
    Malformed,
    /// The stream broke.
    #[error("the connection was lost")]
    Lost,
}

impl From<FrameError> for RequestError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Stalled { .. } => Self::TimedOut,
            FrameError::TooLong { .. } => Self::Malformed,
            FrameError::Truncated | FrameError::Spoilt | FrameError::Io(_) => Self::Lost,
        }
    }
}

/// The first byte of what comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Answer,
    Busy,
    TooLong,
    NoAnswer,
}

impl Status {
    const ALL: [Self; 4] = [Self::Answer, Self::Busy, Self::TooLong, Self::NoAnswer];

    const fn byte(self) -> u8 {
        match self {
            Self::Answer => 0,
            Self::Busy => 1,
            Self::TooLong => 2,
            Self::NoAnswer => 3,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.byte() == byte)
    }
}

/// A control stream, either side.
pub(crate) struct ControlStream {
    reader: FrameReader<ReadHalf<Stream>>,
    writer: FrameWriter<WriteHalf<Stream>>,
    _held: Held,
}

impl ControlStream {
    pub(crate) fn new(opened: Opened, counter: Counter) -> Self {
        let (read, write) = opened.stream.split();
        let terms = Terms {
            throttles: None,
            counter,
            progress: CONTROL_PROGRESS,
            frame_len_max: MESSAGE_LEN_MAX,
            gone: opened.gone,
        };
        Self {
            reader: FrameReader::new(read, terms.clone()),
            writer: FrameWriter::new(write, terms),
            _held: opened.held,
        }
    }

    /// Asks. The answer must begin within `patience` and then keep coming.
    pub(crate) async fn ask(mut self, question: &[u8], patience: Duration) -> Result<Vec<u8>, RequestError> {
        // A node that refuses early answers before it has read everything: its answer counts, not our failure to write.
        let written = match self.writer.write(framed(question)).await {
            Ok(()) => self.writer.close().await,
            Err(error) => Err(error),
        };
        self.hear_answer(written, patience).await
    }

    async fn hear_answer(
        &mut self,
        written: Result<(), FrameError>,
        patience: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        let status = self.read_status(patience).await;
        match (status, written) {
            (Ok(Status::Answer), _) => {}
            (Ok(Status::Busy), _) => return Err(RequestError::Busy),
            (Ok(Status::TooLong), _) => return Err(RequestError::RefusedAsTooLong),
            (Ok(Status::NoAnswer), _) => return Err(RequestError::NoAnswer),
            (Err(_), Err(error)) => return Err(error.into()),
            (Err(error), Ok(())) => return Err(error),
        }
        let answer = self
            .reader
            .next(CONTROL_PROGRESS)
            .await?
            .ok_or(RequestError::Lost)?;
        Ok(answer.to_vec())
    }

    async fn read_status(&mut self, patience: Duration) -> Result<Status, RequestError> {
        let byte = self.reader.byte(patience).await?.ok_or(RequestError::Lost)?;
        Status::of(byte).ok_or(RequestError::Malformed)
    }

    /// Reads the question.
    pub(crate) async fn hear(&mut self) -> Result<Vec<u8>, FrameError> {
        let question = self
            .reader
            .next(CONTROL_PROGRESS)
            .await?
            .ok_or(FrameError::Truncated)?;
        Ok(question.to_vec())
    }

    /// Answers, and waits a little until it was read.
    pub(crate) async fn answer(mut self, answer: &[u8]) -> Result<(), FrameError> {
        if answer.len() > MESSAGE_LEN_MAX {
            self.refuse(Status::NoAnswer).await;
            return Err(FrameError::TooLong {
                found: answer.len(),
                max: MESSAGE_LEN_MAX,
            });
        }
        self.writer.write_raw(&[Status::Answer.byte()]).await?;
        self.writer.write(framed(answer)).await?;
        self.part().await;
        Ok(())
    }

    /// Says why there is no answer, and waits a little until it was read.
    pub(crate) async fn refuse(mut self, status: Status) {
        if self.writer.write_raw(&[status.byte()]).await.is_ok() {
            self.part().await;
        }
    }

    async fn part(mut self) {
        if self.writer.close().await.is_ok() {
            // Either all was read, or the time is up: nothing more can be done for the asker.
            let _ = timeout(LINGER_TIMEOUT, self.reader.drain(LINGER_LEN_MAX)).await;
        }
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0; PREFIX_LEN], message].concat()
}

#[cfg(test)]
impl ControlStream {
    /// Asks with bytes that need not be a frame.
    pub(crate) async fn ask_raw(mut self, bytes: &[u8], patience: Duration) -> Result<Vec<u8>, RequestError> {
        let written = self.writer.write_raw(bytes).await;
        self.hear_answer(written, patience).await
    }

    /// Asks byte by byte, with a pause after each.
    pub(crate) async fn ask_slowly(
        mut self,
        question: &[u8],
        pause: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        let prefix = (question.len() as u32).to_le_bytes();
        let mut written = Ok(());
        for byte in prefix.iter().chain(question) {
            written = self.writer.write_raw(&[*byte]).await;
            if written.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        self.hear_answer(written, Duration::from_secs(10)).await
    }
}
