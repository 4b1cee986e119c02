//! Where a stream of bytes is cut into chunks: FastCDC 2020 with a secret gear table.
//!
//! Owns the sizes and the table; it never holds data back, never reads, never names chunks. The cuts depend on the chunker key, the
//! sizes and the bytes alone, not on how the bytes arrive.
//!
//! The table's 256 entries are the first 2048 bytes that BLAKE3 `derive_key(GEAR_CONTEXT, chunker key)` puts out, each 8 a number
//! (little-endian). A second table has every entry shifted left by one bit. Masks are those of the algorithm's authors for normalisation
//! level 2 (`fastcdc::v2020::MASKS`): two bits more than log2(average) before the average, two fewer after it.
//!
//! A secret table alone hides little from whoever sees chunk lengths (eprint 2025/532, 2025/558); nobody does, because chunks travel
//! inside sealed, padded packs.

use zeroize::Zeroize as _;

/// Longest chunk that the format knows, in bytes. A chunk never spans sections, so this is also the longest section.
pub const CHUNK_LEN_MAX: usize = 1024 * 1024;

const GEAR_CONTEXT: &str = "nuthatch v1 chunker gear table";
/// Shortest average for which there are masks at normalisation level 2.
const AVERAGE_MIN: u32 = 1024;
/// Fewer bytes than the gear hash looks back on (64) would make a cut depend on less than the table can tell apart.
const MIN_MIN: u32 = 64;

/// Bytes that a chunk has at least, about, and at most. Fixed for an archive: other sizes cut elsewhere and find nothing again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerParams {
    min: u32,
    average: u32,
    max: u32,
}

/// Why three sizes can't be used for cutting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// The algorithm looks at two bytes a time.
    #[error("chunk sizes must be even")]
    Odd,
    /// Masks exist for powers of two.
    #[error("the average chunk size must be a power of two of at least {AVERAGE_MIN} bytes, not {found}")]
    Average {
        /// The average given, in bytes.
        found: u32,
    },
    /// Minimum, average and maximum must grow.
    #[error("chunk sizes must satisfy {MIN_MIN} <= min < average < max <= {CHUNK_LEN_MAX}")]
    Order,
}

impl ChunkerParams {
    /// 64, 256 and 1024 KiB. A friend's uplink is dearer than an index entry: with an average of 1 MiB a day's change of a disk
    /// image costs 2.7 times the upload (measured on a 1 GiB image with 1 % of its blocks changed).
    pub const DEFAULT: Self = Self {
        min: 64 * 1024,
        average: 256 * 1024,
        max: 1024 * 1024,
    };

    /// Sizes in bytes. The last chunk of a stream may be shorter than `min`.
    pub const fn new(min: u32, average: u32, max: u32) -> Result<Self, ParamsError> {
        if !min.is_multiple_of(2) || !max.is_multiple_of(2) {
            return Err(ParamsError::Odd);
        }
        if !average.is_power_of_two() || average < AVERAGE_MIN {
            return Err(ParamsError::Average { found: average });
        }
        if min < MIN_MIN || min >= average || average >= max || max as usize > CHUNK_LEN_MAX {
            return Err(ParamsError::Order);
        }
        Ok(Self { min, average, max })
    }

    /// Shortest chunk but for a stream's last, in bytes.
    pub const fn min(self) -> usize {
        self.min as usize
    }

    /// Where the algorithm begins to look harder for a cut, in bytes.
    pub const fn average(self) -> usize {
        self.average as usize
    }

    /// Longest chunk, in bytes.
    pub const fn max(self) -> usize {
        self.max as usize
    }
}

/// Cuts streams for one archive. Share it between threads: cutting changes nothing.
pub struct Chunker {
    params: ChunkerParams,
    mask_before: u64,
    mask_after: u64,
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
}

impl Chunker {
    /// The chunker of an archive.
    pub fn new(chunker_key: &[u8; 32], params: ChunkerParams) -> Self {
        let mut gear = Box::new([0; 256]);
        let mut gear_shifted = Box::new([0; 256]);
        let mut output = blake3::Hasher::new_derive_key(GEAR_CONTEXT)
            .update(chunker_key)
            .finalize_xof();
        let mut entry = [0; 8];
        for (plain, shifted) in gear.iter_mut().zip(gear_shifted.iter_mut()) {
            output.fill(&mut entry);
            *plain = u64::from_le_bytes(entry);
            *shifted = *plain << 1;
        }
        entry.zeroize();
        output.zeroize();
        let bits = params.average.trailing_zeros() as usize;
        Self {
            params,
            mask_before: fastcdc::v2020::MASKS[bits + 2],
            mask_after: fastcdc::v2020::MASKS[bits - 2],
            gear,
            gear_shifted,
        }
    }

    /// The sizes it cuts to.
    pub fn params(&self) -> ChunkerParams {
        self.params
    }

    /// Length of the chunk that `data` begins with, or `None` when more data is needed to tell.
    ///
    /// `at_end` says that nothing follows `data`. Whoever gives at least `params().max()` bytes, or the end, always gets an answer,
    /// in `1..=params().max()`; nothing is left to cut only in empty data.
    pub fn next_cut(&self, data: &[u8], at_end: bool) -> Option<usize> {
        let max = self.params.max();
        if data.is_empty() || (data.len() < max && !at_end) {
            return None;
        }
        let window = data.get(..max).unwrap_or(data);
        let (_, cut) = fastcdc::v2020::cut_gear(
            window,
            self.params.min(),
            self.params.average(),
            max,
            self.mask_before,
            self.mask_after,
            self.mask_before << 1,
            self.mask_after << 1,
            self.gear.as_slice(),
            self.gear_shifted.as_slice(),
        );
        Some(cut)
    }
}

impl Drop for Chunker {
    fn drop(&mut self) {
        self.gear.zeroize();
        self.gear_shifted.zeroize();
    }
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunker({:?})", self.params)
    }
}

#[cfg(test)]
mod tests;
