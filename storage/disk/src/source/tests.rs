use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};

use super::*;

fn open(path: &Path) -> SourceDir {
    SourceDir::open(path, Arc::new(Owners::load())).unwrap()
}

/// Runs as a user who owns nothing, in a thread of its own: Linux keeps these ids for each thread. When the tests do not run as root
/// they are unprivileged anyway.
fn unprivileged<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = 65_534;
                rustix::thread::set_thread_groups(&[]).unwrap();
                rustix::thread::set_thread_gid(rustix::fs::Gid::from_raw(nobody)).unwrap();
                rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(nobody)).unwrap();
            }
            run()
        });
        thread.join().unwrap()
    })
}

#[test]
fn names_are_raw_bytes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for name in [&b"b"[..], b"a\xff\xfe", b"a", b"\n", "ä".as_bytes()] {
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(name)), b"").unwrap();
    }
    let names = open(dir.path()).names().unwrap();
    assert_eq!(
        names,
        [
            b"\n".to_vec(),
            b"a".to_vec(),
            b"a\xff\xfe".to_vec(),
            b"b".to_vec(),
            "ä".into()
        ]
    );
    // A second listing begins at the beginning again.
    let source = open(dir.path());
    assert_eq!(source.names().unwrap(), source.names().unwrap());
}

#[test]
fn holes_are_found_and_the_rest_is_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    let file = fs::File::create(&path).unwrap();
    file.set_len(10 << 20).unwrap();
    file.write_all_at(&[1; 4096], 1 << 20).unwrap();
    file.write_all_at(&[2; 4096], 4 << 20).unwrap();
    fs::write(dir.path().join("solid"), vec![3; 100_000]).unwrap();
    let source = open(dir.path());
    let entry = source.look(b"sparse").unwrap();
    assert_eq!(entry.size, 10 << 20);
    let sparse = source.open_file(b"sparse", &entry).unwrap();
    let holes = sparse.holes(100).unwrap();
    let mut at = 0;
    let mut is_data = vec![true; 10 << 20];
    for hole in &holes {
        assert!(hole.offset >= at && hole.len > 0);
        at = hole.offset + hole.len;
        is_data[hole.offset as usize..at as usize].fill(false);
    }
    assert!(at <= 10 << 20);
    let bytes = fs::read(&path).unwrap();
    assert!(
        bytes
            .iter()
            .zip(&is_data)
            .all(|(byte, is_data)| *byte == 0 || *is_data)
    );
    assert_eq!(sparse.holes(1).unwrap(), holes[..1.min(holes.len())]);
    let solid = source.look(b"solid").unwrap();
    assert_eq!(
        source.open_file(b"solid", &solid).unwrap().holes(100).unwrap(),
        []
    );
}

#[test]
fn a_file_that_changes_or_is_replaced_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, b"one").unwrap();
    let source = open(dir.path());
    let seen = source.look(b"a").unwrap();
    let file = source.open_file(b"a", &seen).unwrap();
    assert!(!file.changed_since(&seen).unwrap());
    let mut buffer = [0; 10];
    assert_eq!(file.read_at(1, &mut buffer).unwrap(), 2);
    assert_eq!(&buffer[..2], b"ne");
    fs::write(&path, b"three").unwrap();
    assert!(file.changed_since(&seen).unwrap());
    // Another file under the same name, made before the old one goes, so that it cannot get its inode.
    fs::write(dir.path().join("b"), b"two").unwrap();
    fs::rename(dir.path().join("b"), &path).unwrap();
    assert!(matches!(
        source.open_file(b"a", &seen),
        Err(SourceError::Replaced { .. })
    ));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        source.open_file(b"a", &seen),
        Err(SourceError::Gone { .. })
    ));
    assert!(matches!(source.look(b"a"), Err(SourceError::Gone { .. })));
}

#[test]
fn links_are_looked_at_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"x").unwrap();
    let below = dir.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("file"), b"y").unwrap();
    let source = open(dir.path());
    let seen = source.open_dir(b"below").unwrap().look(b"file").unwrap();
    let held = source.open_dir(b"below").unwrap();
    // The directory is swapped for a link while it is being read.
    fs::rename(&below, dir.path().join("moved")).unwrap();
    symlink(outside.path(), &below).unwrap();
    symlink("/etc/passwd", dir.path().join("moved/link")).unwrap();
    assert!(matches!(
        source.open_dir(b"below"),
        Err(SourceError::Replaced { .. })
    ));
    assert_eq!(held.names().unwrap(), [b"file".to_vec(), b"link".to_vec()]);
    assert_eq!(held.look(b"file").unwrap().inode, seen.inode);
    let target = outside.path().as_os_str().as_bytes().to_vec();
    assert_eq!(
        source.look(b"below").unwrap().kind,
        SourceKind::Symlink { target }
    );
    assert!(matches!(
        held.open_file(b"link", &seen),
        Err(SourceError::Replaced { .. })
    ));
}

#[test]
fn what_may_not_be_read_is_an_error_of_that_entry_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    for (name, mode) in [("closed", 0o000), ("open", 0o644)] {
        fs::write(dir.path().join(name), b"x").unwrap();
        fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(dir.path().join("shut")).unwrap();
    fs::set_permissions(dir.path().join("shut"), Permissions::from_mode(0o000)).unwrap();
    unprivileged(|| {
        let source = open(dir.path());
        assert_eq!(source.names().unwrap().len(), 3);
        let closed = source.look(b"closed").unwrap();
        let denied = source.open_file(b"closed", &closed);
        assert!(
            matches!(
                denied,
                Err(SourceError::Permission {
                    action: SourceAction::Open,
                    ..
                })
            ),
            "{denied:?}"
        );
        assert!(matches!(
            source.open_dir(b"shut"),
            Err(SourceError::Permission { .. })
        ));
        let entry = source.look(b"open").unwrap();
        let mut buffer = [0; 1];
        assert_eq!(
            source
                .open_file(b"open", &entry)
                .unwrap()
                .read_at(0, &mut buffer)
                .unwrap(),
            1
        );
    });
    fs::set_permissions(dir.path().join("shut"), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn reading_leaves_the_access_time_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, b"one").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let times = fs::FileTimes::new().set_accessed(long_ago);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    let source = open(dir.path());
    let entry = source.look(b"a").unwrap();
    source
        .open_file(b"a", &entry)
        .unwrap()
        .read_at(0, &mut [0; 3])
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), long_ago);
}
