//! What must hold in every world, one function an invariant. They look at the whole world, engines can't; none changes anything.

use nuthatch_engine::boundary::Domain;
use nuthatch_engine::durability::{Safety, SnapshotSafety};
use nuthatch_engine::rules::{
    AUDITS_MAX, COMPARISONS_MAX, DIALS_MAX, DOUBTS_MAX, EFFECTS_MAX, ENCODES_MAX, MEMBERS_MAX, OFFERS_MAX,
    SEGMENT_SENDS_MAX, TRANSFERS_MAX, WINDOW_MAX,
};
use nuthatch_engine::{Load, ShardIndex};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId};

use crate::network::NodeIndex;
use crate::node::{Node, archive_id, index_of};
use crate::vaults::Vault;
use crate::world::World;

/// What did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A shard that a host signed for is not there.
    #[error("node {host} signed for shard {index} of {label:?} and has lost it")]
    AcknowledgedLost {
        /// The host.
        host: NodeIndex,
        /// The stripe.
        label: LabelId,
        /// The shard.
        index: ShardIndex,
    },
    /// An owner counts on a shard that is not there.
    #[error("node {owner} believes that node {host} has shard {index} of {label:?}")]
    HolderWithoutShard {
        /// The owner.
        owner: NodeIndex,
        /// The host.
        host: NodeIndex,
        /// The stripe.
        label: LabelId,
        /// The shard.
        index: ShardIndex,
    },
    /// A host has several shards of one stripe.
    #[error("node {host} has {count} shards of {label:?}")]
    SeveralShards {
        /// The host.
        host: NodeIndex,
        /// The stripe.
        label: LabelId,
        /// How many.
        count: usize,
    },
    /// An audit finds something missing at a host that never had it.
    #[error("node {owner} blames node {host} for {count} shards")]
    Blamed {
        /// The owner.
        owner: NodeIndex,
        /// The host.
        host: NodeIndex,
        /// How many.
        count: usize,
    },
    /// Something is over its bound.
    #[error("node {node} has {count} {what}, at most {bound} are allowed")]
    OverBound {
        /// The node.
        node: NodeIndex,
        /// What.
        what: &'static str,
        /// How many.
        count: usize,
        /// The bound.
        bound: usize,
    },
    /// A vault holds more than its person gave.
    #[error("the vault of node {node} holds {used}, its quota is {quota}")]
    OverQuota {
        /// The node.
        node: NodeIndex,
        /// What it holds.
        used: ByteCount,
        /// What it may hold.
        quota: ByteCount,
    },
    /// An archive has more at a host than its lease.
    #[error("archive {archive:?} has {used} at node {node}, its lease is {leased}")]
    OverLease {
        /// The host.
        node: NodeIndex,
        /// The archive.
        archive: ArchiveId,
        /// What it holds.
        used: ByteCount,
        /// What was promised.
        leased: ByteCount,
    },
    /// A run that ought to come to rest does not.
    #[error("no rest after {steps} steps")]
    Endless {
        /// Steps.
        steps: u64,
    },
    /// With all hosts there, a backup did not become as safe as it could.
    #[error("the backup of node {owner} is {safety:?}, with {incomplete:?} packs waiting")]
    NotProtected {
        /// The owner.
        owner: NodeIndex,
        /// What it is.
        safety: Safety,
        /// What its engine says still waits; `None`: it is not at rest.
        incomplete: Option<u64>,
    },
    /// Shards were given to a second host.
    #[error("{count} shards have a second holder")]
    Surplus {
        /// How many.
        count: usize,
    },
    /// Data is kept otherwise than it should be.
    #[error("{what}: {count}")]
    Kept {
        /// What is wrong.
        what: &'static str,
        /// How often, or how much of it (count).
        count: u64,
    },
    /// The owner's word was better than the truth.
    #[error("node {owner} says {said:?} of a backup that is {truth:?}")]
    FalseWord {
        /// The owner.
        owner: NodeIndex,
        /// What it says.
        said: Safety,
        /// What it is.
        truth: Safety,
    },
}

/// No audit finds something missing that its host never had.
pub fn nobody_is_blamed((owner, host): (NodeIndex, NodeIndex), count: usize) -> Result<(), Violation> {
    match count {
        0 => Ok(()),
        count => Err(Violation::Blamed { owner, host, count }),
    }
}

/// Every queue is within its bound.
pub fn load(node: NodeIndex, load: &Load) -> Result<(), Violation> {
    let owner = &load.owner;
    let tallies = [
        ("members", load.members, MEMBERS_MAX),
        ("dials", load.dials, DIALS_MAX),
        ("greetings", load.greetings, MEMBERS_MAX),
        ("offers", load.offers, OFFERS_MAX),
        ("effects", load.effects, EFFECTS_MAX),
        ("packs in the window", owner.window, WINDOW_MAX),
        ("encodings", owner.encodes, ENCODES_MAX),
        ("transfers", owner.transfers, TRANSFERS_MAX),
        ("lease requests", owner.lease_requests, MEMBERS_MAX),
        ("sendings of segments", owner.segment_sends, SEGMENT_SENDS_MAX),
        ("comparisons", owner.comparisons, COMPARISONS_MAX),
        ("audits", owner.audits, AUDITS_MAX),
        ("doubts", owner.doubts, DOUBTS_MAX),
    ];
    match tallies.into_iter().find(|(_, count, bound)| count > bound) {
        Some((what, count, bound)) => Err(Violation::OverBound {
            node,
            what,
            count,
            bound,
        }),
        None => Ok(()),
    }
}

/// No vault is over its quota, and no archive over its lease.
pub fn space(node: &Node) -> Result<(), Violation> {
    let (used, quota) = (node.vault.used_in_all(), node.vault.quota);
    if used > quota {
        return Err(Violation::OverQuota {
            node: node.at,
            used,
            quota,
        });
    }
    let Some(engine) = &node.engine else { return Ok(()) };
    for (archive, used) in node.vault.used() {
        let (archive, used) = (*archive, *used);
        let leased = engine
            .lease_granted(archive)
            .map_or(ByteCount::ZERO, |lease| lease.0);
        if used > leased {
            return Err(Violation::OverLease {
                node: node.at,
                archive,
                used,
                leased,
            });
        }
    }
    Ok(())
}

/// A host has at most one shard of a stripe.
pub fn one_shard_of_a_stripe(
    host: NodeIndex,
    vault: &Vault,
    archive: ArchiveId,
    label: LabelId,
) -> Result<(), Violation> {
    match vault.of_stripe(archive, label).count() {
        0 | 1 => Ok(()),
        count => Err(Violation::SeveralShards { host, label, count }),
    }
}

/// Everything that was acknowledged is there, every holder that an owner counts on has its shard, and no owner's word is better than
/// the truth.
pub fn whole_world(world: &World) -> Result<(), Violation> {
    for (host, archive, label, index) in &world.acknowledged {
        if !world.nodes[*host].vault.signed_for(*archive, *label, *index) {
            return Err(Violation::AcknowledgedLost {
                host: *host,
                label: *label,
                index: *index,
            });
        }
    }
    for owner in world.nodes.iter().filter(|node| node.setup.owns) {
        let archive = archive_id(owner.at);
        for stripe in owner.catalogue.stripes() {
            for (index, node) in &stripe.holders {
                let host = index_of(*node);
                let is_there = world.nodes[host].vault.signed_for(archive, stripe.label, *index);
                if !is_there && !world.nodes[host].is_dead {
                    let (label, index) = (stripe.label, *index);
                    return Err(Violation::HolderWithoutShard {
                        owner: owner.at,
                        host,
                        label,
                        index,
                    });
                }
            }
        }
        let (said, truth) = (said(world, owner), signed_for(world, owner));
        if said > truth {
            return Err(Violation::FalseWord {
                owner: owner.at,
                said,
                truth,
            });
        }
    }
    Ok(())
}

/// With every host there and time to spare, every backup reaches its target and every shard has a holder.
pub fn all_complete(world: &World) -> Result<(), Violation> {
    at_rest(world, |incomplete_count| incomplete_count == 0)
}

/// With every host there and time to spare, every backup reaches its target.
///
/// A shard may still wait: when a host that was cut off while it took one returns after the owner has forgotten of it, or has long given
/// it to another, both have that one, and take no other of the stripe until hosts can be told to let go of surplus ones.
pub fn all_protected(world: &World) -> Result<(), Violation> {
    at_rest(world, |_| true)
}

fn at_rest(world: &World, is_allowed: impl Fn(u64) -> bool) -> Result<(), Violation> {
    for owner in world
        .nodes
        .iter()
        .filter(|node| node.setup.owns && !node.catalogue.packs.is_empty())
    {
        let safety = truth(world, owner);
        let incomplete = owner.engine.as_ref().and_then(nuthatch_engine::Engine::quiet);
        if !matches!(safety, Safety::Protected { .. }) || !incomplete.is_some_and(&is_allowed) {
            return Err(Violation::NotProtected {
                owner: owner.at,
                safety,
                incomplete,
            });
        }
    }
    Ok(())
}

/// No owner knows of two holders of one shard.
pub fn no_surplus(world: &World) -> Result<(), Violation> {
    match world.surplus_count() {
        0 => Ok(()),
        count => Err(Violation::Surplus { count }),
    }
}

/// How safe an owner believes everything that it staged to be, by its catalogue; what machines that are lost for good have kept does not
/// count, as their people say so.
fn said(world: &World, owner: &Node) -> Safety {
    judge(world, owner, |_, _, holders| {
        let lives = |holder: &&(ShardIndex, NodeId)| !world.nodes[index_of(holder.1)].is_dead;
        holders.iter().filter(lives).copied().collect()
    })
}

/// How safe it is by what lies in the vaults, and by what hosts signed for and have lost since: of that nobody can know before they say so.
fn signed_for(world: &World, owner: &Node) -> Safety {
    let archive = archive_id(owner.at);
    in_vaults(world, owner, |host, label| {
        let rotten = host.vault.rotten_of_stripe(archive, label);
        host.vault.of_stripe(archive, label).chain(rotten).collect()
    })
}

/// How safe it is, by what lies in the vaults.
pub fn truth(world: &World, owner: &Node) -> Safety {
    let archive = archive_id(owner.at);
    in_vaults(world, owner, |host, label| {
        host.vault.of_stripe(archive, label).collect()
    })
}

fn in_vaults(world: &World, owner: &Node, kept: impl Fn(&Node, LabelId) -> Vec<ShardIndex>) -> Safety {
    judge(world, owner, |label, scheme_total, _| {
        let held = |host: &Node| {
            let node = crate::node::node_id(host.at);
            kept(host, label)
                .into_iter()
                .map(|index| (index, node))
                .collect::<Vec<_>>()
        };
        world
            .nodes
            .iter()
            .flat_map(held)
            .filter(|holder| holder.0.0 < scheme_total)
            .collect()
    })
}

fn judge(
    world: &World,
    owner: &Node,
    holders_of: impl Fn(LabelId, u8, &[(ShardIndex, NodeId)]) -> Vec<(ShardIndex, NodeId)>,
) -> Safety {
    let archive = archive_id(owner.at);
    let domain_of = |node: NodeId| -> Domain { world.nodes[index_of(node)].domain() };
    let target = owner
        .engine
        .as_ref()
        .and_then(nuthatch_engine::Engine::target)
        .unwrap_or(0);
    let with_journal = world
        .nodes
        .iter()
        .filter(|host| host.at != owner.at && host.vault.journal(archive) >= Some(owner.catalogue.journal));
    let mut safety = SnapshotSafety::new(target, with_journal.map(Node::domain));
    for pack in owner.catalogue.packs.values() {
        safety.add_pack(pack.stripes.iter().map(|stripe| {
            let holders = holders_of(stripe.label, stripe.scheme.total(), &stripe.holders);
            (
                stripe.scheme,
                holders
                    .into_iter()
                    .map(|(index, node)| (index, domain_of(node)))
                    .collect(),
            )
        }));
    }
    safety.finish()
}
