//! What a command asks for. Paths are absolute: the node has another working directory than the command.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::host::{HostChange, Limit, PeerQuota, Release};
use super::repair::{PeerStanding, Repair};
use super::secret::Secret;
use super::steward::StewardOrder;

/// One request, one command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// One screen about the archive and this node. Answer: `Answer::Status`.
    Status {},
    /// The circle. Answer: `Answer::Peers`.
    Peers(Peers),
    /// What a person says of a member. Answer: `Answer::PeerStanding`.
    PeerStanding(PeerStanding),
    /// Repairs what is to be repaired now. Messages: status. Answer: `Answer::Repair`, also before a failure.
    Repair(Repair),
    /// Appoints a steward, or dismisses it. Answer: `Answer::Steward`.
    Steward(StewardOrder),
    /// Lists stewards both ways. Answer: `Answer::Stewards`.
    Stewards {},
    /// A line that admits a node. Answer: `Answer::Invite`.
    Invite(Invite),
    /// Nodes that wait for a person to let them in. Answer: `Answer::Waiting`.
    Waiting {},
    /// Lets one of them in. Answer: `Answer::Approve`.
    Approve(Approve),
    /// Joins a circle with an invitation. Answer: `Answer::Join`.
    Join(Join),
    /// Adds a new archive to a node that has none. Answer: `Answer::Init`.
    InitArchive(InitArchive),
    /// Makes a snapshot. Messages: status, warning. Answer: `Answer::Backup`.
    Backup(Backup),
    /// Lists snapshots. Messages: `Message::Snapshot` each, oldest first. Answer: `Answer::Rows`.
    Snapshots(Snapshots),
    /// Lists files of a snapshot. Messages: `Message::Entry` each. Answer: `Answer::Rows`.
    Ls(Ls),
    /// Restores. Messages: status, warning. Answer: `Answer::Restore`.
    Restore(Restore),
    /// Proves that all can be restored. Messages: status, warning. Answer: `Answer::Verify`.
    Verify(Verify),
    /// What the recovery kit says. Answer: `Answer::Kit`.
    Kit {},
    /// Makes this node a device of the archive that a phrase opens. Messages: status, warning. Answer: `Answer::Recover`.
    Recover(Recover),
    /// How fast bulk may move: sets what is given, and tells what holds. Answer: `Answer::Limit`.
    Limit(Limit),
    /// Has hosts prove what they keep. Messages: status, warning. Answer: `Answer::Audit`.
    Audit(Audit),
    /// This node as a host: changes what is asked for, and tells how it stands. Answer: `Answer::Host`.
    Host {
        /// What to change.
        change: HostChange,
    },
    /// What a member may keep here at most. Answer: `Answer::PeerQuota`.
    PeerQuota(PeerQuota),
    /// Deletes what is kept for a member, where that may be. Answer: `Answer::Release`.
    Release(Release),
    /// Streams `Message::Event` until cancelled; it has no answer of its own.
    Events {},
}

/// How far the node that performs a request must reach, when it runs for that request alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Reach {
    /// Nowhere: what is asked stands in the home. No network is started.
    Home,
    /// To the members of its circle, without listening. Where there are none, no network is started.
    Members,
    /// To anybody whose address is given or who is found, without listening.
    Anybody,
    /// It listens too, and so learns its addresses and is found.
    #[default]
    Listening,
}

impl Request {
    /// How far its node must reach.
    ///
    /// What is known of members and hosts is kept in the home, as it was at the last contact, and the list of snapshots is in the
    /// catalogue: asking for these reaches nobody. Directories of a snapshot are in packs, which hosts keep.
    pub const fn reach(&self) -> Reach {
        match self {
            Self::Status {}
            | Self::Peers(_)
            | Self::Waiting {}
            | Self::Kit {}
            | Self::Stewards {}
            | Self::Snapshots(_)
            | Self::Limit(_)
            | Self::Host { .. }
            | Self::PeerQuota(_)
            | Self::InitArchive(_) => Reach::Home,
            Self::Approve(_)
            | Self::Audit(_)
            | Self::Backup(_)
            | Self::Ls(_)
            | Self::PeerStanding(_)
            | Self::Repair(_)
            | Self::Release(_)
            | Self::Restore(_)
            | Self::Steward(_)
            | Self::Verify(_) => Reach::Members,
            Self::Join(_) | Self::Recover(_) => Reach::Anybody,
            Self::Invite(_) | Self::Events {} => Reach::Listening,
        }
    }
}

/// The circle's members to show.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Peers {
    /// Also nodes that wait until a person decides, and removed members.
    #[serde(default)]
    pub all: bool,
}

/// Hosts to audit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Audit {
    /// One of them: its name, its id, or a beginning or end of that; all without.
    pub peer: Option<String>,
}

/// An invitation to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invite {
    /// How long it admits, in milliseconds from now.
    pub expires_ms: u64,
    /// How many nodes it admits, `1..`.
    pub uses: u32,
}

/// A node to let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Approve {
    /// Its id, or a beginning or end of it that no other waiting node has.
    pub peer: String,
}

/// An invitation to use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Join {
    /// The line that `invite` printed.
    pub invitation: Secret,
}

/// An archive to begin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InitArchive {
    /// Wraps the archive's secrets on this device; `None` keeps them unwrapped (`--no-passphrase`).
    pub passphrase: Option<Secret>,
}

/// How far a backup waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitGoal {
    /// Other machines could give everything back.
    Recoverable,
    /// Even after the target number of hosts vanish.
    Protected,
}

/// A snapshot to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Backup {
    /// Absolute paths, none of them inside the home.
    pub paths: Vec<RawPath>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Globs of what to leave out, in the order given.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// Stay on the file system of each path.
    #[serde(default)]
    pub one_file_system: bool,
    /// Read and count, store nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// What to wait for after the commit; `None` returns when all that reachable hosts take is sent.
    pub wait: Option<WaitGoal>,
    /// How long to wait, in milliseconds.
    pub wait_for_ms: u64,
    /// Back up the streamed input as a file of this name, instead of paths.
    pub stdin_name: Option<RawPath>,
}

/// Which snapshots to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshots {
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those of this host name (needs the reader key).
    pub host: Option<String>,
    /// Only those that contain this path (needs the reader key).
    pub path: Option<RawPath>,
    /// The unlocked reader key; without it host, user and paths stay unknown.
    pub reader_key: Option<Secret>,
}

/// A snapshot, or a part of it: `ID[:PATH]`, taken apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotPart {
    /// An id, a unique beginning of one, `latest` or `latest~2`.
    pub snapshot: String,
    /// A path inside the snapshot; `None` is all of it.
    pub path: Option<RawPath>,
}

/// Files to list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ls {
    /// Of what.
    pub part: SnapshotPart,
    /// Everything below, not only the first level.
    #[serde(default)]
    pub recursive: bool,
    /// The unlocked reader key.
    pub reader_key: Option<Secret>,
}

/// What to do with a file that is there already. Directories get their attributes in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overwrite {
    /// Compare content and write what differs.
    Always,
    /// Write unless size and time are the same already.
    #[default]
    IfChanged,
    /// Leave it.
    Never,
}

/// What to restore, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restore {
    /// What: with a path, its content lands directly in the target.
    pub part: SnapshotPart,
    /// Where: an absolute path, created when missing.
    pub target: RawPath,
    /// Globs of what to restore; none is everything.
    #[serde(default)]
    pub includes: Vec<String>,
    /// Globs of what not to restore.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// What to do with a file that is there already.
    #[serde(default)]
    pub overwrite: Overwrite,
    /// Plan and count, write nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The unlocked reader key.
    pub reader_key: Option<Secret>,
}

/// How deep a verification looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyDepth {
    /// Inventories.
    Quick,
    /// Journals, labels, inventories and metadata packs.
    #[default]
    Metadata,
    /// Every byte.
    ReadData,
}

/// What to verify.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verify {
    /// Only what this snapshot needs; `None` is the whole archive.
    pub snapshot: Option<String>,
    /// How deep.
    #[serde(default)]
    pub depth: VerifyDepth,
    /// The unlocked reader key; not needed for `Quick`.
    pub reader_key: Option<Secret>,
}

/// An archive to recover.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recover {
    /// The 24 words.
    pub phrase: Secret,
    /// Wraps the secrets on this device; `None` keeps them unwrapped.
    pub passphrase: Option<Secret>,
    /// Addresses to try besides the LAN, with or without `/p2p/ID`.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Only show which snapshots there are: make no device, keep no keys.
    #[serde(default)]
    pub list_only: bool,
}

/// A path as bytes. In JSON a string, or `{"b64": "…"}` when it is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawPath(pub Vec<u8>);

impl RawPath {
    /// As a path of this system.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(std::ffi::OsString::from_vec(self.0.clone()))
    }
}

impl From<&Path> for RawPath {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

impl From<&OsStr> for RawPath {
    fn from(path: &OsStr) -> Self {
        Self(path.as_bytes().to_vec())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RawPathForm {
    Text(String),
    Bytes { b64: String },
}

impl Serialize for RawPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match std::str::from_utf8(&self.0) {
            Ok(text) => RawPathForm::Text(text.to_owned()),
            Err(_) => RawPathForm::Bytes {
                b64: data_encoding::BASE64.encode(&self.0),
            },
        };
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match RawPathForm::deserialize(deserializer)? {
            RawPathForm::Text(text) => Ok(Self(text.into_bytes())),
            RawPathForm::Bytes { b64 } => data_encoding::BASE64
                .decode(b64.as_bytes())
                .map(Self)
                .map_err(|_| serde::de::Error::custom("a path's b64 is not base64")),
        }
    }
}
