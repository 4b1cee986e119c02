//! The comparison finds every kind of change. Beside the lab, because the whole-node tests share its files.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::lab::compare::{Privilege, compare, tally};

fn two_trees() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let (left, right) = (root.path().join("left"), root.path().join("right"));
    for tree in [&left, &right] {
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/file"), b"content").unwrap();
        fs::hard_link(tree.join("sub/file"), tree.join("again")).unwrap();
        std::os::unix::fs::symlink("nowhere", tree.join("link")).unwrap();
        settle(tree);
    }
    (root, left, right)
}

/// The same times everywhere, so that only what a test changes differs.
fn settle(tree: &Path) {
    for name in ["sub/file", "link", "sub", "."] {
        set_time(&tree.join(name), 1_000);
    }
}

fn set_time(path: &Path, nanos: u32) {
    let time = rustix::fs::Timespec {
        tv_sec: 1_000_000,
        tv_nsec: i64::from(nanos),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
}

fn found(left: &Path, right: &Path) -> Vec<String> {
    let comparison = compare(left, right, Privilege::current()).unwrap();
    assert_eq!(comparison.difference_count, comparison.differences.len() as u64);
    comparison.differences.iter().map(ToString::to_string).collect()
}

#[test]
fn equal_trees_have_no_difference() {
    let (_root, left, right) = two_trees();
    assert_eq!(found(&left, &right), Vec::<String>::new());
    let tally = tally(&left).unwrap();
    assert_eq!((tally.entries, tally.files, tally.bytes), (4, 2, 7));
}

#[test]
fn every_kind_of_change_is_found() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 10] = [
        ("content differs at byte 3", |tree| {
            fs::write(tree.join("sub/file"), b"conTent").unwrap();
            settle(tree);
        }),
        ("7 bytes became 8", |tree| {
            fs::write(tree.join("sub/file"), b"contents").unwrap();
            settle(tree);
        }),
        ("mode 644 became 600", |tree| {
            fs::set_permissions(tree.join("sub/file"), fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("time 1000000.000001000 became 1000000.000001001", |tree| {
            set_time(&tree.join("sub/file"), 1_001);
        }),
        ("points elsewhere", |tree| {
            fs::remove_file(tree.join("link")).unwrap();
            std::os::unix::fs::symlink("elsewhere", tree.join("link")).unwrap();
            settle(tree);
        }),
        ("is missing", |tree| {
            fs::remove_file(tree.join("link")).unwrap();
            set_time(tree, 1_000);
        }),
        ("was not there before", |tree| {
            fs::write(tree.join("new"), b"").unwrap();
            settle(tree);
        }),
        ("is another hard link", |tree| {
            fs::remove_file(tree.join("again")).unwrap();
            fs::copy(tree.join("sub/file"), tree.join("again")).unwrap();
            set_time(&tree.join("again"), 1_000);
            settle(tree);
        }),
        ("kind Symlink became RegularFile", |tree| {
            fs::remove_file(tree.join("link")).unwrap();
            fs::write(tree.join("link"), b"").unwrap();
            settle(tree);
        }),
        ("time", |tree| set_time(&tree.join("sub"), 999)),
    ];
    for (expected, change) in changes {
        let (_root, left, right) = two_trees();
        fs::set_permissions(left.join("sub/file"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(right.join("sub/file"), fs::Permissions::from_mode(0o644)).unwrap();
        change(&right);
        let found = found(&left, &right);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn a_hole_that_was_filled_is_a_difference() {
    let (_root, left, right) = two_trees();
    let len = 8 << 20;
    File::create(left.join("holes")).unwrap().set_len(len).unwrap();
    fs::write(right.join("holes"), vec![0; len as usize]).unwrap();
    for tree in [&left, &right] {
        set_time(&tree.join("holes"), 1);
        settle(tree);
    }
    if left.join("holes").metadata().unwrap().blocks() == 0 {
        assert_eq!(found(&left, &right), ["holes: holes differ"]);
    }
}

#[test]
fn nothing_restored_is_one_difference() {
    let (_root, left, right) = two_trees();
    assert_eq!(found(&left, &right.join("nothing")), [".: nothing was restored"]);
}
