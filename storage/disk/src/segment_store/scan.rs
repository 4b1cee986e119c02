//! What the files of a segment store say, read when there is no index to trust.

use std::path::Path;

use nuthatch_format::journal::{SEGMENT_LEN_MAX, SignedSegment};
use nuthatch_format::{ArchiveId, LineId};

use super::index::{Sink, StoredSegment};
use super::{SegmentStoreError, file_name, line_dir};
use crate::atomic::{self, FileError};

/// Hands every segment to the sink that is whole, signed, and in its place. Others stay where they are and do not count: the same
/// segment, put again, takes their place.
pub(super) fn scan(root: &Path, sink: &mut Sink<'_>) -> Result<(), SegmentStoreError> {
    for name in atomic::list(root)? {
        let Some(archive) = name.to_str().and_then(|name| name.parse::<ArchiveId>().ok()) else {
            continue;
        };
        for name in atomic::list(&root.join(name))? {
            let Some(line) = name.to_str().and_then(|name| name.parse::<LineId>().ok()) else {
                continue;
            };
            scan_line(&archive, &line, &line_dir(root, &archive, &line), sink)?;
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
    atomic::sweep(dir)?;
    for name in atomic::list(dir)? {
        let bytes = match atomic::read_file(&dir.join(&name), SEGMENT_LEN_MAX as u64) {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(FileError::TooLong { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let parsed = SignedSegment::parse(bytes).ok();
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
