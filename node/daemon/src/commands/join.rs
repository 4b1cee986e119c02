//! `join`: a stranger with an invitation becomes a member. The invitation's secret signs here and is never sent.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_format::{NodeId, codec};
use nuthatch_transport::{ControlProtocol, DialError, RequestError};
use nuthatch_wire::attest::Nonce;
use nuthatch_wire::bounded::Opaque;
use nuthatch_wire::membership::{
    Invitation, JoinRefusal, JoinReply, JoinRequest, Name, ParseLineError, Petition, Roster, WaitReason,
};
use nuthatch_wire::message::RosterItem;

use super::blocking;
use super::host;
use super::invite::{circle_failure, texts};
use crate::api::{Exit, Failure, Join, JoinAnswer, rfc3339};
use crate::node::Node;
use crate::{clock, roster_sync};

/// How long an answer of the inviter may take to begin: it may sync a disk that is asleep.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Addresses that are dialled at most: the invitation's, then where the inviter was seen on the local network.
const ADDRESSES_MAX: usize = 16;

/// Joins the circle of an invitation. A node that is a member of it already is told so, and nothing is asked.
pub(crate) async fn run(node: &Arc<Node>, asked: &Join) -> Result<JoinAnswer, Failure> {
    let invitation =
        Invitation::parse_line(asked.invitation.expose()).map_err(|error| no_invitation(&error))?;
    let settled = Arc::clone(node);
    blocking(move || settled.take_settings()).await?;
    let own = node.identity.node;
    if let Some(circle) = node.circle.id() {
        if circle != invitation.terms().circle {
            return Err(circle_failure(&crate::circle::CircleError::OtherCircle));
        }
        if node.circle.read(|roster| roster.is_member(&own)) == Some(true) {
            return Ok(answer(node, &invitation));
        }
    }
    let inviter = invitation.terms().inviter;
    if inviter == own {
        return Err(Failure::new(
            Exit::Usage,
            "own_invitation",
            "this node made the invitation itself",
        )
        .with_hint("run 'nuthatch join' with it on the other machine"));
    }
    let expires = invitation.terms().expires;
    if expires < clock::now() {
        return Err(expired(format!("the invitation expired {}", rfc3339(expires))));
    }
    reach(node, &invitation).await?;
    let items = petition(node, &invitation).await?;
    enter(node, &invitation, items).await?;
    if let Err(error) = roster_sync::exchange(node, inviter).await {
        // The rest of the roster comes with the first greeting.
        tracing::debug!("the roster was not exchanged with {inviter:?} yet: {error}");
    }
    node.events.say(
        "joined",
        None,
        format!("joined the circle of {}", node.circle.name_of(&inviter)),
    );
    Ok(answer(node, &invitation))
}

fn answer(node: &Node, invitation: &Invitation) -> JoinAnswer {
    JoinAnswer {
        circle_id: invitation.terms().circle.to_string(),
        peer_id: nuthatch_transport::peer_id_text(node.identity.node),
        members: u32::try_from(node.circle.members().len()).unwrap_or(u32::MAX),
        safe_bytes: host::safe_bytes(node).unwrap_or_default(),
    }
}

/// Connects with the inviter.
async fn reach(node: &Node, invitation: &Invitation) -> Result<(), Failure> {
    let inviter = invitation.terms().inviter;
    let mut addresses = texts(invitation.addresses());
    for seen in node.circle.addresses_of(&inviter) {
        if !addresses.contains(&seen) {
            addresses.push(seen);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    node.transport
        .dial(Some(inviter), addresses)
        .await
        .map(drop)
        .map_err(|error| unreachable(inviter, &error))
}

/// Proves the invitation; the answer is what the circle's newest member is to know at once.
async fn petition(node: &Node, invitation: &Invitation) -> Result<Vec<RosterItem>, Failure> {
    let (circle, own) = (invitation.terms().circle, node.identity.node);
    let nonce = match ask(node, invitation, &JoinRequest::Hello(circle)).await? {
        JoinReply::Nonce(nonce) => nonce,
        JoinReply::Refused(refusal) => return Err(refused(refusal)),
        JoinReply::Waits(reason) => return Err(waits(own, reason)),
        JoinReply::Admitted(_) => return Err(nonsense(invitation.terms().inviter)),
    };
    let petition = Box::new(prove(node, invitation, nonce).await?);
    match ask(node, invitation, &JoinRequest::Petition(petition)).await? {
        JoinReply::Admitted(items) => Ok(items.into_vec()),
        JoinReply::Refused(refusal) => Err(refused(refusal)),
        JoinReply::Waits(reason) => Err(waits(own, reason)),
        JoinReply::Nonce(_) => Err(nonsense(invitation.terms().inviter)),
    }
}

async fn prove(node: &Node, invitation: &Invitation, nonce: Nonce) -> Result<Petition, Failure> {
    let sign_failure = |error: &dyn std::error::Error| Failure::from_error(Exit::Failed, "sign", error);
    let terms = invitation.terms();
    let name = Name::cut(&node.identity.name);
    let proof = invitation
        .prove(node.identity.node, name, terms.inviter, nonce)
        .map_err(|error| sign_failure(&error))?;
    let own = node
        .own_items(terms.circle)
        .await
        .map_err(|error| sign_failure(&error))?;
    let addresses = own.into_iter().find_map(|item| match item {
        RosterItem::Addresses(addresses) => Some(addresses),
        _ => None,
    });
    let certificate = node
        .owned()
        .and_then(|owned| Opaque::new(owned.certificate.bytes().to_vec()).ok());
    Ok(Petition {
        invitation: invitation.cert().clone(),
        proof,
        addresses,
        certificate,
    })
}

async fn ask(node: &Node, invitation: &Invitation, request: &JoinRequest) -> Result<JoinReply, Failure> {
    let inviter = invitation.terms().inviter;
    let bytes = codec::encode(request);
    let answer = node
        .transport
        .request(inviter, ControlProtocol::Join, bytes, ANSWER_TIMEOUT)
        .await;
    let answer = answer.map_err(|error| no_answer(inviter, &error))?;
    codec::decode(&answer).map_err(|_| nonsense(inviter))
}

/// Enters the circle, once what the inviter says proves that this node is a member of it.
async fn enter(node: &Arc<Node>, invitation: &Invitation, mut items: Vec<RosterItem>) -> Result<(), Failure> {
    let terms = invitation.terms();
    let own = node.own_items(terms.circle).await;
    items.extend(own.map_err(|error| Failure::from_error(Exit::Failed, "sign", &error))?);
    let mut roster = Roster::new(terms.circle);
    roster.merge(items.clone());
    if !roster.is_member(&node.identity.node) {
        return Err(nonsense(terms.inviter));
    }
    let (circle, enterer) = (terms.circle, Arc::clone(node));
    blocking(move || {
        enterer
            .circle
            .enter(circle, items)
            .map_err(|error| circle_failure(&error))
    })
    .await?;
    node.members_changed();
    node.publish_addresses().await;
    Ok(())
}

fn no_invitation(error: &ParseLineError) -> Failure {
    let failure = Failure::from_error(Exit::Usage, "bad_invitation", error);
    match error {
        ParseLineError::NotAnInvitation | ParseLineError::TooLong { .. } | ParseLineError::Checksum => failure
            .with_hint("copy the whole line that 'nuthatch invite' printed, from 'nuthatch1:' to its end; it may be in quotes"),
        ParseLineError::Newer => failure.with_hint("install the newest nuthatch on this machine and try again"),
        ParseLineError::Decode(_) | ParseLineError::Attest(_) | ParseLineError::OtherSecret => {
            failure.with_hint("ask for a new invitation")
        }
    }
}

fn expired(message: String) -> Failure {
    Failure::new(Exit::Failed, "expired", message)
        .with_hint("ask for a new one; if it should still be valid, look at the clocks of both machines")
}

fn unreachable(inviter: NodeId, error: &DialError) -> Failure {
    let peer = nuthatch_transport::peer_id_text(inviter);
    let (exit, hint) = match error {
        DialError::NoAddress => (
            Exit::Failed,
            "the invitation names no address, and the inviter is not on this network: ask for a new invitation",
        ),
        DialError::Unreachable { .. }
        | DialError::TimedOut
        | DialError::WrongNode { .. }
        | DialError::Ourselves { .. } => (
            Exit::TryLater,
            "the inviter's machine must be on, with 'nuthatch up' running, and reachable from here; then run the command again",
        ),
        DialError::Busy => (Exit::TryLater, "run the command again in a minute"),
        DialError::TooManyAddresses { .. }
        | DialError::BadAddress { .. }
        | DialError::NotAllowed { .. }
        | DialError::GivenUp
        | DialError::Stopped => (
            Exit::Failed,
            "run the command again; if it fails again, ask for a new invitation",
        ),
    };
    let mut message = format!("the inviter can't be reached: {error}");
    if let DialError::Unreachable { attempts } = error {
        for attempt in attempts {
            message.extend(["; ", &attempt.address, ": ", &attempt.reason]);
        }
    }
    Failure::new(exit, "unreachable", message)
        .with_hint(hint)
        .with_peer(peer)
}

fn no_answer(inviter: NodeId, error: &RequestError) -> Failure {
    let mut failure = Failure::from_error(Exit::TryLater, "unreachable", error)
        .with_hint("run the command again: an invitation that was used by this node is not lost")
        .with_peer(nuthatch_transport::peer_id_text(inviter));
    failure.message = format!("the inviter was reached and did not answer: {}", failure.message);
    failure
}

fn nonsense(inviter: NodeId) -> Failure {
    Failure::new(
        Exit::Failed,
        "bad_answer",
        "the inviter's answer proves nothing: this node was not admitted",
    )
    .with_hint("both machines should run the newest nuthatch; then run the command again")
    .with_peer(nuthatch_transport::peer_id_text(inviter))
}

fn refused(refusal: JoinRefusal) -> Failure {
    let failure = |kind: &str| Failure::from_error(Exit::Failed, kind, &refusal);
    match refusal {
        JoinRefusal::NotValid => failure("not_valid").with_hint("ask an admin of the circle for a new invitation"),
        JoinRefusal::Expired => expired(refusal.to_string()),
        JoinRefusal::Removed => failure("removed")
            .with_hint("only the circle's key can let this node in again: make a new home with --home DIR and ask for an invitation for it"),
        JoinRefusal::Full => failure("circle_full")
            .with_hint("an admin has to remove a member first, or you found a circle of your own with 'nuthatch invite'"),
    }
}

/// The kind of the failure after which the command keeps a new home, so that the same node asks again.
const WAITS: &str = "waits";

fn waits(own: NodeId, reason: WaitReason) -> Failure {
    let id = nuthatch_transport::peer_id_text(own);
    let hint = format!(
        "tell the inviter that this node is {id}: 'nuthatch circle approve {id}' there lets it in, then run the command again; if the \
         other node was not yours, somebody else has read the invitation"
    );
    Failure::from_error(Exit::TryLater, WAITS, &reason).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do_and_waiting_is_worth_another_try() {
        for refusal in [
            JoinRefusal::NotValid,
            JoinRefusal::Expired,
            JoinRefusal::Removed,
            JoinRefusal::Full,
        ] {
            let failure = refused(refusal);
            assert_eq!(failure.exit, Exit::Failed);
            assert!(failure.hint.is_some());
        }
        let own = NodeId::from_bytes([1; 32]);
        let waits = waits(own, WaitReason::Used);
        assert_eq!(waits.exit, Exit::TryLater);
        let id = nuthatch_transport::peer_id_text(own);
        assert!(
            waits
                .hint
                .is_some_and(|hint| hint.contains(&format!("circle approve {id}")))
        );
    }

    #[test]
    fn a_line_that_was_cut_is_told_apart_from_one_that_is_too_new() {
        let cut = Invitation::parse_line("nuthatch1:abc").map_err(|error| no_invitation(&error));
        assert!(cut.is_err_and(|failure| failure.hint.is_some_and(|hint| hint.contains("whole line"))));
        let newer = Invitation::parse_line("nuthatch9:abc").map_err(|error| no_invitation(&error));
        assert!(newer.is_err_and(|failure| failure.hint.is_some_and(|hint| hint.contains("newest"))));
    }

    #[test]
    fn an_inviter_that_is_away_is_worth_another_try_and_every_attempt_is_named() {
        let attempts = vec![nuthatch_transport::FailedAddress {
            address: "/ip4/192.0.2.1/tcp/24480".to_owned(),
            reason: "connection refused".to_owned(),
        }];
        let failure = unreachable(NodeId::from_bytes([1; 32]), &DialError::Unreachable { attempts });
        assert_eq!(failure.exit, Exit::TryLater);
        assert!(failure.message.contains("192.0.2.1") && failure.message.contains("connection refused"));
    }
}
