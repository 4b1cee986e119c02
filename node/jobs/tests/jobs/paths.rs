//! Which paths a backup takes, and which it refuses.

use std::fs;
use std::path::Path;

use nuthatch_jobs::backup::BackupError;
use nuthatch_jobs::{Cancel, Silent, WarningKind};

use super::support::{Node, below, listed, request};

#[test]
fn what_is_excluded_or_the_nodes_own_is_left_out() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    for path in [
        "src/main.rs",
        "src/main.o",
        "target/debug/x",
        "keep/target/y",
        "home/secret",
        "notes.tmp",
    ] {
        let path = files.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    let mut wanted = request(&[files.path()]);
    wanted.excludes = ["*.o", "*.tmp", &format!("{}/target/", files.path().display())]
        .map(String::from)
        .to_vec();
    wanted.forbidden = vec![files.path().join("home")];
    let report = node.try_backup(wanted, &Silent, &Cancel::new()).unwrap();
    assert_eq!(
        below(files.path(), &listed(&node, &report.snapshot)),
        ["keep", "keep/target", "keep/target/y", "src", "src/main.rs"]
    );
}

#[test]
fn a_named_path_in_the_nodes_own_home_is_an_error() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::create_dir(files.path().join("home")).unwrap();
    fs::write(files.path().join("home/secret"), b"x").unwrap();
    fs::write(files.path().join("other"), b"x").unwrap();
    let run = |names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|name| files.path().join(name)).collect();
        let mut wanted = request(&paths.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        wanted.forbidden = vec![files.path().join("home")];
        node.try_backup(wanted, &Silent, &Cancel::new())
    };
    for name in ["home", "home/secret"] {
        let error = run(&[name]).unwrap_err();
        assert!(
            matches!(&error, BackupError::NothingReadable { first } if first.contains("own home")),
            "{error}"
        );
    }
    let report = run(&["home", "other"]).unwrap();
    assert_eq!((report.files_new, report.errors), (1, 1));
}

#[test]
fn what_a_snapshot_cannot_keep_is_refused_before_anything_is_stored() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::write(files.path().join("a"), b"x").unwrap();
    let tagged = |tags: Vec<String>| {
        let mut wanted = request(&[files.path()]);
        wanted.tags = tags;
        node.try_backup(wanted, &Silent, &Cancel::new())
    };
    for tags in [vec!["t".to_owned(); 65], vec!["t".repeat(129)]] {
        assert!(matches!(tagged(tags), Err(BackupError::Tags)));
    }
    let long: Vec<_> = (0..20)
        .map(|number| files.path().join(format!("{number}/{}", "x/".repeat(2000))))
        .collect();
    let error = node
        .try_backup(
            request(&long.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
            &Silent,
            &Cancel::new(),
        )
        .unwrap_err();
    assert!(matches!(error, BackupError::PathsLen { .. }), "{error}");
    assert!(node.packs().is_empty());
    assert!(tagged(vec!["t".repeat(128); 64]).is_ok());
}

#[test]
fn several_paths_make_one_tree_and_missing_ones_are_listed() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    for path in ["a/one", "b/two", "c/three"] {
        let path = files.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    let paths = ["c", "a/one", "nothing"].map(|path| files.path().join(path));
    let report = node.backup(&[&paths[0], &paths[1], &paths[2]]);
    assert_eq!(
        below(files.path(), &listed(&node, &report.snapshot)),
        ["a", "a/one", "c", "c/three"]
    );
    assert_eq!(report.errors, 1);
    let error = node
        .try_backup(request(&[&paths[2]]), &Silent, &Cancel::new())
        .unwrap_err();
    assert!(
        matches!(error, BackupError::NothingReadable { first } if first.contains("nothing: there is no such file"))
    );
    let error = node
        .try_backup(request(&[Path::new("relative")]), &Silent, &Cancel::new())
        .unwrap_err();
    assert!(matches!(error, BackupError::Path { .. }));
}

#[test]
fn a_link_that_is_named_is_stored_as_a_link_and_said() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::create_dir(files.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", files.path().join("link")).unwrap();
    let report = node.backup(&[&files.path().join("link")]);
    assert_eq!(
        (report.others, report.warnings[0].kind),
        (1, WarningKind::LinkNamed)
    );
}

#[test]
fn what_changes_beside_a_named_path_does_not_change_its_backup() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::create_dir_all(files.path().join("a/named")).unwrap();
    fs::write(files.path().join("a/named/x"), b"x").unwrap();
    let first = node.backup(&[&files.path().join("a/named")]);
    fs::write(files.path().join("a/beside"), b"y").unwrap();
    let second = node.backup(&[&files.path().join("a/named")]);
    assert_eq!((second.root_hash, second.packs_new), (first.root_hash, 0));
}
