//! Staging: sealed packs that wait on our own disk until hosts have signed for them.
//!
//! A pack is the only copy of what it holds until hosts have it, so it is synced before it is acknowledged. Within its bound staging
//! takes what comes; beyond, it refuses. Parity is computed when it is sent and never kept.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nuthatch_format::padding::PACK_LEN;
use nuthatch_format::seal::SealedPack;
use nuthatch_format::{ByteCount, PackId};
use parking_lot::Mutex;

use crate::atomic::{self, Access, At as _, FileError};
use crate::page_cache;

/// Longest pack that is read back, in bytes.
const PACK_LEN_MAX: u64 = PACK_LEN as u64;
const PACK_SUFFIX: &str = ".pack";
/// Packs that the system may keep in memory for those who code and send them next (count).
const FRESH_MAX: usize = 4;

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
    /// A file failed; the disk may be full before the bound is reached.
    #[error(transparent)]
    File(#[from] FileError),
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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bound: u64,
    packs: BTreeMap<PackId, u64>,
    /// Bytes of packs, with those that are being written.
    pack_bytes: u64,
    /// Packs written last, which are soon read again to be coded and sent; the newest last.
    fresh: VecDeque<PackId>,
}

impl Staging {
    /// Opens the staging in this directory, or begins an empty one, with a bound for all its bytes.
    pub fn open(dir: &Path, bound: ByteCount) -> Result<Self, FileError> {
        let packs_dir = dir.join("packs");
        let mut state = State {
            bound: bound.0,
            packs: BTreeMap::new(),
            pack_bytes: 0,
            fresh: VecDeque::new(),
        };
        atomic::create_dir(&packs_dir)?;
        atomic::sweep(&packs_dir)?;
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
        Ok(Self {
            packs_dir,
            state: Mutex::new(state),
        })
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
            if state.pack_bytes.saturating_add(len) > state.bound {
                return Err(StagePackError::Full {
                    used: ByteCount(state.pack_bytes),
                    bound: ByteCount(state.bound),
                });
            }
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
                state.fresh.push_back(*id);
                let stale = if state.fresh.len() > FRESH_MAX {
                    state.fresh.pop_front()
                } else {
                    None
                };
                drop(state);
                self.let_go(stale);
                Ok(())
            }
            Err(error) => {
                state.pack_bytes -= len;
                Err(error.into())
            }
        }
    }

    /// An empty file without a name on the same disk: it is gone with whoever uses it.
    pub fn unnamed_file(&self) -> Result<File, FileError> {
        let path = self
            .packs_dir
            .join(format!("unnamed{}", atomic::TEMPORARY_SUFFIX));
        atomic::remove_file(&path)?;
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let file = file.at("create", &path)?;
        atomic::remove_file(&path)?;
        Ok(file)
    }

    /// Removes everything; what fails stays.
    pub fn clear(&self) -> Result<(), FileError> {
        self.list().iter().try_for_each(|pack| self.remove(&pack.id))
    }

    /// Whether a pack of this length would find room now.
    pub fn has_room(&self, len: ByteCount) -> bool {
        let state = self.state.lock();
        state.pack_bytes.saturating_add(len.0) <= state.bound
    }

    /// Bytes of packs that are held or being written.
    pub fn used(&self) -> ByteCount {
        ByteCount(self.state.lock().pack_bytes)
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
            Err(error) if atomic::is_of_one_file(&error) => {
                return Err(ReadPackError::Damaged { pack: *id });
            }
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

    /// A pack that has waited for long waits on the disk alone.
    fn let_go(&self, pack: Option<PackId>) {
        if let Some(file) = pack.and_then(|id| File::open(self.pack_path(&id)).ok()) {
            page_cache::let_go(&file, &(0..PACK_LEN_MAX));
        }
    }

    fn pack_path(&self, id: &PackId) -> PathBuf {
        self.packs_dir.join(format!("{id}{PACK_SUFFIX}"))
    }
}

#[cfg(test)]
mod tests;
