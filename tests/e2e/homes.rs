//! One home and what is wrong with it: passphrases, settings, a second node, an interrupted one.

use std::fs;

use crate::harness::{LOOPBACK, World};

#[test]
fn init_answers_the_documented_keys_and_only_once() {
    let world = World::new();
    let home = world.home("me");
    let args = [
        &["init", "--no-passphrase", "--show-phrase", "--name", "desk"],
        &LOOPBACK[..],
    ]
    .concat();
    let answer = home.run(&args).ended(0).last();
    assert_eq!(answer["phrase"].as_str().unwrap().split(' ').count(), 24);
    for key in ["archive_id", "device_id", "peer_id"] {
        assert!(
            answer[key].as_str().is_some_and(|id| id.len() > 40),
            "{key}: {answer}"
        );
    }
    let again = home.run(&args).ended(1).last();
    assert!(again["message"].as_str().unwrap().contains("archive"), "{again}");
    let status = home.run(["status"]).ended(0).last();
    assert_eq!(
        (&status["peer_id"], &status["name"]),
        (&answer["peer_id"], &"desk".into())
    );
    assert!(
        status["attention"].is_array() && status["last_backup"].is_null(),
        "{status}"
    );
}

#[test]
fn an_archive_that_a_running_host_begins_has_what_was_chosen_for_it() {
    let world = World::new();
    let (owner, host, folder) = (world.home("owner"), world.home("host"), world.folder("folder"));
    owner.init(&[]);
    let _owner_node = owner.up();
    host.join(&owner.invite(&[]), &[]).ended(0);
    let _host_node = host.up();
    let choices = [
        "init",
        "--no-passphrase",
        "--show-phrase",
        "--quota",
        "7GB",
        "--survive",
        "3",
    ];
    host.run(choices).ended(0);
    let status = host.run(["status"]).ended(0).last();
    assert_eq!(status["quota_bytes"], 7_000_000_000_u64, "{status}");
    // With one other node in the circle three losses can't be survived, however long one waits.
    let ran = host.backup(&folder, &["--wait", "protected", "--wait-for", "4m"]);
    assert_eq!(ran.ended(14).last()["kind"], "not_enough_hosts");
    let before = std::fs::read_to_string(host.path.join("config.toml")).unwrap();
    host.run(["init", "--no-passphrase", "--show-phrase", "--quota", "8GB"])
        .ended(1);
    assert_eq!(
        std::fs::read_to_string(host.path.join("config.toml")).unwrap(),
        before
    );
}

#[test]
fn a_wrong_passphrase_is_exit_12() {
    let world = World::new();
    let home = world.home("me");
    let (right, wrong) = (
        world.secret("right", "correct horse\n"),
        world.secret("wrong", "battery staple\n"),
    );
    let right = right.to_str().unwrap();
    home.run(
        [
            &["init", "--show-phrase", "--passphrase-file", right],
            &LOOPBACK[..],
        ]
        .concat(),
    )
    .ended(0);
    let error = home
        .run(["ls", "latest", "--passphrase-file", wrong.to_str().unwrap()])
        .ended(12)
        .last();
    assert_eq!(error["message_type"], "error");
    home.run(["ls", "latest"]).ended(2);
    let no_snapshot = home.run(["ls", "latest", "--passphrase-file", right]);
    assert_eq!(no_snapshot.code, 1, "{no_snapshot:?}");
}

#[test]
fn secrets_are_for_their_user_only() {
    use std::os::unix::fs::MetadataExt as _;
    let world = World::new();
    let home = world.home("me");
    let phrase = home.init(&[]);
    let first_words: String = phrase.split(' ').take(3).collect::<Vec<_>>().join(" ");
    assert_eq!(
        fs::metadata(&home.path).unwrap().mode() & 0o077,
        0,
        "only the user enters a home"
    );
    let mut pending = vec![home.path.clone()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let found = bytes
                .windows(first_words.len())
                .any(|part| part == first_words.as_bytes());
            assert!(!found, "the phrase stands in {}", path.display());
        }
    }
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_name() {
    let world = World::new();
    let home = world.home("me");
    home.init(&[]);
    let file = home.path.join("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("quoota = \"5GB\"\n{text}")).unwrap();
    let error = home.run(["status"]).ended(2).last();
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("quoota") && message.contains("'quota'"),
        "{message}"
    );
}

#[test]
fn a_home_of_a_newer_format_is_left_alone() {
    let world = World::new();
    let home = world.home("me");
    home.init(&[]);
    let file = home.path.join("format");
    fs::write(&file, "nuthatch home 99\n").unwrap();
    for command in ["status", "up"] {
        let error = home.run([command]).ended(1).last();
        assert_eq!(error["kind"], "newer_home", "{error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "nuthatch home 99\n");
}

#[test]
fn a_second_node_on_one_home_is_refused_and_the_first_goes_on() {
    let world = World::new();
    let home = world.home("me");
    home.init(&[]);
    let node = home.up();
    let error = home.run(["up"]).ended(1).last();
    assert_eq!(error["kind"], "home_in_use", "{error}");
    assert_eq!(
        home.run(["status"]).ended(0).last()["peer_id"],
        node.peer_id.as_str()
    );
    assert_eq!(node.terminate().code(), Some(0), "SIGTERM is a good end");
    assert!(!home.path.join("node.sock").exists());
    home.up().kill();
    home.up();
}

#[test]
fn an_interrupted_command_is_exit_130() {
    let world = World::new();
    let home = world.home("me");
    home.init(&[]);
    let mut command = home.command();
    command
        .args(["--json", "backup", "--stdin", "--stdin-name", "endless"])
        .stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take();
    // The socket or lock shows that the command is at work on the home.
    crate::harness::eventually("the command holds the home", || {
        assert_eq!(child.try_wait().unwrap(), None, "the command is at work");
        home.run(["status"]).code != 0
    });
    crate::harness::signal(&child, rustix::process::Signal::INT);
    assert_eq!(crate::harness::wait(&mut child).code(), Some(130));
    drop(stdin);
    home.run(["status"]).ended(0);
}
