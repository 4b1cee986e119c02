use proptest::prelude::*;

use super::*;

fn device(seed: u8) -> DeviceKeys {
    DeviceKeys::generate(&[seed; 64], "laptop").unwrap()
}

fn label(data: u8, parity: u8, pack_len: u64) -> Label {
    let scheme = Scheme::new(data, parity).unwrap();
    Label {
        version: Version,
        suite: Suite,
        archive: ArchiveId::from_bytes([1; 32]),
        pack: PackId::from_bytes([2; 32]),
        kind: PackKind::Meta,
        epoch: Epoch(0),
        scheme,
        pack_len,
        shard_len: scheme.shard_len(pack_len),
        shards: (0..scheme.total())
            .map(|index| ShardId::from_bytes([index; 32]))
            .collect(),
        nonce: [3; 16],
        device: device(1).id(),
    }
}

/// A label signed without looking at what it says.
fn forced(label: &Label) -> Vec<u8> {
    let signed = device(1)
        .signing
        .sign(Context::Label, label.archive.as_bytes(), codec::encode(label));
    codec::encode(&signed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_signed_label_is_read_back_and_verified(data in 1_u8..=200, parity in 0_u8..=55, pack_len in 1_u64..=PACK_LEN as u64) {
        let label = label(data, parity, pack_len);
        let signed = label.clone().sign(&device(1));
        prop_assert_eq!(signed.label(), &label);
        let parsed = SignedLabel::parse(signed.bytes()).unwrap();
        prop_assert_eq!(parsed.verify(), Ok(()));
        prop_assert_eq!(parsed.id(), LabelId::from_bytes(blake3::hash(signed.bytes()).into()));
        prop_assert_eq!(parsed, signed);
    }

    #[test]
    fn garbage_and_truncations_are_no_label(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in any::<usize>()) {
        prop_assert!(SignedLabel::parse(&bytes).is_err());
        let whole = label(2, 3, 1 << 20).sign(&device(1));
        prop_assert!(SignedLabel::parse(&whole.bytes()[..cut % whole.bytes().len()]).is_err());
    }

    #[test]
    fn a_flipped_bit_is_refused_by_shape_or_signature(at in any::<usize>(), bit in 0_u8..8) {
        let mut bytes = label(2, 3, 1 << 20).sign(&device(1)).bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let believed = SignedLabel::parse(&bytes).is_ok_and(|label| label.verify().is_ok());
        prop_assert!(!believed, "byte {}", at);
    }
}

#[test]
fn the_longest_label_keeps_its_bound() {
    let mut longest = label(200, 55, PACK_LEN as u64);
    longest.epoch = Epoch(u32::MAX);
    let signed = longest.sign(&device(1));
    assert!(signed.bytes().len() <= SIGNED_LABEL_LEN_MAX);
    assert!(SignedLabel::parse(signed.bytes()).is_ok());
    let found = SIGNED_LABEL_LEN_MAX + 1;
    assert_eq!(
        SignedLabel::parse(&vec![0; found]).unwrap_err().reason,
        DecodeReason::TooLong {
            found,
            max: SIGNED_LABEL_LEN_MAX
        }
    );
}

#[test]
fn labels_that_contradict_themselves_are_refused() {
    let good = label(2, 3, 1000);
    assert!(SignedLabel::parse(&forced(&good)).is_ok());
    let mut few = good.clone();
    few.shards.pop();
    for (what, bad) in [
        (
            "empty pack",
            Label {
                pack_len: 0,
                shard_len: 0,
                ..good.clone()
            },
        ),
        ("long pack", label(2, 3, PACK_LEN as u64 + 1)),
        (
            "shard length",
            Label {
                shard_len: 501,
                ..good.clone()
            },
        ),
        ("too few names", few),
    ] {
        let error = SignedLabel::parse(&forced(&bad)).unwrap_err();
        assert!(
            matches!(error.reason, DecodeReason::Invalid(_)),
            "{what}: {error}"
        );
    }
}

#[test]
fn a_scheme_that_is_none_is_refused() {
    let encoding = codec::encode(&label(2, 3, 1000));
    let at = encoding
        .windows(3)
        .position(|window| window == [0x82, 2, 3])
        .unwrap();
    let mut none = encoding.clone();
    none[at + 1] = 0;
    assert!(codec::decode::<Label>(&none).is_err());
    assert!(codec::decode::<Label>(&encoding).is_ok());
}

#[test]
fn labels_of_other_versions_and_suites_are_named() {
    let encoding = codec::encode(&label(2, 3, 1000));
    let known = codec::FORMAT_VERSION;
    for found in [0, 2, 9] {
        let mut other = encoding.clone();
        other[2] = found;
        let found = u16::from(found);
        assert_eq!(
            codec::decode::<Label>(&other).unwrap_err().reason,
            DecodeReason::Version { found, known }
        );
    }
    let mut suite = encoding;
    suite[4] = 2;
    assert_eq!(
        codec::decode::<Label>(&suite).unwrap_err().reason,
        DecodeReason::Suite(2)
    );
}

#[test]
fn only_the_device_named_can_have_signed() {
    let body = codec::encode(&label(2, 3, 1000));
    let stolen = device(2).signing.sign(Context::Label, &[1; 32], body);
    let parsed = SignedLabel::parse(&codec::encode(&stolen)).unwrap();
    assert_eq!(parsed.verify(), Err(SignatureError));
}

#[test]
fn golden_label() {
    let signed = label(2, 1, 100_000).sign(&device(1));
    assert_eq!(signed.bytes().len(), GOLDEN_LEN);
    assert_eq!(signed.id().to_string(), GOLDEN_ID);
}

const GOLDEN_LEN: usize = 321;
const GOLDEN_ID: &str = "c379334d770eec4d82126184a17e1a82fc42aa7841e5d05ac7502d91b54bc39b";
