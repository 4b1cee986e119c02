//! The paths of a backup as one tree of names, so that each directory is walked once. Pure.

use std::collections::BTreeMap;

use crate::snapshot_path::{self, PathError};

/// A directory or file on the way to, or at, one of the paths of a backup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Root {
    /// Whether it was named itself: then all of it is backed up, and `children` is empty.
    pub(crate) whole: bool,
    /// What is below it and named, in stored order.
    pub(crate) children: BTreeMap<Vec<u8>, Root>,
}

impl Root {
    /// The tree of these absolute paths. One that lies below another adds nothing.
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, PathError> {
        let mut root = Self::default();
        for path in paths {
            root.insert(&snapshot_path::absolute_names(path)?);
        }
        Ok(root)
    }

    fn insert(&mut self, names: &[&[u8]]) {
        if self.whole {
            return;
        }
        match names.split_first() {
            None => {
                self.whole = true;
                self.children.clear();
            }
            Some((name, rest)) => self.children.entry(name.to_vec()).or_default().insert(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(root: &Root, at: &[u8], out: &mut Vec<String>) {
        if root.whole {
            out.push(snapshot_path::display(at));
        }
        for (name, child) in &root.children {
            paths(child, &snapshot_path::join(at, name), out);
        }
    }

    fn of(given: &[&str]) -> Vec<String> {
        let root = Root::new(given.iter().map(|path| path.as_bytes())).unwrap();
        let mut out = Vec::new();
        paths(&root, b"", &mut out);
        out
    }

    #[test]
    fn a_path_below_another_adds_nothing_in_either_order() {
        assert_eq!(of(&["/a/b", "/a"]), vec!["/a"]);
        assert_eq!(of(&["/a", "/a/b"]), vec!["/a"]);
        assert_eq!(of(&["/b/c", "/a/x", "/b/a"]), vec!["/a/x", "/b/a", "/b/c"]);
        assert_eq!(of(&["/a", "/"]), vec![""]);
    }

    #[test]
    fn a_path_must_be_absolute() {
        assert_eq!(Root::new([&b"a"[..]]), Err(PathError::NotAbsolute));
    }
}
