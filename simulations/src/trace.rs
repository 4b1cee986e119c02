//! A fingerprint of everything that the engines decided. Two runs with the same fingerprint did the same.

use std::fmt::{self, Debug, Write};

/// Offset basis and prime of FNV-1a, 64 bits: Fowler, Noll, Vo; draft-eastlake-fnv. Enough to tell two runs apart by accident.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// See `FNV_BASIS`.
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// The fingerprint so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace(u64);

impl Trace {
    /// Of nothing.
    pub const fn new() -> Self {
        Self(FNV_BASIS)
    }

    /// Adds a decision.
    pub fn add(&mut self, decision: &impl Debug) {
        // Writing into a fingerprint can't fail.
        let _ = write!(self, "{decision:?};");
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}

impl Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
