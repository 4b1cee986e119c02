//! Each stage of the way from bytes to a pack and back, alone, on one thread: `cargo bench -p nuthatch-format`.
//!
//! Throughput is of a stage's input. What the machine can do at best stands in `docs/PERFORMANCE.md`.
#![expect(clippy::unwrap_used, reason = "a bench has nobody to report an error to")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use nuthatch_format::chunker::{Chunker, ChunkerParams};
use nuthatch_format::keys::{ArchiveKeys, ReaderKeys, RecoveryPhrase};
use nuthatch_format::pack::PackKind;
use nuthatch_format::padding::Fill;
use nuthatch_format::seal::{PackPlan, SealedPack, SectionTask};
use nuthatch_format::section::{CompressedSection, Compressor, LEVEL_DEFAULT, PlainSection, SectionBuilder};
use nuthatch_format::slice::{self, Outboard, SLICE_RANGE};

const MIB: usize = 1024 * 1024;

fn main() {
    divan::main();
}

fn keys() -> ReaderKeys {
    ArchiveKeys::derive(&RecoveryPhrase::from_entropy([7; 32])).reader_keys()
}

fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// The lines of this file in random order with a number before each: compresses about as source code does.
fn text(len: usize) -> Vec<u8> {
    let lines: Vec<&str> = include_str!("stages.rs").lines().collect();
    let mut bytes = Vec::with_capacity(len + 256);
    for number in noise(1, len).chunks_exact(2) {
        let number = usize::from(u16::from_le_bytes([number[0], number[1]]));
        bytes.extend_from_slice(format!("{number} {}\n", lines[number % lines.len()]).as_bytes());
        if bytes.len() >= len {
            break;
        }
    }
    bytes.truncate(len);
    bytes
}

fn plain_section(bytes: &[u8]) -> PlainSection {
    let id = keys().writer.chunk_id(bytes);
    SectionBuilder::new().push(id, bytes).unwrap()
}

/// Fifteen incompressible sections of 1 MiB: all that fits one pack.
fn sections() -> Vec<CompressedSection> {
    let mut compressor = Compressor::new(LEVEL_DEFAULT).unwrap();
    (0..15)
        .map(|seed| compressor.compress(plain_section(&noise(seed, MIB))).unwrap())
        .collect()
}

fn plan(sections: Vec<CompressedSection>) -> PackPlan {
    let mut plan = PackPlan::new(PackKind::Data);
    for section in sections {
        plan.push(section);
    }
    plan
}

fn sealed() -> SealedPack {
    plan(sections()).seal(&keys().writer, Fill::Full).unwrap()
}

fn cut_all(bencher: Bencher<'_, '_>, data: &[u8]) {
    let chunker = Chunker::new(&keys().writer.chunker_key, ChunkerParams::DEFAULT);
    bencher.counter(BytesCount::new(data.len())).bench_local(|| {
        let mut rest = data;
        while let Some(len) = chunker.next_cut(rest, true) {
            rest = &rest[len..];
        }
    });
}

#[divan::bench]
fn chunk_noise(bencher: Bencher<'_, '_>) {
    cut_all(bencher, &noise(1, 32 * MIB));
}

#[divan::bench]
fn chunk_text(bencher: Bencher<'_, '_>) {
    cut_all(bencher, &text(32 * MIB));
}

#[divan::bench]
fn chunk_id(bencher: Bencher<'_, '_>) {
    let data = noise(1, MIB);
    let writer = keys().writer;
    bencher
        .counter(BytesCount::new(data.len()))
        .bench_local(|| writer.chunk_id(black_box(&data)));
}

fn compress(bencher: Bencher<'_, '_>, plain: &[u8]) {
    let mut compressor = Compressor::new(LEVEL_DEFAULT).unwrap();
    bencher
        .counter(BytesCount::new(plain.len()))
        .with_inputs(|| plain_section(plain))
        .bench_local_values(|section| compressor.compress(section).unwrap());
}

#[divan::bench]
fn compress_noise(bencher: Bencher<'_, '_>) {
    compress(bencher, &noise(1, MIB));
}

#[divan::bench]
fn compress_text(bencher: Bencher<'_, '_>) {
    compress(bencher, &text(MIB));
}

#[divan::bench]
fn collect_sections_in_a_pack(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::new(15 * MIB))
        .with_inputs(sections)
        .bench_local_values(plan);
}

#[divan::bench]
fn seal_a_pack(bencher: Bencher<'_, '_>) {
    let writer = keys().writer;
    bencher
        .counter(BytesCount::new(15 * MIB))
        .with_inputs(|| plan(sections()))
        .bench_local_values(|plan| plan.seal(&writer, Fill::Full).unwrap());
}

#[divan::bench]
fn seal_a_pack_on_two_threads(bencher: Bencher<'_, '_>) {
    let writer = keys().writer;
    bencher
        .counter(BytesCount::new(15 * MIB))
        .with_inputs(|| plan(sections()))
        .bench_local_values(|plan| {
            plan.seal_with(&writer, Fill::Full, |mut tasks| {
                let half = tasks.split_off(tasks.len() / 2);
                std::thread::scope(|scope| {
                    for tasks in [tasks, half] {
                        scope.spawn(|| tasks.into_iter().for_each(SectionTask::run));
                    }
                });
            })
            .unwrap()
        });
}

#[divan::bench]
fn pack_id(bencher: Bencher<'_, '_>) {
    let pack = sealed().bytes;
    bencher
        .counter(BytesCount::new(pack.len()))
        .bench_local(|| blake3::hash(black_box(&pack)));
}

#[divan::bench]
fn open_sections(bencher: Bencher<'_, '_>) {
    let pack = sealed();
    let key = keys().pack_key(&pack.header).unwrap();
    let entry = &pack.directory.sections[0];
    bencher
        .counter(BytesCount::new(entry.plain_len as usize))
        .with_inputs(|| pack.bytes[entry.offset as usize..][..entry.stored_len as usize].to_vec())
        .bench_local_values(|bytes| key.open_section(&pack.directory, 0, bytes).unwrap());
}

#[divan::bench]
fn derive_a_pack_key(bencher: Bencher<'_, '_>) {
    let header = sealed().header;
    let keys = keys();
    bencher.bench_local(|| keys.pack_key(black_box(&header)).unwrap());
}

#[divan::bench]
fn outboard_of_a_shard(bencher: Bencher<'_, '_>) {
    let shard = noise(1, 4 * MIB);
    bencher
        .counter(BytesCount::new(shard.len()))
        .bench_local(|| Outboard::of(black_box(&shard)));
}

#[divan::bench]
fn make_a_slice(bencher: Bencher<'_, '_>) {
    let shard = noise(1, 4 * MIB);
    let outboard = Outboard::of(&shard);
    bencher.counter(BytesCount::new(SLICE_RANGE)).bench_local(|| {
        slice::make(
            black_box(shard.as_slice()),
            &outboard,
            SLICE_RANGE..2 * SLICE_RANGE,
        )
        .unwrap()
    });
}

#[divan::bench]
fn verify_a_slice(bencher: Bencher<'_, '_>) {
    let shard = noise(1, 4 * MIB);
    let outboard = Outboard::of(&shard);
    let range = SLICE_RANGE..2 * SLICE_RANGE;
    let proof = slice::make(shard.as_slice(), &outboard, range.clone()).unwrap();
    bencher.counter(BytesCount::new(SLICE_RANGE)).bench_local(|| {
        slice::verify(&outboard.root(), 4 * MIB as u64, range.clone(), black_box(&proof)).unwrap()
    });
}
