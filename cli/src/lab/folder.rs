//! The generated folder: about 300 MB in 10,000 files, every kind of entry that a file system has. The same at every run, but for
//! what this user or this file system can't have; that is said.

// The whole-node tests make folders with this file too and name its path, so it names the paths of its own.
#[path = "folder/kinds.rs"]
mod kinds;
#[path = "folder/noise.rs"]
mod noise;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use noise::Noise;

/// About how much data it has, in bytes.
pub(super) const BYTES_ABOUT: u64 = 300 << 20;

/// How many files of each sort, and the largest of them in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amounts {
    /// Text.
    pub(super) small: (u32, u64),
    /// Noise.
    pub(super) middle: (u32, u64),
    /// Noise.
    pub(super) large: (u32, u64),
    /// Noise, each of them as large as that.
    pub(super) huge: (u32, u64),
}

/// The lab's folder.
pub(super) const AMOUNTS: Amounts = Amounts {
    small: (9_000, 8 << 10),
    middle: (950, 128 << 10),
    large: (40, 5 << 20),
    huge: (2, 24 << 20),
};

/// Files in a directory.
const FILES_PER_DIRECTORY: u32 = 60;

/// The oldest time that files get: 2001-09-09, in seconds since 1970.
const OLDEST_SECONDS: u64 = 1_000_000_000;

/// How far after it the newest is: 2026, in seconds.
const AGE_SECONDS: u64 = 790_000_000;

/// What was made.
#[derive(Debug, Default)]
pub(super) struct Generated {
    /// Kinds that could not be made here, and why.
    pub(super) left_out: Vec<String>,
}

/// Makes the folder, which must not exist yet.
pub(super) fn generate(root: &Path, amounts: &Amounts) -> io::Result<Generated> {
    fs::create_dir(root)?;
    let mut noise = Noise::new(0x6e75_7468_6174_6368);
    fill(&root.join("papers"), amounts.small, Content::Text, &mut noise)?;
    fill(&root.join("pictures"), amounts.middle, Content::Noise, &mut noise)?;
    fill(&root.join("music"), amounts.large, Content::Noise, &mut noise)?;
    fill(
        &root.join("films"),
        amounts.huge,
        Content::NoiseOfFullLength,
        &mut noise,
    )?;
    let left_out = kinds::every_kind(&root.join("every kind"), &mut noise)?;
    set_times(root, &mut noise)?;
    Ok(Generated { left_out })
}

/// What files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Words, up to the largest length.
    Text,
    /// What does not compress, up to the largest length.
    Noise,
    /// What does not compress, of the largest length.
    NoiseOfFullLength,
}

/// A directory of directories of files.
fn fill(root: &Path, (count, len_max): (u32, u64), content: Content, noise: &mut Noise) -> io::Result<()> {
    fs::create_dir(root)?;
    let mut directory = root.to_owned();
    for number in 0..count {
        if number % FILES_PER_DIRECTORY == 0 {
            directory = root.join(format!("{:03}", number / FILES_PER_DIRECTORY));
            fs::create_dir(&directory)?;
        }
        let len = if content == Content::NoiseOfFullLength {
            len_max
        } else {
            noise.below(len_max)
        };
        // Every thirteenth file is a copy of what came before in other places: real folders repeat themselves.
        let mut source = if number % 13 == 7 {
            Noise::new(u64::from(number / 26))
        } else {
            noise.split()
        };
        let ending = if content == Content::Text { "txt" } else { "bin" };
        write_content(
            &directory.join(format!("{number:05}.{ending}")),
            len,
            content,
            &mut source,
        )?;
    }
    Ok(())
}

/// A file of words or of noise that does not compress.
fn write_content(path: &Path, len: u64, content: Content, noise: &mut Noise) -> io::Result<()> {
    let mut file = io::BufWriter::with_capacity(256 << 10, fs::File::create_new(path)?);
    let mut left = len;
    let mut line = Vec::new();
    while left > 0 {
        line.clear();
        match content {
            Content::Text => noise.text_line(&mut line),
            Content::Noise | Content::NoiseOfFullLength => noise.bytes(&mut line, 64 << 10),
        }
        let part = line.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(line.get(..part).unwrap_or(&line))?;
        left -= part as u64;
    }
    file.flush()
}

/// Gives every entry a time of its own, to the nanosecond; directories after what is in them.
fn set_times(path: &Path, noise: &mut Noise) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        let mut names = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            set_times(&path.join(name), noise)?;
        }
    }
    let seconds = OLDEST_SECONDS + noise.below(AGE_SECONDS);
    set_time(path, seconds as i64, noise.below(1_000_000_000) as i64)
}

fn set_time(path: &Path, seconds: i64, nanos: i64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
