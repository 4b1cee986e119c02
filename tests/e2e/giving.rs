//! What a node gives to the others and takes from them: limits on the line, quotas, holidays, leaving, and fairness.

use crate::harness::World;

/// Bytes over time, with what may be saved up and a portion for each stream.
#[track_caller]
fn assert_kept_to(rate: f64, bytes: &serde_json::Value, seconds: &serde_json::Value) {
    let (bytes, seconds) = (bytes.as_f64().unwrap(), seconds.as_f64().unwrap());
    assert!(bytes > rate, "too little moved to tell: {bytes}");
    let most = rate * (seconds + 0.1) + 1e6;
    assert!(
        bytes <= most,
        "{bytes} bytes in {seconds} s at {rate} bytes a second"
    );
}

#[test]
fn limits_hold_at_once_in_a_running_node_and_after_its_restart() {
    let world = World::new();
    let (owner, friend) = (world.home("owner"), world.home("friend"));
    let folder = world.folder("folder");
    owner.init(&[]);
    let owner_node = owner.up();
    friend.join(&owner.invite(&[]), &[]).ended(0);
    let friend_node = friend.up();
    let none = owner.run(["limit"]).ended(0).last();
    assert!(none["up"].is_null() && none["down"].is_null(), "{none}");

    let set = owner
        .run(["limit", "--up", "1500kB", "--down", "1MB/s"])
        .ended(0)
        .last();
    assert_eq!((&set["up"], &set["down"]), (&1_500_000.into(), &1_000_000.into()));
    let summary = owner
        .backup(&folder, &["--wait", "recoverable", "--wait-for", "4m"])
        .ended(0)
        .summary();
    assert_kept_to(1_500_000.0, &summary["bytes_sent"], &summary["seconds"]);

    owner_node.kill();
    let kept = owner.run(["limit", "--up", "none"]).ended(0).last();
    assert!(
        kept["up"].is_null() && kept["down"] == 1_000_000,
        "without a running node too: {kept}"
    );
    let _owner_node = owner.up();
    let restored = owner.assert_restores(&folder, &world.path("back"));
    assert_kept_to(1_000_000.0, &restored["bytes_fetched"], &restored["seconds"]);
    owner.run(["limit", "--up", "1B"]).ended(2);
    drop(friend_node);
}
