//! Making and reading the keys of a home: a new host, a new archive, an archive adopted from its phrase, and unlocking.
//!
//! Nothing here starts a network. Keys are written in an order in which a crash leaves a home that can be made again: the node's key comes
//! last and is what makes a home one.

mod archive;
mod unlock;

use std::path::Path;

use nuthatch_disk::home::{CreateHomeError, Home, OpenHomeError, Secret};
use nuthatch_format::signed::KeyPair;
use nuthatch_format::{ByteCount, NodeId};

use crate::api::{Exit, Failure};
use crate::clock;
use crate::config::{self, Config, NAME_LEN_MAX};
use crate::identity::Identity;

pub(crate) use archive::{Adoption, load_owned};
pub use archive::{NewArchive, add_archive, create_archive, parse_phrase, refuse_archive};
pub use unlock::{Locked, signing_key_of_phrase, unlock, unlock_signing};
pub(crate) use unlock::{reader_keys, signing_key};

/// What a person chose for a new node; what is absent keeps its default.
#[derive(Debug, Clone, Default)]
pub struct NewNode {
    /// What the node calls itself.
    pub name: Option<String>,
    /// How much it keeps for others.
    pub quota: Option<ByteCount>,
    /// Where it listens, instead of every interface.
    pub listen: Vec<String>,
    /// Stays silent on the local network.
    pub no_mdns: bool,
    /// How many losses of hosts the archive is to survive.
    pub survive: Option<u8>,
}

impl NewNode {
    /// Puts the choices into settings.
    pub(crate) fn apply(&self, config: &mut Config) {
        if self.name.is_some() {
            config.name.clone_from(&self.name);
        }
        if self.quota.is_some() {
            config.quota = self.quota;
        }
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
        }
        if self.no_mdns {
            config.mdns = false;
        }
        if self.survive.is_some() {
            config.survive = self.survive;
        }
    }
}

/// Makes a home for a node that hosts, and owns no archive. One that was half made is made again.
pub fn create_host(path: &Path, new: &NewNode) -> Result<NodeId, Failure> {
    let home = create_home(path)?;
    let (identity, ()) = finish_home(&home, new, |_| Ok(()))?;
    Ok(identity.node)
}

/// A new home, or one whose making was cut short.
pub(crate) fn create_home(path: &Path) -> Result<Home, Failure> {
    match Home::create(path) {
        Ok(home) => Ok(home),
        Err(CreateHomeError::Exists { .. }) => {
            let home = open_home(path)?;
            match home.read_secret(Secret::Node) {
                Ok(None) => Ok(home),
                Ok(Some(_)) => Err(Failure::new(
                    Exit::Failed,
                    "home_exists",
                    format!("{} is already a node's home", path.display()),
                )
                .with_hint(
                    "choose another directory with --home, or use this node as it is: nuthatch status",
                )),
                Err(error) => Err(disk_failure(&error)),
            }
        }
        Err(error @ CreateHomeError::NotEmpty { .. }) => {
            Err(Failure::from_error(Exit::Failed, "not_empty", &error)
                .with_hint("choose an empty directory with --home"))
        }
        Err(error @ CreateHomeError::Locked { .. }) => Err(locked_failure(&error)),
        Err(CreateHomeError::File(error)) => Err(disk_failure(&error)),
    }
}

/// Opens a home for this process alone, whether or not its making was finished.
pub(crate) fn open_home(path: &Path) -> Result<Home, Failure> {
    Home::open(path).map_err(|error| home_failure(&error))
}

/// What a person is told when a home can't be opened.
pub(crate) fn home_failure(error: &OpenHomeError) -> Failure {
    match error {
        OpenHomeError::Empty { .. } => no_home(),
        OpenHomeError::NotAHome { .. } => Failure::from_error(Exit::NothingHere, "not_a_home", error)
            .with_hint("choose the right directory with --home or NUTHATCH_HOME"),
        OpenHomeError::Newer { .. } => Failure::from_error(Exit::Failed, "newer_home", error)
            .with_hint("install the newest nuthatch; nothing was changed here"),
        OpenHomeError::Locked { .. } => locked_failure(error),
        OpenHomeError::File(error) => disk_failure(error),
    }
}

/// There is no node here.
pub(crate) fn no_home() -> Failure {
    Failure::new(Exit::NothingHere, "no_node", "there is no node in this home")
        .with_hint("begin with 'nuthatch init' (back up from this machine), 'nuthatch join' (keep a friend's backups) or 'nuthatch recover' (24 words)")
}

fn locked_failure(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(Exit::Failed, "home_in_use", error)
        .with_hint("a node runs here already; commands use it by themselves, a second 'up' is not needed")
}

/// This machine's disk failed or is full.
pub(crate) fn disk_failure(error: &nuthatch_disk::FileError) -> Failure {
    let failure = Failure::from_error(Exit::Failed, "own_disk", error);
    if error.is_disk_full() {
        failure
            .with_hint("this machine's disk is full: make room and run the command again; nothing was lost")
    } else {
        failure
    }
}

/// Writes the settings, then whatever else belongs into the home, and last of all the node's key.
pub(crate) fn finish_home<T>(
    home: &Home,
    new: &NewNode,
    fill: impl FnOnce(&Identity) -> Result<T, Failure>,
) -> Result<(Identity, T), Failure> {
    let config = choose(home.root(), new)?;
    let identity = Identity::new(KeyPair::from_seed(&fresh::<32>()?), node_name(&config));
    let filled = fill(&identity)?;
    home.write_secret(Secret::Node, identity.key.seed().as_slice())
        .map_err(|error| disk_failure(&error))?;
    Ok((identity, filled))
}

/// Puts a person's choices into the settings of a home; a node may be running in it, and is to be told.
pub fn change_settings(path: &Path, choices: &NewNode) -> Result<(), Failure> {
    choose(path, choices).map(drop)
}

fn choose(root: &Path, choices: &NewNode) -> Result<Config, Failure> {
    let before = load_config(root)?;
    let mut config = before.clone();
    choices.apply(&mut config);
    if config != before || !root.join(config::FILE_NAME).exists() {
        config
            .save(root)
            .map_err(|error| Failure::from_error(Exit::Failed, "config", &error))?;
    }
    Ok(config)
}

/// The settings of a home.
pub(crate) fn load_config(root: &Path) -> Result<Config, Failure> {
    Config::load(root).map_err(|error| {
        Failure::from_error(Exit::Usage, "config", &error)
            .with_hint("correct the settings file and try again")
    })
}

/// Who the node of an open home is. A home whose making was cut short has none.
pub(crate) fn load_identity(home: &Home, config: &Config) -> Result<Identity, Failure> {
    let seed = home
        .read_secret(Secret::Node)
        .map_err(|error| disk_failure(&error))?
        .ok_or_else(no_home)?;
    let seed = <[u8; 32]>::try_from(seed.as_slice()).map_err(|_| damaged_key("node.key"))?;
    Ok(Identity::new(KeyPair::from_seed(&seed), node_name(config)))
}

/// A key file that makes no sense.
pub(crate) fn damaged_key(file: &str) -> Failure {
    Failure::new(
        Exit::Damage,
        "damaged_key",
        format!("the key file {file} of this home is damaged"),
    )
    .with_hint(
        "make a new home and run 'nuthatch recover' with the 24 words: nothing that hosts keep is lost",
    )
}

/// What the node calls itself: as chosen, else the machine's name.
pub(crate) fn node_name(config: &Config) -> String {
    config.name.clone().unwrap_or_else(machine_name)
}

/// The machine's name, cut to what a name may be.
pub(crate) fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut clean: String = name.chars().filter(|c| !c.is_control()).collect();
    clean.truncate(clean.floor_char_boundary(NAME_LEN_MAX));
    if clean.is_empty() {
        "node".to_owned()
    } else {
        clean
    }
}

/// Fresh random bytes, or the failure that a command ends with.
pub(crate) fn fresh<const N: usize>() -> Result<[u8; N], Failure> {
    clock::entropy().map_err(|error| Failure::from_error(Exit::Failed, "entropy", &error))
}
