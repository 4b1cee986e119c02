//! A shard on its way in: written in order, resumable after a crash, put in place only when its hash is right.
//!
//! How far it has come is kept beside it as a hint, unsynced: the hash over everything at the end decides, so a hint that a power cut
//! made wrong costs the transfer of one shard and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::slice::{Outboard, OutboardBuilder};
use nuthatch_format::{ByteCount, ShardId};

use super::layout::{Layout, NOTE};
use super::{Inner, ShardPlace, Vault, feed, read_label, shard_id};
use crate::atomic::{self, Access, At as _, FileError};
use crate::index::IndexError;
use crate::page_cache;

/// Bytes after which the progress is noted again: what a killed process lets be sent twice.
const PROGRESS_STEP: u64 = 1 << 20;
/// Unfinished shards that are kept for resuming; the oldest go first.
pub const PARTIALS_MAX: usize = 64;

/// Why a shard cannot begin to arrive.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The stripe has no shard of this number.
    #[error("the stripe has {total} shards, none is number {}", index.0)]
    NoSuchShard {
        /// The number that was asked for.
        index: ShardIndex,
        /// Shards of the stripe.
        total: usize,
    },
    /// There is no room for it on this disk.
    #[error("the disk is full")]
    DiskFull(#[source] FileError),
    /// A file failed.
    #[error(transparent)]
    File(FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<FileError> for BeginError {
    fn from(error: FileError) -> Self {
        if error.is_disk_full() {
            Self::DiskFull(error)
        } else {
            Self::File(error)
        }
    }
}

/// Why bytes could not be added to a shard.
#[derive(Debug, thiserror::Error)]
pub enum WriteShardError {
    /// Not the bytes that come next.
    #[error("bytes from {offset} on came when those from {expected} on were due")]
    OutOfOrder {
        /// Where these bytes begin.
        offset: u64,
        /// Where the next ones should.
        expected: u64,
    },
    /// More bytes than the label gives the shard.
    #[error("{end} bytes are more than the {shard_len} of this shard")]
    TooLong {
        /// Where these bytes end.
        end: u64,
        /// What the shard has.
        shard_len: u64,
    },
    /// There is no room left on this disk.
    #[error("the disk is full")]
    DiskFull(#[source] FileError),
    /// A file failed.
    #[error(transparent)]
    File(FileError),
}

impl From<FileError> for WriteShardError {
    fn from(error: FileError) -> Self {
        if error.is_disk_full() {
            Self::DiskFull(error)
        } else {
            Self::File(error)
        }
    }
}

/// Why a shard could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum FinishShardError {
    /// Bytes are still missing; what is there is kept.
    #[error("{missing} bytes are still missing")]
    Incomplete {
        /// How many bytes.
        missing: u64,
    },
    /// The bytes are not those of the shard: all were thrown away.
    #[error("the bytes are not those of {place}")]
    WrongHash {
        /// What they should have been.
        place: ShardPlace,
    },
    /// There is no room left on this disk.
    #[error("the disk is full")]
    DiskFull(#[source] FileError),
    /// A file failed.
    #[error(transparent)]
    File(FileError),
    /// The index failed; the shard itself is in place.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<FileError> for FinishShardError {
    fn from(error: FileError) -> Self {
        if error.is_disk_full() {
            Self::DiskFull(error)
        } else {
            Self::File(error)
        }
    }
}

/// How the arrival of a shard begins.
#[derive(Debug)]
pub enum Begin {
    /// It is here already, whole and synced.
    Have,
    /// It is arriving from somebody else at this moment.
    InWork,
    /// Part of it is here.
    Partial {
        /// Where the next bytes begin; more than 0.
        from: u64,
        /// Takes the rest.
        writer: ShardWriter,
    },
    /// Nothing of it is here.
    New {
        /// Takes it all.
        writer: ShardWriter,
    },
}

/// Takes the bytes of one shard. Dropping it keeps what arrived until the last note of progress.
#[derive(Debug)]
pub struct ShardWriter {
    vault: Arc<Inner>,
    place: ShardPlace,
    shard: ShardId,
    label: Vec<u8>,
    file: File,
    tree: OutboardBuilder,
    shard_len: u64,
    at: u64,
    noted: u64,
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        self.vault.in_work.lock().remove(&self.place);
    }
}

pub(super) fn begin(vault: &Vault, label: &SignedLabel, index: ShardIndex) -> Result<Begin, BeginError> {
    let total = label.label().shards.len();
    let shard = shard_id(label, index).ok_or(BeginError::NoSuchShard { index, total })?;
    let place = ShardPlace {
        archive: label.label().archive,
        label: label.id(),
        index,
    };
    let inner = &vault.inner;
    if !inner.in_work.lock().insert(place) {
        return Ok(Begin::InWork);
    }
    let known = || {
        inner.require_disk()?;
        inner.index()?.len(&place)
    };
    let opened = known().map_err(BeginError::from).and_then(|len| {
        if let Some(len) = len {
            if stands(inner, &place, len) {
                return Ok(None);
            }
            tracing::warn!(%place, "a shard or its label is gone from this disk and is taken again");
            inner.index()?.remove(&place)?;
        }
        make_room(inner)?;
        Ok(Some(open_partial(inner, &place, label.label().shard_len)?))
    });
    let (file, tree, from) = match opened {
        Ok(Some(partial)) => partial,
        not_opened => {
            inner.in_work.lock().remove(&place);
            return not_opened.map(|_| Begin::Have);
        }
    };
    let writer = ShardWriter {
        vault: Arc::clone(inner),
        place,
        shard,
        label: label.bytes().to_vec(),
        file,
        tree,
        shard_len: label.label().shard_len,
        at: from,
        noted: from,
    };
    Ok(if from == 0 {
        Begin::New { writer }
    } else {
        Begin::Partial { from, writer }
    })
}

/// Whether the files of a shard are as the index says, as far as a look without reading the shard tells. What is said to be here is not
/// sent again, so a host that lost it must find out.
fn stands(inner: &Inner, place: &ShardPlace, len: ByteCount) -> bool {
    let file = fs::metadata(inner.layout.shard(place));
    file.is_ok_and(|file| file.is_file() && file.len() == len.0)
        && read_label(&inner.layout, &place.archive, &place.label).is_ok_and(|label| label.is_some())
}

/// Opens what is there of a shard, with the hash tree so far and how much that is.
fn open_partial(
    inner: &Inner,
    place: &ShardPlace,
    shard_len: u64,
) -> Result<(File, OutboardBuilder, u64), FileError> {
    let path = inner.layout.partial(place);
    let noted = read_progress(&inner.layout.progress(place))?.min(shard_len);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(noted == 0)
        .mode(0o600)
        .open(&path)
        .at("open", &path)?;
    reserve(&file, shard_len).at("make room for", &path)?;
    let mut tree = OutboardBuilder::default();
    let there = feed(&mut file, noted, |bytes| tree.update(bytes)).at("read", &path)?;
    Ok((file, tree, there))
}

/// Reserves the whole length on the disk, where the file system can: a full disk is better found before the bytes travel.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if len > 0 {
        use rustix::io::Errno;
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(()),
            Err(Errno::NOTSUP | Errno::NOSYS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    file.set_len(len)
}

/// The noted number of bytes; 0 when there is no note, or it is not one.
fn read_progress(path: &Path) -> Result<u64, FileError> {
    let bytes = match atomic::read_file(path, 8) {
        Err(FileError::TooLong { .. }) => None,
        other => other?,
    };
    let number = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    Ok(number.map_or(0, u64::from_le_bytes))
}

/// Removes notes of progress that have lost their shard.
pub(super) fn sweep_notes(layout: &Layout) -> Result<(), FileError> {
    let dir = layout.partial_dir();
    for name in atomic::list(&dir)? {
        let path = dir.join(name);
        if path.extension().is_some_and(|extension| extension == NOTE) && !path.with_extension("").exists() {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// Removes the oldest unfinished shards that nobody is working on, so that a new one finds a place among [`PARTIALS_MAX`].
fn make_room(inner: &Inner) -> Result<(), FileError> {
    let dir = inner.layout.partial_dir();
    let in_work: Vec<_> = inner
        .in_work
        .lock()
        .iter()
        .map(|place| inner.layout.partial(place))
        .collect();
    let mut partials = Vec::new();
    for name in atomic::list(&dir)? {
        let path = dir.join(name);
        if path.extension().is_some_and(|extension| extension == NOTE) {
            continue;
        }
        let touched = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH);
        partials.push((touched, path));
    }
    partials.sort_unstable();
    let surplus_count = (partials.len() + 1).saturating_sub(PARTIALS_MAX);
    let idle = partials.into_iter().filter(|(_, path)| !in_work.contains(path));
    for (_, path) in idle.take(surplus_count) {
        atomic::remove_file(&path)?;
        atomic::remove_file(&path.with_added_extension(NOTE))?;
    }
    Ok(())
}

impl ShardWriter {
    /// The shard that this writes.
    pub fn place(&self) -> ShardPlace {
        self.place
    }

    /// Where the next bytes begin.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Adds the next bytes.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteShardError> {
        if offset != self.at {
            return Err(WriteShardError::OutOfOrder {
                offset,
                expected: self.at,
            });
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.shard_len {
            return Err(WriteShardError::TooLong {
                end,
                shard_len: self.shard_len,
            });
        }
        let path = self.vault.layout.partial(&self.place);
        self.file.write_all_at(bytes, offset).at("write", &path)?;
        self.tree.update(bytes);
        self.at = end;
        if self.at - self.noted >= PROGRESS_STEP {
            self.note_progress()?;
        }
        Ok(())
    }

    fn note_progress(&mut self) -> Result<(), FileError> {
        atomic::write_hint(&self.vault.layout.progress(&self.place), &self.at.to_le_bytes())?;
        self.noted = self.at;
        Ok(())
    }

    /// Keeps what has arrived, so that a later [`Vault::begin`] goes on from here.
    pub fn keep_partial(mut self) -> Result<(), WriteShardError> {
        Ok(self.note_progress()?)
    }

    fn remove_partial(&self) -> Result<(), FileError> {
        atomic::remove_file(&self.vault.layout.partial(&self.place))?;
        atomic::remove_file(&self.vault.layout.progress(&self.place))
    }

    /// Puts the shard in its place: verified, synced, renamed, its directory synced. After that it may be acknowledged.
    pub fn finish(mut self) -> Result<(), FinishShardError> {
        if self.at < self.shard_len {
            self.note_progress()?;
            return Err(FinishShardError::Incomplete {
                missing: self.shard_len - self.at,
            });
        }
        let tree = std::mem::take(&mut self.tree).finish();
        if tree.root() != self.shard {
            self.remove_partial()?;
            return Err(FinishShardError::WrongHash { place: self.place });
        }
        self.put_in_place(&tree)?;
        // A note without its shard is harmless; removing it needs no sync.
        let _ = fs::remove_file(self.vault.layout.progress(&self.place));
        Ok(())
    }

    fn put_in_place(&self, tree: &Outboard) -> Result<(), FinishShardError> {
        let layout = &self.vault.layout;
        let partial = layout.partial(&self.place);
        self.file.sync_all().at("sync", &partial)?;
        page_cache::let_go(&self.file, &(0..self.shard_len));
        let dir = layout.dir(&self.place.archive, &self.place.label);
        // The label and the shard appear together as far as `Vault::remove` can see, and the directory was made durable by whoever made
        // it before anybody else uses it.
        let _in_work = self.vault.in_work.lock();
        self.vault.require_disk()?;
        atomic::create_dir(&dir)?;
        let label = layout.label(&self.place.archive, &self.place.label);
        atomic::write_renamed(&label, &self.label, Access::Private)?;
        let shard = layout.shard(&self.place);
        fs::rename(&partial, &shard).at("put in place", &shard)?;
        self.vault.keep_tree(&self.place, tree);
        if let Err(error) = atomic::sync_dir(&dir) {
            // The file stands there, but must not be acknowledged.
            self.vault.index()?.distrust();
            return Err(error.into());
        }
        Ok(self.vault.index()?.put(&self.place, ByteCount(self.shard_len))?)
    }
}
