//! Which member a person means who types a name, an id or a part of one.

use nuthatch_format::NodeId;
use nuthatch_transport::peer_id_text;

use crate::api::{Exit, Failure};
use crate::node::Node;

/// Characters of an id that name a node at least: every id begins alike.
const PART_LEN_MIN: usize = 4;

/// The one member, but this node, of this name, this id, or this beginning or end of it.
pub(crate) fn find(node: &Node, text: &str) -> Result<NodeId, Failure> {
    let own = node.identity.node;
    let members: Vec<NodeId> = node
        .circle
        .members()
        .into_iter()
        .filter(|member| *member != own)
        .collect();
    find_in(node, &members, text)
}

/// The one of these nodes.
pub(crate) fn find_in(node: &Node, members: &[NodeId], text: &str) -> Result<NodeId, Failure> {
    let is_id = |member: &&NodeId| {
        let id = peer_id_text(**member);
        id == text || (text.len() >= PART_LEN_MIN && (id.starts_with(text) || id.ends_with(text)))
    };
    let named: Vec<&NodeId> = members
        .iter()
        .filter(|member| node.circle.name_of(member) == text)
        .collect();
    let found = if named.is_empty() {
        members.iter().filter(is_id).collect()
    } else {
        named
    };
    match found.as_slice() {
        [one] => Ok(**one),
        [] => Err(Failure::new(
            Exit::Failed,
            "no_such_peer",
            format!("the circle has no member '{text}'"),
        )
        .with_hint("'nuthatch peers' shows who is in it")),
        _ => Err(Failure::new(
            Exit::Usage,
            "ambiguous",
            format!("'{text}' names several members"),
        )
        .with_hint("give the id instead: 'nuthatch peers --json' shows it")),
    }
}
