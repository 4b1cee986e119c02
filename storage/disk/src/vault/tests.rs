use std::fs;

use nuthatch_erasure::Scheme;
use nuthatch_format::slice;

use super::*;
use crate::fixtures::stripe;

const LEN: u64 = 3 << 20;

fn scheme() -> Scheme {
    Scheme::new(2, 1).unwrap()
}

fn place(label: &SignedLabel, index: u8) -> ShardPlace {
    ShardPlace {
        archive: label.label().archive,
        label: label.id(),
        index: ShardIndex(index),
    }
}

fn new_writer(vault: &Vault, label: &SignedLabel, index: u8) -> ShardWriter {
    match vault.begin(label, ShardIndex(index)).unwrap() {
        Begin::New { writer } => writer,
        other => panic!("{other:?}"),
    }
}

fn put(vault: &Vault, label: &SignedLabel, index: u8, bytes: &[u8]) {
    let mut writer = new_writer(vault, label, index);
    for (number, part) in bytes.chunks(256 << 10).enumerate() {
        writer.write((number * (256 << 10)) as u64, part).unwrap();
    }
    writer.finish().unwrap();
}

/// Everything that a vault says, to compare before and after.
fn contents(vault: &Vault) -> (Vec<(ArchiveId, Usage)>, Vec<Holding>) {
    let usages = vault.usages();
    let mut all = Vec::new();
    for (archive, _) in &usages {
        for prefix in 0..=u8::MAX {
            all.extend(vault.holdings(archive, prefix, None, 1000).unwrap());
        }
    }
    (usages, all)
}

/// As if the process had been killed: nothing is closed.
fn kill(vault: Vault, from: &Path, to: &Path) {
    copy_dir(from, to);
    drop(vault);
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn what_was_put_is_read_back_whole_and_in_verified_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let (label, shards) = stripe(1, scheme(), LEN);
    put(&vault, &label, 1, &shards[1]);
    let here = place(&label, 1);
    assert!(vault.has(&here).unwrap());
    assert!(!vault.has(&place(&label, 0)).unwrap());
    assert_eq!(vault.stripe(&here.archive, &here.label).unwrap(), [ShardIndex(1)]);
    assert_eq!(vault.read_range(&here, 0, LEN).unwrap(), shards[1]);
    assert_eq!(
        vault.read_range(&here, LEN - 5, 5).unwrap(),
        shards[1][LEN as usize - 5..]
    );
    for (offset, len) in [(LEN - 5, 6), (u64::MAX, 1), (0, u64::MAX), (LEN + 1, 0)] {
        let answer = vault.read_range(&here, offset, len);
        assert!(
            matches!(answer, Err(ReadShardError::OutOfRange { .. })),
            "{answer:?}"
        );
    }
    assert!(matches!(
        vault.read_range(&place(&label, 2), 0, 1),
        Err(ReadShardError::NotFound { .. })
    ));
    let root = label.label().shards[1];
    // Its tree came with it; the third time with one that is remembered.
    let kept = std::fs::read(vault.inner.layout.tree(&here)).unwrap();
    assert_eq!(kept, slice::Outboard::of(&shards[1]).as_bytes());
    let mut tree = None;
    for (at, range) in [0..256 << 10, (1 << 20)..(1 << 20) + (256 << 10), 0..LEN]
        .into_iter()
        .enumerate()
    {
        let read = vault.read_slice(&here, range.clone(), tree.clone()).unwrap();
        let bytes = slice::verify(&root, LEN, range.clone(), &read.slice).unwrap();
        assert_eq!(bytes, shards[1][range.start as usize..range.end as usize]);
        tree = (at > 0).then_some(read.tree);
    }
    assert_eq!(
        vault.label(&here.archive, &here.label).unwrap(),
        Some(label.clone())
    );
    assert_eq!(vault.scrub(&here).unwrap(), Soundness::Sound);
    assert!(matches!(vault.begin(&label, ShardIndex(1)).unwrap(), Begin::Have));
    assert!(matches!(
        vault.begin(&label, ShardIndex(3)),
        Err(BeginError::NoSuchShard { .. })
    ));
}

#[test]
fn an_arrival_goes_on_where_it_was_cut_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (label, shards) = stripe(1, scheme(), LEN);
    {
        let vault = Vault::open(dir.path()).unwrap();
        let mut writer = new_writer(&vault, &label, 0);
        writer.write(0, &shards[0][..700_000]).unwrap();
        assert!(matches!(
            vault.begin(&label, ShardIndex(0)).unwrap(),
            Begin::InWork
        ));
        writer.keep_partial().unwrap();
    }
    let vault = Vault::open(dir.path()).unwrap();
    assert!(!vault.has(&place(&label, 0)).unwrap());
    let Begin::Partial { from, mut writer } = vault.begin(&label, ShardIndex(0)).unwrap() else {
        panic!("nothing was kept");
    };
    assert_eq!(from, 700_000);
    let answer = writer.write(0, b"again");
    assert!(matches!(
        answer,
        Err(WriteShardError::OutOfOrder {
            expected: 700_000,
            ..
        })
    ));
    writer.write(from, &shards[0][700_000..2_000_000]).unwrap();
    // Killed here: what came after the last note of progress comes again.
    drop(writer);
    let Begin::Partial { from, mut writer } = vault.begin(&label, ShardIndex(0)).unwrap() else {
        panic!("nothing was kept");
    };
    assert!((1 << 20..=2_000_000).contains(&from));
    writer.write(from, &shards[0][from as usize..]).unwrap();
    assert!(matches!(
        writer.write(LEN, b"x"),
        Err(WriteShardError::TooLong { .. })
    ));
    writer.finish().unwrap();
    assert_eq!(vault.read_range(&place(&label, 0), 0, LEN).unwrap(), shards[0]);
    assert_eq!(fs::read_dir(dir.path().join("partial")).unwrap().count(), 0);
    // A note that lost its shard, as a kill between the two leaves it.
    drop(vault);
    let note = Layout::new(dir.path()).progress(&place(&label, 0));
    fs::write(&note, 5_u64.to_le_bytes()).unwrap();
    Vault::open(dir.path()).unwrap();
    assert!(!note.exists());
}

#[test]
fn wrong_bytes_never_become_a_shard() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let (label, shards) = stripe(1, scheme(), 100_000);
    let mut writer = new_writer(&vault, &label, 0);
    writer.write(0, &shards[1]).unwrap();
    assert!(matches!(writer.finish(), Err(FinishShardError::WrongHash { .. })));
    // What a power cut has made of a partial is found out too.
    let mut writer = new_writer(&vault, &label, 0);
    writer.write(0, &shards[0][..50_000]).unwrap();
    writer.keep_partial().unwrap();
    let partial = vault.inner.layout.partial(&place(&label, 0));
    let mut bytes = fs::read(&partial).unwrap();
    bytes[10] ^= 1;
    fs::write(&partial, bytes).unwrap();
    let Begin::Partial { mut writer, .. } = vault.begin(&label, ShardIndex(0)).unwrap() else {
        panic!("nothing was kept");
    };
    writer.write(50_000, &shards[0][50_000..]).unwrap();
    assert!(matches!(writer.finish(), Err(FinishShardError::WrongHash { .. })));
    let mut writer = new_writer(&vault, &label, 0);
    writer.write(0, &shards[0][..10]).unwrap();
    assert!(matches!(
        writer.finish(),
        Err(FinishShardError::Incomplete { missing: 99_990 })
    ));
    assert_eq!(contents(&vault), (Vec::new(), Vec::new()));
    let Begin::Partial { from: 10, mut writer } = vault.begin(&label, ShardIndex(0)).unwrap() else {
        panic!("nothing was kept");
    };
    writer.write(10, &shards[0][10..]).unwrap();
    writer.finish().unwrap();
    assert_eq!(vault.scrub(&place(&label, 0)).unwrap(), Soundness::Sound);
}

#[test]
fn a_shard_that_this_disk_has_lost_is_taken_again() {
    let (label, shards) = stripe(1, scheme(), 100_000);
    let here = place(&label, 0);
    let losses: [fn(&Layout, &ShardPlace); 3] = [
        |layout, place| fs::remove_file(layout.shard(place)).unwrap(),
        |layout, place| fs::write(layout.shard(place), b"short").unwrap(),
        |layout, place| fs::write(layout.label(&place.archive, &place.label), b"no label").unwrap(),
    ];
    for lose in losses {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        put(&vault, &label, 0, &shards[0]);
        assert!(matches!(vault.begin(&label, ShardIndex(0)).unwrap(), Begin::Have));
        lose(&vault.inner.layout, &here);
        put(&vault, &label, 0, &shards[0]);
        assert_eq!(vault.scrub(&here).unwrap(), Soundness::Sound);
        assert_eq!(vault.usage(&here.archive).shard_count, 1);
    }
}

#[test]
fn one_odd_file_does_not_keep_a_vault_from_opening() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vault = Vault::open(dir.path()).unwrap();
    let (label, shards) = stripe(1, scheme(), 1000);
    put(&vault, &label, 0, &shards[0]);
    let before = contents(&vault);
    let here = place(&label, 0);
    let layout = vault.inner.layout.clone();
    // A file among the directories, a shard moved by hand to where no label of its first digits lies, a directory named as a shard, and
    // a file named as an archive.
    fs::write(layout.archive_dir(&here.archive).join("note.txt"), b"mine").unwrap();
    let elsewhere = layout.archive_dir(&here.archive).join("zz");
    fs::create_dir(&elsewhere).unwrap();
    let name = layout.shard(&here).file_name().unwrap().to_owned();
    fs::write(elsewhere.join(name), &shards[0]).unwrap();
    fs::create_dir(layout.shard(&place(&label, 1))).unwrap();
    fs::write(layout.archive_dir(&ArchiveId::from_bytes([7; 32])), b"").unwrap();
    kill(vault, dir.path(), killed.path());
    assert_eq!(contents(&Vault::open(killed.path()).unwrap()), before);
}

#[test]
fn files_alone_say_what_the_index_said() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vault = Vault::open(dir.path()).unwrap();
    for seed in 0..5 {
        let (label, shards) = stripe(seed, scheme(), 10_000);
        for index in 0..=seed % 3 {
            put(&vault, &label, index, &shards[usize::from(index)]);
        }
    }
    let before = contents(&vault);
    assert_eq!(before.0.len(), 1);
    assert_eq!(before.0[0].1.shard_count, 1 + 2 + 3 + 1 + 2);
    assert_eq!(before.0[0].1.bytes, ByteCount(9 * 10_000));
    assert_eq!(vault.total(), ByteCount(9 * 10_000));
    kill(vault, dir.path(), killed.path());
    assert_eq!(
        contents(&Vault::open(killed.path()).unwrap()),
        before,
        "after a crash"
    );
    assert_eq!(
        contents(&Vault::open(dir.path()).unwrap()),
        before,
        "after an orderly end"
    );
    for damage in [&b""[..], b"nonsense"] {
        fs::write(dir.path().join("index.redb"), damage).unwrap();
        assert_eq!(
            contents(&Vault::open(dir.path()).unwrap()),
            before,
            "with a damaged index"
        );
    }
    fs::remove_file(dir.path().join("index.redb")).unwrap();
    assert_eq!(
        contents(&Vault::open(dir.path()).unwrap()),
        before,
        "without an index"
    );
}

#[test]
fn a_kill_between_any_two_steps_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (label, shards) = stripe(1, scheme(), 10_000);
    let (other, other_shards) = stripe(2, scheme(), 10_000);
    let vault = Vault::open(dir.path()).unwrap();
    put(&vault, &label, 0, &shards[0]);
    let layout = vault.inner.layout.clone();
    let acknowledged = contents(&vault);
    // The label of a shard that never came; half of a label; a shard without its label; a temporary.
    let lone = layout.label(&other.label().archive, &other.id());
    fs::create_dir_all(lone.parent().unwrap()).unwrap();
    let orphan = layout.shard(&place(&other, 1));
    for (step, make) in [
        (
            "label only",
            Box::new(|| fs::write(&lone, other.bytes())) as Box<dyn Fn() -> std::io::Result<()>>,
        ),
        (
            "half a label",
            Box::new(|| fs::write(&lone, &other.bytes()[..20])),
        ),
        (
            "shard without label",
            Box::new(|| fs::remove_file(&lone).and_then(|()| fs::write(&orphan, &other_shards[1]))),
        ),
        (
            "short shard",
            Box::new(|| fs::write(&lone, other.bytes()).and_then(|()| fs::write(&orphan, b"short"))),
        ),
        (
            "temporary",
            Box::new(|| fs::write(lone.with_file_name(".0123.new~"), b"x")),
        ),
    ] {
        make().unwrap();
        let killed = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), killed.path());
        let reopened = Vault::open(killed.path()).unwrap();
        assert_eq!(contents(&reopened), acknowledged, "{step}");
        put(&reopened, &other, 1, &other_shards[1]);
        assert_eq!(
            reopened.scrub(&place(&other, 1)).unwrap(),
            Soundness::Sound,
            "{step}"
        );
    }
    drop(vault);
}

type PathOf = fn(&Layout, &ShardPlace) -> std::path::PathBuf;

#[test]
fn damage_is_an_error_or_seen_and_never_a_panic() {
    let (label, shards) = stripe(1, scheme(), 100_000);
    let here = place(&label, 0);
    let layout_of = |dir: &Path| Layout::new(dir);
    let files: [(&str, PathOf); 3] = [
        ("shard", |layout, place| layout.shard(place)),
        ("label", |layout, place| {
            layout.label(&place.archive, &place.label)
        }),
        ("tree", |layout, place| layout.tree(place)),
    ];
    for (what, path_of) in files {
        for how in ["flip", "cut", "empty", "grow", "remove"] {
            let dir = tempfile::tempdir().unwrap();
            let vault = Vault::open(dir.path()).unwrap();
            put(&vault, &label, 0, &shards[0]);
            let tree = vault.read_slice(&here, 0..100_000, None).unwrap().tree;
            let path = path_of(&layout_of(dir.path()), &here);
            let mut bytes = fs::read(&path).unwrap();
            match how {
                "flip" => {
                    let at = bytes.len() / 2;
                    bytes[at] ^= 4;
                }
                "cut" => bytes.truncate(bytes.len() / 2),
                "empty" => bytes.clear(),
                _ => bytes.push(0),
            }
            if how == "remove" {
                fs::remove_file(&path).unwrap();
            } else {
                fs::write(&path, bytes).unwrap();
            }
            let slice = vault.read_slice(&here, 0..100_000, None);
            let remembered = vault.read_slice(&here, 0..100_000, Some(tree));
            let soundness = vault.scrub(&here).unwrap();
            match (what, how) {
                ("tree", _) => {
                    assert!(slice.is_ok() && remembered.is_ok(), "{what} {how}: {slice:?}");
                    assert_eq!(soundness, Soundness::Sound);
                }
                ("shard", "remove") => {
                    for slice in [slice, remembered] {
                        let is_missing = matches!(slice, Err(SliceShardError::NotFound { .. }));
                        assert!(is_missing, "{slice:?}");
                    }
                    assert_eq!(soundness, Soundness::Missing);
                }
                _ => {
                    assert!(slice.is_err(), "{what} {how}");
                    // Who remembers the tree needs no label for it.
                    assert_eq!(remembered.is_ok(), what == "label", "{what} {how}");
                    assert_eq!(soundness, Soundness::Damaged, "{what} {how}");
                }
            }
            vault.remove(&here).unwrap();
            assert_eq!(contents(&vault), (Vec::new(), Vec::new()), "{what} {how}");
            put(&vault, &label, 0, &shards[0]);
        }
    }
}

#[test]
fn what_the_disk_does_not_give_back_is_damage() {
    let (label, shards) = stripe(1, scheme(), 100_000);
    let here = place(&label, 0);
    let files: [(PathOf, Soundness); 3] = [
        (|layout, place| layout.shard(place), Soundness::Damaged),
        (
            |layout, place| layout.label(&place.archive, &place.label),
            Soundness::Damaged,
        ),
        (|layout, place| layout.tree(place), Soundness::Sound),
    ];
    for (path_of, expected) in files {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        put(&vault, &label, 0, &shards[0]);
        vault.read_slice(&here, 0..100_000, None).unwrap();
        // A directory in a file's place can be opened and not read, as a file on a bad sector.
        let path = path_of(&vault.inner.layout, &here);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(vault.scrub(&here).unwrap(), expected);
        let slice = vault.read_slice(&here, 0..100_000, None);
        match expected {
            Soundness::Sound => assert!(slice.is_ok(), "{slice:?}"),
            _ => assert!(matches!(slice, Err(SliceShardError::Damaged { .. })), "{slice:?}"),
        }
    }
}

#[test]
fn a_label_leaves_with_its_last_shard() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let (label, shards) = stripe(1, scheme(), 1000);
    put(&vault, &label, 0, &shards[0]);
    put(&vault, &label, 2, &shards[2]);
    let archive = label.label().archive;
    assert_eq!(
        vault.stripe(&archive, &label.id()).unwrap(),
        [ShardIndex(0), ShardIndex(2)]
    );
    vault.remove(&place(&label, 0)).unwrap();
    assert!(vault.label(&archive, &label.id()).unwrap().is_some());
    vault.remove(&place(&label, 2)).unwrap();
    vault.remove(&place(&label, 2)).unwrap();
    assert_eq!(vault.label(&archive, &label.id()).unwrap(), None);
    assert_eq!(vault.usage(&archive), Usage::default());
}

#[test]
fn inventories_come_in_pages_without_gap_or_double() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    for seed in 0..20 {
        let (label, shards) = stripe(seed, scheme(), 100);
        for index in 0..3 {
            put(&vault, &label, index, &shards[usize::from(index)]);
        }
    }
    let archive = vault.usages()[0].0;
    let (_, all) = contents(&vault);
    assert_eq!(all.len(), 60);
    assert!(all.is_sorted_by_key(|holding| (holding.label, holding.index)));
    let mut paged = Vec::new();
    for prefix in 0..=u8::MAX {
        let mut after = None;
        loop {
            let page = vault.holdings(&archive, prefix, after, 2).unwrap();
            let Some(last) = page.last() else {
                break;
            };
            after = Some((last.label, last.index));
            paged.extend(page);
        }
    }
    assert_eq!(paged, all);
}

#[test]
fn unfinished_arrivals_are_bounded_and_those_in_work_stay() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let one = Scheme::new(1, 0).unwrap();
    let (held, _) = stripe(255, one, 100);
    let mut in_work = new_writer(&vault, &held, 0);
    in_work.write(0, &[1]).unwrap();
    for seed in 0..PARTIALS_MAX as u8 + 10 {
        let (label, shards) = stripe(seed, one, 100);
        let mut writer = new_writer(&vault, &label, 0);
        writer.write(0, &shards[0][..50]).unwrap();
        writer.keep_partial().unwrap();
    }
    let names = fs::read_dir(dir.path().join("partial")).unwrap();
    assert!(names.count() <= 2 * PARTIALS_MAX);
    assert!(vault.inner.layout.partial(&in_work.place()).exists());
}
