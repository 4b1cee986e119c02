use proptest::prelude::*;

use super::*;
use crate::codec;
use crate::section::LEVEL_DEFAULT;

fn entry(codec: Codec, stored_len: u32, chunk_lens: &[u32]) -> SectionEntry {
    SectionEntry {
        offset: 0,
        stored_len,
        plain_len: chunk_lens.iter().sum(),
        codec,
        level: LEVEL_DEFAULT,
        chunks: chunk_lens
            .iter()
            .map(|len| ChunkEntry {
                id: ChunkId::from_bytes([*len as u8; 32]),
                len: *len,
            })
            .collect(),
    }
}

fn arbitrary_entry() -> impl Strategy<Value = SectionEntry> {
    (
        proptest::collection::vec(1_u32..1000, 1..20),
        any::<bool>(),
        1_u32..100,
    )
        .prop_map(|(lens, raw, saved)| {
            let plain_len: u32 = lens.iter().sum();
            let compressed_len = plain_len.saturating_sub(saved);
            if raw || compressed_len == 0 {
                entry(Codec::Raw, plain_len + TAG_LEN as u32, &lens)
            } else {
                entry(Codec::Zstd, compressed_len + TAG_LEN as u32, &lens)
            }
        })
}

fn directory_of(sections: Vec<SectionEntry>) -> PackDirectory {
    PackDirectory::place(10_507, sections).unwrap()
}

/// Encodes entries as they are, whether or not they make sense.
fn unchecked(sections: Vec<SectionEntry>) -> Vec<u8> {
    codec::encode(&PackDirectory { encoder: 1, sections })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_directory_decodes_to_itself(sections in proptest::collection::vec(arbitrary_entry(), 1..10)) {
        let directory = directory_of(sections);
        let bytes = codec::encode(&directory);
        let bound = DIRECTORY_BASE_LEN_MAX
            + directory.sections.len() * SECTION_ENTRY_LEN_MAX
            + directory.sections.iter().map(|section| section.chunks.len() * CHUNK_ENTRY_LEN_MAX).sum::<usize>();
        prop_assert!(bytes.len() <= bound);
        prop_assert_eq!(codec::decode::<PackDirectory>(&bytes), Ok(directory));
        for end in 0..bytes.len() {
            prop_assert!(codec::decode::<PackDirectory>(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn garbage_is_no_directory_and_no_header(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(codec::decode::<PackDirectory>(&bytes).is_err());
        prop_assert!(read_header(&bytes).is_err());
    }
}

#[test]
fn the_entries_of_the_longest_numbers_keep_their_bound() {
    let most = u32::MAX;
    let chunk = ChunkEntry {
        id: ChunkId::from_bytes([0; 32]),
        len: most,
    };
    let with = |chunks: Vec<ChunkEntry>| SectionEntry {
        offset: 0,
        stored_len: most,
        plain_len: most,
        codec: Codec::Zstd,
        level: Level::new(19).unwrap(),
        chunks,
    };
    let encoded_len = |sections| {
        codec::encode(&PackDirectory {
            encoder: most,
            sections,
        })
        .len()
    };
    let chunkless = encoded_len(vec![with(vec![])]);
    let full = encoded_len(vec![with(vec![chunk; SECTION_CHUNKS_MAX])]);
    assert!(full <= chunkless + SECTION_CHUNKS_MAX * CHUNK_ENTRY_LEN_MAX + 2);
    assert!(
        full <= DIRECTORY_BASE_LEN_MAX + SECTION_ENTRY_LEN_MAX + SECTION_CHUNKS_MAX * CHUNK_ENTRY_LEN_MAX
    );
    assert!(
        encoded_len(vec![with(vec![chunk]); 1000])
            <= DIRECTORY_BASE_LEN_MAX + 1000 * (SECTION_ENTRY_LEN_MAX + CHUNK_ENTRY_LEN_MAX)
    );
}

#[test]
fn sections_lie_one_behind_the_other() {
    let directory = directory_of(vec![
        entry(Codec::Raw, 116, &[40, 60]),
        entry(Codec::Zstd, 50, &[500]),
        entry(Codec::Raw, 17, &[1]),
    ]);
    let offsets: Vec<u32> = directory.sections.iter().map(|section| section.offset).collect();
    assert_eq!(offsets, [88, 204, 254]);
    assert_eq!(directory.sections_end(), 271);
    assert_eq!(
        directory.section(1).map(|(_, place)| place),
        Some(Place {
            index: 1,
            last: false
        })
    );
    assert_eq!(
        directory.section(2).map(|(_, place)| place),
        Some(Place { index: 2, last: true })
    );
    assert_eq!(directory.section(3), None);
}

#[test]
fn directories_that_say_impossible_things_are_refused() {
    let mut level = entry(Codec::Raw, 26, &[10]);
    level.level = minicbor::decode(&[0]).unwrap();
    let mut sum = entry(Codec::Raw, 26, &[10]);
    sum.chunks[0].len = 9;
    let mut overflow = entry(Codec::Raw, 26, &[10]);
    overflow.chunks = vec![
        ChunkEntry {
            len: u32::MAX,
            ..overflow.chunks[0]
        };
        2
    ];
    let mut empty_chunk = entry(Codec::Raw, 26, &[10]);
    empty_chunk.chunks.push(ChunkEntry {
        len: 0,
        ..empty_chunk.chunks[0]
    });
    let longest = entry(
        Codec::Raw,
        (SECTION_LEN_MAX + TAG_LEN) as u32,
        &[SECTION_LEN_MAX as u32],
    );
    for (what, sections) in [
        ("no section", vec![]),
        ("empty", vec![entry(Codec::Raw, 16, &[])]),
        ("shorter than a tag", vec![entry(Codec::Zstd, 15, &[10])]),
        ("nothing compressed", vec![entry(Codec::Zstd, 16, &[10])]),
        ("compressed is longer", vec![entry(Codec::Zstd, 26, &[10])]),
        ("raw is shorter", vec![entry(Codec::Raw, 25, &[10])]),
        (
            "too long",
            vec![entry(
                Codec::Raw,
                (SECTION_LEN_MAX + TAG_LEN) as u32 + 1,
                &[SECTION_LEN_MAX as u32 + 1],
            )],
        ),
        ("level", vec![level]),
        ("sum", vec![sum]),
        ("overflow", vec![overflow]),
        ("empty chunk", vec![empty_chunk]),
        ("more than a pack", vec![longest; 16]),
    ] {
        assert!(
            codec::decode::<PackDirectory>(&unchecked(sections)).is_err(),
            "{what}"
        );
    }
    assert!(codec::decode::<PackDirectory>(&unchecked(vec![entry(Codec::Raw, 26, &[10])])).is_ok());
}

#[test]
fn headers_of_other_formats_are_refused_by_name() {
    let mut bytes = [0; HEADER_LEN];
    bytes[..HEADER_FIXED_LEN].copy_from_slice(&PackHeader::fixed(PackKind::Meta, Epoch(7)));
    let header = read_header(&bytes).unwrap();
    assert_eq!((header.kind(), header.epoch()), (PackKind::Meta, Epoch(7)));
    for end in 0..HEADER_LEN {
        assert_eq!(
            read_header(&bytes[..end]).unwrap_err().reason,
            DecodeReason::Truncated
        );
    }
    let reason = |at: usize, byte: u8| {
        let mut changed = bytes;
        changed[at] = byte;
        read_header(&changed).map_err(|error| (error.at, error.reason))
    };
    assert_eq!(reason(0, b'N'), Err((0, DecodeReason::Invalid("not a pack"))));
    let known = FORMAT_VERSION;
    for found in [0, 2, 9] {
        let version = DecodeReason::Version {
            found: u16::from(found),
            known,
        };
        assert_eq!(reason(8, found), Err((8, version)));
    }
    assert_eq!(reason(10, 2), Err((10, DecodeReason::Suite(2))));
    assert_eq!(
        reason(16, 3),
        Err((16, DecodeReason::Invalid("unknown kind of pack")))
    );
    for at in 17..HEADER_FIXED_LEN {
        assert_eq!(reason(at, 1), Err((17, DecodeReason::NotCanonical)));
    }
}

#[test]
fn a_kind_has_the_same_number_in_headers_and_in_cbor() {
    for kind in [PackKind::Data, PackKind::Meta] {
        assert_eq!(minicbor::to_vec(kind).unwrap(), [kind.number()]);
        assert_eq!(PackKind::from_number(kind.number()), Some(kind));
    }
}
