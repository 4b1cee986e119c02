//! Whether a segment goes on where its line ends. Pure: a line's summary and a segment's link in, a verdict out.

use minicbor::{Decode, Encode};

use super::Head;
use crate::id::{DeviceId, LineId, SegmentId};

const LINE_ID: &str = "nuthatch v1 line id";

/// The id of the line that a device begins with a nonce: the first 16 bytes of BLAKE3 `derive_key(LINE_ID, device ‖ nonce)`.
pub(super) fn line_id(device: &DeviceId, nonce: &[u8; 16]) -> LineId {
    let mut input = [0; 48];
    input[..32].copy_from_slice(device.as_bytes());
    input[32..].copy_from_slice(nonce);
    let hash = blake3::derive_key(LINE_ID, &input);
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    LineId::from_bytes(id)
}

/// What a store remembers of a line to judge the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LineHead {
    /// The line.
    #[n(0)]
    pub line: LineId,
    /// Its device.
    #[n(1)]
    pub device: DeviceId,
    /// Place of its newest segment, from 0.
    #[n(2)]
    pub sequence: u64,
    /// Its newest segment.
    #[n(3)]
    pub segment: SegmentId,
    /// Packs that it has added so far.
    #[n(4)]
    pub packs: u64,
}

impl LineHead {
    /// How other lines name it.
    pub fn head(&self) -> Head {
        Head {
            line: self.line,
            sequence: self.sequence,
            segment: self.segment,
        }
    }
}

/// A segment as a link of its line's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The line's head once this segment is its newest.
    pub head: LineHead,
    /// The segment before; `None` for a line's first.
    pub previous: Option<SegmentId>,
}

/// How a verified segment stands to what is stored of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainVerdict {
    /// It goes on where the line ends: store it, its head is the line's head.
    Next,
    /// It is stored already.
    Duplicate,
    /// It stands beside what is stored: this device exists twice. Store it too, say so, and keep the line's head. Where the segment before
    /// it is not stored either, ask for the line from its beginning: its branch left it earlier.
    Fork,
    /// Segments before it are missing: ask for them first.
    Gap {
        /// The first place that is missing.
        expected: u64,
    },
    /// The line belongs to another device: refuse it.
    WrongDevice {
        /// Whose line it is.
        owner: DeviceId,
    },
    /// It takes packs back that its line has added: refuse it.
    Contradiction,
}

/// Judges a segment whose signature is verified. `stored` are the segments that are kept already at its place of its line (more than one
/// after a fork); `line` is the summary of the line, `None` when nothing of it is stored.
pub fn verify_next(line: Option<&LineHead>, stored: &[SegmentId], next: &Link) -> ChainVerdict {
    if stored.contains(&next.head.segment) {
        return ChainVerdict::Duplicate;
    }
    let Some(line) = line else {
        return if next.head.sequence == 0 {
            ChainVerdict::Next
        } else {
            ChainVerdict::Gap { expected: 0 }
        };
    };
    let expected = line.sequence.saturating_add(1);
    if line.device != next.head.device {
        ChainVerdict::WrongDevice { owner: line.device }
    } else if next.head.sequence > expected {
        ChainVerdict::Gap { expected }
    } else if next.head.sequence < expected || next.previous != Some(line.segment) {
        ChainVerdict::Fork
    } else if next.head.packs < line.packs {
        ChainVerdict::Contradiction
    } else {
        ChainVerdict::Next
    }
}
