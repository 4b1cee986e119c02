//! Stewards: an archive whose owner is away or lost is kept repaired by a node without its keys, and that node may do nothing else.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use nuthatch_format::keys::{ArchiveKeys, RecoveryPhrase};
use nuthatch_format::statement::{SignedStatement, Statement};
use nuthatch_format::{ByteCount, NodeId, Timestamp};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::bulk::{Frame, GetRange, Refusal};
use nuthatch_wire::inventory::{Holding, InventoryPageRequest};
use nuthatch_wire::lease::{LeaseAnswer, LeaseRequest};
use nuthatch_wire::message::{ErrorCode, PutStatements, Reply, Request};
use serde_json::Value;

use crate::attacker::reading;
use crate::circle::PROTECTED;
use crate::economy::files_with;
use crate::harness::{Home, Node, World, eventually};
use crate::hostile::{flip, restart, shard_files};
use crate::members::member;
use crate::strangers::circle_with_archive;

/// Periods of seconds, in the settings of a home. A lease runs out soon unless it is renewed.
fn set_periods(home: &Home) {
    let path = home.path.join("config.toml");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    let periods = "grace = \"3s\"\nrepair = \"200ms\"\ninventory = \"2s\"\nlease = \"15s\"\n";
    write!(file, "\n[periods]\n{periods}").unwrap();
}

fn joined(world: &World, owner: &Home, name: &str) -> Home {
    let home = world.home(name);
    let invitation = owner.invite(&[]);
    home.join(&invitation, &["--name", name]).ended(0);
    set_periods(&home);
    home
}

/// What a steward says of the one archive that it looks after; null while it looks after none.
fn stewarding(home: &Home) -> Value {
    let listed = home.run(["steward", "list"]).ended(0).last();
    listed["stewarding"][0].clone()
}

/// Waits until a steward has looked over everything, found nothing to repair, and has placed so many shards at least.
#[track_caller]
fn until_whole(steward: &Home, placed_min: u64) -> u64 {
    let mut placed = 0;
    eventually("everything is at its target", || {
        let row = stewarding(steward);
        placed = row["shards_placed"].as_u64().unwrap_or_default();
        row["packs"].as_u64() > Some(0)
            && row["last_look"].is_string()
            && row["packs_due"] == 0
            && placed >= placed_min
    });
    placed
}

#[test]
fn an_archive_whose_owner_is_gone_is_kept_whole_by_a_steward_without_keys() {
    let world = World::new();
    let folder = world.folder("folder");
    let planted: Vec<u8> = (0..64_u8).map(|byte| byte.wrapping_mul(167) ^ 0x5a).collect();
    fs::create_dir(folder.join("planted-directory")).unwrap();
    fs::write(folder.join("planted-directory/planted-file"), &planted).unwrap();
    let owner = world.home("owner");
    let phrase = owner.init(&["--survive", "2"]);
    set_periods(&owner);
    let owner_node = owner.up();
    let mut hosts: Vec<(Home, Node)> = (0..5)
        .map(|number| {
            let home = joined(&world, &owner, &format!("host-{number}"));
            let node = home.up();
            (home, node)
        })
        .collect();
    owner.backup(&folder, &PROTECTED).ended(0);
    eventually("everything is sent", || {
        owner.run(["status"]).ended(0).last()["staged_bytes"] == 0
    });
    let nobody = owner.run(["steward", "appoint", "nobody"]).ended(1).last();
    assert_eq!(nobody["kind"], "no_such_peer", "{nobody}");
    let appointed = owner
        .run(["steward", "appoint", "host-0", "--budget", "1GB"])
        .ended(0)
        .last();
    assert_eq!(
        (&appointed["name"], &appointed["budget"]),
        (&"host-0".into(), &1_000_000_000.into())
    );
    assert!(appointed["told"].as_u64() > Some(0), "{appointed}");
    let listed = owner.run(["steward", "list"]).ended(0).last();
    assert_eq!(listed["stewards"][0]["name"], "host-0", "{listed}");
    // They join while the owner is there, and come only when it is gone.
    let spares = [0, 1].map(|number| joined(&world, &owner, &format!("spare-{number}")));
    let (steward, node) = hosts.remove(0);
    eventually("the steward knows the packs", || {
        stewarding(&steward)["packs"].as_u64() > Some(0)
    });
    let row = stewarding(&steward);
    assert!(
        row["last_look"].is_null(),
        "while a device is here, repairs are left to it: {row}"
    );

    owner_node.kill();
    let away = owner.clone();
    // One host gives garbage from now on, and two die, one after the other.
    let liar = hosts.pop().unwrap();
    let liar = restart(liar, |home| shard_files(home).iter().for_each(|file| flip(file)));
    let (home, dead) = hosts.remove(0);
    dead.kill();
    home.delete();
    eventually("the first one is gone", || {
        let peers = steward.run(["peers"]).ended(0).last();
        let is_gone = |peer: &Value| peer["name"] == "host-1" && peer["state"] == "gone";
        peers.as_array().unwrap().iter().any(is_gone)
    });
    let first = spares[0].up();
    let (home, dead) = hosts.remove(1);
    dead.kill();
    home.delete();
    let second = spares[1].up();
    until_whole(&steward, 4);

    // The owner is back: inventories tell it who keeps what now, and it goes on.
    let owner_node = away.up();
    eventually("the owner knows the new holders", || {
        let peers = away.run(["peers"]).ended(0).last();
        let keeps = |name: &str| {
            peers
                .as_array()
                .unwrap()
                .iter()
                .any(|peer| peer["name"] == name && peer["hosted_for_me"].as_u64() > Some(0))
        };
        keeps("spare-0") && keeps("spare-1")
    });
    fs::write(folder.join("later"), b"later").unwrap();
    away.backup(&folder, &PROTECTED).ended(0);
    owner_node.kill();
    away.delete();

    // What the steward rebuilt is needed: of the first five hosts the liar and one other are left.
    assert!(node.terminate().success());
    holds_nothing_readable(&steward, &phrase, &planted);
    steward.delete();
    let new = world.home("new");
    new.recover(&phrase, first.address()).ended(0);
    new.assert_restores(&folder, &world.path("back"));
    drop((liar, first, second));
}

/// Neither content nor names nor keys.
fn holds_nothing_readable(home: &Home, phrase: &str, planted: &[u8]) {
    let keys = ArchiveKeys::derive(&RecoveryPhrase::parse(phrase).unwrap());
    let secrets = keys.owner_secrets();
    let (signing, sealing, all) = (
        secrets.signing.seed(),
        secrets.sealing.to_bytes(),
        secrets.to_bytes(),
    );
    let needles: [(&str, &[u8]); 5] = [
        ("a name", b"planted-"),
        ("content", planted),
        ("the signing key", signing.as_slice()),
        ("the sealing key", sealing.as_slice()),
        ("all keys", all.as_slice()),
    ];
    for (what, needle) in needles {
        let found = files_with(&home.path, needle);
        assert!(found.is_empty(), "{what} stands in {found:?}");
    }
}

#[test]
fn a_steward_is_dismissed_as_it_was_appointed() {
    let world = World::new();
    let owner = world.home("owner");
    owner.init(&[]);
    let _node = owner.up();
    let home = joined(&world, &owner, "host-0");
    let _host = home.up();
    eventually("it is a host, and appointed", || {
        owner.run(["steward", "appoint", "host-0"]).code == 0
    });
    eventually("the steward knows", || stewarding(&home).is_object());
    let revoked = owner.run(["steward", "revoke", "host-0"]).ended(0).last();
    assert_eq!(revoked["budget"], 0, "{revoked}");
    eventually("the steward is none any more", || stewarding(&home).is_null());
    let again = owner.run(["steward", "revoke", "host-0"]).ended(1).last();
    assert_eq!(again["kind"], "no_such_steward", "{again}");
}

/// What the archive's key says of a steward.
fn stated(keys: &ArchiveKeys, node: NodeId, budget: u64, time: u64) -> SignedStatement {
    let statement = Statement::Steward {
        node,
        byte_budget: ByteCount(budget),
    };
    SignedStatement::by_archive(statement, &keys.signing, Timestamp(time)).unwrap()
}

fn put(statement: &SignedStatement) -> Request {
    Request::PutStatements(PutStatements {
        archive: statement.archive(),
        statements: List::first_of([Opaque::new(statement.bytes().to_vec()).unwrap()]),
    })
}

#[test]
fn a_steward_reads_within_its_budget_and_may_do_nothing_else() {
    const BUDGET: u64 = 40_000;
    let world = World::new();
    let (circle, keys) = circle_with_archive(&world, 1);
    let host = &circle.hosts[0].1;
    let archive = keys.archive_id();
    let steward = member(&circle, 50);
    let page = |prefix| {
        Request::InventoryPage(InventoryPageRequest {
            archive,
            prefix,
            after: None,
        })
    };
    let not_allowed = Reply::Refused(ErrorCode::NotAllowed);
    assert_eq!(steward.reply(host, &page(0)), not_allowed);
    let appointed = stated(&keys, steward.node(), BUDGET, 10);
    assert_eq!(steward.reply(host, &put(&appointed)), Reply::Done);

    let mut holdings: Vec<Holding> = Vec::new();
    for prefix in 0..=u8::MAX {
        let Reply::InventoryPage(page) = steward.reply(host, &page(prefix)) else {
            panic!("no page");
        };
        holdings.extend(page.holdings.into_vec());
    }
    let held = *holdings.first().expect("something is kept");
    for request in reading(archive, held.label) {
        let reply = steward.reply(host, &request);
        let is_refused = matches!(reply, Reply::Refused(_));
        assert_eq!(
            is_refused,
            matches!(request, Request::Introductions(_)),
            "{request:?}: {reply:?}"
        );
    }

    // Its word neither enlarges a lease nor needs to: what is promised is renewed.
    let lease = |statement: &SignedStatement, bytes| {
        let request = Request::Lease(LeaseRequest {
            archive,
            certificate: Opaque::new(statement.bytes().to_vec()).unwrap(),
            bytes: ByteCount(bytes),
        });
        match steward.reply(host, &request) {
            Reply::Lease(LeaseAnswer::Granted(lease)) => Some(lease.open().unwrap().bytes),
            _ => None,
        }
    };
    let before = lease(&appointed, 0).expect("it is renewed");
    assert!(before.0 > BUDGET);
    assert_eq!(lease(&appointed, u64::MAX), Some(before));
    let foreign = stated(&crate::strangers::unknown_archive(), steward.node(), u64::MAX, 10);
    assert_eq!(lease(&foreign, 0), None, "another archive's word");
    assert_eq!(
        lease(&stated(&keys, NodeId::from_bytes([1; 32]), 9, 11), 0),
        None,
        "of another steward"
    );

    // Shards, as long as the budget lasts.
    let get = Frame::GetRange(GetRange {
        archive,
        label: held.label,
        index: held.index,
        offset: 0,
        len: 16 << 10,
        credit: 1 << 20,
    });
    let mut given = 0;
    loop {
        match steward.bulk(host, &get) {
            Some(Frame::Data(_)) => given += 1,
            Some(Frame::Busy(busy)) => {
                assert!(busy.retry_after.0 <= 24 * 3600 * 1000, "{busy:?}");
                break;
            }
            other => panic!("{other:?}"),
        }
        assert!(given <= BUDGET / (16 << 10), "more than the budget");
    }
    assert!(given > 0);

    // A later word ends it, and an older one does not bring it back.
    assert_eq!(
        steward.reply(host, &put(&stated(&keys, steward.node(), 0, 20))),
        Reply::Done
    );
    assert_eq!(
        steward.reply(host, &put(&stated(&keys, steward.node(), u64::MAX, 15))),
        Reply::Done
    );
    for request in reading(archive, held.label) {
        assert_eq!(steward.reply(host, &request), not_allowed, "{request:?}");
    }
    assert_eq!(
        steward.bulk(host, &get),
        Some(Frame::Refused(Refusal::NotAllowed))
    );
    assert_eq!(lease(&appointed, 0), None);
    circle.owner.0.run(["verify", "--read-data"]).ended(0);
}
