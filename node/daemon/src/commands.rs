//! The commands of a person, one file each: what a request asks for is gathered or set going here, and answered in words for people.
//!
//! A command decides nothing about protection, placement or membership: it asks the part that does.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod events;
pub(crate) mod host;
pub(crate) mod init;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod kit;
pub(crate) mod limit;
pub(crate) mod ls;
pub(crate) mod member;
pub(crate) mod peer;
pub(crate) mod peers;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod select;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod steward;
pub(crate) mod verify;
pub(crate) mod waiting;

pub(crate) mod hosts;

use std::sync::Arc;

use crate::api::{Exit, Failure, Message, Notice, Outlet, rfc3339};
use crate::node::{Node, Owned};

/// The archive of this node, or what a person is told where there is none.
pub(crate) fn owned(node: &Node) -> Result<Arc<Owned>, Failure> {
    node.owned().ok_or_else(|| {
        Failure::new(
            Exit::NothingHere,
            "no_archive",
            "this node has no archive of its own",
        )
        .with_hint(
            "begin one with 'nuthatch init', or bring one back with 'nuthatch recover' and its 24 words",
        )
    })
}

/// Says as of when an answer is that was given without asking anybody, because no node runs. In a circle of one there is nobody to ask.
pub(crate) async fn say_as_of(node: &Node, out: &Outlet) {
    if node.meets_others() || node.has_no_others() {
        return;
    }
    let message = match node.last_contact() {
        Some(at) => format!(
            "no node runs here: this is how things stood at the last contact, {}",
            rfc3339(at)
        ),
        None => "no node runs here, and no other member was ever in contact with it".to_owned(),
    };
    out.send(Message::Warning(Notice {
        code: Exit::Done.code(),
        kind: "no_node".to_owned(),
        message,
        hint: Some("run 'nuthatch up', and leave it running".to_owned()),
        peer_id: None,
        path: None,
        path_b64: None,
    }))
    .await;
}

/// Does what reads or writes the disk on a thread that may wait for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Failure::from_error(Exit::Failed, "internal", &error)
            .with_hint("this is a fault of nuthatch itself: please report it, with the log that -vv prints")),
    }
}

/// The catalogue can't be read. It is only an index: it can be made again from the journal.
pub(crate) fn catalogue_failure(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(Exit::Failed, "catalogue", error)
        .with_hint("look at this machine's disk; the catalogue is made again from the journal when its file is moved away")
}
