//! For tests: keys by number, and a small circle.

use nuthatch_format::signed::KeyPair;
use nuthatch_format::statement::{Capabilities, Certificate, SignedStatement, Statement};
use nuthatch_format::{ArchiveId, ByteCount, CircleId, DeviceId, NodeId, Timestamp};

use super::*;
use crate::attest::{Attestation, Nonce};
use crate::bounded::{List, Opaque};
use crate::lease::CertificateBytes;
use crate::message::RosterItem;

pub(crate) const CIRCLE: u8 = 100;
pub(crate) const ADMIN: u8 = 1;
pub(crate) const NOW: Timestamp = Timestamp(1000);
pub(crate) const EXPIRES: Timestamp = Timestamp(2000);

pub(crate) fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

pub(crate) fn node(seed: u8) -> NodeId {
    NodeId::from_bytes(key(seed).public())
}

pub(crate) fn circle() -> CircleId {
    CircleId::from_bytes(key(CIRCLE).public())
}

pub(crate) fn archive(seed: u8) -> ArchiveId {
    ArchiveId::from_bytes(key(seed).public())
}

pub(crate) fn charter(epoch: u32, admins: &[u8]) -> RosterItem {
    let mut admins: Vec<NodeId> = admins.iter().map(|&admin| node(admin)).collect();
    admins.sort_unstable();
    let charter = Charter {
        circle: circle(),
        epoch,
        name: Name::cut("friends"),
        admins: List::first_of(admins),
    };
    RosterItem::Charter(Attestation::sign(&charter, &key(CIRCLE)).unwrap())
}

/// A circle of one admin.
pub(crate) fn founded() -> Roster {
    let mut roster = Roster::new(circle());
    roster.merge([charter(0, &[ADMIN])]);
    roster
}

pub(crate) fn invitation(inviter: u8, secret: u8, uses: u32) -> Invitation {
    let terms = InviteTerms {
        circle: circle(),
        epoch: 0,
        expires: EXPIRES,
        uses,
        addresses: vec![Address::cut("/ip4/192.0.2.1/tcp/24480")],
    };
    Invitation::issue(terms, &key(inviter), &[secret; 32]).unwrap()
}

pub(crate) fn facts(joiner: u8) -> JoinFacts {
    JoinFacts {
        joiner: node(joiner),
        nonce: Nonce([joiner; 32]),
        now: NOW,
    }
}

pub(crate) fn petition(invitation: &Invitation, joiner: u8, host: u8) -> Petition {
    let name = Name::cut(&format!("node {joiner}"));
    Petition {
        invitation: invitation.cert().clone(),
        proof: invitation
            .prove(node(joiner), name, node(host), facts(joiner).nonce)
            .unwrap(),
        addresses: None,
        certificate: None,
    }
}

pub(crate) fn addresses(of: u8, archive: Option<ArchiveId>, at: u64) -> Attestation<NodeAddresses> {
    let addresses = NodeAddresses {
        circle: circle(),
        node: node(of),
        addresses: List::first_of([Address::cut("/ip4/192.0.2.2/tcp/24480")]),
        archive,
        at: Timestamp(at),
    };
    Attestation::sign(&addresses, &key(of)).unwrap()
}

pub(crate) fn certified(archive: u8, device: u8, of_node: u8) -> SignedStatement {
    let certificate = Certificate {
        device: DeviceId::from_bytes(key(device).public()),
        exchange_public: [0; 32],
        node: node(of_node),
        name: format!("device {device}"),
        capabilities: Capabilities::DEFAULT,
        byte_budget: ByteCount(u64::MAX),
    };
    SignedStatement::by_archive(Statement::Certified { certificate }, &key(archive), Timestamp(1)).unwrap()
}

pub(crate) fn revoked(archive: u8, device: u8) -> SignedStatement {
    let statement = Statement::Revoked {
        device: DeviceId::from_bytes(key(device).public()),
        after: Vec::new(),
    };
    SignedStatement::by_archive(statement, &key(archive), Timestamp(2)).unwrap()
}

pub(crate) fn statement(signed: &SignedStatement) -> RosterItem {
    RosterItem::Statement(Opaque::new(signed.bytes().to_vec()).unwrap())
}

pub(crate) fn certificate_bytes(signed: &SignedStatement) -> CertificateBytes {
    CertificateBytes::new(signed.bytes().to_vec()).unwrap()
}

pub(crate) fn removal(of: u8, by: u8, epoch: u32) -> RosterItem {
    let removal = Removal {
        circle: circle(),
        node: node(of),
        epoch,
        removed_by: key(by).public().into(),
        at: NOW,
    };
    RosterItem::Removal(Attestation::sign(&removal, &key(by)).unwrap())
}

/// An admission as `host` would sign it at `at`, whether or not it should.
pub(crate) fn admission(
    invitation: &Invitation,
    joiner: u8,
    host: u8,
    at: u64,
    approved: bool,
) -> RosterItem {
    let petition = petition(invitation, joiner, host);
    let admission = Admission {
        circle: circle(),
        admitted_by: node(host),
        admitted_at: Timestamp(at),
        approved,
        invitation: petition.invitation,
        proof: petition.proof,
    };
    RosterItem::Admission(Attestation::sign(&admission, &key(host)).unwrap())
}
