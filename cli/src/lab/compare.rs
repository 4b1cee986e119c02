//! Whether two trees are the same: names, kinds, content, modes, owners, times to the nanosecond, extended attributes, link
//! targets, hard links, holes, device numbers. Reads only; knows nothing of how either tree came about.

// The whole-node tests compare with this file too and name its path, so it names the paths of its own.
#[path = "compare/pair.rs"]
mod pair;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FileType};

use pair::Pair;

/// Differences that are told one by one; of the others, the number.
const TOLD_MAX: usize = 25;

/// What this process may restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Privilege {
    /// Devices and any owner; else only its own.
    pub(super) is_root: bool,
    uid: u32,
}

impl Privilege {
    /// Of this process.
    pub(super) fn current() -> Self {
        let uid = rustix::process::geteuid();
        Self {
            is_root: uid.is_root(),
            uid: uid.as_raw(),
        }
    }

    /// Whether an entry's owner can be restored.
    fn owns(self, uid: u32) -> bool {
        self.is_root || self.uid == uid
    }
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Where, below the root.
    pub(super) path: PathBuf,
    /// What, and how.
    pub(super) what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Entries of the first tree that were compared.
    pub(super) entries: u64,
    /// How many differences there are.
    pub(super) difference_count: u64,
    /// The first of them.
    pub(super) differences: Vec<Difference>,
}

impl Comparison {
    fn differs(&mut self, path: &Path, what: impl Into<String>) {
        self.difference_count += 1;
        if self.differences.len() < TOLD_MAX {
            self.differences.push(Difference {
                path: path.to_owned(),
                what: what.into(),
            });
        }
    }
}

/// How large a tree is.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    /// Entries, the root left out.
    pub(super) entries: u64,
    /// Regular files.
    pub(super) files: u64,
    /// Bytes of regular files, holes included, each hard link's file once.
    pub(super) bytes: u64,
    /// Entries that this user can't read, or can't restore exactly.
    pub(super) needs_root: u64,
}

/// Which pairs of inodes have stood for each other so far, both ways.
#[derive(Debug, Default)]
struct Links {
    to_right: BTreeMap<(u64, u64), (u64, u64)>,
    to_left: BTreeMap<(u64, u64), (u64, u64)>,
}

impl Links {
    /// Whether these two fit to all that were seen before: names of one file on one side are names of one file on the other.
    fn fit(&mut self, left: &Metadata, right: &Metadata) -> bool {
        let (left, right) = ((left.dev(), left.ino()), (right.dev(), right.ino()));
        let known_right = *self.to_right.entry(left).or_insert(right);
        let known_left = *self.to_left.entry(right).or_insert(left);
        known_right == right && known_left == left
    }
}

/// A comparison on its way.
struct Walk<'a> {
    left: &'a Path,
    right: &'a Path,
    privilege: Privilege,
    links: Links,
    comparison: Comparison,
}

/// Compares two trees, their roots included.
pub(super) fn compare(left: &Path, right: &Path, privilege: Privilege) -> io::Result<Comparison> {
    let mut walk = Walk {
        left,
        right,
        privilege,
        links: Links::default(),
        comparison: Comparison::default(),
    };
    let Ok(right_meta) = fs::symlink_metadata(right) else {
        walk.comparison.differs(Path::new("."), "nothing was restored");
        return Ok(walk.comparison);
    };
    walk.entry(Path::new(""), &fs::symlink_metadata(left)?, &right_meta)?;
    let mut pending = vec![PathBuf::new()];
    while let Some(inside) = pending.pop() {
        walk.directory(&inside, &mut pending)?;
    }
    Ok(walk.comparison)
}

impl Walk<'_> {
    /// Compares what is in a directory; directories in it are still to come.
    fn directory(&mut self, inside: &Path, pending: &mut Vec<PathBuf>) -> io::Result<()> {
        let left = self.left.join(inside);
        if !self.privilege.is_root && !is_readable(&left) {
            return Ok(());
        }
        let mut right_names = list(&self.right.join(inside))?;
        for (name, left_meta) in list(&left)? {
            let path = inside.join(&name);
            let right_meta = right_names.remove(&name);
            if left_out(&left.join(&name), &left_meta, self.privilege) {
                continue;
            }
            self.comparison.entries += 1;
            let Some(right_meta) = right_meta else {
                self.comparison.differs(&path, "is missing");
                continue;
            };
            self.entry(&path, &left_meta, &right_meta)?;
            if left_meta.is_dir() && right_meta.is_dir() {
                pending.push(path);
            }
        }
        for name in right_names.keys() {
            self.comparison
                .differs(&inside.join(name), "was not there before");
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, left: &Metadata, right: &Metadata) -> io::Result<()> {
        let shown = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let pair = Pair {
            paths: (&self.left.join(path), &self.right.join(path)),
            metas: (left, right),
        };
        for what in pair.differences(self.privilege.owns(left.uid()))? {
            self.comparison.differs(shown, what);
        }
        if !left.is_dir() && (left.nlink() > 1 || right.nlink() > 1) && !self.links.fit(left, right) {
            self.comparison.differs(shown, "is another hard link");
        }
        Ok(())
    }
}

/// Counts a tree.
pub(super) fn tally(root: &Path) -> io::Result<Tally> {
    let privilege = Privilege::current();
    let mut tally = Tally::default();
    let mut counted_links = BTreeSet::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        if !privilege.is_root && !is_readable(&directory) {
            continue;
        }
        for (name, meta) in list(&directory)? {
            let path = directory.join(name);
            tally.entries += 1;
            let is_socket = FileType::from_raw_mode(meta.mode()) == FileType::Socket;
            if !is_socket && (left_out(&path, &meta, privilege) || !privilege.owns(meta.uid())) {
                tally.needs_root += 1;
            }
            if meta.is_dir() {
                pending.push(path);
            } else if meta.is_file() {
                tally.files += 1;
                let is_new = meta.nlink() == 1 || counted_links.insert((meta.dev(), meta.ino()));
                tally.bytes += if is_new { meta.size() } else { 0 };
            }
        }
    }
    Ok(tally)
}

/// What can't come back: a socket is made by its program anew, a device only by the superuser, and what can't be read is not backed up.
fn left_out(path: &Path, meta: &Metadata, privilege: Privilege) -> bool {
    match FileType::from_raw_mode(meta.mode()) {
        FileType::Socket => true,
        FileType::BlockDevice | FileType::CharacterDevice => !privilege.is_root,
        FileType::RegularFile | FileType::Directory => !privilege.is_root && !is_readable(path),
        _ => false,
    }
}

fn is_readable(path: &Path) -> bool {
    rustix::fs::access(path, Access::READ_OK).is_ok()
}

fn list(directory: &Path) -> io::Result<BTreeMap<OsString, Metadata>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(named)? {
        let entry = entry.map_err(named)?;
        entries.insert(entry.file_name(), entry.metadata().map_err(named)?);
    }
    Ok(entries)
}
