//! `snapshots`: the list, with how safe each one is. Host, user and paths are sealed: they are shown to whoever has the reader key.

use std::sync::Arc;

use nuthatch_disk::catalogue::SnapshotSummary;
use nuthatch_format::keys::ReaderKeys;
use nuthatch_format::snapshot::{self, Snapshot};

use super::{blocking, catalogue_failure};
use crate::api::{
    self, Exit, Failure, Message, Notice, Outlet, RawPath, RowsSummary, ShownPath, SnapshotRow, Snapshots,
};
use crate::node::{Node, Owned};
use crate::{protection, setup, sync};

/// Lists snapshots, oldest first.
pub(crate) async fn run(node: &Arc<Node>, wanted: &Snapshots, out: &Outlet) -> Result<RowsSummary, Failure> {
    let owned = super::owned(node)?;
    let keys = reader(wanted, &owned)?;
    super::say_as_of(node, out).await;
    // Other devices of the archive may have written; where hosts are online, that is seen at once.
    sync::refresh(node, &owned).await;
    send_rows(node, &owned, (wanted, keys), out).await
}

/// Sends a row for each wanted snapshot that is known now, oldest first.
pub(super) async fn send_rows(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    (wanted, keys): (&Snapshots, Option<ReaderKeys>),
    out: &Outlet,
) -> Result<RowsSummary, Failure> {
    let keys = keys.map(Arc::new);
    let list = Arc::clone(owned);
    let mut snapshots = blocking(move || {
        list.catalogue
            .snapshots()
            .map_err(|error| catalogue_failure(&error))
    })
    .await?;
    snapshots.sort_by_key(|snapshot| snapshot.time);
    let mut rows = 0;
    for summary in snapshots {
        if wanted.tag.as_ref().is_some_and(|tag| !summary.tags.contains(tag)) {
            continue;
        }
        let (node, owned, keys, wanted) = (Arc::clone(node), Arc::clone(owned), keys.clone(), wanted.clone());
        let found = blocking(move || row(&node, &owned, keys.as_deref(), &wanted, &summary)).await?;
        for message in found {
            rows += u64::from(matches!(message, Message::Snapshot(_)));
            out.send(message).await;
        }
    }
    Ok(RowsSummary { rows })
}

/// The keys to open snapshots with; `None` where they were not given and are not needed.
fn reader(wanted: &Snapshots, owned: &Owned) -> Result<Option<ReaderKeys>, Failure> {
    let is_needed = wanted.host.is_some() || wanted.path.is_some();
    if wanted.reader_key.is_none() && !is_needed {
        return Ok(None);
    }
    setup::reader_keys(wanted.reader_key.as_ref(), &owned.writer).map(Some)
}

/// What is said about one snapshot: nothing, when it is not wanted.
fn row(
    node: &Node,
    owned: &Owned,
    keys: Option<&ReaderKeys>,
    wanted: &Snapshots,
    summary: &SnapshotSummary,
) -> Result<Vec<Message>, Failure> {
    let mut messages = Vec::new();
    let opened = match keys.map(|keys| open(owned, keys, summary)).transpose() {
        Ok(opened) => opened,
        Err(failure) => {
            messages.push(Message::Warning(Notice {
                code: Exit::Damage.code(),
                ..failure.into_notice()
            }));
            None
        }
    };
    let is_filtered = wanted.host.is_some() || wanted.path.is_some();
    let is_wanted = match &opened {
        Some(opened) => is_of(opened, wanted),
        None => !is_filtered,
    };
    if !is_wanted {
        return Ok(messages);
    }
    let safety = protection::of_snapshot(node, owned, summary)?;
    messages.push(Message::Snapshot(SnapshotRow {
        id: summary.id.to_string(),
        short_id: summary.id.short(),
        time: api::rfc3339(opened.as_ref().map_or(summary.time, |opened| opened.start)),
        hostname: opened.as_ref().map(|opened| opened.hostname.clone()),
        username: opened.as_ref().map(|opened| opened.username.clone()),
        paths: opened.as_ref().map(|opened| {
            opened
                .paths
                .iter()
                .map(|path| ShownPath::new(path).path)
                .collect()
        }),
        tags: summary.tags.clone(),
        device: device_name(node, owned, summary),
        protection: safety.protection,
        survives_losses: safety.survives,
        bytes: summary.bytes.0,
        files: summary.files,
    }));
    Ok(messages)
}

fn open(owned: &Owned, keys: &ReaderKeys, summary: &SnapshotSummary) -> Result<Snapshot, Failure> {
    let record = owned
        .catalogue
        .snapshot(&summary.id)
        .map_err(|error| catalogue_failure(&error))?;
    let record = record.ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "no_snapshot",
            format!("snapshot {} is no longer in the catalogue", summary.id.short()),
        )
        .with_hint("run the command again")
    })?;
    snapshot::open_snapshot(&record.sealed, keys).map_err(|error| {
        let mut failure = Failure::from_error(Exit::Damage, "false_claim", &error).with_hint(
            "the device that made it wrote something that is no snapshot; others are not affected",
        );
        failure.message = format!(
            "snapshot {} does not open: {}",
            summary.id.short(),
            failure.message
        );
        failure
    })
}

fn is_of(snapshot: &Snapshot, wanted: &Snapshots) -> bool {
    let host = wanted.host.as_ref().is_none_or(|host| *host == snapshot.hostname);
    let path = wanted
        .path
        .as_ref()
        .is_none_or(|path| snapshot.paths.iter().any(|root| is_in(path, root)));
    host && path
}

/// Whether a path is a directory that was backed up, or lies below it.
fn is_in(path: &RawPath, root: &[u8]) -> bool {
    let path = path.0.strip_suffix(b"/").unwrap_or(&path.0);
    let root = root.strip_suffix(b"/").unwrap_or(root);
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// What the device was certified as, else the beginning of its id.
fn device_name(node: &Node, owned: &Owned, summary: &SnapshotSummary) -> String {
    let statements = node.known_statements(&owned.archive);
    let name = statements
        .as_ref()
        .and_then(|statements| statements.name_of(&summary.device));
    name.map_or_else(|| summary.device.short(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lies_in(path: &str, root: &str) -> bool {
        is_in(&RawPath(path.as_bytes().to_vec()), root.as_bytes())
    }

    #[test]
    fn a_path_is_in_itself_and_in_what_it_lies_below_and_in_no_namesake() {
        assert!(lies_in("/home/anna", "/home/anna"));
        assert!(lies_in("/home/anna/", "/home/anna"));
        assert!(lies_in("/home/anna/letters", "/home/anna/"));
        assert!(lies_in("/home", "/"));
        assert!(!lies_in("/home/annabel", "/home/anna"));
        assert!(!lies_in("/home", "/home/anna"));
    }
}
