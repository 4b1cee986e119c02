//! A home that a command begins, and takes away again when the command fails: a failed `join` must not look like a node.

use std::path::{Path, PathBuf};

use nuthatch_daemon::api::{Exit, Failure};
use nuthatch_daemon::setup::{self, NewNode};
use nuthatch_format::ByteCount;

use crate::node;
use crate::session::Session;
use crate::terminal::{self, Tone};

/// A home that was not there before this command.
#[derive(Debug)]
pub(super) struct NewHome {
    path: PathBuf,
    made_directory: bool,
}

impl NewHome {
    /// Notes what is there before a home is made.
    pub(super) fn before(session: &Session) -> Self {
        Self {
            path: session.home().to_owned(),
            made_directory: !session.home().exists(),
        }
    }

    /// Removes what this command has made. A directory that was there before is left, with what it then holds.
    pub(super) fn take_away(self) {
        if self.made_directory
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!("the half-made home {} stays: {error}", self.path.display());
        }
    }
}

/// A place for a home that is gone when the command ends.
#[derive(Debug)]
pub(super) struct ScratchHome(PathBuf);

impl ScratchHome {
    /// A place that nobody else can know, in the directory for temporary files. Nothing is there yet.
    pub(super) fn new() -> Result<Self, Failure> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "no_entropy",
                format!("this machine gives no random bytes: {error}"),
            )
        })?;
        let name = format!("nuthatch-{}", data_encoding::HEXLOWER.encode(&random));
        Ok(Self(std::env::temp_dir().join(name)))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchHome {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let path = terminal::escaped(&self.0.display().to_string());
            let line =
                format!("warning: {path} could not be removed, and keys of the archive are in it: {error}");
            terminal::note_line(&terminal::toned_note(Tone::Warn, &line));
        }
    }
}

/// Makes sure that there is a node here, with these choices. `Some` when it is new.
pub(super) fn prepare(session: &Session, choices: &NewNode) -> Result<Option<NewHome>, Failure> {
    if node::is_here(session)? {
        setup::change_settings(session.home(), choices)?;
        return Ok(None);
    }
    let new = NewHome::before(session);
    match setup::create_host(session.home(), choices) {
        Ok(_) => Ok(Some(new)),
        Err(failure) => {
            new.take_away();
            Err(failure)
        }
    }
}

/// Says which choices a node that runs already can only take at its next start.
pub(super) fn tell_later(choices: &NewNode) {
    let later = [
        ("--name", choices.name.is_some()),
        ("--listen", !choices.listen.is_empty()),
        ("--no-mdns", choices.no_mdns),
    ];
    let later: Vec<&str> = later
        .into_iter()
        .filter_map(|(flag, is_given)| is_given.then_some(flag))
        .collect();
    if !later.is_empty() {
        terminal::note_line(&format!(
            "The node that runs takes {} at its next start.",
            later.join(" and ")
        ));
    }
}

/// A quarter of the free space where the home is, or will be.
pub(super) fn quarter_of_free_space(home: &Path) -> Result<ByteCount, Failure> {
    let existing = home
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let space = rustix::fs::statvfs(existing).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "no_space_known",
            format!("can't see how much space is free: {error}"),
        )
    })?;
    Ok(ByteCount(space.f_bavail.saturating_mul(space.f_frsize) / 4))
}
