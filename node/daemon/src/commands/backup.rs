//! `backup`: runs the job, then waits for the hosts as far as the person wants, and says how safe the snapshot is.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use nuthatch_disk::catalogue::SnapshotSummary;
use nuthatch_disk::staging::StagePackError;
use nuthatch_format::SnapshotId;
use nuthatch_jobs::backup::outlet::OutletError;
use nuthatch_jobs::backup::{
    self, BackupContext, BackupError, BackupParams, BackupReport, BackupRequest, StreamSource,
};
use tokio_util::io::SyncIoBridge;

use crate::api::{
    Answer, Backup, BackupSummary, CancellationToken, Exit, Failure, Input, Message, Outlet, PeerName, Phase,
    Progress, Protection, RawPath, WaitGoal,
};
use crate::clock;
use crate::contact;
use crate::job::{self, JobProgress};
use crate::node::{Node, Owned};
use crate::outlet::NodeOutlet;
use crate::protection::{self, SnapshotProtection};
use crate::{setup, sync};

/// How long a backup without `--wait` gives hosts that are just being dialled to come and take what there is.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// How often a wait looks again when nothing has stirred.
const LOOK: Duration = Duration::from_millis(500);

/// Backs up.
pub(crate) async fn run(
    node: &Arc<Node>,
    request: Backup,
    out: &Outlet,
    input: Option<Input>,
    cancel: CancellationToken,
) -> Result<BackupSummary, Failure> {
    let owned = super::owned(node)?;
    let started = clock::instant();
    let since = clock::now();
    let sent_before = node.transport.traffic().sent;
    let is_dry_run = request.dry_run;
    let (wait, wait_for) = (request.wait, Duration::from_millis(request.wait_for_ms));
    // What another device has stored meanwhile is not stored again.
    job::unless_cancelled(&cancel, sync::refresh(node, &owned)).await?;
    let report = run_job(node, &owned, request, out, input, &cancel).await?;
    if is_dry_run {
        return Ok(summarize(node, &report, None, clock::seconds_since(started), 0));
    }
    let snapshot = summary_of(&owned, &report.snapshot)?;
    let goal = wait.map_or(Goal::Sent, Goal::Safety);
    let deadline = if wait.is_some() { wait_for } else { ARRIVAL_MAX };
    let safe = wait_for_hosts(node, &owned, &snapshot, (goal, deadline), out, &cancel).await?;
    job::name_faults(node, since, out).await;
    let summary = summarize(
        node,
        &report,
        Some(&safe),
        clock::seconds_since(started),
        node.transport.traffic().sent.saturating_sub(sent_before),
    );
    match missed(node, wait, &safe) {
        None => Ok(summary),
        Some(failure) => {
            // The snapshot stands; what was waited for did not come. Both are said.
            out.send(Message::Summary(Answer::Backup(summary))).await;
            Err(failure)
        }
    }
}

async fn run_job(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    request: Backup,
    out: &Outlet,
    input: Option<Input>,
    cancel: &CancellationToken,
) -> Result<BackupReport, Failure> {
    let stream = match (request.stdin_name, input) {
        (Some(name), Some(input)) => {
            let reader: Box<dyn Read + Send> = Box::new(SyncIoBridge::new(input));
            Some(StreamSource { name: name.0, reader })
        }
        (Some(_), None) => {
            return Err(Failure::new(
                Exit::Usage,
                "no_input",
                "there is no standard input to back up",
            ));
        }
        (None, _) => None,
    };
    let paths = request.paths.iter().map(RawPath::to_path).collect();
    let hostname = setup::machine_name();
    let raw_paths = request
        .paths
        .iter()
        .map(|path| path.0.clone())
        .collect::<Vec<_>>();
    let job_request = BackupRequest {
        paths,
        tags: request.tags,
        excludes: request.excludes,
        one_file_system: request.one_file_system,
        stream,
        parent: parent_of(owned, &hostname, &raw_paths)?,
        hostname,
        username: user_name(),
        start: clock::now(),
        forbidden: vec![node.home.root().to_owned()],
        dry_run: request.dry_run,
    };
    let progress = JobProgress::new(out, Phase::Read, (0, 0));
    let (worker, worker_owned) = (Arc::clone(node), Arc::clone(owned));
    let ended = job::run(node, cancel, move |flag| {
        let outlet = NodeOutlet::new(&worker, &worker_owned);
        let context = BackupContext {
            keys: &worker_owned.writer,
            catalogue: &worker_owned.catalogue,
            file_cache: &worker_owned.file_cache,
            staging: &worker_owned.staging,
            outlet: &outlet,
            clock: &clock::now,
            params: BackupParams::for_cores(
                std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            ),
        };
        backup::run(job_request, context, &progress, flag)
    })
    .await?;
    ended.map_err(|error| failure(&error))
}

/// The newest snapshot of this device of the same machine and paths: what did not change since then is named by it.
fn parent_of(owned: &Owned, hostname: &str, paths: &[Vec<u8>]) -> Result<Option<SnapshotId>, Failure> {
    let group = owned.writer.snapshot_group(hostname, paths);
    let snapshots = owned
        .catalogue
        .snapshots()
        .map_err(|error| Failure::from_error(Exit::Failed, "catalogue", &error))?;
    let own = owned.device.id();
    Ok(snapshots
        .iter()
        .rev()
        .find(|snapshot| snapshot.device == own && snapshot.group == group)
        .map(|snapshot| snapshot.id))
}

fn user_name() -> String {
    let owners = nuthatch_disk::owners::Owners::load();
    let uid = rustix::process::getuid().as_raw();
    match owners.user_name(uid) {
        "" => uid.to_string(),
        name => name.to_owned(),
    }
}

fn failure(error: &BackupError) -> Failure {
    match error {
        BackupError::Cancelled(_) => Failure::interrupted(),
        BackupError::StagingFull { .. } => Failure::from_error(Exit::TryLater, "staging_full", error).with_hint(
            "what was sealed is kept and the next run goes on from there; let hosts come online, or raise 'staging' in config.toml",
        ),
        BackupError::PathCount { .. }
        | BackupError::Path { .. }
        | BackupError::PathsLen { .. }
        | BackupError::Tags
        | BackupError::StreamName
        | BackupError::Pattern(_) => {
            Failure::from_error(Exit::Usage, "usage", error)
        }
        BackupError::NothingReadable { .. } => Failure::from_error(Exit::Failed, "unreadable", error),
        full if is_own_disk_full(full) => {
            Failure::from_error(Exit::Failed, "own_disk", error)
                .with_hint("this machine's disk is full: make room and run the backup again; it goes on where it was")
        }
        other => Failure::from_error(Exit::Failed, "backup", other),
    }
}

fn is_own_disk_full(error: &BackupError) -> bool {
    match error {
        BackupError::Staging(StagePackError::File(error)) => error.is_disk_full(),
        BackupError::Outlet(error) => matches!(error, OutletError::DiskFull),
        _ => false,
    }
}

fn summary_of(owned: &Owned, id: &SnapshotId) -> Result<SnapshotSummary, Failure> {
    let record = owned
        .catalogue
        .snapshot(id)
        .map_err(|error| Failure::from_error(Exit::Failed, "catalogue", &error))?;
    record
        .map(|record| record.summary)
        .ok_or_else(|| Failure::new(Exit::Failed, "catalogue", "the snapshot is not in the catalogue"))
}

#[derive(Debug, Clone, Copy)]
enum Goal {
    /// All that reachable hosts take.
    Sent,
    /// A word.
    Safety(WaitGoal),
}

/// Waits until the goal is reached, can't be reached, or its time is over; answers how safe the snapshot is then.
async fn wait_for_hosts(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    snapshot: &SnapshotSummary,
    (goal, deadline): (Goal, Duration),
    out: &Outlet,
    cancel: &CancellationToken,
) -> Result<SnapshotProtection, Failure> {
    let mut work = node.pulse.work();
    let started = clock::instant();
    loop {
        work.mark_unchanged();
        let safe = measure(node, owned, snapshot).await?;
        let waited = Duration::from_secs_f64(clock::seconds_since(started));
        let state = *work.borrow();
        let is_done = match goal {
            Goal::Safety(WaitGoal::Recoverable) => safe.protection >= Protection::Recoverable,
            Goal::Safety(WaitGoal::Protected) => safe.protection >= Protection::Protected,
            Goal::Sent => safe.protection >= Protection::Protected || sent(node, state, waited),
        };
        let is_hopeless = matches!(goal, Goal::Safety(wanted) if is_out_of_reach(node, wanted));
        // Without a goal only the arrival of hosts is waited for this long; while something is being sent, as long as it takes.
        let is_over = waited >= deadline && (matches!(goal, Goal::Safety(_)) || !is_sending(node));
        if is_done || is_hopeless || is_over {
            return Ok(safe);
        }
        out.progress(Progress {
            phase: if is_sending(node) {
                Phase::Send
            } else {
                Phase::Wait
            },
            files_done: 0,
            files_total: 0,
            bytes_done: node.transport.traffic().sent,
            bytes_total: 0,
            seconds: waited.as_secs_f64(),
            current: None,
        });
        tokio::select! {
            () = cancel.cancelled() => return Err(Failure::interrupted()),
            () = tokio::time::sleep(LOOK) => {}
            _ = work.changed() => {}
        }
    }
}

/// Hosts that a goal takes at least (count).
fn hosts_needed(node: &Node, goal: WaitGoal) -> usize {
    match goal {
        WaitGoal::Recoverable => 1,
        WaitGoal::Protected => usize::from(node.config().survive.unwrap_or(0)) + 1,
    }
}

/// Hosts that give space, or would if they had any (count).
fn givers_count(node: &Node) -> usize {
    let mut givers = node.pulse.full();
    givers.extend(node.pulse.leases().into_keys());
    givers.len()
}

/// Whether the circle has too few others even if each of them gives space, so that waiting is of no use.
fn is_out_of_reach(node: &Node, goal: WaitGoal) -> bool {
    node.others_count() < hosts_needed(node, goal)
}

fn is_sending(node: &Node) -> bool {
    !node.pulse.online().is_empty()
}

/// Whether the engine has said that everything that reachable hosts take is sent, and everybody who could come has come.
fn sent(node: &Node, work: crate::pulse::Work, waited: Duration) -> bool {
    let all_known = contact::all_answered(node);
    if node.pulse.online().is_empty() {
        return all_known || waited >= ARRIVAL_MAX;
    }
    work.quiet.is_some() && (all_known || waited >= ARRIVAL_MAX)
}

async fn measure(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    snapshot: &SnapshotSummary,
) -> Result<SnapshotProtection, Failure> {
    let (reader, owned, snapshot) = (Arc::clone(node), Arc::clone(owned), snapshot.clone());
    super::blocking(move || protection::of_snapshot(&reader, &owned, &snapshot)).await
}

/// What a wait that was not fulfilled ends with.
fn missed(node: &Node, wait: Option<WaitGoal>, safe: &SnapshotProtection) -> Option<Failure> {
    let goal = wait?;
    let (wanted, word) = match goal {
        WaitGoal::Recoverable => (Protection::Recoverable, "recoverable"),
        WaitGoal::Protected => (Protection::Protected, "protected"),
    };
    if safe.protection >= wanted {
        return None;
    }
    let message = format!("the backup is complete, and not {word} yet");
    let (exit, kind, hint) = if node.has_no_others() {
        let hint = "nobody keeps anything for this archive yet: 'nuthatch invite' makes a line for a friend; what is staged is sent by itself when one joins";
        (Exit::NotEnoughHosts, "not_enough_hosts", hint)
    } else if is_out_of_reach(node, goal) {
        let hint = "to survive as many losses as were asked for takes one host more than that: invite more friends, or ask for fewer with 'survive' in config.toml";
        (Exit::NotEnoughHosts, "not_enough_hosts", hint)
    } else if safe.waiting_for.is_empty() && givers_count(node) < hosts_needed(node, goal) {
        let hint =
            "too few members of the circle give space: ask them to join with --quota, or invite more friends";
        (Exit::NotEnoughHosts, "not_enough_hosts", hint)
    } else {
        let hint = "hosts are away, busy or full; what is missing is sent by itself when they are back";
        (Exit::TryLater, "hosts_away", hint)
    };
    Some(Failure::new(exit, kind, message).with_hint(hint))
}

/// The answer; without a protection, that of a dry run.
fn summarize(
    node: &Node,
    report: &BackupReport,
    safe: Option<&SnapshotProtection>,
    seconds: f64,
    bytes_sent: u64,
) -> BackupSummary {
    let waiting_for = safe
        .iter()
        .flat_map(|safe| &safe.waiting_for)
        .map(|id| PeerName {
            peer_id: nuthatch_transport::peer_id_text(*id),
            name: node.circle.name_of(id),
        })
        .collect();
    BackupSummary {
        snapshot_id: safe.map(|_| report.snapshot.to_string()),
        root_hash: Some(report.root_hash.to_string()),
        files_new: report.files_new,
        files_changed: report.files_changed,
        files_unmodified: report.files_unmodified,
        dirs_new: report.dirs_new,
        dirs_changed: report.dirs_changed,
        dirs_unmodified: report.dirs_unmodified,
        bytes_processed: report.bytes_processed,
        bytes_added: report.bytes_added,
        bytes_stored: report.bytes_stored,
        bytes_sent,
        errors: report.errors,
        seconds,
        protection: safe.map_or(Protection::Staged, |safe| safe.protection),
        survives_losses: safe.map_or(0, |safe| safe.survives),
        hosts: safe.map_or(0, |safe| safe.hosts),
        waiting_for,
    }
}
