use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nuthatch_jobs::restore::{Overwrite, RestoreError};
use nuthatch_jobs::{Cancel, Silent, WarningKind};

use super::support::{Facts, Node, Watch, facts, is_root, noise};

/// One of everything that this user can make.
fn make_every_kind(root: &Path) {
    use rustix::fs::{CWD, FileType, Mode, XattrFlags};
    fs::create_dir_all(root.join("dir/empty")).unwrap();
    fs::write(root.join("dir/file"), b"hello").unwrap();
    fs::write(root.join("dir/empty-file"), b"").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"dir/\xff\xfe not utf-8")), b"x").unwrap();
    symlink("file", root.join("dir/link")).unwrap();
    symlink(OsStr::from_bytes(b"\xff/nowhere"), root.join("dangling")).unwrap();
    fs::hard_link(root.join("dir/file"), root.join("hard")).unwrap();
    fs::hard_link(root.join("dir/file"), root.join("dir/empty/hard")).unwrap();
    fs::write(root.join("big"), noise(3, 5 << 20)).unwrap();
    fs::write(root.join("text"), "all work and no play ".repeat(50_000)).unwrap();
    let fifo = root.join("pipe");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(&noise(4, 100_000), 8 << 20).unwrap();
    sparse.write_all_at(b"end", (40 << 20) - 3).unwrap();
    let hole = fs::File::create(root.join("only-hole")).unwrap();
    hole.set_len(10 << 20).unwrap();
    rustix::fs::setxattr(
        root.join("dir/file"),
        "user.colour",
        b"red\0blue",
        XattrFlags::empty(),
    )
    .unwrap();
    rustix::fs::setxattr(root.join("dir"), "user.of-dir", b"", XattrFlags::empty()).unwrap();
    fs::set_permissions(root.join("dir/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(root.join("dir/empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    if is_root() {
        rustix::fs::mknodat(
            CWD,
            root.join("char"),
            FileType::CharacterDevice,
            Mode::RUSR,
            rustix::fs::makedev(1, 3),
        )
        .unwrap();
        rustix::fs::mknodat(
            CWD,
            root.join("block"),
            FileType::BlockDevice,
            Mode::RUSR,
            rustix::fs::makedev(7, 200),
        )
        .unwrap();
        std::os::unix::fs::lchown(root.join("dir/link"), Some(12345), Some(54321)).unwrap();
        std::os::unix::fs::chown(root.join("big"), Some(12345), Some(54321)).unwrap();
    }
    // Times last: old, odd, before 1970, beyond 2038.
    for (path, secs, nanos) in [
        ("dir/file", -5_000_000, 123_456_789),
        ("big", 4_200_000_000, 1),
        ("dir/empty", 7, 0),
        ("dir", 1_000_000_007, 7),
        ("dir/link", 99, 5),
    ] {
        set_mtime(&root.join(path), secs, nanos);
    }
    set_mtime(root, 1_234_567, 89);
}

fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    let time = rustix::fs::Timespec {
        tv_sec: secs,
        tv_nsec: nanos,
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

#[track_caller]
fn assert_same(wanted: &Path, found: &Path) {
    let (wanted, found) = (facts(wanted), facts(found));
    for (path, facts) in &wanted {
        assert_eq!(found.get(path), Some(facts), "{}", path.display());
    }
    let extra: Vec<(&PathBuf, &Facts)> = found
        .iter()
        .filter(|(path, _)| !wanted.contains_key(*path))
        .collect();
    assert!(extra.is_empty(), "{extra:?}");
}

#[test]
fn every_kind_of_entry_comes_back_as_it_was() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    make_every_kind(files.path());
    let report = node.backup(&[files.path()]);
    assert_eq!((report.errors, report.warnings.as_slice()), (0, &[][..]));
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((restored.errors, restored.warnings.as_slice()), (0, &[][..]));
    assert_same(files.path(), target.path());
    assert!(fs::metadata(target.path().join("sparse")).unwrap().blocks() * 512 < 2 << 20);
    // Again over it: nothing is fetched but trees, and all is still as it was.
    let again = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((again.errors, again.bytes_restored), (0, 0));
    assert_same(files.path(), target.path());
    // All of it by its full path.
    let whole = tempfile::tempdir().unwrap();
    node.restore(&report.snapshot, None, whole.path());
    assert_same(
        files.path(),
        &whole.path().join(files.path().strip_prefix("/").unwrap()),
    );
}

#[test]
fn a_part_is_restored_alone() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    make_every_kind(files.path());
    let report = node.backup(&[files.path()]);
    let file = files.path().join("dir/file");
    node.restore(&report.snapshot, Some(&file), target.path());
    assert_eq!(fs::read(target.path().join("file")).unwrap(), b"hello");
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
    let request = node.restore_request(&report.snapshot, Some(&files.path().join("no")), target.path());
    let error = node
        .try_restore(&request, &node.source(), &Silent, &Cancel::new())
        .unwrap_err();
    assert!(matches!(error, RestoreError::NotFound { .. }));
}

#[test]
fn includes_and_excludes_choose() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    for path in [
        "a/x.c",
        "a/x.o",
        "b/deep/y.c",
        "b/deep/z.txt",
        "docs/one",
        "docs/two.o",
        "none/z",
    ] {
        let path = files.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    let report = node.backup(&[files.path()]);
    let mut request = node.restore_request(&report.snapshot, Some(files.path()), target.path());
    request.includes = vec!["*.c".to_owned(), "docs".to_owned()];
    request.excludes = vec!["*.o".to_owned()];
    request.dry_run = true;
    let dry = node
        .try_restore(&request, &node.source(), &Silent, &Cancel::new())
        .unwrap();
    assert_eq!(
        (dry.files_restored, fs::read_dir(target.path()).unwrap().count()),
        (3, 0)
    );
    request.dry_run = false;
    node.try_restore(&request, &node.source(), &Silent, &Cancel::new())
        .unwrap();
    let found: Vec<String> = facts(target.path())
        .into_keys()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        found,
        ["", "a", "a/x.c", "b", "b/deep", "b/deep/y.c", "docs", "docs/one"]
    );
}

#[test]
fn what_stands_there_is_replaced_or_left_as_asked() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(files.path().join("a"), noise(1, 3 << 20)).unwrap();
    let report = node.backup(&[files.path()]);
    let put = |bytes: &[u8], mtime: i64| {
        fs::write(target.path().join("a"), bytes).unwrap();
        set_mtime(&target.path().join("a"), mtime, 0);
    };
    let mut wrong = noise(1, 3 << 20);
    wrong[2_000_000] ^= 1;
    let mut request = node.restore_request(&report.snapshot, Some(files.path()), target.path());
    let mut run = |overwrite| {
        request.overwrite = overwrite;
        node.try_restore(&request, &node.source(), &Silent, &Cancel::new())
            .unwrap()
    };
    put(&wrong, 5);
    assert_eq!(run(Overwrite::Never).files_unchanged, 1);
    assert_eq!(fs::read(target.path().join("a")).unwrap(), wrong);
    // Same size and time: taken for right where that was asked for, and found wrong otherwise.
    let time = fs::metadata(files.path().join("a")).unwrap();
    put(&wrong, 5);
    set_mtime(&target.path().join("a"), time.mtime(), time.mtime_nsec());
    assert_eq!(run(Overwrite::IfChanged).files_unchanged, 1);
    let report = run(Overwrite::Always);
    assert_eq!((report.files_restored, report.files_unchanged), (1, 0));
    assert!(
        report.bytes_fetched < 3 << 20,
        "only the wrong chunk is fetched: {}",
        report.bytes_fetched
    );
    assert_same(files.path(), target.path());
    // Right, but with other attributes.
    put(&noise(1, 3 << 20), 5);
    assert_eq!(run(Overwrite::IfChanged).files_unchanged, 1);
    assert_same(files.path(), target.path());
    // Of another size.
    put(b"short", 5);
    assert_eq!(run(Overwrite::IfChanged).files_restored, 1);
    assert_same(files.path(), target.path());
}

#[test]
fn data_in_place_of_a_hole_is_found_wrong() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    for name in ["only-hole", "holes"] {
        let file = fs::File::create(files.path().join(name)).unwrap();
        file.set_len(8 << 20).unwrap();
    }
    let file = fs::OpenOptions::new()
        .write(true)
        .open(files.path().join("holes"))
        .unwrap();
    file.write_all_at(&noise(1, 2 << 20), 1 << 20).unwrap();
    drop(file);
    let report = node.backup(&[files.path()]);
    node.restore(&report.snapshot, Some(files.path()), target.path());
    for name in ["only-hole", "holes"] {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(target.path().join(name))
            .unwrap();
        file.write_all_at(b"rubbish", 6 << 20).unwrap();
    }
    let again = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((again.files_restored, again.files_unchanged), (2, 0));
    assert!(again.bytes_fetched < 1 << 20, "{} bytes", again.bytes_fetched);
    assert_same(files.path(), target.path());
    // Zeros that are written out are as good as a hole.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(target.path().join("only-hole"))
        .unwrap();
    file.write_all_at(&[0; 4096], 6 << 20).unwrap();
    let again = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((again.files_restored, again.files_unchanged), (0, 2));
}

#[test]
fn other_names_of_what_stands_there_are_left_alone() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let outside = tempfile::tempdir_in(target.path().parent().unwrap()).unwrap();
    let bytes = noise(1, 3 << 20);
    fs::write(files.path().join("a"), &bytes).unwrap();
    set_mtime(&files.path().join("a"), 1_000_000, 0);
    fs::set_permissions(files.path().join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    let report = node.backup(&[files.path()]);
    let other = outside.path().join("other");
    fs::write(&other, &bytes).unwrap();
    set_mtime(&other, 7, 0);
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
    let before = facts(outside.path());
    fs::hard_link(&other, target.path().join("a")).unwrap();
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((restored.files_restored, restored.errors), (1, 0));
    assert!(restored.bytes_fetched < 1 << 20, "what is right is copied");
    assert_same(files.path(), target.path());
    assert_eq!(facts(outside.path()), before);
}

#[test]
fn a_file_left_alone_gets_no_names_of_another() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(files.path().join("a"), b"ours").unwrap();
    fs::hard_link(files.path().join("a"), files.path().join("b")).unwrap();
    fs::hard_link(files.path().join("a"), files.path().join("c")).unwrap();
    let report = node.backup(&[files.path()]);
    fs::write(target.path().join("a"), b"something else").unwrap();
    let mut request = node.restore_request(&report.snapshot, Some(files.path()), target.path());
    request.overwrite = Overwrite::Never;
    let restored = node
        .try_restore(&request, &node.source(), &Silent, &Cancel::new())
        .unwrap();
    assert_eq!((restored.files_restored, restored.files_unchanged), (2, 1));
    assert_eq!(fs::read(target.path().join("a")).unwrap(), b"something else");
    assert_eq!(fs::read(target.path().join("b")).unwrap(), b"ours");
    let inode = |name| fs::metadata(target.path().join(name)).unwrap().ino();
    assert_eq!(inode("b"), inode("c"));
    assert_ne!(inode("a"), inode("b"));
}

#[test]
fn an_interrupted_restore_goes_on_where_it_was() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    for number in 0..4 {
        fs::write(files.path().join(number.to_string()), noise(number, 12 << 20)).unwrap();
    }
    let report = node.backup(&[files.path()]);
    let request = node.restore_request(&report.snapshot, Some(files.path()), target.path());
    let cancel = Cancel::new();
    let watch = Watch(|tally: &nuthatch_jobs::Tally, _: &[u8]| {
        if tally.bytes_done > 20 << 20 {
            cancel.cancel();
        }
    });
    let error = node
        .try_restore(&request, &node.source(), &watch, &cancel)
        .unwrap_err();
    assert!(matches!(error, RestoreError::Cancelled(_)), "{error}");
    let again = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert!(
        again.bytes_restored <= 28 << 20,
        "{} bytes again",
        again.bytes_restored
    );
    assert_same(files.path(), target.path());
}

#[test]
fn unfinished_rubbish_does_not_end_up_in_files() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(files.path().join("full"), noise(1, 2 << 20)).unwrap();
    let sparse = fs::File::create(files.path().join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    sparse.write_all_at(b"data", 4 << 20).unwrap();
    drop(sparse);
    let report = node.backup(&[files.path()]);
    let dir = nuthatch_disk::target::TargetDir::open_root(target.path()).unwrap();
    for name in ["full", "sparse"] {
        let left = dir
            .create_file(name.as_bytes(), 3 << 20, nuthatch_disk::target::Beginning::Fresh)
            .unwrap();
        left.write_at(0, &vec![0xee; 3 << 20]).unwrap();
    }
    node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_same(files.path(), target.path());
}

#[test]
fn nothing_is_written_through_links_in_the_target() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(files.path().join("dir")).unwrap();
    fs::write(files.path().join("dir/inside"), b"new").unwrap();
    fs::write(files.path().join("file"), b"new").unwrap();
    let report = node.backup(&[files.path()]);
    fs::write(outside.path().join("precious"), b"old").unwrap();
    symlink(outside.path(), target.path().join("dir")).unwrap();
    symlink(outside.path().join("precious"), target.path().join("file")).unwrap();
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!(restored.errors, 1, "{:?}", restored.warnings);
    assert_eq!(restored.warnings[0].kind, WarningKind::NotRestored);
    assert_eq!(fs::read(outside.path().join("precious")).unwrap(), b"old");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(target.path().join("file")).unwrap(), b"new");
    assert!(
        !fs::symlink_metadata(target.path().join("file"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn a_directory_of_many_entries_comes_back() {
    // More than two windows of files (4096 each), and a tree of several chunks.
    const COUNT: u64 = 9_000;
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    for number in 0..COUNT {
        fs::write(files.path().join(format!("{number}")), number.to_string()).unwrap();
    }
    let report = node.backup(&[files.path()]);
    assert_eq!(report.files_new, COUNT);
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((restored.files_restored, restored.errors), (COUNT, 0));
    assert_eq!(facts(target.path()).len() as u64, COUNT + 1);
    assert_eq!(fs::read(target.path().join("8345")).unwrap(), b"8345");
    let second = node.backup(&[files.path()]);
    assert_eq!((second.files_unmodified, second.packs_new), (COUNT, 0));
}

#[test]
fn deep_directories_come_back_with_few_of_them_open() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let mut deep = files.path().to_owned();
    for level in 0..400 {
        deep.push(format!("d{level}"));
        fs::create_dir(&deep).unwrap();
        // A second entry behind the directory, so that the walk comes back to each level.
        fs::write(deep.join("z"), level.to_string()).unwrap();
    }
    let report = node.backup(&[files.path()]);
    assert_eq!(
        (report.files_new, report.errors),
        (400, 0),
        "{:?}",
        report.warnings.first()
    );
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((restored.files_restored, restored.errors), (400, 0));
    assert_same(files.path(), target.path());
}

#[test]
fn a_huge_sparse_file_costs_little() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let file = fs::File::create(files.path().join("disk")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(&noise(1, 1 << 20), 1 << 39).unwrap();
    drop(file);
    let report = node.backup(&[files.path()]);
    assert!(report.bytes_processed < 4 << 20);
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!(restored.errors, 0);
    assert!(fs::metadata(target.path().join("disk")).unwrap().blocks() * 512 < 4 << 20);
    assert_same(files.path(), target.path());
}
