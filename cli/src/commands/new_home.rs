//! A home that a command begins, and takes away again when the command fails: a failed `join` must not look like a node.

use std::path::{Path, PathBuf};

use nuthatch_daemon::api::{Exit, Failure};
use nuthatch_daemon::config::Config;
use nuthatch_daemon::setup::{self, NewNode};
use nuthatch_format::ByteCount;

use crate::node;
use crate::session::Session;

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

/// Makes sure that there is a node here, with these choices. `Some` when it is new.
pub(super) fn prepare(session: &Session, choices: &NewNode) -> Result<Option<NewHome>, Failure> {
    if node::is_here(session)? {
        change_settings(session.home(), choices)?;
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

/// Puts choices into the settings of a home that is there.
fn change_settings(home: &Path, choices: &NewNode) -> Result<(), Failure> {
    let wrong = |error: nuthatch_daemon::config::ConfigError| {
        Failure::from_error(Exit::Usage, "config", &error)
            .with_hint("correct the file and run the command again")
    };
    let before = Config::load(home).map_err(wrong)?;
    let mut config = before.clone();
    config.name = choices.name.clone().or(config.name);
    config.quota = choices.quota.or(config.quota);
    if !choices.listen.is_empty() {
        config.listen.clone_from(&choices.listen);
    }
    config.mdns &= !choices.no_mdns;
    if config == before {
        Ok(())
    } else {
        config.save(home).map_err(wrong)
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
