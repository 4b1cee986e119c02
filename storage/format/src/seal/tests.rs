use super::*;
use crate::keys::{ArchiveKeys, RecoveryPhrase};
use crate::section::{Compressor, LEVEL_DEFAULT, Level, SectionBuilder};

pub(crate) fn keys(seed: u8) -> ArchiveKeys {
    ArchiveKeys::derive(&RecoveryPhrase::from_entropy([seed; 32]))
}

pub(crate) fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Sections of these chunks, compressed.
pub(crate) fn sections(keys: &WriterKeys, level: Level, chunks: &[Vec<u8>]) -> Vec<CompressedSection> {
    let mut builder = SectionBuilder::new();
    let mut plain = Vec::new();
    for chunk in chunks {
        plain.extend(builder.push(keys.chunk_id(chunk), chunk));
    }
    plain.extend(builder.finish());
    let mut compressor = Compressor::new(level).unwrap();
    plain
        .into_iter()
        .map(|section| compressor.compress(section).unwrap())
        .collect()
}

pub(crate) fn plan(keys: &WriterKeys, chunks: &[Vec<u8>]) -> PackPlan {
    let mut plan = PackPlan::new(PackKind::Data);
    for section in sections(keys, LEVEL_DEFAULT, chunks) {
        plan.push(section);
    }
    plan
}

/// Two large sections and a small one.
pub(crate) fn sample() -> Vec<Vec<u8>> {
    vec![
        noise(1, 600_000),
        b"words and words and words ".repeat(30_000),
        noise(2, 300),
        b"again and again ".repeat(100),
    ]
}

#[test]
fn the_same_content_seals_to_the_same_bytes() {
    let writer = keys(1).writer;
    let one = plan(&writer, &sample()).seal(&writer, Fill::Last).unwrap();
    let other = plan(&writer, &sample()).seal(&writer, Fill::Last).unwrap();
    assert_eq!(one, other);
    assert_eq!(one.id.as_bytes(), blake3::hash(&one.bytes).as_bytes());
    assert_eq!(one.bytes[..HEADER_LEN], *one.header.as_bytes());
}

#[test]
fn a_used_buffer_gives_the_same_bytes() {
    let writer = keys(1).writer;
    let one = plan(&writer, &sample()).seal(&writer, Fill::Full).unwrap();
    let used = plan(&writer, &[noise(9, 1 << 20)])
        .seal(&writer, Fill::Full)
        .unwrap();
    let place = used.bytes.as_ptr();
    let mut again = PackPlan::with_buffer(PackKind::Data, used.bytes);
    for section in sections(&writer, LEVEL_DEFAULT, &sample()) {
        again.push(section);
    }
    let again = again.seal(&writer, Fill::Full).unwrap();
    assert_eq!(again.bytes.as_ptr(), place);
    assert_eq!(again, one);
}

#[test]
fn threads_seal_the_same_bytes() {
    let writer = keys(1).writer;
    let alone = plan(&writer, &sample()).seal(&writer, Fill::Last).unwrap();
    let together = plan(&writer, &sample()).seal_with(&writer, Fill::Last, |tasks| {
        std::thread::scope(|scope| {
            for task in tasks.into_iter().rev() {
                scope.spawn(|| task.run());
            }
        });
    });
    assert_eq!(together, Ok(alone));
}

#[test]
#[should_panic(expected = "every section task is run")]
fn a_pack_with_a_section_left_in_clear_never_leaves() {
    let writer = keys(1).writer;
    let sealed = plan(&writer, &sample()).seal_with(&writer, Fill::Last, |mut tasks| {
        tasks.pop();
        tasks.into_iter().for_each(SectionTask::run);
    });
    drop(sealed);
}

#[test]
fn any_other_content_gets_another_key() {
    let archive = keys(1);
    let writer = &archive.writer;
    let base = sample();
    let mut flipped = base.clone();
    flipped[0][5] ^= 1;
    let mut shorter = base.clone();
    shorter[3].pop();
    let mut swapped = base.clone();
    swapped.swap(2, 3);
    // The same bytes, cut elsewhere.
    let mut moved = base.clone();
    let byte = moved[2].pop().unwrap();
    moved[3].insert(0, byte);

    let mut packs = vec![
        plan(writer, &base).seal(writer, Fill::Full),
        plan(&keys(2).writer, &base).seal(&keys(2).writer, Fill::Last),
    ];
    for chunks in [&base, &flipped, &shorter, &swapped, &moved] {
        packs.push(plan(writer, chunks).seal(writer, Fill::Last));
    }
    let mut meta = PackPlan::new(PackKind::Meta);
    for section in sections(writer, LEVEL_DEFAULT, &base) {
        meta.push(section);
    }
    packs.push(meta.seal(writer, Fill::Last));
    let mut levelled = PackPlan::new(PackKind::Data);
    for section in sections(writer, Level::new(9).unwrap(), &base) {
        levelled.push(section);
    }
    packs.push(levelled.seal(writer, Fill::Last));
    let next_epoch = archive.owner_secrets().writer_keys(Epoch(1));
    packs.push(plan(&next_epoch, &base).seal(&next_epoch, Fill::Last));

    let ephemerals: std::collections::BTreeSet<[u8; 32]> = packs
        .iter()
        .map(|pack| pack.as_ref().unwrap().header.ephemeral())
        .collect();
    assert_eq!(ephemerals.len(), packs.len());
}

#[test]
fn a_sealing_key_of_small_order_is_refused() {
    let mut writer = keys(1).writer;
    writer.sealing_public = [0; 32];
    let refused = plan(&writer, &sample()).seal(&writer, Fill::Last);
    assert_eq!(refused.err(), Some(SealError::SealingKey(AgreementError)));
}

#[test]
fn packs_have_the_padded_lengths() {
    let writer = keys(1).writer;
    let len = |chunks: &[Vec<u8>], fill| plan(&writer, chunks).seal(&writer, fill).unwrap().bytes.len();
    assert_eq!(len(&[noise(1, 1)], Fill::Last), 64 << 10);
    assert_eq!(len(&[noise(1, 65_000)], Fill::Last), 64 << 10);
    assert_eq!(len(&[noise(1, 66_000)], Fill::Last), 128 << 10);
    let nine_mib: Vec<_> = (0..9).map(|seed| noise(seed, 1 << 20)).collect();
    assert_eq!(len(&nine_mib, Fill::Last), (9 << 20) + (256 << 10));
    assert_eq!(len(&[noise(1, 1)], Fill::Full), PACK_LEN);
}

#[test]
fn a_pack_is_filled_as_far_as_it_goes() {
    let writer = keys(1).writer;
    let mut plan = PackPlan::new(PackKind::Data);
    assert!(plan.is_empty());
    let mut compressor = Compressor::new(LEVEL_DEFAULT).unwrap();
    for seed in 0..=u8::MAX {
        let chunk = noise(seed, 1 << 20);
        let mut builder = SectionBuilder::new();
        let section = compressor
            .compress(builder.push(writer.chunk_id(&chunk), &chunk).unwrap())
            .unwrap();
        if !plan.fits(&section) {
            break;
        }
        plan.push(section);
    }
    let capacity = plan.bytes.capacity();
    let sealed = plan.seal(&writer, Fill::Full).unwrap();
    assert_eq!(sealed.directory.sections.len(), 15);
    assert_eq!(sealed.bytes.len(), PACK_LEN);
    assert_eq!(sealed.bytes.capacity(), capacity, "the buffer is allocated once");
}

#[test]
fn a_pack_of_tiny_chunks_is_bounded_by_its_directory() {
    let writer = keys(1).writer;
    let chunks: Vec<Vec<u8>> = (0..40_000_u32)
        .map(|number| number.to_le_bytes().to_vec())
        .collect();
    let mut plan = PackPlan::new(PackKind::Data);
    let mut left = 0;
    for section in sections(&writer, LEVEL_DEFAULT, &chunks) {
        if left == 0 && plan.fits(&section) {
            plan.push(section);
        } else {
            left += 1;
        }
    }
    assert!(left > 0);
    let sealed = plan.seal(&writer, Fill::Full).unwrap();
    assert!(codec::encode(&sealed.directory).len() <= DIRECTORY_LEN_MAX);
}

#[test]
fn nothing_readable_is_left_in_a_pack() {
    let writer = keys(1).writer;
    let marker = b"a marker that stands in the plaintext";
    let mut chunk = noise(1, 5000);
    chunk[100..100 + marker.len()].copy_from_slice(marker);
    let sealed = plan(&writer, std::slice::from_ref(&chunk))
        .seal(&writer, Fill::Last)
        .unwrap();
    let contains = |needle: &[u8]| sealed.bytes.windows(needle.len()).any(|window| window == needle);
    assert!(!contains(marker));
    assert!(!contains(writer.chunk_id(&chunk).as_bytes()));
    assert!(!contains(&[0; 16]), "padding does not show where it begins");
}

#[test]
fn golden_pack() {
    let writer = keys(7).writer;
    let mut plan = PackPlan::new(PackKind::Meta);
    // Noise is stored raw, so the golden bytes don't depend on the version of zstd, but for its number in the directory.
    for section in sections(&writer, LEVEL_DEFAULT, &[noise(7, 1000), noise(8, 600_000)]) {
        plan.push(section);
    }
    let sealed = plan.seal(&writer, Fill::Last).unwrap();
    assert_eq!(
        encoder_version(),
        10_507,
        "another zstd: its packs have other ids; add a golden value"
    );
    assert_eq!(sealed.id.to_string(), GOLDEN_PACK_ID);
    let (header, directory) = crate::open::open_directory(&sealed.bytes, &writer).unwrap();
    assert_eq!((header, directory), (sealed.header, sealed.directory));
}

const GOLDEN_PACK_ID: &str = "630766cbbb82fb4dc17b8b477b6e3e4126733b782804fd3a3fbba43830055906";
