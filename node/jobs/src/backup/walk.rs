//! Walks the paths of a backup in stored order and says, entry by entry, what is there. Runs on a thread of its own, ahead of the sequencer.
//!
//! It looks, compares with the last look, and hands small changed files to the readers. It never reads a file itself and never stores
//! anything. Open directories are bounded: in a very deep tree the upper ones are closed and opened again on the way back.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};
use nuthatch_disk::owners::Owners;
use nuthatch_disk::source::{FileTime, SourceDir, SourceEntry, SourceError, SourceKind};
use nuthatch_format::Timestamp;

use super::known::{Known, KnownError, KnownFiles};
use super::read::{ReadJob, SMALL_LEN_MAX};
use super::roots::Root;
use super::step::{Named, Reading, Role, Step};
use crate::budget::ByteBudget;
use crate::cancel::{Cancel, Cancelled};
use crate::pattern::{PathIs, PatternSet};
use crate::progress::WarningKind;
use crate::snapshot_path::{self, PATH_LEN_MAX};

/// Directories that are kept open at a time.
const OPEN_DIRS_MAX: usize = 128;

/// What is said of a named path that leads into the node's own home.
const OWN_HOME: &str = "it is this node's own home, which is never backed up";

/// Why the walk ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    /// Nobody takes its steps any more: the job failed elsewhere or was cancelled.
    #[error("interrupted")]
    Stopped,
    /// The indexes of what is known failed.
    #[error(transparent)]
    Known(#[from] KnownError),
}

impl From<Cancelled> for WalkError {
    fn from(_: Cancelled) -> Self {
        Self::Stopped
    }
}

/// What to leave out.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Patterns of what is left out.
    pub(crate) excludes: PatternSet,
    /// Directories (device, inode) that are never entered: the node's own home.
    pub(crate) forbidden: HashSet<(u64, u64)>,
    /// Stay on the file system of each named path.
    pub(crate) one_file_system: bool,
}

/// The walk of one backup.
pub(crate) struct Walker<'e> {
    /// What to leave out.
    pub(crate) rules: &'e Rules,
    /// Names of users and groups.
    pub(crate) owners: Arc<Owners>,
    /// What is known of files from earlier.
    pub(crate) known: KnownFiles<'e>,
    /// Where steps go.
    pub(crate) steps: Sender<Step<'e>>,
    /// Where small files to be read go.
    pub(crate) jobs: Sender<ReadJob>,
    /// Bytes of small files that may be read ahead.
    pub(crate) read_ahead: &'e ByteBudget,
    /// The machine's clock.
    pub(crate) clock: &'e (dyn Fn() -> Timestamp + Sync),
    /// The clock before the last look.
    pub(crate) looked_at: FileTime,
    /// Named paths that were there (count).
    pub(crate) found: u64,
    /// Ends the walk.
    pub(crate) cancel: &'e Cancel,
}

/// What a finished walk leaves behind.
pub(crate) struct Walk<'e> {
    /// What it learned about unchanged files.
    pub(crate) known: KnownFiles<'e>,
    /// Named paths that were there (count).
    pub(crate) found: u64,
}

/// A directory whose entries are being walked.
struct Frame {
    dir: Option<SourceDir>,
    identity: (u64, u64),
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
    /// Device of the named path above, when the walk has to stay on it.
    stay_on: Option<u64>,
    /// Whether its end is a step: the root has no entry of its own.
    leaves: bool,
}

impl<'e> Walker<'e> {
    /// Walks everything.
    pub(crate) fn run(mut self, root: &Root) -> Result<Walk<'e>, WalkError> {
        if root.whole {
            match SourceDir::open(Path::new("/"), Arc::clone(&self.owners)) {
                Ok(dir) => self.walk_below(&dir)?,
                Err(error) => self.trouble(b"/", &error)?,
            }
        } else {
            self.children(root, b"")?;
        }
        Ok(Walk {
            known: self.known,
            found: self.found,
        })
    }

    /// All of the file system's root.
    fn walk_below(&mut self, dir: &SourceDir) -> Result<(), WalkError> {
        let looked = dir.look_at_self().and_then(|seen| Ok((seen, dir.names()?)));
        let (seen, names) = match looked {
            Ok(found) => found,
            Err(error) => return self.trouble(b"/", &error),
        };
        self.found += 1;
        let frame = Frame {
            dir: Some(dir.clone()),
            identity: (seen.device, seen.inode),
            path: Vec::new(),
            names: names.into_iter(),
            stay_on: self.rules.one_file_system.then_some(seen.device),
            leaves: false,
        };
        self.walk(vec![frame])
    }

    /// The directories above named paths, and the named paths.
    fn children(&mut self, root: &Root, path: &[u8]) -> Result<(), WalkError> {
        for (name, child) in &root.children {
            self.cancel.check()?;
            let child_path = snapshot_path::join(path, name);
            if child.whole {
                self.named(path, name, &child_path)?;
                continue;
            }
            // The user named a path through here: links on the way are followed, and stored as the directories that they lead to.
            self.note_time();
            let opened = self.open_path(&child_path).and_then(|dir| dir.look_at_self());
            match opened {
                Ok(seen) if self.is_forbidden(&seen) => self.step(Step::error(&child_path, OWN_HOME))?,
                Ok(seen) => {
                    self.step(Step::Enter(
                        self.named_entry(name, &child_path, seen),
                        Role::Above,
                    ))?;
                    self.children(child, &child_path)?;
                    self.step(Step::Leave)?;
                }
                Err(error) => self.named_trouble(&child_path, &error)?,
            }
        }
        Ok(())
    }

    /// A path that the user named.
    fn named(&mut self, parent: &[u8], name: &[u8], path: &[u8]) -> Result<(), WalkError> {
        self.note_time();
        let looked = self.open_path(parent).and_then(|dir| {
            let seen = dir.look(name)?;
            Ok((dir, seen))
        });
        let (dir, seen) = match looked {
            Ok(found) => found,
            Err(error) => return self.named_trouble(path, &error),
        };
        if self.is_forbidden(&seen) {
            return self.step(Step::error(path, OWN_HOME));
        }
        self.found += 1;
        if matches!(seen.kind, SourceKind::Symlink { .. }) {
            let message = "this is a symbolic link: the link is stored, not what it points to";
            self.step(Step::warning(WarningKind::LinkNamed, path, message))?;
        }
        let stay_on = self.rules.one_file_system.then_some(seen.device);
        match self.entry(&dir, name, path, seen, stay_on)? {
            Some(frame) => self.walk(vec![frame]),
            None => Ok(()),
        }
    }

    fn open_path(&self, path: &[u8]) -> Result<SourceDir, SourceError> {
        let path = if path.is_empty() { b"/" } else { path };
        SourceDir::open(Path::new(OsStr::from_bytes(path)), Arc::clone(&self.owners))
    }

    /// Everything below the directories on the stack.
    fn walk(&mut self, mut stack: Vec<Frame>) -> Result<(), WalkError> {
        while let Some(frame) = stack.last_mut() {
            self.cancel.check()?;
            let Some(name) = frame.names.next() else {
                if frame.leaves {
                    self.step(Step::Leave)?;
                }
                stack.pop();
                continue;
            };
            let path = snapshot_path::join(&frame.path, &name);
            if path.len() > PATH_LEN_MAX || !snapshot_path::is_name(&name) {
                self.step(Step::error(&path, "its path is too long"))?;
                continue;
            }
            if frame.dir.is_none() {
                match self.reopen(&frame.path, frame.identity) {
                    Ok(dir) => frame.dir = Some(dir),
                    Err(error) => {
                        frame.names = Vec::new().into_iter();
                        let directory = frame.path.clone();
                        self.trouble(&directory, &error)?;
                        continue;
                    }
                }
            }
            let Some(dir) = frame.dir.clone() else { continue };
            let stay_on = frame.stay_on;
            self.note_time();
            match dir.look(&name) {
                Err(error) => self.trouble(&path, &error)?,
                Ok(seen) => {
                    let is = if seen.kind == SourceKind::Dir {
                        PathIs::Directory
                    } else {
                        PathIs::Other
                    };
                    if self.rules.excludes.matches(&path, is) {
                        continue;
                    }
                    if let Some(below) = self.entry(&dir, &name, &path, seen, stay_on)? {
                        stack.push(below);
                        let upper = stack.len().checked_sub(OPEN_DIRS_MAX + 1);
                        if let Some(frame) = upper.and_then(|upper| stack.get_mut(upper)) {
                            frame.dir = None;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens a directory again that was closed to save descriptors; it must still be the same one.
    fn reopen(&self, path: &[u8], identity: (u64, u64)) -> Result<SourceDir, SourceError> {
        let dir = self.open_path(path)?;
        let seen = dir.look_at_self()?;
        if (seen.device, seen.inode) == identity {
            Ok(dir)
        } else {
            Err(SourceError::Replaced {
                path: dir.path().to_owned(),
            })
        }
    }

    /// One entry. A directory that has to be walked comes back as a frame.
    fn entry(
        &mut self,
        dir: &SourceDir,
        name: &[u8],
        path: &[u8],
        seen: SourceEntry,
        stay_on: Option<u64>,
    ) -> Result<Option<Frame>, WalkError> {
        if self.is_forbidden(&seen) {
            tracing::debug!(path = %snapshot_path::display(path), "the node's own home is left out");
            return Ok(None);
        }
        if let Some(errno) = seen.xattr_errno {
            let error = std::io::Error::from_raw_os_error(errno);
            let message = format!("not all of its extended attributes could be read: {error}");
            self.step(Step::warning(WarningKind::Attributes, path, &message))?;
        }
        let named = self.named_entry(name, path, seen);
        match named.seen.kind {
            SourceKind::Dir => self.directory(dir, named, stay_on),
            SourceKind::File => self.file(dir, named).map(|()| None),
            _ => self.step(Step::Other(named)).map(|()| None),
        }
    }

    fn directory(
        &mut self,
        dir: &SourceDir,
        named: Named,
        stay_on: Option<u64>,
    ) -> Result<Option<Frame>, WalkError> {
        let (name, path, identity) = (named.name.clone(), named.path.clone(), named.identity());
        self.step(Step::Enter(named, Role::Walked))?;
        if stay_on.is_some_and(|device| device != identity.0) {
            self.step(Step::Leave)?;
            return Ok(None);
        }
        let opened = dir.open_dir(&name).and_then(|below| {
            let names = below.names()?;
            Ok((below, names))
        });
        match opened {
            Ok((below, names)) => Ok(Some(Frame {
                dir: Some(below),
                identity,
                path,
                names: names.into_iter(),
                stay_on,
                leaves: true,
            })),
            Err(error) => {
                self.trouble(&path, &error)?;
                self.step(Step::Leave)?;
                Ok(None)
            }
        }
    }

    fn file(&mut self, dir: &SourceDir, named: Named) -> Result<(), WalkError> {
        let (before, reading) = match self.known.look_up(&named.path, &named.seen)? {
            Known::Unchanged(file) => (None, Reading::Unchanged(file)),
            Known::Moved(file) => (None, Reading::Moved(file)),
            Known::ToRead(before) if named.seen.size > SMALL_LEN_MAX => (before, Reading::Large(dir.clone())),
            Known::ToRead(before) => (before, self.read_ahead(dir, &named)?),
        };
        self.step(Step::File {
            named,
            before,
            reading,
        })
    }

    /// Hands a small file to the readers.
    fn read_ahead(&self, dir: &SourceDir, named: &Named) -> Result<Reading<'e>, WalkError> {
        let held = self.read_ahead.take(named.seen.size, self.cancel)?;
        let (reply, answer) = bounded(1);
        let job = ReadJob {
            dir: dir.clone(),
            name: named.name.clone(),
            seen: named.seen.clone(),
            reply,
        };
        self.jobs.send(job).map_err(|_| WalkError::Stopped)?;
        Ok(Reading::Small {
            dir: dir.clone(),
            answer,
            held,
        })
    }

    fn named_entry(&self, name: &[u8], path: &[u8], seen: SourceEntry) -> Named {
        Named {
            name: name.to_vec(),
            path: path.to_vec(),
            seen,
            looked_at: self.looked_at,
        }
    }

    fn is_forbidden(&self, seen: &SourceEntry) -> bool {
        seen.kind == SourceKind::Dir && self.rules.forbidden.contains(&(seen.device, seen.inode))
    }

    /// Trouble with a path that the user named, or one above it: nobody has listed it before.
    fn named_trouble(&mut self, path: &[u8], error: &SourceError) -> Result<(), WalkError> {
        match error {
            SourceError::Gone { .. } => self.step(Step::error(path, "there is no such file or directory")),
            error => self.trouble(path, error),
        }
    }

    fn trouble(&mut self, path: &[u8], error: &SourceError) -> Result<(), WalkError> {
        self.step(Step::error(path, &super::step::in_words(error)))
    }

    /// Notes the clock before a look, so that what is touched after it counts as too fresh.
    fn note_time(&mut self) {
        let now = (self.clock)().0;
        self.looked_at = FileTime {
            secs: (now / 1000) as i64,
            nanos: (now % 1000) as u32 * 1_000_000,
        };
    }

    fn step(&mut self, step: Step<'e>) -> Result<(), WalkError> {
        self.steps.send(step).map_err(|_| WalkError::Stopped)
    }
}
