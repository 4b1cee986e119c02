//! One question to another node over the control protocol, and its answer, decoded. Decides nothing.

use std::time::Duration;

use nuthatch_format::codec::{self, DecodeError};
use nuthatch_format::{NodeId, Span};
use nuthatch_transport::{ControlProtocol, RequestError, Transport};
use nuthatch_wire::message::{ErrorCode, Reply, Request};

/// How long an answer may take in all. Answers are small, but a host may sync a disk that is asleep.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The network.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What came is no answer of the protocol.
    #[error("the answer makes no sense")]
    Malformed(#[from] DecodeError),
    /// The node says no.
    #[error("{0}")]
    Refused(ErrorCode),
    /// An answer to something else.
    #[error("the answer is to another question")]
    OtherAnswer,
}

impl AskError {
    /// When a busy node wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Span> {
        match self {
            Self::Refused(ErrorCode::Busy(span)) => Some(*span),
            _ => None,
        }
    }
}

/// Asks a node; a refusal is an error.
pub(crate) async fn ask(transport: &Transport, node: NodeId, request: &Request) -> Result<Reply, AskError> {
    let bytes = codec::encode(request);
    let answer = transport
        .request(node, ControlProtocol::Control, bytes, ANSWER_TIMEOUT)
        .await?;
    match codec::decode(&answer)? {
        Reply::Refused(code) => Err(AskError::Refused(code)),
        reply => Ok(reply),
    }
}

/// Asks, and takes one kind of reply out of the answer.
macro_rules! ask_for {
    ($transport:expr, $node:expr, $request:expr, $reply:ident) => {
        match $crate::ask::ask($transport, $node, &$request).await {
            Ok(::nuthatch_wire::message::Reply::$reply(inner)) => Ok(inner),
            Ok(_) => Err($crate::ask::AskError::OtherAnswer),
            Err(error) => Err(error),
        }
    };
}
pub(crate) use ask_for;
