//! An invitation as one line of text, and what its holder can do with it.
//!
//! `nuthatch1:` and base32 of the admin's signed word, the inviter's addresses, the secret and a checksum. Letters may be of either
//! case, so that a QR code can use its dense alphabet, and white space is ignored, so that a mail program may break the line. The secret
//! never leaves the holder: it signs, and only its public half is known to others.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use nuthatch_format::codec::{self, Canonical, DecodeError};
use nuthatch_format::signed::KeyPair;
use nuthatch_format::{CircleId, NodeId, Timestamp};

use crate::attest::{AttestError, Attestation, Nonce};
use crate::bounded::{List, len_max};
use crate::membership::addresses::{ADDRESS_LEN_MAX, Address};
use crate::membership::charter::Name;
use crate::membership::invitation::{InvitationCert, JoinProof};

/// Longest invitation, in characters.
pub const INVITATION_LINE_LEN_MAX: usize = 1500;

/// Addresses of the inviter that an invitation carries at most; fewer when they are long.
pub const INVITATION_ADDRESSES_MAX: usize = 6;

/// Letters and digits that the largest QR code (version 40) holds with medium error correction: ISO/IEC 18004, table 7.
const QR_ALPHANUMERIC_MAX: usize = 3391;

const SCHEME: &str = "nuthatch";
const VERSION: &str = "1";
const CHECKSUM_LEN: usize = 5;

/// Bytes before base32, which writes 5 of them in 8 characters.
const PAYLOAD_LEN_MAX: usize =
    (INVITATION_LINE_LEN_MAX - SCHEME.len() - VERSION.len() - 1) / 8 * 5 - CHECKSUM_LEN;

const _: () = assert!(INVITATION_LINE_LEN_MAX <= QR_ALPHANUMERIC_MAX);
const _: () = assert!(
    len_max::map(
        3,
        len_max::signed(InvitationCert::LEN_MAX)
            + len_max::ID
            + len_max::list(1, len_max::bytes(ADDRESS_LEN_MAX))
    ) <= PAYLOAD_LEN_MAX,
    "one address of any length always fits"
);

/// What the line carries.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Payload {
    #[n(0)]
    cert: Attestation<InvitationCert>,
    #[n(1)]
    addresses: List<Address, INVITATION_ADDRESSES_MAX>,
    #[n(2)]
    secret: ByteArray<32>,
}

impl Canonical for Payload {
    const WHAT: &'static str = "invitation";
    const LEN_MAX: usize = PAYLOAD_LEN_MAX;
}

/// Permission to join a circle, with the secret that proves it. Prints its circle only.
#[derive(Clone)]
pub struct Invitation {
    cert: Attestation<InvitationCert>,
    body: InvitationCert,
    addresses: List<Address, INVITATION_ADDRESSES_MAX>,
    secret: KeyPair,
}

/// What an admin decides about an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteTerms {
    /// Into which circle.
    pub circle: CircleId,
    /// Epoch of its charter.
    pub epoch: u32,
    /// Until when.
    pub expires: Timestamp,
    /// How many nodes, at least 1.
    pub uses: u32,
    /// Where the inviter can be reached, best first; those that do not fit the line are left out.
    pub addresses: Vec<Address>,
}

/// Why an invitation can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It would admit nobody.
    #[error("an invitation admits at least one node")]
    NoUses,
    /// The signature can't be made.
    #[error(transparent)]
    Attest(#[from] AttestError),
}

/// Why a line is not an invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseLineError {
    /// It begins with something else.
    #[error("an invitation begins with `{SCHEME}{VERSION}:`")]
    NotAnInvitation,
    /// A newer program made it.
    #[error("this invitation was made by a newer program: update this one")]
    Newer,
    /// Longer than any invitation.
    #[error("an invitation has at most {INVITATION_LINE_LEN_MAX} characters, this has {found}")]
    TooLong {
        /// Characters found.
        found: usize,
    },
    /// Characters are wrong, missing or too many.
    #[error("the invitation was not copied correctly: its checksum does not match")]
    Checksum,
    /// The checksum is right, but what it covers is no invitation.
    #[error("the invitation can't be read")]
    Decode(#[from] DecodeError),
    /// The inviter's signature does not hold.
    #[error("the invitation is not signed by its inviter")]
    Attest(#[from] AttestError),
    /// The secret is not the invitation's.
    #[error("the invitation and its secret do not belong together")]
    OtherSecret,
}

impl Invitation {
    /// An invitation by an admin. The secret seed must be random and used for nothing else.
    pub fn issue(terms: InviteTerms, inviter: &KeyPair, secret_seed: &[u8; 32]) -> Result<Self, InviteError> {
        if terms.uses == 0 {
            return Err(InviteError::NoUses);
        }
        let secret = KeyPair::from_seed(secret_seed);
        let body = InvitationCert {
            circle: terms.circle,
            epoch: terms.epoch,
            invite_public: secret.public().into(),
            inviter: NodeId::from_bytes(inviter.public()),
            expires: terms.expires,
            uses: terms.uses,
        };
        let mut invitation = Self {
            cert: Attestation::sign(&body, inviter)?,
            body,
            addresses: List::empty(),
            secret,
        };
        for address in terms.addresses {
            let mut addresses = invitation.addresses.clone().into_vec();
            addresses.push(address);
            let mut longer = invitation.clone();
            longer.addresses = List::first_of(addresses);
            if codec::encode(&longer.payload()).len() <= PAYLOAD_LEN_MAX {
                invitation = longer;
            }
        }
        Ok(invitation)
    }

    /// What the admin signed.
    pub fn terms(&self) -> &InvitationCert {
        &self.body
    }

    /// What the admin signed, in its exact bytes.
    pub fn cert(&self) -> &Attestation<InvitationCert> {
        &self.cert
    }

    /// Where the inviter can be reached, best first.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Signs that `node` joins at `host`, answering the host's nonce.
    pub fn prove(
        &self,
        node: NodeId,
        name: Name,
        host: NodeId,
        nonce: Nonce,
    ) -> Result<Attestation<JoinProof>, AttestError> {
        let proof = JoinProof {
            circle: self.body.circle,
            invite_public: self.body.invite_public,
            node,
            name,
            host,
            nonce,
        };
        Attestation::sign(&proof, &self.secret)
    }

    /// The line, lower case; whoever has it can join.
    pub fn to_line(&self) -> String {
        let mut bytes = codec::encode(&self.payload());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        format!("{SCHEME}{VERSION}:{}", BASE32_NOPAD.encode(&bytes).to_lowercase())
    }

    /// The invitation on a line, checked but for whether its circle still wants it.
    pub fn parse_line(text: &str) -> Result<Self, ParseLineError> {
        let line: String = text
            .chars()
            .filter(|char| !char.is_whitespace())
            .take(INVITATION_LINE_LEN_MAX + 1)
            .map(|char| char.to_ascii_uppercase())
            .collect();
        if line.len() > INVITATION_LINE_LEN_MAX {
            return Err(ParseLineError::TooLong {
                found: text.chars().count(),
            });
        }
        let (head, encoded) = line.split_once(':').ok_or(ParseLineError::NotAnInvitation)?;
        let version = head
            .strip_prefix("NUTHATCH")
            .ok_or(ParseLineError::NotAnInvitation)?;
        if version != VERSION {
            let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if is_number {
                ParseLineError::Newer
            } else {
                ParseLineError::NotAnInvitation
            });
        }
        let bytes = BASE32_NOPAD
            .decode(encoded.as_bytes())
            .map_err(|_| ParseLineError::Checksum)?;
        let (payload, sum) = bytes
            .split_last_chunk::<CHECKSUM_LEN>()
            .ok_or(ParseLineError::Checksum)?;
        if *sum != checksum(payload) {
            return Err(ParseLineError::Checksum);
        }
        let payload: Payload = codec::decode(payload)?;
        let body = payload.cert.open()?;
        let secret = KeyPair::from_seed(&payload.secret);
        if secret.public() != *body.invite_public {
            return Err(ParseLineError::OtherSecret);
        }
        Ok(Self {
            cert: payload.cert,
            body,
            addresses: payload.addresses,
            secret,
        })
    }

    fn payload(&self) -> Payload {
        Payload {
            cert: self.cert.clone(),
            addresses: self.addresses.clone(),
            secret: (*self.secret.seed()).into(),
        }
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({:?})", self.body.circle)
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_LEN] {
    let hash = blake3::derive_key("nuthatch v1 invitation checksum", payload);
    match hash.first_chunk() {
        Some(sum) => *sum,
        None => unreachable!("a hash is longer than a checksum"),
    }
}

#[cfg(test)]
mod tests;
