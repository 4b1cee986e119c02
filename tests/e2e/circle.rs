//! A circle of six, as separate processes.

use crate::harness::{Home, Node, World};

/// The owner's home and node, and the hosts', all in one circle.
pub(crate) struct Circle {
    pub(crate) owner: (Home, Node),
    pub(crate) hosts: Vec<(Home, Node)>,
    pub(crate) phrase: String,
}

impl Circle {
    /// An owner with so many hosts; `init` gets these flags besides.
    #[track_caller]
    pub(crate) fn of(world: &World, host_count: usize, init: &[&str]) -> Self {
        let owner = world.home("owner");
        let phrase = owner.init(init);
        let owner_node = owner.up();
        let invitation = owner.invite(&["--uses", &host_count.to_string()]);
        let hosts = (0..host_count).map(|number| {
            let home = world.home(&format!("host-{number}"));
            home.join(&invitation, &["--name", &format!("host-{number}")])
                .ended(0);
            let node = home.up();
            (home, node)
        });
        let hosts = hosts.collect();
        Self {
            owner: (owner, owner_node),
            hosts,
            phrase,
        }
    }

    /// Kills the owner's node and deletes its home.
    pub(crate) fn lose_owner(self) -> (Vec<(Home, Node)>, String) {
        let (home, node) = self.owner;
        node.kill();
        home.delete();
        (self.hosts, self.phrase)
    }
}

/// Waits for a protected backup.
pub(crate) const PROTECTED: [&str; 4] = ["--wait", "protected", "--wait-for", "4m"];

#[test]
fn owner_and_two_of_five_hosts_lost_and_the_rest_at_other_ports() {
    let world = World::new();
    let folder = world.folder("folder");
    let circle = Circle::of(&world, 5, &[]);
    let summary = circle.owner.0.backup(&folder, &PROTECTED).ended(0).summary();
    assert_eq!(summary["protection"], "protected", "{summary}");
    assert!(summary["survives_losses"].as_u64() >= Some(2), "{summary}");

    let (mut hosts, phrase) = circle.lose_owner();
    for at in [3, 1] {
        let (home, node) = hosts.remove(at);
        node.kill();
        home.delete();
    }
    // The others come back elsewhere: port 0 is a new port at each start.
    let hosts: Vec<(Home, Node)> = hosts
        .into_iter()
        .map(|(home, node)| {
            let before = node.addresses.clone();
            assert!(node.terminate().success());
            let node = home.up();
            assert_ne!(before, node.addresses);
            (home, node)
        })
        .collect();

    let new = world.home("new");
    let recovered = new.recover(&phrase, hosts[0].1.address()).ended(0).last();
    assert_eq!(recovered["snapshots"], 1, "{recovered}");
    new.assert_restores(&folder, &world.path("back"));
    let verified = new.run(["verify", "--read-data"]).ended(0).summary();
    assert_eq!(verified["damaged"], serde_json::json!([]));
}

#[test]
fn peers_shows_who_is_there_and_what_they_keep() {
    let world = World::new();
    let folder = world.folder("folder");
    let mut circle = Circle::of(&world, 2, &[]);
    circle.owner.0.backup(&folder, &PROTECTED).ended(0);
    let peers = circle.owner.0.run(["peers"]).ended(0).last();
    let peers = peers.as_array().expect("a list");
    assert_eq!(peers.len(), 2);
    for peer in peers {
        assert_eq!(peer["state"], "online", "{peer}");
        assert!(peer["hosted_for_me"].as_u64() > Some(0), "{peer}");
        assert!(
            peer["name"].as_str().expect("a name").starts_with("host-"),
            "{peer}"
        );
    }
    let (_, node) = circle.hosts.remove(0);
    let gone = node.peer_id.clone();
    node.kill();
    crate::harness::eventually("a host that was killed is away", || {
        let peers = circle.owner.0.run(["peers"]).ended(0).last();
        peers
            .as_array()
            .expect("a list")
            .iter()
            .any(|peer| peer["peer_id"] == gone.as_str() && peer["state"] == "away")
    });
    let kit = circle.owner.0.run(["kit"]).ended(0).last();
    assert_eq!(kit["hosts"].as_array().map(Vec::len), Some(2), "{kit}");
}
