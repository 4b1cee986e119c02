//! Gets sections of packs from a source and opens them. What does not open is asked for again elsewhere, and whoever gave it is named.

use std::ops::Range;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::{Catalogue, PackRecord};
use nuthatch_format::keys::ReaderKeys;
use nuthatch_format::{ChunkId, NodeId};

use crate::cancel::{Cancel, Cancelled};
use crate::opener::{BadSection, OpenPack, PackBook};
use crate::pack_source::{Origin, PackSource, Reading, SourceError};
use crate::progress::{Reporter, Warning, WarningKind};
use crate::restore::ranges::{self, Shape};

/// Readings of one section, when sources keep giving bytes that do not open (count).
const READINGS_MAX: u32 = 8;

/// Why a chunk cannot be had from any place that is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChunkError {
    /// No journal says where it is.
    #[error("no pack is known to hold a part of it")]
    Unknown,
    /// Its pack cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What is stored is not what it must be.
    #[error("what is stored of it is not what it must be")]
    Damaged,
    /// The catalogue failed.
    #[error("the catalogue could not be read")]
    Index(#[from] IndexError),
    /// The job was told to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl ChunkError {
    /// What kind of warning it is.
    pub(crate) fn kind(&self) -> WarningKind {
        match self {
            Self::Source(SourceError::Away { .. } | SourceError::Lost { .. } | SourceError::Cancelled)
            | Self::Cancelled(_) => WarningKind::Unavailable,
            Self::Unknown | Self::Source(SourceError::Damaged { .. }) | Self::Damaged | Self::Index(_) => {
                WarningKind::Damaged
            }
        }
    }

    /// Of two reasons why a chunk cannot be had, the one that gives more hope.
    pub(crate) fn or(self, other: Self) -> Self {
        let hope = |error: &Self| match error {
            Self::Cancelled(_) => 5,
            Self::Index(_) => 4,
            Self::Source(SourceError::Away { .. } | SourceError::Cancelled) => 3,
            Self::Source(SourceError::Lost { .. }) => 2,
            Self::Source(SourceError::Damaged { .. }) | Self::Damaged => 1,
            Self::Unknown => 0,
        };
        if hope(&other) > hope(&self) { other } else { self }
    }
}

/// Why one claim of a chunk did not give it.
#[derive(Debug)]
pub(crate) enum ClaimFault {
    /// The pack's bytes cannot be had.
    Source(SourceError),
    /// They are damaged everywhere; the host that gave them last, where that is known.
    Damaged(Option<NodeId>),
    /// Its device claimed what is not so.
    False,
}

impl From<ClaimFault> for ChunkError {
    fn from(fault: ClaimFault) -> Self {
        match fault {
            ClaimFault::Source(SourceError::Cancelled) => Cancelled.into(),
            ClaimFault::Source(error) => Self::Source(error),
            ClaimFault::Damaged(_) | ClaimFault::False => Self::Damaged,
        }
    }
}

/// What a job reads packs with.
#[derive(Clone, Copy)]
pub struct ReadContext<'a> {
    /// The keys to open packs.
    pub keys: &'a ReaderKeys,
    /// Where chunks are.
    pub catalogue: &'a Catalogue,
    /// Where packs come from.
    pub source: &'a dyn PackSource,
}

impl<'a> ReadContext<'a> {
    /// The packs of the catalogue and their keys.
    pub(crate) fn book(&self) -> PackBook<'a> {
        PackBook::new(self.keys, self.catalogue)
    }

    /// Reads sections of these packs for one job.
    pub(crate) fn sections<'s>(
        &self,
        book: &'s PackBook<'s>,
        reporter: &'s Reporter<'s>,
        cancel: &'s Cancel,
    ) -> SectionReader<'s>
    where
        'a: 's,
    {
        SectionReader {
            book,
            source: self.source,
            reporter,
            cancel,
        }
    }
}

/// Reads and opens sections.
pub(crate) struct SectionReader<'a> {
    /// Packs and their keys.
    pub(crate) book: &'a PackBook<'a>,
    /// Where bytes come from.
    pub(crate) source: &'a dyn PackSource,
    /// Where faults are told.
    pub(crate) reporter: &'a Reporter<'a>,
    /// Ends the job.
    pub(crate) cancel: &'a Cancel,
}

impl SectionReader<'_> {
    /// What the ranges of a pack depend on.
    pub(crate) fn shape(&self, record: &PackRecord) -> Shape {
        Shape {
            pack_len: record.len.0,
            shard_len: self.source.shard_len(record),
        }
    }

    /// Ranges of a pack, each complete.
    pub(crate) fn read(&self, record: &PackRecord, ranges: &[Range<u64>]) -> Result<Reading, SourceError> {
        if self.cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        let reading = self.source.read(record, ranges)?;
        let parts = &reading.parts;
        self.reporter
            .moved(parts.iter().map(|part| part.len() as u64).sum());
        let is_complete = parts.len() == ranges.len()
            && parts
                .iter()
                .zip(ranges)
                .all(|(part, range)| part.len() as u64 == range.end - range.start);
        if is_complete {
            Ok(reading)
        } else {
            Err(SourceError::Damaged {
                pack: record.id,
                host: reading.origin.host,
            })
        }
    }

    /// A section's plaintext. `first` is what was read of it, and where; when that does not open, it is read again, once at least and as
    /// long as there is another place.
    pub(crate) fn open(
        &self,
        pack: &OpenPack,
        index: u32,
        (first, mut origin): (&[u8], Origin),
    ) -> Result<Vec<u8>, ClaimFault> {
        let range = pack.range(index).ok_or(ClaimFault::False)?;
        let mut again;
        let mut sealed = first;
        for reading in 0..READINGS_MAX {
            match pack.open(index, sealed) {
                Ok(plain) => return Ok(plain),
                Err(BadSection::FalseClaim) => return Err(ClaimFault::False),
                Err(BadSection::WrongBytes) => {}
            }
            let has_other = self.source.distrust(&pack.record, origin);
            self.reporter.warn(Warning {
                kind: WarningKind::WrongBytes,
                path: Vec::new(),
                message: format!("section {index} of pack {} does not open", pack.record.id.short()),
                device: Some(pack.record.device),
                host: origin.host,
            });
            // Neighbours of this section may have brought about another source already, so a second reading is always worth it.
            if reading > 0 && !has_other {
                break;
            }
            let ranges = ranges::align(std::slice::from_ref(&range), self.shape(&pack.record));
            again = self.read(&pack.record, &ranges).map_err(ClaimFault::Source)?;
            origin = again.origin;
            sealed = ranges::slice(&ranges, &again.parts, &range).ok_or(ClaimFault::False)?;
        }
        Err(ClaimFault::Damaged(origin.host))
    }

    /// The chunk that a section is said to hold there, if it really is that chunk.
    pub(crate) fn prove<'p>(
        &self,
        id: &ChunkId,
        plain: &'p [u8],
        at: Range<usize>,
    ) -> Result<&'p [u8], ClaimFault> {
        match plain.get(at) {
            Some(bytes) if self.book.chunk_id(bytes) == *id => Ok(bytes),
            _ => Err(ClaimFault::False),
        }
    }

    /// Tells that a device's claim turned out false.
    pub(crate) fn accuse(&self, record: &PackRecord, what: &str) {
        self.reporter.warn(Warning {
            kind: WarningKind::FalseClaim,
            path: Vec::new(),
            message: format!(
                "device {} claims {what} in pack {}",
                record.device.short(),
                record.id.short()
            ),
            device: Some(record.device),
            host: None,
        });
    }
}
