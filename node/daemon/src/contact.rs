//! Waiting for hosts: a command that runs a node for its own length gives its hosts a moment to answer, and no more.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::node::Node;

/// How long hosts have to answer before a command goes on without them.
const CONTACT_MAX: Duration = Duration::from_secs(10);

/// With somebody connected, the others have only this long: a dead machine answers no dial, and a QUIC handshake gives up late.
const OTHERS_MAX: Duration = Duration::from_secs(2);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until every other member is connected, was dialled in vain, or has had its time.
pub(crate) async fn hosts(node: &Arc<Node>) {
    let started = clock::instant();
    let waiting = async {
        while !all_answered(node) {
            let waited = clock::instant().saturating_duration_since(started);
            if waited >= OTHERS_MAX && !node.pulse.online().is_empty() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(CONTACT_MAX, waiting).await.is_err() {
        tracing::debug!("went on before any member was reached");
    }
}

/// Whether every other member is connected, or was dialled in vain.
pub(crate) fn all_answered(node: &Node) -> bool {
    let own = node.identity.node;
    node.circle
        .members()
        .iter()
        .all(|member| *member == own || node.pulse.has_answered(member))
}
