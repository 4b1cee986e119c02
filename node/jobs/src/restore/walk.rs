//! The walk of a restore: makes directories, links and special files as it meets them, and gathers the chunks of files into windows.

mod content;
mod make;

use std::collections::BTreeSet;
use std::path::Path;

use nuthatch_disk::owners::Owners;
use nuthatch_disk::source::FileTime;
use nuthatch_disk::target::{TargetDir, TargetError, TargetMetadata};
use nuthatch_format::DeviceId;
use nuthatch_format::content::Content;
use nuthatch_format::snapshot::Snapshot;
use nuthatch_format::tree::{Entry, EntryKind, Metadata};

use super::dir_spool::{DirSpool, MadeDir};
use super::fetch::Fetcher;
use super::files::{Files, Spot, Window, in_words, tell_unset};
use super::links::{LinkJob, LinkMap};
use super::{Overwrite, RestoreError};
use crate::meta_reader::MetaReader;
use crate::pattern::{PathIs, PatternSet};
use crate::progress::{Reporter, Warning, WarningKind};
use crate::snapshot_path;
use crate::tree_walk::{self, Found, TreeWalk, Visit};

/// Target directories of the walk that are kept open.
const OPEN_DIRS_MAX: usize = 64;

/// What a walk is made of.
pub(crate) struct Parts<'a> {
    pub(crate) includes: &'a PatternSet,
    pub(crate) excludes: &'a PatternSet,
    pub(crate) overwrite: Overwrite,
    pub(crate) owners: &'a Owners,
    pub(crate) files: &'a Files<'a>,
    pub(crate) fetcher: &'a Fetcher<'a>,
    pub(crate) reporter: &'a Reporter<'a>,
    /// `None`: nothing is written.
    pub(crate) root: Option<TargetDir>,
    pub(crate) scratch: &'a Path,
}

/// What a walk counts by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WalkCounts {
    pub(crate) files_unchanged: u64,
    pub(crate) files_linked: u64,
    pub(crate) dirs: u64,
    pub(crate) others: u64,
}

/// A restore in progress.
pub(crate) struct Restorer<'a> {
    parts: Parts<'a>,
    /// The path in the snapshot that the target stands for.
    base: Vec<u8>,
    dirs: Vec<DirFrame>,
    spool: Option<DirSpool>,
    window: Window,
    attributes_len: usize,
    link_jobs: Vec<LinkJob>,
    links: LinkMap,
    /// Devices whose claims of chunks turned out false.
    liars: BTreeSet<DeviceId>,
    counts: WalkCounts,
}

/// A directory on the way down.
struct DirFrame {
    /// Names below the target, joined by slashes.
    path: Vec<u8>,
    /// Its entry; the target itself may have none.
    entry: Option<Entry>,
    /// It or one above it is named by an include pattern.
    is_included: bool,
    is_made: bool,
    open: Option<TargetDir>,
}

impl<'a> Restorer<'a> {
    /// At the beginning of a walk.
    pub(crate) fn new(parts: Parts<'a>) -> Result<Self, RestoreError> {
        let spool = match &parts.root {
            Some(_) => Some(DirSpool::create(parts.scratch).map_err(RestoreError::Scratch)?),
            None => None,
        };
        let top = DirFrame {
            path: Vec::new(),
            entry: None,
            is_included: parts.includes.is_empty(),
            is_made: true,
            open: parts.root.clone(),
        };
        Ok(Self {
            parts,
            base: Vec::new(),
            dirs: vec![top],
            spool,
            window: Window::default(),
            attributes_len: 0,
            link_jobs: Vec::new(),
            links: LinkMap::default(),
            liars: BTreeSet::new(),
            counts: WalkCounts::default(),
        })
    }

    /// Restores what was found at a path of the snapshot.
    pub(crate) fn restore(
        &mut self,
        snapshot: &Snapshot,
        names: &[&[u8]],
        found: Found,
        meta: &mut MetaReader<'_>,
    ) -> Result<(), RestoreError> {
        let path = names
            .iter()
            .fold(Vec::new(), |path, name| snapshot_path::join(&path, name));
        let tree = match found {
            Found::Nothing => return Ok(()),
            Found::Root => snapshot.root.clone(),
            Found::Entry(entry) => match &entry.kind {
                EntryKind::Dir { tree } => {
                    let tree = tree.clone();
                    self.own_the_target(*entry)?;
                    tree
                }
                _ => return self.entry(&path, *entry, meta).map(drop),
            },
        };
        let mut walk = TreeWalk::new(&path, &tree);
        self.base = path;
        while let Some(visit) = walk.next(meta) {
            self.parts.fetcher.sections.cancel.check()?;
            match visit {
                Visit::Entry { path, entry } => {
                    if let Some(tree) = self.entry(&path, *entry, meta)? {
                        walk.enter(&path, &tree);
                    }
                }
                Visit::Left => {
                    self.dirs.pop();
                }
                Visit::Broken { path, error } => {
                    let warning = tree_walk::broken(&path, error).map_err(RestoreError::from)?;
                    self.parts.reporter.error(warning);
                }
            }
        }
        Ok(())
    }

    /// The target stands for a directory of the snapshot, and gets its attributes.
    fn own_the_target(&mut self, entry: Entry) -> Result<(), RestoreError> {
        if let Some(spool) = &mut self.spool {
            let dir = MadeDir {
                path: Vec::new(),
                entry,
            };
            spool.push(&dir).map_err(RestoreError::Scratch)?;
        }
        self.counts.dirs += 1;
        Ok(())
    }

    /// Writes what is still wanted, then the attributes of directories.
    pub(crate) fn finish(mut self) -> Result<WalkCounts, RestoreError> {
        self.flush(None)?;
        while let Some(dir) = self
            .spool
            .as_mut()
            .map(DirSpool::pop)
            .transpose()
            .map_err(RestoreError::Scratch)?
        {
            let Some(dir) = dir else { break };
            self.parts.fetcher.sections.cancel.check()?;
            let metadata = self.metadata(&dir.entry.meta);
            let path = self.path_of(&dir.path);
            match self.parts.files.dir(&dir.path) {
                Ok(target) => tell_unset(self.parts.reporter, &path, &target.finish(&metadata)),
                Err(error) => {
                    let warning = Warning::about(WarningKind::Attributes, &path, in_words(&error));
                    self.parts.reporter.warn(warning);
                }
            }
        }
        if let Some(root) = &self.parts.root {
            root.sync().map_err(RestoreError::Target)?;
        }
        Ok(self.counts)
    }

    /// The path in the snapshot of what lies at these names below the target.
    fn path_of(&self, below: &[u8]) -> Vec<u8> {
        if below.is_empty() {
            self.base.clone()
        } else {
            snapshot_path::join(&self.base, below)
        }
    }

    /// One entry. Answers the tree of a directory that has to be walked.
    fn entry(
        &mut self,
        path: &[u8],
        entry: Entry,
        meta: &mut MetaReader<'_>,
    ) -> Result<Option<Content>, RestoreError> {
        let is_dir = matches!(entry.kind, EntryKind::Dir { .. });
        let is = if is_dir { PathIs::Directory } else { PathIs::Other };
        if self.parts.excludes.matches(path, is) {
            return Ok(None);
        }
        let Some(above) = self.dirs.last() else {
            return Ok(None);
        };
        let is_included = above.is_included || self.parts.includes.matches(path, is);
        if let EntryKind::Dir { tree } = &entry.kind {
            let tree = tree.clone();
            return Ok(self.directory(path, entry, is_included)?.then_some(tree));
        }
        if !is_included {
            return Ok(None);
        }
        if self.parts.root.is_none() {
            self.count_only(&entry);
            return Ok(None);
        }
        let spot = Spot {
            dir: above.path.clone(),
            name: entry.name.clone(),
        };
        let dir = match self.made_dir()? {
            Ok(dir) => dir,
            Err(error) => {
                self.not_restored(path, &error);
                return Ok(None);
            }
        };
        match self.make(path, &entry, spot, &dir, meta)? {
            Ok(()) => {}
            Err(error) => self.not_restored(path, &error),
        }
        Ok(None)
    }

    /// What would be restored, where nothing is written.
    fn count_only(&mut self, entry: &Entry) {
        match &entry.kind {
            EntryKind::File { .. } => self.counts.files_linked += 1,
            _ => self.counts.others += 1,
        }
    }

    fn not_restored(&self, path: &[u8], error: &TargetError) {
        self.parts
            .reporter
            .error(Warning::about(WarningKind::NotRestored, path, in_words(error)));
    }

    /// Goes into a directory. Answers whether it is to be walked.
    fn directory(&mut self, path: &[u8], entry: Entry, is_included: bool) -> Result<bool, RestoreError> {
        let above = self
            .dirs
            .last()
            .map(|dir| dir.path.as_slice())
            .unwrap_or_default();
        let mut below = above.to_vec();
        if !below.is_empty() {
            below.push(b'/');
        }
        below.extend_from_slice(&entry.name);
        self.dirs.push(DirFrame {
            path: below,
            entry: Some(entry),
            is_included,
            is_made: false,
            open: None,
        });
        if self.parts.root.is_none() {
            self.counts.dirs += u64::from(is_included);
            return Ok(true);
        }
        if is_included && let Err(error) = self.made_dir()? {
            self.not_restored(path, &error);
            self.dirs.pop();
            return Ok(false);
        }
        Ok(true)
    }

    /// The innermost directory of the walk, made with all above it. The inner error is about this directory only.
    fn made_dir(&mut self) -> Result<Result<TargetDir, TargetError>, RestoreError> {
        let depth = self.dirs.len();
        if let Some(open) = self.dirs.last().and_then(|dir| dir.open.clone()) {
            return Ok(Ok(open));
        }
        let first = self.dirs.iter().rposition(|dir| dir.is_made).unwrap_or_default();
        let Some(made) = self.dirs.get(first) else {
            return Ok(self.parts.files.dir(b""));
        };
        let mut open = match &made.open {
            Some(open) => open.clone(),
            None => match self.parts.files.dir(&made.path) {
                Ok(open) => open,
                Err(error) => return Ok(Err(error)),
            },
        };
        for frame in self.dirs.iter_mut().skip(first + 1) {
            let Some(entry) = &frame.entry else { continue };
            open = match open.dir(&entry.name) {
                Ok(open) => open,
                Err(error) => return Ok(Err(error)),
            };
            frame.is_made = true;
            frame.open = Some(open.clone());
            self.counts.dirs += 1;
            if let Some(spool) = &mut self.spool {
                let dir = MadeDir {
                    path: frame.path.clone(),
                    entry: entry.clone(),
                };
                spool.push(&dir).map_err(RestoreError::Scratch)?;
            }
        }
        let closing = depth.saturating_sub(OPEN_DIRS_MAX);
        for frame in self.dirs.iter_mut().take(closing).skip(1) {
            frame.open = None;
        }
        if let Some(last) = self.dirs.last_mut() {
            last.open = Some(open.clone());
        }
        Ok(Ok(open))
    }

    fn metadata(&self, meta: &Metadata) -> TargetMetadata {
        let owners = self.parts.owners;
        TargetMetadata {
            mode: meta.mode,
            uid: owners.uid_here(meta.user.as_deref().unwrap_or_default(), meta.uid),
            gid: owners.gid_here(meta.group.as_deref().unwrap_or_default(), meta.gid),
            mtime: time(meta),
            xattrs: meta.xattrs.clone(),
        }
    }
}

fn time(meta: &Metadata) -> FileTime {
    FileTime {
        secs: meta.mtime.secs,
        nanos: meta.mtime.nanos,
    }
}
