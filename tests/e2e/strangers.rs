//! Who proves nothing gets nothing: strangers, claims and invitations that are made up, replayed or stolen, and devices that were revoked.

use nuthatch_format::keys::{ArchiveKeys, RecoveryPhrase};
use nuthatch_format::statement::{SignedStatement, Statement};
use nuthatch_format::{ArchiveId, Timestamp, codec};
use nuthatch_transport::{ControlProtocol, OpenError, RequestError};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::bulk::{Frame, GetSegments, Refusal};
use nuthatch_wire::claim::ClaimReply;
use nuthatch_wire::membership::{JoinRefusal, JoinReply, WaitReason};
use nuthatch_wire::message::{PutStatements, Reply, Request};
use nuthatch_wire::protocol::provider_key;

use crate::attacker::{Attacker, Device, id_of};
use crate::circle::{Circle, PROTECTED};
use crate::harness::{World, eventually};

/// The one refusal of the claiming protocol, as PROTOCOL.md gives it.
const REFUSED: [u8; 2] = [0x81, 0x00];

/// A circle whose hosts keep a small archive; its keys, as whoever has the phrase has them.
pub(crate) fn circle_with_archive(world: &World, host_count: usize) -> (Circle, ArchiveKeys) {
    let circle = Circle::of(world, host_count, &[]);
    let folder = world.path("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), vec![7; 100_000]).unwrap();
    circle.owner.0.backup(&folder, &PROTECTED).ended(0);
    let keys = ArchiveKeys::derive(&RecoveryPhrase::parse(&circle.phrase).unwrap());
    (circle, keys)
}

/// Keys of an archive that nobody keeps.
pub(crate) fn unknown_archive() -> ArchiveKeys {
    ArchiveKeys::derive(&RecoveryPhrase::from_entropy([9; 32]))
}

/// A statement with the archive's id written over another's wherever it stands; nobody has signed that.
fn written_over(statement: &SignedStatement, by: ArchiveId) -> Vec<u8> {
    let mut bytes = statement.bytes().to_vec();
    let own = *statement.archive().as_bytes();
    while let Some(at) = bytes.windows(own.len()).position(|window| *window == own) {
        bytes[at..at + own.len()].copy_from_slice(by.as_bytes());
    }
    bytes
}

fn revocation(keys: &ArchiveKeys, device: &Device) -> SignedStatement {
    let statement = Statement::Revoked {
        device: device.keys.id(),
        after: Vec::new(),
    };
    SignedStatement::by_archive(statement, &keys.signing, Timestamp(2)).unwrap()
}

#[test]
fn a_stranger_gets_joining_and_claiming_and_nothing_else() {
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 1);
    let stranger = Attacker::new(50);
    for victim in [&circle.owner.1, &circle.hosts[0].1] {
        assert_ne!(
            stranger.claim_nonce(victim),
            stranger.claim_nonce(victim),
            "nonces are fresh"
        );
        stranger.assert_shut_out(victim, keys.archive_id());
        assert_eq!(
            stranger.providers(victim, provider_key(&keys.archive_id())),
            [],
            "the address tables are for members"
        );
    }
    circle.owner.0.run(["verify", "--read-data"]).ended(0);
}

#[test]
fn false_and_replayed_claims_are_refused_in_the_same_bytes_and_open_nothing() {
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 2);
    let (host, other) = (&circle.hosts[0].1, &circle.hosts[1].1);
    let unknown = unknown_archive();
    let thief = Attacker::new(50);
    let assert_refused = |why: &str, answer: Vec<u8>| {
        assert_eq!(answer, REFUSED, "{why}");
        thief.assert_shut_out(host, keys.archive_id());
    };

    // Of an archive that is not here, everything else being right: what no refusal may differ from.
    assert_refused(
        "an archive that is not here",
        Device::of(&unknown, 51).claims(host),
    );

    // A certificate of its own making for an archive that is here.
    let mut forger = Device::of(&unknown, 52);
    forger.archive = keys.archive_id();
    assert_refused("a certificate by another archive", forger.claims(host));
    let bytes = written_over(&forger.certificate, keys.archive_id());
    forger.certificate = SignedStatement::parse(&bytes).unwrap();
    assert_refused("a certificate that nobody signed", forger.claims(host));
    forger.attacker.assert_shut_out(host, keys.archive_id());

    // A true device's proof, recorded or made for other places.
    let device = Device::of(&keys, 53);
    let node = device.attacker.node();
    let nonce = device.attacker.claim_nonce(host);
    let proof = device.prove(node, id_of(host), nonce);
    let fresh = thief.claim_nonce(host);
    assert_ne!(fresh, nonce);
    assert_refused("a proof that was overheard", thief.claim(host, &proof));
    device.attacker.claim_nonce(other);
    let elsewhere = device.attacker.claim(other, &proof);
    assert_refused("a proof that was made for another host", elsewhere);
    device.attacker.assert_shut_out(other, keys.archive_id());
    let fresh = thief.claim_nonce(host);
    let for_another = device.prove(node, id_of(host), fresh);
    assert_refused("a proof for another claimant", thief.claim(host, &for_another));
    let fresh = thief.claim_nonce(host);
    let of_another = device.prove(thief.node(), id_of(host), fresh);
    assert_refused("a node that is not the device's", thief.claim(host, &of_another));
    let nonsense = thief.ask(host, ControlProtocol::Claim, b"nonsense").unwrap();
    assert_refused("nonsense", nonsense);

    // Once, by whom and where it was made, it opens; a second time it does not.
    let granted = device.attacker.claim(host, &proof);
    assert!(matches!(codec::decode(&granted), Ok(ClaimReply::Granted(_))));
    assert_refused("a second time", device.attacker.claim(host, &proof));
    let reply = device
        .attacker
        .reply(host, &Request::JournalHeads(keys.archive_id()));
    assert!(matches!(reply, Reply::JournalHeads(heads) if !heads.is_empty()));
}

#[test]
fn a_proof_of_joining_is_good_for_one_node_at_one_host_once() {
    let world = World::new();
    let circle = Circle::of(&world, 1, &[]);
    let (owner, host) = (&circle.owner.1, &circle.hosts[0].1);
    let once = circle.owner.0.invite(&[]);
    let (joiner, thief) = (Attacker::new(50), Attacker::new(51));
    let not_valid = JoinReply::Refused(JoinRefusal::NotValid);

    let petition = joiner.petition(owner, &once);
    thief.petition(owner, &once);
    assert_eq!(thief.join(owner, &petition), not_valid, "another node");
    joiner.petition(host, &once);
    assert_eq!(joiner.join(host, &petition), not_valid, "another host");
    joiner.petition(owner, &once);
    assert_eq!(joiner.join(owner, &petition), not_valid, "an older nonce");
    for attacker in [&joiner, &thief] {
        attacker.assert_shut_out(owner, ArchiveId::from_bytes([1; 32]));
    }

    let petition = joiner.petition(owner, &once);
    assert!(matches!(joiner.join(owner, &petition), JoinReply::Admitted(_)));
    assert_eq!(joiner.join(owner, &petition), not_valid, "a second time");

    // Who has stolen the line after it was used waits for a person, here and at every other member that has heard of it.
    let stolen = thief.petition(owner, &once);
    let waits = JoinReply::Waits(WaitReason::Used);
    assert_eq!(thief.join(owner, &stolen), waits);
    thief.assert_shut_out(owner, ArchiveId::from_bytes([1; 32]));
    let late = Attacker::new(52);
    eventually("the other member knows the use", || {
        let known = circle.hosts[0].0.run(["peers"]).ended(0).last();
        known.as_array().unwrap().len() >= 2
    });
    assert_eq!(late.join(host, &late.petition(host, &once)), waits);
    late.assert_shut_out(host, ArchiveId::from_bytes([1; 32]));
}

#[test]
fn a_revoked_device_gets_nothing_any_more() {
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 1);
    let host = &circle.hosts[0].1;
    let (stolen, kept) = (Device::of(&keys, 50), Device::of(&keys, 51));
    for device in [&stolen, &kept] {
        let granted = device.claims(host);
        assert!(matches!(codec::decode(&granted), Ok(ClaimReply::Granted(_))));
    }
    let read = Frame::GetSegments(GetSegments {
        archive: keys.archive_id(),
        line: nuthatch_format::LineId::from_bytes([0; 16]),
        from_sequence: 0,
        credit: 0,
    });
    let mut stream = stolen.attacker.open_bulk(host).unwrap();
    assert_eq!(stolen.attacker.say(&mut stream, &read), Some(Frame::Finish));

    // A revocation that nobody has signed changes nothing.
    let put = |statement: Vec<u8>| {
        Request::PutStatements(PutStatements {
            archive: keys.archive_id(),
            statements: List::first_of([Opaque::new(statement).unwrap()]),
        })
    };
    let forged = written_over(&revocation(&unknown_archive(), &stolen), keys.archive_id());
    assert_eq!(kept.attacker.reply(host, &put(forged)), Reply::Done);
    assert_eq!(stolen.attacker.say(&mut stream, &read), Some(Frame::Finish));

    let revoked = revocation(&keys, &stolen).bytes().to_vec();
    assert_eq!(kept.attacker.reply(host, &put(revoked)), Reply::Done);
    let answer = stolen.attacker.say(&mut stream, &read);
    assert!(
        matches!(answer, None | Some(Frame::Refused(Refusal::NotAllowed))),
        "{answer:?}"
    );
    stolen.attacker.assert_shut_out(host, keys.archive_id());
    assert_eq!(stolen.claims(host), REFUSED);
    stolen.attacker.assert_shut_out(host, keys.archive_id());
    let bulk = stolen.attacker.open_bulk(host);
    assert!(matches!(bulk, Err(OpenError::NotOffered)), "{bulk:?}");
    let heads = Request::JournalHeads(keys.archive_id());
    let asked = stolen.attacker.control(host, &heads);
    assert!(matches!(asked, Err(RequestError::Open(OpenError::NotOffered))));
    assert!(matches!(
        kept.attacker.reply(host, &heads),
        Reply::JournalHeads(_)
    ));

    // By word of mouth it counts at the owner's node as well, which nobody has told directly.
    eventually("the owner's node has heard of it", || {
        let asked = stolen.attacker.control(&circle.owner.1, &heads);
        matches!(asked, Err(RequestError::Open(OpenError::NotOffered)))
    });
    assert_eq!(stolen.claims(&circle.owner.1), REFUSED);
}
