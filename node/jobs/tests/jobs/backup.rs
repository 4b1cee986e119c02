use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nuthatch_format::chunker::{Chunker, ChunkerParams};
use nuthatch_format::content::CONTENT_IDS_MAX;
use nuthatch_jobs::backup::outlet::Outlet as _;
use nuthatch_jobs::backup::{BackupError, StreamSource};
use nuthatch_jobs::{Cancel, Silent, WarningKind};

use super::support::{Node, Watch, below, is_root, listed, noise, request};

#[test]
fn a_second_backup_of_the_same_stores_no_pack() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::create_dir_all(files.path().join("a/b")).unwrap();
    for number in 0..50 {
        fs::write(files.path().join(format!("a/{number}")), noise(number, 2000)).unwrap();
    }
    fs::write(files.path().join("a/b/big"), noise(99, 3 << 20)).unwrap();
    let first = node.backup(&[files.path()]);
    assert_eq!(
        (first.files_new, first.files_unmodified, first.errors),
        (51, 0, 0)
    );
    assert_eq!(first.bytes_processed, 50 * 2000 + (3 << 20));
    assert!(first.bytes_added >= first.bytes_processed);
    let packs = node.packs();
    let second = node.backup(&[files.path()]);
    assert_eq!(node.packs(), packs);
    assert_eq!(
        (second.packs_new, second.bytes_stored, second.bytes_added),
        (0, 0, 0)
    );
    assert_eq!(
        (second.files_new, second.files_changed, second.files_unmodified),
        (0, 0, 51)
    );
    assert_eq!((second.dirs_new, second.dirs_changed), (0, 0));
    assert_eq!(second.root_hash, first.root_hash);
    assert_eq!(second.bytes_processed, first.bytes_processed);
    let (known, new) = node.last_commit.lock().unwrap().take().unwrap();
    assert_eq!(
        (known.len() as u64, new.len()),
        (first.packs_new, 0),
        "an unchanged backup needs the same packs"
    );
}

#[test]
fn one_changed_byte_in_a_large_file_adds_two_chunks_at_most() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    let path = files.path().join("image");
    fs::write(&path, noise(1, 64 << 20)).unwrap();
    node.backup(&[files.path()]);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"x", 40_000_000).unwrap();
    drop(file);
    let second = node.backup(&[files.path()]);
    assert_eq!((second.files_changed, second.files_new), (1, 0));
    assert!(
        second.bytes_added <= (2 << 20) + (64 << 10),
        "{} bytes",
        second.bytes_added
    );
}

#[test]
fn a_renamed_file_is_not_read_and_needs_its_packs() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::write(files.path().join("a"), noise(1, 3 << 20)).unwrap();
    node.backup(&[files.path()]);
    fs::rename(files.path().join("a"), files.path().join("b")).unwrap();
    let reports = AtomicBool::new(false);
    let watch = Watch(|tally: &nuthatch_jobs::Tally, path: &[u8]| {
        // A file that is read reports while it is, before it is done.
        reports.fetch_or(tally.files_done == 0 && path.ends_with(b"/b"), Ordering::Relaxed);
    });
    let second = node
        .try_backup(request(&[files.path()]), &watch, &Cancel::new())
        .unwrap();
    assert!(!reports.into_inner(), "a renamed file was read");
    assert_eq!((second.files_new, second.files_changed), (1, 0));
    let target = tempfile::tempdir().unwrap();
    node.restore(&second.snapshot, Some(files.path()), target.path());
    assert_eq!(fs::read(target.path().join("b")).unwrap(), noise(1, 3 << 20));
}

/// A piece that the archive's chunker cuts off as one small chunk wherever a chunk begins with it.
fn small_chunk(node: &Node) -> Vec<u8> {
    let chunker = Chunker::new(&node.keys.writer.chunker_key, ChunkerParams::DEFAULT);
    (0..)
        .find_map(|seed| {
            let mut bytes = noise(seed, 1 << 20);
            let cut = chunker.next_cut(&bytes, false).filter(|cut| *cut < 80_000)?;
            bytes.truncate(cut);
            Some(bytes)
        })
        .unwrap()
}

#[test]
fn a_file_with_more_chunks_than_an_entry_names_is_stored_once_and_comes_back() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    let path = files.path().join("huge");
    let chunk = small_chunk(&node);
    let mut file = fs::File::create(&path).unwrap();
    for _ in 0..CONTENT_IDS_MAX + 50 {
        file.write_all(&chunk).unwrap();
    }
    file.write_all(&noise(1, 3 << 20)).unwrap();
    let size = file.metadata().unwrap().len();
    drop(file);
    let first = node.backup(&[files.path()]);
    let steps = AtomicU64::new(0);
    let watch = Watch(|_: &nuthatch_jobs::Tally, _: &[u8]| {
        steps.fetch_add(1, Ordering::Relaxed);
    });
    let second = node
        .try_backup(request(&[files.path()]), &watch, &Cancel::new())
        .unwrap();
    assert_eq!((second.files_unmodified, second.packs_new), (1, 0));
    assert!(steps.into_inner() < 10, "an unchanged file was read");
    assert_eq!(
        node.last_commit.lock().unwrap().as_ref().unwrap().0.len() as u64,
        first.packs_new
    );
    let target = tempfile::tempdir().unwrap();
    let report = node.restore(&second.snapshot, Some(files.path()), target.path());
    assert_eq!(report.bytes_restored, size);
    assert_eq!(
        super::support::facts(target.path()),
        super::support::facts(files.path())
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_is_stored_and_reported() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    let path = files.path().join("log");
    fs::write(&path, noise(1, 5 << 20)).unwrap();
    let watch = Watch(|_: &nuthatch_jobs::Tally, at: &[u8]| {
        if at.ends_with(b"/log") {
            fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(b"more")
                .unwrap();
        }
    });
    let report = node
        .try_backup(request(&[files.path()]), &watch, &Cancel::new())
        .unwrap();
    assert_eq!(report.errors, 0);
    let warning = report.warnings.first().unwrap();
    assert_eq!(
        (warning.kind, warning.path.as_slice()),
        (WarningKind::FileChanged, path.as_os_str().as_bytes())
    );
    assert_eq!(node.snapshot(&report.snapshot).warnings.total(), 1);
    // It is read again next time.
    let again = node.backup(&[files.path()]);
    assert_eq!((again.files_unmodified, again.warnings.len()), (0, 0));
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_stored_as_far_as_it_goes() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    let path = files.path().join("log");
    fs::write(&path, noise(1, 6 << 20)).unwrap();
    let watch = Watch(|_: &nuthatch_jobs::Tally, at: &[u8]| {
        if at.ends_with(b"/log") {
            fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(3 << 20)
                .unwrap();
        }
    });
    let report = node
        .try_backup(request(&[files.path()]), &watch, &Cancel::new())
        .unwrap();
    assert_eq!(report.warnings.first().unwrap().kind, WarningKind::FileChanged);
    let target = tempfile::tempdir().unwrap();
    node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!(
        fs::read(target.path().join("log")).unwrap(),
        noise(1, 6 << 20)[..3 << 20]
    );
}

#[test]
fn what_vanishes_is_listed_and_the_rest_is_stored() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::write(files.path().join("0"), noise(1, 5 << 20)).unwrap();
    for number in 1..2000 {
        fs::write(files.path().join(format!("f{number:04}")), b"x").unwrap();
    }
    let last = files.path().join("f1999");
    let watch = Watch(|_: &nuthatch_jobs::Tally, at: &[u8]| {
        if at.ends_with(b"/0") {
            let _ = fs::remove_file(&last);
        }
    });
    let report = node
        .try_backup(request(&[files.path()]), &watch, &Cancel::new())
        .unwrap();
    assert_eq!((report.errors, report.files_new), (1, 1999));
    assert_eq!(report.warnings[0].kind, WarningKind::Unreadable);
    assert_eq!(report.warnings[0].path, last.as_os_str().as_bytes());
}

/// Root can read everything, so as root this test runs itself as somebody else.
#[test]
fn what_may_not_be_read_is_listed_and_the_rest_is_stored() {
    use std::os::unix::process::CommandExt as _;
    const NAME: &str = "backup::what_may_not_be_read_is_listed_and_the_rest_is_stored";
    if is_root() {
        // The build directory may be closed to others: run a copy.
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let copy = place.path().join("jobs");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let output = std::process::Command::new(&copy)
            .args([NAME, "--exact", "--nocapture"])
            .env("TMPDIR", place.path())
            .current_dir(place.path())
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    for name in ["a", "b", "c"] {
        fs::write(files.path().join(name), name).unwrap();
    }
    fs::create_dir(files.path().join("closed")).unwrap();
    fs::write(files.path().join("closed/inside"), b"x").unwrap();
    fs::set_permissions(files.path().join("b"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(files.path().join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let report = node.backup(&[files.path()]);
    fs::set_permissions(files.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!((report.errors, report.files_new), (2, 2));
    let named: Vec<PathBuf> = report
        .warnings
        .iter()
        .map(|warning| PathBuf::from(std::ffi::OsStr::from_bytes(&warning.path)))
        .collect();
    assert_eq!(named, [files.path().join("b"), files.path().join("closed")]);
    assert_eq!(
        below(files.path(), &listed(&node, &report.snapshot)),
        ["a", "c", "closed"]
    );
    // A restore by the same user gives back what was stored, closed directory and all.
    let target = tempfile::tempdir().unwrap();
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((restored.errors, restored.files_restored), (0, 2));
    let closed = target.path().join("closed");
    assert_eq!(fs::metadata(&closed).unwrap().permissions().mode() & 0o777, 0);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_dry_run_counts_and_leaves_no_trace() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    fs::write(files.path().join("a"), noise(1, 20 << 20)).unwrap();
    fs::write(files.path().join("b"), b"b").unwrap();
    let run = |dry_run| {
        let mut wanted = request(&[files.path()]);
        wanted.dry_run = dry_run;
        node.try_backup(wanted, &Silent, &Cancel::new()).unwrap()
    };
    let planned = run(true);
    assert!(node.packs().is_empty());
    assert_eq!(node.catalogue.snapshots().unwrap().len(), 0);
    let report = run(false);
    let counts = |report: &nuthatch_jobs::backup::BackupReport| {
        (
            report.files_new,
            report.dirs_new,
            report.bytes_added,
            report.packs_new,
        )
    };
    assert_eq!(counts(&planned), counts(&report));
    assert_eq!(node.packs().len() as u64, report.packs_new);
    let unchanged = run(true);
    assert_eq!((unchanged.files_unmodified, unchanged.bytes_added), (2, 0));
}

#[test]
fn a_stream_becomes_a_file() {
    let node = Node::new();
    let mut wanted = request(&[]);
    wanted.stream = Some(StreamSource {
        name: b"dump.sql".to_vec(),
        reader: Box::new(std::io::Cursor::new(noise(5, 3_000_000))),
    });
    let report = node.try_backup(wanted, &Silent, &Cancel::new()).unwrap();
    assert_eq!((report.files_new, report.bytes_processed), (1, 3_000_000));
    let target = tempfile::tempdir().unwrap();
    node.restore(&report.snapshot, None, target.path());
    assert_eq!(
        fs::read(target.path().join("dump.sql")).unwrap(),
        noise(5, 3_000_000)
    );
}

#[test]
fn full_staging_ends_a_backup_that_goes_on_later_where_it_was() {
    let (mut node, files) = (Node::with_staging(40 << 20), tempfile::tempdir().unwrap());
    for number in 0..6 {
        fs::write(files.path().join(number.to_string()), noise(number, 10 << 20)).unwrap();
    }
    let error = node
        .try_backup(request(&[files.path()]), &Silent, &Cancel::new())
        .unwrap_err();
    assert!(matches!(error, BackupError::StagingFull { .. }), "{error}");
    let staged = node.packs();
    assert_eq!(staged.len(), 2);
    assert_eq!(
        node.catalogue.pack_count().unwrap(),
        2,
        "what is sealed is in the journal"
    );
    node.reopen_staging(1 << 30);
    let report = node.backup(&[files.path()]);
    assert!(
        report.bytes_added < 32 << 20,
        "{} bytes were stored again",
        report.bytes_added
    );
    let target = tempfile::tempdir().unwrap();
    node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!(
        super::support::facts(target.path()),
        super::support::facts(files.path())
    );
}

#[test]
fn a_cancelled_backup_ends_and_the_next_one_goes_on() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    for number in 0..8 {
        fs::write(files.path().join(number.to_string()), noise(number, 10 << 20)).unwrap();
    }
    let cancel = Cancel::new();
    let watch = Watch(|tally: &nuthatch_jobs::Tally, _: &[u8]| {
        if tally.bytes_done > 60 << 20 {
            cancel.cancel();
        }
    });
    let error = node
        .try_backup(request(&[files.path()]), &watch, &cancel)
        .unwrap_err();
    assert!(matches!(error, BackupError::Cancelled(_)), "{error}");
    node.flush().unwrap();
    let report = node.backup(&[files.path()]);
    assert!(
        report.bytes_added < 70 << 20,
        "{} bytes were stored again",
        report.bytes_added
    );
}
