use nuthatch_format::codec;
use nuthatch_format::signed::KeyPair;
use nuthatch_format::{ByteCount, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::hostile;

fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

fn node(seed: u8) -> NodeId {
    NodeId::from_bytes(key(seed).public())
}

const ARCHIVE: u8 = 1;
const DEVICE: u8 = 2;
const CLAIMANT: u8 = 3;
const HOST: u8 = 4;

fn certificate(archive: u8, device: u8, claimant: u8, capabilities: Capabilities) -> SignedStatement {
    certificate_at(1, (archive, device, claimant), capabilities)
}

fn certificate_at(
    at: u64,
    (archive, device, claimant): (u8, u8, u8),
    capabilities: Capabilities,
) -> SignedStatement {
    let certificate = Certificate {
        device: DeviceId::from_bytes(key(device).public()),
        exchange_public: [0; 32],
        node: node(claimant),
        name: "laptop".to_owned(),
        capabilities,
        byte_budget: ByteCount(u64::MAX),
    };
    SignedStatement::by_archive(Statement::Certified { certificate }, &key(archive), Timestamp(at)).unwrap()
}

fn facts() -> ClaimFacts {
    ClaimFacts {
        claimant: node(CLAIMANT),
        host: node(HOST),
        nonce: Nonce([9; 32]),
    }
}

fn proof(facts: &ClaimFacts, statement: &SignedStatement) -> Attestation<ClaimProof> {
    let claim = ClaimProof {
        archive: ArchiveId::from_bytes(key(ARCHIVE).public()),
        device: DeviceId::from_bytes(key(DEVICE).public()),
        claimant: facts.claimant,
        host: facts.host,
        nonce: facts.nonce,
        certificate: CertificateBytes::new(statement.bytes().to_vec()).unwrap(),
    };
    Attestation::sign(&claim, &key(DEVICE)).unwrap()
}

fn good() -> SignedStatement {
    certificate(ARCHIVE, DEVICE, CLAIMANT, Capabilities::DEFAULT)
}

#[test]
fn the_archives_key_and_the_devices_open_an_archive() {
    let proven = verify(&proof(&facts(), &good()), &facts()).unwrap();
    assert_eq!(proven.archive.as_bytes(), &key(ARCHIVE).public());
    assert_eq!(proven.statement, good());
}

#[test]
fn a_claim_is_bound_to_claimant_host_and_nonce() {
    let made = proof(&facts(), &good());
    for other in [
        ClaimFacts {
            claimant: node(7),
            ..facts()
        },
        ClaimFacts {
            host: node(7),
            ..facts()
        },
        ClaimFacts {
            nonce: Nonce([7; 32]),
            ..facts()
        },
    ] {
        assert_eq!(verify(&made, &other), Err(ClaimError::OtherConnection));
    }
}

#[test]
fn a_certificate_by_another_key_or_for_another_device_opens_nothing() {
    let by_another_key = certificate(7, DEVICE, CLAIMANT, Capabilities::DEFAULT);
    assert_eq!(
        verify(&proof(&facts(), &by_another_key), &facts()),
        Err(ClaimError::NotCertified)
    );
    for (device, claimant) in [(7, CLAIMANT), (DEVICE, 7)] {
        let for_another = certificate(ARCHIVE, device, claimant, Capabilities::DEFAULT);
        assert_eq!(
            verify(&proof(&facts(), &for_another), &facts()),
            Err(ClaimError::OtherDevice)
        );
    }
    let write_only = certificate(ARCHIVE, DEVICE, CLAIMANT, Capabilities::WRITE);
    assert_eq!(
        verify(&proof(&facts(), &write_only), &facts()),
        Err(ClaimError::MayNotRead)
    );
}

#[test]
fn a_claim_whose_signature_does_not_hold_opens_nothing() {
    let mut bytes = proof(&facts(), &good()).to_bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = Attestation::from_bytes(&bytes).unwrap();
    assert!(matches!(verify(&forged, &facts()), Err(ClaimError::Attest(_))));
}

#[test]
fn a_revoked_device_and_an_archive_that_is_not_here_are_refused() {
    let archive = ArchiveId::from_bytes(key(ARCHIVE).public());
    let mut held = StatementSet::new(archive);
    let made = proof(&facts(), &good());
    assert!(decide(&made, &facts(), |_| Some(&held)).is_ok());
    assert_eq!(decide(&made, &facts(), |_| None), Err(ClaimError::NotHere));
    let revoked = Statement::Revoked {
        device: DeviceId::from_bytes(key(DEVICE).public()),
        after: Vec::new(),
    };
    held.insert(SignedStatement::by_archive(revoked, &key(ARCHIVE), Timestamp(2)).unwrap())
        .unwrap();
    assert_eq!(decide(&made, &facts(), |_| Some(&held)), Err(ClaimError::Revoked));
}

#[test]
fn a_certificate_that_a_later_one_has_replaced_claims_nothing() {
    let archive = ArchiveId::from_bytes(key(ARCHIVE).public());
    let mut held = StatementSet::new(archive);
    let certified = |claimant, at| certificate_at(at, (ARCHIVE, DEVICE, claimant), Capabilities::DEFAULT);
    held.insert(good()).unwrap();
    // The device has moved to another node: its old one has no claim any more.
    let moved = certified(CLAIMANT + 10, 2);
    held.insert(moved).unwrap();
    let old = proof(&facts(), &good());
    assert_eq!(
        decide(&old, &facts(), |_| Some(&held)),
        Err(ClaimError::Superseded)
    );
    // A still later one, which is not here yet, opens.
    let back = proof(&facts(), &certified(CLAIMANT, 3));
    assert!(decide(&back, &facts(), |_| Some(&held)).is_ok());
}

#[test]
fn every_refusal_is_the_same_bytes() {
    // An array of one: variant 0. There is nothing in it that could differ.
    assert_eq!(codec::encode(&ClaimReply::Refused), [0x81, 0x00]);
}

#[test]
fn claim_messages_have_one_encoding() {
    hostile::assert_one_encoding(&ClaimRequest::Hello);
    hostile::assert_one_encoding(&ClaimRequest::Proof(proof(&facts(), &good())));
    hostile::assert_one_encoding(&ClaimReply::Refused);
    hostile::assert_one_encoding(&ClaimReply::Nonce(Nonce([1; 32])));
    hostile::assert_one_encoding(&ClaimReply::Granted(ClaimGrant {
        circle: Some(CircleId::from_bytes([1; 32])),
        introductions: List::first_of([Introduction {
            node: node(1),
            addresses: None,
        }]),
    }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_claims_nothing(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        place in any::<usize>(),
        flip in 1u8..=255,
    ) {
        let request = codec::encode(&ClaimRequest::Proof(proof(&facts(), &good())));
        hostile::assert_garbage_is_harmless::<ClaimRequest>(&request, &garbage, (place, flip))?;
        let mut changed = request;
        let place = place % changed.len();
        changed[place] ^= flip;
        if let Ok(ClaimRequest::Proof(proof)) = codec::decode(&changed) {
            prop_assert!(verify(&proof, &facts()).is_err());
        }
    }
}
