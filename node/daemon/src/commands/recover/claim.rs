//! One claim at one host: nonce, proof, grant.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_format::codec::{self, DecodeError};
use nuthatch_format::keys::DeviceKeys;
use nuthatch_format::statement::SignedStatement;
use nuthatch_format::{ArchiveId, CircleId, NodeId};
use nuthatch_transport::{ControlProtocol, DialError, RequestError};
use nuthatch_wire::attest::{AttestError, Attestation};
use nuthatch_wire::bounded::{Opaque, OutOfBounds};
use nuthatch_wire::claim::{ClaimProof, ClaimReply, ClaimRequest};

use crate::node::Node;

/// How long a host may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Who claims.
pub(super) struct Claimant {
    pub(super) archive: ArchiveId,
    pub(super) device: Arc<DeviceKeys>,
    pub(super) certificate: SignedStatement,
}

/// What a host that lets us in tells at once.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) circle: Option<CircleId>,
    /// Other hosts, and where they say that they are.
    pub(super) introductions: Vec<(NodeId, Vec<String>)>,
}

/// Why a host could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimFailed {
    /// It can't be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It does not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It answers nonsense.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It answers something else.
    #[error("the answer is to another question")]
    OtherAnswer,
    /// The proof can't be made.
    #[error(transparent)]
    Sign(#[from] AttestError),
    /// The certificate is too long for a proof.
    #[error(transparent)]
    TooLong(#[from] OutOfBounds),
}

/// Claims at a host; `None` when it refuses.
pub(super) async fn claim(
    node: &Arc<Node>,
    claimant: &Claimant,
    host: NodeId,
) -> Result<Option<Granted>, ClaimFailed> {
    node.transport
        .dial(Some(host), node.circle.addresses_of(&host))
        .await?;
    let ClaimReply::Nonce(nonce) = ask(node, host, &ClaimRequest::Hello).await? else {
        return Err(ClaimFailed::OtherAnswer);
    };
    let proof = ClaimProof {
        archive: claimant.archive,
        device: claimant.device.id(),
        claimant: node.identity.node,
        host,
        nonce,
        certificate: Opaque::new(claimant.certificate.bytes().to_vec())?,
    };
    let proof = Attestation::sign(&proof, &claimant.device.signing)?;
    match ask(node, host, &ClaimRequest::Proof(proof)).await? {
        ClaimReply::Granted(grant) => {
            let introductions = grant
                .introductions
                .iter()
                .filter_map(|introduction| {
                    let own_word = introduction.addresses.as_ref()?.open().ok()?;
                    let addresses = own_word
                        .addresses
                        .iter()
                        .map(|address| address.as_str().to_owned())
                        .collect();
                    (own_word.node == introduction.node).then_some((introduction.node, addresses))
                })
                .collect();
            Ok(Some(Granted {
                circle: grant.circle,
                introductions,
            }))
        }
        ClaimReply::Refused => Ok(None),
        ClaimReply::Nonce(_) => Err(ClaimFailed::OtherAnswer),
    }
}

async fn ask(node: &Node, host: NodeId, request: &ClaimRequest) -> Result<ClaimReply, ClaimFailed> {
    let answer = node
        .transport
        .request(
            host,
            ControlProtocol::Claim,
            codec::encode(request),
            ANSWER_TIMEOUT,
        )
        .await?;
    Ok(codec::decode(&answer)?)
}
