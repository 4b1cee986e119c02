//! Contents of files: their chunks are planned into windows, and a full window is fetched and written.

use std::sync::Arc;

use nuthatch_disk::target::{TargetDir, TargetError};
use nuthatch_format::content::Content;
use nuthatch_format::tree::{Entry, EntryKind};

use super::super::RestoreError;
use super::super::files::{FileJob, Spot, Window, WindowWriter, in_words, tell_unset};
use super::super::planner::{self, Claims, Existing, FilePlan, Next, PlanFault};
use super::super::segments::Segments;
use super::Restorer;
use crate::cancel::Cancelled;
use crate::content_reader::{ContentError, ContentReader};
use crate::meta_reader::MetaReader;
use crate::progress::{Warning, WarningKind};
use crate::section_reader::ChunkError;

/// Chunks of a window (count): 1 GiB of data at the average size, some 2 MiB of memory with the plan that is made of them.
const WANTS_MAX: usize = 4 * 1024;
/// Files of a window (count).
const FILES_MAX: usize = 4 * 1024;
/// Bytes of attributes and names that a window's files hold.
const ATTRIBUTES_LEN_MAX: usize = 4 * 1024 * 1024;

impl Restorer<'_> {
    /// A regular file. The inner error is about this file only.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        entry: &Entry,
        spot: Spot,
        dir: &TargetDir,
        meta: &mut MetaReader<'_>,
    ) -> Result<Result<(), TargetError>, RestoreError> {
        let EntryKind::File { size, content, holes } = &entry.kind else {
            return Ok(Ok(()));
        };
        self.parts.files.keep_dir(&spot.dir, dir);
        let metadata = self.metadata(&entry.meta);
        self.attributes_len += path.len()
            + metadata
                .xattrs
                .iter()
                .map(|(n, v)| n.len() + v.len())
                .sum::<usize>();
        let segments = Segments::new(*size, holes);
        let job = Arc::new(FileJob::new(path.to_vec(), spot, *size, segments, metadata));
        if let Some(group) = entry.hard_link {
            self.links.set_job(group, &job);
        }
        let cancel = self.parts.fetcher.sections.cancel;
        let existing = match planner::existing(dir, &job, entry, self.parts.files, cancel) {
            Ok(existing) => existing,
            Err(error) => {
                if let Some(group) = entry.hard_link {
                    self.links.forget(group);
                }
                cancel.check()?;
                return Ok(Err(error));
            }
        };
        self.window.files.push(Arc::clone(&job));
        let mut plan = FilePlan {
            job: &job,
            existing,
            planned: 0,
        };
        let planned = self.plan(&mut plan, content, meta)?;
        let existing = std::mem::replace(&mut plan.existing, Existing::Nothing);
        match (planned, existing) {
            (Err(PlanFault::Chunk(error)), _) => {
                let error = RestoreError::of_chunk(error)?;
                self.parts.files.fail(&job, error.kind(), &error.to_string());
            }
            (Err(PlanFault::Target(error)), _) => {
                self.parts
                    .files
                    .fail(&job, WarningKind::NotRestored, &in_words(&error));
            }
            (Err(error @ PlanFault::Lengths), _) => {
                self.parts
                    .files
                    .fail(&job, WarningKind::Damaged, &error.to_string());
            }
            (Ok(()), Existing::Right(file)) => {
                tell_unset(self.parts.reporter, path, &file.adopt(&job.metadata));
                self.counts.files_unchanged += 1;
                self.parts.reporter.entry(path);
                return Ok(Ok(()));
            }
            (Ok(()), existing) => drop(existing),
        }
        self.parts.files.settle(&job);
        let is_full = self.window.files.len() >= FILES_MAX || self.attributes_len >= ATTRIBUTES_LEN_MAX;
        if is_full {
            self.flush(None).map(Ok)
        } else {
            Ok(Ok(()))
        }
    }

    /// Plans all chunks of a file; a window that fills up is written on the way.
    fn plan(
        &mut self,
        plan: &mut FilePlan<'_>,
        content: &Content,
        meta: &mut MetaReader<'_>,
    ) -> Result<Result<(), PlanFault>, RestoreError> {
        let mut ids = match ContentReader::new::<ChunkError>(content) {
            Ok(ids) => ids,
            Err(error) => return Ok(Err(fault(error))),
        };
        loop {
            let id = match ids.next(meta) {
                Ok(Some(id)) => id,
                Ok(None) if plan.planned == content.len => return Ok(Ok(())),
                Ok(None) => return Ok(Err(PlanFault::Lengths)),
                Err(error) => return Ok(Err(fault(error))),
            };
            self.parts.fetcher.sections.cancel.check()?;
            let data = plan.planned;
            let mut claims = Claims {
                meta,
                liars: &mut self.liars,
            };
            match plan.chunk(&id, &mut claims, self.parts.files) {
                Ok(Next::Have) => {}
                Ok(Next::Want(mut want)) => {
                    plan.job.expect();
                    want.slot = self.window.slots.len() as u32;
                    self.window
                        .slots
                        .push((self.window.files.len().saturating_sub(1) as u32, data));
                    self.window.wants.push(want);
                    if self.window.wants.len() >= WANTS_MAX {
                        self.flush(Some(plan.job))?;
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
            if plan.job.is_failed() {
                return Ok(Ok(()));
            }
        }
    }

    /// Fetches and writes everything that is wanted. A file that is still being planned stays in the window.
    pub(super) fn flush(&mut self, unplanned: Option<&Arc<FileJob>>) -> Result<(), RestoreError> {
        let wants = std::mem::take(&mut self.window.wants);
        if !wants.is_empty() {
            let writer = WindowWriter {
                window: &self.window,
                files: self.parts.files,
            };
            let failed = match self.parts.fetcher.run(wants, &writer) {
                Ok(failed) => failed,
                Err(error) => {
                    return Err(RestoreError::of_chunk(error)
                        .err()
                        .unwrap_or(RestoreError::Cancelled(Cancelled)));
                }
            };
            for (want, error) in failed {
                if let Some((file, _)) = self.window.place(&want) {
                    self.parts.files.fail(file, error.kind(), &error.to_string());
                    self.parts.files.settle(file);
                }
            }
        }
        self.window = Window::default();
        self.window.files.extend(unplanned.cloned());
        self.attributes_len = 0;
        self.join_links();
        self.links.settle();
        Ok(())
    }

    fn join_links(&mut self) {
        for link in std::mem::take(&mut self.link_jobs) {
            if link.job.as_ref().is_some_and(|job| job.is_failed()) {
                let message = "it is another name of a file that could not be restored";
                self.parts
                    .reporter
                    .error(Warning::about(WarningKind::NotRestored, &link.path, message));
                continue;
            }
            let joined = self.parts.files.dir(&link.spot.dir).and_then(|dir| {
                let first = self.parts.files.dir(&link.first.dir)?;
                dir.hard_link(&link.spot.name, &first, &link.first.name)
            });
            match joined {
                Ok(()) => {
                    self.counts.files_linked += 1;
                    self.parts.reporter.entry(&link.path);
                }
                Err(error) => self.not_restored(&link.path, &error),
            }
        }
    }
}

fn fault(error: ContentError<ChunkError>) -> PlanFault {
    match error {
        ContentError::Chunk(error) => PlanFault::Chunk(error),
        ContentError::Malformed => PlanFault::Lengths,
    }
}
