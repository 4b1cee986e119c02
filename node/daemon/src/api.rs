//! What a command asks of a node and what the node answers: requests, streamed messages, failures.
//!
//! The same types serve a command that runs a node in its own process and one that talks to a running node over
//! `node.sock`; the JSON keys of messages are the documented interface of the command line. Nothing here acts or renders.

mod audit;
mod circle;
mod failure;
mod host;
mod message;
mod repair;
mod request;
mod secret;
mod steward;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
pub use tokio_util::sync::CancellationToken;

pub use audit::{AuditAnswer, AuditRow, AuditRulesShown, AuditShown};
pub use circle::{ApproveAnswer, InviteAnswer, JoinAnswer, PeerName, WaitingAnswer, WaitingRow};
pub use failure::{Exit, Failure};
pub use host::{
    HostAnswer, HostChange, HostedRow, Limit, LimitAnswer, PeerQuota, PeerQuotaAnswer, RateChoice, Release,
    ReleaseAnswer,
};
pub use message::{
    Answer, Attention, BackupSummary, Damage, EntryRow, Event, InitAnswer, KitAnswer, KitHost, Message,
    Notice, PeerRow, PeersAnswer, Phase, Progress, Protection, Ready, RecoverAnswer, RestoreSummary,
    RowsSummary, ShownPath, SnapshotRow, StatusAnswer, VerifySummary, rfc3339,
};
pub use repair::{
    PeerStanding, PeerStandingAnswer, PeerWord, Repair, RepairRow, RepairStanding, RepairSummary,
};
pub use request::{
    Approve, Audit, Backup, InitArchive, Invite, Join, Ls, Overwrite, Peers, RawPath, Reach, Recover,
    Request, Restore, SnapshotPart, Snapshots, Verify, VerifyDepth, WaitGoal,
};
pub use secret::Secret;
pub use steward::{StewardAnswer, StewardOrder, StewardRow, StewardWord, StewardingRow, StewardsAnswer};

/// Messages that wait between a job and whoever shows them; a job that is ahead waits, progress is dropped instead.
pub const OUTLET_LEN: usize = 64;

/// What a command streams into a job: its standard input.
pub type Input = Box<dyn AsyncRead + Send + Unpin>;

/// Where a job's messages go: a bounded queue.
#[derive(Debug, Clone)]
pub struct Outlet {
    sender: mpsc::Sender<Message>,
}

impl Outlet {
    /// A queue of `OUTLET_LEN` messages and its reading end.
    pub fn new() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(OUTLET_LEN);
        (Self { sender }, receiver)
    }

    /// Sends a message, waiting while the queue is full. When nobody listens any more it is dropped: the job's
    /// cancellation says that, not its messages.
    pub async fn send(&self, message: Message) {
        if self.sender.send(message).await.is_err() {
            tracing::debug!("a message found nobody listening");
        }
    }

    /// Like [`Self::send`], from a thread that may block.
    pub fn send_blocking(&self, message: Message) {
        if self.sender.blocking_send(message).is_err() {
            tracing::debug!("a message found nobody listening");
        }
    }

    /// Sends progress when there is room; otherwise the next one will say it.
    pub fn progress(&self, progress: Progress) {
        if let Err(error) = self.sender.try_send(Message::Status(progress)) {
            tracing::trace!("progress left out: {error}");
        }
    }
}

/// Something that performs requests: a node in this process, or a running one behind its socket.
///
/// Every successful request ends with one `Message::Summary`. A failure is returned, not sent; a summary may come
/// before it (a backup that is done but not as protected as was waited for).
pub trait Perform: Send + Sync + 'static {
    /// Performs one request until it is done, has failed, or `cancel` ends it (then [`Exit::Interrupted`]).
    fn perform(
        self: Arc<Self>,
        request: Request,
        out: Outlet,
        input: Option<Input>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Failure>>;
}
