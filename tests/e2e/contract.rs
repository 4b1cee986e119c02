//! The command line's contract where no other node is needed: usage, help, exit codes, JSON.

use crate::harness::{World, finish};

/// Every command of the first milestone.
const COMMANDS: [&str; 14] = [
    "init",
    "up",
    "invite",
    "join",
    "peers",
    "backup",
    "snapshots",
    "ls",
    "restore",
    "verify",
    "status",
    "kit",
    "recover",
    "lab",
];

#[test]
fn every_command_has_help_with_examples() {
    let world = World::new();
    for name in COMMANDS {
        let mut command = world.home("none").command();
        command.args([name, "--help"]);
        let ran = finish(command, None).ended(0);
        assert!(
            ran.stdout.contains("Examples:") && ran.stdout.contains(&format!("nuthatch {name}")),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn wrong_usage_is_exit_2_and_json_where_that_was_asked() {
    let world = World::new();
    let home = world.home("none");
    for args in [
        &["fly"][..],
        &["bac", "x"],
        &["backup"],
        &["restore", "latest"],
        &["restore", "not-an-id", "--target", "x"],
        &["invite", "--expires", "soon"],
        &["init", "--quota", "much"],
        &["lab", "--nodes", "2", "--lose", "1"],
        &["init", "--no-passphrase"],
        &["init", "--show-phrase"],
        &["recover"],
    ] {
        let ran = home.run(args).ended(2);
        let error = ran.last();
        assert_eq!(
            (&error["message_type"], &error["code"]),
            (&"error".into(), &2.into()),
            "{args:?}"
        );
        assert!(error["hint"].is_string(), "{args:?}: {error}");
    }
    assert!(!home.path.exists(), "wrong usage makes nothing");
}

#[test]
fn an_empty_home_is_exit_10_and_stays_empty() {
    let world = World::new();
    let home = world.home("none");
    let target = world.path("target");
    for args in [
        &["up"][..],
        &["status"],
        &["peers"],
        &["invite"],
        &["snapshots"],
        &["kit"],
        &["verify"],
        &["ls", "latest"],
        &["backup", "/usr/share/doc"],
        &["restore", "latest", "--target", target.to_str().unwrap()],
    ] {
        let error = home.run(args).ended(10).last();
        assert_eq!(error["message_type"], "error", "{args:?}");
        assert!(
            error["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("nuthatch init")),
            "{args:?}: {error}"
        );
    }
    assert!(!home.path.exists() && !target.exists());
}

#[test]
fn a_phrase_that_is_none_is_exit_12_and_makes_nothing() {
    let world = World::new();
    let home = world.home("none");
    let wrong_word = "zebra ".repeat(23) + "zebbra";
    let wrong_checksum = "abandon ".repeat(24);
    for phrase in [wrong_word.as_str(), wrong_checksum.as_str(), "zebra", ""] {
        home.recover(phrase, "/ip4/127.0.0.1/tcp/1").ended(12);
        assert!(!home.path.exists());
    }
}

#[test]
fn errors_for_people_say_what_to_do() {
    let world = World::new();
    let mut command = world.home("none").command();
    command.arg("up");
    let ran = finish(command, None).ended(10);
    assert_eq!(ran.stdout, "");
    assert!(
        ran.stderr.starts_with("error: ") && ran.stderr.contains("→"),
        "{}",
        ran.stderr
    );
    assert!(
        !ran.stderr.contains('\u{1b}'),
        "no colours without a terminal: {}",
        ran.stderr
    );
}
