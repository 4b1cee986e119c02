//! Staging: sealed packs that wait on our own disk until hosts have signed for them, and parity shards computed for them.
//!
//! A pack is the only copy of what it holds until hosts have it, so it is synced before it is acknowledged; parity can be computed
//! again, so it is not synced and gives way when room is needed. Within its bound it takes what comes; beyond, it refuses.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nuthatch_erasure::ShardIndex;
use nuthatch_format::padding::PACK_LEN;
use nuthatch_format::seal::SealedPack;
use nuthatch_format::{ByteCount, LabelId, PackId};
use parking_lot::Mutex;

use crate::atomic::{self, Access, At as _, FileError};

/// Longest pack, and so longest parity shard, that is read back, in bytes.
const PACK_LEN_MAX: u64 = PACK_LEN as u64;
const PACK_SUFFIX: &str = ".pack";

/// Why a pack could not be staged.
#[derive(Debug, thiserror::Error)]
pub enum StagePackError {
    /// Staging has no room for it: wait until hosts have taken packs, or raise the bound.
    #[error("staging holds {used} of at most {bound}")]
    Full {
        /// What it holds.
        used: ByteCount,
        /// What it may hold.
        bound: ByteCount,
    },
    /// The disk is full before the bound is reached.
    #[error("the disk is full")]
    DiskFull(#[source] FileError),
    /// A file failed.
    #[error(transparent)]
    File(FileError),
}

impl From<FileError> for StagePackError {
    fn from(error: FileError) -> Self {
        if error.is_disk_full() {
            Self::DiskFull(error)
        } else {
            Self::File(error)
        }
    }
}

/// Why a staged pack could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadPackError {
    /// It is not in staging.
    #[error("pack {} is not in staging", pack.short())]
    NotFound {
        /// The pack.
        pack: PackId,
    },
    /// Its bytes are no longer those that were sealed: it must be made again from the files, or fetched from hosts.
    #[error("pack {} is damaged on this disk", pack.short())]
    Damaged {
        /// The pack.
        pack: PackId,
    },
    /// The range does not lie in the pack.
    #[error("bytes {offset}..{offset}+{len} do not lie in pack {}", pack.short())]
    OutOfRange {
        /// The pack.
        pack: PackId,
        /// Where the range begins.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A pack in staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagedPack {
    /// The pack.
    pub id: PackId,
    /// Its length.
    pub len: ByteCount,
}

/// Open staging of one archive.
#[derive(Debug)]
pub struct Staging {
    packs_dir: PathBuf,
    parity_dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bound: u64,
    packs: BTreeMap<PackId, u64>,
    parity: BTreeMap<(LabelId, ShardIndex), u64>,
    /// Bytes of packs, with those that are being written.
    pack_bytes: u64,
    parity_bytes: u64,
}

impl Staging {
    /// Opens the staging in this directory, or begins an empty one, with a bound for all its bytes.
    pub fn open(dir: &Path, bound: ByteCount) -> Result<Self, FileError> {
        let packs_dir = dir.join("packs");
        let parity_dir = dir.join("parity");
        let mut state = State {
            bound: bound.0,
            packs: BTreeMap::new(),
            parity: BTreeMap::new(),
            pack_bytes: 0,
            parity_bytes: 0,
        };
        for dir in [&packs_dir, &parity_dir] {
            atomic::create_dir(dir)?;
            atomic::sweep(dir)?;
        }
        // What is found here counts as staged, though the process that staged it may have been killed before it said so.
        atomic::sync_dir(&packs_dir)?;
        for name in atomic::list(&packs_dir)? {
            if let Some(id) = name
                .to_str()
                .and_then(|name| name.strip_suffix(PACK_SUFFIX)?.parse().ok())
            {
                let path = packs_dir.join(&name);
                let len = fs::metadata(&path).at("look at", &path)?.len();
                state.packs.insert(id, len);
                state.pack_bytes += len;
            }
        }
        // Unsynced, so what an earlier process left may be anything.
        for name in atomic::list(&parity_dir)? {
            let path = parity_dir.join(name);
            fs::remove_file(&path).at("remove", &path)?;
        }
        Ok(Self {
            packs_dir,
            parity_dir,
            state: Mutex::new(state),
        })
    }

    /// Changes the bound. What is there already stays.
    pub fn set_bound(&self, bound: ByteCount) {
        self.state.lock().bound = bound.0;
    }

    /// Stages a pack: when this returns it is on the disk. One that is there already is no error.
    pub fn put_pack(&self, pack: &SealedPack) -> Result<(), StagePackError> {
        self.put_pack_bytes(&pack.id, &pack.bytes)
    }

    /// As [`Staging::put_pack`], for a pack that was fetched or rebuilt; the caller has checked that these are its bytes.
    pub fn put_pack_bytes(&self, id: &PackId, bytes: &[u8]) -> Result<(), StagePackError> {
        let len = bytes.len() as u64;
        {
            let mut state = self.state.lock();
            if state.packs.contains_key(id) {
                return Ok(());
            }
            self.make_room(&mut state, len)?;
            state.pack_bytes += len;
        }
        let written = atomic::write_file(&self.pack_path(id), bytes, Access::Private);
        let mut state = self.state.lock();
        match written {
            Ok(()) => {
                if state.packs.insert(*id, len).is_some() {
                    // Somebody else staged the same pack meanwhile: its bytes count once.
                    state.pack_bytes -= len;
                }
                Ok(())
            }
            Err(error) => {
                state.pack_bytes -= len;
                Err(error.into())
            }
        }
    }

    /// Lets go of parity, as much as needed, and refuses when that is not enough.
    fn make_room(&self, state: &mut State, len: u64) -> Result<(), StagePackError> {
        if state.pack_bytes.saturating_add(len) > state.bound {
            return Err(StagePackError::Full {
                used: ByteCount(state.pack_bytes),
                bound: ByteCount(state.bound),
            });
        }
        while state.pack_bytes + state.parity_bytes + len > state.bound {
            let Some(((label, index), parity_len)) = state.parity.pop_first() else {
                break;
            };
            state.parity_bytes -= parity_len;
            atomic::remove_hint(&self.parity_path(&label, index))?;
        }
        Ok(())
    }

    /// Whether a pack of this length would find room now.
    pub fn has_room(&self, len: ByteCount) -> bool {
        let state = self.state.lock();
        state.pack_bytes.saturating_add(len.0) <= state.bound
    }

    /// Bytes of packs and parity that are held.
    pub fn used(&self) -> ByteCount {
        let state = self.state.lock();
        ByteCount(state.pack_bytes + state.parity_bytes)
    }

    /// Whether a pack is here.
    pub fn contains(&self, id: &PackId) -> bool {
        self.state.lock().packs.contains_key(id)
    }

    /// All packs that are here, in the order of their ids.
    pub fn list(&self) -> Vec<StagedPack> {
        let state = self.state.lock();
        let staged = |(id, len): (&PackId, &u64)| StagedPack {
            id: *id,
            len: ByteCount(*len),
        };
        state.packs.iter().map(staged).collect()
    }

    /// A whole pack, its hash checked.
    pub fn read(&self, id: &PackId) -> Result<Vec<u8>, ReadPackError> {
        let bytes = match atomic::read_file(&self.pack_path(id), PACK_LEN_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(ReadPackError::NotFound { pack: *id }),
            Err(FileError::TooLong { .. }) => return Err(ReadPackError::Damaged { pack: *id }),
            Err(error) => return Err(error.into()),
        };
        if PackId::from_bytes(*blake3::hash(&bytes).as_bytes()) != *id {
            return Err(ReadPackError::Damaged { pack: *id });
        }
        Ok(bytes)
    }

    /// A pack's file, for readers that check what they read.
    pub fn open_pack(&self, id: &PackId) -> Result<File, ReadPackError> {
        let path = self.pack_path(id);
        match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(ReadPackError::NotFound { pack: *id })
            }
            other => Ok(other.at("open", &path)?),
        }
    }

    /// A range of a pack, as the disk gives it: for readers that check the section that they open.
    pub fn read_range(&self, id: &PackId, offset: u64, len: u64) -> Result<Vec<u8>, ReadPackError> {
        let (file, path) = (self.open_pack(id)?, self.pack_path(id));
        let pack_len = file.metadata().at("look at", &path)?.len();
        if offset.checked_add(len).is_none_or(|end| end > pack_len) {
            return Err(ReadPackError::OutOfRange {
                pack: *id,
                offset,
                len,
            });
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset).at("read", &path)?;
        Ok(bytes)
    }

    /// Removes a pack that hosts hold, or that is damaged. One that is not here is no error.
    pub fn remove(&self, id: &PackId) -> Result<(), FileError> {
        atomic::remove_file(&self.pack_path(id))?;
        let mut state = self.state.lock();
        if let Some(len) = state.packs.remove(id) {
            state.pack_bytes -= len;
        }
        Ok(())
    }

    /// Keeps a parity shard if there is room beside the packs; answers whether it was kept.
    pub fn put_parity(&self, label: &LabelId, index: ShardIndex, bytes: &[u8]) -> Result<bool, FileError> {
        let len = bytes.len() as u64;
        {
            let mut state = self.state.lock();
            if state.parity.contains_key(&(*label, index)) {
                return Ok(true);
            }
            if state.pack_bytes + state.parity_bytes + len > state.bound {
                return Ok(false);
            }
            state.parity_bytes += len;
        }
        let written = atomic::write_hint(&self.parity_path(label, index), bytes);
        let mut state = self.state.lock();
        let is_kept = match &written {
            Ok(()) => state.parity.insert((*label, index), len).is_none(),
            Err(_) => false,
        };
        if !is_kept {
            state.parity_bytes -= len;
        }
        match written {
            Ok(()) => Ok(true),
            // It can be computed again: no room for it is no failure.
            Err(error) if error.is_disk_full() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A parity shard, if it is still kept; the caller checks its hash against the label.
    pub fn read_parity(&self, label: &LabelId, index: ShardIndex) -> Result<Option<Vec<u8>>, FileError> {
        atomic::read_file(&self.parity_path(label, index), PACK_LEN_MAX)
    }

    /// Lets go of all parity of a stripe.
    pub fn remove_parity(&self, label: &LabelId) -> Result<(), FileError> {
        let mut state = self.state.lock();
        let range = (*label, ShardIndex(0))..=(*label, ShardIndex(u8::MAX));
        let kept: Vec<_> = state.parity.range(range).map(|(key, len)| (*key, *len)).collect();
        for (key, len) in kept {
            atomic::remove_hint(&self.parity_path(&key.0, key.1))?;
            state.parity.remove(&key);
            state.parity_bytes -= len;
        }
        Ok(())
    }

    fn pack_path(&self, id: &PackId) -> PathBuf {
        self.packs_dir.join(format!("{id}{PACK_SUFFIX}"))
    }

    fn parity_path(&self, label: &LabelId, index: ShardIndex) -> PathBuf {
        self.parity_dir.join(format!("{label}.{}", index.0))
    }
}

#[cfg(test)]
mod tests;
