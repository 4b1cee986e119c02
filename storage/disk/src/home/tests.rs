use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_new_home_opens_again_with_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/home");
    assert!(matches!(Home::open(&path), Err(OpenHomeError::Empty { .. })));
    let home = Home::create(&path).unwrap();
    home.write_secret(Secret::Node, b"seed").unwrap();
    home.write_slot("laptop", b"slot").unwrap();
    drop(home);
    assert!(matches!(Home::create(&path), Err(CreateHomeError::Exists { .. })));
    let home = Home::open(&path).unwrap();
    assert_eq!(
        home.read_secret(Secret::Node).unwrap().unwrap().as_slice(),
        b"seed"
    );
    assert!(home.read_secret(Secret::Device).unwrap().is_none());
    assert_eq!(home.slots().unwrap(), ["laptop"]);
    assert_eq!(home.read_slot("laptop").unwrap().as_deref(), Some(&b"slot"[..]));
    assert_eq!(home.read_slot("desk").unwrap(), None);
    home.remove_secret(Secret::Node).unwrap();
    assert!(home.read_secret(Secret::Node).unwrap().is_none());
}

#[test]
fn secrets_and_the_home_are_for_the_owners_eyes_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home");
    let home = Home::create(&path).unwrap();
    home.write_secret(Secret::Device, b"keys").unwrap();
    home.write_slot("a", b"slot").unwrap();
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("keys"), 0o700);
    assert_eq!(mode("keys/device.keys"), 0o600);
    assert_eq!(mode("keys/slots/a.slot"), 0o600);
}

#[test]
fn a_second_opening_names_the_process_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home");
    let held = Home::create(&path).unwrap();
    let own = std::process::id();
    assert!(matches!(Home::open(&path), Err(OpenHomeError::Locked { pid: Some(pid), .. }) if pid == own));
    drop(held);
    assert!(Home::open(&path).is_ok());
}

#[test]
fn a_newer_or_foreign_home_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home");
    drop(Home::create(&path).unwrap());
    let format = path.join(FORMAT_FILE);
    for (text, newer) in [
        ("nuthatch home 2\n", true),
        ("nuthatch home 4294967295", true),
        ("nuthatch home 0\n", false),
        ("nuthatch home \n", false),
        ("", false),
        ("\u{fffd}something else", false),
    ] {
        fs::write(&format, text).unwrap();
        match Home::open(&path) {
            Err(OpenHomeError::Newer { found, .. }) => assert!(newer && found > HOME_VERSION, "{text:?}"),
            Err(OpenHomeError::NotAHome { .. }) => assert!(!newer, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
        assert_eq!(fs::read_to_string(&format).unwrap(), text);
    }
    let full = dir.path().join("documents");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.txt"), b"x").unwrap();
    assert!(matches!(Home::open(&full), Err(OpenHomeError::NotAHome { .. })));
    assert!(matches!(
        Home::create(&full),
        Err(CreateHomeError::NotEmpty { .. })
    ));
}

#[test]
fn a_creation_cut_short_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home");
    fs::create_dir(&path).unwrap();
    fs::write(path.join(LOCK_FILE), b"123\n").unwrap();
    fs::write(path.join(format!(".0011{}", atomic::TEMPORARY_SUFFIX)), b"nutha").unwrap();
    assert!(matches!(Home::open(&path), Err(OpenHomeError::NotAHome { .. })));
    drop(Home::create(&path).unwrap());
    drop(Home::open(&path).unwrap());
    assert_eq!(atomic::sweep(&path).unwrap(), 0);
}

#[test]
fn slot_names_never_leave_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::create(&dir.path().join("home")).unwrap();
    let long = "a".repeat(SLOT_NAME_LEN_MAX + 1);
    for name in ["", "..", "../node", "a/b", "A", "a b", "a.slot", &long] {
        assert!(
            matches!(home.write_slot(name, b"x"), Err(SlotFileError::BadName)),
            "{name}"
        );
    }
    for number in 0..SLOTS_MAX {
        home.write_slot(&format!("slot-{number}"), b"x").unwrap();
    }
    assert!(matches!(
        home.write_slot("one-more", b"x"),
        Err(SlotFileError::TooMany)
    ));
    home.write_slot("slot-0", b"y").unwrap();
}
