//! The home: the one directory of a node, its lock, its format version, its secrets, and where everything else lies in it.
//!
//! One process at a time owns a home. It knows names and modes of files; what is in them is the business of others.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nuthatch_format::ArchiveId;
use zeroize::Zeroizing;

use crate::atomic::{self, Access, At as _, FileError};

/// The layout that this program writes. An older program refuses a newer home rather than misread it.
pub const HOME_VERSION: u32 = 1;

/// Longest secret file, in bytes.
pub const SECRET_LEN_MAX: u64 = 64 << 10;
/// Longest name of a key slot, in bytes.
pub const SLOT_NAME_LEN_MAX: usize = 64;
/// Key slots that a home may have.
pub const SLOTS_MAX: usize = 64;

const FORMAT_FILE: &str = "format";
const FORMAT_MAGIC: &str = "nuthatch home ";
const FORMAT_LEN_MAX: u64 = 64;
const LOCK_FILE: &str = "lock";
const SLOT_SUFFIX: &str = ".slot";

/// Why a home could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateHomeError {
    /// There is a home here already.
    #[error("{} is already a home", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Another process is making or using it.
    #[error("{} is in use by process {}", path.display(), pid_text(*pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, when it has said so.
        pid: Option<u32>,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a home could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenHomeError {
    /// There is nothing at this path, or an empty directory: make a home first.
    #[error("there is no home at {}", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// There is something, but not a home of ours.
    #[error("{} is not a home of this program", path.display())]
    NotAHome {
        /// The directory.
        path: PathBuf,
    },
    /// A newer program made it.
    #[error("{} has format {found}, this program knows {known}: update it", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// Another process has it open.
    #[error("{} is in use by process {}", path.display(), pid_text(*pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, when it has said so.
        pid: Option<u32>,
    },
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
}

/// Why a key slot could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SlotFileError {
    /// The name is not one that a slot can have.
    #[error("a slot's name has 1 to {SLOT_NAME_LEN_MAX} small letters, digits, '-' and '_'")]
    BadName,
    /// There are as many slots as there may be.
    #[error("there are {SLOTS_MAX} slots already")]
    TooMany,
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A secret that has a file of its own, readable by its owner only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// The node's key: who this machine is on the network.
    Node,
    /// The device's keys.
    Device,
    /// The keys that every writer of the archive has.
    Writer,
    /// The owner's secrets in clear, for a home made without a passphrase.
    OwnerUnwrapped,
}

impl Secret {
    const fn file_name(self) -> &'static str {
        match self {
            Self::Node => "node.key",
            Self::Device => "device.keys",
            Self::Writer => "writer.keys",
            Self::OwnerUnwrapped => "owner.keys",
        }
    }
}

/// Where everything of a home lies, and its small secret files; without the lock, for what only reads.
#[derive(Debug, Clone)]
pub struct HomeFiles {
    root: PathBuf,
}

/// An open home. Dropping it gives the lock back.
#[derive(Debug)]
pub struct Home {
    files: HomeFiles,
    _lock: File,
}

impl Deref for Home {
    type Target = HomeFiles;

    fn deref(&self) -> &HomeFiles {
        &self.files
    }
}

impl Home {
    /// Makes a home in a directory that does not exist yet or is empty, and opens it.
    pub fn create(path: &Path) -> Result<Self, CreateHomeError> {
        atomic::create_dir(path)?;
        let root = fs::canonicalize(path).at("find", path)?;
        if root.join(FORMAT_FILE).exists() {
            return Err(CreateHomeError::Exists { path: root });
        }
        // What a creation that was cut short leaves behind is no hindrance.
        let is_foreign = |name: &std::ffi::OsString| {
            name != LOCK_FILE
                && !name
                    .to_str()
                    .is_some_and(|name| name.ends_with(atomic::TEMPORARY_SUFFIX))
        };
        if atomic::list(&root)?.iter().any(is_foreign) {
            return Err(CreateHomeError::NotEmpty { path: root });
        }
        let lock = match take_lock(&root)? {
            Lock::Taken(lock) => lock,
            Lock::Held(pid) => return Err(CreateHomeError::Locked { path: root, pid }),
        };
        if root.join(FORMAT_FILE).exists() {
            return Err(CreateHomeError::Exists { path: root });
        }
        let home = Self {
            files: HomeFiles { root },
            _lock: lock,
        };
        home.prepare()?;
        let line = format!("{FORMAT_MAGIC}{HOME_VERSION}\n");
        atomic::write_file(&home.root.join(FORMAT_FILE), line.as_bytes(), Access::Ordinary)?;
        Ok(home)
    }

    /// Opens a home for this process alone.
    pub fn open(path: &Path) -> Result<Self, OpenHomeError> {
        let HomeFiles { root } = HomeFiles::look(path)?;
        let lock = match take_lock(&root)? {
            Lock::Taken(lock) => lock,
            Lock::Held(pid) => return Err(OpenHomeError::Locked { path: root, pid }),
        };
        let home = Self {
            files: HomeFiles { root },
            _lock: lock,
        };
        home.prepare()?;
        Ok(home)
    }

    /// Makes the directories that are missing and removes what a killed process left half written.
    fn prepare(&self) -> Result<(), FileError> {
        for dir in [self.keys_dir(), self.slots_dir()] {
            atomic::create_dir(&dir)?;
            atomic::sweep(&dir)?;
        }
        atomic::sweep(&self.root)?;
        Ok(())
    }
}

impl HomeFiles {
    /// Finds a home without opening it: another process may have it open, and nothing here may be changed.
    pub fn look(path: &Path) -> Result<Self, OpenHomeError> {
        let root = match fs::canonicalize(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenHomeError::Empty {
                    path: path.to_owned(),
                });
            }
            other => other.at("find", path)?,
        };
        check_version(&root)?;
        Ok(Self { root })
    }

    /// The directory itself, as an absolute path without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the engine's records are.
    pub fn records_path(&self) -> PathBuf {
        self.root.join("records.redb")
    }

    /// Where what other owners entrust to this node is.
    pub fn vault_dir(&self) -> PathBuf {
        self.root.join("vault")
    }

    /// Where this home remembers by what it knows its vault's disk.
    pub fn vault_name_path(&self) -> PathBuf {
        self.root.join("vault.name")
    }

    /// How far the vault was read through by itself.
    pub fn scrub_path(&self) -> PathBuf {
        self.root.join("scrub.place")
    }

    /// Where journals and statements are, our own and those that we host.
    pub fn segments_dir(&self) -> PathBuf {
        self.root.join("segments")
    }

    /// Where the packs of our own archive wait.
    pub fn staging_dir(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Where packs lie that were brought back to be repaired; nothing in it is an only copy.
    pub fn recalled_dir(&self) -> PathBuf {
        self.root.join("recalled")
    }

    /// What this node knows, as a steward, of somebody else's archive.
    pub fn stewarded_path(&self, archive: &ArchiveId) -> PathBuf {
        self.root.join(format!("stewarded-{archive}.redb"))
    }

    /// Where packs of such an archive lie that were brought back to be repaired; nothing in it is an only copy.
    pub fn stewarded_recalled_dir(&self, archive: &ArchiveId) -> PathBuf {
        self.root.join(format!("stewarded-{archive}"))
    }

    /// The catalogue of an archive of ours.
    pub fn catalogue_path(&self, archive: &ArchiveId) -> PathBuf {
        self.root.join(format!("catalogue-{}.redb", archive.short()))
    }

    /// The file cache of an archive of ours.
    pub fn file_cache_path(&self, archive: &ArchiveId) -> PathBuf {
        self.root.join(format!("files-{}.redb", archive.short()))
    }

    fn keys_dir(&self) -> PathBuf {
        self.root.join("keys")
    }

    fn slots_dir(&self) -> PathBuf {
        self.keys_dir().join("slots")
    }

    /// A secret's bytes; `None` when this home has none of the kind.
    pub fn read_secret(&self, secret: Secret) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        let path = self.keys_dir().join(secret.file_name());
        Ok(atomic::read_file(&path, SECRET_LEN_MAX)?.map(Zeroizing::new))
    }

    /// Writes a secret, whole and synced, for its owner's eyes only.
    pub fn write_secret(&self, secret: Secret, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.keys_dir().join(secret.file_name());
        atomic::write_file(&path, bytes, Access::Private)
    }

    /// Removes a secret. Its bytes may stay on the medium until they are overwritten.
    pub fn remove_secret(&self, secret: Secret) -> Result<(), FileError> {
        atomic::remove_file(&self.keys_dir().join(secret.file_name()))
    }

    /// The names of the key slots, sorted; at most [`SLOTS_MAX`].
    pub fn slots(&self) -> Result<Vec<String>, FileError> {
        let mut names: Vec<String> = atomic::list(&self.slots_dir())?
            .iter()
            .filter_map(|name| name.to_str()?.strip_suffix(SLOT_SUFFIX).map(str::to_owned))
            .filter(|name| is_slot_name(name))
            .collect();
        names.sort_unstable();
        names.truncate(SLOTS_MAX);
        Ok(names)
    }

    /// The bytes of a key slot; `None` when there is none of that name.
    pub fn read_slot(&self, name: &str) -> Result<Option<Vec<u8>>, SlotFileError> {
        Ok(atomic::read_file(&self.slot_path(name)?, SECRET_LEN_MAX)?)
    }

    /// Writes a key slot, in place of any of that name.
    pub fn write_slot(&self, name: &str, bytes: &[u8]) -> Result<(), SlotFileError> {
        let path = self.slot_path(name)?;
        if !path.exists() && self.slots()?.len() >= SLOTS_MAX {
            return Err(SlotFileError::TooMany);
        }
        Ok(atomic::write_file(&path, bytes, Access::Private)?)
    }

    fn slot_path(&self, name: &str) -> Result<PathBuf, SlotFileError> {
        if is_slot_name(name) {
            Ok(self.slots_dir().join(format!("{name}{SLOT_SUFFIX}")))
        } else {
            Err(SlotFileError::BadName)
        }
    }
}

fn is_slot_name(name: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= SLOT_NAME_LEN_MAX && name.bytes().all(is_allowed)
}

fn check_version(root: &Path) -> Result<(), OpenHomeError> {
    let path = root.to_owned();
    let Some(bytes) = atomic::read_file(&root.join(FORMAT_FILE), FORMAT_LEN_MAX)? else {
        let only_lock = atomic::list(root)?.iter().all(|name| name == LOCK_FILE);
        return Err(if only_lock {
            OpenHomeError::Empty { path }
        } else {
            OpenHomeError::NotAHome { path }
        });
    };
    let version = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.trim_end().strip_prefix(FORMAT_MAGIC))
        .and_then(|number| number.parse::<u32>().ok());
    match version {
        None | Some(0) => Err(OpenHomeError::NotAHome { path }),
        Some(found) if found > HOME_VERSION => Err(OpenHomeError::Newer {
            path,
            found,
            known: HOME_VERSION,
        }),
        Some(_) => Ok(()),
    }
}

enum Lock {
    Taken(File),
    Held(Option<u32>),
}

/// The system gives the lock back when the process ends, however it ends.
fn take_lock(root: &Path) -> Result<Lock, FileError> {
    let path = root.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .at("open", &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Lock::Held(read_pid(&mut file))),
        Err(TryLockError::Error(error)) => return Err(FileError::new("lock", &path, error)),
    }
    // The number is for people's eyes; the lock itself is the system's.
    file.set_len(0).at("write", &path)?;
    file.rewind().at("write", &path)?;
    writeln!(file, "{}", std::process::id()).at("write", &path)?;
    Ok(Lock::Taken(file))
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests;
