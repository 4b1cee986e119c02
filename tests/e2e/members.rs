//! What a member may do with an archive that is not its own: nothing but keep it. And what garbage does to a node: nothing.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;

use nuthatch_format::codec;
use nuthatch_format::journal::{Draft, Position, SignedSegment};
use nuthatch_format::keys::{ArchiveKeys, DeviceKeys};
use nuthatch_format::label::SignedLabel;
use nuthatch_format::{LabelId, LineId, Timestamp};
use nuthatch_transport::ControlProtocol;
use nuthatch_wire::ShardIndex;
use nuthatch_wire::attest::Attestation;
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::bulk::{
    CREDIT_MAX, Data, Frame, GetRange, GetSegments, PutSegments, PutShard, Refusal, SEGMENT_LEN_MAX, Segment,
};
use nuthatch_wire::inventory::{Holding, InventoryPageRequest};
use nuthatch_wire::lease::{LeaseAnswer, LeaseRefusal, LeaseRequest};
use nuthatch_wire::membership::{Address, JoinReply, NodeAddresses};
use nuthatch_wire::message::{ErrorCode, PutStatements, Reply, Request, RosterItem, StripeLabelsRequest};

use crate::attacker::{Attacker, Device, certificate, questions, reading};
use crate::circle::Circle;
use crate::harness::{Node, World};
use crate::strangers::{circle_with_archive, unknown_archive};

/// "Not allowed" in control, as PROTOCOL.md gives it.
const NOT_ALLOWED: [u8; 4] = [0x82, 0x00, 0x81, 0x00];

/// A member by a true invitation, whose word is its own.
pub(crate) fn member(circle: &Circle, number: u8) -> Attacker {
    let attacker = Attacker::new(number);
    let line = circle.owner.0.invite(&[]);
    for victim in [&circle.owner.1, &circle.hosts[0].1] {
        let petition = attacker.petition(victim, &line);
        let reply = attacker.join(victim, &petition);
        assert!(matches!(reply, JoinReply::Admitted(_)), "{reply:?}");
    }
    attacker
}

/// A device that may read, let in.
fn reader(keys: &ArchiveKeys, host: &Node) -> Device {
    let device = Device::of(keys, 60);
    device.claims(host);
    device
}

/// All that a host holds of the reader's archive, and what it says of its statements and journals' heads.
fn state(device: &Device, host: &Node) -> (Vec<Holding>, Reply, usize) {
    let mut holdings = Vec::new();
    for prefix in 0..=u8::MAX {
        let page = Request::InventoryPage(InventoryPageRequest {
            archive: device.archive,
            prefix,
            after: None,
        });
        let Reply::InventoryPage(page) = device.attacker.reply(host, &page) else {
            panic!("no page");
        };
        holdings.extend(page.holdings.into_vec());
    }
    let statements = reading(device.archive, LabelId::from_bytes([1; 32])).swap_remove(3);
    let heads = Request::JournalHeads(device.archive);
    let Reply::JournalHeads(heads) = device.attacker.reply(host, &heads) else {
        panic!("no heads");
    };
    (holdings, device.attacker.reply(host, &statements), heads.len())
}

fn label(device: &Device, host: &Node, id: LabelId) -> SignedLabel {
    let asked = Request::StripeLabels(StripeLabelsRequest {
        archive: device.archive,
        labels: List::first_of([id]),
    });
    let Reply::Labels(labels) = device.attacker.reply(host, &asked) else {
        panic!("no labels");
    };
    SignedLabel::parse(labels.first().expect("the label is here")).expect("a label")
}

fn put(label: &SignedLabel, index: u8) -> Frame {
    Frame::PutShard(PutShard {
        label: Opaque::new(label.bytes().to_vec()).unwrap(),
        index: ShardIndex(index),
    })
}

#[test]
fn a_member_reads_and_lists_nothing_of_anothers_archive() {
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 1);
    let host = &circle.hosts[0].1;
    let device = reader(&keys, host);
    let (holdings, ..) = state(&device, host);
    let held = *holdings.first().expect("something is kept");
    let attacker = member(&circle, 50);
    let hosted = keys.archive_id();
    for archive in [hosted, unknown_archive().archive_id()] {
        for request in reading(archive, held.label) {
            let answer = attacker.control(host, &request).unwrap();
            assert_eq!(answer, NOT_ALLOWED, "{request:?}");
        }
        let range = Frame::GetRange(GetRange {
            archive,
            label: held.label,
            index: held.index,
            offset: 0,
            len: 16 << 10,
            credit: 1 << 20,
        });
        let segments = Frame::GetSegments(GetSegments {
            archive,
            line: LineId::from_bytes([0; 16]),
            from_sequence: 0,
            credit: 1 << 20,
        });
        for frame in [range, segments] {
            let answer = attacker.bulk(host, &frame);
            assert_eq!(
                answer,
                Some(Frame::Refused(Refusal::NotAllowed)),
                "{}",
                frame.name()
            );
        }
    }
}

#[test]
fn a_member_adds_and_changes_nothing_of_anothers_archive() {
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 1);
    let host = &circle.hosts[0].1;
    let device = reader(&keys, host);
    let before = state(&device, host);
    let attacker = member(&circle, 50);
    let forger = DeviceKeys::generate(&[50; 64], "forger").unwrap();

    // A label in the archive's name that no journal names, by a device that the archive does not know, and by one that it does.
    let mut body = label(&device, host, before.0[0].label).label().clone();
    body.nonce = [5; 16];
    for signer in [&forger, &device.keys] {
        let answer = attacker.bulk(host, &put(&body.clone().sign(signer), 0));
        assert_eq!(answer, Some(Frame::Refused(Refusal::NotBelieved)));
    }
    body.archive = unknown_archive().archive_id();
    let answer = attacker.bulk(host, &put(&body.sign(&forger), 0));
    assert_eq!(answer, Some(Frame::Refused(Refusal::NoLease)));

    // A segment by a device that is not certified, even if it had the archive's writer keys.
    let segment = SignedSegment::build(
        &keys.writer,
        &forger,
        &Draft {
            position: Position::begin(&forger, [1; 16], None),
            entries: &[],
            heads: &[],
            time: Timestamp(1),
        },
    )
    .unwrap();
    let mut stream = attacker.open_bulk(host).unwrap();
    let opening = Frame::PutSegments(PutSegments {
        archive: keys.archive_id(),
    });
    assert!(matches!(
        attacker.say(&mut stream, &opening),
        Some(Frame::Accept(_))
    ));
    let bytes = Opaque::new(segment.bytes().to_vec()).unwrap();
    let answer = attacker.say(&mut stream, &Frame::Segment(Segment { bytes }));
    assert_eq!(answer, Some(Frame::Refused(Refusal::NotAllowed)));

    // Statements by another key, and a lease by another archive's certificate.
    let foreign = certificate(&unknown_archive(), &forger, attacker.node());
    let statements = Request::PutStatements(PutStatements {
        archive: keys.archive_id(),
        statements: List::first_of([Opaque::new(foreign.bytes().to_vec()).unwrap()]),
    });
    assert_eq!(attacker.reply(host, &statements), Reply::Done);
    let lease = Request::Lease(LeaseRequest {
        archive: keys.archive_id(),
        certificate: Opaque::new(foreign.bytes().to_vec()).unwrap(),
        bytes: nuthatch_format::ByteCount(1),
    });
    let refused = Reply::Lease(LeaseAnswer::Refused(LeaseRefusal::NotCertified));
    assert_eq!(attacker.reply(host, &lease), refused);

    assert_eq!(state(&device, host), before);
    circle.owner.0.run(["verify", "--read-data"]).ended(0);
}

#[test]
fn garbage_stops_nobody() {
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 1);
    let host = &circle.hosts[0].1;
    let attacker = member(&circle, 50);
    let malformed = codec::encode(&Reply::Refused(ErrorCode::Malformed));
    for garbage in [vec![], vec![0xff; 100_000], vec![0x9f; 256 << 10]] {
        let answer = attacker.ask(host, ControlProtocol::Control, &garbage).unwrap();
        assert_eq!(answer, malformed);
        for protocol in [ControlProtocol::Join, ControlProtocol::Claim] {
            let answer = attacker.ask(host, protocol, &garbage).unwrap();
            assert!(answer.len() <= 4, "{answer:?}");
        }
    }
    let archive = keys.archive_id();
    let data = Frame::Data(Data {
        offset: u64::MAX,
        len: u32::MAX,
        slice: Opaque::new(vec![0; 1000]).unwrap(),
    });
    let out_of_turn = [
        data,
        Frame::Finish,
        Frame::Busy(nuthatch_wire::bulk::Busy {
            retry_after: nuthatch_format::Span(u64::MAX),
        }),
        Frame::GetSegments(GetSegments {
            archive,
            line: LineId::from_bytes([0; 16]),
            from_sequence: u64::MAX,
            credit: CREDIT_MAX + 1,
        }),
        Frame::GetRange(GetRange {
            archive,
            label: LabelId::from_bytes([0; 32]),
            index: ShardIndex(255),
            offset: u64::MAX,
            len: u64::MAX,
            credit: u64::MAX,
        }),
    ];
    for frame in &out_of_turn {
        let answer = attacker.bulk(host, frame);
        assert!(
            matches!(answer, None | Some(Frame::Refused(_))),
            "{}: {answer:?}",
            frame.name()
        );
    }
    // A segment that is none ends the operation; another one after it is out of turn and ends the stream.
    let mut stream = attacker.open_bulk(host).unwrap();
    attacker.say(&mut stream, &Frame::PutSegments(PutSegments { archive }));
    let garbage = Frame::Segment(Segment {
        bytes: Opaque::new(vec![0; SEGMENT_LEN_MAX]).unwrap(),
    });
    let answer = attacker.say(&mut stream, &garbage);
    assert_eq!(answer, Some(Frame::Refused(Refusal::Damaged)));
    assert_eq!(attacker.say(&mut stream, &garbage), None);
    // What is no libp2p at all.
    for bytes in [&vec![0_u8; 70_000][..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 3]] {
        let port = host.address().rsplit("/tcp/").next().unwrap();
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        // It may hang up at any point.
        drop(socket.write_all(bytes));
    }
    circle.owner.0.run(["verify", "--read-data"]).ended(0);
    let device = reader(&keys, host);
    assert!(!state(&device, host).0.is_empty());
}

#[test]
fn a_member_that_signs_its_addresses_without_end_is_heard_now_and_then() {
    const SIGNED: u64 = 60;
    /// What is taken at once, and a few changes by others meanwhile.
    const CHANGES_MAX: usize = 20;
    let world = World::new();
    let circle = Circle::of(&world, 1, &[]);
    let host = &circle.hosts[0].1;
    let attacker = member(&circle, 50);
    let hello = questions(unknown_archive().archive_id(), LabelId::from_bytes([1; 32]))
        .into_iter()
        .find(|question| matches!(question, Request::Hello(_)))
        .unwrap();
    let greeted = || match attacker.reply(host, &hello) {
        Reply::Hello(hello) => hello,
        other => panic!("no greeting: {other:?}"),
    };
    let mut rosters = BTreeSet::new();
    for at in 1..=SIGNED {
        let word = NodeAddresses {
            circle: greeted().circle.unwrap(),
            node: attacker.node(),
            addresses: List::first_of([Address::cut(&format!("/ip4/192.0.2.1/tcp/{at}"))]),
            archive: None,
            at: Timestamp(at),
        };
        let signed = Attestation::sign(&word, &attacker.key).unwrap();
        let put = Request::PutRoster(List::first_of([RosterItem::Addresses(signed)]));
        assert_eq!(attacker.reply(host, &put), Reply::Done);
        rosters.insert(greeted().roster);
    }
    assert!((2..=CHANGES_MAX).contains(&rosters.len()), "{}", rosters.len());
}
