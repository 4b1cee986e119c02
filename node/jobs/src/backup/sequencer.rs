//! Turns the steps of the walk, in stored order, into chunks, trees and counts. Runs on the job's own thread.
//!
//! It stores, counts and remembers; it never looks at a directory and never compresses or seals. One bad file is a warning, never an end.

use nuthatch_disk::source::{FileTime, SourceDir, SourceError};
use nuthatch_format::content::{Content, ContentBuilder};
use nuthatch_format::pack::PackKind;
use nuthatch_format::tree::{Entry, EntryKind, Metadata};

use super::BackupError;
use super::counts::{Counts, Novelty};
use super::dir_writer::DirWriter;
use super::entry::{self, LinkGroups};
use super::env::Env;
use super::known::{Before, KnownError, KnownFile, Memory};
use super::read::{Contents, Extent, SmallFile};
use super::sink::ChunkSink;
use super::step::{Named, Reading, Role, Step, in_words};
use crate::cancel::Cancelled;
use crate::cutter::Cutter;
use crate::progress::{Progress, Tally, Warning, WarningKind, WarningLog};
use crate::snapshot_path;

/// The state of one backup between two steps.
pub(crate) struct Sequencer<'e> {
    env: &'e Env<'e>,
    progress: &'e dyn Progress,
    sink: ChunkSink<'e>,
    cutter: Cutter<'e>,
    dirs: Vec<OpenDir<'e>>,
    links: LinkGroups,
    memory: Memory<'e>,
    counts: Counts,
    log: WarningLog,
}

/// A directory whose entries are coming.
struct OpenDir<'e> {
    /// What it is; the root of all has neither name nor metadata.
    named: Option<Named>,
    role: Role,
    writer: DirWriter<'e>,
    /// Newest time of its entries.
    newest: Option<FileTime>,
}

/// What is left when all steps are done.
pub(crate) struct Sequenced<'e> {
    /// The root tree.
    pub(crate) root: Content,
    /// Where chunks went.
    pub(crate) sink: ChunkSink<'e>,
    /// What was counted.
    pub(crate) counts: Counts,
    /// What was not as it should be.
    pub(crate) log: WarningLog,
}

/// A file's contents in the archive.
struct Stored {
    content: Content,
    extent: Extent,
    changed: bool,
}

/// Why a file's contents are not in the archive.
enum FileError {
    /// This file cannot be read.
    Source(SourceError),
    /// The backup cannot go on.
    Backup(BackupError),
}

impl From<SourceError> for FileError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<KnownError> for FileError {
    fn from(error: KnownError) -> Self {
        Self::Backup(error.into())
    }
}

impl From<BackupError> for FileError {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

impl<'e> Sequencer<'e> {
    /// At the beginning of a walk.
    pub(crate) fn new(
        env: &'e Env<'e>,
        sink: ChunkSink<'e>,
        memory: Memory<'e>,
        progress: &'e dyn Progress,
    ) -> Self {
        let root = OpenDir {
            named: None,
            role: Role::Walked,
            writer: DirWriter::new(&env.chunker),
            newest: None,
        };
        Self {
            env,
            progress,
            sink,
            cutter: Cutter::new(&env.chunker),
            dirs: vec![root],
            links: LinkGroups::default(),
            memory,
            counts: Counts::default(),
            log: WarningLog::default(),
        }
    }

    /// Takes the next step.
    pub(crate) fn step(&mut self, step: Step<'e>) -> Result<(), BackupError> {
        self.env.cancel.check()?;
        match step {
            Step::Enter(named, role) => {
                self.dirs.push(OpenDir {
                    named: Some(named),
                    role,
                    writer: DirWriter::new(&self.env.chunker),
                    newest: None,
                });
                Ok(())
            }
            Step::Leave => self.leave(),
            Step::File {
                named,
                before,
                reading,
            } => self.file(&named, before, reading),
            Step::Other(named) => {
                let Some(kind) = entry::other(&named.seen.kind) else {
                    return Ok(());
                };
                self.counts.others += 1;
                self.add(&named, kind)
            }
            Step::Trouble { warning, is_error } => {
                self.counts.errors += u64::from(is_error);
                self.log.add(self.progress, warning);
                Ok(())
            }
        }
    }

    /// A stream that is not in any file system, as the only file of the root directory.
    pub(crate) fn stream(
        &mut self,
        name: &[u8],
        meta: Metadata,
        reader: &mut (dyn std::io::Read + Send),
    ) -> Result<(), BackupError> {
        let mut builder = ContentBuilder::new();
        self.cutter.reset();
        while !self.cutter.is_done() {
            self.env.cancel.check()?;
            let read = self
                .cutter
                .fill(|buffer| read_retrying(reader, buffer))
                .map_err(BackupError::Stream)?;
            self.counts.bytes_processed += read as u64;
            self.drain(&mut builder)?;
            self.report(name);
        }
        let content = builder.finish(&mut self.sink)?;
        let extent = Extent {
            size: content.len,
            holes: Vec::new(),
        };
        self.counts.files_new += 1;
        let entry = Entry {
            name: name.to_vec(),
            kind: entry::file(&extent, content),
            meta,
            hard_link: None,
        };
        self.push(&snapshot_path::join(b"", name), &entry)
    }

    /// Ends the root directory.
    pub(crate) fn finish(mut self) -> Result<Sequenced<'e>, BackupError> {
        let mut root = Content::default();
        while let Some(dir) = self.dirs.pop() {
            root = dir.writer.finish(&mut self.sink)?;
        }
        self.memory.flush()?;
        Ok(Sequenced {
            root,
            sink: self.sink,
            counts: self.counts,
            log: self.log,
        })
    }

    fn leave(&mut self) -> Result<(), BackupError> {
        let Some(dir) = self.dirs.pop() else { return Ok(()) };
        let Some(mut named) = dir.named else { return Ok(()) };
        if let (Role::Above, Some(newest)) = (dir.role, dir.newest) {
            named.seen.mtime = newest;
        }
        let tree = dir.writer.finish(&mut self.sink)?;
        self.counts.directory(self.memory.directory(&named, &tree)?);
        self.add(&named, EntryKind::Dir { tree })
    }

    fn file(
        &mut self,
        named: &Named,
        before: Option<Before>,
        reading: Reading<'e>,
    ) -> Result<(), BackupError> {
        let is_further_name = self.memory.linked(named).is_some();
        let how = Novelty::of(&reading);
        let stored = match self.contents(named, reading) {
            Ok(stored) => stored,
            Err(FileError::Backup(error)) => return Err(error),
            Err(FileError::Source(error)) => {
                self.counts.errors += 1;
                let warning = Warning::about(WarningKind::Unreadable, &named.path, in_words(&error));
                self.log.add(self.progress, warning);
                return Ok(());
            }
        };
        if stored.changed {
            let message = "it changed while it was read: what is stored may be a mixture";
            let warning = Warning::about(WarningKind::FileChanged, &named.path, message);
            self.log.add(self.progress, warning);
        }
        let is_same = before
            .as_ref()
            .is_some_and(|before| before.is_same(&named.seen, &stored.content));
        self.counts.file(match (how, before) {
            (Some(novelty), _) => novelty,
            (None, None) => Novelty::New,
            (None, Some(_)) if is_same => Novelty::Unmodified,
            (None, Some(_)) => Novelty::Changed,
        });
        if how.is_some() || is_further_name {
            self.counts.bytes_processed += stored.content.len;
        }
        if !is_further_name {
            self.counts.bytes += stored.content.len;
        }
        self.add(named, entry::file(&stored.extent, stored.content))
    }

    fn contents(&mut self, named: &Named, reading: Reading<'e>) -> Result<Stored, FileError> {
        let unread = match &reading {
            Reading::Unchanged(file) | Reading::Moved(file) => Some(file.clone()),
            Reading::Small { .. } | Reading::Large(_) => self.memory.linked(named),
        };
        if let Some(file) = unread {
            self.memory.note_link(named, file.clone());
            if !matches!(reading, Reading::Unchanged(_)) {
                self.memory.remember(named, file.clone())?;
            }
            return Ok(Stored {
                content: file.content,
                extent: file.extent,
                changed: false,
            });
        }
        let stored = match reading {
            Reading::Unchanged(_) | Reading::Moved(_) => return Err(BackupError::Cancelled(Cancelled).into()),
            Reading::Large(dir) => self.large(&dir, named)?,
            Reading::Small { dir, answer, held } => {
                let answer = answer.recv().map_err(|_| BackupError::Cancelled(Cancelled))?;
                let stored = match answer? {
                    SmallFile::Grown => self.large(&dir, named)?,
                    SmallFile::Whole {
                        data,
                        chunks,
                        extent,
                        changed,
                    } => Stored {
                        content: self.small(named, &data, &chunks)?,
                        extent,
                        changed,
                    },
                };
                drop(held);
                stored
            }
        };
        if !stored.changed {
            let file = KnownFile {
                content: stored.content.clone(),
                extent: stored.extent.clone(),
            };
            self.memory.note_link(named, file.clone());
            self.memory.remember(named, file)?;
        }
        Ok(stored)
    }

    fn small(
        &mut self,
        named: &Named,
        data: &[u8],
        chunks: &[(nuthatch_format::ChunkId, usize)],
    ) -> Result<Content, BackupError> {
        let mut builder = ContentBuilder::new();
        let mut rest = data;
        for (id, len) in chunks {
            let Some((chunk, behind)) = rest.split_at_checked(*len) else {
                break;
            };
            rest = behind;
            self.sink.put(PackKind::Data, *id, chunk)?;
            builder.push(*id, *len as u32, &mut self.sink)?;
        }
        self.counts.bytes_processed += data.len() as u64;
        self.report(&named.path);
        builder.finish(&mut self.sink)
    }

    fn large(&mut self, dir: &SourceDir, named: &Named) -> Result<Stored, FileError> {
        let mut contents = Contents::open(dir, &named.name, &named.seen)?;
        let mut builder = ContentBuilder::new();
        self.cutter.reset();
        while !self.cutter.is_done() {
            self.env.cancel.check().map_err(BackupError::from)?;
            let read = self.cutter.fill(|buffer| contents.read(buffer))?;
            self.counts.bytes_processed += read as u64;
            self.drain(&mut builder)?;
            self.report(&named.path);
        }
        let content = builder.finish(&mut self.sink)?;
        let (extent, changed) = contents.finish(&named.seen)?;
        Ok(Stored {
            content,
            extent,
            changed,
        })
    }

    /// Stores the chunks that the cutter can cut now.
    fn drain(&mut self, builder: &mut ContentBuilder) -> Result<(), BackupError> {
        while let Some(chunk) = self.cutter.next() {
            let id = self.env.keys.chunk_id(chunk);
            self.sink.put(PackKind::Data, id, chunk)?;
            builder.push(id, chunk.len() as u32, &mut self.sink)?;
        }
        Ok(())
    }

    fn add(&mut self, named: &Named, kind: EntryKind) -> Result<(), BackupError> {
        let (meta, left_out) = entry::metadata(&named.seen);
        if left_out {
            let message = "its extended attributes are too large: some are left out";
            let warning = Warning::about(WarningKind::Attributes, &named.path, message);
            self.log.add(self.progress, warning);
        }
        let entry = Entry {
            name: named.name.clone(),
            kind,
            meta,
            hard_link: self.links.group(&named.seen),
        };
        self.push(&named.path, &entry)
    }

    fn push(&mut self, path: &[u8], entry: &Entry) -> Result<(), BackupError> {
        let Some(dir) = self.dirs.last_mut() else {
            return Ok(());
        };
        let time = FileTime {
            secs: entry.meta.mtime.secs,
            nanos: entry.meta.mtime.nanos,
        };
        dir.newest = dir.newest.max(Some(time));
        if let Err(error) = dir.writer.push(entry, &mut self.sink)? {
            self.counts.errors += 1;
            let warning = Warning::about(WarningKind::Unreadable, path, error.to_string());
            self.log.add(self.progress, warning);
        }
        self.report(path);
        Ok(())
    }

    fn report(&self, path: &[u8]) {
        let tally = Tally {
            files_done: self.counts.entries(),
            bytes_done: self.counts.bytes_processed,
            bytes_moved: self.env.bytes_stored.load(std::sync::atomic::Ordering::Relaxed),
            errors: self.counts.errors,
        };
        self.progress.advanced(&tally, path);
    }
}

impl Novelty {
    /// What is clear before anything is read.
    fn of(reading: &Reading<'_>) -> Option<Self> {
        match reading {
            Reading::Unchanged(_) => Some(Self::Unmodified),
            Reading::Moved(_) => Some(Self::New),
            Reading::Small { .. } | Reading::Large(_) => None,
        }
    }
}

fn read_retrying(reader: &mut (dyn std::io::Read + Send), buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
