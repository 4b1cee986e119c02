//! What a node gives to the others and takes from them: limits on the line, quotas, holidays, leaving, and fairness.

use serde_json::Value;

use crate::harness::{Home, Node, World, eventually};

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

/// What a node says of the one other member of its circle.
#[track_caller]
fn other(home: &Home) -> Value {
    home.run(["peers"]).ended(0).last()[0].clone()
}

/// The kinds of what needs a person.
fn attention(home: &Home) -> Vec<String> {
    let status = home.run(["status"]).ended(0).last();
    let items = status["attention"].as_array().expect("a list").iter();
    items
        .map(|item| item["kind"].as_str().expect("a word").to_owned())
        .collect()
}

/// Adds lines to the settings of a home.
fn configure(home: &Home, lines: &str) {
    let path = home.path.join("config.toml");
    let before = std::fs::read_to_string(&path).expect("settings");
    std::fs::write(&path, format!("{before}\n{lines}\n")).expect("settings are written");
}

fn is_safe(home: &Home) -> bool {
    home.run(["status"]).ended(0).last()["protection"] != "staged"
}

/// Restores the snapshot before the last, which must be possible whatever is thought of its owner.
#[track_caller]
fn restore_the_one_before(home: &Home, target: &std::path::Path) {
    let args = ["restore", "latest~1", "--target"].map(std::ffi::OsStr::new);
    home.run([&args[..], &[target.as_os_str()]].concat()).ended(0);
}

/// An owner whose backup a friend keeps, who has no archive.
fn backed_up(world: &World) -> (Home, Home, [Node; 2]) {
    let (owner, friend) = (world.home("owner"), world.home("friend"));
    owner.init(&[]);
    let owner_node = owner.up();
    friend.join(&owner.invite(&[]), &[]).ended(0);
    let friend_node = friend.up();
    owner.backup(&world.folder("folder"), &WAIT).ended(0);
    (owner, friend, [owner_node, friend_node])
}

const WAIT: [&str; 4] = ["--wait", "recoverable", "--wait-for", "4m"];

#[test]
fn a_lower_quota_deletes_nothing_and_takes_nothing_new_until_it_is_raised() {
    let world = World::new();
    let (owner, friend, _nodes) = backed_up(&world);
    let more = world.folder("more");

    let lowered = friend.run(["host", "quota", "1MB"]).ended(0).last();
    assert!(lowered["over_bytes"].as_u64() > Some(1_000_000), "{lowered}");
    assert!(attention(&friend).contains(&"over_quota".to_owned()));
    let staged = owner.backup(&more, &[]).ended(0).summary();
    assert_eq!(staged["protection"], "staged", "nothing new is taken: {staged}");
    let kept = friend.run(["host", "quota"]).ended(0).last();
    assert!(
        kept["over_bytes"].as_u64() > Some(1_000_000),
        "nothing is deleted: {kept}"
    );
    restore_the_one_before(&owner, &world.path("back"));

    friend.run(["host", "quota", "50GB"]).ended(0);
    eventually("the raised quota is used", || is_safe(&owner));
}

#[test]
fn a_host_on_a_holiday_keeps_and_gives_what_it_has_and_takes_nothing_new() {
    let world = World::new();
    let (owner, friend, _nodes) = backed_up(&world);
    let more = world.folder("more");

    let paused = friend.run(["host", "pause", "--until", "1h"]).ended(0).last();
    assert_eq!(paused["stance"], "paused");
    eventually("the owner hears when the holiday ends", || {
        let peer = other(&owner);
        peer["stance"] == "paused" && peer["paused_until"] == paused["paused_until"]
    });
    assert!(attention(&owner).contains(&"host_paused".to_owned()));
    let staged = owner.backup(&more, &[]).ended(0).summary();
    assert_eq!(staged["protection"], "staged", "{staged}");
    restore_the_one_before(&owner, &world.path("back"));

    friend.run(["host", "resume"]).ended(0);
    eventually("the holiday is over, and what waited is taken", || {
        is_safe(&owner)
    });
    assert_eq!(other(&owner)["stance"], "open");
}

/// An owner and a friend who both have archives; the friend asks for something in return soon.
fn two_owners(world: &World, fair: &str) -> (Home, Home, [Node; 2]) {
    let (owner, ben) = (world.home("owner"), world.home("ben"));
    owner.init(&["--quota", "50GB", "--name", "anna"]);
    let owner_node = owner.up();
    ben.join(&owner.invite(&[]), &["--name", "ben"]).ended(0);
    ben.run(["init", "--no-passphrase", "--show-phrase"]).ended(0);
    configure(&ben, fair);
    let ben_node = ben.up();
    (owner, ben, [owner_node, ben_node])
}

#[test]
fn who_gives_too_little_is_warned_then_gets_no_more_and_is_welcome_again_when_it_gives() {
    let world = World::new();
    let fair = "[fair]\nallowance = \"6MB\"\nwarning = \"3s\"\nrelease = \"1h\"";
    let (owner, ben, _nodes) = two_owners(&world, fair);
    let (folder, more) = (world.folder("folder"), world.folder("more"));
    owner.backup(&folder, &WAIT).ended(0);
    eventually("ben notices that he keeps more than he gets", || {
        other(&ben)["balance_here"] != "even"
    });
    eventually("the owner hears of it, and what would help", || {
        other(&owner)["balance_there"] != "even" && attention(&owner).contains(&"unbalanced".to_owned())
    });
    eventually("nothing new is taken from then on", || {
        other(&owner)["balance_there"] == "stopped"
    });
    let refused = ben.run(["host", "release", "anna", "--yes"]).ended(1).last();
    assert_eq!(refused["kind"], "promised", "{refused}");
    let staged = owner.backup(&more, &[]).ended(0).summary();
    assert_eq!(staged["protection"], "staged", "{staged}");
    restore_the_one_before(&owner, &world.path("back"));

    ben.backup(&world.folder("bens"), &WAIT).ended(0);
    eventually("the account is even again", || {
        other(&ben)["balance_here"] == "even"
    });
    eventually("what waited is taken", || is_safe(&owner));
    eventually("both say the same of what each keeps for the other", || {
        other(&owner)["ledger_agrees"] == true && other(&ben)["ledger_agrees"] == true
    });
    assert!(!attention(&owner).contains(&"unbalanced".to_owned()));
}

#[test]
fn what_was_announced_for_long_may_be_released_by_a_person_and_by_nobody_else() {
    let world = World::new();
    let fair = "[fair]\nallowance = \"6MB\"\nwarning = \"1s\"\nrelease = \"1s\"";
    let (owner, ben, _nodes) = two_owners(&world, fair);
    let folder = world.folder("folder");
    owner.backup(&folder, &WAIT).ended(0);
    eventually("it may be released", || {
        other(&ben)["balance_here"] == "releasable"
    });
    assert!(attention(&ben).contains(&"releasable".to_owned()));
    assert!(
        other(&ben)["hosted_for_them"].as_u64() > Some(6_000_000),
        "nothing goes by itself"
    );
    ben.run(["host", "release", "anna"]).ended(2);
    let released = ben.run(["host", "release", "anna", "--yes"]).ended(0).last();
    assert!(released["bytes"].as_u64() > Some(6_000_000), "{released}");
    let kept = other(&ben);
    assert!(kept["hosted_for_them"].as_u64() < Some(1_000_000), "{kept}");
}

#[test]
fn nothing_is_released_that_is_being_restored_and_a_generous_host_asks_nothing() {
    let world = World::new();
    let fair = "[fair]\nallowance = \"6MB\"\nwarning = \"1s\"\nrelease = \"1s\"";
    let (owner, ben, _nodes) = two_owners(&world, fair);
    let folder = world.folder("folder");
    owner.backup(&folder, &WAIT).ended(0);
    eventually("it may be released", || {
        other(&ben)["balance_here"] == "releasable"
    });
    owner.assert_restores(&folder, &world.path("back"));
    let refused = ben.run(["host", "release", "anna", "--yes"]).ended(1).last();
    assert_eq!(refused["kind"], "restoring", "{refused}");
    assert_eq!(
        ben.run(["host", "generous", "on"]).ended(0).last()["generous"],
        true
    );
    eventually("nothing is asked any more", || {
        let (here, there) = (other(&ben), other(&owner));
        here["balance_here"] == "even" && here["allowed_here"].is_null() && there["balance_there"] == "even"
    });
}

#[test]
fn a_host_is_told_what_its_line_can_promise_and_not_only_its_disk() {
    let world = World::new();
    let home = world.home("home");
    home.init(&["--quota", "5GB"]);
    let disk = home.run(["host", "quota"]).ended(0).last();
    assert_eq!(disk["safe_bound"], "disk");
    assert!(disk["upload_bytes_per_second"].is_null(), "{disk}");
    home.run(["limit", "--up", "64kB"]).ended(0);
    let line = home.run(["host", "quota", "6GB"]).ended(0).last();
    assert_eq!(line["quota_bytes"], 6_000_000_000_u64);
    // A month at 64 kB a second.
    let month = 64_000 * 30 * 86_400_u64;
    let safe = line["safe_bytes"].as_u64().expect("a number");
    assert!(safe <= month, "{line}");
    assert_eq!(line["safe_bound"] == "give_back", safe == month, "{line}");
}

#[test]
fn a_host_that_leaves_is_told_when_nothing_is_kept_there_alone() {
    let world = World::new();
    let homes = ["owner", "attic", "cellar"].map(|name| world.home(name));
    let [owner, attic, cellar] = &homes;
    let folder = world.folder("folder");
    owner.init(&[]);
    configure(owner, "[periods]\nrepair = \"1s\"");
    let _owner_node = owner.up();
    attic.join(&owner.invite(&[]), &["--name", "attic"]).ended(0);
    let attic_node = attic.up();
    owner.backup(&folder, &WAIT).ended(0);

    let leaving = attic.run(["host", "leave"]).ended(0).last();
    assert_eq!(
        (&leaving["stance"], &leaving["may_switch_off"]),
        (&"leaving".into(), &false.into())
    );
    eventually("the owner says how much it needs there", || {
        let told = attic.run(["host", "leave"]).ended(0).last();
        told["archives"][0]["needed_shards"].as_u64() > Some(0) && told["may_switch_off"] == false
    });
    eventually("the owner knows that it leaves", || {
        other(owner)["health"] == "leaving"
    });
    assert!(attention(owner).contains(&"host_leaving".to_owned()));

    cellar.join(&owner.invite(&[]), &["--name", "cellar"]).ended(0);
    let _cellar_node = cellar.up();
    eventually(
        "another keeps it all, and the leaving one may be switched off",
        || attic.run(["host", "leave"]).ended(0).last()["may_switch_off"] == true,
    );
    attic_node.kill();
    attic.delete();
    owner.assert_restores(&folder, &world.path("back"));
}

#[test]
fn one_member_may_have_a_quota_of_its_own() {
    let world = World::new();
    let fair = "generous = true";
    let (owner, ben, _nodes) = two_owners(&world, fair);
    let set = ben.run(["peer", "set", "anna", "--quota", "1MB"]).ended(0).last();
    assert_eq!((&set["name"], &set["quota"]), (&"anna".into(), &1_000_000.into()));
    let staged = owner.backup(&world.folder("folder"), &[]).ended(0).summary();
    assert_eq!(staged["protection"], "staged", "{staged}");
    assert!(other(&ben)["hosted_for_them"].as_u64() <= Some(1_000_000));
    ben.run(["peer", "set", "anna", "--quota", "none"]).ended(0);
    eventually("the quota is lifted", || is_safe(&owner));
}
