use nuthatch_format::codec;
use nuthatch_format::signed::KeyPair;
use nuthatch_format::{LineId, SegmentId};
use proptest::prelude::*;

use super::*;
use crate::attest::Nonce;
use crate::audit::{CHALLENGES_PER_QUESTION_MAX, Challenge, PROOF_LEN_MAX, Proof};
use crate::bulk::Refusal;
use crate::hostile;
use crate::inventory::{Holding, InventoryDigests, InventoryRoot};
use crate::lease::{Lease, LeaseRefusal};
use crate::ledger::{Balance, Stance};
use nuthatch_erasure::ShardIndex;

fn key() -> KeyPair {
    KeyPair::from_seed(&[1; 32])
}

fn archive() -> ArchiveId {
    ArchiveId::from_bytes([2; 32])
}

fn host() -> NodeId {
    NodeId::from_bytes(key().public())
}

fn holding(index: u8) -> Holding {
    Holding {
        label: LabelId::from_bytes([3; 32]),
        index: ShardIndex(index),
    }
}

fn hello() -> Hello {
    Hello {
        circle: Some(CircleId::from_bytes([1; 32])),
        roster: Digest([2; 32]),
        name: Name::cut("attic"),
        agent: Name::cut("nuthatch 0.1.0"),
        capabilities: Capabilities::HOST.with(Capabilities::GENEROUS),
        free: ByteCount(u64::MAX),
        certificate: Some(CertificateBytes::new(vec![1; 300]).unwrap()),
        at: Timestamp(5),
    }
}

fn requests() -> Vec<Request> {
    let certificate = CertificateBytes::new(vec![1; 300]).unwrap();
    vec![
        Request::Hello(hello()),
        Request::Hello(Hello {
            circle: None,
            certificate: None,
            ..hello()
        }),
        Request::Roster(RosterRequest {
            circle: CircleId::from_bytes([1; 32]),
            after: Some(Digest([1; 32])),
        }),
        Request::PutRoster(List::first_of([RosterItem::Statement(
            StatementBytes::new(vec![1]).unwrap(),
        )])),
        Request::Lease(LeaseRequest {
            archive: archive(),
            certificate,
            bytes: ByteCount(1 << 40),
        }),
        Request::Inventory(InventoryRequest {
            archive: archive(),
            nonce: Nonce([1; 32]),
        }),
        Request::InventoryPage(InventoryPageRequest {
            archive: archive(),
            prefix: 255,
            after: Some(holding(255)),
        }),
        Request::JournalHeads(archive()),
        Request::Statements(StatementsRequest {
            archive: archive(),
            after: Some(StatementId::from_bytes([1; 32])),
        }),
        Request::PutStatements(PutStatements {
            archive: archive(),
            statements: List::first_of([StatementBytes::new(vec![1]).unwrap()]),
        }),
        Request::Introductions(archive()),
        Request::StripeLabels(StripeLabelsRequest {
            archive: archive(),
            labels: List::first_of([LabelId::from_bytes([1; 32])]),
        }),
        Request::Audit(AuditRequest {
            archive: archive(),
            challenges: List::first_of([Challenge {
                label: LabelId::from_bytes([3; 32]),
                index: ShardIndex(255),
                group: u32::MAX,
            }]),
        }),
        Request::Ledger(ledger(Balance::Even, Stance::Paused)),
        Request::Ledger(LedgerView {
            archive: None,
            evidence: None,
            allowed: None,
            needed: None,
            ..ledger(Balance::Releasable, Stance::Leaving)
        }),
    ]
}

fn ledger(balance: Balance, stance: Stance) -> LedgerView {
    let digests = InventoryDigests::of([holding(0)]).unwrap();
    LedgerView {
        archive: Some(archive()),
        keeps: ByteCount(u64::MAX),
        kept: ByteCount(1),
        evidence: Some(Attestation::sign(&root(&digests), &key()).unwrap()),
        allowed: Some(ByteCount(5)),
        balance,
        stance,
        needed: Some(u64::MAX),
    }
}

fn root(digests: &InventoryDigests) -> InventoryRoot {
    InventoryRoot {
        archive: archive(),
        host: host(),
        nonce: Nonce([1; 32]),
        root: digests.table().root(),
        count: digests.count(),
        bytes: ByteCount(2),
        at: Timestamp(1),
    }
}

fn segment_receipt(sequence: u64) -> Attestation<SegmentReceipt> {
    let receipt = SegmentReceipt {
        archive: archive(),
        host: host(),
        at: Timestamp(u64::MAX),
        line: LineId::from_bytes([1; 16]),
        sequence,
        segment: SegmentId::from_bytes([1; 32]),
    };
    Attestation::sign(&receipt, &key()).unwrap()
}

fn replies() -> Vec<Reply> {
    let digests = InventoryDigests::of([holding(0), holding(1)]).unwrap();
    let root = root(&digests);
    let lease = Lease {
        archive: archive(),
        host: host(),
        bytes: ByteCount(1),
        granted_at: Timestamp(1),
        until: Timestamp(2),
    };
    vec![
        Reply::Refused(ErrorCode::NotAllowed),
        Reply::Refused(ErrorCode::Busy(Span::from_secs(1))),
        Reply::Hello(hello()),
        Reply::Roster(RosterPage {
            items: List::empty(),
            next: None,
        }),
        Reply::Done,
        Reply::Lease(LeaseAnswer::Granted(Attestation::sign(&lease, &key()).unwrap())),
        Reply::Lease(LeaseAnswer::Refused(LeaseRefusal::Balance)),
        Reply::Inventory(InventoryReply {
            root: Attestation::sign(&root, &key()).unwrap(),
            table: digests.table(),
        }),
        Reply::InventoryPage(InventoryPage {
            holdings: List::first_of([holding(0), holding(1)]),
            complete: true,
        }),
        Reply::JournalHeads(List::first_of([segment_receipt(7)])),
        Reply::Statements(StatementsPage {
            statements: List::empty(),
            next: Some(StatementId::from_bytes([1; 32])),
        }),
        Reply::Introductions(List::first_of([Introduction {
            node: host(),
            addresses: None,
        }])),
        Reply::Labels(List::first_of([LabelBytes::new(vec![1; 100]).unwrap()])),
        Reply::Audit(AuditReply::Proofs(List::first_of([
            Proof::Slice(Opaque::new(vec![1; 100]).unwrap()),
            Proof::Missing,
        ]))),
        Reply::Audit(AuditReply::Detached),
        Reply::Ledger(ledger(
            Balance::Warned(Timestamp(u64::MAX)),
            Stance::PausedUntil(Timestamp(1)),
        )),
        Reply::Ledger(ledger(Balance::Stopped(Timestamp(1)), Stance::Open)),
    ]
}

#[test]
fn a_question_of_a_newer_program_is_told_from_one_that_is_none() {
    let last = requests().iter().map(|request| codec::encode(request)[1]).max();
    assert_eq!(last.map(u32::from), Some(REQUEST_LAST));
    for newer in [&[0x82, 13, 0xf6][..], &[0x81, 0x18, 200], &[0x82, 13]] {
        assert!(codec::decode::<Request>(newer).is_err());
        assert_eq!(ErrorCode::of_unread(newer), ErrorCode::Version);
    }
    for none in [
        &[][..],
        &[0x82, 10, 0xf6],
        &[0x9f, 11, 0xff],
        &[11],
        &[0x80],
        &[0xff; 9],
    ] {
        assert!(codec::decode::<Request>(none).is_err());
        assert_eq!(ErrorCode::of_unread(none), ErrorCode::Malformed);
    }
}

#[test]
fn every_message_has_one_encoding() {
    requests().iter().for_each(hostile::assert_one_encoding);
    replies().iter().for_each(hostile::assert_one_encoding);
}

#[test]
fn what_the_asker_may_not_know_is_refused_in_the_same_bytes() {
    assert_eq!(
        codec::encode(&Reply::Refused(ErrorCode::NotAllowed)),
        [0x82, 0x00, 0x81, 0x00]
    );
    let refused = crate::bulk::Frame::Refused(Refusal::NotAllowed);
    assert_eq!(refused.to_wire(), [3, 0, 0, 0, 0x82, 0x07, 0x04]);
}

#[test]
fn the_longest_lists_fit_a_message() {
    let heads = Reply::JournalHeads(List::new(vec![segment_receipt(u64::MAX); LINES_MAX]).unwrap());
    let holdings = (0..HOLDINGS).map(|number| Holding {
        label: LabelId::from_bytes([(number / 256) as u8; 32]),
        index: ShardIndex(number as u8),
    });
    let page = Reply::InventoryPage(InventoryPage {
        holdings: List::new(holdings.collect()).unwrap(),
        complete: false,
    });
    let longest = Opaque::new(vec![0; PROOF_LEN_MAX]).unwrap();
    let proofs = vec![Proof::Slice(longest); CHALLENGES_PER_QUESTION_MAX];
    let proofs = Reply::Audit(AuditReply::Proofs(List::new(proofs).unwrap()));
    for reply in [heads, page, proofs] {
        let bytes = codec::encode(&reply);
        assert!(bytes.len() <= MESSAGE_LEN_MAX);
        assert_eq!(codec::decode::<Reply>(&bytes), Ok(reply));
    }
}

const HOLDINGS: usize = crate::inventory::HOLDINGS_PER_PAGE_MAX;

#[test]
fn a_page_takes_what_fits_and_at_least_one() {
    let statement = |len: usize| StatementBytes::new(vec![0; len]).unwrap();
    let page: List<StatementBytes, STATEMENTS_PER_PAGE_MAX> =
        page_of((0..10).map(|_| statement(STATEMENT_LEN_MAX)), |bytes| {
            bytes.len() + 5
        });
    assert_eq!(page.len(), 3);
    let reply = Reply::Statements(StatementsPage {
        statements: page,
        next: Some(StatementId::from_bytes([1; 32])),
    });
    assert!(codec::encode(&reply).len() <= MESSAGE_LEN_MAX);
    let small: List<StatementBytes, STATEMENTS_PER_PAGE_MAX> =
        page_of((0..1000).map(|_| statement(1)), |bytes| bytes.len() + 5);
    assert_eq!(small.len(), STATEMENTS_PER_PAGE_MAX);
}

#[test]
fn unknown_capabilities_are_carried_and_ignored() {
    let newer = Capabilities(1 << 31).with(Capabilities::HOST);
    assert!(newer.has(Capabilities::HOST) && !newer.has(Capabilities::GENEROUS));
    let request = Request::Hello(Hello {
        capabilities: newer,
        ..hello()
    });
    hostile::assert_one_encoding(&request);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn garbage_is_never_a_message_of_another_encoding(
        garbage in proptest::collection::vec(any::<u8>(), 0..300),
        place in any::<usize>(),
        flip in 1u8..=255,
    ) {
        for request in requests() {
            hostile::assert_garbage_is_harmless::<Request>(&codec::encode(&request), &garbage, (place, flip))?;
        }
        for reply in replies() {
            hostile::assert_garbage_is_harmless::<Reply>(&codec::encode(&reply), &garbage, (place, flip))?;
        }
    }
}
