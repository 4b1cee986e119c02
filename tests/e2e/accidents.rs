//! Everyday accidents: files that can't be read or change, full hosts, full disks, nobody there.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::circle::{Circle, PROTECTED};
use crate::harness::{LOOPBACK, World, finish};

#[test]
fn a_file_that_can_not_be_read_is_exit_3_and_the_rest_is_backed_up() {
    let world = World::new();
    let folder = world.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("fine"), b"fine").unwrap();
    fs::write(folder.join("locked"), b"locked").unwrap();
    fs::set_permissions(folder.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = if rustix::process::geteuid().is_root() {
        backup_as_nobody(&world, &folder)
    } else {
        let home = world.home("me");
        home.init(&[]);
        home.backup(&folder, &[])
    };
    let summary = ran.ended(3);
    assert_eq!(summary.summary()["errors"], 1);
    let warned = summary.lines().into_iter().any(|line| {
        line["message_type"] == "warning"
            && line["kind"] == "unreadable"
            && line["path"]
                .as_str()
                .is_some_and(|path| path.ends_with("/locked"))
    });
    assert!(warned, "{summary:?}");
}

/// The superuser reads everything, so somebody else has to try.
fn backup_as_nobody(world: &World, folder: &Path) -> crate::harness::Ran {
    const NOBODY: u32 = 65_534;
    let place = world.path("nobody");
    fs::create_dir(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(place.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = world.path("nuthatch");
    fs::copy(env!("CARGO_BIN_EXE_nuthatch"), &program).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("NUTHATCH_HOME", place.join("home"))
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir("/");
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.arg("--json").args(args);
        finish(command, None)
    };
    run(&[&["init", "--no-passphrase", "--show-phrase"], &LOOPBACK[..]].concat()).ended(0);
    run(&["backup", folder.to_str().unwrap()])
}

#[test]
fn a_path_that_is_not_there_is_an_error_and_beside_others_a_warning() {
    let world = World::new();
    let home = world.home("me");
    home.init(&[]);
    let folder = world.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("fine"), b"fine").unwrap();
    let missing = world.path("missing");
    home.backup(&missing, &[]).ended(1);
    let ran = home
        .run([
            std::ffi::OsStr::new("backup"),
            folder.as_os_str(),
            missing.as_os_str(),
        ])
        .ended(3);
    assert_eq!(ran.summary()["files_new"], 1);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_backed_up_and_said() {
    let world = World::new();
    let home = world.home("me");
    home.init(&[]);
    let folder = world.path("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("log");
    fs::write(&path, vec![7; 64 << 20]).unwrap();
    let is_over = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                log.write_all(b"another line\n").unwrap();
            }
        });
        let ran = home.backup(&folder, &[]);
        is_over.store(true, Ordering::Relaxed);
        ran
    });
    assert!([0, 3].contains(&ran.code), "{ran:?}");
    assert!(ran.summary()["snapshot_id"].is_string());
    assert!(
        ran.lines().iter().any(|line| line["kind"] == "file_changed"),
        "{ran:?}"
    );
}

#[test]
fn full_hosts_are_exit_75_and_nothing_is_lost() {
    let world = World::new();
    let folder = world.folder("folder");
    let (owner, host) = (world.home("owner"), world.home("host"));
    owner.init(&[]);
    let _owner_node = owner.up();
    let invitation = owner.invite(&[]);
    let join = [&["join", &invitation, "--quota", "1MB"], &LOOPBACK[..]].concat();
    host.run(join).ended(0);
    let _host_node = host.up();
    let ran = owner.backup(&folder, &["--wait", "recoverable", "--wait-for", "5s"]);
    let ran = ran.ended(75);
    assert_eq!(ran.summary()["protection"], "staged");
    owner.assert_restores(&folder, &world.path("back"));
}

#[test]
fn nobody_reachable_is_said_and_leaves_nothing_half_done() {
    let world = World::new();
    let other = world.home("other");
    let phrase = other.init(&[]);
    let new = world.home("new");
    let ran = new.recover(&phrase, "/ip4/127.0.0.1/tcp/9");
    let error = ran.ended(75).last();
    assert!(error["hint"].is_string(), "{error}");
    assert!(!new.path.exists());
    new.recover(&phrase, "not an address").ended(2);
    assert!(!new.path.exists());
}

#[test]
fn hosts_that_are_away_are_exit_75() {
    let world = World::new();
    let folder = world.folder("folder");
    let circle = Circle::of(&world, 2, &[]);
    let owner = circle.owner.0.clone();
    owner.backup(&folder, &PROTECTED).ended(0);
    for (_, node) in circle.hosts {
        node.kill();
    }
    fs::write(folder.join("new"), b"new").unwrap();
    let ran = owner
        .backup(&folder, &["--wait", "protected", "--wait-for", "3s"])
        .ended(75);
    assert_eq!(
        ran.summary()["waiting_for"].as_array().map(Vec::len),
        Some(2),
        "{ran:?}"
    );
    let restored = owner.run([
        "restore",
        "latest~1",
        "--target",
        world.path("back").to_str().unwrap(),
    ]);
    assert_eq!(restored.code, 75, "{restored:?}");
    let verified = owner.run(["verify", "latest~1", "--read-data"]).ended(75);
    let damaged = verified.summary()["damaged"].as_array().map(Vec::len);
    assert!(damaged > Some(0), "what is missing is named: {verified:?}");
}

#[test]
fn a_full_disk_of_ones_own_is_said_and_the_next_run_continues() {
    let world = World::new();
    let small = world.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=40m", "nuthatch"])
        .arg(&small)
        .output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        // Only the superuser of a whole machine may mount; elsewhere there is no small disk to fill.
        eprintln!("left out: this user may not mount a small disk to fill");
        return;
    }
    let unmount = Unmount(&small);
    let home = crate::harness::Home {
        path: small.join("home"),
    };
    home.init(&[]);
    // More than there is: the disk is to be full before staging is.
    let settings = home.path.join("config.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("staging = \"1GB\"\n{text}")).unwrap();
    let folder = world.path("folder");
    fs::create_dir(&folder).unwrap();
    let mut state = 1u64;
    let mut noise = Vec::with_capacity(60_000_000);
    while noise.len() < 60_000_000 {
        // Xorshift64 (Marsaglia 2003): must not compress, need not be random.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    fs::write(folder.join("large"), &noise).unwrap();
    let error = home.backup(&folder, &[]).ended(1).last();
    assert_eq!(error["kind"], "own_disk", "{error}");
    assert!(error["hint"].is_string(), "{error}");
    home.run(["status"]).ended(0);
    let grown = Command::new("mount")
        .args(["-o", "remount,size=200m"])
        .arg(&small)
        .status()
        .unwrap();
    assert!(grown.success());
    let summary = home.backup(&folder, &[]).ended(0).summary();
    let added = summary["bytes_added"].as_u64().unwrap();
    assert!(added < 50_000_000, "what was sealed is not made again: {summary}");
    home.assert_restores(&folder, &world.path("back"));
    drop(unmount);
}

/// Unmounts at the end, also of a test that failed.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}
