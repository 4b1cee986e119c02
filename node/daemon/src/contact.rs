//! Waiting for hosts: a command that runs a node for its own length gives its hosts a moment to answer, and no more.

use std::sync::Arc;
use std::time::Duration;

use crate::node::Node;

/// How long hosts have to answer before a command goes on without them.
const CONTACT_MAX: Duration = Duration::from_secs(10);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until every other member is connected, was dialled in vain, or has had its time.
pub(crate) async fn hosts(node: &Arc<Node>) {
    let own = node.identity.node;
    let waiting = async {
        while !node
            .circle
            .members()
            .iter()
            .all(|member| *member == own || node.pulse.has_answered(member))
        {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(CONTACT_MAX, waiting).await.is_err() {
        tracing::debug!("went on before every member was reached");
    }
}
