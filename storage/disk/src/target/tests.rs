use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use rustix::fs::{Gid, Uid};

use super::*;
use crate::owners::Owners;
use crate::source::{FileTime, SourceDir, SourceEntry, SourceKind};

fn source(path: &Path) -> SourceDir {
    SourceDir::open(path, Arc::new(Owners::load())).unwrap()
}

fn metadata(mode: u32) -> TargetMetadata {
    TargetMetadata {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: FileTime {
            secs: 1_000_000_000,
            nanos: 123_456_789,
        },
        xattrs: Vec::new(),
    }
}

fn metadata_of(entry: &SourceEntry) -> TargetMetadata {
    TargetMetadata {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        xattrs: entry.xattrs.clone(),
    }
}

/// A whole copy, as a restore of a backup would make it. Answers what could not be made or set, by name.
fn copy(from: &SourceDir, to: &TargetDir) -> Vec<(Vec<u8>, String)> {
    let mut troubles = Vec::new();
    let mut first_names = std::collections::BTreeMap::new();
    for name in from.names().unwrap() {
        let entry = from.look(&name).unwrap();
        let attributes = metadata_of(&entry);
        if entry.kind == SourceKind::File
            && let Some(first) = first_names.insert(entry.inode, name.clone())
        {
            to.hard_link(&name, to, &first).unwrap();
            continue;
        }
        let outcome = match &entry.kind {
            SourceKind::File => copy_file(from, to, &name, &entry).finish(&attributes),
            SourceKind::Dir => {
                let dir = to.dir(&name).unwrap();
                troubles.extend(copy(&from.open_dir(&name).unwrap(), &dir));
                Ok(dir.finish(&attributes))
            }
            SourceKind::Symlink { target } => to.symlink(&name, target, &attributes),
            SourceKind::Fifo => to.special(&name, Special::Fifo, &attributes),
            SourceKind::CharDevice { major, minor } => {
                to.special(&name, Special::CharDevice(*major, *minor), &attributes)
            }
            SourceKind::BlockDevice { major, minor } => {
                to.special(&name, Special::BlockDevice(*major, *minor), &attributes)
            }
            SourceKind::Socket => Ok(Vec::new()),
        };
        match outcome {
            Ok(unset) => troubles.extend(unset.iter().map(|unset| (name.clone(), unset.to_string()))),
            Err(error) => troubles.push((name, error.to_string())),
        }
    }
    troubles
}

fn copy_file(from: &SourceDir, to: &TargetDir, name: &[u8], entry: &SourceEntry) -> TargetFile {
    let file = from.open_file(name, entry).unwrap();
    let copy = to.create_file(name, entry.size, Beginning::Fresh).unwrap();
    let mut buffer = vec![0; entry.size as usize];
    file.read_at(0, &mut buffer).unwrap();
    let mut at = 0;
    for hole in file.holes(1000).unwrap() {
        copy.write_at(at, &buffer[at as usize..hole.offset as usize])
            .unwrap();
        at = hole.offset + hole.len;
    }
    copy.write_at(at, &buffer[at as usize..]).unwrap();
    copy
}

fn make_every_kind(path: &Path) {
    let is_root = rustix::process::geteuid().is_root();
    fs::write(path.join("plain"), b"plain").unwrap();
    fs::set_permissions(path.join("plain"), Permissions::from_mode(0o4755)).unwrap();
    fs::write(path.join("locked"), b"no one may write").unwrap();
    fs::set_permissions(path.join("locked"), Permissions::from_mode(0o400)).unwrap();
    fs::hard_link(path.join("plain"), path.join("plain too")).unwrap();
    fs::write(path.join("empty"), b"").unwrap();
    let sparse = fs::File::create(path.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    sparse.write_all_at(&[7; 5000], 3 << 20).unwrap();
    symlink("nowhere/at all", path.join("link")).unwrap();
    fs::create_dir_all(path.join("dir/deeper")).unwrap();
    fs::write(path.join("dir/deeper/x"), b"x").unwrap();
    fs::set_permissions(path.join("dir/deeper"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(path.join("dir"), Permissions::from_mode(0o1777)).unwrap();
    let root = TargetDir::open_root(path).unwrap();
    root.special(b"pipe", Special::Fifo, &metadata(0o622)).unwrap();
    std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    let colour = (b"user.colour".to_vec(), b"blue\0green".to_vec());
    let mut coloured = metadata(0o640);
    coloured.xattrs = vec![colour];
    let file = root.create_file(b"coloured \xff", 3, Beginning::Fresh).unwrap();
    file.write_at(0, b"abc").unwrap();
    let unset = file.finish(&coloured).unwrap();
    if !unset.is_empty() {
        // Said aloud, so that nobody takes this run for more than it is.
        eprintln!("not tested here: user attributes ({unset:?})");
    }
    if is_root {
        root.special(b"null", Special::CharDevice(1, 3), &metadata(0o666))
            .unwrap();
        root.special(b"loop", Special::BlockDevice(7, 200), &metadata(0o660))
            .unwrap();
        let mut foreign = metadata(0o6755);
        (foreign.uid, foreign.gid) = (12_345, 54_321);
        root.create_file(b"foreign", 1, Beginning::Fresh)
            .unwrap()
            .finish(&foreign)
            .unwrap();
        let mut old = metadata(0o600);
        old.mtime.secs = -5_000_000;
        root.create_file(b"before 1970", 0, Beginning::Fresh)
            .unwrap()
            .finish(&old)
            .unwrap();
        let mut linked = metadata(0o777);
        (linked.uid, linked.gid) = (12_345, 54_321);
        root.symlink(b"foreign link", b"foreign", &linked).unwrap();
    } else {
        eprintln!("not tested here, for want of root: devices, foreign owners");
    }
}

/// What must be the same after a round trip: everything but what the system alone decides.
fn comparable(mut entry: SourceEntry) -> SourceEntry {
    entry.inode = 0;
    entry.ctime = FileTime::default();
    if entry.kind == SourceKind::Dir {
        entry.size = 0;
        entry.link_count = 0;
        entry.occupied = 0;
    }
    entry
}

fn assert_same(from: &SourceDir, to: &SourceDir) {
    assert_eq!(
        comparable(from.look_at_self().unwrap()).mode,
        comparable(to.look_at_self().unwrap()).mode
    );
    let names: Vec<_> = from
        .names()
        .unwrap()
        .into_iter()
        .filter(|name| name != b"socket")
        .collect();
    assert_eq!(names, to.names().unwrap());
    for name in names {
        let (before, after) = (from.look(&name).unwrap(), to.look(&name).unwrap());
        assert_eq!(
            comparable(before.clone()),
            comparable(after.clone()),
            "{}",
            name.escape_ascii()
        );
        match before.kind {
            SourceKind::Dir => assert_same(&from.open_dir(&name).unwrap(), &to.open_dir(&name).unwrap()),
            SourceKind::File => {
                let read = |dir: &SourceDir, entry: &SourceEntry| {
                    let file = dir.open_file(&name, entry).unwrap();
                    let mut bytes = vec![0; entry.size as usize];
                    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
                    (bytes, file.holes(1000).unwrap())
                };
                assert!(read(from, &before) == read(to, &after), "{}", name.escape_ascii());
            }
            _ => {}
        }
    }
}

#[test]
fn every_kind_of_entry_comes_back_as_it_was() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_every_kind(from.path());
    let target = TargetDir::open_root(&to.path().join("deep/below")).unwrap();
    assert_eq!(copy(&source(from.path()), &target), []);
    target.finish(&metadata_of(&source(from.path()).look_at_self().unwrap()));
    target.sync().unwrap();
    assert_same(&source(from.path()), &source(target.path()));
    let (a, b) = (target.path().join("plain"), target.path().join("plain too"));
    assert_eq!(fs::metadata(a).unwrap().ino(), fs::metadata(b).unwrap().ino());
    // A second restore over the first changes nothing and leaves nothing behind.
    assert_eq!(copy(&source(from.path()), &target), []);
    assert_same(&source(from.path()), &source(target.path()));
}

#[test]
fn without_privileges_the_rest_comes_back_and_what_does_not_is_said() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested here, for want of root: losing it");
        return;
    }
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_every_kind(from.path());
    fs::remove_file(from.path().join("locked")).unwrap();
    for dir in [from.path(), to.path()] {
        fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_gid(Gid::from_raw(65_534)).unwrap();
            rustix::thread::set_thread_uid(Uid::from_raw(65_534)).unwrap();
            let target = TargetDir::open_root(to.path()).unwrap();
            let dir = source(from.path());
            let devices = [
                (&b"null"[..], Special::CharDevice(1, 3)),
                (b"loop", Special::BlockDevice(7, 200)),
            ];
            for (name, special) in devices {
                let made = target.special(name, special, &metadata(0o600));
                assert!(matches!(made, Err(TargetError::Permission { .. })), "{made:?}");
            }
            let entry = dir.look(b"plain").unwrap();
            let unset = copy_file(&dir, &target, b"plain", &entry)
                .finish(&metadata_of(&entry))
                .unwrap();
            let which: Vec<_> = unset.iter().map(|unset| unset.attribute.clone()).collect();
            // The set-user-id bit must not make it run as whoever restored it.
            assert_eq!(which, [Attribute::Owner, Attribute::Mode]);
            assert_eq!(source(to.path()).look(b"plain").unwrap().mode, 0o755);
            assert_eq!(source(to.path()).look(b"plain").unwrap().mtime, entry.mtime);
            let link = target.symlink(b"link", b"x", &metadata(0o777)).unwrap();
            assert_eq!(link, []);
            target.special(b"pipe", Special::Fifo, &metadata(0o622)).unwrap();
            assert_eq!(source(to.path()).look(b"pipe").unwrap().mode, 0o622);
            // A directory that even its owner may not write to, or not even read, can be restored again.
            for mode in [0o555, 0o000, 0o555] {
                let closed = target.dir(b"closed").unwrap();
                closed
                    .create_file(b"x", 1, Beginning::Fresh)
                    .unwrap()
                    .finish(&metadata(0o400))
                    .unwrap();
                assert_eq!(closed.finish(&metadata(mode)), []);
                assert_eq!(source(to.path()).look(b"closed").unwrap().mode, mode);
            }
        });
        thread.join().unwrap();
    });
}

/// An ACL as Linux keeps it: version 2, then tag, permissions and id of each entry; user 12345 may do everything.
fn acl() -> Vec<u8> {
    let nobody = u32::MAX;
    let entries = [
        (1, 7, nobody),
        (2, 7, 12_345),
        (4, 5, nobody),
        (16, 7, nobody),
        (32, 5, nobody),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(permissions));
        bytes.extend(u32::to_le_bytes(id));
    }
    bytes
}

#[test]
fn an_entry_keeps_no_attribute_that_it_was_not_backed_up_with() {
    let dir = tempfile::tempdir().unwrap();
    let target = TargetDir::open_root(dir.path()).unwrap();
    // What is made in a directory with a default ACL inherits it.
    let mut inherited = metadata(0o755);
    inherited.xattrs = vec![(b"system.posix_acl_default".to_vec(), acl())];
    let unset = target.finish(&inherited);
    if !unset.is_empty() {
        eprintln!("not tested here: ACLs ({unset:?})");
        return;
    }
    let file = target.create_file(b"file", 1, Beginning::Fresh).unwrap();
    assert_eq!(file.finish(&metadata(0o640)).unwrap(), []);
    target.special(b"pipe", Special::Fifo, &metadata(0o640)).unwrap();
    let below = target.dir(b"below").unwrap();
    let mut marked = metadata(0o640);
    marked.xattrs = vec![(b"user.mark".to_vec(), b"old".to_vec())];
    below.finish(&marked);
    assert_eq!(below.finish(&metadata(0o640)), []);
    for name in source(dir.path()).names().unwrap() {
        let entry = source(dir.path()).look(&name).unwrap();
        assert_eq!(
            (entry.mode, entry.xattrs),
            (0o640, Vec::new()),
            "{}",
            name.escape_ascii()
        );
    }
    let kept = source(dir.path()).look_at_self().unwrap().xattrs;
    assert_eq!(kept, inherited.xattrs);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = TargetDir::open_root(dir.path()).unwrap();
    for name in [&b""[..], b".", b"..", b"/", b"a/b", b"/etc", b"../x", b"a\0b"] {
        let is_refused = |result: Result<(), TargetError>| matches!(result, Err(TargetError::BadName { .. }));
        let all = metadata(0o600);
        assert!(is_refused(target.dir(name).map(drop)), "{name:?}");
        assert!(
            is_refused(target.create_file(name, 0, Beginning::Fresh).map(drop)),
            "{name:?}"
        );
        assert!(
            is_refused(target.create_file(name, 0, Beginning::Resume).map(drop)),
            "{name:?}"
        );
        assert!(is_refused(target.open_standing(name).map(drop)), "{name:?}");
        assert!(is_refused(target.standing(name).map(drop)), "{name:?}");
        assert!(is_refused(target.symlink(name, b"x", &all).map(drop)), "{name:?}");
        assert!(
            is_refused(target.special(name, Special::Fifo, &all).map(drop)),
            "{name:?}"
        );
        assert!(is_refused(target.hard_link(name, &target, b"x")), "{name:?}");
        assert!(is_refused(target.hard_link(b"x", &target, name)), "{name:?}");
    }
    assert_eq!(source(dir.path()).names().unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn no_link_in_the_target_is_ever_followed() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let victim = outside.path().join("victim");
    fs::write(&victim, b"untouched").unwrap();
    let before = fs::metadata(&victim).unwrap();
    let target = TargetDir::open_root(dir.path()).unwrap();
    let all = metadata(0o777);
    target
        .symlink(b"to dir", outside.path().as_os_str().as_bytes(), &all)
        .unwrap();
    target
        .symlink(b"to file", victim.as_os_str().as_bytes(), &all)
        .unwrap();
    // A directory that is said to be where the snapshot has put a link.
    assert!(matches!(target.dir(b"to dir"), Err(TargetError::InTheWay { .. })));
    assert!(matches!(
        target.descend([&b"to dir"[..], b"x"]),
        Err(TargetError::InTheWay { .. })
    ));
    assert!(matches!(
        target.open_standing(b"to file"),
        Err(TargetError::InTheWay { .. })
    ));
    assert_eq!(target.standing(b"to file").unwrap(), Standing::Other);
    // A file over a link takes the link's place.
    let file = target.create_file(b"to file", 3, Beginning::Fresh).unwrap();
    file.write_at(0, b"new").unwrap();
    file.finish(&all).unwrap();
    assert_eq!(fs::read(dir.path().join("to file")).unwrap(), b"new");
    // A hard link to a link is another name of the link.
    target.hard_link(b"link too", &target, b"to dir").unwrap();
    assert!(
        fs::symlink_metadata(dir.path().join("link too"))
            .unwrap()
            .is_symlink()
    );
    // A link planted under the temporary name of a file.
    let temporary = temporary_of(b"planted");
    symlink(&victim, dir.path().join(std::ffi::OsStr::from_bytes(&temporary))).unwrap();
    let resumed = target.create_file(b"planted", 3, Beginning::Resume);
    assert!(
        matches!(resumed, Err(TargetError::InTheWay { .. })),
        "{resumed:?}"
    );
    // A second name of the victim planted there.
    fs::remove_file(dir.path().join(std::ffi::OsStr::from_bytes(&temporary))).unwrap();
    fs::hard_link(&victim, dir.path().join(std::ffi::OsStr::from_bytes(&temporary))).unwrap();
    let resumed = target.create_file(b"planted", 3, Beginning::Resume);
    assert!(
        matches!(resumed, Err(TargetError::InTheWay { .. })),
        "{resumed:?}"
    );
    target
        .create_file(b"planted", 3, Beginning::Fresh)
        .unwrap()
        .finish(&all)
        .unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    let after = fs::metadata(&victim).unwrap();
    assert_eq!(
        (before.mode(), before.mtime_nsec()),
        (after.mode(), after.mtime_nsec())
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_swapped_for_a_link_meanwhile_leads_nowhere() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = TargetDir::open_root(dir.path()).unwrap();
    let below = target.dir(b"below").unwrap();
    let file = below.create_file(b"file", 3, Beginning::Fresh).unwrap();
    fs::rename(dir.path().join("below"), dir.path().join("moved")).unwrap();
    symlink(outside.path(), dir.path().join("below")).unwrap();
    file.write_at(0, b"abc").unwrap();
    file.finish(&metadata(0o600)).unwrap();
    let mut with_attribute = metadata(0o777);
    with_attribute.xattrs = vec![(b"user.a".to_vec(), b"b".to_vec())];
    below.symlink(b"link", b"x", &with_attribute).unwrap();
    below.special(b"pipe", Special::Fifo, &metadata(0o640)).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(source(&dir.path().join("moved")).names().unwrap().len(), 3);
    assert!(matches!(target.dir(b"below"), Err(TargetError::InTheWay { .. })));
}

#[test]
fn a_file_appears_only_when_it_is_whole_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let target = TargetDir::open_root(dir.path()).unwrap();
    let old = target.create_file(b"a", 3, Beginning::Fresh).unwrap();
    old.write_at(0, b"old").unwrap();
    old.finish(&metadata(0o600)).unwrap();
    let new = target.create_file(b"a", 6, Beginning::Fresh).unwrap();
    new.write_at(0, b"abc").unwrap();
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"old");
    drop(new);
    let new = target.create_file(b"a", 6, Beginning::Resume).unwrap();
    let mut there = [9; 6];
    assert_eq!(new.read_at(0, &mut there).unwrap(), 6);
    assert_eq!(&there, b"abc\0\0\0");
    new.write_at(3, b"def").unwrap();
    assert_eq!(new.finish(&metadata(0o600)).unwrap(), []);
    let standing = Standing::File {
        size: 6,
        mtime: metadata(0).mtime,
        names: 1,
    };
    assert_eq!(target.standing(b"a").unwrap(), standing);
    let found = target.open_standing(b"a").unwrap();
    assert_eq!(found.size(), 6);
    assert_eq!(found.adopt(&metadata(0o640)), []);
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().mode() & 0o777, 0o640);
    // A directory is never replaced by anything else.
    target.dir(b"d").unwrap().dir(b"inside").unwrap();
    let file = target.create_file(b"d", 0, Beginning::Fresh).unwrap();
    assert!(matches!(
        file.finish(&metadata(0o600)),
        Err(TargetError::InTheWay { .. })
    ));
    assert!(matches!(
        target.symlink(b"d", b"x", &metadata(0o777)),
        Err(TargetError::InTheWay { .. })
    ));
    assert!(matches!(target.dir(b"a"), Err(TargetError::InTheWay { .. })));
    assert_eq!(
        source(dir.path()).names().unwrap(),
        [b"a".to_vec(), b"d".to_vec()]
    );
}

#[test]
fn a_file_that_somebody_else_has_begun_is_not_filled_for_him() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested here, for want of root: a file of another owner");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let target = TargetDir::open_root(dir.path()).unwrap();
    let planted = dir
        .path()
        .join(std::ffi::OsStr::from_bytes(&temporary_of(b"secret")));
    fs::write(&planted, b"").unwrap();
    std::os::unix::fs::chown(&planted, Some(65_534), None).unwrap();
    let resumed = target.create_file(b"secret", 3, Beginning::Resume);
    assert!(
        matches!(resumed, Err(TargetError::InTheWay { .. })),
        "{resumed:?}"
    );
    let fresh = target.create_file(b"secret", 3, Beginning::Fresh).unwrap();
    fresh.write_at(0, b"abc").unwrap();
    let again = target.create_file(b"secret", 3, Beginning::Resume).unwrap();
    let mut there = [0; 3];
    assert_eq!((again.read_at(0, &mut there).unwrap(), &there), (3, b"abc"));
    assert_eq!(fs::metadata(&planted).unwrap().uid(), 0);
}

#[test]
fn what_is_unfinished_is_known_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let target = TargetDir::open_root(dir.path()).unwrap();
    assert!(!target.has_unfinished(b"a").unwrap());
    drop(target.create_file(b"a", 10, Beginning::Fresh).unwrap());
    assert!(target.has_unfinished(b"a").unwrap());
    assert!(!target.has_unfinished(b"b").unwrap());
    target
        .create_file(b"a", 10, Beginning::Resume)
        .unwrap()
        .finish(&metadata(0o600))
        .unwrap();
    assert!(!target.has_unfinished(b"a").unwrap());
}

#[test]
fn data_of_a_file_is_found_behind_its_holes() {
    let dir = tempfile::tempdir().unwrap();
    let target = TargetDir::open_root(dir.path()).unwrap();
    let file = target.create_file(b"a", 4 << 20, Beginning::Fresh).unwrap();
    assert_eq!(file.next_data(0).unwrap(), None);
    file.write_at(2 << 20, b"data").unwrap();
    assert_eq!(file.next_data(0).unwrap(), Some(2 << 20));
    assert_eq!(file.next_data((2 << 20) + 1).unwrap(), Some((2 << 20) + 1));
    assert_eq!(file.next_data(3 << 20).unwrap(), None);
    assert_eq!(file.next_data(5 << 20).unwrap(), None);
}
