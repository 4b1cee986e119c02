//! Carrying out requests: one function a command, each in a file of its own under `commands`.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::api::{Answer, CancellationToken, Failure, Input, Message, Outlet, Perform, Request};
use crate::commands;
use crate::job::unless_cancelled;
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
                () = ended.cancelled() => Err(Failure::interrupted()),
                answer = work => answer,
            };
            if cancelled.is_cancelled() && answer.is_err() {
                return Err(Failure::interrupted());
            }
            if let Some(answer) = answer? {
                out.send(Message::Summary(answer)).await;
            }
            Ok(())
        }
        .boxed()
    }
}

async fn answer(
    node: Arc<Node>,
    request: Request,
    out: &Outlet,
    input: Option<Input>,
    cancel: CancellationToken,
) -> Result<Option<Answer>, Failure> {
    // What waits for others ends when it is told to; `init` shows its phrase only once, and is done in a moment.
    match request {
        Request::Status {} => unless_cancelled(&cancel, commands::status::run(&node))
            .await?
            .map(|answer| Some(Answer::Status(answer))),
        Request::Peers(peers) => unless_cancelled(&cancel, commands::peers::run(&node, &peers, out))
            .await?
            .map(|answer| Some(Answer::Peers(answer))),
        Request::PeerStanding(said) => unless_cancelled(&cancel, commands::peer::run(&node, &said))
            .await?
            .map(|answer| Some(Answer::PeerStanding(answer))),
        Request::Repair(repair) => {
            let summary = commands::repair::run(&node, &repair, out, cancel).await?;
            let missed = commands::repair::missed(&summary);
            out.send(Message::Summary(Answer::Repair(summary))).await;
            missed.map_or(Ok(None), Err)
        }
        Request::Steward(order) => unless_cancelled(&cancel, commands::steward::order(&node, &order))
            .await?
            .map(|answer| Some(Answer::Steward(answer))),
        Request::Stewards {} => commands::steward::list(&node)
            .await
            .map(|answer| Some(Answer::Stewards(answer))),
        Request::Invite(invite) => unless_cancelled(&cancel, commands::invite::run(&node, &invite))
            .await?
            .map(|answer| Some(Answer::Invite(answer))),
        Request::Waiting {} => Ok(Some(Answer::Waiting(commands::waiting::list(&node)))),
        Request::Approve(approve) => unless_cancelled(&cancel, commands::waiting::approve(&node, &approve))
            .await?
            .map(|answer| Some(Answer::Approve(answer))),
        Request::Join(join) => unless_cancelled(&cancel, commands::join::run(&node, &join))
            .await?
            .map(|answer| Some(Answer::Join(answer))),
        Request::InitArchive(init) => commands::init::run(&node, &init)
            .await
            .map(|answer| Some(Answer::Init(answer))),
        Request::Kit {} => unless_cancelled(&cancel, commands::kit::run(&node, out))
            .await?
            .map(|answer| Some(Answer::Kit(answer))),
        Request::Snapshots(wanted) => {
            unless_cancelled(&cancel, commands::snapshots::run(&node, &wanted, out))
                .await?
                .map(|answer| Some(Answer::Rows(answer)))
        }
        Request::Host { change } => commands::host::run(&node, change)
            .await
            .map(|answer| Some(Answer::Host(answer))),
        Request::PeerQuota(quota) => commands::host::peer_quota(&node, &quota)
            .await
            .map(|answer| Some(Answer::PeerQuota(answer))),
        Request::Release(release) => unless_cancelled(&cancel, commands::host::release(&node, &release))
            .await?
            .map(|answer| Some(Answer::Release(answer))),
        Request::Limit(limit) => commands::limit::run(&node, limit)
            .await
            .map(|answer| Some(Answer::Limit(answer))),
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
        Request::Audit(audit) => unless_cancelled(&cancel, commands::audit::run(&node, &audit, out))
            .await?
            .map(|answer| Some(Answer::Audit(answer))),
        Request::Recover(recover) => {
            unless_cancelled(&cancel, commands::recover::run(&node, recover, out).boxed())
                .await?
                .map(|answer| Some(Answer::Recover(answer)))
        }
    }
}
