//! How many losses a backup is to survive, which shape that takes, and how safe one is. Pure: counts and holders in, verdicts out.
//!
//! The only place that says `Protected`. It never asks whether evidence is fresh: callers hand in only holders that have signed after
//! the commit in question.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_erasure::{Scheme, ShardIndex};

use crate::boundary::{Domain, PackKind};
use crate::levelling::level;
use crate::rules::STRIPE_HOSTS_MAX;

/// Hosts from which two losses are to be survived (count). The steps are the design's: with few friends each one that keeps
/// a whole share costs much, with many it is likelier that several fail at a time.
const HOSTS_FOR_TWO: usize = 5;

/// Hosts from which three losses are to be survived (count).
const HOSTS_FOR_THREE: usize = 9;

/// How many hosts may vanish (count) when there are `hosts` of them: what the owner says, else 0 with one host, 1 with two to four,
/// 2 with five to eight, 3 from nine.
pub fn target_for(hosts: usize, survive: Option<u8>) -> u8 {
    survive.unwrap_or(match hosts {
        0 | 1 => 0,
        HOSTS_FOR_THREE.. => 3,
        HOSTS_FOR_TWO.. => 2,
        2.. => 1,
    })
}

/// The shape of a new stripe over `hosts` hosts that is to survive `target` losses; `None` without hosts.
///
/// One parity shard more than the target, so that a host that sleeps when the stripe is written blocks nothing, and one more still
/// for metadata, as nothing is found without it; but always at least one data shard, and at most one shard for each host.
pub fn shape_for(hosts: usize, target: u8, kind: PackKind) -> Option<Scheme> {
    let hosts = u8::try_from(hosts.min(STRIPE_HOSTS_MAX)).ok()?;
    let spare = match kind {
        PackKind::Data => 1,
        PackKind::Meta => 2,
    };
    let parity = target.saturating_add(spare).min(hosts.checked_sub(1)?);
    Scheme::new(hosts - parity, parity).ok()
}

/// How many losses a stripe survives once each of its shards lies on a host of its own, or as many as `hosts` allow;
/// `None` when it could not even be read then.
pub fn survives_at_best(scheme: Scheme, hosts: u8) -> Option<u8> {
    scheme.total().min(hosts).checked_sub(scheme.data())
}

/// Whether a stripe of this shape can't reach the target on so many hosts, however well it is placed.
pub fn is_weak(scheme: Scheme, hosts: u8, target: u8) -> bool {
    survives_at_best(scheme, hosts).is_none_or(|survives| survives < target)
}

/// Whether one shape survives more than another on so many hosts.
pub fn is_better(shape: Scheme, than: Scheme, hosts: u8) -> bool {
    survives_at_best(shape, hosts) > survives_at_best(than, hosts)
}

/// The better shape for a pack whose present one is weak; `None` when it is good enough or nothing would be gained.
/// Each new shape survives more than the last, so that it ends.
pub fn reshape(current: Scheme, hosts: usize, target: u8, kind: PackKind) -> Option<Scheme> {
    let count = u8::try_from(hosts.min(STRIPE_HOSTS_MAX)).ok()?;
    if !is_weak(current, count, target) {
        return None;
    }
    shape_for(hosts, target, kind).filter(|shape| is_better(*shape, current, count))
}

/// How safe a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Safety {
    /// Other machines can't give it back yet.
    Staged,
    /// Other machines can give it back; it survives fewer losses than it should.
    Recoverable {
        /// Failure domains that may vanish, whichever they are (count).
        survives: u8,
    },
    /// It survives the target number of losses.
    Protected {
        /// Failure domains that may vanish, whichever they are (count); at least the target.
        survives: u8,
    },
}

impl Safety {
    /// The word for something that survives so many losses, or can't be given back at all, against a target.
    pub const fn of(survives: Option<u8>, target: u8) -> Self {
        match survives {
            None => Self::Staged,
            Some(survives) if survives >= target => Self::Protected { survives },
            Some(survives) => Self::Recoverable { survives },
        }
    }

    /// Failure domains that may vanish, whichever they are (count); `None` when staged.
    pub const fn survives(self) -> Option<u8> {
        match self {
            Self::Staged => None,
            Self::Recoverable { survives } | Self::Protected { survives } => Some(survives),
        }
    }
}

/// How many failure domains may vanish, whichever they are, so that the stripe can still be read; `None` when it can't be read now.
///
/// Each domain stands for one shard that it has, as shards that are doubled up in one domain vanish together. Of shards with several
/// copies the last copy counts, so the fewest losses that leave less than `k` different shards spare the `k - 1` with the most copies
/// and take all the others. Exact where no domain has several shards; else perhaps less than the truth, never more. Indices outside the
/// scheme count for nothing.
pub fn survives(scheme: Scheme, holders: &[(ShardIndex, Domain)]) -> Option<u8> {
    let total = usize::from(scheme.total());
    let mut held: BTreeMap<Domain, Vec<usize>> = BTreeMap::new();
    let mut shards: BTreeSet<usize> = BTreeSet::new();
    for (index, domain) in holders {
        let shard = usize::from(index.0);
        if shard < total {
            held.entry(*domain).or_default().push(shard);
            shards.insert(shard);
        }
    }
    let data = usize::from(scheme.data());
    if shards.len() < data {
        return None;
    }
    let held: Vec<Vec<usize>> = held.into_values().collect();
    let mut copies = level(total, &held);
    copies.sort_unstable_by(|one, other| other.cmp(one));
    let fatal: usize = copies.iter().skip(data - 1).sum();
    u8::try_from(fatal.saturating_sub(1)).ok()
}

/// How safe one stripe is.
pub fn verdict(scheme: Scheme, holders: &[(ShardIndex, Domain)], target: u8) -> Safety {
    Safety::of(survives(scheme, holders), target)
}

/// How safe a snapshot is, found by going once over the packs that it needs: as safe as the least safe of them and of the journal.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotSafety {
    target: u8,
    worst: Option<u8>,
}

impl SnapshotSafety {
    /// Begins with the journal: the domains of the hosts that have every segment up to the one that commits the snapshot.
    /// A domain that is named twice counts once.
    pub fn new(target: u8, journal_copies: impl IntoIterator<Item = Domain>) -> Self {
        let copies: BTreeSet<Domain> = journal_copies.into_iter().collect();
        let worst = copies
            .len()
            .checked_sub(1)
            .map(|spare| u8::try_from(spare).unwrap_or(u8::MAX));
        Self { target, worst }
    }

    /// Adds a pack that the snapshot needs, by all its labelled stripes; any one of them gives the pack back.
    pub fn add_pack(&mut self, stripes: impl IntoIterator<Item = (Scheme, Vec<(ShardIndex, Domain)>)>) {
        let best = stripes
            .into_iter()
            .filter_map(|(scheme, holders)| survives(scheme, &holders))
            .max();
        self.worst = self.worst.min(best);
    }

    /// The word.
    pub const fn finish(self) -> Safety {
        Safety::of(self.worst, self.target)
    }
}

#[cfg(test)]
mod tests;
