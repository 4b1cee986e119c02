//! `up`'s lines: every event of the node, as it happens, until the listener goes.

use nuthatch_format::Timestamp;
use tokio::sync::broadcast::error::RecvError;

use crate::api::{self, CancellationToken, Failure, Message, Outlet};
use crate::clock;
use crate::node::Node;

/// Streams events until `cancel`. A listener that is too slow is told how many it has missed.
pub(crate) async fn run(node: &Node, out: &Outlet, cancel: CancellationToken) -> Result<(), Failure> {
    let mut events = node.events.subscribe();
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            event = events.recv() => event,
        };
        match event {
            Ok(event) => out.send(Message::Event(event)).await,
            Err(RecvError::Lagged(count)) => out.send(Message::Event(missed(count, clock::now()))).await,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn missed(count: u64, now: Timestamp) -> api::Event {
    api::Event {
        time: api::rfc3339(now),
        kind: "events_missed".to_owned(),
        message: format!("{count} events came faster than they were read and are not shown"),
        peer_id: None,
    }
}
