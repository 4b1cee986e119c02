//! Which chunks of a file have to be fetched: what is right on disk already is not.

use std::collections::BTreeSet;
use std::sync::Arc;

use nuthatch_disk::catalogue::ChunkPlace;
use nuthatch_disk::target::{Beginning, Standing, TargetDir, TargetError, TargetFile};
use nuthatch_format::tree::{Entry, EntryKind};
use nuthatch_format::{ChunkId, DeviceId};

use super::files::{FileJob, Files};
use super::plan::Want;
use crate::cancel::Cancel;
use crate::content_reader::ChunkReader;
use crate::meta_reader::MetaReader;
use crate::opener::PackBook;
use crate::section_reader::ChunkError;

/// Bytes of a standing file that are read at a time.
const STEP: u64 = 1024 * 1024;

/// What stands where a file goes.
pub(crate) enum Existing {
    /// Nothing of use.
    Nothing,
    /// What an earlier restore left unfinished.
    Unfinished(Arc<TargetFile>),
    /// A whole file of the right size; nothing of it was found wrong so far.
    Right(TargetFile),
    /// A whole file that is wrong somewhere; what is right of it is copied.
    Wrong(TargetFile),
}

/// Why planning of a file stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanFault {
    /// A chunk or a list of chunks cannot be had.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The target failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The lengths do not add up: somebody claimed what is not so.
    #[error("the lengths of its parts do not add up")]
    Lengths,
}

/// Plans one file, chunk by chunk in order.
pub(crate) struct FilePlan<'p> {
    /// The file.
    pub(crate) job: &'p Arc<FileJob>,
    /// What is there.
    pub(crate) existing: Existing,
    /// Data planned so far, in bytes.
    pub(crate) planned: u64,
}

/// Where chunks are said to be, and who is believed.
pub(crate) struct Claims<'c, 'a> {
    /// Gets a chunk, to see for itself.
    pub(crate) meta: &'c mut MetaReader<'a>,
    /// Devices that gave a chunk a length that it has not.
    pub(crate) liars: &'c mut BTreeSet<DeviceId>,
}

impl Claims<'_, '_> {
    /// The first place of a chunk that can be true. What follows in a file depends on the chunk's length: where places disagree about
    /// it, the chunk itself is asked, and whoever said otherwise is not asked again. So a device's false claims cost time and no file.
    fn place(&mut self, id: &ChunkId) -> Result<ChunkPlace, PlanFault> {
        let book = self.meta.sections().book;
        let places = book.catalogue().lookup_all(id).map_err(ChunkError::from)?;
        if let Some(first) = one_length(places.iter()) {
            return Ok(*first);
        }
        if places.is_empty() {
            return Err(ChunkError::Unknown.into());
        }
        let device = |place: &ChunkPlace| Some(book.pack(place.pack).ok()?.record.device);
        let is_believed = |place: &&ChunkPlace| device(place).is_some_and(|who| !self.liars.contains(&who));
        if let Some(first) = one_length(places.iter().filter(is_believed)) {
            return Ok(*first);
        }
        let len = self.meta.chunk(id)?.len() as u64;
        let (right, wrong): (Vec<_>, Vec<_>) = places.iter().partition(|place| u64::from(place.len) == len);
        self.liars.extend(wrong.into_iter().filter_map(device));
        right.first().map(|place| **place).ok_or(PlanFault::Lengths)
    }
}

/// The first of these places, if all of them say the same length.
fn one_length<'c>(mut places: impl Iterator<Item = &'c ChunkPlace>) -> Option<&'c ChunkPlace> {
    let first = places.next()?;
    places.all(|other| other.len == first.len).then_some(first)
}

/// What to do about the next chunk.
pub(crate) enum Next {
    /// It is there.
    Have,
    /// Fetch it; the slot is not set yet.
    Want(Want),
}

impl FilePlan<'_> {
    /// Decides about the next chunk.
    pub(crate) fn chunk(
        &mut self,
        id: &ChunkId,
        claims: &mut Claims<'_, '_>,
        files: &Files<'_>,
    ) -> Result<Next, PlanFault> {
        let book = claims.meta.sections().book;
        let place = claims.place(id)?;
        let data = self.planned;
        self.planned += u64::from(place.len);
        if self.planned > self.job.segments.data_len() {
            return Err(PlanFault::Lengths);
        }
        if self.is_there(id, data, place.len, book, files)? {
            return Ok(Next::Have);
        }
        Ok(Next::Want(Want {
            id: *id,
            pack: place.pack,
            section: place.section,
            offset: place.offset,
            len: place.len,
            slot: 0,
        }))
    }

    /// Whether a chunk is right on disk, and copied where it has to be.
    fn is_there(
        &mut self,
        id: &ChunkId,
        data: u64,
        len: u32,
        book: &PackBook<'_>,
        files: &Files<'_>,
    ) -> Result<bool, PlanFault> {
        let bytes = match &self.existing {
            Existing::Nothing => return Ok(false),
            Existing::Unfinished(file) => self.read(file, data, len)?,
            Existing::Right(file) | Existing::Wrong(file) => self.read(file, data, len)?,
        };
        let is_right = book.chunk_id(&bytes) == *id;
        match std::mem::replace(&mut self.existing, Existing::Nothing) {
            Existing::Right(file) if !is_right => {
                self.copy_until(&file, data, files)?;
                self.existing = Existing::Wrong(file);
            }
            Existing::Wrong(file) => {
                if is_right {
                    files.write(self.job, data, &bytes)?;
                }
                self.existing = Existing::Wrong(file);
            }
            other => self.existing = other,
        }
        Ok(is_right)
    }

    fn read(&self, file: &TargetFile, data: u64, len: u32) -> Result<Vec<u8>, TargetError> {
        let mut bytes = vec![0; len as usize];
        for (offset, from, count) in self.job.segments.locate(data, u64::from(len)) {
            if let Some(space) = bytes.get_mut(from..from + count) {
                file.read_at(offset, space)?;
            }
        }
        Ok(bytes)
    }

    /// Copies the beginning of a file that turned out wrong further on.
    fn copy_until(&self, file: &TargetFile, end: u64, files: &Files<'_>) -> Result<(), TargetError> {
        let mut data = 0;
        while data < end {
            let len = STEP.min(end - data) as u32;
            let bytes = self.read(file, data, len)?;
            files.write(self.job, data, &bytes)?;
            data += u64::from(len);
        }
        Ok(())
    }
}

/// What stands where the file goes, as far as it can be of use.
pub(crate) fn existing(
    dir: &TargetDir,
    job: &Arc<FileJob>,
    entry: &Entry,
    files: &Files<'_>,
    cancel: &Cancel,
) -> Result<Existing, TargetError> {
    let name = &job.spot.name;
    let holes: &[(u64, u64)] = match &entry.kind {
        EntryKind::File { holes, .. } => holes,
        _ => &[],
    };
    if dir.has_unfinished(name)? {
        if !holes.is_empty() {
            // What was left may have data where there must be holes.
            drop(dir.create_file(name, job.size, Beginning::Fresh)?);
            return Ok(Existing::Nothing);
        }
        return Ok(Existing::Unfinished(files.open(job)?));
    }
    match dir.standing(name)? {
        Standing::File { size, names, .. } if size == job.size => {
            // Not readable: it is replaced.
            let Ok(file) = dir.open_standing(name) else {
                return Ok(Existing::Nothing);
            };
            // Other names of the file are not ours to change: this one gets a file of its own.
            let is_shared = names > 1 && entry.hard_link.is_none();
            if is_shared || !holes_are_empty(&file, holes, cancel)? {
                return Ok(Existing::Wrong(file));
            }
            Ok(Existing::Right(file))
        }
        _ => Ok(Existing::Nothing),
    }
}

/// Whether a file reads as zeros wherever holes have to be. A job that was told to stop learns that at its next step.
fn holes_are_empty(file: &TargetFile, holes: &[(u64, u64)], cancel: &Cancel) -> Result<bool, TargetError> {
    let mut bytes = Vec::new();
    for (offset, len) in holes {
        let end = offset.saturating_add(*len);
        let mut at = *offset;
        while let Some(data) = file.next_data(at)?.filter(|data| *data < end) {
            if cancel.is_cancelled() {
                return Ok(false);
            }
            bytes.resize(STEP.min(end - data) as usize, 0);
            let count = file.read_at(data, &mut bytes)?;
            if bytes.iter().take(count).any(|byte| *byte != 0) {
                return Ok(false);
            }
            at = data + bytes.len() as u64;
        }
    }
    Ok(true)
}
