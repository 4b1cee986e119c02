//! What the walk tells the sequencer, in stored order.

use crossbeam_channel::Receiver;
use nuthatch_disk::source::{FileTime, SourceDir, SourceEntry, SourceError};

use super::known::{Before, KnownFile};
use super::read::SmallFile;
use crate::budget::Held;
use crate::progress::{Warning, WarningKind};

/// An entry of the source: where it is and what it was when it was looked at.
#[derive(Debug)]
pub(crate) struct Named {
    /// Its name in its directory.
    pub(crate) name: Vec<u8>,
    /// Its absolute path.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) seen: SourceEntry,
    /// The machine's clock before that look.
    pub(crate) looked_at: FileTime,
}

impl Named {
    /// Which inode it is on which device.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.seen.device, self.seen.inode)
    }
}

/// How a file's contents come.
pub(crate) enum Reading<'e> {
    /// They are known from an earlier backup of this path.
    Unchanged(KnownFile),
    /// They are known from an earlier backup of another path.
    Moved(KnownFile),
    /// They are small and a reader has them, or will soon.
    Small {
        /// The directory, in case that the file has grown since.
        dir: SourceDir,
        /// Where the reader answers.
        answer: Receiver<Result<SmallFile, SourceError>>,
        /// Their share of the read-ahead.
        held: Held<'e>,
    },
    /// They have to be read by the sequencer itself.
    Large(SourceDir),
}

/// Why a directory is in the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is backed up.
    Walked,
    /// It lies above a path that is. Its own time is of no interest and changes with its other entries: it is stored with the newest time
    /// of what it holds here, so that an unchanged backup is an unchanged tree.
    Above,
}

/// One thing in stored order.
pub(crate) enum Step<'e> {
    /// A directory begins.
    Enter(Named, Role),
    /// The innermost directory is complete.
    Leave,
    /// A regular file.
    File {
        /// The file.
        named: Named,
        /// What an earlier backup saw under its path, unless it is unchanged.
        before: Option<Before>,
        /// How its contents come.
        reading: Reading<'e>,
    },
    /// A link, pipe, device or socket.
    Other(Named),
    /// Something is not as it should be.
    Trouble {
        /// What.
        warning: Warning,
        /// Whether an entry is missing because of it.
        is_error: bool,
    },
}

impl Step<'_> {
    /// An entry is missing.
    pub(crate) fn error(path: &[u8], message: &str) -> Self {
        Self::Trouble {
            warning: Warning::about(WarningKind::Unreadable, path, message),
            is_error: true,
        }
    }

    /// An entry is there, but not all is well with it.
    pub(crate) fn warning(kind: WarningKind, path: &[u8], message: &str) -> Self {
        Self::Trouble {
            warning: Warning::about(kind, path, message),
            is_error: false,
        }
    }
}

/// Why an entry could not be read, without its path, which the warning names.
pub(crate) fn in_words(error: &SourceError) -> String {
    match error {
        SourceError::Gone { .. } => "it is gone since its directory was listed".to_owned(),
        SourceError::Replaced { .. } => "it was replaced while it was looked at".to_owned(),
        SourceError::Permission { action, .. } => format!("no permission to {action} it"),
        SourceError::Io { action, source, .. } => format!("cannot {action} it: {source}"),
    }
}
