//! How much of the time this node runs: what it may safely promise depends on it. A small file, written now and then; losing it costs
//! nothing but the memory of it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nuthatch_disk::FileError;
use nuthatch_disk::atomic::{self, Access};
use nuthatch_format::{Span, Timestamp};
use parking_lot::Mutex;

use crate::clock;

/// Name of the file inside a home.
const FILE_NAME: &str = "uptime";

/// Longest file that is read, in bytes: two numbers.
const FILE_LEN_MAX: u64 = 64;

/// A node that has counted for less time says nothing: a week shows a person's habits.
const KNOWN_AFTER: Span = Span::from_days(7);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    /// Since when.
    since: Timestamp,
    /// For how long of that it ran.
    ran: Span,
}

/// The count of one node.
#[derive(Debug)]
pub(crate) struct Uptime {
    path: PathBuf,
    state: Mutex<(Counted, Option<Instant>)>,
}

impl Uptime {
    /// What was counted in earlier runs. A file that makes no sense is begun anew.
    pub(crate) fn open(home: &Path) -> Self {
        let path = home.join(FILE_NAME);
        let read = atomic::read_file(&path, FILE_LEN_MAX).ok().flatten();
        let counted = read.and_then(|bytes| parse(&bytes)).unwrap_or(Counted {
            since: clock::now(),
            ran: Span::ZERO,
        });
        Self {
            path,
            state: Mutex::new((counted, None)),
        }
    }

    /// Adds the time since the last call, and writes it down; the first call begins.
    pub(crate) fn count(&self) -> Result<(), FileError> {
        let now = clock::instant();
        let counted = {
            let mut state = self.state.lock();
            let passed = state
                .1
                .map_or(0, |since| now.saturating_duration_since(since).as_millis());
            let passed = u64::try_from(passed).unwrap_or(u64::MAX);
            state.0.ran = Span(state.0.ran.0.saturating_add(passed));
            state.1 = Some(now);
            state.0
        };
        atomic::write_file(&self.path, text(counted).as_bytes(), Access::Ordinary)
    }

    /// How much of the time it ran, in thousandths; `None` while that can't be told yet.
    pub(crate) fn per_mille(&self) -> Option<u16> {
        per_mille(self.state.lock().0, clock::now())
    }
}

fn per_mille(counted: Counted, now: Timestamp) -> Option<u16> {
    let total = now.since(counted.since);
    if total < KNOWN_AFTER {
        return None;
    }
    let part = u128::from(counted.ran.0) * 1000 / u128::from(total.0);
    Some(u16::try_from(part.min(1000)).unwrap_or(1000))
}

fn text(counted: Counted) -> String {
    format!("{} {}\n", counted.since.0, counted.ran.0)
}

fn parse(bytes: &[u8]) -> Option<Counted> {
    let (since, ran) = std::str::from_utf8(bytes).ok()?.trim_end().split_once(' ')?;
    Some(Counted {
        since: Timestamp(since.parse().ok()?),
        ran: Span(ran.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_the_same_after_writing_it_and_garbage_is_none() {
        let counted = Counted {
            since: Timestamp(7),
            ran: Span(u64::MAX),
        };
        assert_eq!(parse(text(counted).as_bytes()), Some(counted));
        for garbage in ["", "1", "1 x", "1 2 3", "-1 2", "\u{fffd}"] {
            assert_eq!(parse(garbage.as_bytes()), None, "{garbage}");
        }
    }

    #[test]
    fn a_young_node_says_nothing_and_an_old_one_how_much_of_the_time_it_ran() {
        let day = Span::from_days(1).0;
        let counted = Counted {
            since: Timestamp(day),
            ran: Span(5 * day),
        };
        assert_eq!(per_mille(counted, Timestamp(7 * day)), None);
        assert_eq!(per_mille(counted, Timestamp(11 * day)), Some(500));
        assert_eq!(per_mille(counted, Timestamp(8 * day)), Some(714));
        let set_back = Counted {
            ran: Span(100 * day),
            ..counted
        };
        assert_eq!(per_mille(set_back, Timestamp(11 * day)), Some(1000));
    }

    #[test]
    fn what_was_counted_is_there_in_the_next_run() {
        let home = tempfile::tempdir().unwrap();
        let first = Uptime::open(home.path());
        first.count().unwrap();
        first.count().unwrap();
        let counted = first.state.lock().0;
        assert_eq!(Uptime::open(home.path()).state.lock().0, counted);
    }
}
