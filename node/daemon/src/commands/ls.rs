//! `ls`: lists the files of a snapshot.

use std::sync::Arc;

use nuthatch_format::tree::{Entry, EntryKind};
use nuthatch_jobs::list::{self, Depth, ListError, ListRequest};
use nuthatch_jobs::{ReadContext, WarningKind, snapshots};

use crate::api::{
    CancellationToken, EntryRow, Exit, Failure, Ls, Message, Outlet, Phase, RowsSummary, ShownPath,
};
use crate::contact;
use crate::job::{self, JobProgress};
use crate::node::Node;
use crate::setup;
use crate::source::HostSource;

/// Lists.
pub(crate) async fn run(
    node: &Arc<Node>,
    request: Ls,
    out: &Outlet,
    cancel: CancellationToken,
) -> Result<RowsSummary, Failure> {
    let owned = super::owned(node)?;
    let keys = setup::reader_keys(request.reader_key.as_ref(), &owned.writer)?;
    let record = super::select::select(&owned, &request.part.snapshot)?;
    job::unless_cancelled(&cancel, contact::quick_hosts(node)).await?;
    let snapshot = snapshots::open(&record.summary.id, &owned.catalogue, &keys)
        .map_err(|error| Failure::from_error(Exit::Damage, "snapshot", &error))?;
    let job_request = ListRequest {
        snapshot,
        subpath: request.part.path.map(|path| path.0).unwrap_or_default(),
        depth: if request.recursive {
            Depth::Everything
        } else {
            Depth::Entries
        },
    };
    let source = Arc::new(HostSource::new(node, &owned, &cancel));
    let worker_source = Arc::clone(&source);
    let (progress, rows) = (JobProgress::new(out, Phase::Restore, (0, 0)), out.clone());
    let ended = job::run(node, &cancel, move |flag| {
        let context = ReadContext {
            keys: &keys,
            catalogue: &owned.catalogue,
            source: worker_source.as_ref(),
        };
        list::run(
            &job_request,
            context,
            &mut |path: &[u8], entry: &Entry| {
                rows.send_blocking(Message::Entry(row(path, entry)));
                true
            },
            &progress,
            flag,
        )
    })
    .await?;
    match ended {
        Ok(report) if report.errors == 0 => Ok(RowsSummary { rows: report.entries }),
        Ok(report) => {
            let message = format!("{} directories could not be listed to their end", report.errors);
            let is_away = report
                .warnings
                .iter()
                .any(|warning| warning.kind == WarningKind::Unavailable);
            Err(job::incomplete(message, is_away, source.has_lost()))
        }
        Err(ListError::Cancelled(_)) => Err(Failure::interrupted()),
        Err(error @ ListError::NotFound { .. }) => {
            Err(Failure::from_error(Exit::Failed, "not_found", &error))
        }
        Err(error @ ListError::Path(_)) => Err(Failure::from_error(Exit::Usage, "usage", &error)),
        Err(error @ ListError::Lookup { kind, .. }) => {
            Err(job::not_looked_up(&error, kind, source.has_lost()))
        }
        Err(error @ ListError::Catalogue(_)) => Err(Failure::from_error(Exit::Failed, "catalogue", &error)),
    }
}

fn row(path: &[u8], entry: &Entry) -> EntryRow {
    let (kind, size, target) = match &entry.kind {
        EntryKind::File { size, .. } => ("file", *size, None),
        EntryKind::Dir { .. } => ("dir", 0, None),
        EntryKind::Symlink { target } => ("symlink", target.len() as u64, Some(target)),
        EntryKind::Fifo => ("fifo", 0, None),
        EntryKind::CharDevice { .. } => ("char_device", 0, None),
        EntryKind::BlockDevice { .. } => ("block_device", 0, None),
        EntryKind::Socket => ("socket", 0, None),
    };
    EntryRow {
        path: ShownPath::new(path),
        kind: kind.to_owned(),
        mode: entry.meta.mode,
        uid: entry.meta.uid,
        gid: entry.meta.gid,
        size,
        mtime: mtime_text(entry),
        target: target.map(|target| String::from_utf8_lossy(target).into_owned()),
    }
}

/// RFC 3339 with nanoseconds; what no calendar has is shown as its nearest end.
fn mtime_text(entry: &Entry) -> String {
    let mtime = &entry.meta.mtime;
    let nanos = i32::try_from(mtime.nanos).unwrap_or(0);
    jiff::Timestamp::new(mtime.secs, 0)
        .and_then(|time| time.checked_add(jiff::SignedDuration::new(0, nanos)))
        .map_or_else(
            |_| {
                if mtime.secs < 0 {
                    jiff::Timestamp::MIN
                } else {
                    jiff::Timestamp::MAX
                }
                .to_string()
            },
            |time| time.to_string(),
        )
}
