//! Opens sections of packs and proves chunks. Keeps the keys of the packs used last; fetches nothing.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::{Catalogue, PackNumber, PackRecord};
use nuthatch_format::ChunkId;
use nuthatch_format::keys::ReaderKeys;
use nuthatch_format::open::PackKey;
use nuthatch_format::pack::{PackDirectory, SectionEntry};
use parking_lot::Mutex;

/// Packs whose keys and directories are kept ready (count).
const PACKS_KEPT_MAX: usize = 8;

/// A pack with what is needed to open its sections.
#[derive(Debug)]
pub(crate) struct OpenPack {
    /// What the journal says of it.
    pub(crate) record: PackRecord,
    /// Its sections and chunks, as its device claims.
    pub(crate) directory: PackDirectory,
    key: PackKey,
}

/// Why a pack cannot be opened at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenPackError {
    /// The index of packs failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The catalogue has a chunk in a pack that it does not have.
    #[error("the catalogue does not know the pack")]
    Unknown,
    /// Its journal entry is not one that these keys can use: its device claimed what is not so.
    #[error("the pack's journal entry is unusable: {reason}")]
    Unusable {
        /// The device that wrote it.
        record: Box<PackRecord>,
        /// Why.
        reason: String,
    },
}

/// Bytes that are not the section that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadSection {
    /// Not what was sealed: damaged on the way or at rest.
    WrongBytes,
    /// Sealed so: its device claimed what is not so.
    FalseClaim,
}

impl OpenPack {
    /// A section's entry.
    pub(crate) fn section(&self, index: u32) -> Option<&SectionEntry> {
        self.directory.sections.get(index as usize)
    }

    /// Where a section's sealed bytes lie in the pack.
    pub(crate) fn range(&self, index: u32) -> Option<Range<u64>> {
        let entry = self.section(index)?;
        let start = u64::from(entry.offset);
        Some(start..start + u64::from(entry.stored_len))
    }

    /// A section's plaintext.
    pub(crate) fn open(&self, index: u32, sealed: &[u8]) -> Result<Vec<u8>, BadSection> {
        use nuthatch_format::open::SectionError;
        self.key
            .open_section(&self.directory, index, sealed)
            .map_err(|error| match error {
                SectionError::Damaged { .. } => BadSection::WrongBytes,
                SectionError::NoSuchSection { .. }
                | SectionError::Length { .. }
                | SectionError::Content { .. } => BadSection::FalseClaim,
            })
    }
}

/// Packs that can be opened, by number.
pub(crate) struct PackBook<'a> {
    keys: &'a ReaderKeys,
    catalogue: &'a Catalogue,
    kept: Mutex<VecDeque<(PackNumber, Arc<OpenPack>)>>,
}

impl<'a> PackBook<'a> {
    /// A book with nothing in it yet.
    pub(crate) fn new(keys: &'a ReaderKeys, catalogue: &'a Catalogue) -> Self {
        Self {
            keys,
            catalogue,
            kept: Mutex::new(VecDeque::new()),
        }
    }

    /// The index that says where chunks are.
    pub(crate) fn catalogue(&self) -> &'a Catalogue {
        self.catalogue
    }

    /// The name that a chunk of these bytes has.
    pub(crate) fn chunk_id(&self, bytes: &[u8]) -> ChunkId {
        self.keys.writer.chunk_id(bytes)
    }

    /// The pack of this number.
    pub(crate) fn pack(&self, number: PackNumber) -> Result<Arc<OpenPack>, OpenPackError> {
        let found = self
            .kept
            .lock()
            .iter()
            .find(|(kept, _)| *kept == number)
            .map(|(_, pack)| Arc::clone(pack));
        if let Some(pack) = found {
            return Ok(pack);
        }
        let pack = Arc::new(self.open(number)?);
        let mut kept = self.kept.lock();
        if kept.len() >= PACKS_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((number, Arc::clone(&pack)));
        Ok(pack)
    }

    fn open(&self, number: PackNumber) -> Result<OpenPack, OpenPackError> {
        let record = self.catalogue.pack(number)?.ok_or(OpenPackError::Unknown)?;
        match self.parts(&record) {
            Ok((directory, key)) => Ok(OpenPack {
                record,
                directory,
                key,
            }),
            Err(reason) => Err(OpenPackError::Unusable {
                record: Box::new(record),
                reason,
            }),
        }
    }

    fn parts(&self, record: &PackRecord) -> Result<(PackDirectory, PackKey), String> {
        let header = nuthatch_format::pack::read_header(&record.header).map_err(|error| error.to_string())?;
        let directory =
            nuthatch_format::codec::decode(&record.directory).map_err(|error| error.to_string())?;
        let key = self.keys.pack_key(&header).map_err(|error| error.to_string())?;
        Ok((directory, key))
    }
}
