//! Time to code one full pack (16 MiB) in the shapes that small circles use. Run: `cargo bench -p nuthatch-erasure`.

use divan::Bencher;
use divan::counter::BytesCount;
use nuthatch_erasure::geometry::data_shard;
use nuthatch_erasure::{Scheme, ShardIndex, coder};

const PACK_LEN: usize = 16 * 1024 * 1024;
const SHAPES: [(u8, u8); 5] = [(2, 1), (4, 2), (8, 4), (2, 2), (3, 3)];

fn main() {
    divan::main();
}

fn scheme((data, parity): (u8, u8)) -> Scheme {
    match Scheme::new(data, parity) {
        Ok(scheme) => scheme,
        Err(error) => unreachable!("the shapes above are schemes: {error}"),
    }
}

/// Bytes without a pattern; how they come about does not matter here.
fn pack() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..PACK_LEN)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// The stripe of a pack with the first `parity` data shards lost (all of them, when there are no more).
fn damaged(scheme: Scheme, pack: &[u8]) -> Vec<Option<Vec<u8>>> {
    let data = (0..scheme.data()).map(|index| {
        (index >= scheme.parity())
            .then(|| data_shard(scheme, pack, ShardIndex(index)).map(std::borrow::Cow::into_owned))
            .flatten()
    });
    data.chain(coder(scheme).parity_of(pack).into_iter().map(Some))
        .collect()
}

#[divan::bench(args = SHAPES, sample_count = 10)]
fn encode(bencher: Bencher<'_, '_>, shape: (u8, u8)) {
    let (pack, coder) = (pack(), coder(scheme(shape)));
    bencher
        .counter(BytesCount::new(PACK_LEN))
        .bench_local(|| coder.parity_of(&pack));
}

#[divan::bench(args = SHAPES, sample_count = 10)]
fn reconstruct_data(bencher: Bencher<'_, '_>, shape: (u8, u8)) {
    let scheme = scheme(shape);
    let (damaged, coder) = (damaged(scheme, &pack()), coder(scheme));
    bencher
        .counter(BytesCount::new(PACK_LEN))
        .with_inputs(|| damaged.clone())
        .bench_local_values(|mut shards| coder.reconstruct_data(&mut shards).map(|()| shards));
}

#[divan::bench(args = SHAPES, sample_count = 10)]
fn rebuild_one(bencher: Bencher<'_, '_>, shape: (u8, u8)) {
    let scheme = scheme(shape);
    let (damaged, coder) = (damaged(scheme, &pack()), coder(scheme));
    let have: Vec<(ShardIndex, &[u8])> = scheme
        .indices()
        .zip(&damaged)
        .filter_map(|(index, shard)| Some((index, shard.as_deref()?)))
        .collect();
    bencher
        .counter(BytesCount::new(PACK_LEN))
        .bench_local(|| coder.rebuild(&have, ShardIndex(0)));
}
