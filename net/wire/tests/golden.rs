//! Signed objects that outlive the program that made them: each from fixed keys, compared with files that are added once and never edited.
//!
//! The files lie in `tests/golden/v1` of the workspace. `NUTHATCH_GOLDEN=write cargo test -p nuthatch-wire --test golden` writes those that
//! are missing and touches no other. A failure here means that receipts, leases and invitations in the field no longer hold.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not seen as tests (rust-clippy issue 11119)"
)]

use std::fs;
use std::path::PathBuf;

use nuthatch_format::codec::{self, DecodeReason};
use nuthatch_format::signed::{KeyPair, Signed};
use nuthatch_format::{
    ArchiveId, ByteCount, CircleId, DeviceId, LabelId, LineId, NodeId, SegmentId, ShardId, Timestamp,
};
use nuthatch_wire::attest::AttestError;
use nuthatch_wire::claim::ClaimProof;
use nuthatch_wire::inventory::{Holding, InventoryDigests, InventoryRoot};
use nuthatch_wire::lease::{CertificateBytes, LEASE_TERM, Lease};
use nuthatch_wire::membership::{
    Address, Admission, Charter, Invitation, InviteTerms, Name, NodeAddresses, Removal,
};
use nuthatch_wire::receipt::{Receipt, SegmentReceipt};
use nuthatch_wire::{Attestation, Attested, List, Nonce, ShardIndex};

/// A moment in 2026.
const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// The bytes of this file; written first where it is missing and writing was asked for.
fn golden(name: &str, now: &[u8]) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/v1");
    let path = folder.join(name);
    if !path.exists() && std::env::var_os("NUTHATCH_GOLDEN").is_some_and(|value| value == "write") {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, now).unwrap();
    }
    let found = fs::read(&path);
    assert!(
        found.is_ok(),
        "{name} is missing; write it once with NUTHATCH_GOLDEN=write"
    );
    found.unwrap()
}

/// The body is still signed to the same bytes, and the file still opens to the same body.
fn check<T: Attested + PartialEq + std::fmt::Debug>(name: &str, body: &T, key: &KeyPair) -> Attestation<T> {
    let now = Attestation::sign(body, key).unwrap();
    let then = golden(name, &now.to_bytes());
    assert!(then == now.to_bytes(), "{name} is signed to other bytes now");
    assert_eq!(
        &Attestation::<T>::from_bytes(&then).unwrap().open().unwrap(),
        body,
        "{name}"
    );
    now
}

fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

fn node(seed: u8) -> NodeId {
    NodeId::from_bytes(key(seed).public())
}

const HOST: u8 = 1;
const JOINER: u8 = 2;
const CIRCLE: u8 = 3;
const ARCHIVE: u8 = 4;
const DEVICE: u8 = 5;
const INVITATION: u8 = 6;

fn archive() -> ArchiveId {
    ArchiveId::from_bytes(key(ARCHIVE).public())
}

fn circle() -> CircleId {
    CircleId::from_bytes(key(CIRCLE).public())
}

#[test]
fn receipts_leases_and_inventories_are_signed_as_ever() {
    let (archive, host) = (archive(), node(HOST));
    let (label, index) = (LabelId::from_bytes([0xaa; 32]), ShardIndex(3));
    let receipt = Receipt {
        archive,
        host,
        at: NOW,
        label,
        index,
        shard: ShardId::from_bytes([0xbb; 32]),
    };
    check("receipt.cbor", &receipt, &key(HOST));
    let segment = SegmentReceipt {
        archive,
        host,
        at: NOW,
        line: LineId::from_bytes([0xcc; 16]),
        sequence: 70_000,
        segment: SegmentId::from_bytes([0xdd; 32]),
    };
    check("segment-receipt.cbor", &segment, &key(HOST));
    let lease = Lease {
        archive,
        host,
        bytes: ByteCount(200_000_000_000),
        granted_at: NOW,
        until: NOW.after(LEASE_TERM),
    };
    check("lease.cbor", &lease, &key(HOST));
    let digests = InventoryDigests::of([Holding { label, index }]).unwrap();
    let inventory = InventoryRoot {
        archive,
        host,
        nonce: Nonce([0xee; 32]),
        root: digests.table().root(),
        count: 1,
        bytes: ByteCount(5_592_406),
        at: NOW,
    };
    check("inventory-root.cbor", &inventory, &key(HOST));
}

#[test]
fn a_circles_objects_are_signed_as_ever() {
    let charter = Charter {
        circle: circle(),
        epoch: 0,
        name: Name::new("friends").unwrap(),
        admins: List::new(vec![node(HOST)]).unwrap(),
    };
    check("charter.cbor", &charter, &key(CIRCLE));
    let removal = Removal {
        circle: circle(),
        node: node(JOINER),
        epoch: 0,
        removed_by: key(HOST).public().into(),
        at: NOW,
    };
    check("removal.cbor", &removal, &key(HOST));
    let addresses = NodeAddresses {
        circle: circle(),
        node: node(JOINER),
        addresses: List::new(vec![Address::new("/ip4/192.0.2.7/tcp/24480").unwrap()]).unwrap(),
        archive: Some(archive()),
        at: NOW,
    };
    check("node-addresses.cbor", &addresses, &key(JOINER));
}

#[test]
fn what_was_signed_in_another_version_is_named() {
    let charter = Charter {
        circle: circle(),
        epoch: 0,
        name: Name::new("friends").unwrap(),
        admins: List::new(vec![node(HOST)]).unwrap(),
    };
    let now = Attestation::sign(&charter, &key(CIRCLE)).unwrap();
    let mut body = codec::decode::<Signed>(&now.to_bytes()).unwrap().body.to_vec();
    for found in [0, 2, 9] {
        body[2] = found;
        let other = key(CIRCLE).sign(Charter::CONTEXT, charter.scope(), body.clone());
        let refused = Attestation::<Charter>::from_bytes(&codec::encode(&other))
            .unwrap()
            .open();
        let found = u16::from(found);
        let reason = DecodeReason::Version { found, known: 1 };
        assert!(
            matches!(&refused, Err(AttestError::Decode(error)) if error.reason == reason),
            "{refused:?}"
        );
    }
}

#[test]
fn an_invitation_leads_to_the_same_admission_as_ever() {
    let terms = InviteTerms {
        circle: circle(),
        epoch: 0,
        expires: Timestamp(NOW.0 + 604_800_000),
        uses: 1,
        addresses: vec![Address::new("/ip4/192.0.2.1/tcp/24480").unwrap()],
    };
    let invitation = Invitation::issue(terms, &key(HOST), &[INVITATION; 32]).unwrap();
    check("invitation.cbor", invitation.terms(), &key(HOST));
    let line = String::from_utf8(golden("invitation.txt", invitation.to_line().as_bytes())).unwrap();
    assert_eq!(line, invitation.to_line());
    let read = Invitation::parse_line(&line).unwrap();
    let proof = read
        .prove(
            node(JOINER),
            Name::new("attic").unwrap(),
            node(HOST),
            Nonce([0xee; 32]),
        )
        .unwrap();
    let admission = Admission {
        circle: circle(),
        admitted_by: node(HOST),
        admitted_at: NOW,
        approved: false,
        invitation: read.cert().clone(),
        proof,
    };
    check("admission.cbor", &admission, &key(HOST));
}

#[test]
fn a_claim_is_signed_as_ever() {
    let claim = ClaimProof {
        archive: archive(),
        device: DeviceId::from_bytes(key(DEVICE).public()),
        claimant: node(JOINER),
        host: node(HOST),
        nonce: Nonce([0xee; 32]),
        certificate: CertificateBytes::new(b"stands for a signed certificate".to_vec()).unwrap(),
    };
    check("claim.cbor", &claim, &key(DEVICE));
}
