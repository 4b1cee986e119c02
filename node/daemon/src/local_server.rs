//! The node's local interface: HTTP with JSON over a Unix socket in the home, for its own user only.
//!
//! `POST /v1/perform` takes one line of JSON (a request), then whatever the command streams as input; it answers one message a
//! line. A connection that closes cancels its job. Performs nothing itself, and never listens on a network.

mod location;
mod stream;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::TryStreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use crate::api::{Backup, Exit, Failure, Input, Message, Perform, Request};

pub use location::LocateError;
pub(crate) use location::{is_same_user, known_socket};

/// Longest request line in bytes: many paths and globs, but not data.
pub const REQUEST_LEN_MAX: u64 = 1 << 20;

/// Jobs that are performed at the same time; more are told to come again.
const JOBS_MAX: usize = 16;

/// How long a stopping server waits for cancelled jobs to end.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The media type of answers.
const NDJSON: &str = "application/x-ndjson";

/// Why the local interface can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no place for the socket.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The socket can't be made.
    #[error("can't listen at {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A running local interface.
#[derive(Debug)]
pub struct LocalServer {
    socket: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    performer: Arc<dyn Perform>,
    jobs: Arc<Semaphore>,
    stop: CancellationToken,
}

impl LocalServer {
    /// Offers a node's interface in its home. The caller holds the home's lock: a socket that lies there is from a process
    /// that has ended, and is replaced.
    pub fn start(home: &Path, performer: Arc<dyn Perform>) -> Result<Self, ServeError> {
        let socket = location::prepare(home)?;
        let listener = location::listen(&socket).map_err(|source| ServeError::Listen {
            path: socket.clone(),
            source,
        })?;
        let stop = CancellationToken::new();
        let shared = Shared {
            performer,
            jobs: Arc::new(Semaphore::new(JOBS_MAX)),
            stop: stop.clone(),
        };
        let router = Router::new()
            .route("/v1/perform", post(perform))
            .with_state(shared);
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            let served =
                axum::serve(OwnUserOnly(listener), router).with_graceful_shutdown(ended.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!("the local interface ended: {error}");
            }
        });
        Ok(Self { socket, stop, task })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Cancels the jobs, waits a little for their ends, and takes the socket away.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_PATIENCE, &mut self.task).await.is_err() {
            tracing::warn!("a job did not end in time and is abandoned");
            self.task.abort();
        }
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!("the socket is gone already: {error}");
        }
    }
}

/// A listener that hangs up on other users (the superuser excepted): the file's mode is not everywhere obeyed for sockets.
struct OwnUserOnly(UnixListener);

impl axum::serve::Listener for OwnUserOnly {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) if is_same_user(&stream) => return (stream, ()),
                Ok(_) => tracing::warn!("another user tried the local interface and was refused"),
                Err(error) => {
                    tracing::warn!("can't accept a local connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

async fn perform(State(shared): State<Shared>, body: Body) -> Response {
    let mut reader = BufReader::new(StreamReader::new(
        body.into_data_stream().map_err(io::Error::other),
    ));
    let request = match read_request(&mut reader).await {
        Ok(request) => request,
        Err(failure) => return refusal(StatusCode::BAD_REQUEST, failure),
    };
    let Ok(permit) = shared.jobs.try_acquire_owned() else {
        let failure = Failure::new(
            Exit::TryLater,
            "busy",
            format!("the node performs {JOBS_MAX} commands already"),
        )
        .with_hint("wait until one of them has ended");
        return refusal(StatusCode::SERVICE_UNAVAILABLE, failure);
    };
    let streams_input = matches!(
        &request,
        Request::Backup(Backup {
            stdin_name: Some(_),
            ..
        })
    );
    let input = streams_input.then(|| Box::new(reader) as Input);
    let cancel = shared.stop.child_token();
    let lines = stream::lines(shared.performer, request, input, cancel, permit);
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}

async fn read_request(reader: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Result<Request, Failure> {
    let wrong = |message: String| Failure::new(Exit::Usage, "bad_request", message);
    let mut line = zeroize::Zeroizing::new(Vec::new());
    let mut bounded = reader.take(REQUEST_LEN_MAX);
    bounded
        .read_until(b'\n', &mut line)
        .await
        .map_err(|error| wrong(format!("the request broke off: {error}")))?;
    if line.last() != Some(&b'\n') {
        return Err(wrong(format!(
            "a request is one line of at most {REQUEST_LEN_MAX} bytes"
        )));
    }
    serde_json::from_slice(&line)
        .map_err(|error| wrong(format!("this node does not know the request: {error}")))
}

fn refusal(status: StatusCode, failure: Failure) -> Response {
    let line = stream::line_of(&Message::Error(failure.into_notice()));
    (status, [(header::CONTENT_TYPE, NDJSON)], line).into_response()
}

#[cfg(test)]
mod tests;
