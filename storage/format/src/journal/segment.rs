//! Segments as bytes: built and signed by a device, parsed and verified by anybody, opened by writers.
//!
//! ```text
//! segment   = canonical CBOR of Signed { body, signature }, in context "segment" and the archive's scope
//! sealed    = siv::seal(type "segment", header, plaintext)            header = the body's encoding with `sealed` empty
//! plaintext = length of entries (u32, little-endian) ‖ entries ‖ zeros, so that `sealed` is a multiple of 4096 bytes
//! entries   = canonical CBOR array of Entry
//! ```

use std::ops::Range;

use minicbor::{Decode, Encode};

use super::chain::line_id;
use super::{
    Beginning, Entry, Head, LineHead, Link, SEGMENT_ENTRIES_LEN_MAX, SEGMENT_LEN_MAX, SEGMENT_PADDING,
    SegmentBody,
};
use crate::codec::{self, Canonical, DecodeError, DecodeReason, Suite, Version};
use crate::id::{LineId, SegmentId};
use crate::keys::{DeviceKeys, WriterKeys};
use crate::signed::{Context, SignatureError, Signed};
use crate::siv::{self, ObjectType};
use crate::units::{Epoch, Timestamp};

/// Where a device's next segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    line: LineId,
    sequence: u64,
    packs: u64,
    beginning: Option<Beginning>,
    previous: Option<SegmentId>,
}

impl Position {
    /// The beginning of a new line. `nonce` is random; `parent` is the newest segment known of the device's line before.
    pub fn begin(device: &DeviceKeys, nonce: [u8; 16], parent: Option<SegmentId>) -> Self {
        Self {
            line: line_id(&device.id(), &nonce),
            sequence: 0,
            packs: 0,
            beginning: Some(Beginning { nonce, parent }),
            previous: None,
        }
    }

    /// After the newest segment of the device's own line.
    pub fn after(head: &LineHead) -> Self {
        Self {
            line: head.line,
            sequence: head.sequence.saturating_add(1),
            packs: head.packs,
            beginning: None,
            previous: Some(head.segment),
        }
    }

    /// The line.
    pub fn line(&self) -> LineId {
        self.line
    }

    /// The ordinal that the first pack of the segment gets.
    pub fn first_ordinal(&self) -> u64 {
        self.packs
    }
}

/// A segment that is to be written.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// Where it goes.
    pub position: Position,
    /// What it adds, as [`super::Batch`] bounds it.
    pub entries: &'a [Entry],
    /// The newest heads known of other lines, in any order; one of the segment's own line is left out.
    pub heads: &'a [Head],
    /// Now.
    pub time: Timestamp,
}

/// Why a segment can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildSegmentError {
    /// An entry, or the segment around it, says something impossible.
    #[error("the journal can't take this: {0}")]
    Invalid(&'static str),
    /// More entries than one segment takes.
    #[error("{found} bytes of entries are too many for a segment, at most {SEGMENT_ENTRIES_LEN_MAX} fit")]
    TooLong {
        /// Bytes of entries.
        found: usize,
    },
}

/// Why a segment's entries can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenSegmentError {
    /// Sealed with the keys of another epoch.
    #[error("the segment was sealed in epoch {found}, these keys are of epoch {expected}")]
    Epoch {
        /// Epoch of the segment.
        found: u32,
        /// Epoch of the keys.
        expected: u32,
    },
    /// Of another archive than the keys.
    #[error("the segment belongs to another archive")]
    OtherArchive,
    /// Damaged, or not sealed by this archive's writers.
    #[error("the segment's entries are damaged")]
    Damaged,
    /// Sealed by a writer, but not what a writer should seal.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// What a segment adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Ordinal of the first pack that it adds; the others follow in the order of the entries.
    pub first_ordinal: u64,
    /// The entries.
    pub entries: Vec<Entry>,
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct Entries(#[n(0)] Vec<Entry>);

impl Canonical for Entries {
    const WHAT: &'static str = "journal entries";
    const LEN_MAX: usize = SEGMENT_ENTRIES_LEN_MAX;

    fn check(&self) -> Result<(), &'static str> {
        self.0.iter().try_for_each(Canonical::check)
    }
}

/// A segment with its signature, as it is stored and passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSegment {
    bytes: Vec<u8>,
    id: SegmentId,
    /// Its `sealed` is empty: it stands in `bytes` once.
    body: SegmentBody,
    sealed: Range<usize>,
}

/// Bytes after the sealed part, which ends the body: the key, the header and the bytes of the signature.
const SIGNATURE_TAIL_LEN: usize = 1 + 2 + 64;

impl SignedSegment {
    /// Seals and signs a segment.
    pub fn build(
        keys: &WriterKeys,
        device: &DeviceKeys,
        draft: &Draft<'_>,
    ) -> Result<Self, BuildSegmentError> {
        let added = draft
            .entries
            .iter()
            .filter(|entry| matches!(entry, Entry::PackAdded { .. }))
            .count() as u64;
        let position = &draft.position;
        let mut heads: Vec<Head> = draft
            .heads
            .iter()
            .filter(|head| head.line != position.line)
            .copied()
            .collect();
        heads.sort_unstable();
        let mut body = SegmentBody {
            version: Version,
            suite: Suite,
            epoch: keys.epoch,
            archive: keys.archive,
            device: device.id(),
            line: position.line,
            sequence: position.sequence,
            packs: position.packs.saturating_add(added),
            beginning: position.beginning,
            previous: position.previous,
            labels: draft.entries.iter().filter_map(Entry::label_id).collect(),
            heads,
            time: draft.time,
            sealed: Vec::new(),
        };
        body.check_public().map_err(BuildSegmentError::Invalid)?;
        let plain = pad(draft.entries)?;
        body.sealed = siv::seal(
            &keys.siv_key,
            &keys.index_key,
            ObjectType::Segment,
            &codec::encode(&body),
            &plain,
        );
        let signed = device
            .signing
            .sign(Context::Segment, keys.archive.as_bytes(), codec::encode(&body));
        Ok(Self::of(codec::encode(&signed), body))
    }

    /// Reads a segment's shape and public part; its signature is not checked yet.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        if bytes.len() > SEGMENT_LEN_MAX {
            return Err(DecodeError {
                what: SegmentBody::WHAT,
                at: SEGMENT_LEN_MAX,
                reason: DecodeReason::TooLong {
                    found: bytes.len(),
                    max: SEGMENT_LEN_MAX,
                },
            });
        }
        let signed: Signed = codec::decode(&bytes)?;
        let body: SegmentBody = codec::decode(&signed.body)?;
        Ok(Self::of(bytes, body))
    }

    /// `bytes` are the canonical form of the signed `body`.
    fn of(bytes: Vec<u8>, mut body: SegmentBody) -> Self {
        let end = bytes.len() - SIGNATURE_TAIL_LEN;
        let sealed = end - body.sealed.len()..end;
        body.sealed = Vec::new();
        Self {
            id: SegmentId::from_bytes(*blake3::hash(&bytes).as_bytes()),
            bytes,
            body,
            sealed,
        }
    }

    /// Checks that its device signed it, for its archive. Whether the device may write is for [`super::union`] and the statements to say.
    pub fn verify_signature(&self) -> Result<(), SignatureError> {
        let signed: Signed = codec::decode(&self.bytes).map_err(|_| SignatureError)?;
        signed.verify(
            self.body.device.as_bytes(),
            Context::Segment,
            self.body.archive.as_bytes(),
        )
    }

    /// Its name: BLAKE3 of its bytes.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// The exact bytes, to be stored and passed on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The exact bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its public part.
    pub fn public(&self) -> &SegmentBody {
        &self.body
    }

    /// It as a link of its line's chain.
    pub fn link(&self) -> Link {
        Link {
            head: self.head(),
            previous: self.body.previous,
        }
    }

    /// Its line's head once it is its newest segment.
    pub fn head(&self) -> LineHead {
        LineHead {
            line: self.body.line,
            device: self.body.device,
            sequence: self.body.sequence,
            segment: self.id,
            packs: self.body.packs,
        }
    }

    /// The epoch whose keys open it.
    pub fn epoch(&self) -> Epoch {
        self.body.epoch
    }

    /// Opens its entries.
    pub fn open(&self, keys: &WriterKeys) -> Result<Opened, OpenSegmentError> {
        if self.body.archive != keys.archive {
            return Err(OpenSegmentError::OtherArchive);
        }
        if self.body.epoch != keys.epoch {
            return Err(OpenSegmentError::Epoch {
                found: self.body.epoch.0,
                expected: keys.epoch.0,
            });
        }
        let plain = siv::open(
            &keys.siv_key,
            &keys.index_key,
            ObjectType::Segment,
            &codec::encode(&self.body),
            self.bytes.get(self.sealed.clone()).unwrap_or_default(),
        )
        .map_err(|_| OpenSegmentError::Damaged)?;
        let entries = unpad(&plain)?;
        let invalid = |reason| OpenSegmentError::Decode(DecodeError::invalid(SegmentBody::WHAT, 0, reason));
        if !entries
            .iter()
            .filter_map(Entry::label_id)
            .eq(self.body.labels.iter().copied())
        {
            return Err(invalid("labels that are not those of its entries"));
        }
        let added = entries
            .iter()
            .filter(|entry| matches!(entry, Entry::PackAdded { .. }))
            .count() as u64;
        let first_ordinal = self
            .body
            .packs
            .checked_sub(added)
            .ok_or_else(|| invalid("more packs than its line has"))?;
        Ok(Opened {
            first_ordinal,
            entries,
        })
    }
}

/// Entries with their length before and zeros behind.
fn pad(entries: &[Entry]) -> Result<Vec<u8>, BuildSegmentError> {
    let mut plain = vec![0; 4];
    let mut encoder = minicbor::Encoder::new(&mut plain);
    if let Err(error) = encoder.encode(entries) {
        unreachable!("writing to memory cannot fail: {error}");
    }
    let found = plain.len() - 4;
    if found > SEGMENT_ENTRIES_LEN_MAX {
        return Err(BuildSegmentError::TooLong { found });
    }
    entries
        .iter()
        .try_for_each(Canonical::check)
        .map_err(BuildSegmentError::Invalid)?;
    plain[..4].copy_from_slice(&(found as u32).to_le_bytes());
    let sealed_len = (plain.len() + siv::OVERHEAD).next_multiple_of(SEGMENT_PADDING);
    plain.resize(sealed_len - siv::OVERHEAD, 0);
    Ok(plain)
}

fn unpad(plain: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    let fail = |at, reason| DecodeError {
        what: Entries::WHAT,
        at,
        reason,
    };
    let truncated = || fail(plain.len(), DecodeReason::Truncated);
    let (length, rest) = plain.split_first_chunk::<4>().ok_or_else(truncated)?;
    let (entries, padding) = rest
        .split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or_else(truncated)?;
    if padding.len() >= SEGMENT_PADDING || padding.iter().any(|byte| *byte != 0) {
        return Err(fail(4 + entries.len(), DecodeReason::NotCanonical));
    }
    Ok(codec::decode::<Entries>(entries)?.0)
}
