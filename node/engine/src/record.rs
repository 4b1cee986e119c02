//! What the engine must still know after a crash, and its bytes. Small facts under small keys: a later one replaces an earlier one.
//!
//! Losing all records loses no backup: leases are asked for again and presence is learned again. Records hold no secret.
//! They stay on this machine; their layout is versioned by `RECORD_VERSION`.

use minicbor::{Decode, Encode};
use nuthatch_format::{ArchiveId, ByteCount, NodeId, Span, Timestamp};

use crate::audits::AuditState;
use crate::history::History;

/// First byte of every encoded record.
pub const RECORD_VERSION: u8 = 1;

/// Longest encoded record, in bytes: a member's history with its 168 hours twice, the numbers and their CBOR heads.
pub const RECORD_LEN_MAX: usize = 512;

/// A fact to remember.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Record {
    /// A member and when it was last connected.
    #[n(0)]
    Seen {
        /// Who.
        #[n(0)]
        node: NodeId,
        /// When.
        #[n(1)]
        at: Timestamp,
    },
    /// A lease that a host granted to an archive of ours.
    #[n(1)]
    Held {
        /// Which archive.
        #[n(0)]
        archive: ArchiveId,
        /// The host.
        #[n(1)]
        node: NodeId,
        /// All that may be kept there.
        #[n(2)]
        bytes: ByteCount,
        /// When the host granted it, by our clock.
        #[n(3)]
        granted_at: Timestamp,
        /// Until when, by the host's promise.
        #[n(4)]
        until: Timestamp,
    },
    /// A lease that this node granted.
    #[n(2)]
    Granted {
        /// To which archive.
        #[n(0)]
        archive: ArchiveId,
        /// All that it may keep here.
        #[n(1)]
        bytes: ByteCount,
        /// Until when.
        #[n(2)]
        until: Timestamp,
    },
    /// A member's past.
    #[n(3)]
    Known {
        /// Who.
        #[n(0)]
        node: NodeId,
        /// What is remembered.
        #[n(1)]
        history: Box<History>,
    },
    /// How the audits of a host of an archive of ours stand.
    #[n(4)]
    Audited {
        /// Which archive.
        #[n(0)]
        archive: ArchiveId,
        /// The host.
        #[n(1)]
        node: NodeId,
        /// How they stand.
        #[n(2)]
        state: AuditState,
    },
    /// An archive keeps more here than it may.
    #[n(8)]
    Debt {
        /// Which archive.
        #[n(0)]
        archive: ArchiveId,
        /// For so long, of the time that counts.
        #[n(1)]
        lasted: Span,
        /// Up to when that was counted.
        #[n(2)]
        counted_at: Timestamp,
    },
    /// An archive that is kept here is being restored.
    #[n(9)]
    Restored {
        /// Which archive.
        #[n(0)]
        archive: ArchiveId,
        /// When something of it was last read.
        #[n(1)]
        at: Timestamp,
    },
}

/// Where a record is kept: two records with equal keys replace each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// Of `Record::Seen`.
    Seen(NodeId),
    /// Of `Record::Held`.
    Held(ArchiveId, NodeId),
    /// Of `Record::Granted`.
    Granted(ArchiveId),
    /// Of `Record::Known`.
    Known(NodeId),
    /// Of `Record::Audited`.
    Audited(ArchiveId, NodeId),
    /// Of `Record::Debt`.
    Debt(ArchiveId),
    /// Of `Record::Restored`.
    Restored(ArchiveId),
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeRecordError {
    /// Longer than any record.
    #[error("a record has at most {RECORD_LEN_MAX} bytes, not {found}")]
    TooLong {
        /// Bytes that were given.
        found: usize,
    },
    /// Written by another version.
    #[error("record version {found:?} is not {RECORD_VERSION}")]
    Version {
        /// The first byte, if there is one.
        found: Option<u8>,
    },
    /// Damaged.
    #[error("record is damaged")]
    Malformed(#[from] minicbor::decode::Error),
    /// Followed by something.
    #[error("record is followed by {count} bytes")]
    Trailing {
        /// How many.
        count: usize,
    },
}

impl Record {
    /// Where it is kept.
    pub const fn key(&self) -> RecordKey {
        match *self {
            Self::Seen { node, .. } => RecordKey::Seen(node),
            Self::Held { archive, node, .. } => RecordKey::Held(archive, node),
            Self::Granted { archive, .. } => RecordKey::Granted(archive),
            Self::Known { node, .. } => RecordKey::Known(node),
            Self::Audited { archive, node, .. } => RecordKey::Audited(archive, node),
            Self::Debt { archive, .. } => RecordKey::Debt(archive),
            Self::Restored { archive, .. } => RecordKey::Restored(archive),
        }
    }

    /// Its bytes, at most `RECORD_LEN_MAX`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![RECORD_VERSION];
        let written = minicbor::encode(self, &mut bytes);
        assert!(written.is_ok(), "writing to memory does not fail");
        assert!(bytes.len() <= RECORD_LEN_MAX, "records are small");
        bytes
    }

    /// The record with these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeRecordError> {
        if bytes.len() > RECORD_LEN_MAX {
            return Err(DecodeRecordError::TooLong { found: bytes.len() });
        }
        let Some((&RECORD_VERSION, body)) = bytes.split_first() else {
            return Err(DecodeRecordError::Version {
                found: bytes.first().copied(),
            });
        };
        let mut decoder = minicbor::Decoder::new(body);
        let record = decoder.decode()?;
        match body.len() - decoder.position() {
            0 => Ok(record),
            count => Err(DecodeRecordError::Trailing { count }),
        }
    }
}

impl RecordKey {
    /// Its bytes: a tag and the ids, so that keys of one kind lie together.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (tag, ids): (u8, &[&[u8]]) = match self {
            Self::Seen(node) => (0, &[node.as_bytes()]),
            Self::Held(archive, node) => (1, &[archive.as_bytes(), node.as_bytes()]),
            Self::Granted(archive) => (2, &[archive.as_bytes()]),
            Self::Known(node) => (3, &[node.as_bytes()]),
            Self::Audited(archive, node) => (4, &[archive.as_bytes(), node.as_bytes()]),
            Self::Debt(archive) => (8, &[archive.as_bytes()]),
            Self::Restored(archive) => (9, &[archive.as_bytes()]),
        };
        let mut bytes = vec![tag];
        for id in ids {
            bytes.extend_from_slice(id);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audits::AuditWord;
    use crate::targets::WEEK_HOURS;

    fn records() -> impl Strategy<Value = Record> {
        (0..7_u8, any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u64; 3]>()).prop_map(
            |(kind, one, two, numbers)| {
                let (archive, node) = (ArchiveId::from_bytes(one), NodeId::from_bytes(two));
                let [bytes, at, until] = numbers;
                let (bytes, at, until) = (ByteCount(bytes), Timestamp(at), Timestamp(until));
                match kind {
                    0 => Record::Seen { node, at },
                    1 => Record::Held {
                        archive,
                        node,
                        bytes,
                        granted_at: at,
                        until,
                    },
                    2 => Record::Granted {
                        archive,
                        bytes,
                        until,
                    },
                    3 => Record::Known {
                        node,
                        history: Box::new(History {
                            last_seen: Some(until),
                            here: [one.first().copied().unwrap_or_default(); WEEK_HOURS],
                            ..History::new(at)
                        }),
                    },
                    4 => Record::Audited {
                        archive,
                        node,
                        state: AuditState {
                            round_at: Some(at),
                            proven_at: Some(until),
                            open_since: (bytes.0 % 2 == 0).then_some(at),
                            detached_since: Some(at),
                            last: Some(AuditWord::Detached),
                            ended_at: Some(until),
                            found_out: (bytes.0 % 3 == 0).then_some(AuditWord::Wrong),
                        },
                    },
                    5 => Record::Debt {
                        archive,
                        lasted: Span(bytes.0),
                        counted_at: at,
                    },
                    _ => Record::Restored { archive, at },
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_and_back_is_the_same_record(record in records()) {
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()).ok(), Some(record));
        }

        #[test]
        fn what_is_cut_short_or_followed_by_something_is_no_record(record in records(), len in 0..RECORD_LEN_MAX) {
            let mut bytes = record.to_bytes();
            if len < bytes.len() {
                prop_assert!(Record::from_bytes(&bytes[..len]).is_err());
            }
            bytes.push(0);
            prop_assert!(Record::from_bytes(&bytes).is_err());
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..RECORD_LEN_MAX + 32)) {
            if let Ok(record) = Record::from_bytes(&bytes) {
                prop_assert!(bytes.len() <= RECORD_LEN_MAX);
                prop_assert_eq!(Record::from_bytes(&record.to_bytes()).ok(), Some(record));
            }
        }

        #[test]
        fn records_of_different_things_have_different_keys(one in records(), other in records()) {
            prop_assert_eq!(one.key() == other.key(), one.key().to_bytes() == other.key().to_bytes());
        }
    }
}
