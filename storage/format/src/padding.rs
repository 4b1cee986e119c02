//! How long a pack is made, so that its length tells a host as little as possible. Arithmetic only.

/// Length of every full pack, in bytes.
pub const PACK_LEN: usize = 16 * 1024 * 1024;

/// Below this many bytes a run's last pack grows in steps of [`STEP`].
const STEPS_END: usize = 2 * 1024 * 1024;
const STEP: usize = 64 * 1024;

/// Which length a pack is padded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// The next section did not fit: [`PACK_LEN`].
    Full,
    /// Nothing follows in this run: [`padded_len`].
    Last,
}

impl Fill {
    /// The padded length of a pack that needs `len` bytes; at most [`PACK_LEN`] for any `len` up to it.
    pub const fn len(self, len: usize) -> usize {
        match self {
            Self::Full => PACK_LEN,
            Self::Last => padded_len(len),
        }
    }
}

/// Length of a run's last pack, in bytes: the next multiple of 64 KiB below 2 MiB, above that the next length whose lower bits are
/// zero by the Padmé rule, which wastes less than 6 % at that size (Nikitin and others, "Reducing Metadata Leakage from Encrypted
/// Files and Communication with PURBs", PETS 2019, section 4).
pub const fn padded_len(len: usize) -> usize {
    if len < STEPS_END {
        return if len == 0 {
            STEP
        } else {
            len.next_multiple_of(STEP)
        };
    }
    let exponent = len.ilog2();
    let zero_bits = exponent - (exponent.ilog2() + 1);
    len.next_multiple_of(1 << zero_bits)
}

const _: () = assert!(padded_len(PACK_LEN) == PACK_LEN && padded_len(PACK_LEN - 1) == PACK_LEN);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_packs_grow_in_steps() {
        assert_eq!(padded_len(0), 64 << 10);
        assert_eq!(padded_len(1), 64 << 10);
        assert_eq!(padded_len(64 << 10), 64 << 10);
        assert_eq!(padded_len((64 << 10) + 1), 128 << 10);
        assert_eq!(padded_len((2 << 20) - 1), 2 << 20);
        assert_eq!(padded_len(2 << 20), 2 << 20);
        assert_eq!(padded_len((2 << 20) + 1), (2 << 20) + (64 << 10));
        assert_eq!(padded_len((8 << 20) + 1), (8 << 20) + (256 << 10));
        assert_eq!(Fill::Full.len(1), PACK_LEN);
        assert_eq!(Fill::Last.len(1), 64 << 10);
    }

    proptest! {
        #[test]
        fn a_padded_length_holds_wastes_little_and_is_its_own(len in 0..=PACK_LEN) {
            let padded = padded_len(len);
            prop_assert!(padded >= len && padded <= PACK_LEN);
            prop_assert!(padded - len < STEP || padded - len < len / 16);
            prop_assert_eq!(padded_len(padded), padded);
        }
    }
}
