//! Collections that can't be longer than their type says: lists, texts and byte strings inside messages.
//!
//! The bound is checked when one is made and when one is decoded, so a message that exists can be sent and one that arrived can be held.
//! This file also has the sums with which messages prove at compile time that they fit their maximum.

use std::fmt;
use std::ops::Deref;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Something is longer than its kind may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} is more than the {max} that are allowed here")]
pub struct OutOfBounds {
    /// Items or bytes given.
    pub found: usize,
    /// The bound.
    pub max: usize,
}

fn within(found: usize, max: usize) -> Result<(), OutOfBounds> {
    if found > max {
        Err(OutOfBounds { found, max })
    } else {
        Ok(())
    }
}

/// At most `MAX` items.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// The bound, in items.
    pub const MAX: usize = MAX;

    /// These items, if there are not too many.
    pub fn new(items: Vec<T>) -> Result<Self, OutOfBounds> {
        within(items.len(), MAX).map(|()| Self(items))
    }

    /// No items.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// The first `MAX` of these items.
    pub fn first_of(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().take(MAX).collect())
    }

    /// The items, no longer bounded.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> IntoIterator for List<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<C, T: Encode<C>, const MAX: usize> Encode<C> for List<T, MAX> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|item| item.encode(e, ctx))
    }
}

impl<'b, C, T: Decode<'b, C>, const MAX: usize> Decode<'b, C> for List<T, MAX> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let count = d
            .array()?
            .ok_or_else(|| decode::Error::message("list of unknown length").at(at))?;
        if count > MAX as u64 {
            return Err(decode::Error::message(format!("{count} items, at most {MAX} are allowed")).at(at));
        }
        // Grows with the items that are really there, not with what the header claims.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(d, ctx)?);
        }
        Ok(Self(items))
    }
}

/// Text of at most `MAX` bytes without control characters, as people write names and programs write addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The bound, in bytes of UTF-8.
    pub const MAX: usize = MAX;

    /// This text, if it is not too long; control characters are replaced.
    pub fn new(text: &str) -> Result<Self, OutOfBounds> {
        let clean = without_control(text);
        within(clean.len(), MAX).map(|()| Self(clean))
    }

    /// As much of the text, from its start, as fits.
    pub fn cut(text: &str) -> Self {
        let mut clean = without_control(text);
        while clean.len() > MAX {
            clean.pop();
        }
        Self(clean)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn without_control(text: &str) -> String {
    text.chars()
        .map(|char| {
            if char.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        })
        .collect()
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C, const MAX: usize> Encode<C> for Text<MAX> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Text<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let text = d.str()?;
        if text.len() > MAX || text.chars().any(char::is_control) {
            return Err(
                decode::Error::message(format!("text over {MAX} bytes or with control characters")).at(at),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// At most `MAX` bytes whose meaning is settled elsewhere: a signed object, a slice, a segment. Prints its length only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Opaque<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Opaque<MAX> {
    /// The bound, in bytes.
    pub const MAX: usize = MAX;

    /// These bytes, if there are not too many.
    pub fn new(bytes: Vec<u8>) -> Result<Self, OutOfBounds> {
        within(bytes.len(), MAX).map(|()| Self(bytes))
    }

    /// The bytes, no longer bounded.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> Deref for Opaque<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Opaque<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<C, const MAX: usize> Encode<C> for Opaque<MAX> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Opaque<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let bytes = d.bytes()?;
        Self::new(bytes.to_vec()).map_err(|error| decode::Error::message(error).at(at))
    }
}

/// How a [`ShardIndex`](nuthatch_erasure::ShardIndex) stands in a message: a small integer.
pub(crate) mod shard_index {
    use minicbor::{Decoder, Encoder};
    use nuthatch_erasure::ShardIndex;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "derived encoders pass every field by reference"
    )]
    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        index: &ShardIndex,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(index.0)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<ShardIndex, minicbor::decode::Error> {
        d.u8().map(ShardIndex)
    }
}

/// Longest encodings, in bytes, of what messages are made of (RFC 8949, section 3): the arithmetic behind the compile-time bounds.
pub(crate) mod len_max {
    /// A header: of a list, a map, an enum variant. Counts stay below 2³².
    pub(crate) const HEADER: usize = 5;
    /// An integer, a time, a count of bytes.
    pub(crate) const NUMBER: usize = 9;
    /// A key of a map.
    pub(crate) const KEY: usize = 1;
    /// A 32-byte id, hash, key or nonce.
    pub(crate) const ID: usize = bytes(32);

    /// A byte string or a text of at most so many bytes.
    pub(crate) const fn bytes(len: usize) -> usize {
        HEADER + len
    }

    /// A list of at most so many items.
    pub(crate) const fn list(count: usize, item: usize) -> usize {
        HEADER + count * item
    }

    /// A map of so many entries whose values together have at most this length.
    pub(crate) const fn map(entries: usize, values: usize) -> usize {
        HEADER + entries * KEY + values
    }

    /// A signed object with a body of at most this length.
    pub(crate) const fn signed(body: usize) -> usize {
        map(2, bytes(body + crate::attest::VERSIONED_LEN) + bytes(64))
    }
}

#[cfg(test)]
mod tests;
