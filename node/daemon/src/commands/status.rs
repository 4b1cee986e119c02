//! `status`: one screen about this node. Facts are gathered here; what needs a person is said by a pure rule (`attention`).

mod attention;

use std::sync::Arc;

use nuthatch_disk::atomic;
use nuthatch_disk::catalogue::SnapshotSummary;
use nuthatch_engine::audits::{AuditStanding, standing};
use nuthatch_engine::repair::HostHealth;
use nuthatch_format::{ByteCount, NodeId, Timestamp};
use nuthatch_wire::ledger;
use nuthatch_wire::membership::Roster;

use super::host::{paused_until, stance_word};
use super::kit::{self, KitState};
use super::{blocking, catalogue_failure, hosts, repair, waiting};
use crate::api::{Failure, StatusAnswer, rfc3339};
use crate::clock;
use crate::events::{Fault, FaultKind};
use crate::node::{Node, Owned};
use crate::protection::{self, SnapshotProtection};
use crate::setup::disk_failure;
use attention::giving::{GivingFacts, WarnedBy};
use attention::keeping::{AuditTrouble, KeepingFacts};
use attention::{AwayHost, BackupFacts, Facts, SeenFault};

/// Shows how things stand.
pub(crate) async fn run(node: &Arc<Node>) -> Result<StatusAnswer, Failure> {
    let node = Arc::clone(node);
    blocking(move || gather(&node)).await
}

/// What the archive says of itself.
#[derive(Debug, Default)]
struct OwnFacts {
    newest: Option<(SnapshotSummary, SnapshotProtection)>,
    hosts: Vec<NodeId>,
    last_proof: Option<Timestamp>,
    staged: ByteCount,
    kit: Option<KitState>,
}

fn gather(node: &Node) -> Result<StatusAnswer, Failure> {
    let owned = node.owned();
    let own = match &owned {
        Some(owned) => own_facts(node, owned)?,
        None => OwnFacts::default(),
    };
    let online = node.pulse.online();
    let vault = node.vault_facts().map_err(|error| disk_failure(&error))?;
    let hosted = vault
        .used
        .values()
        .fold(ByteCount::ZERO, |sum, bytes| sum.saturating_add(*bytes));
    let facts = facts(node, &own, hosted)?;
    let safety = own.newest.as_ref().map(|(_, safety)| safety);
    let hosts_online = own.hosts.iter().filter(|host| online.contains_key(host)).count();
    Ok(StatusAnswer {
        peer_id: nuthatch_transport::peer_id_text(node.identity.node),
        name: node.identity.name.clone(),
        running: node.meets_others(),
        last_contact: node.last_contact().map(rfc3339),
        archive_id: owned.as_ref().map(|owned| owned.archive.to_string()),
        last_backup: own.newest.as_ref().map(|(snapshot, _)| rfc3339(snapshot.time)),
        protection: safety.map(|safety| safety.protection),
        survives_losses: safety.map_or(0, |safety| safety.survives),
        hosts: own.hosts.len() as u32,
        hosts_online: node.meets_others().then_some(hosts_online as u32),
        staged_bytes: own.staged.0,
        hosted_bytes: hosted.0,
        quota_bytes: vault.quota.0,
        stance: stance_word(facts.giving.stance).to_owned(),
        paused_until: paused_until(facts.giving.stance),
        last_proof: own.last_proof.map(rfc3339),
        repair: repair::standing(node),
        attention: attention::attention(&facts),
    })
}

fn own_facts(node: &Node, owned: &Owned) -> Result<OwnFacts, Failure> {
    let failed = |error: &nuthatch_disk::IndexError| catalogue_failure(error);
    let snapshots = owned.catalogue.snapshots().map_err(|error| failed(&error))?;
    let device = owned.device.id();
    // Backups of this machine; those of the archive's other devices have a screen of their own there.
    let newest = snapshots.into_iter().rfind(|snapshot| snapshot.device == device);
    let newest = match newest {
        Some(snapshot) => {
            let safety = protection::of_snapshot(node, owned, &snapshot)?;
            Some((snapshot, safety))
        }
        None => None,
    };
    let counts = |host: &NodeId| matches!(node.pulse.health(host), HostHealth::Sound | HostHealth::Leaving);
    let hosts: Vec<NodeId> = hosts::hosts_of(node, owned)
        .map_err(|error| failed(&error))?
        .into_iter()
        .filter(counts)
        .collect();
    let mut last_proof = None;
    for host in &hosts {
        last_proof = last_proof.max(hosts::last_proof(node, owned, host).map_err(|error| failed(&error))?);
    }
    let staged = owned
        .staging
        .list()
        .iter()
        .fold(ByteCount::ZERO, |sum, pack| sum.saturating_add(pack.len));
    Ok(OwnFacts {
        newest,
        hosts,
        last_proof,
        staged,
        kit: Some(kit::state(node, owned)?),
    })
}

/// Whom audits speak against.
fn audit_troubles(node: &Node, members: &[NodeId]) -> Vec<(String, AuditTrouble)> {
    let (now, rules) = (clock::now(), node.config().audits.rules);
    let trouble = |member: &NodeId| {
        let state = node.audits.state(member);
        let trouble = match standing(&state, now, &rules) {
            AuditStanding::Caught => Some(AuditTrouble::Caught),
            AuditStanding::Overdue => Some(AuditTrouble::Overdue),
            AuditStanding::Sound => state.detached_since.map(AuditTrouble::Detached),
        };
        trouble.map(|trouble| (node.circle.name_of(member), trouble))
    };
    members.iter().filter_map(trouble).collect()
}

/// What concerns the keeping of data alive.
fn keeping(node: &Node) -> KeepingFacts {
    let members = node.circle.members();
    let gone = members
        .iter()
        .filter(|member| node.pulse.health(member) == HostHealth::Gone)
        .map(|member| (node.circle.name_of(member), node.pulse.last_seen(member)));
    let drained = node.repairs.state().drained;
    KeepingFacts {
        gone: gone.collect(),
        audits: audit_troubles(node, &members),
        drained: drained.iter().map(|member| node.circle.name_of(member)).collect(),
        repair: repair::standing(node),
        is_cut: node.pulse.is_cut(),
    }
}

/// A node that waited for a person and is in by now.
fn is_settled(node: &Node, fault: &Fault) -> bool {
    let is_member = |of: &NodeId| node.circle.read(|roster| roster.is_member(of)) == Some(true);
    fault.kind == FaultKind::InvitationReused && fault.node.as_ref().is_some_and(is_member)
}

fn facts(node: &Node, own: &OwnFacts, hosted: ByteCount) -> Result<Facts, Failure> {
    let now = clock::now();
    let name = |node_id: &NodeId| node.circle.name_of(node_id);
    let online = node.pulse.online();
    let me = node.identity.node;
    let full = node.pulse.full();
    let away = own
        .hosts
        .iter()
        .filter(|host| !online.contains_key(host))
        .filter_map(|host| {
            Some(AwayHost {
                name: name(host),
                since: node.pulse.last_seen(host)?,
            })
        });
    let faults = node
        .events
        .faults_since(Timestamp(0))
        .into_iter()
        .filter(|fault| !is_settled(node, fault))
        .map(|fault| SeenFault {
            kind: fault.kind,
            host: fault.node.as_ref().map(name),
            message: fault.message,
        });
    let disk = atomic::disk_space(node.home.root()).map_err(|error| disk_failure(&error))?;
    let is_member = |roster: &Roster| roster.is_member(&me);
    Ok(Facts {
        now,
        is_running: node.meets_others(),
        has_archive: own.kit.is_some(),
        is_circle_member: node.circle.read(is_member),
        other_members: node
            .circle
            .members()
            .iter()
            .filter(|member| **member != me)
            .count(),
        hosts: own.hosts.len(),
        backup: own.newest.as_ref().map(|(snapshot, safety)| BackupFacts {
            at: snapshot.time,
            protection: safety.protection,
            survives: safety.survives,
            target: u32::from(safety.target),
            waiting_for: safety.waiting_for.iter().map(name).collect(),
        }),
        staged: own.staged,
        full: own
            .hosts
            .iter()
            .filter(|host| full.contains(host))
            .map(name)
            .collect(),
        away: away.collect(),
        faults: faults.collect(),
        waiting: waiting::nodes(node).len(),
        kit: own.kit,
        disk_free: disk.free,
        is_vault_there: node.vault.is_attached(),
        keeping: keeping(node),
        giving: giving(node, own, hosted),
    })
}

/// What concerns giving and taking.
fn giving(node: &Node, own: &OwnFacts, hosted: ByteCount) -> GivingFacts {
    let config = node.config();
    let me = node.identity.node;
    let mut facts = GivingFacts {
        stance: config.stance().at(clock::now()),
        over: config
            .quota
            .map(|quota| hosted.saturating_sub(quota))
            .unwrap_or_default(),
        ..GivingFacts::default()
    };
    for member in node.circle.members().into_iter().filter(|member| *member != me) {
        let name = node.circle.name_of(&member);
        if own.hosts.contains(&member) {
            facts.stances.push((name.clone(), node.ledgers.stance(&member)));
        }
        let archive = node.circle.read(|roster| roster.archive_of(&member)).flatten();
        if let Some(account) = archive.and_then(|archive| node.ledgers.account(&archive)) {
            facts.owing.push((name.clone(), account.balance));
        }
        let Some(heard) = node.ledgers.heard(&member) else {
            continue;
        };
        if let Some(by) = heard.differs_by() {
            facts.disagree.push((name.clone(), by));
        }
        let until = match heard.view.balance {
            ledger::Balance::Even => continue,
            ledger::Balance::Warned(until) => Some(until),
            ledger::Balance::Stopped(_) | ledger::Balance::Releasable => None,
        };
        let allowed = heard.view.allowed.unwrap_or_default();
        facts.warned_by.push(WarnedBy {
            name,
            until,
            lacking: heard.view.keeps.saturating_sub(allowed),
        });
    }
    facts
}
