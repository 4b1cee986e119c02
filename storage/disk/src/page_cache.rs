//! The system's copies of files in memory. Backups and restores move more than any memory holds, and look at most of it once: kept, it
//! would push out what the person works with, and each new page of it has to be found first. So pages are given back as soon as they
//! are not needed, and the next ones come from there.
//!
//! Hints only: nothing depends on them, and where the system has no such call nothing happens.

use std::fs::File;
use std::ops::Range;

/// Lets go of a range of a file. What is on the disk leaves memory; of what is not, the writing begins.
pub(crate) fn let_go(file: &File, range: &Range<u64>) {
    #[cfg(target_os = "linux")]
    if let Some(len) = std::num::NonZeroU64::new(range.end.saturating_sub(range.start)) {
        use rustix::fs::{Advice, fadvise};
        // A file system that does not know the call keeps its pages.
        let _ = fadvise(file, range.start, Some(len), Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, range);
}
