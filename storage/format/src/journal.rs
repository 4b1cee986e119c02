//! The journal: every device's signed, hash-chained line of segments, whose union is what the archive contains.
//!
//! A line belongs to one device for ever; a device that can't prove that it holds its old head begins a new one. Writers never wait for each
//! other. Hosts see who wrote when, which labels a segment adds and which heads its writer knew; what packs and snapshots it adds is
//! sealed to writers. This module and its parts judge single segments against summaries (`chain`, `union`): none holds a whole journal,
//! so that stores work segment by segment.

mod chain;
mod entry;
mod segment;
pub mod union;

use minicbor::{Decode, Encode};

use crate::codec::{Canonical, Suite, Version};
use crate::id::{ArchiveId, DeviceId, LabelId, LineId, SegmentId};
use crate::units::{Epoch, Timestamp};

pub use chain::{ChainVerdict, LineHead, Link, verify_next};
pub use entry::{Batch, Entry};
pub use segment::{BuildSegmentError, Draft, OpenSegmentError, Opened, Position, SignedSegment};

/// Longest segment with its signature, in bytes.
pub const SEGMENT_LEN_MAX: usize = 4 * 1024 * 1024;
/// The sealed part of a segment is a multiple of this many bytes, so that its length says little.
pub const SEGMENT_PADDING: usize = 4096;
/// Most labels that one segment adds.
pub const SEGMENT_LABELS_MAX: usize = 1024;
/// Most lines of an archive; so a segment names at most as many heads.
pub const LINES_MAX: usize = 1024;
/// Most lines of one device, so that one device can't use up the archive's.
pub const DEVICE_LINES_MAX: usize = 256;

/// Longest public part of a segment: labels of 34 bytes, heads of at most 62, and the rest.
const PUBLIC_LEN_MAX: usize = SEGMENT_LABELS_MAX * 34 + LINES_MAX * 62 + 512;
/// Most bytes of entries in one segment, encoded.
pub const SEGMENT_ENTRIES_LEN_MAX: usize = SEGMENT_LEN_MAX - 128 * 1024;

const _: () = assert!(
    SEGMENT_ENTRIES_LEN_MAX + SEGMENT_PADDING + PUBLIC_LEN_MAX + 256 <= SEGMENT_LEN_MAX
        && SEGMENT_LEN_MAX <= <crate::signed::Signed as Canonical>::LEN_MAX
);

/// The newest segment of a line that somebody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Head {
    /// The line.
    #[n(0)]
    pub line: LineId,
    /// The segment's place in it, from 0.
    #[n(1)]
    pub sequence: u64,
    /// The segment.
    #[n(2)]
    pub segment: SegmentId,
}

/// How a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Beginning {
    /// 16 random bytes, from which and the device the line's id is made: no other device can begin a line of that id.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// The newest segment of the same device's line before, where it still knew one.
    #[n(1)]
    pub parent: Option<SegmentId>,
}

/// The public part of a segment. Believe nothing in it before its signature is verified and its device's certificate known.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SegmentBody {
    #[n(0)]
    version: Version,
    #[n(1)]
    suite: Suite,
    /// Whose writer keys sealed it.
    #[n(2)]
    pub epoch: Epoch,
    /// The archive.
    #[n(3)]
    pub archive: ArchiveId,
    /// Who wrote and signed it.
    #[n(4)]
    pub device: DeviceId,
    /// Its line.
    #[n(5)]
    pub line: LineId,
    /// Its place in the line, from 0.
    #[n(6)]
    pub sequence: u64,
    /// How many packs the line has added, with those of this segment: ordinals go on from there.
    #[n(7)]
    pub packs: u64,
    /// The first segment only: how the line begins.
    #[n(8)]
    pub beginning: Option<Beginning>,
    /// All but the first: the segment before.
    #[n(9)]
    pub previous: Option<SegmentId>,
    /// The labels that it adds, in the order of its entries.
    #[n(10)]
    pub labels: Vec<LabelId>,
    /// The newest heads of other lines that its writer knew, sorted by line.
    #[n(11)]
    pub heads: Vec<Head>,
    /// When its writer says that it was written.
    #[n(12)]
    pub time: Timestamp,
    #[cbor(n(13), with = "minicbor::bytes")]
    sealed: Vec<u8>,
}

impl SegmentBody {
    /// What must hold of the public part.
    fn check_public(&self) -> Result<(), &'static str> {
        if self.labels.len() > SEGMENT_LABELS_MAX || self.heads.len() > LINES_MAX {
            return Err("too many labels or heads");
        }
        if !self.heads.is_sorted_by(|a, b| a.line < b.line)
            || self.heads.iter().any(|head| head.line == self.line)
        {
            return Err("heads out of order, or of the segment's own line");
        }
        match (self.sequence, &self.beginning, &self.previous) {
            (0, Some(beginning), None) if chain::line_id(&self.device, &beginning.nonce) == self.line => {
                Ok(())
            }
            (0, Some(_), None) => Err("a line that its device did not begin"),
            (0, _, _) => Err("a first segment that does not begin its line"),
            (_, None, Some(_)) => Ok(()),
            (_, _, _) => Err("a later segment that does not follow another"),
        }
    }
}

impl Canonical for SegmentBody {
    const WHAT: &'static str = "journal segment";
    const LEN_MAX: usize = SEGMENT_LEN_MAX - 80;
    const VERSIONED: bool = true;

    fn check(&self) -> Result<(), &'static str> {
        self.check_public()?;
        if self.sealed.is_empty() || !self.sealed.len().is_multiple_of(SEGMENT_PADDING) {
            Err("a sealed part that is not padded")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
