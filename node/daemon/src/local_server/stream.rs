//! One job as a stream of lines: its messages, then its failure if it had one. Dropping the stream cancels the job.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{Stream, unfold};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::{Exit, Failure, Input, Message, Outlet, Perform, Request};

struct Job {
    messages: mpsc::Receiver<Message>,
    task: JoinHandle<Result<(), Failure>>,
    ending: Option<Ending>,
    _cancel: DropGuard,
}

/// What follows the messages once the task has ended.
enum Ending {
    Failure(Failure),
    Nothing,
}

/// Starts the job and gives its lines. The permit is held until the job itself has ended, not only its listener.
pub(super) fn lines(
    performer: Arc<dyn Perform>,
    request: Request,
    input: Option<Input>,
    cancel: CancellationToken,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let (out, messages) = Outlet::new();
    let job = performer.perform(request, out, input, cancel.clone());
    let task = tokio::spawn(async move {
        let result = job.await;
        drop(permit);
        result
    });
    let job = Job {
        messages,
        task,
        ending: None,
        _cancel: cancel.drop_guard(),
    };
    unfold(job, |mut job| async move {
        job.next().await.map(|message| (Ok(line_of(&message)), job))
    })
}

impl Job {
    async fn next(&mut self) -> Option<Message> {
        if self.ending.is_none() {
            tokio::select! {
                biased;
                Some(message) = self.messages.recv() => return Some(message),
                result = &mut self.task => {
                    self.messages.close();
                    self.ending = Some(ending_of(result));
                }
            }
        }
        // What the job sent before it ended still comes first.
        if let Some(message) = self.messages.recv().await {
            return Some(message);
        }
        match self.ending.replace(Ending::Nothing) {
            Some(Ending::Failure(failure)) => Some(Message::Error(failure.into_notice())),
            Some(Ending::Nothing) | None => None,
        }
    }
}

fn ending_of(result: Result<Result<(), Failure>, JoinError>) -> Ending {
    match result {
        Ok(Ok(())) => Ending::Nothing,
        Ok(Err(failure)) => Ending::Failure(failure),
        Err(error) => {
            tracing::error!("a job broke: {error}");
            let failure = Failure::new(
                Exit::Failed,
                "internal",
                "the node broke off this command because of a fault of its own",
            )
            .with_hint("the node's log has the details; please report them");
            Ending::Failure(failure)
        }
    }
}

/// A message as one line of JSON.
pub(super) fn line_of(message: &Message) -> Bytes {
    let mut line = serde_json::to_vec(message).unwrap_or_else(|error| {
        tracing::error!("a message can't be written as JSON: {error}");
        br#"{"message_type":"error","code":1,"kind":"internal","message":"a message can't be written as JSON"}"#.to_vec()
    });
    line.push(b'\n');
    Bytes::from(line)
}
