//! What a backup counts. Plain numbers; they decide nothing.

/// How an entry compares with the last backup that saw its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// Its path was not seen before.
    New,
    /// Its path was seen, with other contents.
    Changed,
    /// The same as before.
    Unmodified,
}

/// Tallies of one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Regular files of a path not seen before.
    pub(crate) files_new: u64,
    /// Regular files whose contents had to be read again.
    pub(crate) files_changed: u64,
    /// Regular files that were not read.
    pub(crate) files_unmodified: u64,
    /// Directories of a path not seen before.
    pub(crate) dirs_new: u64,
    /// Directories in which something changed.
    pub(crate) dirs_changed: u64,
    /// Directories in which nothing changed.
    pub(crate) dirs_unmodified: u64,
    /// Links, pipes, devices and sockets.
    pub(crate) others: u64,
    /// Data in all files together, without holes, files of several names once, in bytes.
    pub(crate) bytes: u64,
    /// Bytes read, or found unchanged.
    pub(crate) bytes_processed: u64,
    /// Entries that are missing.
    pub(crate) errors: u64,
}

impl Counts {
    /// Counts a regular file.
    pub(crate) fn file(&mut self, novelty: Novelty) {
        match novelty {
            Novelty::New => self.files_new += 1,
            Novelty::Changed => self.files_changed += 1,
            Novelty::Unmodified => self.files_unmodified += 1,
        }
    }

    /// Counts a directory.
    pub(crate) fn directory(&mut self, novelty: Novelty) {
        match novelty {
            Novelty::New => self.dirs_new += 1,
            Novelty::Changed => self.dirs_changed += 1,
            Novelty::Unmodified => self.dirs_unmodified += 1,
        }
    }

    /// Regular files.
    pub(crate) fn files(&self) -> u64 {
        self.files_new + self.files_changed + self.files_unmodified
    }

    /// Directories.
    pub(crate) fn dirs(&self) -> u64 {
        self.dirs_new + self.dirs_changed + self.dirs_unmodified
    }

    /// All entries but directories.
    pub(crate) fn entries(&self) -> u64 {
        self.files() + self.others
    }
}
