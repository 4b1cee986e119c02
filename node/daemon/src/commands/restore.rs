//! `restore`: opens the snapshot and runs the job, with packs from staging and from hosts.

use std::sync::Arc;

use nuthatch_jobs::restore::{
    self, RestoreContext, RestoreError, RestoreParams, RestoreReport, RestoreRequest,
};
use nuthatch_jobs::snapshots;
use nuthatch_jobs::{ReadContext, WarningKind};

use crate::api::{
    Answer, CancellationToken, Exit, Failure, Message, Outlet, Overwrite, Phase, Restore, RestoreSummary,
};
use crate::clock;
use crate::contact;
use crate::job::{self, JobProgress};
use crate::node::Node;
use crate::setup;
use crate::source::HostSource;

/// Restores.
pub(crate) async fn run(
    node: &Arc<Node>,
    request: Restore,
    out: &Outlet,
    cancel: CancellationToken,
) -> Result<RestoreSummary, Failure> {
    let owned = super::owned(node)?;
    let (started, since) = (clock::instant(), clock::now());
    let keys = setup::reader_keys(request.reader_key.as_ref(), &owned.writer)?;
    let record = super::select::select(&owned, &request.part.snapshot)?;
    job::unless_cancelled(&cancel, contact::quick_hosts(node)).await?;
    let snapshot = snapshots::open(&record.summary.id, &owned.catalogue, &keys)
        .map_err(|error| Failure::from_error(Exit::Damage, "snapshot", &error))?;
    let progress = JobProgress::new(
        out,
        Phase::Restore,
        (snapshot.counts.files, snapshot.counts.bytes.0),
    );
    let job_request = RestoreRequest {
        snapshot,
        subpath: request.part.path.map(|path| path.0),
        target: request.target.to_path(),
        includes: request.includes,
        excludes: request.excludes,
        overwrite: match request.overwrite {
            Overwrite::Always => restore::Overwrite::Always,
            Overwrite::IfChanged => restore::Overwrite::IfChanged,
            Overwrite::Never => restore::Overwrite::Never,
        },
        dry_run: request.dry_run,
    };
    let source = Arc::new(HostSource::new(node, &owned, &cancel));
    let scratch = node.home.root().to_owned();
    let (worker_source, worker_owned) = (Arc::clone(&source), Arc::clone(&owned));
    let ended = job::run(node, &cancel, move |flag| {
        let context = RestoreContext {
            read: ReadContext {
                keys: &keys,
                catalogue: &worker_owned.catalogue,
                source: worker_source.as_ref(),
            },
            scratch: &scratch,
            params: RestoreParams::default(),
        };
        restore::run(&job_request, context, &progress, flag)
    })
    .await?;
    job::name_faults(node, since, out).await;
    let report = ended.map_err(|error| failure(&error, source.has_lost()))?;
    let summary = RestoreSummary {
        files_restored: report.files_restored,
        files_unchanged: report.files_unchanged,
        bytes_restored: report.bytes_restored,
        bytes_fetched: source.fetched(),
        errors: report.errors,
        seconds: clock::seconds_since(started),
    };
    match incomplete(&report, source.has_lost()) {
        None => Ok(summary),
        Some(failure) => {
            // What could be restored is; what could not is said, and what to do about it.
            out.send(Message::Summary(Answer::Restore(summary))).await;
            Err(failure)
        }
    }
}

/// What a restore ends with that missed something for want of hosts or of sound bytes; other misses are exit 3 by the summary.
fn incomplete(report: &RestoreReport, has_lost: bool) -> Option<Failure> {
    let has = |kind| report.warnings.iter().any(|warning| warning.kind == kind);
    let message = format!("{} entries could not be restored", report.errors);
    let is_away = has(WarningKind::Unavailable);
    let is_for_want = report.errors > 0 && (is_away || has(WarningKind::Damaged));
    is_for_want.then(|| job::incomplete(message, is_away, has_lost))
}

fn failure(error: &RestoreError, has_lost: bool) -> Failure {
    match error {
        RestoreError::Cancelled(_) => Failure::interrupted(),
        RestoreError::NotFound { .. } => Failure::from_error(Exit::Failed, "not_found", error)
            .with_hint("'nuthatch ls ID' shows what the snapshot has"),
        RestoreError::Path(_) | RestoreError::Pattern(_) => Failure::from_error(Exit::Usage, "usage", error),
        RestoreError::Lookup { kind, .. } => job::not_looked_up(error, *kind, has_lost),
        other => Failure::from_error(Exit::Failed, "restore", other),
    }
}
