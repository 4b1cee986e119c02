//! Whole jobs on this machine: backup into staging, the same again unchanged, restore from staging, verification.
//!
//! `NUTHATCH_BENCH_MIB` is the size of each corpus in MiB (default 256). Divan prints time and rate; the peak of resident memory, which is
//! one for the process, goes to standard error at the end.
#![expect(clippy::unwrap_used, reason = "a bench may end where it fails")]
#![expect(
    unreachable_pub,
    dead_code,
    reason = "shared with the tests, not an interface"
)]

#[path = "../tests/jobs/support.rs"]
mod support;

use std::fmt::Write as _;
use std::path::Path;

use divan::counter::BytesCount;
use support::{Node, noise};

fn main() {
    divan::main();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        eprintln!("{line}");
    }
}

fn mib() -> u64 {
    std::env::var("NUTHATCH_BENCH_MIB")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(256)
}

/// What a corpus is made of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Files of 16 MiB that do not compress.
    Noise,
    /// Files of 40 KiB that look like source code.
    Text,
}

const KINDS: [Kind; 2] = [Kind::Noise, Kind::Text];

fn make(kind: Kind, dir: &Path) {
    match kind {
        Kind::Noise => {
            for number in 0..mib() / 16 {
                std::fs::write(dir.join(number.to_string()), noise(number, 16 << 20)).unwrap();
            }
        }
        Kind::Text => {
            for number in 0..mib() * 1024 / 40 {
                let sub = dir.join((number / 200).to_string());
                std::fs::create_dir_all(&sub).unwrap();
                std::fs::write(sub.join(number.to_string()), text(number)).unwrap();
            }
        }
    }
}

/// Words that repeat as those of programs do.
fn text(seed: u64) -> String {
    let mut text = String::with_capacity(41_000);
    let mut bytes = noise(seed, 16_000).into_iter();
    while text.len() < 40_000 {
        let (Some(a), Some(b)) = (bytes.next(), bytes.next()) else {
            break;
        };
        let word = u16::from_le_bytes([a, b % 8]);
        let end = if a % 11 == 0 { ";\n    " } else { " " };
        let _ = write!(text, "name_{word:x}{end}");
    }
    text
}

#[divan::bench(args = KINDS, sample_count = 3, sample_size = 1)]
fn backup_into_staging(bencher: divan::Bencher<'_, '_>, kind: Kind) {
    let files = tempfile::tempdir().unwrap();
    make(kind, files.path());
    bencher
        .counter(BytesCount::new(mib() << 20))
        .with_inputs(Node::new)
        .bench_local_refs(|node| node.backup(&[files.path()]));
}

#[divan::bench(args = KINDS, sample_count = 3, sample_size = 1)]
fn backup_unchanged(bencher: divan::Bencher<'_, '_>, kind: Kind) {
    let files = tempfile::tempdir().unwrap();
    make(kind, files.path());
    let node = Node::new();
    node.backup(&[files.path()]);
    bencher
        .counter(BytesCount::new(mib() << 20))
        .bench_local(|| node.backup(&[files.path()]));
}

#[divan::bench(args = KINDS, sample_count = 3, sample_size = 1)]
fn restore_from_staging(bencher: divan::Bencher<'_, '_>, kind: Kind) {
    let files = tempfile::tempdir().unwrap();
    make(kind, files.path());
    let node = Node::new();
    let snapshot = node.backup(&[files.path()]).snapshot;
    bencher
        .counter(BytesCount::new(mib() << 20))
        .with_inputs(|| tempfile::tempdir().unwrap())
        .bench_local_refs(|target| node.restore(&snapshot, Some(files.path()), target.path()));
}
