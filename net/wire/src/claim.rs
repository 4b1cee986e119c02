//! Claiming: how a device that the archive's key has certified gets at what a host keeps, without being a member.
//!
//! The claimant signs both node ids and the host's nonce, so a claim is good once, at one host, on one connection. Every refusal is
//! the same bytes, and a nonce is given to everybody: nobody learns here whether an archive is hosted but who holds its key.

use minicbor::{Decode, Encode};
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::Context;
use nuthatch_format::statement::{
    Capabilities, Certificate, SignedStatement, Signer, Statement, StatementSet,
};
use nuthatch_format::{ArchiveId, CircleId, DeviceId, NodeId};

use crate::attest::{AttestError, Attestation, Attested, Nonce};
use crate::bounded::{List, len_max};
use crate::lease::{CERTIFICATE_LEN_MAX, CertificateBytes};
use crate::message::{INTRODUCTIONS_MAX, Introduction};
use crate::protocol::MESSAGE_LEN_MAX;

/// What a claimant says, in this order, each on a stream of its own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum ClaimRequest {
    /// I want to claim an archive; give me a nonce. Which archive, the host need not know yet.
    #[n(0)]
    Hello,
    /// Here is my proof.
    #[n(1)]
    Proof(#[n(0)] Attestation<ClaimProof>),
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum ClaimReply {
    /// No. Always the same bytes, whatever the reason.
    #[n(0)]
    Refused,
    /// Answers `Hello`, whoever asks.
    #[n(1)]
    Nonce(#[n(0)] Nonce),
    /// From now on this connection's node may use the control and bulk protocols for the archive.
    #[n(2)]
    Granted(#[n(0)] ClaimGrant),
}

/// What a successful claimant is told at once.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClaimGrant {
    /// The circle that the host belongs to.
    #[n(0)]
    pub circle: Option<CircleId>,
    /// Other hosts that may hold parts of the archive.
    #[n(1)]
    pub introductions: List<Introduction, INTRODUCTIONS_MAX>,
}

/// A device's word that it speaks for the archive, to one host, from one node, once.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClaimProof {
    /// The archive; also the signature's scope.
    #[n(0)]
    pub archive: ArchiveId,
    /// The device, which signs.
    #[n(1)]
    pub device: DeviceId,
    /// The node that claims: the device's, by the certificate.
    #[n(2)]
    pub claimant: NodeId,
    /// The host that is asked.
    #[n(3)]
    pub host: NodeId,
    /// The host's nonce.
    #[n(4)]
    pub nonce: Nonce,
    /// The archive's statement that certifies device and node.
    #[n(5)]
    pub certificate: CertificateBytes,
}

impl Canonical for ClaimRequest {
    const WHAT: &'static str = "claim request";
    const LEN_MAX: usize = 2 * len_max::HEADER + len_max::NUMBER + len_max::signed(ClaimProof::LEN_MAX);
}

impl Canonical for ClaimReply {
    const WHAT: &'static str = "claim reply";
    const LEN_MAX: usize = MESSAGE_LEN_MAX;
}

impl Canonical for ClaimProof {
    const WHAT: &'static str = "claim proof";
    const LEN_MAX: usize = len_max::map(6, 5 * len_max::ID + len_max::bytes(CERTIFICATE_LEN_MAX));
}

const _: () = assert!(ClaimRequest::LEN_MAX <= MESSAGE_LEN_MAX);

impl Attested for ClaimProof {
    const CONTEXT: Context = Context::Claim;

    fn scope(&self) -> &[u8; 32] {
        self.archive.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.device.as_bytes()
    }
}

/// What the host knows about the question, not from the claim itself.
#[derive(Debug, Clone, Copy)]
pub struct ClaimFacts {
    /// The node at the other end of the connection, as the handshake has proved it.
    pub claimant: NodeId,
    /// This host.
    pub host: NodeId,
    /// The nonce that was open for the claimant, and is no longer.
    pub nonce: Nonce,
}

/// A claim whose proof holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenClaim {
    /// The archive claimed.
    pub archive: ArchiveId,
    /// By which device.
    pub device: DeviceId,
    /// Its certificate, to be kept with the archive's statements.
    pub statement: SignedStatement,
}

/// Why a claim is refused. For the host's own log only: the claimant gets [`ClaimReply::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The proof is not signed by the device that it names.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The proof was made for another connection: other nodes, or another nonce.
    #[error("the claim was made for another connection")]
    OtherConnection,
    /// The certificate is no such statement, or not by the archive's key.
    #[error("the certificate is not the archive's")]
    NotCertified,
    /// The certificate is for another device or node.
    #[error("the certificate is for another device")]
    OtherDevice,
    /// The device may not read.
    #[error("the device is not certified for reading")]
    MayNotRead,
    /// The archive has revoked the device.
    #[error("the device is revoked")]
    Revoked,
    /// A later certificate of the device is here, and says otherwise.
    #[error("a later certificate of the device has taken this one's place")]
    Superseded,
    /// Nothing of this archive is here.
    #[error("the archive is not here")]
    NotHere,
}

/// Checks a proof by itself: everything but whether the archive is here.
pub fn verify(proof: &Attestation<ClaimProof>, facts: &ClaimFacts) -> Result<ProvenClaim, ClaimError> {
    let claim = proof.open()?;
    if claim.claimant != facts.claimant || claim.host != facts.host || claim.nonce != facts.nonce {
        return Err(ClaimError::OtherConnection);
    }
    let statement = SignedStatement::parse(&claim.certificate).map_err(|_| ClaimError::NotCertified)?;
    let certificate = certificate_in(&statement, &claim.archive)?;
    if certificate.device != claim.device || certificate.node != claim.claimant {
        return Err(ClaimError::OtherDevice);
    }
    if !certificate.capabilities.include(Capabilities::READ) {
        return Err(ClaimError::MayNotRead);
    }
    Ok(ProvenClaim {
        archive: claim.archive,
        device: claim.device,
        statement,
    })
}

/// Decides a claim: the proof must hold, the archive must be here, the device not be revoked, and its certificate be the last of the device
/// that is known here.
///
/// `held` gives the archive's statements when anything of it is here. The proof is checked first, whether or not the archive is here.
pub fn decide<'s>(
    proof: &Attestation<ClaimProof>,
    facts: &ClaimFacts,
    held: impl FnOnce(&ArchiveId) -> Option<&'s StatementSet>,
) -> Result<ProvenClaim, ClaimError> {
    let proven = verify(proof, facts)?;
    let statements = held(&proven.archive).ok_or(ClaimError::NotHere)?;
    if statements.is_revoked(&proven.device) {
        return Err(ClaimError::Revoked);
    }
    let last = statements.certificate_statement_of(&proven.device);
    let is_superseded = |(last, _): (&SignedStatement, _)| {
        (last.time(), last.id()) > (proven.statement.time(), proven.statement.id())
    };
    if last.is_some_and(is_superseded) {
        return Err(ClaimError::Superseded);
    }
    Ok(proven)
}

fn certificate_in<'s>(
    statement: &'s SignedStatement,
    archive: &ArchiveId,
) -> Result<&'s Certificate, ClaimError> {
    let by_the_archive = statement.archive() == *archive && statement.signer() == Signer::Archive;
    match statement.verify() {
        Ok(Statement::Certified { certificate }) if by_the_archive => Ok(certificate),
        Ok(_) | Err(_) => Err(ClaimError::NotCertified),
    }
}

#[cfg(test)]
mod tests;
