//! `host` and a member's quota: what this node gives, its holidays, its leaving, and space that a person frees again.
//!
//! What a person says is kept in the settings and told to all members. What may be released is the engine's verdict.

use std::sync::Arc;

use nuthatch_disk::atomic;
use nuthatch_disk::vault::ShardPlace;
use nuthatch_engine::capacity::{Capacity, CapacityBound, Means, capacity};
use nuthatch_engine::fairness::{Balance, ReleaseVerdict, Stance};
use nuthatch_format::{ArchiveId, ByteCount, NodeId, Timestamp};
use nuthatch_transport::peer_id_text;

use super::{blocking, member};
use crate::api::{
    Exit, Failure, HostAnswer, HostChange, HostedRow, PeerQuota, PeerQuotaAnswer, Release, ReleaseAnswer,
    rfc3339,
};
use crate::clock;
use crate::config::{Config, Pause};
use crate::node::Node;
use crate::setup::disk_failure;

/// Changes what is asked for, and tells how this node stands as a host.
pub(crate) async fn run(node: &Arc<Node>, change: HostChange) -> Result<HostAnswer, Failure> {
    let node = Arc::clone(node);
    blocking(move || {
        if change == HostChange::Leave && !node.config().leaving {
            // What was said when it was about to leave before says nothing now.
            node.ledgers.forget_needs();
        }
        if change != HostChange::Show {
            node.change_settings(|config| apply(change, config))?;
            say(&node, change);
        }
        tell(&node)
    })
    .await
}

fn apply(change: HostChange, config: &mut Config) {
    match change {
        HostChange::Show => {}
        HostChange::Quota(bytes) => config.quota = Some(ByteCount(bytes)),
        HostChange::Pause { until_ms } => {
            config.pause = Some(until_ms.map_or(Pause::UntilResumed, |ms| Pause::Until(Timestamp(ms))));
        }
        HostChange::Resume => config.pause = None,
        HostChange::Leave => config.leaving = true,
        HostChange::Stay => config.leaving = false,
        HostChange::Generous(is_generous) => config.generous = Some(is_generous),
    }
}

fn say(node: &Node, change: HostChange) {
    let message = match change {
        HostChange::Show => return,
        HostChange::Quota(bytes) => format!("others may keep up to {} here", size(ByteCount(bytes))),
        HostChange::Pause { .. } => {
            "a holiday: nothing new is taken; what is here is kept and given back".to_owned()
        }
        HostChange::Resume => "the holiday is over".to_owned(),
        HostChange::Leave => {
            "this node is about to leave: owners move what they keep here elsewhere".to_owned()
        }
        HostChange::Stay => "this node stays after all".to_owned(),
        HostChange::Generous(true) => "nothing is asked in return any more".to_owned(),
        HostChange::Generous(false) => "about as much is asked in return as is given".to_owned(),
    };
    node.events.say("hosting", None, message);
}

fn size(bytes: ByteCount) -> String {
    bytesize::ByteSize(bytes.0).display().si().to_string()
}

fn tell(node: &Node) -> Result<HostAnswer, Failure> {
    let facts = node.vault_facts().map_err(|error| disk_failure(&error))?;
    let hosted = facts
        .used
        .values()
        .fold(ByteCount::ZERO, |sum, used| sum.saturating_add(*used));
    let stance = facts.stance.at(clock::now());
    let is_leaving = stance == Stance::Leaving;
    let archives: Vec<HostedRow> = facts
        .used
        .iter()
        .filter(|(_, bytes)| **bytes > ByteCount::ZERO)
        .map(|(archive, bytes)| row(node, archive, *bytes, is_leaving))
        .collect();
    let safe = safe_promise(node, facts.disk_free.saturating_add(hosted));
    Ok(HostAnswer {
        stance: stance_word(stance).to_owned(),
        paused_until: paused_until(stance),
        generous: facts.generous,
        quota_bytes: facts.quota.0,
        hosted_bytes: hosted.0,
        over_bytes: hosted.saturating_sub(facts.quota).0,
        safe_bytes: safe.bytes.0,
        safe_bound: match safe.bound {
            CapacityBound::Disk => "disk",
            CapacityBound::Upkeep => "upkeep",
            CapacityBound::GiveBack => "give_back",
        }
        .to_owned(),
        upload_bytes_per_second: node.config().limit_up.map(std::num::NonZeroU64::get),
        uptime_per_mille: node.uptime.per_mille(),
        may_switch_off: is_leaving.then(|| archives.iter().all(|row| row.needed_shards == Some(0))),
        archives,
    })
}

/// What this node may safely promise with so much of its disk.
fn safe_promise(node: &Node, disk: ByteCount) -> Capacity {
    capacity(&Means {
        disk,
        upload_per_second: node.config().limit_up.map(|rate| ByteCount(rate.get())),
        uptime_permille: node.uptime.per_mille().unwrap_or(1000),
    })
}

/// What this node may safely promise, for one that has just joined.
pub(crate) fn safe_bytes(node: &Node) -> Result<u64, Failure> {
    let free = atomic::disk_space(node.home.root())
        .map_err(|error| disk_failure(&error))?
        .free;
    Ok(safe_promise(node, free.saturating_add(node.vault.total()))
        .bytes
        .0)
}

fn row(node: &Node, archive: &ArchiveId, bytes: ByteCount, is_leaving: bool) -> HostedRow {
    let members = members_of(node, archive);
    // The member that knows best is the one that needs most.
    let heard = members.iter().filter_map(|member| {
        let heard = node.ledgers.heard(member)?;
        Some((heard.view.needed?, heard.at))
    });
    let told = heard.max().filter(|_| is_leaving);
    HostedRow {
        archive_id: archive.to_string(),
        names: members.iter().map(|member| node.circle.name_of(member)).collect(),
        bytes: bytes.0,
        needed_shards: told.map(|told| told.0),
        told: told.map(|told| rfc3339(told.1)),
    }
}

/// Members that are of an archive, but this node.
fn members_of(node: &Node, archive: &ArchiveId) -> Vec<NodeId> {
    let own = node.identity.node;
    let members = node.circle.members().into_iter();
    members
        .filter(|member| *member != own)
        .filter(|member| node.circle.read(|roster| roster.archive_of(member)).flatten() == Some(*archive))
        .collect()
}

/// Deletes what is kept for a member, if the engine says that it may be.
pub(crate) async fn release(node: &Arc<Node>, wanted: &Release) -> Result<ReleaseAnswer, Failure> {
    if !node.meets_others() {
        return Err(
            Failure::new(Exit::Failed, "no_node", "no node runs here that could decide it")
                .with_hint("run 'nuthatch up', and say it again"),
        );
    }
    let archive = archive_named(node, &wanted.peer)?;
    let verdict = node
        .hosting
        .ask_release(&node.engine, archive)
        .await
        .map_err(|error| Failure::from_error(Exit::TryLater, "busy", &error))?;
    match verdict {
        ReleaseVerdict::Granted => {}
        ReleaseVerdict::Nothing => {
            return Err(Failure::new(
                Exit::Failed,
                "nothing_kept",
                "nothing is kept here for it",
            ));
        }
        ReleaseVerdict::Promised { until, balance } => return Err(promised(until, balance)),
        ReleaseVerdict::Restoring { until } => {
            let message = "its owner is getting the backup back: it is not taken away meanwhile";
            let hint = format!("unless more is read, this ends at {}", rfc3339(until));
            return Err(Failure::new(Exit::Failed, "restoring", message).with_hint(hint));
        }
    }
    let node = Arc::clone(node);
    blocking(move || delete(&node, &archive)).await
}

fn promised(until: Timestamp, balance: Balance) -> Failure {
    let message = format!("this node has promised to keep it until {}", rfc3339(until));
    let failure = Failure::new(Exit::Failed, "promised", message);
    match balance {
        Balance::Even | Balance::Warned { .. } | Balance::Releasable => {
            failure.with_hint("'nuthatch host leave' has owners move it elsewhere; nothing is lost then")
        }
        Balance::Stopped { release_at } => failure.with_hint(format!(
            "its owner gives too little in return and was told; it may be released at {}",
            rfc3339(release_at)
        )),
    }
}

/// The archive of a member, or one that is kept here by its id.
fn archive_named(node: &Node, text: &str) -> Result<ArchiveId, Failure> {
    let mut kept = node.vault.usages().into_iter().map(|(archive, _)| archive);
    if let Some(archive) = kept.find(|archive| archive.to_string() == text) {
        return Ok(archive);
    }
    let peer = member::find(node, text)?;
    let archive = node.circle.read(|roster| roster.archive_of(&peer)).flatten();
    archive.ok_or_else(|| {
        let message = format!("{} has no archive", node.circle.name_of(&peer));
        Failure::new(Exit::Failed, "nothing_kept", message)
    })
}

fn delete(node: &Node, archive: &ArchiveId) -> Result<ReleaseAnswer, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::from_error(Exit::Failed, "own_disk", error)
            .with_hint("say it again: what is gone stays gone")
    };
    let before = node.vault.usage(archive);
    let mut holdings = Vec::new();
    node.each_holding(archive, |holding| {
        holdings.push(holding);
        true
    })
    .map_err(|error| failed(&error))?;
    for holding in &holdings {
        let place = ShardPlace {
            archive: *archive,
            label: holding.label,
            index: holding.index,
        };
        node.vault.remove(&place).map_err(|error| failed(&error))?;
    }
    node.vault_changed();
    let message = format!(
        "{} that were kept for archive {} are free again",
        size(before.bytes),
        archive.short()
    );
    node.events.say("released", None, message);
    Ok(ReleaseAnswer {
        archive_id: archive.to_string(),
        bytes: before.bytes.0,
        shards: holdings.len() as u64,
    })
}

/// Sets what a member may keep here at most.
pub(crate) async fn peer_quota(node: &Arc<Node>, wanted: &PeerQuota) -> Result<PeerQuotaAnswer, Failure> {
    let peer = member::find(node, &wanted.peer)?;
    let (changer, quota) = (Arc::clone(node), wanted.bytes.map(ByteCount));
    blocking(move || {
        changer.change_settings(|config| {
            match quota {
                Some(quota) => config.peer_quotas.insert(peer, quota),
                None => config.peer_quotas.remove(&peer),
            };
        })
    })
    .await?;
    Ok(PeerQuotaAnswer {
        peer_id: peer_id_text(peer),
        name: node.circle.name_of(&peer),
        quota: wanted.bytes,
    })
}

/// As scripts read it.
pub(crate) const fn stance_word(stance: Stance) -> &'static str {
    match stance {
        Stance::Open => "open",
        Stance::Paused { .. } => "paused",
        Stance::Leaving => "leaving",
    }
}

/// When a holiday ends by itself.
pub(crate) fn paused_until(stance: Stance) -> Option<String> {
    match stance {
        Stance::Paused { until } => until.map(rfc3339),
        Stance::Open | Stance::Leaving => None,
    }
}
