//! Encoding and decoding: parity from a pack, missing shards from those that are there.
//!
//! The field arithmetic is the `reed-solomon-erasure` package's; this file arranges slices for it and never copies a pack to do so.

use std::sync::{Arc, Mutex, PoisonError};

use reed_solomon_erasure::ReedSolomon;
use reed_solomon_erasure::galois_8::{self, Field};

use crate::geometry;
use crate::{Scheme, ShardIndex};

/// Coders kept by [`coder`]. A circle uses a handful of shapes at a time; one more costs a matrix inversion.
pub const CODERS_MAX: usize = 32;

/// Codes the stripes of one scheme. Share it in its `Arc`: building one inverts a matrix.
pub struct Coder {
    scheme: Scheme,
    /// `None` for a scheme without parity, which needs no arithmetic.
    codec: Option<ReedSolomon<Field>>,
}

/// Why shards can't be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconstructError {
    /// The list must have one place for each shard of the scheme.
    #[error("the scheme has {expected} shards, {found} places were given")]
    WrongCount {
        /// Shards of the scheme.
        expected: u8,
        /// Places given.
        found: usize,
    },
    /// Not enough shards to decode.
    #[error("{needed} shards are needed, {present} are here")]
    TooFew {
        /// Shards needed (count).
        needed: u8,
        /// Different shards given (count).
        present: u8,
    },
    /// All shards of a stripe have the same length, in bytes.
    #[error("shards of {expected} and of {found} bytes are not of one stripe")]
    UnequalLengths {
        /// Length of the first shard given.
        expected: usize,
        /// Length of the one that differs.
        found: usize,
    },
    /// Shards without a byte hold nothing to decode.
    #[error("the shards are empty")]
    Empty,
    /// An index that the scheme does not have.
    #[error("there is no shard {index} in a stripe of {total}")]
    NoSuchShard {
        /// The index.
        index: ShardIndex,
        /// Shards of the scheme.
        total: u8,
    },
}

/// The coder of a scheme, from a cache of at most [`CODERS_MAX`]; the least recently used one makes room.
pub fn coder(scheme: Scheme) -> Arc<Coder> {
    static CODERS: Mutex<Coders> = Mutex::new(Coders(Vec::new()));
    // A panic elsewhere can't leave the list half changed: each step of `get` is one call.
    CODERS.lock().unwrap_or_else(PoisonError::into_inner).get(scheme)
}

/// The most recently used coder last.
struct Coders(Vec<Arc<Coder>>);

impl Coders {
    fn get(&mut self, scheme: Scheme) -> Arc<Coder> {
        let found = match self.0.iter().position(|coder| coder.scheme == scheme) {
            Some(place) => self.0.remove(place),
            None => Arc::new(Coder::new(scheme)),
        };
        if self.0.len() >= CODERS_MAX {
            self.0.remove(0);
        }
        self.0.push(Arc::clone(&found));
        found
    }
}

impl Coder {
    fn new(scheme: Scheme) -> Self {
        let codec = match scheme.parity() {
            0 => None,
            parity => match ReedSolomon::new(usize::from(scheme.data()), usize::from(parity)) {
                Ok(codec) => Some(codec),
                Err(error) => unreachable!("every scheme with parity has a codec: {error}"),
            },
        };
        Self { scheme, codec }
    }

    /// The scheme that it codes.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The parity shards of a pack, in order of their indices, each `shard_len` bytes long.
    ///
    /// The pack is read where it lies; only a data shard that it does not fill is copied, to be padded with zeros.
    pub fn parity_of(&self, pack: &[u8]) -> Vec<Vec<u8>> {
        let shard_len = self.scheme.shard_len(pack.len() as u64) as usize;
        let mut parity = vec![vec![0; shard_len]; usize::from(self.scheme.parity())];
        let Some(codec) = self.codec.as_ref().filter(|_| shard_len > 0) else {
            return parity;
        };
        for index in 0..self.scheme.data() {
            let Some(shard) = geometry::data_shard(self.scheme, pack, ShardIndex(index)) else {
                unreachable!("an index below `data` is a data shard")
            };
            if let Err(error) = codec.encode_single_sep(usize::from(index), &shard, &mut parity) {
                unreachable!("counts and lengths follow from the scheme: {error}");
            }
        }
        parity
    }

    /// Fills every missing place from the shards that are there; nothing changes on an error.
    ///
    /// The list has one place for each index; a range of bytes works as well as whole shards, if it is the same range of each.
    pub fn reconstruct(&self, shards: &mut [Option<Vec<u8>>]) -> Result<(), ReconstructError> {
        self.check(shards)?;
        match &self.codec {
            Some(codec) => codec.reconstruct(shards).map_err(rejected),
            None => Ok(()),
        }
    }

    /// Like [`Coder::reconstruct`], but leaves missing parity shards missing.
    pub fn reconstruct_data(&self, shards: &mut [Option<Vec<u8>>]) -> Result<(), ReconstructError> {
        self.check(shards)?;
        let data_is_here = shards
            .iter()
            .take(usize::from(self.scheme.data()))
            .all(Option::is_some);
        match &self.codec {
            Some(codec) if !data_is_here => codec.reconstruct_data(shards).map_err(rejected),
            Some(_) | None => Ok(()),
        }
    }

    /// One shard from any `data` others, or the same byte range of it from that range of the others.
    ///
    /// Extra and repeated shards are left aside. Copies nothing and computes nothing but the wanted shard.
    pub fn rebuild(
        &self,
        have: &[(ShardIndex, &[u8])],
        want: ShardIndex,
    ) -> Result<Vec<u8>, ReconstructError> {
        self.check_index(want)?;
        let (_, first) = have.first().ok_or(self.too_few(0))?;
        for (index, shard) in have {
            self.check_index(*index)?;
            if shard.len() != first.len() {
                return Err(ReconstructError::UnequalLengths {
                    expected: first.len(),
                    found: shard.len(),
                });
            }
        }
        if first.is_empty() {
            return Err(ReconstructError::Empty);
        }
        if let Some((_, shard)) = have.iter().find(|(index, _)| *index == want) {
            return Ok(shard.to_vec());
        }
        let mut sources: Vec<(ShardIndex, &[u8])> = have.to_vec();
        sources.sort_by_key(|(index, _)| *index);
        sources.dedup_by_key(|(index, _)| *index);
        if sources.len() < usize::from(self.scheme.data()) {
            return Err(self.too_few(sources.len()));
        }
        sources.truncate(usize::from(self.scheme.data()));

        let coefficients = self.coefficients(&sources, want)?;
        let mut rebuilt = vec![0; first.len()];
        for ((_, shard), coefficient) in sources.iter().zip(coefficients) {
            galois_8::mul_slice_xor(coefficient, shard, &mut rebuilt);
        }
        Ok(rebuilt)
    }

    /// What each source shard is multiplied with so that their sum is the wanted shard.
    ///
    /// Decoding is linear: decoding unit vectors in the place of the sources yields the coefficients.
    fn coefficients(
        &self,
        sources: &[(ShardIndex, &[u8])],
        want: ShardIndex,
    ) -> Result<Vec<u8>, ReconstructError> {
        let mut units: Vec<Option<Vec<u8>>> = vec![None; usize::from(self.scheme.total())];
        for (place, (index, _)) in sources.iter().enumerate() {
            let mut unit = vec![0; sources.len()];
            if let Some(byte) = unit.get_mut(place) {
                *byte = 1;
            }
            if let Some(slot) = units.get_mut(usize::from(index.0)) {
                *slot = Some(unit);
            }
        }
        self.reconstruct(&mut units)?;
        match units.get_mut(usize::from(want.0)).and_then(Option::take) {
            Some(coefficients) => Ok(coefficients),
            None => unreachable!("reconstructing fills every place"),
        }
    }

    fn check(&self, shards: &[Option<Vec<u8>>]) -> Result<(), ReconstructError> {
        if shards.len() != usize::from(self.scheme.total()) {
            return Err(ReconstructError::WrongCount {
                expected: self.scheme.total(),
                found: shards.len(),
            });
        }
        let mut present = shards.iter().flatten();
        let count = present.clone().count();
        if count < usize::from(self.scheme.data()) {
            return Err(self.too_few(count));
        }
        let expected = present.next().map_or(0, Vec::len);
        if expected == 0 {
            return Err(ReconstructError::Empty);
        }
        match present.find(|shard| shard.len() != expected) {
            Some(other) => Err(ReconstructError::UnequalLengths {
                expected,
                found: other.len(),
            }),
            None => Ok(()),
        }
    }

    fn check_index(&self, index: ShardIndex) -> Result<(), ReconstructError> {
        if self.scheme.contains(index) {
            Ok(())
        } else {
            Err(ReconstructError::NoSuchShard {
                index,
                total: self.scheme.total(),
            })
        }
    }

    fn too_few(&self, present: usize) -> ReconstructError {
        ReconstructError::TooFew {
            needed: self.scheme.data(),
            present: present as u8,
        }
    }
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Coder({})", self.scheme)
    }
}

/// The package checks again what [`Coder::check`] has checked.
fn rejected(error: reed_solomon_erasure::Error) -> ReconstructError {
    unreachable!("shards were checked against the scheme: {error}")
}

#[cfg(test)]
mod tests;
