use super::*;

fn row(path: &[u8], inode: u64) -> CachedRow {
    CachedRow {
        path: path.to_vec(),
        file: CachedFile {
            stamp: FileStamp {
                size: 7,
                mtime: FileTime { secs: 1, nanos: 2 },
                ctime: FileTime { secs: 3, nanos: 4 },
                inode,
                device: 9,
            },
            seen_at: FileTime { secs: 100, nanos: 0 },
            content: Content {
                depth: 0,
                len: 7,
                chunks: vec![ChunkId::from_bytes([inode as u8; 32])],
            },
            holes: vec![Hole { offset: 1, len: 2 }],
        },
    }
}

#[test]
fn files_are_remembered_by_path_and_by_inode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("files.redb");
    let (a, b) = (row(b"/a\xff", 1), row(b"/b", 2));
    {
        let (cache, found) = FileCache::open(&path, &[1; 32]).unwrap();
        assert_eq!(found, Found::Nothing);
        cache.put(&[a.clone(), b.clone()]).unwrap();
    }
    let (cache, found) = FileCache::open(&path, &[1; 32]).unwrap();
    assert_eq!(found, Found::Intact);
    assert_eq!(cache.get(b"/a\xff").unwrap(), Some(a.file.clone()));
    assert_eq!(cache.get(b"/c").unwrap(), None);
    let moved = FileStamp {
        ctime: FileTime { secs: 50, nanos: 0 },
        ..b.file.stamp
    };
    assert_eq!(cache.renamed(&moved).unwrap(), Some(b.file.clone()));
    assert_eq!(cache.renamed(&FileStamp { inode: 3, ..moved }).unwrap(), None);
    cache.clear().unwrap();
    assert_eq!(cache.get(b"/b").unwrap(), None);
}

#[test]
fn another_scope_begins_with_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("files.redb");
    let (cache, _) = FileCache::open(&path, &[1; 32]).unwrap();
    cache.put(&[row(b"/a", 1)]).unwrap();
    drop(cache);
    let (cache, found) = FileCache::open(&path, &[2; 32]).unwrap();
    assert_eq!((found, cache.get(b"/a").unwrap()), (Found::Intact, None));
}

#[test]
fn no_flipped_byte_of_a_row_is_believed() {
    let row = row(b"/a", 1);
    let good = encode_row(b"/a", &row.file).unwrap();
    assert_eq!(decode_row(b"/a", &good), Some(row.file));
    assert_eq!(decode_row(b"/b", &good), None);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(decode_row(b"/a", &bad), None, "byte {at}");
        assert_eq!(decode_row(b"/a", &good[..at]), None, "cut to {at}");
    }
}

#[test]
fn lists_are_remembered_by_chunk_and_bound_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = FileCache::open(&dir.path().join("files.redb"), &[1; 32]).unwrap();
    let (one, other) = (ChunkId::from_bytes([1; 32]), ChunkId::from_bytes([2; 32]));
    cache.put_lists(&[(one, vec![7; 100_001])]).unwrap();
    assert_eq!(cache.list(&one).unwrap(), Some(vec![7; 100_001]));
    assert_eq!(cache.list(&other).unwrap(), None);
    let row = [&sum(one.as_bytes(), b"x")[..], b"x"].concat();
    let write = cache.database.begin_write().unwrap();
    write
        .open_table(LISTS)
        .unwrap()
        .insert(other.as_bytes(), row.as_slice())
        .unwrap();
    write.commit().unwrap();
    assert_eq!(cache.list(&other).unwrap(), None, "a row of another chunk");
    cache.clear().unwrap();
    assert_eq!(cache.list(&one).unwrap(), None);
}

#[test]
fn lists_that_no_file_needs_are_forgotten_and_those_of_every_level_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _) = FileCache::open(&dir.path().join("files.redb"), &[1; 32]).unwrap();
    let id = |number: u64| ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
    // A file of two levels, whose upper lists end inside an id.
    let lower = [id(1), id(2), id(3)];
    let ids: Vec<u8> = lower.iter().flat_map(|id| *id.as_bytes()).collect();
    let upper = [(id(10), ids[..50].to_vec()), (id(11), ids[50..].to_vec())];
    let mut file = row(b"/large", 1);
    file.file.content.depth = 2;
    file.file.content.chunks = upper.iter().map(|(id, _)| *id).collect();
    cache.put(&[file]).unwrap();
    cache.put_lists(&upper).unwrap();
    cache
        .put_lists(&lower.map(|id| (id, b"ids of data".to_vec())))
        .unwrap();
    let old: Vec<_> = (100..1000).map(|number| (id(number), vec![0; 10])).collect();
    cache.put_lists(&old).unwrap();
    assert_eq!(cache.forget_unused_lists().unwrap(), 0, "too few to look for");
    let more: Vec<_> = (1000..2000).map(|number| (id(number), vec![0; 10])).collect();
    cache.put_lists(&more).unwrap();
    assert_eq!(cache.forget_unused_lists().unwrap(), 1900);
    for kept in upper.iter().map(|(id, _)| *id).chain(lower) {
        assert!(cache.list(&kept).unwrap().is_some());
    }
    assert_eq!(cache.list(&old[0].0).unwrap(), None);
    assert_eq!(cache.forget_unused_lists().unwrap(), 0);
}
