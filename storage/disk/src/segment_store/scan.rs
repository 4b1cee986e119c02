//! What the files of a segment store say, read when there is no index to trust.

use std::path::{Path, PathBuf};

use nuthatch_format::journal::{SEGMENT_LEN_MAX, SignedSegment};
use nuthatch_format::{ArchiveId, LineId};

use super::index::{Sink, StoredSegment};
use super::{SegmentStoreError, file_name, line_dir};
use crate::atomic::{self, FileError};

/// Removes the temporaries that a killed process left and makes durable what it had renamed: what is found here may be acknowledged.
pub(super) fn settle(root: &Path) -> Result<(), FileError> {
    for archive in archive_dirs(root)? {
        for name in atomic::list(&archive)? {
            let dir = archive.join(name);
            if dir.is_dir() {
                atomic::sweep(&dir)?;
                atomic::sync_dir(&dir)?;
            }
        }
        atomic::sync_dir(&archive)?;
    }
    atomic::sync_dir(root)
}

/// The directories of archives; what else stands there is left alone.
fn archive_dirs(root: &Path) -> Result<Vec<PathBuf>, FileError> {
    let names = atomic::list(root)?;
    let archives = names.iter().filter(|name| {
        name.to_str()
            .is_some_and(|name| name.parse::<ArchiveId>().is_ok())
    });
    Ok(archives
        .map(|name| root.join(name))
        .filter(|dir| dir.is_dir())
        .collect())
}

/// Hands every segment to the sink that is whole, signed, and in its place. Others stay where they are and do not count: the same
/// segment, put again, takes their place.
pub(super) fn scan(root: &Path, sink: &mut Sink<'_>) -> Result<(), SegmentStoreError> {
    for dir in archive_dirs(root)? {
        let Some(archive) = dir.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
            continue;
        };
        for name in atomic::list(&dir)? {
            let Some(line) = name.to_str().and_then(|name| name.parse::<LineId>().ok()) else {
                continue;
            };
            let dir = line_dir(root, &archive, &line);
            if dir.is_dir() {
                scan_line(&archive, &line, &dir, sink)?;
            }
        }
    }
    Ok(())
}

fn scan_line(
    archive: &ArchiveId,
    line: &LineId,
    dir: &Path,
    sink: &mut Sink<'_>,
) -> Result<(), SegmentStoreError> {
    for name in atomic::list(dir)? {
        let bytes = match atomic::read_file(&dir.join(&name), SEGMENT_LEN_MAX as u64) {
            Err(error) if atomic::is_of_one_file(&error) => None,
            other => other?,
        };
        let parsed = bytes.and_then(|bytes| SignedSegment::parse(bytes).ok());
        let segment = parsed.filter(|segment| segment.verify_signature().is_ok());
        let placed = segment.and_then(|segment| {
            let stored = StoredSegment::of(&segment);
            let head = &stored.head;
            let is_here = segment.public().archive == *archive && head.line == *line;
            let is_first = name == file_name(head.sequence, &head.segment, true).as_str();
            let is_fork = name == file_name(head.sequence, &head.segment, false).as_str();
            let stored = StoredSegment { is_first, ..stored };
            (is_here && (is_first || is_fork)).then_some((segment, stored))
        });
        match placed {
            Some((segment, stored)) => sink(archive, &stored, &segment.public().labels)?,
            None => {
                tracing::warn!(path = %dir.join(name).display(), "a journal file is damaged and does not count");
            }
        }
    }
    Ok(())
}
