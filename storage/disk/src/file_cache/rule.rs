//! When a file counts as unchanged without being read. Pure.
//!
//! Two changes within one tick of the file system's clock leave the same times: a file touched in the instant of the last look may
//! have changed after it, so it is read again (git calls such entries "racily clean").

use super::{CachedFile, FileStamp};
use crate::source::FileTime;

/// Linux stamps files with the time of the last timer tick: at 100 ticks a second, the slowest in use, 10 ms; doubled for safety.
const TICK_NANOS: i128 = 20_000_000;
/// FAT keeps times in steps of 2 s, others in whole seconds: both show as a time without a fraction.
const COARSE_NANOS: i128 = 2_000_000_000;

/// Whether what is remembered may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The content is the same.
    Unchanged,
    /// Something differs.
    Changed,
    /// Nothing differs, but it was touched so shortly before the last look that a later change might not show.
    TooFresh,
}

/// The rule for a file under the path that it had: size, mtime, ctime and inode are the same.
pub fn judge_same_path(cached: &CachedFile, now: &FileStamp) -> Judgement {
    let then = &cached.stamp;
    let is_same = then.size == now.size
        && then.mtime == now.mtime
        && then.ctime == now.ctime
        && then.inode == now.inode;
    judge(cached, is_same)
}

/// The rule for a file under a new path: file system, inode, size and mtime are the same. Renaming changes the ctime.
pub fn judge_renamed(cached: &CachedFile, now: &FileStamp) -> Judgement {
    let then = &cached.stamp;
    let is_same = then.device == now.device
        && then.inode == now.inode
        && then.size == now.size
        && then.mtime == now.mtime;
    judge(cached, is_same)
}

fn judge(cached: &CachedFile, is_same: bool) -> Judgement {
    if !is_same {
        Judgement::Changed
    } else if is_too_fresh(cached) {
        Judgement::TooFresh
    } else {
        Judgement::Unchanged
    }
}

/// Times in the future (a clock that was set back) are too fresh until the clock has passed them.
fn is_too_fresh(cached: &CachedFile) -> bool {
    let touched = cached.stamp.mtime.max(cached.stamp.ctime);
    let step = if cached.stamp.mtime.nanos == 0 {
        COARSE_NANOS
    } else {
        TICK_NANOS
    };
    nanos(touched) + step >= nanos(cached.seen_at)
}

fn nanos(time: FileTime) -> i128 {
    i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos)
}

#[cfg(test)]
mod tests {
    use nuthatch_format::content::Content;

    use super::*;

    const fn at(secs: i64, nanos: u32) -> FileTime {
        FileTime { secs, nanos }
    }

    fn cached() -> CachedFile {
        CachedFile {
            stamp: FileStamp {
                size: 10,
                mtime: at(100, 5),
                ctime: at(200, 7),
                inode: 3,
                device: 4,
            },
            seen_at: at(300, 0),
            content: Content {
                depth: 0,
                len: 0,
                chunks: Vec::new(),
            },
            holes: Vec::new(),
        }
    }

    #[test]
    fn each_difference_counts_where_the_table_says() {
        use Judgement::{Changed, Unchanged};
        type Change = fn(&mut FileStamp);
        let table: [(&str, Change, Judgement, Judgement); 8] = [
            ("nothing", |_| {}, Unchanged, Unchanged),
            ("size", |now| now.size += 1, Changed, Changed),
            ("mtime", |now| now.mtime.secs += 1, Changed, Changed),
            (
                "mtime by a nanosecond",
                |now| now.mtime.nanos += 1,
                Changed,
                Changed,
            ),
            ("mtime backwards", |now| now.mtime.secs -= 1, Changed, Changed),
            ("ctime", |now| now.ctime.nanos += 1, Changed, Unchanged),
            ("inode", |now| now.inode += 1, Changed, Changed),
            ("device", |now| now.device += 1, Unchanged, Changed),
        ];
        for (what, change, same_path, renamed) in table {
            let cached = cached();
            let mut now = cached.stamp;
            change(&mut now);
            assert_eq!(judge_same_path(&cached, &now), same_path, "{what}");
            assert_eq!(judge_renamed(&cached, &now), renamed, "{what}");
        }
    }

    #[test]
    fn what_was_touched_in_the_instant_of_the_look_is_read_again() {
        let judge_at = |mtime, ctime, seen_at| {
            let mut cached = cached();
            cached.stamp.mtime = mtime;
            cached.stamp.ctime = ctime;
            cached.seen_at = seen_at;
            judge_same_path(&cached, &cached.stamp)
        };
        let seen = at(300, 50_000_000);
        assert_eq!(judge_at(at(300, 1), at(1, 0), seen), Judgement::Unchanged);
        assert_eq!(judge_at(at(300, 30_000_000), at(1, 0), seen), Judgement::TooFresh);
        assert_eq!(judge_at(at(1, 1), at(300, 40_000_000), seen), Judgement::TooFresh);
        assert_eq!(judge_at(at(299, 0), at(1, 0), seen), Judgement::TooFresh);
        assert_eq!(judge_at(at(298, 0), at(298, 0), seen), Judgement::Unchanged);
        assert_eq!(judge_at(at(301, 9), at(1, 0), seen), Judgement::TooFresh);
        assert_eq!(
            judge_at(at(i64::MIN, 9), at(i64::MIN, 0), seen),
            Judgement::Unchanged
        );
    }
}
