//! Numbers with a unit. A bare integer in a signature says nothing; these say bytes, milliseconds, epochs.

use std::fmt;

use minicbor::{Decode, Encode};

/// A number of bytes, `0..=u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct ByteCount(#[n(0)] pub u64);

impl ByteCount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or the largest count there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// A moment: milliseconds since 1970-01-01 00:00 UTC, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub u64);

impl Timestamp {
    /// This moment and a span later, or the last moment there is.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long it is since an earlier moment; zero when that is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Span(#[n(0)] pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many milliseconds.
    pub const fn from_millis(count: u64) -> Self {
        Self(count)
    }

    /// So many seconds.
    pub const fn from_secs(count: u64) -> Self {
        Self(count * 1000)
    }

    /// So many days of 24 hours.
    pub const fn from_days(count: u64) -> Self {
        Self(count * 86_400_000)
    }
}

/// Which set of writer keys an object was made with. Version 1 knows only epoch 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Epoch(#[n(0)] pub u32);
