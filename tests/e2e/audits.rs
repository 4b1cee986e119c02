//! Hosts that lost something, that are silent and that are honest, as their owner's audits find them.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::circle::{Circle, PROTECTED};
use crate::harness::{Home, Node, World, eventually};
use crate::hostile::{remove, restart, shard_files};

/// Adds settings to a home whose node is down.
fn configure(home: &Path, text: &str) {
    let path = home.join("config.toml");
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A circle whose owner audits by these settings, with a protected backup.
fn audited(world: &World, hosts: usize, settings: &str) -> Circle {
    let folder = world.folder("folder");
    let mut circle = Circle::of(world, hosts, &[]);
    circle.owner = restart(circle.owner, |home| configure(home, settings));
    circle.owner.0.backup(&folder, &PROTECTED).ended(0);
    eventually("everything is sent", || {
        circle.owner.0.run(["status"]).ended(0).last()["staged_bytes"] == 0
    });
    circle
}

/// A host's row in what `peers` or `audit` shows.
fn row(rows: &Value, host: &Node) -> Value {
    let rows = rows.as_array().unwrap();
    let found = rows.iter().find(|row| row["peer_id"] == host.peer_id.as_str());
    found.unwrap().clone()
}

fn peer(owner: &Home, host: &Node) -> Value {
    row(&owner.run(["peers"]).ended(0).last(), host)
}

fn all_are_online(owner: &Home) {
    eventually("the hosts are back", || {
        let peers = owner.run(["peers"]).ended(0).last();
        peers
            .as_array()
            .unwrap()
            .iter()
            .all(|peer| peer["state"] == "online")
    });
}

#[test]
fn a_host_that_deleted_shards_is_named_and_counts_for_nothing_and_the_others_are_not_blamed() {
    let world = World::new();
    let mut circle = audited(&world, 3, "");
    let owner = circle.owner.0.clone();
    let kept = owner.run(["audit"]).ended(0).summary();
    for (_, host) in &circle.hosts {
        let row = row(&kept["hosts"], host);
        assert_eq!(row["outcome"], "kept", "{kept}");
        assert!(row["proven"].as_u64() >= Some(100) && row["open"] == 0, "{kept}");
        let shown = peer(&owner, host);
        assert_eq!(shown["last_proof"], row["last_proof"], "{shown}");
        assert_eq!(
            (&shown["audit"]["outcome"], &shown["audit"]["counted"]),
            (&"kept".into(), &true.into())
        );
    }
    let before = owner.run(["status"]).ended(0).last()["survives_losses"].as_u64();

    let liar = circle.hosts.remove(0);
    let liar = restart(liar, |home| {
        for file in shard_files(home) {
            remove(&file);
        }
    });
    all_are_online(&owner);
    let found = owner.run(["audit", "host-0"]).ended(13).summary();
    assert_eq!(found["hosts"].as_array().map(Vec::len), Some(1), "{found}");
    let row_of_liar = row(&found["hosts"], &liar.1);
    assert_eq!(row_of_liar["outcome"], "lost", "{found}");
    assert!(row_of_liar["shards_lost"].as_u64() > Some(0), "{found}");
    // Its inventory still names them: its word does not bring them back.
    owner.run(["verify", "--quick"]);
    assert_eq!(peer(&owner, &liar.1)["hosted_for_me"], 0);
    let status = owner.run(["status"]).ended(0).last();
    assert_eq!(
        status["survives_losses"].as_u64(),
        before.map(|losses| losses - 1),
        "{status}"
    );
    let attention = status["attention"].as_array().unwrap();
    let is_named =
        |item: &Value| item["kind"] == "wrong_shard" && item["message"].as_str().unwrap().contains("host-0");
    assert!(attention.iter().any(is_named), "{status}");
    let others = owner.run(["audit"]).ended(0).summary();
    for (_, host) in &circle.hosts {
        assert_eq!(row(&others["hosts"], host)["outcome"], "kept", "{others}");
    }
}

#[test]
fn a_loss_is_found_without_being_asked_for() {
    let world = World::new();
    let mut circle = audited(&world, 2, "\n[audits]\nperiod = \"2s\"\nretry = \"1s\"\n");
    let owner = circle.owner.0.clone();
    eventually("both hosts have proved something", || {
        let all = circle
            .hosts
            .iter()
            .all(|(_, host)| peer(&owner, host)["audit"]["proven"].is_string());
        all && owner.run(["status"]).ended(0).last()["protection"] == "protected"
    });
    let host = circle.hosts.remove(1);
    let host = restart(host, |home| {
        for file in shard_files(home) {
            remove(&file);
        }
    });
    eventually("the loss is found", || {
        peer(&owner, &host.1)["hosted_for_me"] == 0
    });
    let honest = peer(&owner, &circle.hosts[0].1);
    assert!(
        honest["hosted_for_me"].as_u64() > Some(0) && honest["audit"]["counted"] == true,
        "{honest}"
    );
}

#[test]
fn a_host_that_is_only_silent_owes_an_answer_and_loses_nothing() {
    let world = World::new();
    let circle = audited(&world, 2, "\n[audits]\nanswer = \"1s\"\nretry = \"1s\"\n");
    let owner = circle.owner.0.clone();
    let (_, host) = &circle.hosts[1];
    let held = peer(&owner, host)["hosted_for_me"].clone();
    host.signal(rustix::process::Signal::STOP);
    let late = owner.run(["audit", "host-1"]).ended(75).summary();
    let row_of_host = row(&late["hosts"], host);
    assert_eq!(row_of_host["outcome"], "late", "{late}");
    assert!(
        row_of_host["open"].as_u64() >= Some(100) && row_of_host["open_since"].is_string(),
        "{late}"
    );
    let shown = peer(&owner, host);
    assert_eq!(
        (&shown["hosted_for_me"], &shown["audit"]["counted"]),
        (&held, &true.into()),
        "{shown}"
    );
    host.signal(rustix::process::Signal::CONT);
    // The very same challenges are asked again, by themselves.
    eventually("it answers what it owes", || {
        let shown = peer(&owner, host);
        shown["audit"]["open_since"].is_null() && shown["audit"]["outcome"] == "kept"
    });
    assert_eq!(peer(&owner, host)["hosted_for_me"], held);
}

/// The disk with a host's vault is pulled out while it runs: its mount point is an empty directory.
fn unmount(home: &Path) {
    fs::rename(home.join("vault"), home.join("disk")).unwrap();
    fs::create_dir(home.join("vault")).unwrap();
}

fn mount(home: &Path) {
    fs::remove_dir(home.join("vault")).unwrap();
    fs::rename(home.join("disk"), home.join("vault")).unwrap();
}

#[test]
fn a_host_without_its_disk_says_so_takes_nothing_writes_nothing_and_is_excused() {
    let world = World::new();
    let mut circle = audited(&world, 2, "\n[audits]\nretry = \"1s\"\n");
    let owner = circle.owner.0.clone();
    let home = circle.hosts[1].0.clone();
    let held = peer(&owner, &circle.hosts[1].1)["hosted_for_me"].clone();
    unmount(&home.path);
    let found = owner.run(["audit", "host-1"]).ended(75).summary();
    assert_eq!(
        row(&found["hosts"], &circle.hosts[1].1)["outcome"],
        "detached",
        "{found}"
    );
    let shown = peer(&owner, &circle.hosts[1].1);
    assert!(shown["audit"]["detached_since"].is_string(), "{shown}");
    assert_eq!(
        (&shown["hosted_for_me"], &shown["audit"]["counted"]),
        (&held, &true.into()),
        "{shown}"
    );
    let says = |home: &Home, kind: &str| {
        let status = home.run(["status"]).ended(0).last();
        status["attention"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["kind"] == kind)
    };
    assert!(says(&home, "vault_detached") && says(&owner, "audit_detached"));

    // Nor does it begin another vault when it is started so, or take what is offered.
    let host = circle.hosts.remove(1);
    let host = restart(host, |_| ());
    let more = world.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("file"), b"more").unwrap();
    owner.backup(&more, &[]);
    assert!(
        fs::read_dir(home.path.join("vault")).unwrap().next().is_none(),
        "nothing is written"
    );
    mount(&home.path);
    eventually("it answers what it owes", || {
        let shown = peer(&owner, &host.1);
        shown["audit"]["outcome"] == "kept" && shown["audit"]["open_since"].is_null()
    });
    assert!(!says(&owner, "audit_detached"));
    owner.backup(&more, &PROTECTED).ended(0);
}

#[test]
fn a_host_reads_through_what_it_keeps_and_what_is_damaged_is_no_longer_claimed() {
    let world = World::new();
    let mut circle = audited(&world, 2, "");
    let host = circle.hosts.remove(0);
    let mut damaged = None;
    let host = restart(host, |home| {
        configure(home, "\n[audits]\nscrub = \"900000TB\"\n");
        let file = shard_files(home).swap_remove(0);
        let whole = std::fs::read(&file).unwrap();
        crate::hostile::flip(&file);
        damaged = Some((file, whole));
    });
    let (damaged, whole) = damaged.unwrap();
    let is_said = |item: &Value| {
        item["message"]
            .as_str()
            .unwrap()
            .contains("damaged and was removed")
    };
    eventually("what is damaged is removed, and it is said", || {
        let status = host.0.run(["status"]).ended(0).last();
        status["attention"].as_array().unwrap().iter().any(is_said)
    });
    let owner = circle.owner.0.clone();
    all_are_online(&owner);
    let kept_at = |node: &Node| peer(&owner, node)["hosted_for_me"].as_u64();
    // It may have been sent again by now, which only happens when it is not claimed.
    eventually("the host claims it no longer, or has it anew", || {
        owner.run(["verify", "--quick"]);
        let is_anew = std::fs::read(&damaged).is_ok_and(|bytes| bytes == whole);
        is_anew || kept_at(&host.1) < kept_at(&circle.hosts[0].1)
    });
}
