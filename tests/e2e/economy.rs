//! What is sent when little or nothing has changed, and that hosts can read none of it.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::Value;

use crate::circle::{Circle, PROTECTED};
use crate::folder::Amounts;
use crate::harness::{Home, World, eventually};

/// Largest chunk, in bytes (docs/FORMAT.md).
const CHUNK_LEN_MAX: u64 = 1 << 20;

#[test]
fn nothing_changed_sends_next_to_nothing_and_one_byte_two_chunks() {
    let world = World::new();
    let amounts = Amounts {
        small: (100, 8 << 10),
        middle: (10, 128 << 10),
        large: (0, 0),
        huge: (1, 24 << 20),
    };
    let folder = world.folder_of("folder", &amounts);
    let circle = Circle::of(&world, 3, &[]);
    let owner = &circle.owner.0;
    let first = owner.backup(&folder, &PROTECTED).ended(0).summary();
    assert!(first["bytes_sent"].as_u64() > Some(24 << 20), "{first}");

    settle(owner);
    // The directories above the folder belong to it too, and other tests change those at any time: some run sees them at rest.
    let mut second = Value::Null;
    eventually("a backup in which nothing has changed", || {
        second = owner.backup(&folder, &PROTECTED).ended(0).summary();
        settle(owner);
        second["bytes_added"] == 0
    });
    assert_eq!(second["bytes_stored"], 0, "{second}");
    assert!(
        second["bytes_sent"].as_u64() < Some(3 * (64 << 10)),
        "segments to three hosts only: {second}"
    );

    let film = fs::OpenOptions::new()
        .write(true)
        .open(folder.join("films/000/00000.bin"))
        .unwrap();
    film.write_all_at(b"!", 12 << 20).unwrap();
    drop(film);
    let third = owner.backup(&folder, &PROTECTED).ended(0).summary();
    assert_eq!(third["files_changed"], 1, "{third}");
    // Three hosts: one data shard and two parity shards.
    let bound = 2 * CHUNK_LEN_MAX * 3 + (256 << 10);
    assert!(
        third["bytes_sent"].as_u64() < Some(bound),
        "at most {bound}: {third}"
    );
}

/// Waits until everything is sent: protection may be reached before the last spare shard is.
fn settle(owner: &Home) {
    eventually("everything is sent", || {
        owner.run(["status"]).ended(0).last()["staged_bytes"] == 0
    });
}

#[test]
fn hosts_hold_nothing_readable() {
    let world = World::new();
    let folder = world.folder("folder");
    let content: Vec<u8> = (0..64u8).map(|byte| byte.wrapping_mul(167) ^ 0x5a).collect();
    fs::create_dir(folder.join("planted-directory")).unwrap();
    fs::write(folder.join("planted-directory/planted-file"), &content).unwrap();
    std::os::unix::fs::symlink("planted-target", folder.join("planted-link")).unwrap();
    let circle = Circle::of(&world, 2, &[]);
    let owner = &circle.owner.0;
    let tagged = [&PROTECTED[..], &["--tag", "planted-tag"]].concat();
    let summary = owner.backup(&folder, &tagged).ended(0).summary();
    let root = summary["root_hash"].as_str().unwrap().to_owned();
    let root_bytes = data_encoding::HEXLOWER.decode(root.as_bytes()).unwrap();
    for (home, node) in circle.hosts {
        assert!(node.terminate().success());
        for (what, needle) in [
            ("a name", &b"planted-"[..]),
            ("content", &content),
            ("a hash of content", &root_bytes),
            ("a hash of content in digits", root.as_bytes()),
            ("the folder's path", folder.to_str().unwrap().as_bytes()),
        ] {
            let found = files_with(&home.path, needle);
            assert!(found.is_empty(), "{what} stands in {found:?}");
        }
    }
}

/// Files below a directory that contain these bytes.
pub(crate) fn files_with(directory: &Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let first = needle[0];
            let stands = bytes
                .iter()
                .enumerate()
                .any(|(at, byte)| *byte == first && bytes[at..].starts_with(needle));
            found.extend(stands.then_some(path));
        }
    }
    found
}
