//! Whether the disk with the vault is there. A marker file in the vault decides, by an id that the home remembers: both are made together,
//! once. Where a disk is not connected its mount point is an empty directory that looks like an empty vault: nothing is written to it, and
//! nothing is concluded from it.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::index::{Usage, VaultIndex};
use super::layout::Layout;
use super::{VaultError, open_index};
use crate::atomic::{self, Access, FileError};
use crate::index::IndexError;
use nuthatch_format::ArchiveId;

/// Name of the marker in the vault.
const MARKER: &str = "VAULT";
const MAGIC: &str = "nuthatch vault ";
/// Longest marker, and longest file in which a home remembers it, in bytes.
const MARKER_LEN_MAX: u64 = 128;

/// What a vault is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VaultName(String);

impl VaultName {
    fn fresh(id: [u8; 16]) -> Self {
        Self(format!("{MAGIC}{:032x}\n", u128::from_le_bytes(id)))
    }

    fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let bytes = atomic::read_file(path, MARKER_LEN_MAX)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.filter(|text| text.starts_with(MAGIC)).map(Self))
    }

    fn write(&self, path: &Path) -> Result<(), FileError> {
        atomic::write_file(path, self.0.as_bytes(), Access::Ordinary)
    }
}

/// Whether the disk is there, and the index that lies on it.
#[derive(Debug)]
pub(super) struct Attachment {
    /// `None` for a vault that is always there.
    name: Option<VaultName>,
    index: RwLock<Option<Arc<VaultIndex>>>,
    /// What was kept when the disk was last there.
    last_usages: Mutex<Vec<(ArchiveId, Usage)>>,
}

impl Attachment {
    /// A vault that is always there.
    pub(super) fn always(layout: &Layout) -> Result<Self, VaultError> {
        let opened = Self {
            name: None,
            index: RwLock::new(None),
            last_usages: Mutex::default(),
        };
        opened.attach(layout)?;
        Ok(opened)
    }

    /// The vault that this home remembers, there or not; the first time, or for one without a marker, it is made here.
    pub(super) fn of_home(layout: &Layout, remembered: &Path, id: [u8; 16]) -> Result<Self, VaultError> {
        let name = if let Some(name) = VaultName::read(remembered)? {
            name
        } else {
            let name = Self::mark(layout, id)?;
            name.write(remembered)?;
            name
        };
        let opened = Self {
            name: Some(name),
            index: RwLock::new(None),
            last_usages: Mutex::default(),
        };
        if opened.is_there(layout) {
            opened.attach(layout)?;
        }
        Ok(opened)
    }

    /// The name on the marker; where there is none, a fresh one.
    fn mark(layout: &Layout, id: [u8; 16]) -> Result<VaultName, FileError> {
        atomic::create_dir(layout.root())?;
        let marker = layout.root().join(MARKER);
        if let Some(name) = VaultName::read(&marker)? {
            return Ok(name);
        }
        let name = VaultName::fresh(id);
        name.write(&marker)?;
        Ok(name)
    }

    fn is_there(&self, layout: &Layout) -> bool {
        let Some(name) = &self.name else { return true };
        matches!(VaultName::read(&layout.root().join(MARKER)), Ok(Some(found)) if found == *name)
    }

    fn attach(&self, layout: &Layout) -> Result<(), VaultError> {
        let index = open_index(layout)?;
        *self.last_usages.lock() = index.usages();
        *self.index.write() = Some(Arc::new(index));
        Ok(())
    }

    /// Looks whether the disk is there, and says so. One that is back is opened again.
    pub(super) fn look(&self, layout: &Layout) -> Result<bool, VaultError> {
        let was_there = self.index.read().is_some();
        let is_there = self.is_there(layout);
        match (was_there, is_there) {
            (true, false) => {
                let gone = self.index.write().take();
                if let Some(index) = gone {
                    *self.last_usages.lock() = index.usages();
                }
            }
            (false, true) => self.attach(layout)?,
            (true, true) | (false, false) => {}
        }
        Ok(is_there)
    }

    /// The index, where the disk is there as of the last look.
    pub(super) fn index(&self) -> Result<Arc<VaultIndex>, IndexError> {
        self.index.read().clone().ok_or(IndexError::Detached)
    }

    /// What is kept for each archive; while the disk is away, what was kept when it was last there.
    pub(super) fn usages(&self) -> Vec<(ArchiveId, Usage)> {
        match &*self.index.read() {
            Some(index) => index.usages(),
            None => self.last_usages.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::Vault;
    use super::*;

    struct Machine {
        root: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            Self {
                root: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn open(&self, id: u8) -> Vault {
            Vault::open_on_disk(&self.path("vault"), &self.path("name"), [id; 16]).unwrap()
        }

        /// The disk is pulled out: its mount point is an empty directory.
        fn unmount(&self) {
            fs::rename(self.path("vault"), self.path("disk")).unwrap();
            fs::create_dir(self.path("vault")).unwrap();
        }

        fn mount(&self) {
            fs::remove_dir(self.path("vault")).unwrap();
            fs::rename(self.path("disk"), self.path("vault")).unwrap();
        }

        fn is_mount_point_empty(&self) -> bool {
            fs::read_dir(self.path("vault")).unwrap().next().is_none()
        }
    }

    #[test]
    fn a_disk_that_is_pulled_out_is_noticed_nothing_is_written_in_its_place_and_it_is_taken_up_again() {
        let machine = Machine::new();
        let vault = machine.open(1);
        assert!(vault.is_attached() && vault.look().unwrap());
        machine.unmount();
        assert!(!vault.look().unwrap() && !vault.is_attached());
        assert!(matches!(
            vault.next_shard(None),
            Err(VaultError::Index(IndexError::Detached))
        ));
        assert!(machine.is_mount_point_empty());
        machine.mount();
        assert!(vault.look().unwrap() && vault.is_attached());
        assert_eq!(vault.next_shard(None).unwrap(), None);
    }

    #[test]
    fn a_home_that_starts_without_its_disk_begins_no_other_vault() {
        let machine = Machine::new();
        drop(machine.open(1));
        machine.unmount();
        let vault = machine.open(2);
        assert!(!vault.is_attached() && machine.is_mount_point_empty());
        assert_eq!(vault.usages(), []);
        machine.mount();
        assert!(vault.look().unwrap());
        // Not even the directory is needed.
        drop(vault);
        fs::rename(machine.path("vault"), machine.path("disk")).unwrap();
        assert!(!machine.open(3).is_attached() && !machine.path("vault").exists());
    }

    #[test]
    fn another_disk_in_its_place_is_not_it_and_a_vault_without_a_marker_gets_one_once() {
        let machine = Machine::new();
        drop(Vault::open(&machine.path("vault")).unwrap());
        drop(machine.open(1));
        let marker = machine.path("vault").join(MARKER);
        let first = fs::read(&marker).unwrap();
        assert!(machine.open(2).is_attached());
        assert_eq!(fs::read(&marker).unwrap(), first);
        fs::write(&marker, VaultName::fresh([9; 16]).0).unwrap();
        assert!(!machine.open(2).is_attached());
        // A home that has forgotten takes the disk that is there.
        fs::remove_file(machine.path("name")).unwrap();
        assert!(machine.open(2).is_attached());
    }
}
