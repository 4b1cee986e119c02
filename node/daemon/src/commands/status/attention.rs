//! What needs a person, and the command for it: facts in, a list out, the most pressing first. Pure; the sentences of `status` are here.

pub(super) mod giving;
pub(super) mod keeping;

use giving::GivingFacts;
use nuthatch_format::{ByteCount, Span, Timestamp};

use super::super::kit::KitState;
use crate::api::{Attention, Protection, rfc3339};
use crate::events::FaultKind;
use keeping::KeepingFacts;

/// Less free space than this, and backups and hosting are about to stop: room for a few packs of 16 MiB and their indexes.
const DISK_FREE_MIN: ByteCount = ByteCount(256 << 20);

/// A host that was not seen for so long is named: half of the two weeks after which an unknown one counts as gone.
const AWAY_LONG: Span = Span::from_days(7);

/// A backup that is older is named.
const BACKUP_OLD: Span = Span::from_days(7);

/// Faults that are named; more of them say nothing new.
const FAULTS_NAMED_MAX: usize = 10;

/// Everything that the rule looks at.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) now: Timestamp,
    /// Whether the node runs; where it does not, everything is as of the last contact.
    pub(super) is_running: bool,
    pub(super) has_archive: bool,
    /// Whether the roster names this node; `None` without a circle.
    pub(super) is_circle_member: Option<bool>,
    /// Members but this node (count).
    pub(super) other_members: usize,
    /// Nodes that keep something of the archive or promise to (count).
    pub(super) hosts: usize,
    /// The newest backup of this device.
    pub(super) backup: Option<BackupFacts>,
    /// Bytes that wait here to be sent.
    pub(super) staged: ByteCount,
    /// Names of hosts that take no more.
    pub(super) full: Vec<String>,
    /// Hosts that are away.
    pub(super) away: Vec<AwayHost>,
    pub(super) faults: Vec<SeenFault>,
    /// Nodes whose admission waits for a person (count).
    pub(super) waiting: usize,
    /// `None` without an archive.
    pub(super) kit: Option<KitState>,
    pub(super) disk_free: ByteCount,
    /// Whether the disk with what it keeps for others is there.
    pub(super) is_vault_there: bool,
    /// What concerns the keeping of data alive.
    pub(super) keeping: KeepingFacts,
    /// What concerns giving and taking.
    pub(super) giving: GivingFacts,
}

/// The newest backup.
#[derive(Debug, Clone)]
pub(super) struct BackupFacts {
    pub(super) at: Timestamp,
    pub(super) protection: Protection,
    /// Losses of hosts that it survives (count).
    pub(super) survives: u32,
    /// Losses that it should survive (count).
    pub(super) target: u32,
    /// Names of members that are away and could make it safer.
    pub(super) waiting_for: Vec<String>,
}

/// A host that is away.
#[derive(Debug, Clone)]
pub(super) struct AwayHost {
    pub(super) name: String,
    pub(super) since: Timestamp,
}

/// A fault that this run of the node has seen.
#[derive(Debug, Clone)]
pub(super) struct SeenFault {
    pub(super) kind: FaultKind,
    pub(super) host: Option<String>,
    pub(super) message: String,
}

/// What needs a person, the most pressing first.
pub(super) fn attention(facts: &Facts) -> Vec<Attention> {
    let mut list = Vec::new();
    machine(facts, &mut list);
    faults(facts, &mut list);
    circle(facts, &mut list);
    backup(facts, &mut list);
    keeping::keeping(&facts.keeping, &mut list);
    hosts(facts, &mut list);
    giving::giving(&facts.giving, &mut list);
    rest(facts, &mut list);
    list
}

fn item(kind: &str, message: impl Into<String>, command: &str) -> Attention {
    Attention {
        kind: kind.to_owned(),
        message: message.into(),
        command: command.to_owned(),
    }
}

/// This machine's own state.
fn machine(facts: &Facts, list: &mut Vec<Attention>) {
    if facts.disk_free < DISK_FREE_MIN {
        let message = format!(
            "this machine's disk has only {} MiB free: backups wait and nothing new is kept for others; make room",
            facts.disk_free.0 >> 20
        );
        list.push(item("disk_full", message, "df -h"));
    }
    if !facts.is_vault_there {
        let message = "the disk with what this node keeps for others is not connected: connect it where it was; nothing is lost by it, but \
                       others can't count on it for long";
        list.push(item("vault_detached", message, "df -h"));
    }
}

/// What went wrong; the newest last, so those are named.
fn faults(facts: &Facts, list: &mut Vec<Attention>) {
    let skipped = facts.faults.len().saturating_sub(FAULTS_NAMED_MAX);
    for fault in facts.faults.iter().skip(skipped) {
        // Nodes that the roster knows to wait are named below.
        if fault.kind == FaultKind::InvitationReused && facts.waiting > 0 {
            continue;
        }
        let message = match &fault.host {
            Some(host) => format!("{host}: {}", fault.message),
            None => fault.message.clone(),
        };
        list.push(item(fault.kind.word(), message, command_for(fault.kind)));
    }
}

const fn command_for(kind: FaultKind) -> &'static str {
    match kind {
        // Every byte that is still there can be told from what is not.
        FaultKind::WrongBytes | FaultKind::Truncated | FaultKind::WrongShard => "nuthatch verify --read-data",
        FaultKind::OldJournal | FaultKind::TwoLines => "nuthatch verify",
        FaultKind::Silent => "nuthatch verify --quick",
        FaultKind::InvitationReused => "nuthatch circle waiting",
        FaultKind::OwnDisk => "df -h",
    }
}

fn circle(facts: &Facts, list: &mut Vec<Attention>) {
    if facts.is_circle_member == Some(false) {
        let message = "this node is no longer a member of its circle: hosts keep what they have and give it back, and take nothing new; \
                       ask an admin why";
        list.push(item("not_a_member", message, "nuthatch peers"));
    }
    if facts.waiting > 0 {
        let message = format!(
            "{} used an invitation that was used up and wait{} for a person: look who, and let in whom you know",
            nodes(facts.waiting),
            if facts.waiting == 1 { "s" } else { "" }
        );
        list.push(item("invitation_waiting", message, "nuthatch circle waiting"));
    }
}

fn backup(facts: &Facts, list: &mut Vec<Attention>) {
    if !facts.has_archive {
        return;
    }
    let Some(backup) = &facts.backup else {
        list.push(item(
            "no_backup",
            "nothing is backed up from this machine yet",
            "nuthatch backup PATH",
        ));
        if facts.other_members == 0 {
            list.push(no_hosts("backups will stay on this machine"));
        }
        return;
    };
    if facts.hosts == 0 && facts.other_members == 0 {
        list.push(no_hosts(
            "the last backup is on this machine only, and is lost with it",
        ));
    } else if backup.protection != Protection::Protected {
        list.push(not_protected(facts, backup));
    } else if facts.staged > ByteCount::ZERO {
        let message = format!(
            "{} MiB are still to be sent to hosts; leave the node running",
            facts.staged.0.div_ceil(1 << 20)
        );
        list.push(item("staged", message, "nuthatch up"));
    }
    if facts.now.since(backup.at) > BACKUP_OLD {
        let message = format!("the last backup is from {}", rfc3339(backup.at));
        list.push(item("backup_old", message, "nuthatch backup PATH"));
    }
}

fn no_hosts(consequence: &str) -> Attention {
    let message = format!(
        "no other machine keeps anything of this archive: {consequence}; invite a friend or another machine of yours"
    );
    item("no_hosts", message, "nuthatch invite")
}

fn not_protected(facts: &Facts, backup: &BackupFacts) -> Attention {
    let state = match backup.protection {
        Protection::Staged => "the last backup is not complete on other machines yet".to_owned(),
        Protection::Recoverable | Protection::Protected => {
            format!(
                "the last backup survives the loss of {} where {} are wanted",
                losses(backup.survives),
                backup.target
            )
        }
    };
    if facts.hosts > 0 && facts.full.len() == facts.hosts {
        return item(
            "not_protected",
            format!("{state}, and every host is full: invite another, or ask for more room"),
            "nuthatch invite",
        );
    }
    if backup.waiting_for.is_empty() {
        return item(
            "not_protected",
            format!("{state}; leave the node running, or invite more hosts"),
            "nuthatch up",
        );
    }
    item(
        "not_protected",
        format!("{state}; waiting for {}", backup.waiting_for.join(", ")),
        "nuthatch up",
    )
}

fn losses(count: u32) -> String {
    match count {
        0 => "no host".to_owned(),
        1 => "1 host".to_owned(),
        count => format!("{count} hosts"),
    }
}

fn hosts(facts: &Facts, list: &mut Vec<Attention>) {
    if !facts.full.is_empty() {
        let message = format!("full, take no more of this archive: {}", facts.full.join(", "));
        list.push(item("hosts_full", message, "nuthatch peers"));
    }
    for host in facts
        .away
        .iter()
        .filter(|host| facts.now.since(host.since) > AWAY_LONG)
    {
        let days = facts.now.since(host.since).0 / Span::from_days(1).0;
        let message = format!(
            "{} was last seen {days} days ago: ask its owner to switch it on",
            host.name
        );
        list.push(item("host_away", message, "nuthatch peers"));
    }
    match facts.kit {
        Some(KitState::Missing) => {
            let message =
                "no recovery kit was made yet: without it you need to remember where your hosts are";
            list.push(item("kit_missing", message, "nuthatch kit --out FILE"));
        }
        Some(KitState::Stale) => {
            let message = "your hosts changed since the recovery kit was made: print a new one";
            list.push(item("kit_stale", message, "nuthatch kit --out FILE"));
        }
        Some(KitState::Good) | None => {}
    }
}

/// A node that does not run sends nothing, and gives nobody what he keeps here.
fn rest(facts: &Facts, list: &mut Vec<Attention>) {
    if !facts.is_running && facts.other_members > 0 {
        let message = "no node runs here: all of this is as it was at the last contact, nothing is sent, and others can't reach \
                       what they keep here";
        list.push(item("no_node", message, "nuthatch up"));
    }
}

fn nodes(count: usize) -> String {
    if count == 1 {
        "a node".to_owned()
    } else {
        format!("{count} nodes")
    }
}

#[cfg(test)]
mod tests;
