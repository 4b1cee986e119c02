//! Waiting for hosts: a command that runs a node for its own length gives its hosts a moment to answer.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_format::NodeId;

use crate::node::Node;

/// How long hosts have to answer before a command goes on without them.
const CONTACT_MAX: Duration = Duration::from_secs(10);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until every other member is connected, or has had its time; with `enough` of them connected, a moment is enough.
pub(crate) async fn hosts(node: &Arc<Node>, enough: impl Fn(&[NodeId]) -> bool) {
    let own = node.identity.node;
    let members: Vec<NodeId> = node
        .circle
        .members()
        .into_iter()
        .filter(|member| *member != own)
        .collect();
    let waiting = async {
        loop {
            let online: Vec<NodeId> = node.pulse.online().into_keys().collect();
            if members.iter().all(|member| online.contains(member)) || enough(&online) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if !members.is_empty() && tokio::time::timeout(CONTACT_MAX, waiting).await.is_err() {
        tracing::debug!("went on before every member was reached");
    }
}
