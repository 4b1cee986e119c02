use proptest::prelude::*;

use super::*;
use crate::pack::{HEADER_LEN, PackKind};
use crate::slice;
use crate::units::Epoch;

fn device() -> DeviceKeys {
    DeviceKeys::generate(&[5; 64], "laptop").unwrap()
}

/// Bytes with a pack's header, which is all that coding looks at.
fn pack(len: usize) -> (PackId, Vec<u8>) {
    let mut bytes = vec![0; len.max(HEADER_LEN)];
    blake3::Hasher::new_keyed(&[len as u8; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes[..24].copy_from_slice(&PackHeader::fixed(PackKind::Meta, Epoch(3)));
    (PackId::from_bytes(*blake3::hash(&bytes).as_bytes()), bytes)
}

fn owned_shards(stripe: &Stripe<'_>) -> Vec<Option<Vec<u8>>> {
    stripe
        .scheme
        .indices()
        .map(|index| stripe.shard(index).map(Cow::into_owned))
        .collect()
}

fn labelled(stripe: &Stripe<'_>) -> Label {
    let signed = stripe.label(ArchiveId::from_bytes([1; 32]), [2; 16], &device());
    assert_eq!(signed.verify(), Ok(()));
    signed.label().clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_data_shards_give_the_pack(
        data in 1_u8..8,
        parity in 0_u8..5,
        len in 88_usize..70_000,
        lost in any::<u64>(),
        damaged in any::<bool>(),
    ) {
        let scheme = Scheme::new(data, parity).unwrap();
        let (id, bytes) = pack(len);
        let stripe = Stripe::encode(id, &bytes, scheme).unwrap();
        let label = labelled(&stripe);
        prop_assert_eq!((label.pack, label.kind, label.epoch), (id, PackKind::Meta, Epoch(3)));
        let mut shards = owned_shards(&stripe);
        let mut expected_wrong = Vec::new();
        let count = usize::from(parity);
        for step in 0..count {
            let index = (lost as usize).wrapping_add(step) % shards.len();
            if damaged {
                shards[index].as_mut().unwrap()[0] ^= 1;
                expected_wrong.push(ShardIndex(index as u8));
            } else {
                shards[index] = None;
            }
        }
        expected_wrong.sort();
        let joined = join(&label, shards).unwrap();
        prop_assert_eq!(joined.pack, bytes);
        prop_assert_eq!(joined.wrong, expected_wrong);
    }

    #[test]
    fn every_shard_is_verified_by_its_name_alone(data in 1_u8..6, parity in 0_u8..4, len in 88_usize..200_000) {
        let (id, bytes) = pack(len);
        let stripe = Stripe::encode(id, &bytes, Scheme::new(data, parity).unwrap()).unwrap();
        let label = labelled(&stripe);
        for (index, shard) in label.scheme.indices().zip(owned_shards(&stripe)) {
            let shard = shard.unwrap();
            let outboard = slice::Outboard::of(&shard);
            prop_assert_eq!(Some(outboard.root()), label.shard(index));
            let range = slice::widen(label.shard_len, &(0..1));
            let proof = slice::make(shard.as_slice(), &outboard, range.clone()).unwrap();
            let verified = slice::verify(&outboard.root(), label.shard_len, range, &proof).unwrap();
            prop_assert!(shard.starts_with(&verified));
        }
    }
}

#[test]
fn one_shard_too_few_is_an_error_that_names_the_wrong_ones() {
    let (id, bytes) = pack(10_000);
    let stripe = Stripe::encode(id, &bytes, Scheme::new(2, 2).unwrap()).unwrap();
    let label = labelled(&stripe);
    let mut shards = owned_shards(&stripe);
    shards[0] = None;
    shards[1].as_mut().unwrap().pop();
    shards[3].as_mut().unwrap()[7] ^= 1;
    assert_eq!(
        join(&label, shards),
        Err(JoinError::Reconstruct {
            wrong: vec![ShardIndex(1), ShardIndex(3)],
            source: ReconstructError::TooFew {
                needed: 2,
                present: 1
            },
        })
    );
    assert!(join(&label, vec![]).is_err());
}

#[test]
fn damaged_bytes_are_never_labelled() {
    let (expected, mut bytes) = pack(10_000);
    bytes[5000] ^= 1;
    let refused = Stripe::encode(expected, &bytes, Scheme::new(2, 1).unwrap());
    assert_eq!(refused, Err(EncodeError::NotThePack { expected }));
    let no_pack = [7; 200];
    let id = PackId::from_bytes(*blake3::hash(&no_pack).as_bytes());
    let refused = Stripe::encode(id, &no_pack, Scheme::new(2, 1).unwrap());
    assert!(matches!(refused, Err(EncodeError::Header(_))));
}

#[test]
fn a_label_that_names_another_pack_is_found_out() {
    let (id, bytes) = pack(10_000);
    let stripe = Stripe::encode(id, &bytes, Scheme::new(2, 1).unwrap()).unwrap();
    let label = Label {
        pack: PackId::from_bytes([9; 32]),
        ..labelled(&stripe)
    };
    assert_eq!(join(&label, owned_shards(&stripe)), Err(JoinError::FalseLabel));
}
