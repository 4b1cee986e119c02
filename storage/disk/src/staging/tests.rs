use super::*;

fn pack(byte: u8, len: usize) -> (PackId, Vec<u8>) {
    let bytes = vec![byte; len];
    (PackId::from_bytes(*blake3::hash(&bytes).as_bytes()), bytes)
}

#[test]
fn a_staged_pack_survives_reopening_until_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (id, bytes) = pack(1, 1000);
    let staging = Staging::open(dir.path(), ByteCount(5000)).unwrap();
    staging.put_pack_bytes(&id, &bytes).unwrap();
    staging.put_pack_bytes(&id, &bytes).unwrap();
    assert_eq!(staging.used(), ByteCount(1000));
    drop(staging);
    fs::write(
        dir.path()
            .join("packs")
            .join(format!(".00{}", atomic::TEMPORARY_SUFFIX)),
        b"half",
    )
    .unwrap();
    let staging = Staging::open(dir.path(), ByteCount(5000)).unwrap();
    let expected = StagedPack {
        id,
        len: ByteCount(1000),
    };
    assert_eq!(staging.list(), [expected]);
    assert_eq!(staging.read(&id).unwrap(), bytes);
    assert_eq!(staging.read_range(&id, 10, 20).unwrap(), vec![1; 20]);
    assert!(matches!(
        staging.read_range(&id, 990, 20),
        Err(ReadPackError::OutOfRange { .. })
    ));
    assert!(matches!(
        staging.read_range(&id, u64::MAX, 2),
        Err(ReadPackError::OutOfRange { .. })
    ));
    staging.remove(&id).unwrap();
    staging.remove(&id).unwrap();
    assert!(matches!(staging.read(&id), Err(ReadPackError::NotFound { .. })));
    assert_eq!((staging.used(), staging.list()), (ByteCount::ZERO, Vec::new()));
}

#[test]
fn packs_never_exceed_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let staging = Staging::open(dir.path(), ByteCount(3000)).unwrap();
    let (a, a_bytes) = pack(1, 1000);
    let (b, b_bytes) = pack(2, 1000);
    let (c, c_bytes) = pack(3, 1001);
    staging.put_pack_bytes(&a, &a_bytes).unwrap();
    staging.put_pack_bytes(&b, &b_bytes).unwrap();
    assert!(matches!(
        staging.put_pack_bytes(&c, &c_bytes),
        Err(StagePackError::Full {
            used: ByteCount(2000),
            bound: ByteCount(3000)
        })
    ));
    assert!(staging.has_room(ByteCount(1000)) && !staging.has_room(ByteCount(1001)));
    drop(staging);
    let staging = Staging::open(dir.path(), ByteCount(4000)).unwrap();
    staging.put_pack_bytes(&c, &c_bytes).unwrap();
    assert!(staging.contains(&c));
    assert_eq!(staging.used(), ByteCount(3001));
}

#[test]
fn a_damaged_pack_is_named_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (id, bytes) = pack(1, 500);
    let staging = Staging::open(dir.path(), ByteCount(5000)).unwrap();
    staging.put_pack_bytes(&id, &bytes).unwrap();
    let path = staging.pack_path(&id);
    for damaged in [bytes[..499].to_vec(), Vec::new(), vec![2; 500], vec![1; 501]] {
        fs::write(&path, damaged).unwrap();
        assert!(matches!(staging.read(&id), Err(ReadPackError::Damaged { .. })));
    }
}

#[test]
fn packs_that_wait_for_long_are_as_whole_as_those_that_came_last() {
    let dir = tempfile::tempdir().unwrap();
    let staging = Staging::open(dir.path(), ByteCount(1 << 30)).unwrap();
    let packs: Vec<_> = (0..3 * FRESH_MAX as u8).map(|seed| pack(seed, 70_000)).collect();
    for (id, bytes) in &packs {
        staging.put_pack_bytes(id, bytes).unwrap();
    }
    for (id, bytes) in &packs {
        assert_eq!(staging.read(id).unwrap(), *bytes);
    }
}
