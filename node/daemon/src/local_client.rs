//! A running node, seen from a command: finds its socket, sends a request, streams the messages back. Performs nothing itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use crate::api::{Exit, Failure, Input, Message, Outlet, Perform, Request};
use crate::local_server::{REQUEST_LEN_MAX, is_same_user, known_socket};

/// Longest line that a node may answer, in bytes.
const LINE_LEN_MAX: usize = 4 << 20;

/// Bytes of streamed input that are sent at a time.
const INPUT_CHUNK_LEN: usize = 64 << 10;

/// Why it can't be known whether a node runs.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The socket is there and can't be used.
    #[error("can't reach the node at {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else answers there.
    #[error("{path} belongs to another user")]
    OtherUser {
        /// The socket.
        path: PathBuf,
    },
}

/// The running node of a home.
#[derive(Debug)]
pub struct LocalClient {
    socket: PathBuf,
}

impl LocalClient {
    /// The node that runs in this home, or `None` where none does.
    pub async fn find(home: &Path) -> Result<Option<Self>, FindError> {
        let Some(socket) = known_socket(home) else {
            return Ok(None);
        };
        match UnixStream::connect(&socket).await {
            Ok(stream) if is_same_user(&stream) => Ok(Some(Self { socket })),
            Ok(_) => Err(FindError::OtherUser { path: socket }),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(FindError::Connect { path: socket, source }),
        }
    }

    async fn stream(&self, request: Request, out: Outlet, input: Option<Input>) -> Result<(), Failure> {
        let line = request_line(&request)?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| broken(&error))?;
        if !is_same_user(&stream) {
            return Err(Failure::new(
                Exit::Failed,
                "other_user",
                "the node's socket belongs to another user",
            ));
        }
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let call = async move {
            let request = hyper::Request::post("/v1/perform")
                .header(hyper::header::HOST, "nuthatch")
                .body(StreamBody::new(body_of(line, input)))
                .map_err(|error| broken(&error))?;
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| broken(&error))?;
            let result = read_messages(response.into_body(), &out).await;
            drop(sender);
            result
        };
        // Both in this task: when it is cancelled, the connection closes with it, and that cancels the job.
        let mut call = std::pin::pin!(call);
        tokio::select! {
            result = &mut call => return result,
            ended = connection => if let Err(error) = ended { tracing::debug!("the local connection ended: {error}") },
        }
        call.await
    }
}

impl Perform for LocalClient {
    fn perform(
        self: Arc<Self>,
        request: Request,
        out: Outlet,
        input: Option<Input>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            tokio::select! {
                result = self.stream(request, out, input) => result,
                () = cancel.cancelled() => Err(Failure::interrupted()),
            }
        })
    }
}

fn request_line(request: &Request) -> Result<Bytes, Failure> {
    let mut line =
        serde_json::to_vec(request).map_err(|error| Failure::from_error(Exit::Failed, "internal", &error))?;
    line.push(b'\n');
    if line.len() as u64 > REQUEST_LEN_MAX {
        let message = format!("paths and globs of one command have at most {REQUEST_LEN_MAX} bytes together");
        return Err(
            Failure::new(Exit::Usage, "too_long", message).with_hint("back up a folder that contains them")
        );
    }
    Ok(Bytes::from(line))
}

fn body_of(line: Bytes, input: Option<Input>) -> BoxStream<'static, io::Result<Frame<Bytes>>> {
    let first = stream::once(async move { Ok(Frame::data(line)) });
    match input {
        None => first.boxed(),
        Some(input) => first
            .chain(ReaderStream::with_capacity(input, INPUT_CHUNK_LEN).map_ok(Frame::data))
            .boxed(),
    }
}

/// Passes messages on until the stream ends; it must end in a summary or an error.
async fn read_messages(mut body: Incoming, out: &Outlet) -> Result<(), Failure> {
    let mut pending = Vec::new();
    let mut finished = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else {
            continue;
        };
        pending.extend_from_slice(&data);
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
            if pending.len() > LINE_LEN_MAX {
                return Err(Failure::new(
                    Exit::Failed,
                    "bad_answer",
                    "the node's answer is longer than any",
                ));
            }
            continue;
        };
        for line in pending[..end]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match message_of(line)? {
                Message::Error(notice) => return Err(Failure::from_notice(notice)),
                message => {
                    finished |= matches!(message, Message::Summary(_));
                    out.send(message).await;
                }
            }
        }
        drop(pending.drain(..=end));
    }
    if finished {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "node_ended",
        "the node ended before the command was done",
    )
    .with_hint("start it again with 'nuthatch up', then run the same command again: it continues"))
}

fn message_of(line: &[u8]) -> Result<Message, Failure> {
    serde_json::from_slice(line).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "bad_answer",
            format!("the node's answer is not understood: {error}"),
        )
        .with_hint("the running node may be of another version: restart it")
    })
}

fn broken(error: &dyn std::error::Error) -> Failure {
    let mut failure = Failure::from_error(Exit::Failed, "node_unreachable", error);
    failure.message = format!("the connection to the running node broke: {}", failure.message);
    failure.with_hint("see whether it still runs, then run the same command again: it continues")
}
