//! What anybody may ask: to be admitted to the circle, and to be recognised as a device of an archive.
//!
//! Both begin with a nonce of ours, used once and bound to the connection's node, so that nothing said to another host counts here.

use std::sync::Arc;

use nuthatch_format::{NodeId, codec};
use nuthatch_wire::attest::Nonce;
use nuthatch_wire::bounded::List;
use nuthatch_wire::claim::{self, ClaimError, ClaimFacts, ClaimGrant, ClaimReply, ClaimRequest};
use nuthatch_wire::membership::{Admit, JoinFacts, JoinRefusal, JoinReply, JoinRequest, Petition};

use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;
use crate::waiting::WAITS;

/// A fresh nonce for a node, in place of any before; `None` when this machine has no randomness to give.
fn nonce(node: &Node, asker: NodeId) -> Option<Nonce> {
    let nonce = Nonce(clock::entropy().ok()?);
    node.challenges.lock().issue(asker, nonce, clock::now());
    Some(nonce)
}

/// Answers a message of the joining protocol; `None` when there is no answer to give.
pub(crate) async fn answer_join(node: Arc<Node>, joiner: NodeId, message: Vec<u8>) -> Option<Vec<u8>> {
    let reply = match codec::decode(&message) {
        Ok(JoinRequest::Hello(_)) => JoinReply::Nonce(nonce(&node, joiner)?),
        // Signatures are checked and the roster is written: not on a thread of the network.
        Ok(JoinRequest::Petition(petition)) => {
            tokio::task::spawn_blocking(move || admit(&node, joiner, &petition))
                .await
                .ok()?
        }
        Err(_) => JoinReply::Refused(JoinRefusal::NotValid),
    };
    Some(codec::encode(&reply))
}

fn admit(node: &Node, joiner: NodeId, petition: &Petition) -> JoinReply {
    let Some(nonce) = node.challenges.lock().redeem(&joiner, clock::now()) else {
        return JoinReply::Refused(JoinRefusal::NotValid);
    };
    let facts = JoinFacts {
        joiner,
        nonce,
        now: clock::now(),
    };
    let decided = node.circle.change(|roster| {
        Ok(match roster {
            Some(roster) => {
                let verdict = roster.admit(petition, &facts, &node.identity.key);
                let welcome = match verdict {
                    Admit::Admitted => roster.welcome(&joiner),
                    Admit::WaitsForPerson(_) | Admit::Refused(_) => List::empty(),
                };
                (verdict, welcome)
            }
            None => (Admit::Refused(JoinRefusal::NotValid), List::empty()),
        })
    });
    match decided {
        Ok((Admit::Admitted, welcome)) => {
            node.waiting.forget(&joiner);
            node.members_changed();
            node.spread_word_of(&joiner);
            let name = node.circle.name_of(&joiner);
            node.events
                .say("member_joined", Some(joiner), format!("{name} joined the circle"));
            JoinReply::Admitted(welcome)
        }
        Ok((Admit::WaitsForPerson(reason), _)) => {
            node.waiting.keep(petition.clone(), facts);
            node.events
                .fault(FaultKind::InvitationReused, Some(joiner), WAITS);
            JoinReply::Waits(reason)
        }
        Ok((Admit::Refused(refusal), _)) => {
            node.events.say(
                "join_refused",
                Some(joiner),
                format!("refused to admit a node: {refusal}"),
            );
            JoinReply::Refused(refusal)
        }
        Err(error) => {
            node.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the roster can't be written: {error}"),
            );
            JoinReply::Refused(JoinRefusal::NotValid)
        }
    }
}

/// Answers a message of the claiming protocol; `None` when there is no answer to give. Every refusal is the same bytes.
pub(crate) async fn answer_claim(node: Arc<Node>, claimant: NodeId, message: Vec<u8>) -> Option<Vec<u8>> {
    let reply = match codec::decode(&message) {
        Ok(ClaimRequest::Hello) => ClaimReply::Nonce(nonce(&node, claimant)?),
        // Signatures are checked and the certificate is written: not on a thread of the network.
        Ok(ClaimRequest::Proof(proof)) => {
            let decided = tokio::task::spawn_blocking(move || decide(&node, claimant, &proof)).await;
            decided.ok()?.unwrap_or_else(|error| {
                tracing::info!("refused the claim of {claimant:?}: {error}");
                ClaimReply::Refused
            })
        }
        Err(_) => ClaimReply::Refused,
    };
    Some(codec::encode(&reply))
}

fn decide(
    node: &Node,
    claimant: NodeId,
    proof: &nuthatch_wire::attest::Attestation<claim::ClaimProof>,
) -> Result<ClaimReply, ClaimError> {
    let nonce = node
        .challenges
        .lock()
        .redeem(&claimant, clock::now())
        .ok_or(ClaimError::OtherConnection)?;
    let facts = ClaimFacts {
        claimant,
        host: node.identity.node,
        nonce,
    };
    // Looked up before the proof is judged, so that the time it takes says nothing.
    let archive = proof.open()?.archive;
    let statements = node.known_statements(&archive);
    let proven = claim::decide(proof, &facts, |asked| {
        statements.as_deref().filter(|set| set.archive() == *asked)
    })?;
    node.take_statement(&proven.statement);
    node.circle.gate().admit_claimant(claimant);
    node.transport.reconsider(claimant);
    node.note_restore(archive);
    let name = proven.device.short();
    node.events.say(
        "claimed",
        Some(claimant),
        format!("device {name} proved that archive {} is its own", archive.short()),
    );
    Ok(ClaimReply::Granted(ClaimGrant {
        circle: node.circle.id(),
        introductions: node.introductions(),
    }))
}
