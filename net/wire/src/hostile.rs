//! For tests: what every decoder must survive.

use std::fmt::Debug;

use nuthatch_format::codec::{self, Canonical};
use proptest::prelude::*;

/// Encoding and back is the same; every truncation, a byte too many and a second encoding of the same are refused.
pub(crate) fn assert_one_encoding<T: Canonical + PartialEq + Debug>(value: &T) {
    let bytes = codec::encode(value);
    assert!(bytes.len() <= T::LEN_MAX, "{} of {} bytes", T::WHAT, bytes.len());
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value));
    for end in 0..bytes.len() {
        assert!(
            codec::decode::<T>(&bytes[..end]).is_err(),
            "{} cut at {end}",
            T::WHAT
        );
    }
    assert!(codec::decode::<T>(&[&bytes[..], &[0]].concat()).is_err());
    assert!(
        codec::decode::<T>(&indefinite(&bytes)).is_err(),
        "{} of unknown length",
        T::WHAT
    );
    assert!(
        codec::decode::<T>(&long_header(&bytes)).is_err(),
        "{} with a long header",
        T::WHAT
    );
}

/// The same map or array with an indefinite length.
fn indefinite(bytes: &[u8]) -> Vec<u8> {
    let open = (bytes[0] & 0xe0) | 0x1f;
    [&[open], &bytes[1..], &[0xff]].concat()
}

/// The same map or array with its length, below 24, in two bytes instead of one.
fn long_header(bytes: &[u8]) -> Vec<u8> {
    let (major, count) = (bytes[0] & 0xe0, bytes[0] & 0x1f);
    assert!(count < 0x18);
    [&[major | 0x18, count], &bytes[1..]].concat()
}

/// Any bytes, and any change of one byte of a good encoding, give an error or an object that encodes to those very bytes.
pub(crate) fn assert_garbage_is_harmless<T: Canonical + Debug>(
    good: &[u8],
    garbage: &[u8],
    change: (usize, u8),
) -> Result<(), TestCaseError> {
    let mut changed = good.to_vec();
    let place = change.0 % changed.len();
    changed[place] ^= change.1;
    for bytes in [garbage, &changed] {
        if let Ok(value) = codec::decode::<T>(bytes) {
            prop_assert_eq!(codec::encode(&value), bytes);
        }
    }
    Ok(())
}
