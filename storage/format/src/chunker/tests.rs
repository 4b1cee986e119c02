use proptest::prelude::*;

use super::*;

const SMALL: ChunkerParams = match ChunkerParams::new(256, 1024, 4096) {
    Ok(params) => params,
    Err(_) => panic!("these sizes are allowed"),
};

/// Bytes that repeat in every run and compress as badly as noise.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn cuts(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
    let mut rest = data;
    let mut lengths = Vec::new();
    while let Some(len) = chunker.next_cut(rest, true) {
        lengths.push(len);
        rest = &rest[len..];
    }
    assert!(rest.is_empty());
    lengths
}

/// The same stream, arriving in pieces of the given lengths, repeated.
fn cuts_of_pieces(chunker: &Chunker, data: &[u8], pieces: &[usize]) -> Vec<usize> {
    let mut buffer: Vec<u8> = Vec::new();
    let mut lengths = Vec::new();
    let mut arrived = 0;
    for piece in pieces.iter().cycle() {
        let end = (arrived + piece).min(data.len());
        buffer.extend_from_slice(&data[arrived..end]);
        arrived = end;
        while let Some(len) = chunker.next_cut(&buffer, arrived == data.len()) {
            lengths.push(len);
            buffer.drain(..len);
        }
        if arrived == data.len() {
            assert!(buffer.is_empty());
            return lengths;
        }
    }
    unreachable!("there is at least one piece")
}

/// The algorithm as the paper tells it, one byte a time, without shifted tables.
fn reference_cut(chunker: &Chunker, data: &[u8]) -> usize {
    let params = chunker.params;
    let end = data.len().min(params.max());
    if end <= params.min() {
        return end;
    }
    let center = params.average().min(end);
    let mut hash: u64 = 0;
    for (at, byte) in data.iter().enumerate().take(end).skip(params.min()) {
        hash = (hash << 1).wrapping_add(chunker.gear[usize::from(*byte)]);
        let mask = if at < center {
            chunker.mask_before
        } else {
            chunker.mask_after
        };
        if hash & mask == 0 {
            return at;
        }
    }
    end
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cuts_do_not_depend_on_how_bytes_arrive(
        seed in any::<u8>(),
        len in 0_usize..60_000,
        pieces in proptest::collection::vec(1_usize..9000, 1..5),
    ) {
        let chunker = Chunker::new(&[7; 32], SMALL);
        let data = noise(seed, len);
        prop_assert_eq!(cuts(&chunker, &data), cuts_of_pieces(&chunker, &data, &pieces));
    }

    #[test]
    fn all_but_the_last_chunk_keep_to_the_sizes(seed in any::<u8>(), len in 1_usize..60_000) {
        let chunker = Chunker::new(&[seed; 32], SMALL);
        let lengths = cuts(&chunker, &noise(seed, len));
        prop_assert_eq!(lengths.iter().sum::<usize>(), len);
        let (last, others) = lengths.split_last().unwrap();
        prop_assert!(*last <= SMALL.max());
        prop_assert!(others.iter().all(|len| (SMALL.min()..=SMALL.max()).contains(len)));
    }

    #[test]
    fn an_insertion_moves_few_cuts(seed in any::<u8>(), at in 0_usize..60_000) {
        let chunker = Chunker::new(&[7; 32], SMALL);
        let before = noise(seed, 60_000);
        let mut after = before.clone();
        after.splice(at..at, [1, 2, 3]);
        let ends = |data: &[u8]| {
            let total = data.len();
            let mut end = 0;
            cuts(&chunker, data).iter().map(|len| { end += len; total - end }).collect::<Vec<_>>()
        };
        // Counted from the end of the data, cuts behind the change come to lie where they were before long.
        let old = ends(&before);
        let new = ends(&after);
        let shared = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let behind = old.iter().filter(|from_end| **from_end + 10 * SMALL.max() < before.len() - at).count();
        prop_assert!(shared >= behind, "{shared} of {behind} cuts behind the change are the same");
    }

    #[test]
    fn the_fast_cut_is_the_slow_one(seed in any::<u8>(), len in 1_usize..9000) {
        let chunker = Chunker::new(&[seed; 32], SMALL);
        let data = noise(seed, len);
        // The fast form tests pairs of bytes: an odd last byte of a stream is not looked at.
        let even = &data[..len & !1];
        if !even.is_empty() {
            prop_assert_eq!(chunker.next_cut(even, true), Some(reference_cut(&chunker, even)));
        }
    }
}

#[test]
fn other_keys_cut_elsewhere() {
    let data = noise(1, 100_000);
    let one = cuts(&Chunker::new(&[1; 32], SMALL), &data);
    let other = cuts(&Chunker::new(&[2; 32], SMALL), &data);
    assert_ne!(one, other);
}

#[test]
fn zeros_are_cut_at_the_maximum() {
    let chunker = Chunker::new(&[1; 32], ChunkerParams::DEFAULT);
    assert_eq!(cuts(&chunker, &vec![0; 3 << 20]), [1 << 20; 3]);
}

#[test]
fn nothing_has_no_chunk_and_little_waits_for_more() {
    let chunker = Chunker::new(&[1; 32], SMALL);
    assert_eq!(chunker.next_cut(&[], true), None);
    assert_eq!(chunker.next_cut(&[1], false), None);
    assert_eq!(chunker.next_cut(&[1], true), Some(1));
}

#[test]
fn golden_cuts() {
    let chunker = Chunker::new(&[7; 32], ChunkerParams::DEFAULT);
    let found = (
        chunker.gear[0],
        chunker.gear[255],
        cuts(&chunker, &noise(7, 3 << 20)),
    );
    assert_eq!(
        found,
        (GOLDEN_FIRST_ENTRY, GOLDEN_LAST_ENTRY, GOLDEN_CUTS.to_vec())
    );
}

const GOLDEN_FIRST_ENTRY: u64 = 11_832_718_308_759_425_591;
const GOLDEN_LAST_ENTRY: u64 = 2_471_904_675_705_205_940;
const GOLDEN_CUTS: [usize; 11] = [
    267_933, 287_957, 438_175, 276_004, 125_828, 295_984, 265_902, 345_055, 369_828, 413_766, 59_296,
];

#[test]
fn impossible_sizes_are_refused() {
    assert_eq!(ChunkerParams::new(65, 1024, 4096), Err(ParamsError::Odd));
    assert_eq!(
        ChunkerParams::new(64, 1000, 4096),
        Err(ParamsError::Average { found: 1000 })
    );
    assert_eq!(ChunkerParams::new(1024, 1024, 4096), Err(ParamsError::Order));
    assert_eq!(ChunkerParams::new(64, 1024, 1024), Err(ParamsError::Order));
    assert_eq!(ChunkerParams::new(64, 1024, 2 << 20), Err(ParamsError::Order));
    let default = ChunkerParams::DEFAULT;
    assert_eq!(
        ChunkerParams::new(default.min, default.average, default.max),
        Ok(default)
    );
}
