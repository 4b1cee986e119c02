//! What a node streams back: status, warnings, rows, events, and one summary. The keys are the command line's interface:
//! adding is free, changing is not. Sizes are bytes, times RFC 3339 in UTC.

use nuthatch_format::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::{AuditAnswer, AuditShown};
use super::circle::{ApproveAnswer, InviteAnswer, JoinAnswer, PeerName, WaitingAnswer};
use super::failure::Exit;
use super::host::{HostAnswer, LimitAnswer, PeerQuotaAnswer, ReleaseAnswer};
use super::repair::{PeerStandingAnswer, RepairStanding, RepairSummary};
use super::steward::{StewardAnswer, StewardsAnswer};

/// One message of a stream; in JSON each has `message_type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message_type", rename_all = "snake_case")]
pub enum Message {
    /// The node runs and listens.
    Ready(Ready),
    /// Something happened at the node.
    Event(Event),
    /// How far the work is.
    Status(Progress),
    /// Something went wrong, and the work goes on.
    Warning(Notice),
    /// Something went wrong, and the work ended: the last message of a stream that failed.
    Error(Notice),
    /// A snapshot of a list.
    Snapshot(SnapshotRow),
    /// A file of a list.
    Entry(EntryRow),
    /// The result.
    Summary(Answer),
}

/// A moment as RFC 3339 in UTC, with milliseconds.
pub fn rfc3339(time: Timestamp) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| "9999-12-31T23:59:59.999Z".to_owned(), |t| format!("{t:.3}"))
}

/// A path for people and scripts: a text, and the exact bytes in base64 where the text can't hold them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPath {
    /// The path; what is not UTF-8 is replaced.
    pub path: String,
    /// The exact bytes, when they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
}

impl ShownPath {
    /// The path with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self {
                path: text.to_owned(),
                path_b64: None,
            },
            Err(_) => Self {
                path: String::from_utf8_lossy(bytes).into_owned(),
                path_b64: Some(data_encoding::BASE64.encode(bytes)),
            },
        }
    }
}

/// The node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Its id.
    pub peer_id: String,
    /// Where it listens, each ending in `/p2p/ID`, loopback last.
    pub addresses: Vec<String>,
}

/// Something that happened at the node: a line of `up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: String,
    /// A short word in snake case.
    pub kind: String,
    /// A sentence; names in it are not yet escaped.
    pub message: String,
    /// The node that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looking for hosts.
    Connect,
    /// Fetching journals and inventories, rebuilding the catalogue.
    Catalogue,
    /// Reading, chunking, sealing.
    Read,
    /// Sending shards to hosts.
    Send,
    /// Waiting for hosts that are away.
    Wait,
    /// Fetching and writing files.
    Restore,
    /// Checking what hosts hold.
    Verify,
    /// Rebuilding what hosts have lost.
    Repair,
    /// Having hosts prove what they keep.
    Audit,
}

/// How far the work is. Zero totals are not known yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Files done.
    pub files_done: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: u64,
    /// Seconds since the job began.
    pub seconds: f64,
    /// The file, host or step at hand; not yet escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
}

/// A warning or an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The exit code that it leads to.
    pub code: u8,
    /// A short word in snake case: `wrong_bytes`, `truncated`, `wrong_shard`, `old_journal`, `silent`, `file_changed`, `unreadable`.
    pub kind: String,
    /// What went wrong, with what.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The node that it is about.
    pub peer_id: Option<String>,
    /// The file that it is about.
    pub path: Option<String>,
    /// Its exact bytes, when they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
}

/// How safe a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Complete and encrypted, on this machine only.
    Staged,
    /// Other machines could give it back.
    Recoverable,
    /// So even after the target number of hosts vanish.
    Protected,
}

/// The last message of a request that was performed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To `init`.
    Init(InitAnswer),
    /// To `invite`.
    Invite(InviteAnswer),
    /// To `join`.
    Join(JoinAnswer),
    /// To `recover`.
    Recover(RecoverAnswer),
    /// To `backup`.
    Backup(BackupSummary),
    /// To `snapshots` and `ls`, after their rows.
    Rows(RowsSummary),
    /// To `restore`.
    Restore(RestoreSummary),
    /// To `verify`.
    Verify(VerifySummary),
    /// To `peers`.
    Peers(PeersAnswer),
    /// To `status`.
    Status(StatusAnswer),
    /// To `kit`.
    Kit(KitAnswer),
    /// To `peer lost`, `peer drain` and `peer keep`.
    PeerStanding(PeerStandingAnswer),
    /// To `repair`.
    Repair(RepairSummary),
    /// To `audit`.
    Audit(AuditAnswer),
    /// To `steward appoint` and `steward revoke`.
    Steward(StewardAnswer),
    /// To `steward list`.
    Stewards(StewardsAnswer),
    /// To `circle waiting`.
    Waiting(WaitingAnswer),
    /// To `circle approve`.
    Approve(ApproveAnswer),
    /// To `limit`.
    Limit(LimitAnswer),
    /// To `host quota`, `pause`, `resume`, `leave`, `stay` and `generous`.
    Host(HostAnswer),
    /// To `peer set --quota`.
    PeerQuota(PeerQuotaAnswer),
    /// To `host release`.
    Release(ReleaseAnswer),
}

impl Answer {
    /// How a command ends that got this answer and no failure after it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Backup(summary) if summary.errors > 0 => Exit::Incomplete,
            Self::Restore(summary) if summary.errors > 0 => Exit::Incomplete,
            Self::Verify(summary) if summary.damaged_count > 0 => Exit::Damage,
            Self::Audit(answer) => answer.exit(),
            _ => Exit::Done,
        }
    }
}

/// A new archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitAnswer {
    /// The archive.
    pub archive_id: String,
    /// This device.
    pub device_id: String,
    /// This node.
    pub peer_id: String,
    /// The 24 words; `null` where they must not be shown.
    pub phrase: Option<String>,
}

/// An archive was recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverAnswer {
    /// The archive.
    pub archive_id: String,
    /// This device; `null` with `--list`.
    pub device_id: Option<String>,
    /// This node.
    pub peer_id: String,
    /// On how many hosts' word it stands.
    pub hosts: u32,
    /// How many snapshots there are.
    pub snapshots: u64,
}

/// A snapshot was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// Its id; `null` in a dry run.
    pub snapshot_id: Option<String>,
    /// A keyed hash of the root tree: equal when the content is.
    pub root_hash: Option<String>,
    /// Files that were not in the parent.
    pub files_new: u64,
    /// Files that differ from the parent.
    pub files_changed: u64,
    /// Files that are as in the parent.
    pub files_unmodified: u64,
    /// Directories that were not in the parent.
    pub dirs_new: u64,
    /// Directories that differ from the parent.
    pub dirs_changed: u64,
    /// Directories that are as in the parent.
    pub dirs_unmodified: u64,
    /// Plaintext of everything in the snapshot.
    pub bytes_processed: u64,
    /// New plaintext.
    pub bytes_added: u64,
    /// New packs.
    pub bytes_stored: u64,
    /// On the wire.
    pub bytes_sent: u64,
    /// Source files that could not be read.
    pub errors: u64,
    /// How long it took.
    pub seconds: f64,
    /// How safe it is.
    pub protection: Protection,
    /// How many hosts may vanish now.
    pub survives_losses: u32,
    /// How many hosts hold something of it.
    pub hosts: u32,
    /// Hosts that are missing for more.
    pub waiting_for: Vec<PeerName>,
}

/// A snapshot of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRow {
    /// Its id.
    pub id: String,
    /// Its first eight digits.
    pub short_id: String,
    /// When it began; without the reader key, when it ended.
    pub time: String,
    /// Of which machine; `null` without the reader key.
    pub hostname: Option<String>,
    /// Whose; `null` without the reader key.
    pub username: Option<String>,
    /// What was backed up; `null` without the reader key.
    pub paths: Option<Vec<String>>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The device that signed it.
    pub device: String,
    /// How safe it is.
    pub protection: Protection,
    /// How many hosts may vanish now.
    pub survives_losses: u32,
    /// Plaintext of everything in it.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
}

/// A file of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Its path in the snapshot.
    #[serde(flatten)]
    pub path: ShownPath,
    /// `file`, `dir`, `symlink`, `fifo`, `char_device`, `block_device`, `socket`.
    pub kind: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Last change.
    pub mtime: String,
    /// Where a symbolic link points.
    pub target: Option<String>,
}

/// How many rows came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsSummary {
    /// Rows.
    pub rows: u64,
}

/// Files were restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreSummary {
    /// Regular files written, each name of one with several; in a dry run, that would be looked at and written where they differ.
    pub files_restored: u64,
    /// Regular files that were right already, or that were to be left alone.
    pub files_unchanged: u64,
    /// Bytes written.
    pub bytes_restored: u64,
    /// Bytes that came from hosts.
    pub bytes_fetched: u64,
    /// Entries that could not be restored; each had its warning.
    pub errors: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A verification ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifySummary {
    /// Packs looked at.
    pub packs: u64,
    /// Shards looked at.
    pub shards: u64,
    /// Bytes that came from hosts.
    pub bytes_read: u64,
    /// What is wrong; of a great many only the first.
    pub damaged: Vec<Damage>,
    /// How much is wrong in all.
    pub damaged_count: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Something that a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// As in warnings: `wrong_bytes`, `truncated`, `wrong_shard`, `old_journal`, `silent`, `missing`.
    pub kind: String,
    /// What is wrong, with what.
    pub message: String,
    /// The pack, when it is one.
    pub pack_id: Option<String>,
    /// The host, when it is one.
    pub peer_id: Option<String>,
    /// The file or directory of a snapshot that suffers, when it is known.
    pub path: Option<String>,
    /// Its exact bytes, when they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    /// Whether the pack can still be rebuilt from others.
    pub restorable: bool,
}

/// The circle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersAnswer {
    /// Its members without this node.
    pub peers: Vec<PeerRow>,
}

/// A member of the circle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// `online`, `away`, `gone` (away for longer than its grace) or `lost` (a person said so); `unknown` where no node runs, and nobody
    /// was asked. With `--all` also `waiting` and `removed`.
    pub state: String,
    /// What its shards are worth: `sound`, `gone`, `leaving`, `drained` (leaving, and nothing is kept by it alone) or `lost`.
    pub health: String,
    /// Where it was last reached.
    pub addresses: Vec<String>,
    /// `lan`, `direct` or `relayed`, while connected.
    pub path: Option<String>,
    /// Bytes that it keeps for me.
    pub hosted_for_me: u64,
    /// Bytes that I keep for it.
    pub hosted_for_them: u64,
    /// Bytes that it lets this archive keep there by the balance, as it last said; `null`: it asks nothing in return, or has not said.
    pub allowed_there: Option<u64>,
    /// How this archive stands with it: `even`, `warned`, `stopped` or `releasable`; `unknown` before it has said.
    pub balance_there: String,
    /// Bytes that its archive may keep here by the balance; `null`: nothing is asked in return.
    pub allowed_here: Option<u64>,
    /// How its archive stands here, by the same words.
    pub balance_here: String,
    /// Bytes that a person here lets it keep at most; `null`: no word on it.
    pub quota: Option<u64>,
    /// `open`, `paused` or `leaving`, as its person says.
    pub stance: String,
    /// When its holiday ends by itself.
    pub paused_until: Option<String>,
    /// Whether both say the same of what each keeps for the other; `null` before it has said.
    pub ledger_agrees: Option<bool>,
    /// Last contact.
    pub last_seen: Option<String>,
    /// When it was last asked for a proof that it gave; until its first audit, its last signed inventory.
    pub last_proof: Option<String>,
    /// When it was first known here.
    pub known_since: Option<String>,
    /// In how many of a thousand hours it was there, as far as it was seen.
    pub availability_per_mille: Option<u16>,
    /// Its longest absence, in seconds, as far as it was seen.
    pub longest_absence_seconds: Option<u64>,
    /// How its audits stand; `null` where it keeps nothing of this archive.
    #[serde(default)]
    pub audit: Option<AuditShown>,
}

/// One screen about this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// This node.
    pub peer_id: String,
    /// What it calls itself.
    pub name: String,
    /// Whether the node runs. Where it does not, all of this is as it was at the last contact.
    pub running: bool,
    /// When another member was last connected; now, while one is. `null` where none ever was.
    pub last_contact: Option<String>,
    /// The archive; `null` at a node that only hosts.
    pub archive_id: Option<String>,
    /// Time of the last backup that is complete.
    pub last_backup: Option<String>,
    /// How safe it is; `null` without a backup.
    pub protection: Option<Protection>,
    /// How many hosts may vanish now.
    pub survives_losses: u32,
    /// How many hosts keep something of the archive.
    pub hosts: u32,
    /// How many of them are online; `null` where no node runs, and nobody was asked.
    pub hosts_online: Option<u32>,
    /// Bytes that wait here to be sent.
    pub staged_bytes: u64,
    /// Bytes that this node keeps for others.
    pub hosted_bytes: u64,
    /// Bytes that it would keep at most.
    pub quota_bytes: u64,
    /// `open`, `paused` or `leaving`: what its person has said about hosting.
    pub stance: String,
    /// When its holiday ends by itself.
    pub paused_until: Option<String>,
    /// The last proof by any host.
    pub last_proof: Option<String>,
    /// How repairs stand.
    pub repair: RepairStanding,
    /// What needs a person.
    pub attention: Vec<Attention>,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// A short word in snake case.
    pub kind: String,
    /// What it is.
    pub message: String,
    /// The command for it.
    pub command: String,
}

/// What the recovery kit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitAnswer {
    /// The archive.
    pub archive_id: String,
    /// When this was written.
    pub created: String,
    /// Up to five hosts, always-on ones first.
    pub hosts: Vec<KitHost>,
}

/// A host in the recovery kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitHost {
    /// Its id.
    pub peer_id: String,
    /// What it calls itself; not yet escaped.
    pub name: String,
    /// Where it is reached, each ending in `/p2p/ID`.
    pub addresses: Vec<String>,
}

#[cfg(test)]
mod tests;
