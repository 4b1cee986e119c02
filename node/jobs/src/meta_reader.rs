//! Reads chunks of metadata, one at a time, through a source. Keeps what lies beside them, since trees are stored in the order of the walk.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use nuthatch_disk::catalogue::{ChunkPlace, PackNumber};
use nuthatch_format::ChunkId;

use crate::content_reader::ChunkReader;
use crate::opener::{OpenPack, OpenPackError};
use crate::pack_source::Origin;
use crate::restore::ranges;
use crate::section_reader::{ChunkError, ClaimFault, SectionReader};

/// Bytes of a pack that are read when a section of it is needed.
const READ_AHEAD_LEN: u64 = 1024 * 1024;
/// Stretches of packs that are kept as they were read (count); each is at most 2.5 MiB.
const RAW_KEPT_MAX: usize = 2;
/// Opened sections that are kept (count); each is at most 1 MiB.
const PLAIN_KEPT_MAX: usize = 3;

/// A stretch of a pack as it was read.
struct Raw {
    pack: PackNumber,
    range: Range<u64>,
    bytes: Vec<u8>,
    origin: Origin,
}

/// An opened section.
struct Plain {
    pack: PackNumber,
    section: u32,
    bytes: Arc<Vec<u8>>,
}

/// Gives chunks of trees and lists.
pub(crate) struct MetaReader<'a> {
    sections: &'a SectionReader<'a>,
    raw: VecDeque<Raw>,
    plain: VecDeque<Plain>,
}

impl<'a> MetaReader<'a> {
    /// A reader with nothing kept yet.
    pub(crate) fn new(sections: &'a SectionReader<'a>) -> Self {
        Self {
            sections,
            raw: VecDeque::new(),
            plain: VecDeque::new(),
        }
    }

    /// What it reads with.
    pub(crate) fn sections(&self) -> &'a SectionReader<'a> {
        self.sections
    }

    /// Tries every claim of the chunk until one is true.
    fn fetch(&mut self, id: &ChunkId) -> Result<Vec<u8>, ChunkError> {
        self.sections.cancel.check()?;
        let mut error = ChunkError::Unknown;
        for place in self.sections.book.catalogue().lookup_all(id)? {
            match self.try_claim(id, &place)? {
                Ok(bytes) => return Ok(bytes),
                Err(fault) => error = error.or(fault.into()),
            }
        }
        Err(error)
    }

    /// The inner error is about this claim only.
    fn try_claim(
        &mut self,
        id: &ChunkId,
        place: &ChunkPlace,
    ) -> Result<Result<Vec<u8>, ClaimFault>, ChunkError> {
        let pack = match self.sections.book.pack(place.pack) {
            Ok(pack) => pack,
            Err(OpenPackError::Index(error)) => return Err(error.into()),
            Err(OpenPackError::Unknown) => return Ok(Err(ClaimFault::False)),
            Err(OpenPackError::Unusable { record, reason }) => {
                self.sections
                    .accuse(&record, &format!("an unusable directory ({reason})"));
                return Ok(Err(ClaimFault::False));
            }
        };
        let proven = self.section(&pack, place).and_then(|plain| {
            let at = place.offset as usize..place.offset as usize + place.len as usize;
            self.sections.prove(id, &plain, at).map(<[u8]>::to_vec)
        });
        if matches!(proven, Err(ClaimFault::False)) {
            self.sections.accuse(&pack.record, "a chunk that is not");
        }
        Ok(proven)
    }

    fn section(&mut self, pack: &OpenPack, place: &ChunkPlace) -> Result<Arc<Vec<u8>>, ClaimFault> {
        let is_it = |plain: &&Plain| plain.pack == place.pack && plain.section == place.section;
        if let Some(plain) = self.plain.iter().find(is_it) {
            return Ok(Arc::clone(&plain.bytes));
        }
        let range = pack.range(place.section).ok_or(ClaimFault::False)?;
        let (sealed, origin) = self.raw(pack, place.pack, &range)?;
        let plain = Arc::new(self.sections.open(pack, place.section, (&sealed, origin))?);
        if self.plain.len() >= PLAIN_KEPT_MAX {
            self.plain.pop_front();
        }
        self.plain.push_back(Plain {
            pack: place.pack,
            section: place.section,
            bytes: Arc::clone(&plain),
        });
        Ok(plain)
    }

    /// Sealed bytes of a section, from what is kept or from the source.
    fn raw(
        &mut self,
        pack: &OpenPack,
        number: PackNumber,
        wanted: &Range<u64>,
    ) -> Result<(Vec<u8>, Origin), ClaimFault> {
        let cut = |raw: &Raw| {
            let from = wanted.start.checked_sub(raw.range.start)? as usize;
            let sealed = raw.bytes.get(from..from + (wanted.end - wanted.start) as usize)?;
            Some((sealed.to_vec(), raw.origin))
        };
        if let Some(sealed) = self.raw.iter().filter(|raw| raw.pack == number).find_map(cut) {
            return Ok(sealed);
        }
        let shape = self.sections.shape(&pack.record);
        let end = wanted
            .end
            .max(wanted.start + READ_AHEAD_LEN)
            .min(pack.record.len.0);
        let ranges = ranges::align(std::slice::from_ref(&(wanted.start..end)), shape);
        let read = self
            .sections
            .read(&pack.record, &ranges)
            .map_err(ClaimFault::Source)?;
        let mut found = None;
        for (range, bytes) in ranges.into_iter().zip(read.parts) {
            let raw = Raw {
                pack: number,
                range,
                bytes,
                origin: read.origin,
            };
            found = found.or_else(|| cut(&raw));
            if self.raw.len() >= RAW_KEPT_MAX {
                self.raw.pop_front();
            }
            self.raw.push_back(raw);
        }
        found.ok_or(ClaimFault::False)
    }
}

impl ChunkReader for MetaReader<'_> {
    type Error = ChunkError;

    fn chunk(&mut self, id: &ChunkId) -> Result<Vec<u8>, ChunkError> {
        self.fetch(id)
    }
}
