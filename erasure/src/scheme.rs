//! How many shards a stripe has, and how long they are. Numbers only: nothing here touches bytes.

use std::fmt;

/// Most shards that one stripe can have: one for each point of GF(2⁸) but one, so that a count and an index both fit a byte.
pub const SHARDS_MAX: u8 = 255;

/// The shape of a stripe: `data` shards that are the pack itself and `parity` shards beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheme {
    data: u8,
    parity: u8,
}

/// Why two counts are not a scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// There has to be at least one data shard.
    #[error("a stripe has at least one data shard")]
    NoData,
    /// More shards than [`SHARDS_MAX`].
    #[error("a stripe has at most {SHARDS_MAX} shards, not {data} + {parity}")]
    TooMany {
        /// Data shards asked for.
        data: u8,
        /// Parity shards asked for.
        parity: u8,
    },
}

impl Scheme {
    /// A scheme with `data` in `1..=255`, `parity` in `0..=254` and at most [`SHARDS_MAX`] shards together.
    pub const fn new(data: u8, parity: u8) -> Result<Self, SchemeError> {
        if data == 0 {
            return Err(SchemeError::NoData);
        }
        if data.checked_add(parity).is_none() {
            return Err(SchemeError::TooMany { data, parity });
        }
        Ok(Self { data, parity })
    }

    /// Data shards (count, at least 1): as many shards as are needed to read.
    pub const fn data(self) -> u8 {
        self.data
    }

    /// Parity shards (count): as many shards as may be lost.
    pub const fn parity(self) -> u8 {
        self.parity
    }

    /// All shards (count, `1..=255`).
    pub const fn total(self) -> u8 {
        self.data + self.parity
    }

    /// Length in bytes of every shard of a pack of `pack_len` bytes: `pack_len / data`, rounded up. The data shards are the pack
    /// followed by as many zeros as fill all of them.
    pub const fn shard_len(self, pack_len: u64) -> u64 {
        pack_len.div_ceil(self.data as u64)
    }

    /// Every index of this scheme, data shards first.
    pub fn indices(self) -> impl DoubleEndedIterator<Item = ShardIndex> + ExactSizeIterator {
        (0..self.total()).map(ShardIndex)
    }

    /// Whether this index names a shard of the scheme.
    pub const fn contains(self, index: ShardIndex) -> bool {
        index.0 < self.total()
    }

    /// Whether this index names a data shard, a piece of the pack itself.
    pub const fn is_data(self, index: ShardIndex) -> bool {
        index.0 < self.data
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

/// Which shard of a stripe: `0..data` are data shards, `data..total` parity shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(pub u8);

impl fmt::Display for ShardIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_has_data_and_fits_a_byte() {
        assert_eq!(Scheme::new(0, 3), Err(SchemeError::NoData));
        assert_eq!(
            Scheme::new(200, 56),
            Err(SchemeError::TooMany {
                data: 200,
                parity: 56
            })
        );
        let widest = Scheme::new(200, 55).unwrap();
        assert_eq!(widest.total(), SHARDS_MAX);
        assert_eq!(widest.indices().len(), usize::from(SHARDS_MAX));
        assert_eq!(widest.to_string(), "200+55");
    }

    #[test]
    fn shards_together_hold_the_pack_and_waste_less_than_one_byte_each() {
        for data in 1..=255 {
            let scheme = Scheme::new(data, 0).unwrap();
            for pack_len in [0, 1, 2, 254, 255, 256, 65_536, 16_777_216, u64::MAX] {
                let shard_len = scheme.shard_len(pack_len);
                let held = u128::from(shard_len) * u128::from(data);
                assert!(held >= u128::from(pack_len));
                assert!(held - u128::from(pack_len) < u128::from(data));
            }
        }
    }
}
