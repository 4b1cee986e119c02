use proptest::collection::vec;
use proptest::prelude::*;

use super::signed::Body;
use super::*;
use crate::codec::{self, Suite, Version};
use crate::id::ArchiveId;
use crate::keys::DeviceKeys;
use crate::signed::{Context, KeyPair};
use crate::units::Timestamp;

fn owner(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

fn device(seed: u8) -> DeviceKeys {
    DeviceKeys::generate(&[seed; 64], "laptop").unwrap()
}

fn archive() -> ArchiveId {
    ArchiveId::from_bytes(owner(1).public())
}

fn label(number: u8) -> LabelId {
    LabelId::from_bytes([number; 32])
}

fn certificate(device: &DeviceKeys, name: &str) -> Certificate {
    Certificate {
        device: device.id(),
        exchange_public: device.exchange_public(),
        node: NodeId::from_bytes([7; 32]),
        name: name.to_owned(),
        capabilities: Capabilities::DEFAULT,
        byte_budget: ByteCount(1 << 40),
    }
}

fn state(statement: Statement) -> SignedStatement {
    state_at(statement, 5)
}

fn state_at(statement: Statement, time: u64) -> SignedStatement {
    SignedStatement::by_archive(statement, &owner(1), Timestamp(time)).unwrap()
}

fn certified(device: &DeviceKeys) -> SignedStatement {
    state(Statement::Certified {
        certificate: certificate(device, "laptop"),
    })
}

fn end(line: u8, sequence: u64, segment: u8) -> LastBelieved {
    LastBelieved {
        line: LineId::from_bytes([line; 16]),
        sequence,
        segment: SegmentId::from_bytes([segment; 32]),
    }
}

fn set_of(statements: &[SignedStatement]) -> StatementSet {
    let mut set = StatementSet::new(archive());
    for statement in statements {
        assert_eq!(set.insert(statement.clone()), Ok(Inserted::New));
    }
    set
}

fn one_of_each() -> Vec<SignedStatement> {
    let laptop = device(2);
    vec![
        certified(&laptop),
        state(Statement::Revoked {
            device: device(3).id(),
            after: vec![end(1, 4, 9), end(2, 0, 8)],
        }),
        state(Statement::Steward {
            node: NodeId::from_bytes([1; 32]),
            byte_budget: ByteCount(5),
        }),
        state(Statement::Mirror {
            node: NodeId::from_bytes([1; 32]),
        }),
        state(Statement::Epoch {
            epoch: Epoch(2),
            grants: vec![Grant {
                device: laptop.id(),
                sealed: vec![1; 80],
            }],
        }),
        state(Statement::Delay {
            span: Span::from_days(60),
        }),
        state(Statement::Delete {
            labels: vec![label(1), label(2)],
        }),
        state(Statement::Keep {
            labels: vec![label(3)],
        }),
        SignedStatement::keep_by_device(vec![label(2)], archive(), &laptop, Timestamp(9)).unwrap(),
    ]
}

#[test]
fn every_kind_reads_back_and_is_refused_when_cut_or_changed() {
    for statement in one_of_each() {
        let bytes = statement.bytes();
        let again = SignedStatement::parse(bytes).unwrap();
        assert_eq!(again, statement);
        assert!(again.verify().is_ok());
        for at in 0..bytes.len() {
            assert!(SignedStatement::parse(&bytes[..at]).is_err());
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert!(
                SignedStatement::parse(&changed).is_err()
                    || SignedStatement::parse(&changed).unwrap().verify().is_err(),
                "byte {at}"
            );
        }
    }
}

#[test]
fn impossible_statements_are_not_made() {
    let laptop = device(2);
    let named = |name: &str| Statement::Certified {
        certificate: certificate(&laptop, name),
    };
    let mut unknown = certificate(&laptop, "x");
    unknown.capabilities = Capabilities(8);
    let refused = [
        named(""),
        named("a\nb"),
        Statement::Certified { certificate: unknown },
        Statement::Revoked {
            device: laptop.id(),
            after: vec![end(2, 0, 8), end(1, 4, 9)],
        },
        Statement::Epoch {
            epoch: Epoch(0),
            grants: Vec::new(),
        },
        Statement::Delay {
            span: Span::from_days(4000),
        },
        Statement::Delete { labels: Vec::new() },
        Statement::Delete {
            labels: vec![label(2), label(1)],
        },
        Statement::Keep {
            labels: vec![label(1), label(1)],
        },
        Statement::Delete {
            labels: vec![label(1); STATEMENT_LABELS_MAX + 1],
        },
    ];
    for statement in refused {
        assert!(
            SignedStatement::by_archive(statement.clone(), &owner(1), Timestamp(0)).is_err(),
            "{statement:?}"
        );
    }
}

#[test]
fn a_device_may_state_nothing_but_keep() {
    let laptop = device(2);
    let body = Body {
        version: Version,
        suite: Suite,
        archive: archive(),
        signer: Signer::Device { device: laptop.id() },
        time: Timestamp(1),
        statement: Statement::Delete {
            labels: vec![label(1)],
        },
    };
    let signed = laptop
        .signing
        .sign(Context::Statement, archive().as_bytes(), codec::encode(&body));
    assert!(SignedStatement::parse(&codec::encode(&signed)).is_err());
}

#[test]
fn only_statements_of_the_archive_by_its_signers_are_taken() {
    let mut set = StatementSet::new(archive());
    let foreign = SignedStatement::by_archive(
        Statement::Mirror {
            node: NodeId::from_bytes([1; 32]),
        },
        &owner(9),
        Timestamp(1),
    )
    .unwrap();
    assert_eq!(set.insert(foreign), Err(InsertError::OtherArchive));
    let laptop = device(2);
    let keep = SignedStatement::keep_by_device(vec![label(2)], archive(), &laptop, Timestamp(9)).unwrap();
    assert_eq!(set.insert(keep.clone()), Err(InsertError::UnknownDevice));
    assert_eq!(set.insert(certified(&laptop)), Ok(Inserted::New));
    assert_eq!(set.insert(keep.clone()), Ok(Inserted::New));
    assert_eq!(set.insert(keep), Ok(Inserted::Known));
    let forged = Body {
        version: Version,
        suite: Suite,
        archive: archive(),
        signer: Signer::Archive,
        time: Timestamp(1),
        statement: Statement::Mirror {
            node: NodeId::from_bytes([1; 32]),
        },
    };
    let signed = owner(9).sign(Context::Statement, archive().as_bytes(), codec::encode(&forged));
    let forged = SignedStatement::parse(&codec::encode(&signed)).unwrap();
    assert_eq!(set.insert(forged), Err(InsertError::Signature));
}

#[test]
fn revoked_beats_certified() {
    let laptop = device(2);
    let line = LineId::from_bytes([1; 16]);
    let mut set = set_of(&[certified(&laptop)]);
    assert_eq!(set.belief(&laptop.id(), &line), Belief::All);
    assert!(set.certificate_of_node(&NodeId::from_bytes([7; 32])).is_some());
    set.insert(state(Statement::Revoked {
        device: laptop.id(),
        after: vec![end(1, 4, 9)],
    }))
    .unwrap();
    set.insert(state_at(
        Statement::Certified {
            certificate: certificate(&laptop, "later"),
        },
        99,
    ))
    .unwrap();
    assert_eq!(set.certificate_of(&laptop.id()), None);
    assert_eq!(set.certificate_of_node(&NodeId::from_bytes([7; 32])), None);
    assert_eq!(set.belief(&laptop.id(), &line), Belief::UpTo(vec![end(1, 4, 9)]));
    assert_eq!(
        set.belief(&laptop.id(), &LineId::from_bytes([2; 16])),
        Belief::Nothing
    );
    assert_eq!(set.belief(&device(5).id(), &line), Belief::Nothing);
    set.insert(state(Statement::Revoked {
        device: laptop.id(),
        after: Vec::new(),
    }))
    .unwrap();
    assert_eq!(set.belief(&laptop.id(), &line), Belief::Nothing);
}

#[test]
fn a_device_that_may_not_write_is_not_believed() {
    let laptop = device(2);
    let mut certificate = certificate(&laptop, "reader");
    certificate.capabilities = Capabilities::READ;
    let set = set_of(&[state(Statement::Certified { certificate })]);
    assert_eq!(
        set.belief(&laptop.id(), &LineId::from_bytes([1; 16])),
        Belief::Nothing
    );
}

#[test]
fn keep_beats_delete_until_its_device_is_revoked() {
    let laptop = device(2);
    let mut set = set_of(&[
        certified(&laptop),
        state(Statement::Delete {
            labels: vec![label(1), label(2), label(3)],
        }),
        state(Statement::Keep {
            labels: vec![label(3)],
        }),
        SignedStatement::keep_by_device(vec![label(2)], archive(), &laptop, Timestamp(9)).unwrap(),
    ]);
    assert_eq!(
        [0, 1, 2, 3].map(|number| set.is_deleted(&label(number))),
        [false, true, false, false]
    );
    set.insert(state(Statement::Revoked {
        device: laptop.id(),
        after: Vec::new(),
    }))
    .unwrap();
    assert_eq!(
        [0, 1, 2, 3].map(|number| set.is_deleted(&label(number))),
        [false, true, true, false]
    );
}

#[test]
fn a_steward_is_dismissed_by_a_later_budget_of_zero_and_may_be_appointed_again() {
    let node = NodeId::from_bytes([1; 32]);
    let appointed = |bytes, time| {
        let byte_budget = ByteCount(bytes);
        state_at(Statement::Steward { node, byte_budget }, time)
    };
    let (first, end, again) = (appointed(5, 1), appointed(0, 2), appointed(7, 3));
    let budget = |statements: &[SignedStatement]| set_of(statements).steward_budget(&node);
    assert_eq!(budget(std::slice::from_ref(&first)), Some(ByteCount(5)));
    for both in [[first.clone(), end.clone()], [end.clone(), first.clone()]] {
        let set = set_of(&both);
        assert_eq!((set.steward_budget(&node), set.stewards().count()), (None, 0));
        assert!(set.steward_statement(&node).is_none());
        assert_eq!(set.steward_stated_at(&node), Some(Timestamp(2)));
    }
    let set = set_of(&[again.clone(), end, first]);
    assert_eq!(set.stewards().collect::<Vec<_>>(), [(node, ByteCount(7))]);
    assert_eq!(set.steward_statement(&node), Some(&again));
    assert_eq!(set.steward_budget(&NodeId::from_bytes([2; 32])), None);
}

#[test]
fn one_device_cannot_use_up_the_room() {
    let laptop = device(2);
    let mut set = set_of(&[certified(&laptop)]);
    for number in 0..DEVICE_STATEMENTS_MAX {
        let keep =
            SignedStatement::keep_by_device(vec![label(1)], archive(), &laptop, Timestamp(number as u64));
        assert_eq!(set.insert(keep.unwrap()), Ok(Inserted::New));
    }
    let more = SignedStatement::keep_by_device(vec![label(1)], archive(), &laptop, Timestamp(9999)).unwrap();
    assert_eq!(set.insert(more), Err(InsertError::Full));
    assert_eq!(set.insert(certified(&device(3))), Ok(Inserted::New));
}

#[test]
fn the_answers_do_not_depend_on_the_order() {
    let laptop = device(2);
    let mut statements = one_of_each();
    statements.push(state_at(
        Statement::Certified {
            certificate: certificate(&laptop, "renamed"),
        },
        50,
    ));
    statements.push(state_at(
        Statement::Steward {
            node: NodeId::from_bytes([1; 32]),
            byte_budget: ByteCount(3),
        },
        50,
    ));
    let answers = |set: &StatementSet| {
        (
            set.certificates().cloned().collect::<Vec<_>>(),
            set.stewards().collect::<Vec<_>>(),
            set.epoch(),
            set.delays().collect::<Vec<_>>(),
            [1, 2, 3].map(|number| set.is_deleted(&label(number))),
            set.all().map(SignedStatement::id).collect::<Vec<_>>(),
        )
    };
    let forward = answers(&set_of(&statements));
    assert_eq!(forward.0[0].name, "renamed");
    assert_eq!(forward.1[0].1, ByteCount(3));
    // The certificate first, since a device's `keep` is taken only after it.
    statements[1..].reverse();
    assert_eq!(answers(&set_of(&statements)), forward);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn garbage_is_an_error(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(SignedStatement::parse(&bytes).is_err());
        prop_assert!(codec::decode::<Body>(&bytes).is_err());
    }

    #[test]
    fn body_and_back_is_the_same(labels in proptest::collection::btree_set(any::<[u8; 32]>(), 1..20), time: u64) {
        let labels: Vec<_> = labels.into_iter().map(LabelId::from_bytes).collect();
        let statement = state_at(Statement::Delete { labels }, time);
        let bytes = codec::encode(&statement.body);
        prop_assert_eq!(codec::decode::<Body>(&bytes), Ok(statement.body));
    }
}
