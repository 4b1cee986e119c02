//! How safe a snapshot is now: facts from the catalogue, the engine's word on them. Every screen shows this word.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_disk::catalogue::{Holder, PackFacts, SnapshotSummary};
use nuthatch_engine::audits::is_proven;
use nuthatch_engine::boundary::Domain;
use nuthatch_engine::durability::{self, Safety, SnapshotSafety};
use nuthatch_engine::repair::HostHealth;
use nuthatch_engine::rules::AuditRules;
use nuthatch_engine::{Scheme, ShardIndex};
use nuthatch_format::{NodeId, Timestamp};

use crate::api::{self, Exit, Failure};
use crate::clock;
use crate::node::{Node, Owned};
use crate::stripes;

/// Packs read at a time.
const PAGE: usize = 512;

/// How safe a snapshot is, and who has to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotProtection {
    pub(crate) protection: api::Protection,
    /// Losses of hosts that it is to survive.
    pub(crate) target: u8,
    /// Losses of hosts that it survives now.
    pub(crate) survives: u32,
    /// Hosts that hold something of it.
    pub(crate) hosts: u32,
    /// Members that are away and could make it safer.
    pub(crate) waiting_for: Vec<NodeId>,
}

/// The losses that are to be survived, with the hosts that promise space. A device that has just been recovered has agreed on nothing
/// yet: for it those count that keep something, `keepers` of them.
fn target(node: &Node, keepers: usize) -> u8 {
    let hosts = match node.pulse.sound_leases_count() {
        0 => keepers,
        leases => leases,
    };
    durability::target_for(hosts, node.config().survive)
}

/// How safe a snapshot is. Evidence counts when it is newer than the commit.
pub(crate) fn of_snapshot(
    node: &Node,
    owned: &Owned,
    snapshot: &SnapshotSummary,
) -> Result<SnapshotProtection, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::Failed, "catalogue", error);
    let mut facts = Facts {
        node,
        owned,
        since: snapshot.time,
        now: clock::now(),
        rules: node.config().audits.rules,
        own: node.identity.node,
        holders: BTreeSet::new(),
    };
    let journal: BTreeSet<NodeId> = owned
        .catalogue
        .journal_hosts(&snapshot.line)
        .map_err(|error| failed(&error))?
        .into_iter()
        .filter(|host| host.sequence >= snapshot.sequence && facts.counts(&host.node))
        .map(|host| host.node)
        .collect();
    let target = target(node, journal.len());
    let mut safety = SnapshotSafety::new(target, journal.iter().copied().map(Domain));
    // What lies at hosts that leave, too: it can be read as long as they are there, and counts for no more than that.
    let mut readable = safety;
    let needed = owned
        .catalogue
        .packs_needed(&snapshot.id)
        .map_err(|error| failed(&error))?;
    let mut after = None;
    let mut is_complete = true;
    loop {
        let page = owned
            .catalogue
            .packs_in(&needed, after, PAGE)
            .map_err(|error| failed(&error))?;
        is_complete &= page.unknown_count == 0;
        for number in page.packs {
            match owned
                .catalogue
                .pack_facts(number)
                .map_err(|error| failed(&error))?
            {
                Some(pack) => {
                    safety.add_pack(facts.stripes(&pack, |health| health == HostHealth::Sound));
                    readable.add_pack(facts.stripes(&pack, |health| {
                        matches!(health, HostHealth::Sound | HostHealth::Leaving)
                    }));
                }
                None => is_complete = false,
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let safety = match (is_complete, safety.finish(), readable.finish()) {
        (false, ..) | (_, Safety::Staged, Safety::Staged) => Safety::Staged,
        (_, Safety::Staged, _) => Safety::Recoverable { survives: 0 },
        (_, safety, _) => safety,
    };
    Ok(SnapshotProtection {
        protection: match safety {
            Safety::Staged => api::Protection::Staged,
            Safety::Recoverable { .. } => api::Protection::Recoverable,
            Safety::Protected { .. } => api::Protection::Protected,
        },
        target,
        survives: safety.survives().map_or(0, u32::from),
        hosts: facts.holders.union(&journal).count() as u32,
        waiting_for: waiting_for(node, safety),
    })
}

struct Facts<'n> {
    node: &'n Node,
    owned: &'n Owned,
    since: Timestamp,
    now: Timestamp,
    rules: AuditRules,
    own: NodeId,
    holders: BTreeSet<NodeId>,
}

impl Facts<'_> {
    /// Whether what a host keeps counts: not what lies on this machine, and not on one that is gone, leaving or given up.
    fn counts(&self, host: &NodeId) -> bool {
        *host != self.own && self.node.pulse.health(host) == HostHealth::Sound
    }

    /// What a shard is worth where a host holds it: without a proof or a receipt of late, or where audits speak against its host, it may be
    /// read, like one of a host that leaves, and counts for no more.
    fn worth(&self, holder: &Holder) -> HostHealth {
        let audits = self.node.audits.state(&holder.node);
        match self.node.pulse.health(&holder.node) {
            HostHealth::Sound if !is_proven(&audits, holder.received_at, self.now, &self.rules) => {
                HostHealth::Leaving
            }
            health => health,
        }
    }

    /// The stripes of a pack, each with the shards that hosts worth counting have shown since the commit.
    fn stripes(&mut self, pack: &PackFacts, is_counted: impl Fn(HostHealth) -> bool) -> Vec<Held> {
        let is_staged = self.owned.staging.contains(&pack.id);
        let mut stripes = Vec::new();
        // Another device's label makes nothing safe that is still on its way under our own.
        for stripe in stripes::counted(pack, &self.owned.device.id(), is_staged) {
            let mut holders = Vec::new();
            for holder in stripe.holders.iter().filter(|holder| holder.node != self.own) {
                if !is_counted(self.worth(holder)) {
                    continue;
                }
                self.holders.insert(holder.node);
                if holder.evidence_at >= self.since {
                    holders.push((holder.index, Domain(holder.node)));
                }
            }
            stripes.push((stripe.scheme, holders));
        }
        stripes
    }
}

/// A stripe and who holds which of its shards.
type Held = (Scheme, Vec<(ShardIndex, Domain)>);

/// Hosts with a lease, or members that may give one, that are away while something is missing.
fn waiting_for(node: &Node, safety: Safety) -> Vec<NodeId> {
    if matches!(safety, Safety::Protected { .. }) {
        return Vec::new();
    }
    let online: BTreeMap<_, _> = node.pulse.online();
    let own = node.identity.node;
    node.circle
        .members()
        .into_iter()
        .filter(|member| *member != own && !online.contains_key(member))
        .filter(|member| node.pulse.health(member) == HostHealth::Sound)
        .collect()
}
