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

/// The words of a JSON object that scripts may rely on.
#[track_caller]
fn assert_keys(found: &serde_json::Value, keys: &[&str]) {
    for key in keys {
        assert!(found.get(key).is_some(), "{key} is missing in {found}");
    }
}

#[test]
fn answers_have_the_documented_keys() {
    let world = World::new();
    let (home, folder) = (world.home("me"), world.folder("folder"));
    home.init(&[]);
    let planned = home.backup(&folder, &["--dry-run"]).ended(0).summary();
    assert!(planned["snapshot_id"].is_null(), "{planned}");
    assert_eq!(home.run(["snapshots"]).ended(0).last(), serde_json::json!([]));
    let backup = home.backup(&folder, &["--tag", "first"]).ended(0).summary();
    assert_eq!(backup["bytes_added"], planned["bytes_added"]);
    let counts = "files_new files_changed files_unmodified dirs_new dirs_changed dirs_unmodified bytes_processed bytes_added bytes_stored bytes_sent errors seconds";
    assert_keys(&backup, &counts.split(' ').collect::<Vec<_>>());
    let safety = ["protection", "survives_losses", "hosts"];
    assert_keys(&backup, &["snapshot_id", "root_hash", "waiting_for"]);
    assert_keys(&backup, &safety);
    let rows = home.run(["snapshots"]).ended(0).last();
    let row = &rows.as_array().expect("a list")[0];
    assert_keys(
        row,
        &[
            "id", "short_id", "time", "hostname", "username", "paths", "tags", "device", "bytes", "files",
        ],
    );
    assert_keys(row, &safety[..2]);
    let listed = home.run(["ls", "latest", "-R"]).ended(0).lines();
    let entries: Vec<_> = listed.iter().filter(|line| line.get("kind").is_some()).collect();
    assert!(entries.len() > 300, "{}", entries.len());
    for entry in entries {
        assert_keys(
            entry,
            &["path", "kind", "mode", "uid", "gid", "size", "mtime", "target"],
        );
    }
    let restored = home.assert_restores(&folder, &world.path("back"));
    assert_keys(
        &restored,
        &[
            "files_restored",
            "files_unchanged",
            "bytes_restored",
            "bytes_fetched",
            "errors",
            "seconds",
        ],
    );
    let verified = home.run(["verify"]).ended(0).summary();
    assert_keys(&verified, &["packs", "shards", "bytes_read", "damaged"]);
    assert_eq!(home.run(["peers"]).ended(0).last(), serde_json::json!([]));
    let status = home.run(["status"]).ended(0).last();
    assert_keys(
        &status,
        &["last_backup", "staged_bytes", "last_proof", "attention"],
    );
    assert_keys(&status, &safety);
    for attention in status["attention"].as_array().expect("a list") {
        assert_keys(attention, &["kind", "message", "command"]);
    }
    let kit = world.path("kit.txt");
    let answer = home.run(["kit", "--out", kit.to_str().unwrap()]).ended(0).last();
    let text = std::fs::read_to_string(&kit).unwrap();
    assert!(
        text.contains(answer["archive_id"].as_str().expect("an id")),
        "{text}"
    );
}

#[test]
fn snapshots_are_chosen_by_tag_host_and_path_and_named_by_their_place() {
    let world = World::new();
    let (home, folder) = (world.home("me"), world.path("folder"));
    std::fs::create_dir(&folder).unwrap();
    home.init(&[]);
    let mut ids = Vec::new();
    for tag in ["one", "two"] {
        std::fs::write(folder.join("file"), tag).unwrap();
        let summary = home.backup(&folder, &["--tag", tag]).ended(0).summary();
        ids.push(summary["snapshot_id"].as_str().unwrap().to_owned());
    }
    let chosen = |args: &[&str]| {
        let rows = home.run([&["snapshots"], args].concat()).ended(0).last();
        let ids = rows.as_array().unwrap().iter();
        ids.map(|row| row["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(chosen(&[]), ids);
    assert_eq!(chosen(&["--tag", "two"]), ids[1..]);
    assert_eq!(chosen(&["--path", folder.join("file").to_str().unwrap()]), ids);
    assert_eq!(chosen(&["--path", "/elsewhere"]), [""; 0]);
    assert_eq!(chosen(&["--host", "somebody-elses"]), [""; 0]);
    for (name, content) in [("latest", "two"), ("latest~1", "one"), (&ids[0][..10], "one")] {
        let target = world.path(&format!("back-{}", name.replace('~', "-")));
        let part = format!("{name}:{}", folder.display());
        home.run(["restore", &part, "--target", target.to_str().unwrap()])
            .ended(0);
        assert_eq!(
            std::fs::read_to_string(target.join("file")).unwrap(),
            content,
            "{name}"
        );
    }
    home.run(["verify", "latest~1"]).ended(0);
    let error = home.run(["ls", "latest~2"]).ended(1).last();
    assert!(error["hint"].is_string(), "{error}");
}

#[test]
fn a_restore_writes_what_was_asked_and_overwrites_as_asked() {
    let world = World::new();
    let (home, folder, target) = (world.home("me"), world.path("folder"), world.path("back"));
    std::fs::create_dir(&folder).unwrap();
    for (name, content) in [("a.txt", "a"), ("b.txt", "b"), ("c.log", "c")] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    home.init(&[]);
    home.backup(&folder, &[]).ended(0);
    let part = format!("latest:{}", folder.display());
    let restore = |more: &[&str]| {
        let args = [&["restore", &part, "--target", target.to_str().unwrap()], more].concat();
        home.run(args).ended(0).summary()
    };
    let planned = restore(&["--dry-run"]);
    assert_eq!((&planned["files_restored"], target.exists()), (&3.into(), false));
    let written = restore(&["--include", "*.txt", "--exclude", "b*"]);
    assert_eq!(written["files_restored"], 1);
    let read = |name: &str| std::fs::read_to_string(target.join(name)).ok();
    assert_eq!(
        (read("a.txt").as_deref(), read("b.txt"), read("c.log")),
        (Some("a"), None, None)
    );
    for (how, content) in [("never", "mine"), ("if-changed", "a"), ("always", "a")] {
        std::fs::write(target.join("a.txt"), "mine").unwrap();
        restore(&["--overwrite", how]);
        assert_eq!(read("a.txt").as_deref(), Some(content), "{how}");
    }
}

#[test]
fn standard_input_becomes_a_file() {
    let world = World::new();
    let (home, target) = (world.home("me"), world.path("back"));
    home.init(&[]);
    let args = ["backup", "--stdin", "--stdin-name", "dump.sql"];
    home.run_with_input(args, b"all of it").ended(0);
    let args = ["restore", "latest", "--target", target.to_str().unwrap()];
    home.run(args).ended(0);
    assert_eq!(std::fs::read(target.join("dump.sql")).unwrap(), b"all of it");
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
