//! The chain from an admin's invitation to an admission: three signed objects, each naming the key that signs it.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::Context;
use nuthatch_format::{CircleId, NodeId, Timestamp};

use crate::attest::{Attestation, Attested, Nonce};
use crate::bounded::len_max;
use crate::membership::charter::{NAME_LEN_MAX, Name};

/// An admin's word that whoever has a certain secret may be admitted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InvitationCert {
    /// Into which circle; also the signature's scope.
    #[n(0)]
    pub circle: CircleId,
    /// Epoch of the charter when it was made.
    #[n(1)]
    pub epoch: u32,
    /// Public half of the invitation's secret; names the invitation.
    #[n(2)]
    pub invite_public: ByteArray<32>,
    /// The admin, who signs.
    #[n(3)]
    pub inviter: NodeId,
    /// Until when, by the clock of whoever admits.
    #[n(4)]
    pub expires: Timestamp,
    /// How many different nodes it admits without a person being asked, at least 1.
    #[n(5)]
    pub uses: u32,
}

/// A joiner's proof that it has the invitation's secret, for one node, at one host, once.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct JoinProof {
    /// Which circle; also the signature's scope.
    #[n(0)]
    pub circle: CircleId,
    /// The invitation, whose secret signs.
    #[n(1)]
    pub invite_public: ByteArray<32>,
    /// Who joins.
    #[n(2)]
    pub node: NodeId,
    /// What people are to call it.
    #[n(3)]
    pub name: Name,
    /// The host that is asked to admit.
    #[n(4)]
    pub host: NodeId,
    /// The host's nonce.
    #[n(5)]
    pub nonce: Nonce,
}

/// A member's word that a node has joined.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Admission {
    /// Into which circle; also the signature's scope.
    #[n(0)]
    pub circle: CircleId,
    /// The member that admitted, and signs.
    #[n(1)]
    pub admitted_by: NodeId,
    /// Its clock when it signed.
    #[n(2)]
    pub admitted_at: Timestamp,
    /// Whether a person decided: then it does not count as one of the invitation's uses. Only admins may.
    #[n(3)]
    pub approved: bool,
    /// The invitation.
    #[n(4)]
    pub invitation: Attestation<InvitationCert>,
    /// The joiner's proof.
    #[n(5)]
    pub proof: Attestation<JoinProof>,
}

impl Canonical for InvitationCert {
    const WHAT: &'static str = "invitation";
    const LEN_MAX: usize = len_max::map(6, 3 * len_max::ID + 3 * len_max::NUMBER);
}

impl Attested for InvitationCert {
    const CONTEXT: Context = Context::Invitation;

    fn scope(&self) -> &[u8; 32] {
        self.circle.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.inviter.as_bytes()
    }
}

impl Canonical for JoinProof {
    const WHAT: &'static str = "join proof";
    const LEN_MAX: usize = len_max::map(6, 5 * len_max::ID + len_max::bytes(NAME_LEN_MAX));
}

impl Attested for JoinProof {
    const CONTEXT: Context = Context::JoinProof;

    fn scope(&self) -> &[u8; 32] {
        self.circle.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        &self.invite_public
    }
}

impl Canonical for Admission {
    const WHAT: &'static str = "admission";
    const LEN_MAX: usize = len_max::map(
        6,
        2 * len_max::ID
            + 2 * len_max::NUMBER
            + len_max::signed(InvitationCert::LEN_MAX)
            + len_max::signed(JoinProof::LEN_MAX),
    );
}

impl Attested for Admission {
    const CONTEXT: Context = Context::Admission;

    fn scope(&self) -> &[u8; 32] {
        self.circle.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.admitted_by.as_bytes()
    }
}
