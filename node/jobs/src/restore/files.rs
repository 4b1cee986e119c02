//! Files that are being restored: written out of order from several threads, finished when their last chunk has come.
//!
//! Few are open at a time; one that was closed is opened again under its temporary name. It writes below the target only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nuthatch_disk::target::{Beginning, TargetDir, TargetError, TargetFile, TargetMetadata};
use parking_lot::Mutex;

use super::fetch::Deliver;
use super::plan::Want;
use super::segments::Segments;
use crate::progress::{Reporter, Warning, WarningKind};

/// Files that are open at a time.
const OPEN_FILES_MAX: usize = 64;
/// Directories that are open at a time, besides those of the walk.
const OPEN_DIRS_MAX: usize = 32;

/// Length from which on a finished file is written out at once, in bytes; shorter ones are written together at the end.
const WRITE_OUT_LEN_MIN: u64 = 1 << 20;
/// Bytes of finished files that are being written out at a time, before the system's copy of the oldest is given up.
const WRITING_OUT_MAX: u64 = 32 << 20;

/// A place below the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Names of its directory below the target, joined by slashes.
    pub(crate) dir: Vec<u8>,
    /// Its own name.
    pub(crate) name: Vec<u8>,
}

/// A file whose contents come chunk by chunk.
pub(crate) struct FileJob {
    /// Its path in the snapshot, for messages.
    pub(crate) path: Vec<u8>,
    /// Where it goes.
    pub(crate) spot: Spot,
    /// Its size, with holes.
    pub(crate) size: u64,
    /// How its data lies in it.
    pub(crate) segments: Segments,
    /// What it gets at its end.
    pub(crate) metadata: TargetMetadata,
    /// Chunks that are still to come, and one for the planning of more.
    remaining: AtomicU64,
    failed: AtomicBool,
}

impl FileJob {
    /// A file of which nothing is planned yet.
    pub(crate) fn new(
        path: Vec<u8>,
        spot: Spot,
        size: u64,
        segments: Segments,
        metadata: TargetMetadata,
    ) -> Self {
        Self {
            path,
            spot,
            size,
            segments,
            metadata,
            remaining: AtomicU64::new(1),
            failed: AtomicBool::new(false),
        }
    }

    /// Another chunk is wanted.
    pub(crate) fn expect(&self) {
        self.remaining.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether it cannot be restored.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Everything that is being written.
pub(crate) struct Files<'a> {
    root: Option<TargetDir>,
    reporter: &'a Reporter<'a>,
    files: Mutex<VecDeque<(Spot, Arc<TargetFile>)>>,
    dirs: Mutex<VecDeque<(Vec<u8>, TargetDir)>>,
    /// Finished files on their way to the disk, the oldest first.
    written_out: Mutex<VecDeque<TargetFile>>,
    restored: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Files<'a> {
    /// Nothing is being written yet. Without a root nothing ever is.
    pub(crate) fn new(root: Option<TargetDir>, reporter: &'a Reporter<'a>) -> Self {
        Self {
            root,
            reporter,
            files: Mutex::new(VecDeque::new()),
            dirs: Mutex::new(VecDeque::new()),
            written_out: Mutex::new(VecDeque::new()),
            restored: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Files finished (count), and bytes written.
    pub(crate) fn written(&self) -> (u64, u64) {
        (
            self.restored.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }

    /// A directory below the target, made where it is missing.
    pub(crate) fn dir(&self, path: &[u8]) -> Result<TargetDir, TargetError> {
        if let Some((_, dir)) = self.dirs.lock().iter().find(|(kept, _)| kept == path) {
            return Ok(dir.clone());
        }
        let Some(root) = &self.root else {
            return Err(TargetError::InTheWay {
                path: std::path::PathBuf::new(),
            });
        };
        let dir = root.descend(path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()))?;
        let mut dirs = self.dirs.lock();
        if dirs.len() >= OPEN_DIRS_MAX {
            dirs.pop_front();
        }
        dirs.push_back((path.to_vec(), dir.clone()));
        Ok(dir)
    }

    /// Keeps a directory that is open already.
    pub(crate) fn keep_dir(&self, path: &[u8], dir: &TargetDir) {
        let mut dirs = self.dirs.lock();
        if dirs.iter().any(|(kept, _)| kept == path) {
            return;
        }
        if dirs.len() >= OPEN_DIRS_MAX {
            dirs.pop_front();
        }
        dirs.push_back((path.to_vec(), dir.clone()));
    }

    /// The file under its temporary name, with what was written of it.
    pub(crate) fn open(&self, file: &FileJob) -> Result<Arc<TargetFile>, TargetError> {
        if let Some((_, open)) = self.files.lock().iter().find(|(spot, _)| *spot == file.spot) {
            return Ok(Arc::clone(open));
        }
        let dir = self.dir(&file.spot.dir)?;
        let open = Arc::new(dir.create_file(&file.spot.name, file.size, Beginning::Resume)?);
        let mut files = self.files.lock();
        // Another thread may have opened it meanwhile: one of the two is enough.
        if let Some((_, other)) = files.iter().find(|(spot, _)| *spot == file.spot) {
            return Ok(Arc::clone(other));
        }
        if files.len() >= OPEN_FILES_MAX {
            files.pop_front();
        }
        files.push_back((file.spot.clone(), Arc::clone(&open)));
        Ok(open)
    }

    /// Writes a stretch of a file's data.
    pub(crate) fn write(&self, file: &FileJob, data: u64, bytes: &[u8]) -> Result<(), TargetError> {
        let open = self.open(file)?;
        for (offset, from, len) in file.segments.locate(data, bytes.len() as u64) {
            open.write_at(offset, bytes.get(from..from + len).unwrap_or_default())?;
        }
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.reporter.bytes(bytes.len() as u64, &file.path);
        Ok(())
    }

    /// A file cannot be restored. Told once; what was written stays under its temporary name for the next try.
    pub(crate) fn fail(&self, file: &FileJob, kind: WarningKind, message: &str) {
        if !file.failed.swap(true, Ordering::AcqRel) {
            self.reporter.error(Warning::about(kind, &file.path, message));
        }
    }

    /// A chunk of a file has come, or never will, or its planning has ended. The last one finishes the file.
    pub(crate) fn settle(&self, file: &FileJob) {
        if file.remaining.fetch_sub(1, Ordering::AcqRel) != 1 || file.is_failed() {
            return;
        }
        match self.finish(file) {
            Ok(()) => {
                self.restored.fetch_add(1, Ordering::Relaxed);
                self.reporter.entry(&file.path);
            }
            Err(error) => self.fail(file, WarningKind::NotRestored, &in_words(&error)),
        }
    }

    fn finish(&self, file: &FileJob) -> Result<(), TargetError> {
        drop(self.open(file)?);
        let mut files = self.files.lock();
        let at = files.iter().position(|(spot, _)| *spot == file.spot);
        let kept = at
            .and_then(|at| files.remove(at))
            .and_then(|(_, open)| Arc::into_inner(open));
        drop(files);
        let open = match kept {
            Some(open) => open,
            // Closed by other files between the last write and now.
            None => self
                .dir(&file.spot.dir)?
                .create_file(&file.spot.name, file.size, Beginning::Resume)?,
        };
        let unset = open.finish(&file.metadata)?;
        tell_unset(self.reporter, &file.path, &unset);
        if open.size() >= WRITE_OUT_LEN_MIN {
            self.write_out(open);
        }
        Ok(())
    }

    /// Lets a finished file be written to the disk while others are fetched, and the system's copies go once they are there.
    fn write_out(&self, file: TargetFile) {
        file.let_go();
        let mut files = self.written_out.lock();
        files.push_back(file);
        let mut len: u64 = files.iter().map(TargetFile::size).sum();
        let mut written = Vec::new();
        while len > WRITING_OUT_MAX
            && let Some(oldest) = files.pop_front()
        {
            len -= oldest.size();
            written.push(oldest);
        }
        drop(files);
        written.iter().for_each(TargetFile::let_go);
    }
}

/// Attributes that could not be set are a warning, not an error.
pub(crate) fn tell_unset(reporter: &Reporter<'_>, path: &[u8], unset: &[nuthatch_disk::target::Unset]) {
    if !unset.is_empty() {
        let list: Vec<String> = unset.iter().map(ToString::to_string).collect();
        reporter.warn(Warning::about(WarningKind::Attributes, path, list.join("; ")));
    }
}

/// Why an entry could not be written, without its path, which the warning names.
pub(crate) fn in_words(error: &TargetError) -> String {
    match error {
        TargetError::BadName { .. } => "no entry can have this name".to_owned(),
        TargetError::InTheWay { .. } => "something else is in its way".to_owned(),
        TargetError::Permission { .. } => "no permission to make it".to_owned(),
        TargetError::DiskFull { .. } => "the disk is full".to_owned(),
        TargetError::Unsupported { .. } => "this system has no such kind of entry".to_owned(),
        TargetError::Io { action, source, .. } => format!("cannot {action} it: {source}"),
    }
}

/// A window of wanted chunks and where each belongs.
#[derive(Default)]
pub(crate) struct Window {
    /// Files with chunks in it.
    pub(crate) files: Vec<Arc<FileJob>>,
    /// Chunks wanted; `slot` is an index of `slots`.
    pub(crate) wants: Vec<Want>,
    /// File and offset in its data of each want.
    pub(crate) slots: Vec<(u32, u64)>,
}

impl Window {
    /// The file and data offset that a want is for.
    pub(crate) fn place(&self, want: &Want) -> Option<(&FileJob, u64)> {
        let (file, data) = self.slots.get(want.slot as usize)?;
        Some((self.files.get(*file as usize)?, *data))
    }
}

/// Writes what arrives for a window.
pub(crate) struct WindowWriter<'w> {
    /// Where it belongs.
    pub(crate) window: &'w Window,
    /// Where it is written.
    pub(crate) files: &'w Files<'w>,
}

impl Deliver for WindowWriter<'_> {
    fn deliver(&self, want: &Want, bytes: &[u8]) {
        let Some((file, data)) = self.window.place(want) else {
            return;
        };
        if !file.is_failed()
            && let Err(error) = self.files.write(file, data, bytes)
        {
            self.files.fail(file, WarningKind::NotRestored, &in_words(&error));
        }
        self.files.settle(file);
    }
}
