//! Processes that are killed in the middle of their work.

use std::fs;
use std::path::Path;

use crate::circle::{Circle, PROTECTED};
use crate::folder::Amounts;
use crate::harness::{World, eventually};

/// Enough packs that a kill falls between them: about 100 MB of noise.
const FOLDER: Amounts = Amounts {
    small: (50, 8 << 10),
    middle: (20, 128 << 10),
    large: (0, 0),
    huge: (4, 24 << 20),
};

/// Shards that may be in flight at a time (the engine's bound).
const IN_FLIGHT_MAX: u64 = 8;

/// Length of a full pack, in bytes.
const PACK_LEN: u64 = 16 << 20;

#[test]
fn an_owner_killed_in_a_backup_goes_on_where_it_was() {
    let world = World::new();
    let folder = world.folder_of("folder", &FOLDER);
    let circle = Circle::of(&world, 2, &[]);
    let (owner, node) = circle.owner;
    let mut command = owner.command();
    command.args(["--json", "backup"]).arg(&folder).args(PROTECTED);
    let running = std::thread::spawn(move || crate::harness::finish(command, None));
    eventually("a host keeps something", || {
        circle
            .hosts
            .iter()
            .any(|(host, _)| vault_bytes(&host.path) > PACK_LEN)
    });
    node.kill();
    assert_ne!(running.join().unwrap().code, 0);

    let kept: u64 = circle.hosts.iter().map(|(host, _)| vault_bytes(&host.path)).sum();
    let node = owner.up();
    let summary = owner.backup(&folder, &PROTECTED).ended(0).summary();
    assert_eq!(summary["protection"], "protected");
    let all: u64 = circle.hosts.iter().map(|(host, _)| vault_bytes(&host.path)).sum();
    let sent = summary["bytes_sent"].as_u64().unwrap();
    assert!(
        sent < all - kept + IN_FLIGHT_MAX * PACK_LEN + (4 << 20),
        "sent {sent}, kept {kept} of {all}"
    );
    owner.run(["verify", "--read-data"]).ended(0);
    node.kill();
    owner.delete();
    let new = world.home("new");
    new.recover(&circle.phrase, circle.hosts[0].1.address()).ended(0);
    new.assert_restores(&folder, &world.path("back"));
}

#[test]
fn a_host_killed_in_a_transfer_comes_back_and_gets_the_rest() {
    let world = World::new();
    let folder = world.folder_of("folder", &FOLDER);
    let mut circle = Circle::of(&world, 2, &[]);
    let owner = circle.owner.0.clone();
    let mut command = owner.command();
    command.args(["--json", "backup"]).arg(&folder).args(PROTECTED);
    let running = std::thread::spawn(move || crate::harness::finish(command, None));
    let (home, node) = circle.hosts.remove(0);
    eventually("the host keeps something", || vault_bytes(&home.path) > PACK_LEN);
    node.kill();
    let node = home.up();
    let ran = running.join().unwrap().ended(0);
    assert_eq!(ran.summary()["protection"], "protected");
    owner.run(["verify", "--read-data"]).ended(0);
    let (other, other_node) = circle.hosts.remove(0);
    other_node.kill();
    other.delete();
    owner.assert_restores(&folder, &world.path("back"));
    drop(node);
}

/// Bytes of all files in a home's vault.
fn vault_bytes(home: &Path) -> u64 {
    fn sum(path: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(path) else { return 0 };
        let each = entries
            .filter_map(Result::ok)
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => sum(&entry.path()),
                Ok(meta) => meta.len(),
                // It was renamed or removed since the listing.
                Err(_) => 0,
            });
        each.sum()
    }
    sum(&home.join("vault"))
}
