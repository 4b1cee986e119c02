use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ChunkId;
use crate::codec::{self, DecodeReason};

fn content(len: u64) -> Content {
    Content {
        depth: 0,
        len,
        chunks: if len == 0 {
            Vec::new()
        } else {
            vec![ChunkId::from_bytes([3; 32])]
        },
    }
}

fn entry(name: &[u8], kind: EntryKind) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        meta: Metadata {
            mode: 0o644,
            uid: 1000,
            gid: 1000,
            user: Some("me".to_owned()),
            group: None,
            mtime: MTime {
                secs: -5,
                nanos: 999_999_999,
            },
            xattrs: vec![
                (b"user.a".to_vec(), vec![0, 255]),
                (b"user.b".to_vec(), Vec::new()),
            ],
        },
        hard_link: None,
    }
}

fn every_kind() -> Tree {
    let mut linked = entry(
        b"sparse",
        EntryKind::File {
            size: 100,
            content: content(70),
            holes: vec![(0, 10), (80, 20)],
        },
    );
    linked.hard_link = Some(7);
    Tree {
        entries: vec![
            entry(b"\x01raw\xff", EntryKind::Fifo),
            entry(b"block", EntryKind::BlockDevice { major: 8, minor: 1 }),
            entry(b"char", EntryKind::CharDevice { major: 1, minor: 3 }),
            entry(b"dir", EntryKind::Dir { tree: content(8) }),
            entry(
                b"empty",
                EntryKind::File {
                    size: 0,
                    content: content(0),
                    holes: Vec::new(),
                },
            ),
            entry(
                b"link",
                EntryKind::Symlink {
                    target: b"../x\xfe".to_vec(),
                },
            ),
            entry(b"socket", EntryKind::Socket),
            linked,
        ],
    }
}

#[test]
fn every_kind_reads_back_from_pieces_of_any_length() {
    let tree = every_kind();
    let bytes = tree.encode().unwrap();
    assert_eq!(Tree::decode(&bytes), Ok(tree.clone()));
    for length in [1, 7, 100] {
        let mut reader = TreeReader::new();
        let mut entries = Vec::new();
        for piece in bytes.chunks(length) {
            reader.push(piece);
            while let Some(entry) = reader.next_entry().unwrap() {
                entries.push(entry);
            }
        }
        reader.finish().unwrap();
        assert_eq!(entries, tree.entries);
    }
}

#[test]
fn a_tree_cut_short_is_an_error_unless_between_entries() {
    let tree = every_kind();
    let bytes = tree.encode().unwrap();
    let mut whole = 0;
    for end in 0..bytes.len() {
        if let Ok(shorter) = Tree::decode(&bytes[..end]) {
            assert_eq!(shorter.entries, tree.entries[..whole]);
            whole += 1;
        }
    }
    assert_eq!(whole, tree.entries.len());
}

#[test]
fn impossible_entries_are_neither_written_nor_read() {
    let file = |size, len, holes| EntryKind::File {
        size,
        content: content(len),
        holes,
    };
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut entry = entry(b"a", EntryKind::Fifo);
        change(&mut entry);
        entry
    };
    let refused = [
        entry(b"", EntryKind::Fifo),
        entry(b".", EntryKind::Fifo),
        entry(b"..", EntryKind::Fifo),
        entry(b"a/b", EntryKind::Fifo),
        entry(b"a\0b", EntryKind::Fifo),
        entry(&[b'a'; NAME_LEN_MAX + 1], EntryKind::Fifo),
        entry(b"a", EntryKind::Symlink { target: Vec::new() }),
        entry(
            b"a",
            EntryKind::Symlink {
                target: b"x\0".to_vec(),
            },
        ),
        entry(b"a", EntryKind::Dir { tree: content(0) }),
        entry(b"a", file(10, 9, vec![])),
        entry(b"a", file(10, 10, vec![(3, 0)])),
        entry(b"a", file(10, 5, vec![(6, 5)])),
        entry(b"a", file(10, 5, vec![(u64::MAX, 5)])),
        entry(b"a", file(10, 5, vec![(0, 2), (2, 3)])),
        entry(b"a", file(10, 5, vec![(4, 2), (0, 3)])),
        entry(
            b"a",
            file(
                1 << 20,
                (1 << 20) - HOLES_MAX as u64 - 1,
                (0..=HOLES_MAX as u64).map(|n| (2 * n, 1)).collect(),
            ),
        ),
        with(&|entry| entry.meta.mode = 0o10_0644),
        with(&|entry| entry.meta.mtime.nanos = 1_000_000_000),
        with(&|entry| entry.meta.user = Some("x".repeat(257))),
        with(&|entry| entry.meta.xattrs.reverse()),
        with(&|entry| {
            let twice = entry.meta.xattrs[0].clone();
            entry.meta.xattrs.insert(0, twice);
        }),
        with(&|entry| entry.meta.xattrs = vec![(Vec::new(), Vec::new())]),
        with(&|entry| entry.meta.xattrs = vec![(b"a".to_vec(), vec![0; XATTR_VALUE_LEN_MAX + 1])]),
        with(&|entry| {
            entry.kind = EntryKind::Dir { tree: content(8) };
            entry.hard_link = Some(1);
        }),
    ];
    for entry in refused {
        let mut out = Vec::new();
        let mut writer = TreeWriter::begin(&mut out);
        assert!(
            matches!(writer.push(&entry, &mut out), Err(TreeError::Invalid(_))),
            "{:?}",
            entry.kind
        );
        assert_eq!(out.len(), TREE_HEADER_LEN);
        assert!(codec::decode::<Entry>(&codec::encode(&entry)).is_err());
    }
}

#[test]
fn entries_out_of_order_are_neither_written_nor_read() {
    let (first, second) = (entry(b"a", EntryKind::Fifo), entry(b"b", EntryKind::Fifo));
    for entries in [
        vec![second.clone(), first.clone()],
        vec![first.clone(), first.clone()],
    ] {
        assert_eq!(Tree { entries }.encode(), Err(TreeError::Order));
    }
    let mut bytes = Tree {
        entries: vec![second],
    }
    .encode()
    .unwrap();
    let earlier = Tree { entries: vec![first] }.encode().unwrap();
    bytes.extend_from_slice(&earlier[TREE_HEADER_LEN..]);
    assert!(matches!(
        Tree::decode(&bytes).unwrap_err().reason,
        DecodeReason::Invalid("entries out of order")
    ));
}

#[test]
fn a_length_that_cannot_be_is_refused_before_the_bytes_are_there() {
    let mut bytes = Tree::default().encode().unwrap();
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        Tree::decode(&bytes).unwrap_err().reason,
        DecodeReason::TooLong { .. }
    ));
}

#[test]
fn newer_trees_and_other_files_are_told_apart() {
    let mut bytes = Tree::default().encode().unwrap();
    for found in [0, 2, 9] {
        bytes[8] = found;
        let found = u16::from(found);
        assert_eq!(
            Tree::decode(&bytes).unwrap_err().reason,
            DecodeReason::Version { found, known: 1 }
        );
    }
    bytes[8] = 1;
    bytes[10] = 9;
    assert_eq!(Tree::decode(&bytes).unwrap_err().reason, DecodeReason::Suite(9));
    assert!(Tree::decode(b"%PDF-1.7 and more").is_err());
}

fn any_kind() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        (1_u64..1 << 40, 1_u64..1 << 20, 1_u64..1 << 20).prop_map(|(data, first, second)| EntryKind::File {
            size: data + first + second,
            content: content(data),
            holes: vec![(0, first), (data + first, second)],
        }),
        (1_u64..1 << 40).prop_map(|len| EntryKind::Dir { tree: content(len) }),
        vec(1_u8.., 1..50).prop_map(|target| EntryKind::Symlink { target }),
        Just(EntryKind::Fifo),
        Just(EntryKind::Socket),
        any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::CharDevice { major, minor }),
        any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::BlockDevice { major, minor }),
    ]
}

prop_compose! {
    fn any_entry()(
        name in vec(any::<u8>().prop_filter("name", |byte| !matches!(byte, 0 | b'/' | b'.')), 1..40),
        kind in any_kind(),
        (mode, uid, gid) in (0..=MODE_MASK, any::<u32>(), any::<u32>()),
        user in proptest::option::of("[a-zé]{0,12}"),
        (secs, nanos) in (any::<i64>(), 0_u32..1_000_000_000),
        xattrs in proptest::collection::btree_map(vec(1_u8.., 1..20), vec(any::<u8>(), 0..40), 0..4),
        group in any::<u64>(),
    ) -> Entry {
        let hard_link = (!matches!(kind, EntryKind::Dir { .. })).then_some(group);
        let xattrs = xattrs.into_iter().collect();
        let meta = Metadata { mode, uid, gid, user, group: None, mtime: MTime { secs, nanos }, xattrs };
        Entry { name, kind, meta, hard_link }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn entry_and_back_is_the_same(entry in any_entry()) {
        let bytes = codec::encode(&entry);
        prop_assert_eq!(codec::decode::<Entry>(&bytes), Ok(entry));
        for end in 0..bytes.len() {
            prop_assert!(codec::decode::<Entry>(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_another_canonical_entry(entry in any_entry(), at: usize, flip in 1_u8..) {
        let mut bytes = codec::encode(&entry);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(other) = codec::decode::<Entry>(&bytes) {
            prop_assert_ne!(&other, &entry);
            prop_assert_eq!(codec::encode(&other), bytes);
        }
    }

    #[test]
    fn garbage_is_an_error(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(codec::decode::<Entry>(&bytes).is_err());
        prop_assert!(Tree::decode(&bytes).is_err());
    }
}
