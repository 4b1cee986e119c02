//! The node that performs a command: the one that runs in the home, or one of the command's own for its length.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_daemon::api::{Exit, Failure, Perform, Reach, Secret};
use nuthatch_daemon::local_client::LocalClient;
use nuthatch_daemon::setup::{self, Locked};
use nuthatch_daemon::{Node, NodeOptions};

use crate::secrets;
use crate::session::Session;

/// Looks for a node that is just starting, or for the end of another command that holds the home: 5 s of them.
const TRIES_MAX: u32 = 200;

/// Between two looks; short, so that a gap between other commands is found.
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// Who performs.
pub(crate) enum Performer {
    /// The node that runs in the home.
    Running(Arc<LocalClient>),
    /// A node of this command.
    Own(Arc<Node>),
}

impl Performer {
    /// The performer for a session's home, which must hold a node.
    pub(crate) async fn find(session: &Session, reach: Reach) -> Result<Self, Failure> {
        let mut tries = 1;
        loop {
            if let Some(client) = running(session).await? {
                return Ok(Self::Running(client));
            }
            if !is_here(session)? {
                return Err(nothing_here(session));
            }
            let options = NodeOptions {
                listen: Vec::new(),
                reach,
            };
            match Node::start(session.home(), options).await {
                Ok(node) => return Ok(Self::Own(node)),
                Err(failure) if failure.kind == "home_in_use" && tries < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// As what performs requests.
    pub(crate) fn as_perform(&self) -> Arc<dyn Perform> {
        match self {
            Self::Running(client) => Arc::<LocalClient>::clone(client),
            Self::Own(node) => Arc::<Node>::clone(node),
        }
    }

    /// Ends a node of the command's own.
    pub(crate) async fn finish(self) {
        if let Self::Own(node) = self {
            node.shutdown().await;
        }
    }
}

/// The node that runs in the home, if one does.
pub(crate) async fn running(session: &Session) -> Result<Option<Arc<LocalClient>>, Failure> {
    let found = LocalClient::find(session.home()).await;
    found
        .map(|client| client.map(Arc::new))
        .map_err(|error| Failure::from_error(Exit::Failed, "node_unreachable", &error))
}

/// Whether there is a node in the home, running or not.
pub(crate) fn is_here(session: &Session) -> Result<bool, Failure> {
    match Locked::of(session.home()) {
        Ok(_) => Ok(true),
        Err(failure) if failure.kind == "no_node" => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The failure of a command that needs a node where there is none.
pub(crate) fn nothing_here(session: &Session) -> Failure {
    Failure::new(Exit::NothingHere, "no_node", format!("there is no node in {}", session.home().display()))
        .with_hint("begin one with 'nuthatch init', 'nuthatch join INVITATION' or 'nuthatch recover', or name another --home")
}

/// The reader key of the home's archive, asking for the passphrase where one wraps it.
pub(crate) async fn reader_key(session: &Session) -> Result<Secret, Failure> {
    match unlock(session, None).await {
        Err(failure) if failure.kind == "locked" => {
            let passphrase = secrets::passphrase(session.passphrase_file.as_deref())?;
            unlock(session, Some(passphrase)).await
        }
        result => result,
    }
}

/// The signing key of the home's archive: from the 24 words where a file has them, else asking for the passphrase where one wraps it.
pub(crate) async fn signing_key(session: &Session) -> Result<Secret, Failure> {
    if let Some(file) = session.phrase_file.as_deref() {
        let phrase = secrets::phrase(Some(file))?;
        return setup::signing_key_of_phrase(&phrase);
    }
    match unlock_signing(session, None).await {
        Err(failure) if failure.kind == "locked" => {
            let passphrase = secrets::passphrase(session.passphrase_file.as_deref())?;
            unlock_signing(session, Some(passphrase)).await
        }
        result => result,
    }
}

async fn unlock_signing(session: &Session, passphrase: Option<Secret>) -> Result<Secret, Failure> {
    let home = session.home().to_owned();
    tokio::task::spawn_blocking(move || setup::unlock_signing(&home, passphrase.as_ref()))
        .await
        .map_err(|error| Failure::from_error(Exit::Failed, "internal", &error))?
}

/// The reader key where nobody has to be asked for it: unwrapped, or its passphrase is in a file.
pub(crate) async fn reader_key_at_hand(session: &Session) -> Result<Option<Secret>, Failure> {
    match unlock(session, None).await {
        Err(failure) if failure.kind == "locked" && session.passphrase_file.is_none() => Ok(None),
        Err(failure) if failure.kind == "locked" => reader_key(session).await.map(Some),
        result => result.map(Some),
    }
}

/// Unlocking is slow on purpose, so it has a thread of its own.
async fn unlock(session: &Session, passphrase: Option<Secret>) -> Result<Secret, Failure> {
    let home = session.home().to_owned();
    tokio::task::spawn_blocking(move || setup::unlock(&home, passphrase.as_ref()))
        .await
        .map_err(|error| Failure::from_error(Exit::Failed, "internal", &error))?
}
