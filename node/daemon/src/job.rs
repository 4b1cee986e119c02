//! Running a blocking job on a thread of its own, with its progress and warnings on the way to whoever asked. Decides nothing.

use std::sync::Arc;

use nuthatch_jobs::{Cancel, Progress, Tally, Warning, WarningKind};
use parking_lot::Mutex;

use crate::api::{self, CancellationToken, Exit, Failure, Message, Notice, Outlet, Phase, ShownPath};
use crate::clock;
use crate::node::Node;

/// Passes a job's tallies and warnings on.
pub(crate) struct JobProgress {
    out: Outlet,
    phase: Phase,
    started: std::time::Instant,
    totals: (u64, u64),
    /// When progress was last passed on; more than ten times a second is too much for anybody.
    last: Mutex<Option<std::time::Instant>>,
}

const PROGRESS_INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

impl JobProgress {
    /// Progress of one phase; totals are files and bytes, zero when not known.
    pub(crate) fn new(out: &Outlet, phase: Phase, totals: (u64, u64)) -> Self {
        Self {
            out: out.clone(),
            phase,
            started: clock::instant(),
            totals,
            last: Mutex::new(None),
        }
    }
}

impl Progress for JobProgress {
    fn advanced(&self, tally: &Tally, path: &[u8]) {
        let now = clock::instant();
        {
            let mut last = self.last.lock();
            if last.is_some_and(|last| now.saturating_duration_since(last) < PROGRESS_INTERVAL) {
                return;
            }
            *last = Some(now);
        }
        self.out.progress(api::Progress {
            phase: self.phase,
            files_done: tally.files_done,
            files_total: self.totals.0,
            bytes_done: tally.bytes_done,
            bytes_total: self.totals.1,
            seconds: clock::seconds_since(self.started),
            current: (!path.is_empty()).then(|| String::from_utf8_lossy(path).into_owned()),
        });
    }

    fn warned(&self, warning: &Warning) {
        self.out.send_blocking(Message::Warning(notice(warning)));
    }
}

/// A job's warning as scripts read it.
pub(crate) fn notice(warning: &Warning) -> Notice {
    let path = (!warning.path.is_empty()).then(|| ShownPath::new(&warning.path));
    let (path, path_b64) = path.map_or((None, None), |shown| (Some(shown.path), shown.path_b64));
    Notice {
        code: exit_of(warning.kind).code(),
        kind: warning.kind.text().to_owned(),
        message: warning.message.clone(),
        hint: None,
        peer_id: warning.host.map(nuthatch_transport::peer_id_text),
        path,
        path_b64,
    }
}

/// What a warning means for the end of the command, as far as it goes.
fn exit_of(kind: WarningKind) -> Exit {
    match kind {
        WarningKind::Unreadable
        | WarningKind::NotRestored
        | WarningKind::Damaged
        | WarningKind::Unavailable => Exit::Incomplete,
        WarningKind::FileChanged
        | WarningKind::FalseClaim
        | WarningKind::WrongBytes
        | WarningKind::LeftOut
        | WarningKind::Attributes
        | WarningKind::LinkNamed
        | WarningKind::HardLinkSplit => Exit::Done,
    }
}

/// What a reading ends with that misses something: for want of hosts that are away, of hosts that are gone, or of sound bytes.
pub(crate) fn incomplete(message: impl Into<String>, is_away: bool, has_lost: bool) -> Failure {
    match (is_away, has_lost) {
        (false, _) => Failure::new(Exit::Damage, "damaged", message),
        (true, true) => Failure::new(Exit::NotEnoughHosts, "not_enough_hosts", message).with_hint(
            "too few known hosts hold the missing parts, even with those that are away; the rest is done",
        ),
        (true, false) => Failure::new(Exit::TryLater, "hosts_away", message)
            .with_hint("run the command again when more hosts are online: it goes on where it was"),
    }
}

/// What a reading ends with when not even its path could be looked up.
pub(crate) fn not_looked_up(error: &dyn std::error::Error, kind: WarningKind, has_lost: bool) -> Failure {
    let said = Failure::from_error(Exit::Failed, "lookup", error);
    incomplete(said.message, kind == WarningKind::Unavailable, has_lost)
}

/// Runs a job on a thread that may block; `cancel` and the node's end tell it to stop.
pub(crate) async fn run<T: Send + 'static>(
    node: &Arc<Node>,
    cancel: &CancellationToken,
    job: impl FnOnce(&Cancel) -> T + Send + 'static,
) -> Result<T, Failure> {
    let flag = Cancel::new();
    let told = flag.clone();
    // A command that is dropped, as when the node ends, tells its job too.
    let _told_at_the_end = CancelOnDrop(flag.clone());
    let work = tokio::task::spawn_blocking(move || job(&told));
    let mut work = std::pin::pin!(work);
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = cancel.cancelled() => { flag.cancel(); work.await }
        () = node.stop.cancelled() => { flag.cancel(); work.await }
    };
    ended.map_err(|error| Failure::new(Exit::Failed, "job", format!("the job ended early: {error}")))
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What the work answers, unless the command is told to stop first.
pub(crate) async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    cancel
        .run_until_cancelled(work)
        .await
        .ok_or_else(Failure::interrupted)
}

/// The faults of hosts and devices that came up since a moment, as warnings.
pub(crate) async fn name_faults(node: &Node, since: nuthatch_format::Timestamp, out: &Outlet) {
    for fault in node.events.faults_since(since) {
        out.send(Message::Warning(Notice {
            code: Exit::Done.code(),
            kind: fault.kind.word().to_owned(),
            message: fault.message,
            hint: None,
            peer_id: fault.node.map(nuthatch_transport::peer_id_text),
            path: None,
            path_b64: None,
        }))
        .await;
    }
}
