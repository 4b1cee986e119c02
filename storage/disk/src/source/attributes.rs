//! Extended attributes of whatever stands under a name, links not followed.
//!
//! ACLs and capabilities are attributes like any other here: raw bytes under the system's names.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use nuthatch_format::tree::{XATTR_VALUE_LEN_MAX, XATTRS_LEN_MAX, XATTRS_MAX};

use super::{SourceEntry, Xattr};

/// Longest list of names, in bytes: what Linux permits (`XATTR_LIST_MAX`), and as much as it permits of a value.
const XATTR_LIST_LEN_MAX: usize = 64 << 10;

const _: () = assert!(XATTR_LIST_LEN_MAX == XATTR_VALUE_LEN_MAX);

/// Reads the attributes of an open directory into its entry.
pub(super) fn read_of_fd<Fd: AsFd>(fd: Fd, entry: &mut SourceEntry) {
    let list = |buffer: &mut [u8]| rustix::fs::flistxattr(fd.as_fd(), buffer);
    let get = |name: &[u8], buffer: &mut [u8]| rustix::fs::fgetxattr(fd.as_fd(), name, buffer);
    read(entry, list, get);
}

/// Reads the attributes of the entry `name` of an open directory.
pub(super) fn read_of_name(dir: &OwnedFd, name: &[u8], path: &Path, entry: &mut SourceEntry) {
    let path = path_through_fd(dir, name, path);
    let list = |buffer: &mut [u8]| rustix::fs::llistxattr(path.as_path(), buffer);
    let get = |name: &[u8], buffer: &mut [u8]| rustix::fs::lgetxattr(path.as_path(), name, buffer);
    read(entry, list, get);
}

/// There are no `*at` calls for attributes: on Linux a path through the open directory does the same and stays right when a directory
/// above is swapped for a link. Elsewhere the ordinary path has to do.
pub(crate) fn path_through_fd(dir: &OwnedFd, name: &[u8], path: &Path) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::ffi::OsStrExt as _;
    if cfg!(target_os = "linux") {
        let mut through = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        through.push(std::ffi::OsStr::from_bytes(name));
        through
    } else {
        path.to_owned()
    }
}

fn read(
    entry: &mut SourceEntry,
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) {
    let names = match whole(list) {
        Ok(names) => names,
        Err(errno) => {
            note(entry, errno);
            return;
        }
    };
    let mut xattrs: Vec<Xattr> = Vec::new();
    let mut total_len = 0;
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match whole(|buffer| get(name, buffer)) {
            Ok(value) => {
                total_len += name.len() + value.len();
                if xattrs.len() >= XATTRS_MAX || total_len > XATTRS_LEN_MAX {
                    note(entry, Errno::TOOBIG);
                    break;
                }
                xattrs.push((name.to_vec(), value));
            }
            // Removed since they were listed.
            Err(Errno::NODATA) => {}
            Err(errno) => note(entry, errno),
        }
    }
    xattrs.sort_unstable();
    entry.xattrs = xattrs;
}

fn note(entry: &mut SourceEntry, errno: Errno) {
    // File systems without attributes, and kinds of entries that cannot have any, have none.
    if !matches!(errno, Errno::NOTSUP | Errno::NOSYS) {
        entry.xattr_errno = Some(errno.raw_os_error());
    }
}

/// Asks with a small buffer first, since most entries have no attributes at all, then with the largest.
pub(crate) fn whole(ask: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0_u8; 256];
    match ask(&mut small) {
        Ok(len) => return Ok(small.get(..len).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    let mut large = vec![0_u8; XATTR_LIST_LEN_MAX];
    let len = ask(&mut large)?;
    large.truncate(len);
    large.shrink_to_fit();
    Ok(large)
}
