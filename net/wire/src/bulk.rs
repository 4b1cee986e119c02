//! Frames of the bulk protocol: shards and segments on one long-lived stream, one operation at a time.
//!
//! A frame is its length (u32, little-endian) and that many bytes of CBOR. Whoever receives payload gives credit for it, so neither
//! side ever holds more than it asked for. This file says what can be said and what it is bounded by; whether a shard is taken is the
//! engine's decision, and whether a slice is right is checked by whoever stores it.

use minicbor::{Decode, Encode};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::codec::{self, Canonical, DecodeError};
use nuthatch_format::slice;
use nuthatch_format::{ArchiveId, LabelId, LineId, Span};

use crate::attest::Attestation;
use crate::bounded::{Opaque, len_max, shard_index};
use crate::receipt::{Receipt, SegmentReceipt};

mod credit;
pub use nuthatch_format::journal::SEGMENT_LEN_MAX;
pub use nuthatch_format::label::SIGNED_LABEL_LEN_MAX;
pub use nuthatch_format::slice::SLICE_LEN_MAX;

pub use credit::{CREDIT_MAX, Credit, CreditError};

/// Bytes of a shard that one data frame carries at most.
pub const RANGE_LEN_MAX: u32 = slice::SLICE_RANGE as u32;

/// Longest frame, in bytes of CBOR, without its length prefix.
pub const FRAME_LEN_MAX: usize =
    len_max::HEADER + len_max::NUMBER + len_max::map(1, len_max::bytes(SEGMENT_LEN_MAX));

/// Room made for what stands around a frame's payload, in bytes: a first guess, so that large frames are written in one go.
const FRAME_OVERHEAD_USUAL: usize = 64;

/// Bytes of a frame's length prefix.
pub const PREFIX_LEN: usize = 4;

/// A frame's variant and the map of its one field.
const AROUND: usize = len_max::HEADER + len_max::NUMBER;
const _: () =
    assert!(FRAME_LEN_MAX >= AROUND + len_max::map(3, 2 * len_max::NUMBER + len_max::bytes(SLICE_LEN_MAX)));
const _: () = assert!(
    FRAME_LEN_MAX >= AROUND + len_max::map(2, len_max::NUMBER + len_max::bytes(SIGNED_LABEL_LEN_MAX))
);
const _: () = assert!(FRAME_LEN_MAX >= AROUND + len_max::signed(Receipt::LEN_MAX));
const _: () = assert!(FRAME_LEN_MAX >= AROUND + len_max::map(6, 2 * len_max::ID + 4 * len_max::NUMBER));
const _: () = assert!(RANGE_LEN_MAX as u64 == slice::SLICE_RANGE && FRAME_LEN_MAX <= u32::MAX as usize);
const _: () = assert!(SLICE_LEN_MAX as u64 <= CREDIT_MAX && SEGMENT_LEN_MAX as u64 <= CREDIT_MAX);

/// A stripe's label in its exact signed bytes.
pub type LabelBytes = Opaque<SIGNED_LABEL_LEN_MAX>;

/// A journal segment in its exact signed bytes.
pub type SegmentBytes = Opaque<SEGMENT_LEN_MAX>;

/// One thing said on a bulk stream. Who says it, and when, stands at each; the sequences are in `docs/PROTOCOL.md`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Frame {
    /// Opens: I have a shard for you.
    #[n(0)]
    PutShard(#[n(0)] PutShard),
    /// Opens: I want a range of a shard that you hold.
    #[n(1)]
    GetRange(#[n(0)] GetRange),
    /// Opens: I have journal segments for you.
    #[n(2)]
    PutSegments(#[n(0)] PutSegments),
    /// Opens: I want a line's segments.
    #[n(3)]
    GetSegments(#[n(0)] GetSegments),
    /// Answers `PutShard`, `PutSegments`: go on.
    #[n(4)]
    Accept(#[n(0)] Accept),
    /// Answers `PutShard`: it is here already. Ends the operation.
    #[n(5)]
    Have(#[n(0)] Attestation<Receipt>),
    /// Answers any opening: not now. Ends the operation.
    #[n(6)]
    Busy(#[n(0)] Busy),
    /// Answers any opening, and may come at any time from the side that serves: no, because. Ends the operation.
    #[n(7)]
    Refused(#[n(0)] Refusal),
    /// Payload of `PutShard` and `GetRange`.
    #[n(8)]
    Data(#[n(0)] Data),
    /// Payload of `PutSegments` and `GetSegments`.
    #[n(9)]
    Segment(#[n(0)] Segment),
    /// From whoever receives payload: so many bytes more may come.
    #[n(10)]
    Credit(#[n(0)] u64),
    /// From whoever sends payload: that was all. Answered by a receipt (`PutShard`), by `Finish` (`PutSegments`), or not at all.
    #[n(11)]
    Finish,
    /// Ends `PutShard`: the shard is synced.
    #[n(12)]
    Receipt(#[n(0)] Attestation<Receipt>),
    /// Answers each `Segment` of `PutSegments`, in order: it is synced.
    #[n(13)]
    SegmentReceipt(#[n(0)] Attestation<SegmentReceipt>),
    /// From whoever opened: I no longer want this. Answered by `Finish`; nothing more is opened on the stream.
    #[n(14)]
    Cancel,
}

/// Offers one shard.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PutShard {
    /// The stripe's label, which names archive, lengths and hashes.
    #[n(0)]
    pub label: LabelBytes,
    /// Which shard of the stripe.
    #[cbor(n(1), with = "shard_index")]
    pub index: ShardIndex,
}

/// Asks for bytes `offset..offset + len` of a shard, as verified slices.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GetRange {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// The stripe's label.
    #[n(1)]
    pub label: LabelId,
    /// Which shard of the stripe.
    #[cbor(n(2), with = "shard_index")]
    pub index: ShardIndex,
    /// First byte; a multiple of [`slice::GROUP_LEN`].
    #[n(3)]
    pub offset: u64,
    /// Bytes; a multiple of [`slice::GROUP_LEN`], or up to the end of the shard.
    #[n(4)]
    pub len: u64,
    /// Payload that may come at once, in bytes.
    #[n(5)]
    pub credit: u64,
}

/// Announces journal segments of one archive.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PutSegments {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
}

/// Asks for a line's segments, from one place on, in order; where two stand in one place, both.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GetSegments {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// The line.
    #[n(1)]
    pub line: LineId,
    /// First place wanted.
    #[n(2)]
    pub from_sequence: u64,
    /// Payload that may come at once, in bytes.
    #[n(3)]
    pub credit: u64,
}

/// Takes what is offered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Accept {
    /// Bytes of the shard that are here and verified, a multiple of [`slice::GROUP_LEN`] or the whole length: go on behind them. 0 for segments.
    #[n(0)]
    pub resume_from: u64,
    /// Payload that may come at once, in bytes.
    #[n(1)]
    pub credit: u64,
}

/// Not now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Busy {
    /// When to try again, counted from now.
    #[n(0)]
    pub retry_after: Span,
}

/// A range of a shard with the hashes that prove it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Data {
    /// First byte of the range; a multiple of [`slice::GROUP_LEN`].
    #[n(0)]
    pub offset: u64,
    /// Bytes of the range, `1..=RANGE_LEN_MAX`; a multiple of [`slice::GROUP_LEN`], or up to the end of the shard.
    #[n(1)]
    pub len: u32,
    /// The verified slice of that range.
    #[n(2)]
    pub slice: Opaque<SLICE_LEN_MAX>,
}

/// One journal segment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Segment {
    /// Exact signed bytes.
    #[n(0)]
    pub bytes: SegmentBytes,
}

/// Why an operation is refused. A caller can do something different about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum Refusal {
    /// The archive has no lease here, or no room left in it: ask for one.
    #[n(0)]
    #[error("the archive has no lease for this here")]
    NoLease,
    /// The host's disk or quota is full: go elsewhere.
    #[n(1)]
    #[error("the host is full")]
    Full,
    /// The label stands in no segment that is believed here: send the journal first.
    #[n(2)]
    #[error("the label is not in a journal that the host believes")]
    NotBelieved,
    /// The host has another shard of this stripe and is no mirror.
    #[n(3)]
    #[error("the host has another shard of this stripe")]
    StripeAlreadyHere,
    /// The asker may not do this; also the answer where it may not know whether the archive is here.
    #[n(4)]
    #[error("this is not allowed to the asker")]
    NotAllowed,
    /// What was sent is not what it claims to be, or what is held turned out to be damaged.
    #[n(5)]
    #[error("the bytes are not what they should be")]
    Damaged,
    /// There is no such shard or line here.
    #[n(6)]
    #[error("the host does not have it")]
    NotFound,
    /// Made by a newer program than the host's.
    #[n(7)]
    #[error("the host's program is too old for this")]
    Version,
}

impl Canonical for Frame {
    const WHAT: &'static str = "bulk frame";
    const LEN_MAX: usize = FRAME_LEN_MAX;
}

/// A length prefix that announces no frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {found} bytes, {FRAME_LEN_MAX} are allowed")]
pub struct FrameLengthError {
    /// Bytes announced.
    pub found: u32,
}

impl Frame {
    /// The frame as it is sent: its length and its bytes.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(PREFIX_LEN + FRAME_OVERHEAD_USUAL + self.payload_len() as usize);
        wire.extend_from_slice(&[0; PREFIX_LEN]);
        codec::encode_to(self, &mut wire);
        let body_len = (wire.len() - PREFIX_LEN) as u32;
        if let Some(prefix) = wire.first_chunk_mut::<PREFIX_LEN>() {
            *prefix = body_len.to_le_bytes();
        }
        wire
    }

    /// How many bytes follow a length prefix; checked before anything is allocated for them.
    pub fn body_len(prefix: [u8; PREFIX_LEN]) -> Result<usize, FrameLengthError> {
        let found = u32::from_le_bytes(prefix);
        if found == 0 || found as usize > FRAME_LEN_MAX {
            return Err(FrameLengthError { found });
        }
        Ok(found as usize)
    }

    /// The frame with this body.
    pub fn from_body(body: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(body)
    }

    /// Payload that counts against credit, in bytes; 0 for all that is not payload.
    pub fn payload_len(&self) -> u64 {
        match self {
            Self::Data(data) => data.slice.len() as u64,
            Self::Segment(segment) => segment.bytes.len() as u64,
            Self::PutShard(_)
            | Self::GetRange(_)
            | Self::PutSegments(_)
            | Self::GetSegments(_)
            | Self::Accept(_)
            | Self::Have(_)
            | Self::Busy(_)
            | Self::Refused(_)
            | Self::Credit(_)
            | Self::Finish
            | Self::Receipt(_)
            | Self::SegmentReceipt(_)
            | Self::Cancel => 0,
        }
    }

    /// Whether it opens an operation.
    pub const fn opens(&self) -> bool {
        matches!(
            self,
            Self::PutShard(_) | Self::GetRange(_) | Self::PutSegments(_) | Self::GetSegments(_)
        )
    }

    /// Its name, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PutShard(_) => "put shard",
            Self::GetRange(_) => "get range",
            Self::PutSegments(_) => "put segments",
            Self::GetSegments(_) => "get segments",
            Self::Accept(_) => "accept",
            Self::Have(_) => "have",
            Self::Busy(_) => "busy",
            Self::Refused(_) => "refused",
            Self::Data(_) => "data",
            Self::Segment(_) => "segment",
            Self::Credit(_) => "credit",
            Self::Finish => "finish",
            Self::Receipt(_) => "receipt",
            Self::SegmentReceipt(_) => "segment receipt",
            Self::Cancel => "cancel",
        }
    }
}

#[cfg(test)]
mod tests;
