use proptest::prelude::*;

use super::*;

const SIV_KEY: [u8; 32] = [1; 32];
const INDEX_KEY: [u8; 32] = [2; 32];

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    seal(&SIV_KEY, &INDEX_KEY, ObjectType::Segment, b"header", plaintext)
}

fn opened(bytes: &[u8]) -> Result<Vec<u8>, OpenError> {
    open(&SIV_KEY, &INDEX_KEY, ObjectType::Segment, b"header", bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn opening_gives_back_what_was_sealed(plaintext in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = sealed(&plaintext);
        prop_assert_eq!(bytes.len(), plaintext.len() + OVERHEAD);
        prop_assert_eq!(&bytes, &sealed(&plaintext));
        prop_assert_eq!(opened(&bytes), Ok(plaintext));
    }

    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(opened(&bytes).is_err());
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let bytes = sealed(b"the entries of a segment");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(opened(&damaged), Err(OpenError::Damaged), "byte {at}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = sealed(b"the entries of a segment");
    for end in 0..bytes.len() {
        assert!(opened(&bytes[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn other_keys_types_and_headers_do_not_open() {
    let bytes = sealed(b"text");
    let refused = Err(OpenError::Damaged);
    assert_eq!(
        open(&[9; 32], &INDEX_KEY, ObjectType::Segment, b"header", &bytes),
        refused
    );
    assert_eq!(
        open(&SIV_KEY, &[9; 32], ObjectType::Segment, b"header", &bytes),
        refused
    );
    assert_eq!(
        open(&SIV_KEY, &INDEX_KEY, ObjectType::PackDirectory, b"header", &bytes),
        refused
    );
    assert_eq!(
        open(&SIV_KEY, &INDEX_KEY, ObjectType::Segment, b"headerx", &bytes),
        refused
    );
}

#[test]
fn header_and_plaintext_cannot_trade_bytes() {
    let one = seal(&SIV_KEY, &INDEX_KEY, ObjectType::Segment, b"ab", b"cd");
    let other = seal(&SIV_KEY, &INDEX_KEY, ObjectType::Segment, b"abc", b"d");
    assert_ne!(one[..SIV_LEN], other[..SIV_LEN]);
}

#[test]
fn the_construction_is_the_documented_one() {
    let bytes = sealed(b"golden");
    let mut message = vec![3, 6, 0, 0, 0];
    message.extend_from_slice(b"headergolden");
    assert_eq!(
        bytes[..SIV_LEN],
        *blake3::keyed_hash(&SIV_KEY, &message).as_bytes()
    );
    assert_eq!(
        data_encoding::HEXLOWER.encode(&bytes),
        "00e7178e483d76896d50e970507eec9a60f096e8833d9edc8e69d9348b729d99e8b4821eea9918bb277854333d44227310ca6b80a544"
    );
}
