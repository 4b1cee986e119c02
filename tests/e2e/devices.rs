//! What a stolen device can do with the archive that has certified it: add garbage, and take nothing away.

use nuthatch_format::Timestamp;
use nuthatch_format::journal::{Draft, Entry, Position, SignedSegment};
use nuthatch_format::keys::ArchiveKeys;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::slice::{self, Outboard};
use nuthatch_wire::ShardIndex;
use nuthatch_wire::bounded::Opaque;
use nuthatch_wire::bulk::{Data, Frame, GetSegments, PutSegments, PutShard, Segment};
use nuthatch_wire::message::{Reply, Request};

use crate::attacker::Device;
use crate::harness::{Node, World};
use crate::strangers::circle_with_archive;

/// The entries of all lines that a host shows to the device, and the greatest id of a line.
fn journal(device: &Device, keys: &ArchiveKeys, host: &Node) -> Vec<(SignedSegment, Vec<Entry>)> {
    let Reply::JournalHeads(heads) = device
        .attacker
        .reply(host, &Request::JournalHeads(device.archive))
    else {
        panic!("no heads");
    };
    let mut found = Vec::new();
    for head in &heads {
        let line = head.open().unwrap().line;
        for from_sequence in 0..=head.open().unwrap().sequence {
            let asked = Frame::GetSegments(GetSegments {
                archive: device.archive,
                line,
                from_sequence,
                credit: 8 << 20,
            });
            let Some(Frame::Segment(segment)) = device.attacker.bulk(host, &asked) else {
                panic!("no segment");
            };
            let segment = SignedSegment::parse(segment.bytes.into_vec()).unwrap();
            let entries = segment.open(&keys.writer).unwrap().entries;
            found.push((segment, entries));
        }
    }
    found
}

/// A label by the device that says of rubbish that it is the pack of a true label; and the rubbish, the same for each shard.
fn false_label(device: &Device, label: &[u8]) -> (SignedLabel, Vec<u8>) {
    let mut body = SignedLabel::parse(label).unwrap().label().clone();
    let rubbish = vec![0x5a; body.shard_len as usize];
    body.shards.fill(Outboard::of(&rubbish).root());
    body.device = device.keys.id();
    (body.sign(&device.keys), rubbish)
}

#[track_caller]
fn put_segment(device: &Device, host: &Node, segment: &SignedSegment) {
    let mut stream = device.attacker.open_bulk(host).unwrap();
    let opening = Frame::PutSegments(PutSegments {
        archive: device.archive,
    });
    let accepted = device.attacker.say(&mut stream, &opening);
    assert!(matches!(accepted, Some(Frame::Accept(_))), "{accepted:?}");
    let bytes = Opaque::new(segment.bytes().to_vec()).unwrap();
    let receipt = device
        .attacker
        .say(&mut stream, &Frame::Segment(Segment { bytes }));
    assert!(matches!(receipt, Some(Frame::SegmentReceipt(_))), "{receipt:?}");
}

/// Leaves the host with the rubbish, and with a receipt for it.
#[track_caller]
fn put_rubbish(device: &Device, host: &Node, (label, index): (&SignedLabel, u8), rubbish: &[u8]) {
    let mut stream = device.attacker.open_bulk(host).unwrap();
    let put = Frame::PutShard(PutShard {
        label: Opaque::new(label.bytes().to_vec()).unwrap(),
        index: ShardIndex(index),
    });
    let accepted = device.attacker.say(&mut stream, &put);
    assert!(matches!(accepted, Some(Frame::Accept(_))), "{accepted:?}");
    let outboard = Outboard::of(rubbish);
    let range = 0..rubbish.len() as u64;
    let data = Frame::Data(Data {
        offset: 0,
        len: rubbish.len() as u32,
        slice: Opaque::new(slice::make(rubbish, &outboard, range).unwrap()).unwrap(),
    });
    device.attacker.send(&mut stream, &data);
    let mut answer = device.attacker.say(&mut stream, &Frame::Finish);
    while let Some(Frame::Credit(_)) = answer {
        answer = device.attacker.hear(&mut stream);
    }
    assert!(matches!(answer, Some(Frame::Receipt(_))), "{answer:?}");
}

#[test]
fn labels_by_a_stolen_device_keep_nobody_from_the_packs_of_others() {
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 2);
    let hosts: Vec<&Node> = circle.hosts.iter().map(|(_, node)| node).collect();
    let device = Device::of(&keys, 60);
    for host in &hosts {
        device.claims(host);
    }
    let known = journal(&device, &keys, hosts[0]);
    // Of each pack a newer stripe than the true one, complete, with hosts that have signed for it.
    let labels: Vec<(SignedLabel, Vec<u8>)> = known
        .iter()
        .flat_map(|(_, entries)| entries)
        .filter_map(|entry| match entry {
            Entry::StripeAdded { label } => Some(false_label(&device, label)),
            _ => None,
        })
        .collect();
    assert!(!labels.is_empty());
    let entries: Vec<Entry> = labels
        .iter()
        .map(|(label, _)| Entry::StripeAdded {
            label: label.bytes().to_vec(),
        })
        .collect();
    // Lines are taken up in the order of their ids: this one last.
    let last = known
        .iter()
        .map(|(segment, _)| segment.public().line)
        .max()
        .unwrap();
    let position = (0..=u8::MAX)
        .map(|nonce| Position::begin(&device.keys, [nonce; 16], None))
        .find(|position| position.line() > last)
        .expect("a greater id");
    let draft = Draft {
        position,
        entries: &entries,
        heads: &[],
        time: Timestamp(1),
    };
    let segment = SignedSegment::build(&keys.writer, &device.keys, &draft).unwrap();
    for (index, host) in (0..).zip(&hosts) {
        put_segment(&device, host, &segment);
        for (label, rubbish) in &labels {
            assert_eq!(usize::from(label.label().scheme.total()), hosts.len());
            put_rubbish(&device, host, (label, index), rubbish);
        }
    }
    let (hosts, phrase) = circle.lose_owner();
    let new = world.home("new");
    new.recover(&phrase, hosts[0].1.address()).ended(0);
    new.assert_restores(&world.path("folder"), &world.path("back"));
}
