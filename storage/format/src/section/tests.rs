use proptest::prelude::*;

use super::*;

fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Words in an order that looks random but repeats: compresses about as well as text.
fn text(seed: u8, len: usize) -> Vec<u8> {
    let words = [
        "pack ", "section ", "chunk ", "stripe ", "shard\n", "label ", "host ", "the ",
    ];
    noise(seed, len)
        .iter()
        .flat_map(|byte| words[usize::from(byte % 8)].bytes())
        .take(len)
        .collect()
}

fn id(number: u32) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn section(bytes: &[u8]) -> PlainSection {
    let mut builder = SectionBuilder::new();
    builder.push(id(0), bytes).or_else(|| builder.finish()).unwrap()
}

fn compressed(bytes: &[u8]) -> CompressedSection {
    Compressor::new(LEVEL_DEFAULT)
        .unwrap()
        .compress(section(bytes))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_chunk_is_in_one_section_in_order(
        lens in proptest::collection::vec(prop_oneof![1_usize..5000, 400_000_usize..900_000], 1..40),
    ) {
        let mut builder = SectionBuilder::new();
        let mut sections = Vec::new();
        for (number, len) in lens.iter().enumerate() {
            sections.extend(builder.push(id(number as u32), &vec![number as u8; *len]));
        }
        sections.extend(builder.finish());
        let mut seen = Vec::new();
        for section in &sections {
            prop_assert!(section.bytes().len() <= SECTION_LEN_MAX);
            let mut rest = section.bytes();
            for chunk in section.chunks() {
                let (own, behind) = rest.split_at(chunk.len as usize);
                let number = own[0];
                prop_assert_eq!(chunk.id, id(u32::from(number)));
                prop_assert!(own.iter().all(|byte| *byte == number));
                prop_assert!(own.len() < CHUNK_ALONE_LEN || section.chunks().len() == 1);
                seen.push((own.len() >= CHUNK_ALONE_LEN, number));
                rest = behind;
            }
            prop_assert!(rest.is_empty());
        }
        prop_assert_eq!(seen.len(), lens.len());
        let small = seen.iter().filter(|(alone, _)| !alone).map(|(_, number)| *number).collect::<Vec<_>>();
        prop_assert!(small.is_sorted());
    }

    #[test]
    fn decompressing_gives_back_what_was_compressed(seed in any::<u8>(), len in 1_usize..200_000, is_text in any::<bool>()) {
        let plain = if is_text { text(seed, len) } else { noise(seed, len) };
        let section = compressed(&plain);
        prop_assert!(section.compressed_len() <= plain.len());
        prop_assert_eq!(decompress(section.codec, section.bytes, section.plain_len), Ok(plain));
    }

    #[test]
    fn garbage_and_truncations_end_in_an_error(seed in any::<u8>(), len in 0_usize..200, cut in 0_usize..1000) {
        prop_assert!(decompress(Codec::Zstd, noise(seed, len), 1000).is_err());
        let whole = compressed(&text(seed, 5000)).bytes;
        let cut = cut % whole.len();
        prop_assert!(decompress(Codec::Zstd, whole[..cut].to_vec(), 5000).is_err());
    }
}

#[test]
fn sections_of_tiny_chunks_are_bounded_in_number() {
    let mut builder = SectionBuilder::new();
    let finished = (0..=SECTION_CHUNKS_MAX as u32)
        .find_map(|number| builder.push(id(number), &[1]))
        .unwrap();
    assert_eq!(finished.chunks().len(), SECTION_CHUNKS_MAX);
    assert_eq!(builder.finish().unwrap().chunks().len(), 1);
}

#[test]
fn text_is_compressed_and_noise_is_left_alone() {
    assert_eq!(compressed(&text(1, 100_000)).codec(), Codec::Zstd);
    let raw = compressed(&noise(1, 100_000));
    assert_eq!(raw.codec(), Codec::Raw);
    assert_eq!(raw.compressed_len(), 100_000);
}

#[test]
fn a_used_compressor_writes_the_same_bytes_as_a_new_one() {
    // zstd has other parameters below 16, 128 and 256 KiB; going up and down meets every one after every other kind.
    let lens = [
        100,
        300_000,
        5000,
        15_000,
        900_000,
        100_000,
        999,
        200_000,
        1 << 20,
        17_000,
    ];
    for number in [1, 2, 3, 4, 5, 9] {
        let level = Level::new(number).unwrap();
        let mut used = Compressor::new(level).unwrap();
        for (seed, len) in lens.into_iter().enumerate() {
            let seed = seed as u8;
            let plain = [
                text(seed, len / 2),
                noise(seed, len / 10),
                text(seed ^ 1, len - len / 2 - len / 10),
            ]
            .concat();
            let again = used.compress(section(&plain)).unwrap();
            let first = Compressor::new(level).unwrap().compress(section(&plain)).unwrap();
            assert_eq!(again, first, "level {number}, {len} bytes");
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_grows() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    assert!(bomb.len() < 16 << 10);
    for plain_len in [0, 1, 1000, SECTION_LEN_MAX as u32] {
        assert_eq!(
            decompress(Codec::Zstd, bomb.clone(), plain_len),
            Err(DecompressError::Damaged { plain_len })
        );
    }
    let plain_len = SECTION_LEN_MAX as u32 + 1;
    assert_eq!(
        decompress(Codec::Zstd, bomb, plain_len),
        Err(DecompressError::TooLong { plain_len })
    );
    assert_eq!(
        decompress(Codec::Raw, vec![], plain_len),
        Err(DecompressError::TooLong { plain_len })
    );
}

#[test]
fn a_wrong_plain_length_is_refused() {
    let section = compressed(&text(1, 5000));
    for (plain_len, error) in [
        (4999, DecompressError::Damaged { plain_len: 4999 }),
        (
            5001,
            DecompressError::Length {
                plain_len: 5001,
                found: 5000,
            },
        ),
    ] {
        assert_eq!(
            decompress(Codec::Zstd, section.bytes.clone(), plain_len),
            Err(error)
        );
    }
    assert_eq!(
        decompress(Codec::Raw, vec![1, 2, 3], 4),
        Err(DecompressError::Length {
            plain_len: 4,
            found: 3
        })
    );
}

#[test]
fn levels_have_bounds() {
    assert_eq!(Level::new(0), None);
    assert_eq!(Level::new(20), None);
    assert_eq!(Level::new(3), Some(LEVEL_DEFAULT));
}
