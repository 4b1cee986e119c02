//! Keeping data alive: hosts that are given up, that leave, that never come back, and what is rebuilt for them.

use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::Value;

use crate::circle::PROTECTED;
use crate::harness::{Home, Node, World, eventually};

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
