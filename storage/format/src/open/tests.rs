use proptest::prelude::*;

use super::*;
use crate::pack::{ChunkEntry, PackKind, SectionEntry};
use crate::padding::Fill;
use crate::seal::tests::{keys, noise, plan, sample};
use crate::seal::{PackPlan, SealedPack};
use crate::section::{Codec, CompressedSection, LEVEL_DEFAULT};

fn reader(seed: u8) -> ReaderKeys {
    keys(seed).reader_keys()
}

fn sealed() -> SealedPack {
    let writer = keys(1).writer;
    plan(&writer, &sample()).seal(&writer, Fill::Last).unwrap()
}

fn range<'a>(pack: &'a [u8], section: &SectionEntry) -> &'a [u8] {
    &pack[section.offset as usize..][..section.stored_len as usize]
}

/// Every chunk of a pack, opened and hashed.
fn read_all(reader: &ReaderKeys, pack: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (header, directory) = open_directory(pack, &reader.writer).ok()?;
    let key = reader.pack_key(&header).ok()?;
    let mut chunks = Vec::new();
    for (index, section) in directory.sections.iter().enumerate() {
        let plain = key
            .open_section(&directory, index as u32, range(pack, section))
            .ok()?;
        for (id, chunk) in section.split(&plain) {
            if reader.writer.chunk_id(chunk) != id {
                return None;
            }
            chunks.push(chunk.to_vec());
        }
    }
    Some(chunks)
}

#[test]
fn a_reader_gets_back_every_chunk() {
    let pack = sealed();
    let mut chunks = read_all(&reader(1), &pack.bytes).unwrap();
    let mut expected = sample();
    chunks.sort();
    expected.sort();
    assert_eq!(chunks, expected);
    let (header, directory) = open_directory(&pack.bytes, &keys(1).writer).unwrap();
    assert_eq!((header, directory), (pack.header, pack.directory));
}

#[test]
fn a_section_opens_from_its_range_alone() {
    let pack = sealed();
    let key = reader(1).pack_key(&pack.header).unwrap();
    let section = &pack.directory.sections[1];
    let plain = key
        .open_section(&pack.directory, 1, range(&pack.bytes, section))
        .unwrap();
    assert_eq!(plain.len(), section.plain_len as usize);
}

#[test]
fn a_flipped_bit_anywhere_is_an_error() {
    let writer = keys(1).writer;
    let reader = reader(1);
    let chunks = [noise(1, 3000), noise(2, 100)];
    let pack = plan(&writer, &chunks).seal(&writer, Fill::Last).unwrap().bytes;
    assert_eq!(read_all(&reader, &pack), Some(chunks.to_vec()));
    // Every byte of header, sections, start of the directory and locator; padding in steps.
    let places = (0..4000)
        .chain((4000..pack.len() - 60).step_by(997))
        .chain(pack.len() - 60..pack.len());
    for at in places {
        let mut damaged = pack.clone();
        damaged[at] ^= 1 << (at % 8);
        assert_eq!(read_all(&reader, &damaged), None, "byte {at}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let writer = keys(1).writer;
    let pack = plan(&writer, &[noise(1, 3000)])
        .seal(&writer, Fill::Last)
        .unwrap()
        .bytes;
    for end in (0..4000)
        .chain((4000..pack.len()).step_by(509))
        .chain(pack.len() - 60..pack.len())
    {
        assert!(open_directory(&pack[..end], &writer).is_err(), "{end} bytes");
    }
    let mut longer = pack.clone();
    longer.push(0);
    assert!(open_directory(&longer, &writer).is_err());
    assert_eq!(
        open_directory(&vec![0; PACK_LEN + 1], &writer),
        Err(DirectoryError::Length { found: PACK_LEN + 1 })
    );
}

#[test]
fn other_keys_open_nothing() {
    let pack = sealed();
    let other = reader(2);
    assert_eq!(other.pack_key(&pack.header).err(), Some(PackKeyError::OtherKeys));
    assert!(matches!(
        open_directory(&pack.bytes, &other.writer),
        Err(DirectoryError::Sealed(_))
    ));

    // The sealing secret without the writer secret, and the other way round.
    let mut mixed = reader(1);
    mixed.writer.writer_secret = other.writer.writer_secret;
    assert_eq!(mixed.pack_key(&pack.header).err(), Some(PackKeyError::OtherKeys));
    let mut mixed = reader(1);
    mixed.sealing = other.sealing.clone();
    assert_eq!(mixed.pack_key(&pack.header).err(), Some(PackKeyError::OtherKeys));

    let later = keys(1).owner_secrets().reader_keys(Epoch(1));
    let expected = Epoch(1);
    let found = Epoch(0);
    assert_eq!(
        later.pack_key(&pack.header).err(),
        Some(PackKeyError::Epoch { expected, found })
    );
    assert_eq!(
        open_directory(&pack.bytes, &later.writer),
        Err(DirectoryError::Epoch { expected, found })
    );
}

#[test]
fn an_ephemeral_key_of_small_order_is_refused() {
    let mut bytes = *sealed().header.as_bytes();
    bytes[24..56].fill(0);
    let header = read_header(&bytes).unwrap();
    assert_eq!(
        reader(1).pack_key(&header).err(),
        Some(PackKeyError::Ephemeral(AgreementError))
    );
}

#[test]
fn sections_can_be_neither_swapped_nor_dropped_nor_moved_between_packs() {
    let writer = keys(1).writer;
    // Three sections of the same length, so that only their place tells them apart.
    let chunks: Vec<_> = (0..3).map(|seed| noise(seed, 600_000)).collect();
    let pack = plan(&writer, &chunks).seal(&writer, Fill::Last).unwrap();
    let other = plan(&writer, &chunks[..2]).seal(&writer, Fill::Last).unwrap();
    let key = reader(1).pack_key(&pack.header).unwrap();
    let at = |pack: &SealedPack, index: usize| range(&pack.bytes, &pack.directory.sections[index]).to_vec();

    assert!(key.open_section(&pack.directory, 0, at(&pack, 0)).is_ok());
    for (index, bytes) in [(0, at(&pack, 1)), (1, at(&pack, 0)), (0, at(&other, 0))] {
        assert_eq!(
            key.open_section(&pack.directory, index, bytes),
            Err(SectionError::Damaged { index })
        );
    }
    // A directory that ends earlier makes another section the last: the flag does not match.
    let mut shorter = pack.directory.clone();
    shorter.sections.pop();
    assert_eq!(
        key.open_section(&shorter, 1, at(&pack, 1)),
        Err(SectionError::Damaged { index: 1 })
    );

    let count = 3;
    assert_eq!(
        key.open_section(&pack.directory, 3, at(&pack, 0)),
        Err(SectionError::NoSuchSection { index: 3, count })
    );
    let (expected, found) = (600_016, 600_015);
    assert_eq!(
        key.open_section(&pack.directory, 0, &at(&pack, 0)[1..]),
        Err(SectionError::Length {
            index: 0,
            expected,
            found
        })
    );
}

/// A pack whose only section was sealed by somebody with the keys, but is not what it says.
fn lie(codec: Codec, bytes: Vec<u8>, plain_len: u32) -> Result<Vec<u8>, SectionError> {
    let reader = reader(1);
    let mut plan = PackPlan::new(PackKind::Data);
    plan.push(CompressedSection {
        chunks: vec![ChunkEntry {
            id: reader.writer.chunk_id(b"claimed"),
            len: plain_len,
        }],
        codec,
        level: LEVEL_DEFAULT,
        plain_len,
        digest: *blake3::hash(&bytes).as_bytes(),
        bytes,
    });
    let pack = plan.seal(&reader.writer, Fill::Last).unwrap();
    let (header, directory) = open_directory(&pack.bytes, &reader.writer).unwrap();
    let key = reader.pack_key(&header).unwrap();
    key.open_section(&directory, 0, range(&pack.bytes, &directory.sections[0]))
}

#[test]
fn a_bomb_sealed_with_the_right_keys_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    let plain_len = 1 << 20;
    assert_eq!(
        lie(Codec::Zstd, bomb, plain_len),
        Err(SectionError::Content {
            index: 0,
            source: DecompressError::Damaged { plain_len }
        })
    );
    let short = zstd::bulk::compress(&[0; 500], 3).unwrap();
    assert_eq!(
        lie(Codec::Zstd, short, 1000),
        Err(SectionError::Content {
            index: 0,
            source: DecompressError::Length {
                plain_len: 1000,
                found: 500
            }
        })
    );
}

#[test]
fn a_false_claim_about_a_chunk_shows_when_it_is_hashed() {
    let writer = keys(1).writer;
    let plain = lie(Codec::Raw, b"not what was claimed".to_vec(), 20).unwrap();
    assert_ne!(writer.chunk_id(&plain), writer.chunk_id(b"claimed"));
}

/// The sample pack with another tail, sealed by somebody with the keys: directory plaintext and locator as given.
fn with_tail(text: &[u8], locator: &[u8]) -> Result<(PackHeader, PackDirectory), DirectoryError> {
    let writer = keys(1).writer;
    let pack = sealed();
    let at = pack.directory.sections_end();
    let seal = |object_type, text| {
        siv::seal(
            &writer.siv_key,
            &writer.index_key,
            object_type,
            pack.header.as_bytes(),
            text,
        )
    };
    let mut bytes = pack.bytes[..at].to_vec();
    bytes.extend(seal(ObjectType::PackDirectory, text));
    bytes.extend(seal(ObjectType::PackLocator, locator));
    open_directory(&bytes, &writer)
}

#[test]
fn tails_that_lie_are_refused() {
    let pack = sealed();
    let at = pack.directory.sections_end() as u32;
    let encoding = codec::encode(&pack.directory);
    let honest = [
        (encoding.len() as u32).to_le_bytes().as_slice(),
        &encoding,
        &[0; 10],
    ]
    .concat();
    assert!(with_tail(&honest, &at.to_le_bytes()).is_ok());

    let mut too_long = honest.clone();
    too_long[..4].copy_from_slice(&(encoding.len() as u32 + 11).to_le_bytes());
    let mut endless = honest.clone();
    endless[..4].fill(0xff);
    let mut cut = honest.clone();
    cut[..4].copy_from_slice(&(encoding.len() as u32 - 1).to_le_bytes());
    let mut message_in_padding = honest.clone();
    *message_in_padding.last_mut().unwrap() = 1;
    let mut fewer = pack.directory.clone();
    fewer.sections.pop();
    let fewer = codec::encode(&fewer);
    let fewer = [(fewer.len() as u32).to_le_bytes().as_slice(), &fewer].concat();
    for (what, text, locator) in [
        (
            "directory longer than its room",
            too_long.as_slice(),
            at.to_le_bytes().as_slice(),
        ),
        ("directory of 4 GiB", &endless, &at.to_le_bytes()),
        ("directory cut", &cut, &at.to_le_bytes()),
        ("message in the padding", &message_in_padding, &at.to_le_bytes()),
        ("bytes between sections and directory", &fewer, &at.to_le_bytes()),
        ("no length", &honest[..3], &at.to_le_bytes()),
        ("locator behind the pack", &honest, &u32::MAX.to_le_bytes()),
    ] {
        let refused = with_tail(text, locator);
        assert!(
            matches!(refused, Err(DirectoryError::Directory(_))),
            "{what}: {refused:?}"
        );
    }
    for wrong in [at - 1, at + 1] {
        let refused = with_tail(&honest, &wrong.to_le_bytes());
        assert!(matches!(refused, Err(DirectoryError::Sealed(_))), "{refused:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_chunks_come_back(lens in proptest::collection::vec(1_usize..20_000, 1..30), seed in any::<u8>()) {
        let writer = keys(1).writer;
        let chunks: Vec<_> = lens
            .iter()
            .map(|len| if len % 2 == 0 { noise(seed, *len) } else { vec![seed; *len] })
            .collect();
        let pack = plan(&writer, &chunks).seal(&writer, Fill::Last).unwrap();
        prop_assert_eq!(read_all(&reader(1), &pack.bytes), Some(chunks));
    }

    #[test]
    fn garbage_is_no_pack(bytes in proptest::collection::vec(any::<u8>(), 0..1000), behind_a_header in any::<bool>()) {
        let mut pack = Vec::new();
        if behind_a_header {
            pack.extend_from_slice(sealed().header.as_bytes());
        }
        pack.extend_from_slice(&bytes);
        prop_assert!(open_directory(&pack, &keys(1).writer).is_err());
    }
}
