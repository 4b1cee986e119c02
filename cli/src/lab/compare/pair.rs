//! One entry on both sides: in what it differs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FileType, SeekFrom};

/// Bytes that are compared at a time.
const COMPARE_LEN: usize = 256 * 1024;

/// Attributes that a system gives by itself and does not let programs restore.
const SYSTEM_XATTRS: [&str; 1] = ["security.selinux"];

/// An entry on both sides.
pub(super) struct Pair<'a> {
    pub(super) paths: (&'a Path, &'a Path),
    pub(super) metas: (&'a Metadata, &'a Metadata),
}

impl Pair<'_> {
    /// Everything in which they differ, but for hard links, which are not a matter of one entry. Owners only if that is asked.
    pub(super) fn differences(&self, compare_owner: bool) -> io::Result<Vec<String>> {
        let (left, right) = self.metas;
        let kinds = (
            FileType::from_raw_mode(left.mode()),
            FileType::from_raw_mode(right.mode()),
        );
        if kinds.0 != kinds.1 {
            return Ok(vec![format!("kind {:?} became {:?}", kinds.0, kinds.1)]);
        }
        let mut found = Vec::new();
        if kinds.0 != FileType::Symlink && left.mode() & 0o7777 != right.mode() & 0o7777 {
            found.push(format!(
                "mode {:o} became {:o}",
                left.mode() & 0o7777,
                right.mode() & 0o7777
            ));
        }
        if compare_owner && (left.uid(), left.gid()) != (right.uid(), right.gid()) {
            found.push(format!(
                "owner {}:{} became {}:{}",
                left.uid(),
                left.gid(),
                right.uid(),
                right.gid()
            ));
        }
        if (left.mtime(), left.mtime_nsec()) != (right.mtime(), right.mtime_nsec()) {
            let (before, after) = (
                (left.mtime(), left.mtime_nsec()),
                (right.mtime(), right.mtime_nsec()),
            );
            found.push(format!(
                "time {}.{:09} became {}.{:09}",
                before.0, before.1, after.0, after.1
            ));
        }
        if xattrs(self.paths.0)? != xattrs(self.paths.1)? {
            found.push("extended attributes differ".to_owned());
        }
        match kinds.0 {
            FileType::RegularFile => self.compare_files(&mut found)?,
            FileType::Symlink if fs::read_link(self.paths.0)? != fs::read_link(self.paths.1)? => {
                found.push("points elsewhere".to_owned());
            }
            FileType::BlockDevice | FileType::CharacterDevice if left.rdev() != right.rdev() => {
                found.push("is another device".to_owned());
            }
            _ => {}
        }
        Ok(found)
    }

    fn compare_files(&self, found: &mut Vec<String>) -> io::Result<()> {
        let (left, right) = self.metas;
        if left.size() != right.size() {
            found.push(format!("{} bytes became {}", left.size(), right.size()));
            return Ok(());
        }
        let (left_file, right_file) = (open(self.paths.0)?, open(self.paths.1)?);
        // Two file systems may have blocks of other sizes, and so holes of others.
        if left.dev() == right.dev()
            && data_ranges(&left_file, left.size())? != data_ranges(&right_file, right.size())?
        {
            found.push("holes differ".to_owned());
        }
        if let Some(at) = first_difference(left_file, right_file)? {
            found.push(format!("content differs at byte {at}"));
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn first_difference(mut left: File, mut right: File) -> io::Result<Option<u64>> {
    rustix::fs::seek(&left, SeekFrom::Start(0))?;
    rustix::fs::seek(&right, SeekFrom::Start(0))?;
    let (mut left_part, mut right_part) = (vec![0; COMPARE_LEN], vec![0; COMPARE_LEN]);
    let mut offset = 0;
    loop {
        let lengths = (
            fill(&mut left, &mut left_part)?,
            fill(&mut right, &mut right_part)?,
        );
        let both = lengths.0.min(lengths.1);
        let unequal = left_part
            .iter()
            .zip(&right_part)
            .take(both)
            .position(|(left, right)| left != right);
        match unequal {
            Some(at) => return Ok(Some(offset + at as u64)),
            None if lengths.0 != lengths.1 => return Ok(Some(offset + both as u64)),
            None if both == 0 => return Ok(None),
            None => offset += both as u64,
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where a file has data: begin and end of each range between holes.
fn data_ranges(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut ranges = Vec::new();
    let mut offset = 0;
    while offset < size {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(begin) => begin,
            Err(rustix::io::Errno::NXIO) => break,
            // A file system without this has no holes to compare.
            Err(rustix::io::Errno::INVAL) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin))?.min(size);
        ranges.push((begin, end));
        offset = end;
    }
    Ok(ranges)
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<OsString, Option<Vec<u8>>>> {
    let names = match xattr::list(path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut values = BTreeMap::new();
    for name in names.filter(|name| !SYSTEM_XATTRS.iter().any(|system| name == *system)) {
        let value = xattr::get(path, &name)?;
        values.insert(name, value);
    }
    Ok(values)
}
