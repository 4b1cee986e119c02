//! Carrying out requests: one function a command, each in a file of its own under `commands`.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::api::{Answer, CancellationToken, Exit, Failure, Input, Message, Outlet, Perform, Request};
use crate::commands;
use crate::node::Node;

impl Perform for Node {
    fn perform(
        self: Arc<Self>,
        request: Request,
        out: Outlet,
        input: Option<Input>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        async move {
            let cancelled = cancel.clone();
            let ended = self.stop.clone();
            let work = answer(self, request, &out, input, cancel);
            let answer = tokio::select! {
                biased;
                () = ended.cancelled() => Err(interrupted()),
                answer = work => answer,
            };
            if cancelled.is_cancelled() && answer.is_err() {
                return Err(interrupted());
            }
            if let Some(answer) = answer? {
                out.send(Message::Summary(answer)).await;
            }
            Ok(())
        }
        .boxed()
    }
}

/// What a job that was cancelled ends with.
pub(crate) fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted", "interrupted")
        .with_hint("run the command again: it goes on where it was")
}

async fn answer(
    node: Arc<Node>,
    request: Request,
    out: &Outlet,
    input: Option<Input>,
    cancel: CancellationToken,
) -> Result<Option<Answer>, Failure> {
    match request {
        Request::Status {} => commands::status::run(&node)
            .await
            .map(|answer| Some(Answer::Status(answer))),
        Request::Peers(peers) => commands::peers::run(&node, &peers, out)
            .await
            .map(|answer| Some(Answer::Peers(answer))),
        Request::Invite(invite) => commands::invite::run(&node, &invite)
            .await
            .map(|answer| Some(Answer::Invite(answer))),
        Request::Join(join) => commands::join::run(&node, &join)
            .await
            .map(|answer| Some(Answer::Join(answer))),
        Request::InitArchive(init) => commands::init::run(&node, &init)
            .await
            .map(|answer| Some(Answer::Init(answer))),
        Request::Kit {} => commands::kit::run(&node, out)
            .await
            .map(|answer| Some(Answer::Kit(answer))),
        Request::Snapshots(wanted) => commands::snapshots::run(&node, &wanted, out)
            .await
            .map(|answer| Some(Answer::Rows(answer))),
        Request::Events {} => commands::events::run(&node, out, cancel).await.map(|()| None),
        Request::Backup(backup) => commands::backup::run(&node, backup, out, input, cancel)
            .await
            .map(|answer| Some(Answer::Backup(answer))),
        Request::Ls(ls) => commands::ls::run(&node, ls, out, cancel)
            .await
            .map(|answer| Some(Answer::Rows(answer))),
        Request::Restore(restore) => commands::restore::run(&node, restore, out, cancel)
            .await
            .map(|answer| Some(Answer::Restore(answer))),
        Request::Verify(verify) => commands::verify::run(&node, verify, out, cancel)
            .await
            .map(|answer| Some(Answer::Verify(answer))),
        Request::Recover(recover) => commands::recover::run(&node, recover, out)
            .await
            .map(|answer| Some(Answer::Recover(answer))),
    }
}
