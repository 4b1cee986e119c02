//! Commands where no node runs: what they answer from the home, and that they open no socket for it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::circle::{Circle, PROTECTED};
use crate::harness::{Home, Ran, World, eventually};

/// What stands in the home: nobody is needed to answer these.
const FROM_THE_HOME: [&[&str]; 5] = [
    &["status"],
    &["peers"],
    &["peers", "--all"],
    &["kit"],
    &["snapshots"],
];

/// Where each table of sockets under `/proc` has the inode of a row.
const INODE_COLUMN: usize = 9;

/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(1);

/// A home whose node met one host, has a protected backup there, and does not run now. The host does not run either.
fn parted(world: &World) -> (Home, String) {
    let folder = world.folder("folder");
    let circle = Circle::of(world, 1, &[]);
    let (owner, owner_node) = circle.owner;
    owner.backup(&folder, &PROTECTED).ended(0);
    let (_, host) = circle.hosts.into_iter().next().unwrap();
    let address = host.address().to_owned();
    assert!(owner_node.terminate().success() && host.terminate().success());
    (owner, address)
}

/// Runs a command, and tells which sockets to a network it was seen with.
fn watched(home: &Home, args: &[&str]) -> (Ran, BTreeSet<String>) {
    let mut command: Command = home.command();
    command.arg("--json").args(args);
    let mut child = command.spawn().unwrap();
    let mut seen = BTreeSet::new();
    while child.try_wait().unwrap().is_none() {
        seen.extend(network_sockets(child.id()));
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output().unwrap();
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    (ran, seen)
}

/// The sockets of a process that reach beyond this machine's processes, or ask the system about its networks.
fn network_sockets(process: u32) -> Vec<String> {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let own: Vec<String> = links
        .filter_map(|link| {
            let link = link.to_str()?.to_owned();
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let tables = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "netlink"];
    tables
        .into_iter()
        .flat_map(|table| {
            let rows = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
            let of_process = |row: &&str| {
                let inode = row.split_whitespace().nth(INODE_COLUMN);
                own.iter().any(|own| inode == Some(own.as_str()))
            };
            let count = rows.lines().filter(of_process).count();
            std::iter::repeat_n(table.to_owned(), count)
        })
        .collect()
}

#[test]
fn what_stands_in_the_home_is_answered_without_a_socket() {
    let world = World::new();
    let (owner, address) = parted(&world);
    // Whoever called the host, where it was, would be heard.
    let port = address.split('/').nth(4).unwrap();
    let (tcp, udp) = (
        TcpListener::bind(format!("127.0.0.1:{port}")).unwrap(),
        UdpSocket::bind(format!("127.0.0.1:{port}")).unwrap(),
    );
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    for args in FROM_THE_HOME {
        let (ran, sockets) = watched(&owner, args);
        assert_eq!(sockets, BTreeSet::new(), "{args:?}");
        let said = ran.ended(0);
        let knows_better = args == ["status"];
        assert!(
            knows_better || said.stderr.contains("no node runs here"),
            "{args:?}: {said:?}"
        );
        assert!(tcp.accept().is_err(), "{args:?} called the host");
        assert!(udp.recv(&mut [0; 2048]).is_err(), "{args:?} called the host");
    }
    // The same look finds the sockets of a command that does need its hosts.
    let (_, sockets) = watched(&owner, &["verify", "--quick"]);
    assert_ne!(sockets, BTreeSet::new());
    assert!(tcp.accept().is_ok(), "a verification calls the host");
}

#[test]
fn without_a_node_the_facts_are_those_of_the_last_contact_and_that_is_said() {
    let world = World::new();
    let (owner, _) = parted(&world);
    let status = owner.run(["status"]).ended(0).last();
    assert_eq!(status["running"], false, "{status}");
    assert_eq!(status["hosts_online"], serde_json::Value::Null, "{status}");
    assert_eq!(
        (&status["protection"], &status["hosts"]),
        (&"protected".into(), &1.into())
    );
    for key in ["last_contact", "last_backup", "last_proof"] {
        assert!(status[key].is_string(), "{key}: {status}");
    }
    let attention = status["attention"].as_array().unwrap();
    assert!(attention.iter().any(|item| item["kind"] == "no_node"), "{status}");

    let peers = owner.run(["peers"]).ended(0).last();
    assert_eq!(peers[0]["state"], "unknown", "{peers}");
    assert!(
        peers[0]["last_seen"].is_string() && peers[0]["path"].is_null(),
        "{peers}"
    );
    assert!(peers[0]["hosted_for_me"].as_u64() > Some(0), "{peers}");
    let snapshots = owner.run(["snapshots"]).ended(0).last();
    assert_eq!(snapshots[0]["protection"], "protected", "{snapshots}");
    let kit = owner.run(["kit"]).ended(0).last();
    assert_eq!(kit["hosts"].as_array().map(Vec::len), Some(1), "{kit}");

    // With a node that runs, the host is away.
    let node = owner.up();
    eventually("the host was called in vain", || {
        owner.run(["peers"]).ended(0).last()[0]["state"] == "away"
    });
    let status = owner.run(["status"]).ended(0);
    assert_eq!(
        (&status.last()["running"], &status.last()["hosts_online"]),
        (&true.into(), &0.into())
    );
    assert!(!owner.run(["peers"]).ended(0).stderr.contains("no node"));
    drop(node);
}

#[test]
fn alone_in_its_circle_a_node_that_does_not_run_has_nothing_to_say_of_contact() {
    let world = World::new();
    let home = world.home("me");
    home.init(&[]);
    let folder = world.folder("folder");
    let (ran, sockets) = watched(&home, &["backup", folder.to_str().unwrap()]);
    assert_eq!(ran.ended(0).summary()["protection"], "staged");
    assert_eq!(sockets, BTreeSet::new(), "there is nobody to send to");
    let snapshots = home.run(["snapshots"]).ended(0);
    assert_eq!(snapshots.stderr, "");
    let kinds = home.run(["status"]).ended(0).last()["attention"].to_string();
    assert!(!kinds.contains("no_node"), "{kinds}");
}
