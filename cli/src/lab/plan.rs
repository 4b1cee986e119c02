//! What the lab will do, whether there is room for it, and the directory that holds all of it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nuthatch_daemon::api::{Exit, Failure};
use nuthatch_daemon::config::SURVIVE_MAX;

use crate::args::LabArgs;
use crate::render::words::size;

/// Room for a node's own databases and for what the file system needs beside data, in bytes.
const PER_NODE_LEN: u64 = 48 << 20;

/// The lab to be run.
#[derive(Debug)]
pub(super) struct Plan {
    /// Nodes in all.
    pub(super) nodes: u8,
    /// Hosts to destroy.
    pub(super) lose: u8,
    /// Folder to back up; `None` is a generated one.
    pub(super) source: Option<PathBuf>,
}

impl Plan {
    /// The plan that the flags say. More losses than hosts can bear are wrong usage.
    pub(super) fn new(args: &LabArgs) -> Result<Self, Failure> {
        let hosts = args.nodes - 1;
        let lose = args.lose.unwrap_or_else(|| usual_losses(hosts));
        if lose >= hosts || lose > SURVIVE_MAX {
            let most = (hosts - 1).min(SURVIVE_MAX);
            let message =
                format!("of {hosts} hosts at most {most} can be lost: somebody has to keep the data");
            return Err(Failure::new(Exit::Usage, "too_many_losses", message)
                .with_hint("say more --nodes or a smaller --lose"));
        }
        let source = args.path.as_deref().map(existing_folder).transpose()?;
        Ok(Self {
            nodes: args.nodes,
            lose,
            source,
        })
    }

    /// Hosts: all nodes but the owner.
    pub(super) fn hosts(&self) -> u8 {
        self.nodes - 1
    }

    /// Refuses to begin what the disk can't hold: the folder again in staging, in shards with their spares, and restored.
    pub(super) fn check_space(&self, directory: &Path, bytes: u64) -> Result<(), Failure> {
        let space = rustix::fs::statvfs(directory).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "no_space_known",
                format!("can't see how much space is free: {error}"),
            )
        })?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let needed = self.bytes_needed(bytes);
        if free >= needed {
            return Ok(());
        }
        let message = format!(
            "the lab needs {} in {}, where {} are free",
            size(needed),
            directory.display(),
            size(free)
        );
        Err(Failure::new(Exit::Failed, "no_space", message)
            .with_hint("set TMPDIR to a directory with more room, or name a smaller folder"))
    }

    fn bytes_needed(&self, bytes: u64) -> u64 {
        let hosts = u64::from(self.hosts());
        let spares = (u64::from(self.lose) + 1).min(hosts - 1);
        let in_shards = bytes.saturating_mul(hosts) / (hosts - spares).max(1);
        bytes
            .saturating_mul(3)
            .saturating_add(in_shards)
            .saturating_add(PER_NODE_LEN * u64::from(self.nodes))
    }
}

/// As many losses as a circle of so many hosts survives by default.
fn usual_losses(hosts: u8) -> u8 {
    match hosts {
        0 | 1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    }
}

fn existing_folder(path: &Path) -> Result<PathBuf, Failure> {
    let unusable = |reason: String| {
        Failure::new(
            Exit::Usage,
            "unreadable",
            format!("can't use {}: {reason}", path.display()),
        )
    };
    let path = path.canonicalize().map_err(|error| unusable(error.to_string()))?;
    if !path.is_dir() {
        return Err(unusable("it is not a folder".to_owned()));
    }
    Ok(path)
}

/// The directory of one lab. Removed at the end, whatever end that is, unless it is to be kept.
#[derive(Debug)]
pub(super) struct LabDirectory {
    path: PathBuf,
    keep: bool,
}

impl LabDirectory {
    /// A new directory that only this user can enter.
    pub(super) fn create(keep: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::from_error(Exit::Failed, "lab_files", &error);
        let parent = std::env::temp_dir().canonicalize().map_err(failed)?;
        let mut name = [0; 4];
        getrandom::fill(&mut name)
            .map_err(|error| Failure::from_error(Exit::Failed, "no_entropy", &error))?;
        let path = parent.join(format!("nuthatch-lab-{}", data_encoding::HEXLOWER.encode(&name)));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, or leaves it when it is to be kept.
    pub(super) fn finish(self) {
        drop(self);
    }
}

impl Drop for LabDirectory {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!("the lab's directory {} stays: {error}", self.path.display());
        }
    }
}

/// Removes a tree of our own, also where directories in it may not be written to.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_directories(path)?;
            fs::remove_dir_all(path)
        }
        result => result,
    }
}

fn open_directories(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_directories(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(nodes: u8, lose: Option<u8>) -> LabArgs {
        LabArgs {
            path: None,
            nodes,
            lose,
            keep: false,
        }
    }

    #[test]
    fn somebody_always_keeps_the_data() {
        assert_eq!(Plan::new(&args(6, None)).unwrap().lose, 2);
        assert_eq!(Plan::new(&args(2, None)).unwrap().lose, 0);
        assert_eq!(Plan::new(&args(3, Some(1))).unwrap().lose, 1);
        for (nodes, lose) in [(2, 1), (6, 5), (20, 19)] {
            assert_eq!(Plan::new(&args(nodes, Some(lose))).unwrap_err().exit, Exit::Usage);
        }
    }

    #[test]
    fn more_room_is_needed_than_the_folder_takes() {
        for nodes in 2..=20 {
            let plan = Plan::new(&args(nodes, None)).unwrap();
            assert!(plan.bytes_needed(1 << 30) > 4 << 30);
        }
        assert!(
            Plan::new(&args(6, None))
                .unwrap()
                .check_space(Path::new("/"), u64::MAX / 8)
                .is_err()
        );
    }

    #[test]
    fn a_directory_goes_with_everything_in_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = LabDirectory::create(false).unwrap();
        let path = directory.path().to_owned();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::set_permissions(path.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        directory.finish();
        assert!(!path.exists());
    }
}
