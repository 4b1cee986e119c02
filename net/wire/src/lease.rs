//! A host's signed promise to keep an archive's shards until a date, and what is asked and answered before it is given.
//!
//! Whether a host gives one is decided by the engine; this file says only how it is asked for and what it says.

use minicbor::{Decode, Encode};
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::Context;
use nuthatch_format::{ArchiveId, ByteCount, NodeId, Span, Timestamp};

use crate::attest::{Attestation, Attested};
use crate::bounded::{Opaque, len_max};

/// How long a lease lasts from the last contact, unless the host's person says otherwise.
pub const LEASE_TERM: Span = Span::from_days(180);

/// Longest certificate statement that a message carries beside other things, in bytes. Names in it are short, and so is the rest.
pub const CERTIFICATE_LEN_MAX: usize = 2048;

/// A certificate statement: the archive's key says which device and node belong to it. Exact signed bytes.
pub type CertificateBytes = Opaque<CERTIFICATE_LEN_MAX>;

/// "Will you keep so many bytes of this archive?" Also renews: the number is the new total, not an addition.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LeaseRequest {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// By which the asking node is one of the archive's.
    #[n(1)]
    pub certificate: CertificateBytes,
    /// Bytes of shards and segments, in all.
    #[n(2)]
    pub bytes: ByteCount,
}

/// The promise.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Lease {
    /// Whose shards are kept; also the signature's scope.
    #[n(0)]
    pub archive: ArchiveId,
    /// Who keeps them, and signs.
    #[n(1)]
    pub host: NodeId,
    /// Bytes of shards and segments that are kept at most.
    #[n(2)]
    pub bytes: ByteCount,
    /// The host's clock when it signed.
    #[n(3)]
    pub granted_at: Timestamp,
    /// Until when, by the host's clock. After it nothing is deleted by itself; the host's person may release the space.
    #[n(4)]
    pub until: Timestamp,
}

impl Canonical for Lease {
    const WHAT: &'static str = "lease";
    const LEN_MAX: usize = len_max::map(5, 2 * len_max::ID + 3 * len_max::NUMBER);
}

impl Attested for Lease {
    const CONTEXT: Context = Context::Lease;

    fn scope(&self) -> &[u8; 32] {
        self.archive.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.host.as_bytes()
    }
}

/// What a host answers when asked for a lease.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum LeaseAnswer {
    /// Here it is; it may be for fewer bytes than were asked for.
    #[n(0)]
    Granted(#[n(0)] Attestation<Lease>),
    /// No.
    #[n(1)]
    Refused(#[n(0)] LeaseRefusal),
}

/// Why a host gives no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum LeaseRefusal {
    /// There is no space left.
    #[n(0)]
    #[error("the host has no space left")]
    Full,
    /// This node hosts for nobody.
    #[n(1)]
    #[error("the node does not host")]
    NotHosting,
    /// The asker is not, or no longer, a member of the circle.
    #[n(2)]
    #[error("only members of the circle are given space")]
    NotMember,
    /// The certificate does not make the asker a device of the archive, or was revoked.
    #[n(3)]
    #[error("the certificate does not hold")]
    NotCertified,
    /// The asker keeps too little for the host in return.
    #[n(4)]
    #[error("the host keeps more for this archive than the archive's owner keeps for it")]
    Balance,
    /// The host takes nothing new at the moment.
    #[n(5)]
    #[error("the host is paused")]
    Paused,
}

#[cfg(test)]
mod tests {
    use nuthatch_format::signed::KeyPair;

    use super::*;
    use crate::attest::AttestError;

    #[test]
    fn a_lease_is_a_promise_of_its_host_alone() {
        let host = KeyPair::from_seed(&[3; 32]);
        let lease = Lease {
            archive: ArchiveId::from_bytes([1; 32]),
            host: NodeId::from_bytes(host.public()),
            bytes: ByteCount(u64::MAX),
            granted_at: Timestamp(0),
            until: Timestamp(0).after(LEASE_TERM),
        };
        let signed = Attestation::sign(&lease, &host).unwrap();
        assert_eq!(signed.open(), Ok(lease.clone()));
        let stranger = KeyPair::from_seed(&[4; 32]);
        assert_eq!(
            Attestation::sign(&lease, &stranger),
            Err(AttestError::OtherSigner)
        );
    }
}
