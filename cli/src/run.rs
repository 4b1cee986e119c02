//! Performs one request and shows its messages as they come.

use std::sync::Arc;

use nuthatch_daemon::api::{
    Answer, CancellationToken, Exit, Failure, Input, Message, Outlet, Perform, Request,
};

use crate::node::Performer;
use crate::render::View;
use crate::session::Session;

/// How a request ended.
pub(crate) struct Outcome {
    /// Its summary; a failure may come after one.
    pub answer: Option<Answer>,
    /// Its failure.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// The answer of a request that did not fail.
    pub(crate) fn into_answer(self) -> Result<Answer, Failure> {
        match (self.failure, self.answer) {
            (Some(failure), _) => Err(failure),
            (None, Some(answer)) => Ok(answer),
            (None, None) => Err(unexpected_answer()),
        }
    }
}

/// The failure of a node that answers something else than was asked.
pub(crate) fn unexpected_answer() -> Failure {
    Failure::new(
        Exit::Failed,
        "bad_answer",
        "the node answered something else than was asked",
    )
    .with_hint("the running node may be of another version: restart it")
}

/// Performs a request with the home's node, or one of the command's own.
pub(crate) async fn request(
    session: &Session,
    request: Request,
    input: Option<Input>,
    view: &mut dyn View,
) -> Result<Outcome, Failure> {
    let performer = Performer::find(session, request.reach()).await?;
    let outcome = perform(
        performer.as_perform(),
        request,
        input,
        view,
        session.cancel.clone(),
    )
    .await;
    performer.finish().await;
    Ok(outcome)
}

/// Performs a request and shows its messages, up to the last.
pub(crate) async fn perform(
    performer: Arc<dyn Perform>,
    request: Request,
    input: Option<Input>,
    view: &mut dyn View,
    cancel: CancellationToken,
) -> Outcome {
    let (out, mut messages) = Outlet::new();
    let job = tokio::spawn(performer.perform(request, out, input, cancel));
    let mut answer = None;
    while let Some(message) = messages.recv().await {
        match message {
            Message::Summary(summary) => answer = Some(summary),
            other => view.show(other),
        }
    }
    let result = job
        .await
        .unwrap_or_else(|error| Err(Failure::from_error(Exit::Failed, "internal", &error)));
    view.end();
    Outcome {
        answer,
        failure: result.err(),
    }
}
