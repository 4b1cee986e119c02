//! Flags of the commands about files: `backup`, `snapshots`, `ls`, `restore`, `verify`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use nuthatch_daemon::api::{Overwrite, SnapshotPart, WaitGoal};

use super::values;

/// What `backup --wait` waits for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WaitArg {
    /// Other machines could give everything back.
    Recoverable,
    /// So even after the target number of hosts vanish.
    Protected,
}

impl From<WaitArg> for WaitGoal {
    fn from(wait: WaitArg) -> Self {
        match wait {
            WaitArg::Recoverable => Self::Recoverable,
            WaitArg::Protected => Self::Protected,
        }
    }
}

/// `nuthatch backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch backup ~/Documents
  nuthatch backup / --one-file-system --exclude '*.tmp' --exclude-file skip.txt --tag nightly
  nuthatch backup ~/Documents --wait protected --wait-for 1h
  nuthatch backup ~/Documents --dry-run
  pg_dump mydb | nuthatch backup --stdin --stdin-name mydb.sql")]
pub(crate) struct BackupArgs {
    /// Files and folders
    #[arg(
        value_name = "PATH",
        required_unless_present = "stdin",
        conflicts_with = "stdin"
    )]
    pub paths: Vec<PathBuf>,
    /// Word to find the snapshot by
    #[arg(long = "tag", value_name = "T")]
    pub tags: Vec<String>,
    /// What to leave out
    #[arg(long = "exclude", value_name = "GLOB")]
    pub excludes: Vec<String>,
    /// File with a glob a line
    #[arg(long, value_name = "FILE")]
    pub exclude_file: Option<PathBuf>,
    /// Stay on the file system of each path
    #[arg(long)]
    pub one_file_system: bool,
    /// Return when the snapshot is this safe: 14 if no known hosts could make it so, 75 if those away could
    #[arg(long, value_name = "GOAL")]
    pub wait: Option<WaitArg>,
    /// How long to wait
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = values::span, requires = "wait")]
    pub wait_for: Duration,
    /// Read and count, store nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Back up standard input as one file
    #[arg(long, requires = "stdin_name")]
    pub stdin: bool,
    /// Name of that file
    #[arg(long, value_name = "NAME", requires = "stdin")]
    pub stdin_name: Option<OsString>,
}

/// `nuthatch snapshots`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nuthatch snapshots\n  nuthatch snapshots --tag nightly --json")]
pub(crate) struct SnapshotsArgs {
    /// Only those with this tag
    #[arg(long, value_name = "T")]
    pub tag: Option<String>,
    /// Only those of this machine
    #[arg(long, value_name = "H")]
    pub host: Option<String>,
    /// Only those that contain this path
    #[arg(long, value_name = "P")]
    pub path: Option<PathBuf>,
}

/// `nuthatch ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch ls latest
  nuthatch ls latest:/home/me/Documents -l
  nuthatch ls 1f3a -R --json")]
pub(crate) struct LsArgs {
    /// Snapshot, and a path in it
    #[arg(value_name = "ID[:PATH]", value_parser = values::PartParser)]
    pub part: SnapshotPart,
    /// With modes, owners, sizes and times
    #[arg(short, long)]
    pub long: bool,
    /// Everything below too
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// What `restore` does with what is there already.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OverwriteArg {
    /// Compare content and write what differs.
    Always,
    /// Write unless size and time are the same.
    IfChanged,
    /// Leave it.
    Never,
}

impl From<OverwriteArg> for Overwrite {
    fn from(overwrite: OverwriteArg) -> Self {
        match overwrite {
            OverwriteArg::Always => Self::Always,
            OverwriteArg::IfChanged => Self::IfChanged,
            OverwriteArg::Never => Self::Never,
        }
    }
}

/// `nuthatch restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch restore latest --target /tmp/back               everything, by its full path
  nuthatch restore latest:/home/me/Documents --target ~/Documents
  nuthatch restore 1f3a --target /tmp/back --include '*.jpg' --overwrite never")]
pub(crate) struct RestoreArgs {
    /// Snapshot, and a path in it whose content lands directly in the target
    #[arg(value_name = "ID[:PATH]", value_parser = values::PartParser)]
    pub part: SnapshotPart,
    /// Where to
    #[arg(long, value_name = "DIR")]
    pub target: PathBuf,
    /// Only what matches
    #[arg(long = "include", value_name = "GLOB")]
    pub includes: Vec<String>,
    /// Not what matches
    #[arg(long = "exclude", value_name = "GLOB")]
    pub excludes: Vec<String>,
    /// What to do with files that are there already
    #[arg(long, value_name = "WHEN", default_value = "if-changed")]
    pub overwrite: OverwriteArg,
    /// Say what would be done, write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `nuthatch verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch verify                              journals, labels, inventories, metadata
  nuthatch verify latest --read-data           every byte of the last snapshot
  nuthatch verify --quick")]
pub(crate) struct VerifyArgs {
    /// Only what this snapshot needs
    #[arg(value_name = "ID", value_parser = snapshot_id)]
    pub snapshot: Option<String>,
    /// Inventories only
    #[arg(long, conflicts_with = "read_data")]
    pub quick: bool,
    /// Read every byte
    #[arg(long)]
    pub read_data: bool,
}

fn snapshot_id(text: &str) -> Result<String, String> {
    values::check_snapshot(text).map(|()| text.to_owned())
}
