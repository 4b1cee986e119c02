//! Making entries that are not directories: links and special files at once, files by planning their chunks.

use nuthatch_disk::target::{Special, Standing, TargetDir, TargetError};
use nuthatch_format::tree::{Entry, EntryKind};

use super::super::files::{Spot, tell_unset};
use super::super::links::{LinkJob, Linking};
use super::super::{Overwrite, RestoreError};
use super::{Restorer, time};
use crate::meta_reader::MetaReader;
use crate::progress::{Warning, WarningKind};

/// Hard links that wait for the end of a window (count).
const LINKS_MAX: usize = 8 * 1024;

impl Restorer<'_> {
    /// Makes anything but a directory. The inner error is about this entry only.
    pub(super) fn make(
        &mut self,
        path: &[u8],
        entry: &Entry,
        spot: Spot,
        dir: &TargetDir,
        meta: &mut MetaReader<'_>,
    ) -> Result<Result<(), TargetError>, RestoreError> {
        match dir.standing(&entry.name) {
            Ok(standing) if self.is_left_alone(standing, entry) => {
                self.counts.files_unchanged += u64::from(matches!(entry.kind, EntryKind::File { .. }));
                // Something else that was left alone must not get the other names of this entry.
                if let Some(group) = entry.hard_link
                    && looks_right(standing, entry)
                {
                    self.links.linking(group, entry, &spot);
                }
                self.parts.reporter.entry(path);
                return Ok(Ok(()));
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
        if matches!(entry.kind, EntryKind::Socket) {
            let message = "a socket is noted, not restored: the program that owns it makes it";
            self.parts
                .reporter
                .warn(Warning::about(WarningKind::LeftOut, path, message));
            return Ok(Ok(()));
        }
        if self.is_joined(path, entry, &spot) {
            return if self.link_jobs.len() >= LINKS_MAX {
                self.flush(None).map(Ok)
            } else {
                Ok(Ok(()))
            };
        }
        let made = match &entry.kind {
            EntryKind::File { .. } => return self.file(path, entry, spot, dir, meta),
            EntryKind::Symlink { target } => dir.symlink(&entry.name, target, &self.metadata(&entry.meta)),
            EntryKind::Fifo => dir.special(&entry.name, Special::Fifo, &self.metadata(&entry.meta)),
            EntryKind::CharDevice { major, minor } => dir.special(
                &entry.name,
                Special::CharDevice(*major, *minor),
                &self.metadata(&entry.meta),
            ),
            EntryKind::BlockDevice { major, minor } => dir.special(
                &entry.name,
                Special::BlockDevice(*major, *minor),
                &self.metadata(&entry.meta),
            ),
            EntryKind::Socket | EntryKind::Dir { .. } => return Ok(Ok(())),
        };
        match made {
            Ok(unset) => {
                tell_unset(self.parts.reporter, path, &unset);
                self.counts.others += 1;
                self.parts.reporter.entry(path);
                Ok(Ok(()))
            }
            Err(error) => {
                if let Some(group) = entry.hard_link {
                    self.links.forget(group);
                }
                Ok(Err(error))
            }
        }
    }

    fn is_left_alone(&self, standing: Standing, entry: &Entry) -> bool {
        match (self.parts.overwrite, standing) {
            (_, Standing::Nothing) | (Overwrite::Always, _) => false,
            (Overwrite::Never, _) => true,
            (Overwrite::IfChanged, standing) => looks_right(standing, entry),
        }
    }

    /// Whether the entry becomes another name of one that is there or on its way.
    fn is_joined(&mut self, path: &[u8], entry: &Entry, spot: &Spot) -> bool {
        let Some(group) = entry.hard_link else {
            return false;
        };
        match self.links.linking(group, entry, spot) {
            Linking::First => false,
            Linking::Join { first, job } => {
                self.link_jobs.push(LinkJob {
                    path: path.to_vec(),
                    spot: spot.clone(),
                    first,
                    job,
                });
                true
            }
            Linking::Split => {
                let message = "it should be another name of a file that is not known any more";
                self.parts
                    .reporter
                    .warn(Warning::about(WarningKind::HardLinkSplit, path, message));
                false
            }
        }
    }
}

/// Whether what stands there is a file of the same size and time.
fn looks_right(standing: Standing, entry: &Entry) -> bool {
    match (standing, &entry.kind) {
        (Standing::File { size, mtime, .. }, EntryKind::File { size: wanted, .. }) => {
            size == *wanted && mtime == time(&entry.meta)
        }
        _ => false,
    }
}
