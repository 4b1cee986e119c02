//! Hosts that return damage or an old journal, homes that were cloned, and people who may not come in.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::circle::{Circle, PROTECTED};
use crate::harness::{Home, Node, World, eventually};

/// Words for what a host can do wrong with a shard.
const FAULTS: [&str; 5] = ["wrong_bytes", "truncated", "wrong_shard", "silent", "missing"];

/// Restarts a host with its home changed in between.
pub(crate) fn restart(host: (Home, Node), change: impl FnOnce(&Path)) -> (Home, Node) {
    let (home, node) = host;
    assert!(node.terminate().success());
    change(&home.path);
    let node = home.up();
    (home, node)
}

/// All files in the vault that hold shards: the largest there are.
pub(crate) fn shard_files(home: &Path) -> Vec<PathBuf> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.metadata().unwrap().len() >= 16 << 10
                && path.extension().is_none_or(|end| end != "redb")
            {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&home.join("vault"), &mut found);
    assert!(!found.is_empty(), "the host keeps no shard");
    found.sort();
    found
}

/// Every group of bytes is another.
pub(crate) fn flip(file: &Path) {
    let open = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    for at in (0..open.metadata().unwrap().len()).step_by(4096) {
        open.read_exact_at(&mut byte, at).unwrap();
        open.write_all_at(&[!byte[0]], at).unwrap();
    }
}

fn cut_short(file: &Path) {
    let open = fs::OpenOptions::new().write(true).open(file).unwrap();
    open.set_len(1000).unwrap();
}

pub(crate) fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

#[test]
fn a_host_that_lies_about_bytes_is_named_and_the_others_give_everything() {
    let changes: [fn(&Path); 3] = [flip, cut_short, remove];
    let world = World::new();
    let folder = world.folder("folder");
    let mut circle = Circle::of(&world, 5, &[]);
    let owner = circle.owner.0.clone();
    owner.backup(&folder, &PROTECTED).ended(0);
    eventually("everything is sent", || {
        owner.run(["status"]).ended(0).last()["staged_bytes"] == 0
    });
    let mut liars = Vec::new();
    for (at, change) in changes.into_iter().enumerate() {
        let host = circle.hosts.remove(at);
        let host = restart(host, |home| {
            for file in shard_files(home) {
                change(&file);
            }
        });
        liars.push(host.1.peer_id.clone());
        circle.hosts.insert(at, host);
    }
    eventually("the hosts are back", || {
        let peers = owner.run(["peers"]).ended(0).last();
        peers
            .as_array()
            .unwrap()
            .iter()
            .all(|peer| peer["state"] == "online")
    });
    let verified = owner.run(["verify", "--read-data"]).ended(13).summary();
    let damaged = verified["damaged"].as_array().unwrap();
    for liar in &liars {
        let is_named = damaged.iter().any(|damage| {
            damage["peer_id"] == liar.as_str()
                && FAULTS.contains(&damage["kind"].as_str().unwrap_or_default())
        });
        assert!(is_named, "{liar} is not named: {verified}");
    }
    for honest in &circle.hosts[3..] {
        assert!(
            damaged
                .iter()
                .all(|damage| damage["peer_id"] != honest.1.peer_id.as_str()),
            "{verified}"
        );
    }

    let (hosts, phrase) = circle.lose_owner();
    let new = world.home("new");
    new.recover(&phrase, hosts[4].1.address()).ended(0);
    new.assert_restores(&folder, &world.path("back"));
}

#[test]
fn a_host_that_shows_an_old_journal_is_named_and_hides_nothing() {
    let world = World::new();
    let folder = world.folder("folder");
    let circle = Circle::of(&world, 2, &[]);
    let owner = circle.owner.0.clone();
    owner.backup(&folder, &PROTECTED).ended(0);
    let mut hosts = circle.hosts;
    let (home, node) = hosts.remove(0);
    assert!(node.terminate().success());
    let old = world.path("old-home");
    copy(&home.path, &old);
    let node = home.up();
    fs::write(folder.join("later"), b"later").unwrap();
    owner.backup(&folder, &PROTECTED).ended(0);
    assert!(node.terminate().success());
    home.delete();
    copy(&old, &home.path);
    let back = home.up();
    circle.owner.1.kill();
    owner.delete();

    let new = world.home("new");
    let recovered = new.recover(&circle.phrase, back.address()).ended(0);
    assert_eq!(recovered.last()["snapshots"], 2, "{recovered:?}");
    let is_named = |line: &serde_json::Value| {
        line["message_type"] == "warning"
            && line["kind"] == "old_journal"
            && line["peer_id"] == back.peer_id.as_str()
    };
    assert!(recovered.lines().iter().any(is_named), "{recovered:?}");
    new.assert_restores(&folder, &world.path("back"));
}

#[test]
fn a_cloned_home_loses_nothing_and_is_noticed() {
    let world = World::new();
    let folder = world.folder("folder");
    let circle = Circle::of(&world, 2, &[]);
    let (owner, node) = circle.owner;
    owner.backup(&folder, &PROTECTED).ended(0);
    assert!(node.terminate().success());
    let clone = world.home("clone");
    copy(&owner.path, &clone.path);

    fs::write(folder.join("first"), b"first").unwrap();
    owner.backup(&folder, &PROTECTED).ended(0);
    fs::write(folder.join("second"), b"second").unwrap();
    let noticed = clone.backup(&folder, &PROTECTED).ended(0);
    assert!(
        noticed.stdout.contains("two_lines"),
        "a device that exists twice is said: {noticed:?}"
    );
    let new = world.home("new");
    let recovered = new.recover(&circle.phrase, circle.hosts[0].1.address()).ended(0);
    assert_eq!(recovered.last()["snapshots"], 3, "{recovered:?}");
    new.assert_restores(&folder, &world.path("back"));
}

#[test]
fn an_invitation_admits_as_often_as_it_says_and_not_after_its_end() {
    let world = World::new();
    let owner = world.home("owner");
    owner.init(&[]);
    let _node = owner.up();
    let once = owner.invite(&[]);
    world.home("first").join(&once, &[]).ended(0);
    let second = world.home("second");
    assert_ne!(second.join(&once, &[]).code, 0, "a used invitation admits nobody");

    let short = owner.invite(&["--expires", "1s", "--uses", "100"]);
    eventually("an expired invitation is refused", || {
        let late = world.home("late");
        let ran = late.join(&short, &[]);
        if ran.code == 0 {
            late.delete();
            return false;
        }
        assert_eq!(ran.last()["kind"], "expired", "{ran:?}");
        true
    });
    let wrong = world.home("wrong");
    for line in ["nuthatch1:zzzz", "", "hello"] {
        assert_ne!(wrong.join(line, &[]).code, 0);
        assert!(!wrong.path.exists(), "a failed join leaves no home");
    }
    let members = owner.run(["peers"]).ended(0).last();
    assert!(!members.as_array().unwrap().is_empty());
}

/// Somebody has read the invitation and was first. Both sides are told, and a person can let the friend in all the same.
#[test]
fn whoever_finds_the_invitation_used_waits_until_a_person_lets_it_in() {
    let world = World::new();
    let owner = world.home("owner");
    owner.init(&[]);
    let _node = owner.up();
    let once = owner.invite(&[]);
    let thief = world.home("thief");
    let thief_id = thief.join(&once, &["--name", "thief"]).ended(0).last()["peer_id"].clone();
    let waiting = |args: &[&str]| {
        owner
            .run(["circle", "waiting"].iter().chain(args))
            .ended(0)
            .last()
    };
    assert_eq!(waiting(&[]).as_array().unwrap().len(), 0);

    let friend = world.home("friend");
    let told = friend.join(&once, &["--name", "friend"]).ended(75).last();
    assert_eq!(told["kind"], "waits", "{told}");
    let friend_id = friend.run(["status"]).ended(0).last()["peer_id"].clone();
    let friend_id = friend_id.as_str().unwrap();
    let hint = told["hint"].as_str().unwrap();
    assert!(
        hint.contains(&format!("nuthatch circle approve {friend_id}")),
        "{hint}"
    );
    let attention = owner.run(["status"]).ended(0).last()["attention"].clone();
    let item = attention
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["kind"] == "invitation_waiting");
    assert_eq!(item.unwrap()["command"], "nuthatch circle waiting", "{attention}");

    let listed = waiting(&[]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        (&listed[0]["peer_id"], &listed[0]["name"]),
        (&friend_id.into(), &"friend".into())
    );
    assert_eq!(
        listed[0]["used_by"][0]["peer_id"], thief_id,
        "who was first is named"
    );

    // Only an admin decides, and only on who waits.
    assert_eq!(
        thief.run(["circle", "approve", friend_id]).ended(1).last()["kind"],
        "not_admin"
    );
    let nobody = owner.run(["circle", "approve", "12D3KooWnobody"]).ended(1).last();
    assert_eq!(nobody["kind"], "not_waiting");
    let end = &friend_id[friend_id.len() - 8..];
    let approved = owner.run(["circle", "approve", end]).ended(0).last();
    assert_eq!(
        (&approved["peer_id"], &approved["members"]),
        (&friend_id.into(), &3.into())
    );
    assert_eq!(waiting(&[]).as_array().unwrap().len(), 0);
    let joined = friend.join(&once, &[]).ended(0).last();
    assert_eq!(joined["peer_id"], friend_id, "the node that asked");
    let attention = owner.run(["status"]).ended(0).last()["attention"].clone();
    let kinds = attention
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["kind"].as_str().unwrap());
    assert!(
        kinds.into_iter().all(|kind| !kind.starts_with("invitation")),
        "{attention}"
    );
}

#[test]
fn the_words_of_another_archive_open_nothing_here() {
    let world = World::new();
    let folder = world.folder("folder");
    let circle = Circle::of(&world, 2, &[]);
    circle.owner.0.backup(&folder, &PROTECTED).ended(0);
    let stranger = world.home("stranger");
    let others_phrase = stranger.init(&[]);
    let new = world.home("new");
    let refused = new.recover(&others_phrase, circle.hosts[0].1.address());
    refused.ended(12);
    assert!(
        !new.path.exists(),
        "nothing is left of a recovery that found nothing"
    );
}

/// Copies a directory with everything in it.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}
