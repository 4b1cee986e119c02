use nuthatch_format::slice::{Outboard, make};
use proptest::prelude::*;

use super::*;

fn challenge(group: u32) -> Challenge {
    Challenge {
        label: LabelId::from_bytes([1; 32]),
        index: ShardIndex(2),
        group,
    }
}

/// Bytes that differ by place and seed.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn proof(data: &[u8], tree: &Outboard, group: u32) -> Proof {
    let range = challenge(group).range(data.len() as u64).unwrap();
    Proof::Slice(Opaque::new(make(data, tree, range).unwrap()).unwrap())
}

#[test]
fn the_longest_proof_fits_its_bound() {
    let len = nuthatch_format::padding::PACK_LEN;
    let data = noise(1, len);
    let tree = Outboard::of(&data);
    let longest = proof(&data, &tree, 511);
    let Proof::Slice(bytes) = &longest else {
        panic!("a slice")
    };
    assert_eq!(bytes.len(), PROOF_LEN_MAX);
    assert_eq!(
        challenge(511).judge(&tree.root(), len as u64, &longest),
        Some(Verdict::Proven)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn only_the_bytes_of_that_group_are_proof(len in 1..200_000_usize, group in any::<u32>(), other in any::<u32>(), at in any::<usize>()) {
        let data = noise(1, len);
        let tree = Outboard::of(&data);
        let count = group_count(len as u64) as u32;
        let (group, other) = (group % count, other % count);
        let judge = |proof: &Proof| challenge(group).judge(&tree.root(), len as u64, proof);
        let honest = proof(&data, &tree, group);
        prop_assert_eq!(judge(&honest), Some(Verdict::Proven));
        // An answer that was recorded for another group, and one that was made from other bytes.
        if group != other {
            prop_assert_eq!(judge(&proof(&data, &tree, other)), Some(Verdict::Wrong));
        }
        let forged = noise(2, len);
        prop_assert_eq!(judge(&proof(&forged, &Outboard::of(&forged), group)), Some(Verdict::Wrong));
        let Proof::Slice(bytes) = honest else { panic!("a slice") };
        let mut bytes = bytes.into_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1;
        prop_assert_eq!(judge(&Proof::Slice(Opaque::new(bytes.clone()).unwrap())), Some(Verdict::Wrong));
        bytes.truncate(at);
        prop_assert_eq!(judge(&Proof::Slice(Opaque::new(bytes).unwrap())), Some(Verdict::Wrong));
        prop_assert_eq!(judge(&Proof::Missing), Some(Verdict::Missing));
        prop_assert_eq!(challenge(count).judge(&tree.root(), len as u64, &Proof::Missing), None);
    }
}
