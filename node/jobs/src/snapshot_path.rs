//! Paths as raw bytes: split into names, joined, checked. Pure; a name that could lead elsewhere never passes.

/// Longest path that a job handles, in bytes. Deeper entries are reported, not followed.
pub const PATH_LEN_MAX: usize = 64 * 1024;

/// Why bytes are not a path that a job takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the path is not absolute")]
    NotAbsolute,
    /// It has a `..` or a NUL byte.
    #[error("the path has a name that is not allowed in it")]
    BadName,
    /// It is longer than [`PATH_LEN_MAX`].
    #[error("the path has {found} bytes, at most {PATH_LEN_MAX} are allowed")]
    TooLong {
        /// Its length.
        found: usize,
    },
}

/// Whether these bytes can be the name of one entry, and of nothing else.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.iter().any(|byte| *byte == b'/' || *byte == 0)
}

/// The names of a path, with or without a leading `/`. Empty names and `.` are left out; `..` is refused.
pub fn names(path: &[u8]) -> Result<Vec<&[u8]>, PathError> {
    if path.len() > PATH_LEN_MAX {
        return Err(PathError::TooLong { found: path.len() });
    }
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| {
            if is_name(name) {
                Ok(name)
            } else {
                Err(PathError::BadName)
            }
        })
        .collect()
}

/// The names of a path that must be absolute.
pub fn absolute_names(path: &[u8]) -> Result<Vec<&[u8]>, PathError> {
    if path.first() == Some(&b'/') {
        names(path)
    } else {
        Err(PathError::NotAbsolute)
    }
}

/// A directory's path with one more name; the root is the empty path.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// A path for people: as it is where it is UTF-8, other bytes escaped.
pub fn display(path: &[u8]) -> String {
    path.utf8_chunks()
        .flat_map(|chunk| {
            let escaped = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
            std::iter::once(chunk.valid().to_owned()).chain(escaped.collect::<Vec<_>>())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_falls_into_its_names() {
        assert_eq!(names(b"/home//me/./x/").unwrap(), vec![&b"home"[..], b"me", b"x"]);
        assert_eq!(names(b"/").unwrap(), Vec::<&[u8]>::new());
        assert_eq!(absolute_names(b"home"), Err(PathError::NotAbsolute));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for bad in [&b"/a/../b"[..], b"..", b"/a\0b"] {
            assert_eq!(names(bad), Err(PathError::BadName));
        }
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert!(!is_name(bad));
        }
        assert!(is_name(b"\xff..."));
    }

    #[test]
    fn odd_bytes_are_shown_escaped() {
        assert_eq!(display(b"/a\xff/\xc3\xa9"), "/a\\xff/\u{e9}");
    }
}
