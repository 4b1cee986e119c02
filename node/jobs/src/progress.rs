//! What a job tells while it runs: tallies and warnings. It never renders them and never asks anything back.

use std::sync::atomic::{AtomicU64, Ordering};

use nuthatch_format::{DeviceId, NodeId};
use parking_lot::Mutex;

/// How far a job is. All counts are since its start and only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Entries done (count): files, links and other kinds, not directories.
    pub files_done: u64,
    /// Plaintext bytes done: read, found unchanged, or written.
    pub bytes_done: u64,
    /// Bytes moved: packed into staging by a backup, fetched from a source by a restore or a verification.
    pub bytes_moved: u64,
    /// Entries that failed (count).
    pub errors: u64,
}

/// What a warning is about. The texts are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WarningKind {
    /// A source file changed while it was read; what was read is stored.
    FileChanged,
    /// A source entry could not be read; it is left out.
    Unreadable,
    /// A device claimed a chunk that is not where it said; another claim was tried.
    FalseClaim,
    /// Bytes of a pack are not what they must be; another place was tried.
    WrongBytes,
    /// No place holds the right bytes.
    Damaged,
    /// The hosts that are reachable do not have enough of a pack.
    Unavailable,
    /// An entry could not be written.
    NotRestored,
    /// An entry of a kind that is never restored.
    LeftOut,
    /// An entry is there, but not all of its attributes could be set.
    Attributes,
    /// A path named for backup is a symbolic link.
    LinkNamed,
    /// A hard link came back as a file of its own.
    HardLinkSplit,
}

impl WarningKind {
    /// The word that stands for it in JSON.
    pub const fn text(self) -> &'static str {
        match self {
            Self::FileChanged => "file_changed",
            Self::Unreadable => "unreadable",
            Self::FalseClaim => "false_claim",
            Self::WrongBytes => "wrong_bytes",
            Self::Damaged => "damaged",
            Self::Unavailable => "unavailable",
            Self::NotRestored => "not_restored",
            Self::LeftOut => "left_out",
            Self::Attributes => "attributes",
            Self::LinkNamed => "link_named",
            Self::HardLinkSplit => "hard_link_split",
        }
    }
}

/// Something that went wrong with one entry, pack or host, and did not end the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// The entry's path, raw bytes; empty where it is not about an entry.
    pub path: Vec<u8>,
    /// What happened, in words.
    pub message: String,
    /// The device whose word was wrong, where one is to blame.
    pub device: Option<DeviceId>,
    /// The host whose bytes were wrong, where one is to blame.
    pub host: Option<NodeId>,
}

impl Warning {
    /// A warning about an entry.
    pub fn about(kind: WarningKind, path: &[u8], message: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.to_vec(),
            message: message.into(),
            device: None,
            host: None,
        }
    }
}

/// Where a job reports to. Called from several threads; must return quickly.
pub trait Progress: Sync {
    /// The job came this far; `path` is the entry that it is at (raw bytes, may be empty). Called about once an entry or MiB.
    fn advanced(&self, tally: &Tally, path: &[u8]);

    /// Something went wrong with one entry, pack or host. Also listed in the job's report, which is bounded.
    fn warned(&self, warning: &Warning);
}

/// Reports to nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn advanced(&self, _: &Tally, _: &[u8]) {}

    fn warned(&self, _: &Warning) {}
}

/// Warnings that a report keeps (count). Later ones are counted and reported, not kept.
pub const WARNINGS_MAX: usize = 10_000;

/// Collects warnings for a report, up to [`WARNINGS_MAX`], and passes each on.
#[derive(Debug, Default)]
pub(crate) struct WarningLog {
    kept: Vec<Warning>,
}

impl WarningLog {
    /// Passes a warning on and keeps it while there is room.
    pub(crate) fn add(&mut self, progress: &dyn Progress, warning: Warning) {
        progress.warned(&warning);
        if self.kept.len() < WARNINGS_MAX {
            self.kept.push(warning);
        }
    }

    /// The warnings kept.
    pub(crate) fn into_kept(self) -> Vec<Warning> {
        self.kept
    }

    /// The warnings kept so far.
    pub(crate) fn kept(&self) -> &[Warning] {
        &self.kept
    }
}

/// Counts and warnings of a job whose threads all report. The tallies only grow.
pub(crate) struct Reporter<'a> {
    progress: &'a dyn Progress,
    log: Mutex<WarningLog>,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    bytes_moved: AtomicU64,
    errors: AtomicU64,
}

impl<'a> Reporter<'a> {
    /// Nothing done yet.
    pub(crate) fn new(progress: &'a dyn Progress) -> Self {
        Self {
            progress,
            log: Mutex::new(WarningLog::default()),
            files_done: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            bytes_moved: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// Something went wrong that costs nothing.
    pub(crate) fn warn(&self, warning: Warning) {
        self.log.lock().add(self.progress, warning);
    }

    /// Something went wrong that costs an entry.
    pub(crate) fn error(&self, warning: Warning) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.warn(warning);
    }

    /// Bytes came from a source.
    pub(crate) fn moved(&self, len: u64) {
        self.bytes_moved.fetch_add(len, Ordering::Relaxed);
    }

    /// Bytes were written or checked, of the entry at this path.
    pub(crate) fn bytes(&self, len: u64, path: &[u8]) {
        self.bytes_done.fetch_add(len, Ordering::Relaxed);
        self.progress.advanced(&self.tally(), path);
    }

    /// An entry is done.
    pub(crate) fn entry(&self, path: &[u8]) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.progress.advanced(&self.tally(), path);
    }

    /// How far the job is.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            files_done: self.files_done.load(Ordering::Relaxed),
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
            bytes_moved: self.bytes_moved.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }

    /// The warnings kept.
    pub(crate) fn into_warnings(self) -> Vec<Warning> {
        self.log.into_inner().into_kept()
    }
}
