//! Keeping data alive: hosts that are given up, that leave, that never come back, and what is rebuilt for them.

use std::fs::OpenOptions;
use std::io::Write as _;

use nuthatch_daemon::clock;
use nuthatch_format::Span;
use serde_json::Value;

use crate::circle::PROTECTED;
use crate::folder::Amounts;
use crate::harness::{Home, Node, World, eventually};

/// A few files more.
const MORE: Amounts = Amounts {
    small: (10, 4 << 10),
    middle: (2, 128 << 10),
    large: (0, 0),
    huge: (0, 0),
};

/// An owner with hosts that come and go, whose periods are short.
struct Friends<'w> {
    world: &'w World,
    owner: Home,
    _node: Node,
    hosts: Vec<(String, Home, Node)>,
    joined: usize,
}

impl<'w> Friends<'w> {
    /// An owner whose hosts are gone after `grace`, with so many hosts.
    #[track_caller]
    fn of(world: &'w World, count: usize, grace: &str, init: &[&str]) -> Self {
        let owner = world.home("owner");
        owner.init(init);
        set_periods(&owner, grace);
        let node = owner.up();
        let mut friends = Self {
            world,
            owner,
            _node: node,
            hosts: Vec::new(),
            joined: 0,
        };
        for _ in 0..count {
            friends.join();
        }
        friends
    }

    /// A new host joins.
    #[track_caller]
    fn join(&mut self) -> String {
        let name = format!("host-{}", self.joined);
        self.joined += 1;
        let home = self.world.home(&name);
        let invitation = self.owner.invite(&[]);
        home.join(&invitation, &["--name", &name]).ended(0);
        let node = home.up();
        self.hosts.push((name.clone(), home, node));
        name
    }

    /// Kills a host and deletes its home; its name.
    #[track_caller]
    fn kill(&mut self, at: usize) -> String {
        let (name, home, node) = self.hosts.remove(at);
        node.kill();
        home.delete();
        name
    }

    #[track_caller]
    fn peer(&self, name: &str) -> Value {
        let peers = self.owner.run(["peers"]).ended(0).last();
        let peers = peers.as_array().expect("a list");
        let found = peers.iter().find(|peer| peer["name"] == name);
        found.cloned().unwrap_or(Value::Null)
    }

    #[track_caller]
    fn status(&self) -> Value {
        self.owner.run(["status"]).ended(0).last()
    }

    /// Whether `status` names something of this kind.
    #[track_caller]
    fn attention(&self, kind: &str) -> bool {
        let status = self.status();
        let items = status["attention"].as_array().expect("a list");
        items.iter().any(|item| item["kind"] == kind)
    }

    /// Waits until a peer is as wanted.
    #[track_caller]
    fn until_peer(&self, name: &str, key: &str, value: &str) {
        eventually(&format!("{name}: {key} is {value}"), || {
            self.peer(name)[key] == value
        });
    }

    /// Waits until the last backup survives so many losses.
    #[track_caller]
    fn until_survives(&self, losses: u64) {
        eventually(&format!("it survives {losses} losses"), || {
            self.status()["survives_losses"].as_u64() == Some(losses)
        });
    }
}

/// Periods of seconds, in the settings of a home.
fn set_periods(home: &Home, grace: &str) {
    let path = home.path.join("config.toml");
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .expect("there are settings");
    write!(
        file,
        "\n[periods]\ngrace = \"{grace}\"\nrepair = \"200ms\"\ninventory = \"2s\"\n"
    )
    .expect("settings are written");
}

#[test]
fn what_a_lost_host_kept_is_rebuilt_on_another() {
    let world = World::new();
    let folder = world.folder("folder");
    let mut friends = Friends::of(&world, 3, "1h", &["--survive", "1"]);
    friends.owner.backup(&folder, &PROTECTED).ended(0);
    // Of three shards one is enough.
    friends.until_survives(2);

    let online = friends.owner.run(["peer", "lost", "host-0"]).ended(1).last();
    assert_eq!(online["kind"], "peer_online", "{online}");
    let lost = friends.kill(0);
    friends.until_peer(&lost, "state", "away");
    let said = friends.owner.run(["peer", "lost", &lost]).ended(0).last();
    assert_eq!(said["health"], "lost", "{said}");
    assert_eq!(friends.peer(&lost)["state"], "lost");
    friends.until_survives(1);
    // Nobody can take what is missing.
    let plan = friends.owner.run(["repair", "--dry-run"]).ended(0).last();
    assert!(plan["packs_due"].as_u64() > Some(0), "{plan}");
    assert_eq!(plan["waiting_for_room"], plan["packs_due"], "{plan}");
    let waits = friends.owner.run(["repair"]).ended(14).summary();
    assert_eq!(waits["waiting_for_room"], waits["packs_due"], "{waits}");

    let new = friends.join();
    friends.until_survives(2);
    assert!(friends.peer(&new)["hosted_for_me"].as_u64() > Some(0));
    let done = friends.owner.run(["repair"]).ended(0).summary();
    assert_eq!(done["packs_due"], 0, "{done}");
    // The others are no longer needed for what the lost one had.
    let verified = friends.owner.run(["verify", "--read-data"]).ended(0).summary();
    assert_eq!(verified["damaged"], serde_json::json!([]));
    friends.owner.assert_restores(&folder, &world.path("back"));
}

#[test]
fn every_host_but_as_many_as_it_takes_is_replaced_one_after_another_and_all_is_there() {
    let world = World::new();
    let folder = world.folder("folder");
    // 2+3 over five hosts.
    let mut friends = Friends::of(&world, 5, "6s", &["--survive", "2"]);
    friends.owner.backup(&folder, &PROTECTED).ended(0);
    friends.until_survives(3);
    for replaced in 0..3 {
        if replaced == 2 {
            // From here on the files are not what they were: what is to be rebuilt comes from hosts.
            let verified = friends.owner.run(["verify", "--read-data"]).ended(0).summary();
            assert_eq!(verified["damaged"], serde_json::json!([]));
            std::fs::rename(&folder, world.path("moved")).expect("a folder is moved away");
        }
        let before = friends.status()["survives_losses"].as_u64().expect("a number");
        let lost = friends.kill(0);
        friends.until_peer(&lost, "state", "gone");
        assert_eq!(friends.peer(&lost)["health"], "gone");
        assert!(friends.attention("host_gone"), "{}", friends.status());
        friends.join();
        if replaced == 0 {
            // Four shards of five still survive two losses: that is waited for.
            friends.until_survives(before - 1);
        } else {
            friends.until_survives(2);
        }
        assert_eq!(friends.status()["protection"], "protected");
        let done = friends.owner.run(["repair"]).ended(0).summary();
        assert_eq!(done["packs_due"], 0, "{done}");
        let repair = &friends.status()["repair"];
        let count = |key: &str| repair[key].as_u64().expect("a number");
        match replaced {
            0 => assert_eq!((count("from_files"), count("from_shards")), (0, 0), "{repair}"),
            1 => {
                assert!(count("from_files") >= 1, "{repair}");
                assert_eq!((count("from_shards"), count("bytes_fetched")), (0, 0), "{repair}");
            }
            _ => assert!(
                count("from_shards") >= 2 && count("bytes_fetched") > 0,
                "{repair}"
            ),
        }
    }
    let names: Vec<&str> = friends.hosts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["host-3", "host-4", "host-5", "host-6", "host-7"]);
    let verified = friends.owner.run(["verify", "--read-data"]).ended(0).summary();
    assert_eq!(verified["damaged"], serde_json::json!([]));
    std::fs::rename(world.path("moved"), &folder).expect("the folder is put back");
    friends.owner.assert_restores(&folder, &world.path("back"));
}

#[test]
fn a_leaving_host_is_drained_and_may_be_switched_off() {
    let world = World::new();
    let folder = world.folder("folder");
    let mut friends = Friends::of(&world, 3, "1h", &["--survive", "1"]);
    friends.owner.backup(&folder, &PROTECTED).ended(0);
    friends.until_survives(2);
    let said = friends.owner.run(["peer", "drain", "host-1"]).ended(0).last();
    assert_eq!(said["health"], "leaving", "{said}");
    // What it has can be read, and counts no more.
    friends.until_survives(1);
    friends.join();
    friends.until_peer("host-1", "health", "drained");
    friends.until_survives(2);
    assert!(friends.attention("drained"), "{}", friends.status());
    let kept = friends.peer("host-1")["hosted_for_me"].as_u64();
    let again = friends.owner.backup(&world.folder_of("more", &MORE), &PROTECTED);
    again.ended(0);
    assert_eq!(
        friends.peer("host-1")["hosted_for_me"].as_u64(),
        kept,
        "it is given nothing new"
    );
    friends.kill(1);
    let verified = friends.owner.run(["verify", "--read-data"]).ended(0).summary();
    assert_eq!(verified["damaged"], serde_json::json!([]));
    friends.until_peer("host-1", "state", "away");
    friends.owner.run(["peer", "lost", "host-1"]).ended(0);
    friends.owner.run(["repair"]).ended(0);
    let kept = friends.owner.run(["peer", "keep", "host-1"]).ended(0).last();
    assert_eq!(kept["health"], "sound", "{kept}");
    let nobody = friends.owner.run(["peer", "lost", "nobody"]).ended(1).last();
    assert_eq!(nobody["kind"], "no_such_peer", "{nobody}");
}

#[test]
fn hosts_that_vanish_together_are_our_own_link_and_nothing_is_done() {
    let world = World::new();
    let folder = world.folder("folder");
    let mut friends = Friends::of(&world, 3, "3s", &["--survive", "1"]);
    friends.owner.backup(&folder, &PROTECTED).ended(0);
    friends.until_survives(2);
    let homes: Vec<(String, Home)> = friends
        .hosts
        .drain(..)
        .map(|(name, home, node)| {
            node.kill();
            (name, home)
        })
        .collect();
    eventually("the link is taken for cut", || friends.attention("link_cut"));
    // Several graces pass.
    let until = clock::now().after(Span::from_secs(10));
    eventually("time passes", || clock::now() > until);
    for (name, _) in &homes {
        assert_eq!(friends.peer(name)["state"], "away");
    }
    assert_eq!(friends.status()["survives_losses"], 2);
    for (name, home) in homes {
        let node = home.up();
        friends.hosts.push((name, home, node));
    }
    eventually("the link is back", || !friends.attention("link_cut"));
    eventually("all are back", || friends.status()["hosts_online"] == 3);
    friends.owner.run(["repair"]).ended(0);
    let repair = &friends.status()["repair"];
    assert_eq!(repair["shards_placed"], 0, "{repair}");
    assert_eq!(friends.status()["survives_losses"], 2);
}
