//! One item of a roster, verified: its signatures hold and its parts agree. Whether its signers had the right is decided elsewhere.

use nuthatch_format::codec;
use nuthatch_format::statement::{SignedStatement, Signer, Statement};
use nuthatch_format::{CircleId, NodeId, Timestamp};

use crate::attest::{AttestError, Attestation, Digest};
use crate::membership::addresses::NodeAddresses;
use crate::membership::charter::{Charter, Name, Removal};
use crate::membership::invitation::Admission;
use crate::message::RosterItem;

/// Why an item is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// A signed part does not hold.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// It belongs to another circle.
    #[error("the item is of another circle")]
    OtherCircle,
    /// An admission whose parts do not belong together.
    #[error("the parts of the admission do not belong together")]
    Mismatch,
    /// A statement that does not hold, or says nothing about devices.
    #[error("the statement does not certify or revoke a device")]
    Statement,
}

/// An item and what it says.
#[derive(Debug, Clone)]
pub(super) struct Known {
    item: RosterItem,
    digest: Digest,
    fact: Fact,
}

/// What an item says.
#[derive(Debug, Clone)]
pub(super) enum Fact {
    Charter(Charter),
    Admission(Admitted),
    Removal(Removal),
    Addresses(NodeAddresses),
    Statement(SignedStatement),
}

/// What an admission says, with the invitation and the proof that it contains.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) circle: CircleId,
    pub(super) node: NodeId,
    pub(super) name: Name,
    pub(super) invite_public: [u8; 32],
    pub(super) inviter: NodeId,
    pub(super) epoch: u32,
    pub(super) uses: u32,
    pub(super) admitted_by: NodeId,
    pub(super) admitted_at: Timestamp,
    pub(super) approved: bool,
}

/// Length of an item's encoding, in bytes.
pub(super) fn encoded_len(item: &RosterItem) -> usize {
    codec::encode(item).len()
}

impl Known {
    pub(super) fn verify(item: RosterItem, circle: &CircleId) -> Result<Self, ItemError> {
        let fact = match &item {
            RosterItem::Charter(charter) => charter.open().map(Fact::Charter)?,
            RosterItem::Admission(admission) => Fact::Admission(admitted(admission)?),
            RosterItem::Removal(removal) => removal.open().map(Fact::Removal)?,
            RosterItem::Addresses(addresses) => addresses.open().map(Fact::Addresses)?,
            RosterItem::Statement(bytes) => Fact::Statement(device_statement(bytes)?),
        };
        let of_this_circle = match &fact {
            Fact::Charter(charter) => charter.circle == *circle,
            Fact::Admission(admitted) => admitted.circle == *circle,
            Fact::Removal(removal) => removal.circle == *circle,
            Fact::Addresses(addresses) => addresses.circle == *circle,
            Fact::Statement(_) => true,
        };
        if !of_this_circle {
            return Err(ItemError::OtherCircle);
        }
        let digest = Digest(*blake3::hash(&codec::encode(&item)).as_bytes());
        Ok(Self { item, digest, fact })
    }

    pub(super) fn item(&self) -> &RosterItem {
        &self.item
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn fact(&self) -> &Fact {
        &self.fact
    }
}

/// Checks all three signatures of an admission, and that invitation, proof and admission are about the same thing.
fn admitted(signed: &Attestation<Admission>) -> Result<Admitted, ItemError> {
    let admission = signed.open()?;
    let invitation = admission.invitation.open()?;
    let proof = admission.proof.open()?;
    let one_circle = invitation.circle == admission.circle && proof.circle == admission.circle;
    let one_invitation = proof.invite_public == invitation.invite_public;
    let one_host = proof.host == admission.admitted_by;
    let in_time = admission.approved || admission.admitted_at <= invitation.expires;
    if !(one_circle && one_invitation && one_host && in_time) {
        return Err(ItemError::Mismatch);
    }
    Ok(Admitted {
        circle: admission.circle,
        node: proof.node,
        name: proof.name,
        invite_public: *invitation.invite_public,
        inviter: invitation.inviter,
        epoch: invitation.epoch,
        uses: invitation.uses,
        admitted_by: admission.admitted_by,
        admitted_at: admission.admitted_at,
        approved: admission.approved,
    })
}

/// A statement by an archive's key about one of its devices.
fn device_statement(bytes: &[u8]) -> Result<SignedStatement, ItemError> {
    let statement = SignedStatement::parse(bytes).map_err(|_| ItemError::Statement)?;
    let about_a_device = matches!(
        statement.verify(),
        Ok(Statement::Certified { .. } | Statement::Revoked { .. })
    );
    if about_a_device && statement.signer() == Signer::Archive {
        Ok(statement)
    } else {
        Err(ItemError::Statement)
    }
}
