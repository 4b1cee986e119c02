//! Joining: what a stranger with an invitation says to a member, and what the member decides.
//!
//! The decision depends on the roster, the petition and what the connection has proved; it is made here and nowhere else. Until the
//! proof has held, every refusal is the same.

use minicbor::{Decode, Encode};
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::KeyPair;
use nuthatch_format::statement::SignedStatement;
use nuthatch_format::{CircleId, NodeId, Timestamp};

use crate::attest::{Attestation, Nonce};
use crate::bounded::{List, Opaque, len_max};
use crate::lease::{CERTIFICATE_LEN_MAX, CertificateBytes};
use crate::membership::addresses::NodeAddresses;
use crate::membership::invitation::{Admission, InvitationCert, JoinProof};
use crate::membership::roster::{CIRCLE_MEMBERS_MAX, Roster};
use crate::message::{ROSTER_ITEMS_PER_PAGE_MAX, RosterItem};
use crate::protocol::MESSAGE_LEN_MAX;

/// What a joiner says, in this order, each on a stream of its own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum JoinRequest {
    /// I want to join this circle; give me a nonce.
    #[n(0)]
    Hello(#[n(0)] CircleId),
    /// Here is my proof.
    #[n(1)]
    Petition(#[n(0)] Box<Petition>),
}

/// The joiner's proof and what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Petition {
    /// The invitation.
    #[n(0)]
    pub invitation: Attestation<InvitationCert>,
    /// Signed with its secret.
    #[n(1)]
    pub proof: Attestation<JoinProof>,
    /// Where the joiner can be reached, and whose it is.
    #[n(2)]
    pub addresses: Option<Attestation<NodeAddresses>>,
    /// By which it is a node of an archive, if of any: then the archive's other nodes join with it.
    #[n(3)]
    pub certificate: Option<CertificateBytes>,
}

/// What the member answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum JoinReply {
    /// No, because.
    #[n(0)]
    Refused(#[n(0)] JoinRefusal),
    /// Answers `Hello`, whatever the circle.
    #[n(1)]
    Nonce(#[n(0)] Nonce),
    /// Welcome. The charter, the joiner's admission and as much of the roster as fits; the rest by the control protocol.
    #[n(2)]
    Admitted(#[n(0)] List<RosterItem, ROSTER_ITEMS_PER_PAGE_MAX>),
    /// A person of the circle has to decide; try again later.
    #[n(3)]
    Waits(#[n(0)] WaitReason),
}

/// Why a joiner is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum JoinRefusal {
    /// The proof does not hold here: wrong circle, wrong secret, not by an admin, made for another host or another nonce.
    #[n(0)]
    #[error("the invitation is not valid here")]
    NotValid,
    /// The invitation's time is over.
    #[n(1)]
    #[error("the invitation has expired")]
    Expired,
    /// The circle has removed this node.
    #[n(2)]
    #[error("the circle has removed this node")]
    Removed,
    /// The circle has as many members as it can have.
    #[n(3)]
    #[error("the circle is full")]
    Full,
}

/// Why a person has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum WaitReason {
    /// As many other nodes as it is for have used the invitation.
    #[n(0)]
    #[error("the invitation was used by another node: an admin has to decide")]
    Used,
}

impl Canonical for JoinRequest {
    const WHAT: &'static str = "join request";
    const LEN_MAX: usize = 2 * len_max::HEADER
        + len_max::NUMBER
        + len_max::map(
            4,
            len_max::signed(InvitationCert::LEN_MAX)
                + len_max::signed(JoinProof::LEN_MAX)
                + len_max::signed(NodeAddresses::LEN_MAX)
                + len_max::bytes(CERTIFICATE_LEN_MAX),
        );
}

impl Canonical for JoinReply {
    const WHAT: &'static str = "join reply";
    const LEN_MAX: usize = MESSAGE_LEN_MAX;
}

const _: () = assert!(JoinRequest::LEN_MAX <= MESSAGE_LEN_MAX);

/// What the host knows about a petition, not from the petition itself.
#[derive(Debug, Clone, Copy)]
pub struct JoinFacts {
    /// The node at the other end of the connection, as the handshake has proved it.
    pub joiner: NodeId,
    /// The nonce that was open for it, and is no longer.
    pub nonce: Nonce,
    /// The host's clock.
    pub now: Timestamp,
}

/// What is decided about a petition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admit {
    /// The joiner is a member now; the roster has what was learned.
    Admitted,
    /// A person has to decide, with [`Roster::approve`].
    WaitsForPerson(WaitReason),
    /// No.
    Refused(JoinRefusal),
}

impl Roster {
    /// Decides a petition and, when it is granted, signs the admission with the host's node key and adds it.
    pub fn admit(&mut self, petition: &Petition, facts: &JoinFacts, host: &KeyPair) -> Admit {
        let invitation = match self.check(petition, facts, host) {
            Ok(invitation) => invitation,
            Err(refusal) => return Admit::Refused(refusal),
        };
        if self.is_admitted(&facts.joiner) {
            self.learn(petition, facts.now);
            return Admit::Admitted;
        }
        if facts.now > invitation.expires {
            return Admit::Refused(JoinRefusal::Expired);
        }
        if self.users_of(&invitation.invite_public).count() >= invitation.uses as usize {
            return Admit::WaitsForPerson(WaitReason::Used);
        }
        self.add(petition, facts, host, Decision::ByInvitation)
    }

    /// Admits, by a person's decision, somebody whose invitation was used up or has expired. Only an admin can.
    pub fn approve(&mut self, petition: &Petition, facts: &JoinFacts, admin: &KeyPair) -> Admit {
        if let Err(refusal) = self.check(petition, facts, admin) {
            return Admit::Refused(refusal);
        }
        if !self.is_admin(&NodeId::from_bytes(admin.public())) {
            return Admit::Refused(JoinRefusal::NotValid);
        }
        self.add(petition, facts, admin, Decision::ByPerson)
    }

    /// What must be true of a petition whoever decides.
    fn check(
        &self,
        petition: &Petition,
        facts: &JoinFacts,
        host: &KeyPair,
    ) -> Result<InvitationCert, JoinRefusal> {
        let host = NodeId::from_bytes(host.public());
        let (Ok(invitation), Ok(proof)) = (petition.invitation.open(), petition.proof.open()) else {
            return Err(JoinRefusal::NotValid);
        };
        let of_this_circle = invitation.circle == self.circle() && proof.circle == self.circle();
        let of_this_connection =
            proof.node == facts.joiner && proof.host == host && proof.nonce == facts.nonce;
        let of_this_invitation = proof.invite_public == invitation.invite_public;
        let by_an_admin = self.is_admin(&invitation.inviter) && invitation.epoch <= self.epoch();
        if !(of_this_circle
            && of_this_connection
            && of_this_invitation
            && by_an_admin
            && self.is_admitted(&host))
        {
            return Err(JoinRefusal::NotValid);
        }
        if self.is_removed(&facts.joiner, invitation.epoch) {
            return Err(JoinRefusal::Removed);
        }
        Ok(invitation)
    }

    fn add(&mut self, petition: &Petition, facts: &JoinFacts, host: &KeyPair, decision: Decision) -> Admit {
        if self.admitted_count() >= CIRCLE_MEMBERS_MAX {
            return Admit::Refused(JoinRefusal::Full);
        }
        let admission = Admission {
            circle: self.circle(),
            admitted_by: NodeId::from_bytes(host.public()),
            admitted_at: facts.now,
            approved: decision == Decision::ByPerson,
            invitation: petition.invitation.clone(),
            proof: petition.proof.clone(),
        };
        let Ok(signed) = Attestation::sign(&admission, host) else {
            return Admit::Refused(JoinRefusal::NotValid);
        };
        self.merge([RosterItem::Admission(signed)]);
        self.learn(petition, facts.now);
        if self.is_admitted(&facts.joiner) {
            Admit::Admitted
        } else {
            Admit::Refused(JoinRefusal::Full)
        }
    }

    /// Takes what the joiner says of itself; what does not hold is left out, and does not stop the joiner.
    fn learn(&mut self, petition: &Petition, now: Timestamp) {
        let mut items = Vec::new();
        items.extend(petition.addresses.clone().map(RosterItem::Addresses));
        let certificate = petition
            .certificate
            .as_deref()
            .filter(|bytes| SignedStatement::parse(bytes).is_ok());
        items.extend(
            certificate
                .and_then(|bytes| Opaque::new(bytes.to_vec()).ok())
                .map(RosterItem::Statement),
        );
        self.hear(items, now);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    ByInvitation,
    ByPerson,
}

#[cfg(test)]
mod tests;
