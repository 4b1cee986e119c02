//! Which paths a pattern means, for excluding and including. Pure: looks at names only, never at the disk.
//!
//! A pattern with a leading `/` starts at the root. Any other may start below any directory, so `*.o` and `target/debug` match at
//! every depth. `*` and `?` stay within a name, `**` crosses directories, `[ab]` and `{a,b}` choose. A trailing `/` matches directories
//! only. A leading `!` takes back what an earlier pattern matched. What matches a directory holds for everything below it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

/// Patterns in one set (count).
pub const PATTERNS_MAX: usize = 10_000;
/// Longest pattern, in bytes.
pub const PATTERN_LEN_MAX: usize = 4096;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is not a glob.
    #[error("pattern {pattern:?}: {reason}")]
    Malformed {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is longer than [`PATTERN_LEN_MAX`].
    #[error("a pattern has {found} bytes, at most {PATTERN_LEN_MAX} are allowed")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// There are more than [`PATTERNS_MAX`].
    #[error("{found} patterns are given, at most {PATTERNS_MAX} are allowed")]
    TooMany {
        /// How many there are.
        found: usize,
    },
}

/// Whether a path is a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathIs {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Patterns that together match paths; the last one that matches decides.
#[derive(Debug, Clone)]
pub struct PatternSet {
    globs: GlobSet,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    takes_back: bool,
    directories_only: bool,
}

impl PatternSet {
    /// The set of these patterns.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, PatternError> {
        if patterns.len() > PATTERNS_MAX {
            return Err(PatternError::TooMany {
                found: patterns.len(),
            });
        }
        let mut globs = GlobSetBuilder::new();
        let mut rules = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if pattern.len() > PATTERN_LEN_MAX {
                return Err(PatternError::TooLong { found: pattern.len() });
            }
            let malformed = |reason: String| PatternError::Malformed {
                pattern: pattern.to_owned(),
                reason,
            };
            let (takes_back, rest) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, pattern),
            };
            let (directories_only, rest) = match rest.strip_suffix('/') {
                Some(shorter) if !shorter.is_empty() => (true, shorter),
                _ => (false, rest),
            };
            if rest.is_empty() {
                return Err(malformed("it is empty".to_owned()));
            }
            let text = if rest.starts_with('/') {
                rest.to_owned()
            } else {
                format!("**/{rest}")
            };
            let glob = GlobBuilder::new(&text)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| malformed(error.kind().to_string()))?;
            globs.add(glob);
            rules.push(Rule {
                takes_back,
                directories_only,
            });
        }
        let globs = globs.build().map_err(|error| PatternError::Malformed {
            pattern: error.glob().unwrap_or_default().to_owned(),
            reason: error.kind().to_string(),
        })?;
        Ok(Self { globs, rules })
    }

    /// Whether the set has no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether this path itself matches; `path` is absolute, raw bytes. The directories above it are the caller's business.
    pub fn matches(&self, path: &[u8], is: PathIs) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        let candidate = Candidate::new(OsStr::from_bytes(path));
        self.globs
            .matches_candidate(&candidate)
            .into_iter()
            .filter_map(|index| self.rules.get(index).map(|rule| (index, rule)))
            .filter(|(_, rule)| is == PathIs::Directory || !rule.directories_only)
            .max_by_key(|(index, _)| *index)
            .is_some_and(|(_, rule)| !rule.takes_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], path: &str) -> bool {
        PatternSet::new(patterns)
            .unwrap()
            .matches(path.as_bytes(), PathIs::Other)
    }

    #[test]
    fn a_pattern_without_a_leading_slash_matches_at_every_depth() {
        assert!(matches(&["*.o"], "/a.o"));
        assert!(matches(&["*.o"], "/x/y/a.o"));
        assert!(!matches(&["*.o"], "/x/y/a.c"));
        assert!(matches(&["target/debug"], "/home/me/target/debug"));
        assert!(!matches(&["target/debug"], "/home/me/mytarget/debug"));
    }

    #[test]
    fn a_leading_slash_anchors_and_stars_stay_within_a_name() {
        assert!(matches(&["/home/*/x"], "/home/me/x"));
        assert!(!matches(&["/home/*/x"], "/home/me/y/x"));
        assert!(matches(&["/home/**/x"], "/home/me/y/x"));
        assert!(!matches(&["/home"], "/srv/home"));
    }

    #[test]
    fn a_trailing_slash_means_directories_only() {
        let set = PatternSet::new(&["cache/"]).unwrap();
        assert!(set.matches(b"/a/cache", PathIs::Directory));
        assert!(!set.matches(b"/a/cache", PathIs::Other));
    }

    #[test]
    fn the_last_match_decides() {
        assert!(!matches(&["*.log", "!keep.log"], "/a/keep.log"));
        assert!(matches(&["!keep.log", "*.log"], "/a/keep.log"));
    }

    #[test]
    fn names_that_are_not_utf8_are_matched_as_bytes() {
        let set = PatternSet::new(&["*.tmp"]).unwrap();
        assert!(set.matches(b"/a/\xff\xfe.tmp", PathIs::Other));
        assert!(!set.matches(b"/a/\xff\xfe.txt", PathIs::Other));
    }

    #[test]
    fn nonsense_is_refused_with_its_pattern() {
        assert!(
            matches!(PatternSet::new(&["[a"]), Err(PatternError::Malformed { pattern, .. }) if pattern == "[a")
        );
        assert!(PatternSet::new(&[""]).is_err());
        assert!(PatternSet::new(&["a".repeat(5000)]).is_err());
        assert!(PatternSet::new::<&str>(&[]).unwrap().is_empty());
    }
}
