//! What a segment adds to the archive. An entry is its device's claim: nothing here looks behind it.

use minicbor::{Decode, Encode};

use super::{SEGMENT_ENTRIES_LEN_MAX, SEGMENT_LABELS_MAX};
use crate::codec::{self, Canonical};
use crate::id::{LabelId, PackId, SnapshotId};
use crate::label::SIGNED_LABEL_LEN_MAX;
use crate::pack::{DIRECTORY_LEN_MAX, HEADER_LEN, PackKind, read_header};
use crate::padding::PACK_LEN;
use crate::snapshot::{SEALED_SNAPSHOT_LEN_MAX, SealedSnapshot, SnapshotLine};

/// One addition to the archive.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum Entry {
    /// A pack exists, on hosts or in the device's staging. The order of these in a line gives packs their ordinals.
    #[n(0)]
    PackAdded {
        /// The pack.
        #[n(0)]
        pack: PackId,
        /// What it holds.
        #[n(1)]
        kind: PackKind,
        /// Its length in bytes, at most [`PACK_LEN`]: readers plan by it before they have the pack.
        #[n(2)]
        len: u64,
        /// Its header, so that ranges of it can be opened alone.
        #[cbor(n(3), with = "minicbor::bytes")]
        header: Vec<u8>,
        /// Its directory in canonical form: which chunks it is said to hold, and where.
        #[cbor(n(4), with = "minicbor::bytes")]
        directory: Vec<u8>,
    },
    /// A pack is coded as a stripe.
    #[n(1)]
    StripeAdded {
        /// The signed label.
        #[cbor(n(0), with = "minicbor::bytes")]
        label: Vec<u8>,
    },
    /// A backup is complete: the only commit point.
    #[n(2)]
    SnapshotAdded {
        /// The snapshot.
        #[n(0)]
        id: SnapshotId,
        /// What writers list.
        #[n(1)]
        line: SnapshotLine,
        /// What readers open.
        #[cbor(n(2), with = "minicbor::bytes")]
        sealed: Vec<u8>,
    },
    /// A snapshot is no longer wanted.
    #[n(3)]
    SnapshotForgotten {
        /// The snapshot.
        #[n(0)]
        id: SnapshotId,
    },
    /// No live snapshot needs a pack: it is no longer deduplicated against.
    #[n(4)]
    PackRetired {
        /// The pack.
        #[n(0)]
        pack: PackId,
    },
}

impl Entry {
    /// The label that it adds, if any: BLAKE3 of the signed label.
    pub fn label_id(&self) -> Option<LabelId> {
        match self {
            Self::StripeAdded { label } => Some(LabelId::from_bytes(*blake3::hash(label).as_bytes())),
            Self::PackAdded { .. }
            | Self::SnapshotAdded { .. }
            | Self::SnapshotForgotten { .. }
            | Self::PackRetired { .. } => None,
        }
    }
}

impl Canonical for Entry {
    const WHAT: &'static str = "journal entry";
    const LEN_MAX: usize = SEGMENT_ENTRIES_LEN_MAX - 16;

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::PackAdded {
                kind,
                len,
                header,
                directory,
                ..
            } => {
                if header.len() != HEADER_LEN || *len < HEADER_LEN as u64 {
                    Err("a pack without a header")
                } else if *len > PACK_LEN as u64 {
                    Err("a pack that is too long")
                } else if directory.is_empty() || directory.len() > DIRECTORY_LEN_MAX {
                    Err("a directory that is empty or too long")
                } else if read_header(header).map_or(true, |read| read.kind() != *kind) {
                    Err("a pack header that can't be read, or is of another kind")
                } else {
                    Ok(())
                }
            }
            Self::StripeAdded { label } if label.is_empty() || label.len() > SIGNED_LABEL_LEN_MAX => {
                Err("a label that is empty or too long")
            }
            Self::SnapshotAdded { sealed, .. } if sealed.len() > SEALED_SNAPSHOT_LEN_MAX => {
                Err("a snapshot that is too long")
            }
            Self::SnapshotAdded { id, sealed, .. } if SealedSnapshot::id_of(sealed) != *id => {
                Err("a snapshot under another's name")
            }
            Self::SnapshotAdded { line, .. } => line.check(),
            Self::StripeAdded { .. } | Self::SnapshotForgotten { .. } | Self::PackRetired { .. } => Ok(()),
        }
    }
}

/// Every entry fits a segment alone.
const _: () = assert!(
    Entry::LEN_MAX >= DIRECTORY_LEN_MAX + HEADER_LEN + 256
        && Entry::LEN_MAX >= SEALED_SNAPSHOT_LEN_MAX + SnapshotLine::LEN_MAX + 256
);

/// Entries on their way into a segment, as many as one takes.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    len: usize,
    label_count: usize,
}

impl Batch {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or gives it back when this segment has no room for it. An empty batch takes every valid entry.
    #[must_use = "an entry that comes back belongs into the next batch"]
    pub fn push(&mut self, entry: Entry) -> Option<Entry> {
        let len = codec::encode(&entry).len();
        let labels = usize::from(entry.label_id().is_some());
        // The array's own header takes at most five bytes.
        if self.len + len + 16 > SEGMENT_ENTRIES_LEN_MAX || self.label_count + labels > SEGMENT_LABELS_MAX {
            return Some(entry);
        }
        self.len += len;
        self.label_count += labels;
        self.entries.push(entry);
        None
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that they take in a segment.
    pub fn encoded_len(&self) -> usize {
        self.len
    }

    /// The entries, in the order in which they came.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes them out; the batch is empty again.
    pub fn take(&mut self) -> Vec<Entry> {
        std::mem::take(self).entries
    }
}
