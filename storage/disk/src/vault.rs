//! The vault: the shards that a host keeps for others, each a plain file beside its signed label.
//!
//! It keeps what it is told to keep: whether the label is believed, the archive has room and the asker may have the bytes was decided
//! before. What it does check is that a finished shard has exactly the bytes that its label names. The files are the truth; the index
//! beside them is made from them.

mod attachment;
mod index;
mod layout;
mod scan;
mod slices;
mod upload;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::label::{SIGNED_LABEL_LEN_MAX, SignedLabel};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, ShardId};
use parking_lot::Mutex;

pub use index::{Holding, Usage};
pub use layout::ShardPlace;
pub use slices::{ReadSlice, SliceShardError};
pub use upload::{Begin, BeginError, FinishShardError, PARTIALS_MAX, ShardWriter, WriteShardError};

use crate::atomic::{self, At as _, FileError};
use crate::index::IndexError;
use crate::page_cache;
use attachment::Attachment;
use index::VaultIndex;
use layout::Layout;

/// Bytes that are read and hashed at a time.
const READ_LEN: usize = 256 << 10;

/// Why the vault could not be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl VaultError {
    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::File(error) => error.is_disk_full(),
            Self::Index(error) => error.is_disk_full(),
        }
    }
}

/// Why bytes of a shard could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadShardError {
    /// This vault has no such shard.
    #[error("{place} is not here")]
    NotFound {
        /// The shard that was asked for.
        place: ShardPlace,
    },
    /// The range does not lie in the shard.
    #[error("bytes {offset}..{offset}+{len} do not lie in {place}, which has {shard_len}")]
    OutOfRange {
        /// The shard.
        place: ShardPlace,
        /// Where the range begins.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// What the shard has.
        shard_len: u64,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a look at every byte of a shard found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    /// Its bytes are those that its label names.
    Sound,
    /// They are not, or can't be read, or its label is gone: it is of no use.
    Damaged,
    /// There is no such shard.
    Missing,
}

/// An open vault. Clones share it.
#[derive(Debug, Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    attachment: Attachment,
    /// Shards that are arriving now, and those that are being removed: one at a time each.
    in_work: Mutex<BTreeSet<ShardPlace>>,
}

impl Inner {
    fn index(&self) -> Result<Arc<VaultIndex>, IndexError> {
        self.attachment.index()
    }

    /// Right before something is written: the disk may have gone since the last look.
    fn require_disk(&self) -> Result<(), IndexError> {
        match self.attachment.look(&self.layout) {
            Ok(true) => Ok(()),
            Ok(false) => Err(IndexError::Detached),
            Err(VaultError::Index(error)) => Err(error),
            Err(VaultError::File(error)) => Err(error.into()),
        }
    }
}

/// Begins an empty vault, or opens what is there. After a crash it reads all directories and labels once.
fn open_index(layout: &Layout) -> Result<VaultIndex, VaultError> {
    atomic::create_dir(layout.root())?;
    atomic::create_dir(&layout.partial_dir())?;
    atomic::sweep(&layout.partial_dir())?;
    upload::sweep_notes(layout)?;
    VaultIndex::open(&layout.index(), |sink| scan::scan(layout, sink))
}

impl Vault {
    /// Opens the vault in this directory, or begins an empty one; it is taken for granted that its disk is there.
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        let layout = Layout::new(dir);
        let attachment = Attachment::always(&layout)?;
        Ok(Self::with(layout, attachment))
    }

    /// Opens the vault in this directory, on a disk that may not be connected: a marker in it decides, which `remembered`, a file
    /// elsewhere, names. Both are made when `remembered` is missing, with this random id. Where the disk is away nothing is written.
    pub fn open_on_disk(dir: &Path, remembered: &Path, id: [u8; 16]) -> Result<Self, VaultError> {
        let layout = Layout::new(dir);
        let attachment = Attachment::of_home(&layout, remembered, id)?;
        Ok(Self::with(layout, attachment))
    }

    fn with(layout: Layout, attachment: Attachment) -> Self {
        Self {
            inner: Arc::new(Inner {
                layout,
                attachment,
                in_work: Mutex::new(BTreeSet::new()),
            }),
        }
    }

    /// Looks whether its disk is there, and says so. A disk that is back is opened again.
    pub fn look(&self) -> Result<bool, VaultError> {
        self.inner.attachment.look(&self.inner.layout)
    }

    /// Whether its disk was there at the last look.
    pub fn is_attached(&self) -> bool {
        self.inner.index().is_ok()
    }

    /// The shard behind another in the order of names, of all archives; the first one behind none.
    pub fn next_shard(
        &self,
        after: Option<&ShardPlace>,
    ) -> Result<Option<(ShardPlace, ByteCount)>, VaultError> {
        Ok(self.inner.index()?.next(after)?)
    }

    /// Begins or resumes the arrival of one shard. `label` was verified and is believed; its place in the vault is reserved on the
    /// disk, so a full disk shows here.
    pub fn begin(&self, label: &SignedLabel, index: ShardIndex) -> Result<Begin, BeginError> {
        upload::begin(self, label, index)
    }

    /// Whether this shard is here, whole.
    pub fn has(&self, place: &ShardPlace) -> Result<bool, VaultError> {
        Ok(self.inner.index()?.len(place)?.is_some())
    }

    /// The length of a shard that is here.
    pub fn len(&self, place: &ShardPlace) -> Result<Option<ByteCount>, VaultError> {
        Ok(self.inner.index()?.len(place)?)
    }

    /// Which shards of a stripe are here, in order.
    pub fn stripe(&self, archive: &ArchiveId, label: &LabelId) -> Result<Vec<ShardIndex>, VaultError> {
        let place = |index| ShardPlace {
            archive: *archive,
            label: *label,
            index: ShardIndex(index),
        };
        let holdings = self.inner.index()?.range(&place(0), &place(u8::MAX), 256)?;
        Ok(holdings.into_iter().map(|holding| holding.index).collect())
    }

    /// Bytes of a shard. They are as the disk gives them: the asker verifies them.
    pub fn read_range(&self, place: &ShardPlace, offset: u64, len: u64) -> Result<Vec<u8>, ReadShardError> {
        let (file, shard_len) = self.open_shard(place)?;
        if offset.checked_add(len).is_none_or(|end| end > shard_len) {
            return Err(ReadShardError::OutOfRange {
                place: *place,
                offset,
                len,
                shard_len,
            });
        }
        let path = self.inner.layout.shard(place);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset).at("read", &path)?;
        Ok(bytes)
    }

    fn open_shard(&self, place: &ShardPlace) -> Result<(File, u64), ReadShardError> {
        let path = self.inner.layout.shard(place);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadShardError::NotFound { place: *place });
            }
            other => other.at("open", &path)?,
        };
        let len = file.metadata().at("look at", &path)?.len();
        Ok((file, len))
    }

    /// The shards of an archive whose label begins with the byte `prefix`, in the order of inventories (label, then index), after a
    /// given one, at most `limit`.
    pub fn holdings(
        &self,
        archive: &ArchiveId,
        prefix: u8,
        after: Option<(LabelId, ShardIndex)>,
        limit: usize,
    ) -> Result<Vec<Holding>, VaultError> {
        let mut first_label = [0; LabelId::LEN];
        first_label[0] = prefix;
        let mut last_label = [u8::MAX; LabelId::LEN];
        last_label[0] = prefix;
        let place = |label, index| ShardPlace {
            archive: *archive,
            label,
            index,
        };
        let first = place(LabelId::from_bytes(first_label), ShardIndex(0));
        let last = place(LabelId::from_bytes(last_label), ShardIndex(u8::MAX));
        let from = match after {
            Some((label, index)) if place(label, index) > first => place(label, index),
            _ => first,
        };
        if from > last {
            return Ok(Vec::new());
        }
        let mut holdings = self.inner.index()?.range(&from, &last, limit.saturating_add(1))?;
        holdings.retain(|holding| after.is_none_or(|after| (holding.label, holding.index) > after));
        holdings.truncate(limit);
        Ok(holdings)
    }

    /// What is kept for an archive.
    pub fn usage(&self, archive: &ArchiveId) -> Usage {
        self.usages()
            .into_iter()
            .find(|(id, _)| id == archive)
            .map(|(_, usage)| usage)
            .unwrap_or_default()
    }

    /// What is kept for each archive that has anything here.
    pub fn usages(&self) -> Vec<(ArchiveId, Usage)> {
        self.inner.attachment.usages()
    }

    /// Bytes of shards that are kept in all.
    pub fn total(&self) -> ByteCount {
        let add = |sum: ByteCount, (_, usage): &(ArchiveId, Usage)| sum.saturating_add(usage.bytes);
        self.usages().iter().fold(ByteCount::ZERO, add)
    }

    /// The label of a stripe of which something is here; `None` when there is none or its file no longer has that id.
    pub fn label(&self, archive: &ArchiveId, label: &LabelId) -> Result<Option<SignedLabel>, VaultError> {
        Ok(read_label(&self.inner.layout, archive, label)?)
    }

    /// Looks at every byte of a shard. Removes nothing.
    pub fn scrub(&self, place: &ShardPlace) -> Result<Soundness, VaultError> {
        let mut file = match self.open_shard(place) {
            Ok((file, _)) => file,
            Err(ReadShardError::File(error)) => return Err(error.into()),
            Err(ReadShardError::NotFound { .. } | ReadShardError::OutOfRange { .. }) => {
                return Ok(Soundness::Missing);
            }
        };
        let label = self.label(&place.archive, &place.label)?;
        let Some(expected) = label.and_then(|label| shard_id(&label, place.index)) else {
            return Ok(Soundness::Damaged);
        };
        let path = self.inner.layout.shard(place);
        let mut hasher = blake3::Hasher::new();
        let hashed = feed(&mut file, u64::MAX, |bytes| {
            hasher.update(bytes);
        });
        page_cache::let_go(&file, &(0..*hashed.as_ref().unwrap_or(&0)));
        match hashed.at("read", &path) {
            Err(error) if atomic::is_of_one_file(&error) => return Ok(Soundness::Damaged),
            other => other?,
        };
        Ok(
            if ShardId::from_bytes(*hasher.finalize().as_bytes()) == expected {
                Soundness::Sound
            } else {
                Soundness::Damaged
            },
        )
    }

    /// Removes a shard, and its label with the last shard of the stripe. One that is not here is no error.
    pub fn remove(&self, place: &ShardPlace) -> Result<(), VaultError> {
        let layout = &self.inner.layout;
        self.inner.require_disk()?;
        // No shard of the stripe is put in place between the look at what is left and the removal of the label.
        let _in_work = self.inner.in_work.lock();
        for path in [layout.tree(place), layout.shard(place)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.at("remove", &path)?,
            }
        }
        self.inner.index()?.remove(place)?;
        if self.stripe(&place.archive, &place.label)?.is_empty() {
            let path = layout.label(&place.archive, &place.label);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.at("remove", &path)?,
            }
        }
        let dir = layout.dir(&place.archive, &place.label);
        if dir.is_dir() {
            atomic::sync_dir(&dir)?;
        }
        Ok(())
    }
}

/// The hash that a label gives one of its shards.
fn shard_id(label: &SignedLabel, index: ShardIndex) -> Option<ShardId> {
    label.label().shard(index)
}

fn read_label(layout: &Layout, archive: &ArchiveId, id: &LabelId) -> Result<Option<SignedLabel>, FileError> {
    let path = layout.label(archive, id);
    let bytes = match atomic::read_file(&path, SIGNED_LABEL_LEN_MAX as u64) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) if atomic::is_of_one_file(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let parsed = SignedLabel::parse(&bytes).ok();
    Ok(parsed.filter(|label| label.id() == *id && label.label().archive == *archive))
}

/// Gives up to `len` bytes of a file to `take`, a little at a time; answers how many there were.
fn feed(file: &mut File, len: u64, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; READ_LEN];
    let mut source = file.take(len);
    let mut done = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(done),
            Ok(count) => {
                take(buffer.get(..count).unwrap_or_default());
                done += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
