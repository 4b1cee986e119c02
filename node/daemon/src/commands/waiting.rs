//! `circle waiting` and `circle approve`: nodes whose invitation was used up by others, and a person's word that lets one of them in.

use std::collections::BTreeSet;
use std::sync::Arc;

use nuthatch_format::NodeId;
use nuthatch_transport::peer_id_text;
use nuthatch_wire::membership::{Admit, JoinFacts, Roster};

use super::blocking;
use super::invite::{as_admin, circle_failure};
use crate::api::{Approve, ApproveAnswer, Exit, Failure, PeerName, WaitingAnswer, WaitingRow, rfc3339};
use crate::clock;
use crate::node::Node;
use crate::waiting::Waits;

/// Characters of an id that name a node at least: every id begins alike.
const PART_LEN_MIN: usize = 4;

/// Nodes that wait: those that asked here, and those that the roster knows of.
pub(crate) fn nodes(node: &Node) -> BTreeSet<NodeId> {
    let mut nodes: BTreeSet<NodeId> = node.waiting.nodes().into_iter().collect();
    let known = node.circle.read(|roster| {
        nodes.retain(|waiting| !roster.is_admitted(waiting));
        roster.waiting().collect::<Vec<_>>()
    });
    nodes.extend(known.unwrap_or_default());
    nodes
}

/// Shows who waits.
pub(crate) fn list(node: &Node) -> WaitingAnswer {
    let waiting = nodes(node).into_iter().map(|waiting| row(node, &waiting));
    WaitingAnswer {
        waiting: waiting.collect(),
    }
}

fn row(node: &Node, waiting: &NodeId) -> WaitingRow {
    let here = node.waiting.of(waiting);
    let users = node.circle.read(|roster| {
        let invitation = here
            .as_ref()
            .and_then(|waits| Some(*waits.petition.invitation.open().ok()?.invite_public))
            .or_else(|| roster.invitation_of_waiting(waiting));
        invitation.map(|invitation| roster.users_of(&invitation).collect::<Vec<_>>())
    });
    let users = users.flatten().unwrap_or_default();
    WaitingRow {
        peer_id: peer_id_text(*waiting),
        name: name_of(node, waiting, here.as_ref()),
        asked: here.map(|waits| rfc3339(waits.facts.now)),
        used_by: users
            .into_iter()
            .map(|user| PeerName {
                peer_id: peer_id_text(user),
                name: node.circle.name_of(&user),
            })
            .collect(),
    }
}

fn name_of(node: &Node, waiting: &NodeId, here: Option<&Waits>) -> String {
    let said = here.and_then(|waits| waits.petition.proof.open().ok());
    said.map_or_else(
        || node.circle.name_of(waiting),
        |proof| proof.name.as_str().to_owned(),
    )
}

/// Lets a node in that has asked here: this admin's word stands in for the use that the invitation no longer has.
pub(crate) async fn approve(node: &Arc<Node>, asked: &Approve) -> Result<ApproveAnswer, Failure> {
    as_admin(node, "let a node in")?;
    let wanted = find(node, &asked.peer)?;
    let Some(waits) = node.waiting.of(&wanted) else {
        return Err(Failure::new(
            Exit::Failed,
            "not_asked_here",
            "this node waits, but has not asked here since this node was started",
        )
        .with_hint("let 'nuthatch up' run here, have the other run 'nuthatch join' with its invitation again, and then approve it")
        .with_peer(peer_id_text(wanted)));
    };
    let name = name_of(node, &wanted, Some(&waits));
    let deciding = Arc::clone(node);
    let decided = blocking(move || {
        let facts = JoinFacts {
            now: clock::now(),
            ..waits.facts
        };
        let decide = |roster: &mut Option<Roster>| {
            Ok(roster
                .as_mut()
                .map(|roster| roster.approve(&waits.petition, &facts, &deciding.identity.key)))
        };
        deciding
            .circle
            .change(decide)
            .map_err(|error| circle_failure(&error))
    })
    .await?;
    match decided {
        Some(Admit::Admitted) => {}
        Some(Admit::Refused(refusal)) => {
            return Err(Failure::from_error(Exit::Failed, "refused", &refusal)
                .with_hint("make a new invitation: 'nuthatch invite'"));
        }
        Some(Admit::WaitsForPerson(_)) | None => {
            return Err(Failure::new(Exit::Failed, "refused", "the node was not let in"));
        }
    }
    node.waiting.forget(&wanted);
    node.members_changed();
    node.spread_word_of(&wanted);
    node.events.say(
        "member_joined",
        Some(wanted),
        format!("{name} was let into the circle"),
    );
    Ok(ApproveAnswer {
        peer_id: peer_id_text(wanted),
        name,
        members: u32::try_from(node.circle.members().len()).unwrap_or(u32::MAX),
    })
}

/// The one node that waits and has this id, or this beginning or end of it.
fn find(node: &Node, text: &str) -> Result<NodeId, Failure> {
    let names = |waiting: &NodeId| {
        let id = peer_id_text(*waiting);
        id == text || (text.len() >= PART_LEN_MIN && (id.starts_with(text) || id.ends_with(text)))
    };
    let found: Vec<NodeId> = nodes(node).into_iter().filter(names).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(
            Failure::new(Exit::Failed, "not_waiting", format!("no node '{text}' waits here")).with_hint(
                "'nuthatch circle waiting' shows who does; let the other run 'nuthatch join' with its invitation while this node runs",
            ),
        ),
        _ => Err(Failure::new(
            Exit::Usage,
            "ambiguous",
            format!("'{text}' names several nodes that wait"),
        )
        .with_hint("give more of the id")),
    }
}
