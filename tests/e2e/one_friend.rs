//! The smallest circle: one owner, one friend.

use crate::harness::{World, eventually};

#[test]
fn owner_deleted_one_friend_the_phrase_strictly_identical() {
    let world = World::new();
    let (owner, friend) = (world.home("owner"), world.home("friend"));
    let folder = world.folder("folder");
    let phrase = owner.init(&[]);
    let owner_node = owner.up();
    let joined = friend.join(&owner.invite(&[]), &[]).ended(0).last();
    assert_eq!(joined["members"], 2);
    let friend_node = friend.up();

    let summary = owner
        .backup(&folder, &["--wait", "recoverable", "--wait-for", "4m"])
        .ended(0)
        .summary();
    assert_ne!(summary["protection"], "staged");
    assert_eq!((&summary["hosts"], &summary["errors"]), (&1.into(), &0.into()));

    owner_node.kill();
    owner.delete();

    let new = world.home("new");
    let peer = friend_node.address();
    let look = [&[
        "recover",
        "--list",
        "--peer",
        peer,
        "--phrase-file",
        "-",
        "--no-mdns",
    ][..]]
    .concat();
    let listed = new.run_with_input(look, phrase.as_bytes()).ended(0).lines();
    let row = listed.iter().find(|line| line["message_type"] == "snapshot");
    assert_eq!(
        row.expect("a snapshot")["id"],
        summary["snapshot_id"],
        "{listed:?}"
    );
    assert!(!new.path.exists(), "a look leaves nothing here");
    let recovered = new.recover(&phrase, friend_node.address()).ended(0).last();
    assert_eq!(
        (&recovered["hosts"], &recovered["snapshots"]),
        (&1.into(), &1.into())
    );
    let snapshots = new.run(["snapshots"]).ended(0).last();
    assert_eq!(snapshots[0]["id"], summary["snapshot_id"]);
    new.assert_restores(&folder, &world.path("back"));
    let again = new.assert_restores(&folder, &world.path("back"));
    assert_eq!(
        again["files_restored"], 0,
        "what is right already is left alone: {again}"
    );
}

#[test]
fn a_backup_without_hosts_is_staged_and_sent_when_a_friend_comes() {
    let world = World::new();
    let (owner, friend) = (world.home("owner"), world.home("friend"));
    let folder = world.folder("folder");
    owner.init(&[]);
    let ran = owner
        .backup(&folder, &["--wait", "protected", "--wait-for", "2s"])
        .ended(14);
    assert_eq!(ran.summary()["protection"], "staged");
    assert_eq!(ran.last()["message_type"], "error");
    assert_eq!(
        owner.backup(&folder, &[]).ended(0).summary()["protection"],
        "staged"
    );

    let _owner_node = owner.up();
    friend.join(&owner.invite(&[]), &[]).ended(0);
    let _friend_node = friend.up();
    eventually("the staged backup is sent", || {
        let status = owner.run(["status"]).ended(0).last();
        status["protection"] != "staged" && status["staged_bytes"] == 0
    });
}

#[test]
fn a_second_computer_shares_the_archive() {
    let world = World::new();
    let (first, friend, second) = (world.home("first"), world.home("friend"), world.home("second"));
    let folder = world.folder("folder");
    let phrase = first.init(&[]);
    let first_node = first.up();
    friend.join(&first.invite(&[]), &[]).ended(0);
    let friend_node = friend.up();
    let wait = ["--wait", "recoverable", "--wait-for", "4m"];
    first.backup(&folder, &wait).ended(0);

    second.recover(&phrase, friend_node.address()).ended(0);
    let second_node = second.up();
    let summary = second.backup(&folder, &wait).ended(0).summary();
    let added = summary["bytes_added"].as_u64().unwrap();
    assert!(
        added < 100_000,
        "the second computer knows what the first has sent: {summary}"
    );
    first.backup(&folder, &wait).ended(0);
    for home in [&first, &second] {
        eventually("both computers see each other's snapshots", || {
            home.run(["snapshots"]).ended(0).last().as_array().unwrap().len() == 3
        });
        // By what the friend shows this computer after it has learned of them; the next inventory by itself is hours away.
        eventually("both computers know that each other's snapshots are safe", || {
            let snapshots = home.run(["snapshots"]).ended(0).last();
            snapshots
                .as_array()
                .unwrap()
                .iter()
                .all(|snapshot| snapshot["protection"] == "protected")
        });
    }
    drop((first_node, second_node));
}
