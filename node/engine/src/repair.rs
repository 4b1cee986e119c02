//! When a stripe is rebuilt, and how much of it. Pure: the health of a stripe in, a verdict out; starts nothing.
//!
//! Lazy, with hysteresis: one lost shard is waited for while the target still holds; once it does not, everything that is missing is
//! rebuilt together, since reading the stripe is the dearest part (Bhagwan et al., "Total Recall", NSDI 2004).

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::NodeId;

use crate::boundary::Domain;
use crate::matching::Matching;

/// What a host is worth to the stripes that it has shards of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostHealth {
    /// It is here, or away within its grace: its shards count.
    Sound,
    /// It is away beyond its grace, or no member: its shards may come back, and don't count.
    Gone,
    /// It will leave: its shards can be read, and don't count.
    Leaving,
    /// A person said that it never comes back: its shards are lost.
    Lost,
}

/// What all members are worth at one moment, and how many losses are to be survived: everything that the health of a stripe depends
/// on, beside who has its shards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthView {
    /// The members (at most `rules::MEMBERS_MAX`), each with what it is lost together with.
    pub members: BTreeMap<NodeId, (HostHealth, Domain)>,
    /// Losses to survive.
    pub target: Target,
}

/// How many losses stripes are to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// So many (count), whatever their shapes.
    Losses(u8),
    /// As many as each was shaped for: all that one knows who was told nothing but the shape.
    AsShaped,
}

impl Default for Target {
    fn default() -> Self {
        Self::Losses(0)
    }
}

impl Target {
    /// Losses that a stripe of this shape is to survive (count). The owner gives each stripe a parity shard more than that where there are
    /// hosts enough (`durability::shape_for`), so all but one of them are what it was shaped for; one that has only one is for that.
    pub fn of(self, scheme: Scheme) -> u8 {
        match self {
            Self::Losses(count) => count,
            Self::AsShaped => scheme.parity().saturating_sub(1).max(scheme.parity().min(1)),
        }
    }
}

/// What a look at one stripe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// It is not readable any more, whoever comes back.
    Unrepairable,
    /// It is to be rebuilt; after so many further losses it could no longer be read (count): the fewer, the sooner.
    Rebuild {
        /// Healthy shards beyond those that it takes to read it (count).
        margin: u8,
    },
    /// Nothing is to be done.
    Rest,
}

impl HealthView {
    /// What a node is worth. A node that is no member (any more) is gone.
    pub fn of(&self, node: NodeId) -> (HostHealth, Domain) {
        self.members
            .get(&node)
            .copied()
            .unwrap_or((HostHealth::Gone, Domain(node)))
    }

    /// The holders whose shards count.
    pub fn sound<'h>(
        &'h self,
        holders: &'h [(ShardIndex, NodeId)],
    ) -> impl Iterator<Item = (ShardIndex, NodeId)> + 'h {
        holders
            .iter()
            .copied()
            .filter(|(_, node)| self.of(*node).0 == HostHealth::Sound)
    }

    /// The health of a stripe with these holders; shards outside the scheme count for nothing.
    pub fn health(&self, scheme: Scheme, holders: &[(ShardIndex, NodeId)]) -> StripeHealth {
        let total = usize::from(scheme.total());
        let mut domains: BTreeMap<Domain, usize> = BTreeMap::new();
        let mut sound: Vec<Vec<usize>> = vec![Vec::new(); total];
        let mut readable: BTreeSet<ShardIndex> = BTreeSet::new();
        for (index, node) in holders.iter().filter(|(index, _)| scheme.contains(*index)) {
            let (health, domain) = self.of(*node);
            if health != HostHealth::Lost {
                readable.insert(*index);
            }
            if health == HostHealth::Sound
                && let Some(rights) = sound.get_mut(usize::from(index.0))
            {
                let next = domains.len();
                rights.push(*domains.entry(domain).or_insert(next));
            }
        }
        let mut matching = Matching::empty(total, domains.len());
        matching.enlarge(&sound);
        let healthy = (0..total)
            .filter(|left| matching.of_left(*left).is_some())
            .count();
        let count = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        StripeHealth {
            retrievable: count(readable.len()),
            healthy: count(healthy),
        }
    }

    /// Losses that a stripe with these holders is to survive before it is left in peace (count). What a person has given up is not
    /// waited for: every shard that only such hosts have is rebuilt.
    pub fn target_of(&self, scheme: Scheme, holders: &[(ShardIndex, NodeId)]) -> u8 {
        let counts = |index: ShardIndex| self.sound(holders).any(|holder| holder.0 == index);
        let is_given_up = |(index, node): &(ShardIndex, NodeId)| {
            matches!(self.of(*node).0, HostHealth::Leaving | HostHealth::Lost) && !counts(*index)
        };
        if holders.iter().any(is_given_up) {
            u8::MAX
        } else {
            self.target.of(scheme)
        }
    }

    /// Whether a stripe with these holders is to be rebuilt, and how pressing that is.
    pub fn due(&self, scheme: Scheme, holders: &[(ShardIndex, NodeId)]) -> Due {
        let health = self.health(scheme, holders);
        match decide(scheme, health, self.target_of(scheme, holders), u8::MAX) {
            RepairDecision::Rest => Due::Rest,
            RepairDecision::Unrepairable => Due::Unrepairable,
            RepairDecision::Rebuild { .. } | RepairDecision::NoHost => Due::Rebuild {
                margin: health.healthy.saturating_sub(scheme.data()),
            },
        }
    }

    /// Whether several shards of a stripe stand and fall together: each can be read, and only one of them counts.
    pub fn is_clumped(&self, scheme: Scheme, holders: &[(ShardIndex, NodeId)]) -> bool {
        let indices: BTreeSet<ShardIndex> = self.sound(holders).map(|holder| holder.0).collect();
        let readable = indices
            .into_iter()
            .filter(|index| scheme.contains(*index))
            .count();
        readable > usize::from(self.health(scheme, holders).healthy)
    }
}

/// What is left of a stripe (counts of distinct shards, each `0..=total`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripeHealth {
    /// Shards that can be read somewhere, now or when their host is back.
    pub retrievable: u8,
    /// Of these, shards that count: proven, on hosts that are not gone or leaving, each in a failure domain of its own.
    pub healthy: u8,
}

/// What to do for a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairDecision {
    /// Nothing: it survives what it should survive.
    Rest,
    /// Rebuild so many shards (count, from 1) and give each to a host in a domain of its own.
    Rebuild {
        /// Shards (count).
        shards: u8,
    },
    /// It should be rebuilt, and there is no host to take a shard.
    NoHost,
    /// Fewer shards are left than it takes to read it.
    Unrepairable,
}

/// Shards (count) that a stripe may be without while it is left alone, however much parity it has: one of a dead host and one of a friend
/// on a long journey. More parity than the target asks for was given so that sleeping friends block nothing, and would be lost for that if
/// it were waited for.
pub const MISSING_MAX: u8 = 2;

/// Healthy shards (count, `data..=total`) below which a stripe is rebuilt: those that keep it readable after the target number of
/// losses, or all but [`MISSING_MAX`] if that is more. Never more than it has in all: a stripe that can't reach the target is made as good
/// as it can be.
pub fn threshold(scheme: Scheme, target: u8) -> u8 {
    let spare = target.max(scheme.parity().saturating_sub(MISSING_MAX));
    scheme.data().saturating_add(spare).min(scheme.total())
}

/// The verdict on one stripe; `free_hosts` are hosts that could take a shard of it, each in a domain that has none (count).
pub fn decide(scheme: Scheme, health: StripeHealth, target: u8, free_hosts: u8) -> RepairDecision {
    if health.retrievable < scheme.data() {
        return RepairDecision::Unrepairable;
    }
    if health.healthy >= threshold(scheme, target) {
        return RepairDecision::Rest;
    }
    match scheme.total().saturating_sub(health.healthy).min(free_hosts) {
        0 => RepairDecision::NoHost,
        shards => RepairDecision::Rebuild { shards },
    }
}

/// Where the bytes for a repair come from, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepairSource {
    /// The files that were backed up are here unchanged: the pack is sealed again, byte for byte. Nothing is downloaded.
    Files,
    /// The pack waits in staging.
    Staging,
    /// As many shards as it takes are downloaded.
    Shards,
}

impl RepairSource {
    /// Shards that travel to rebuild so many (count): what is read, and what is given to new hosts.
    pub fn shards_moved(self, scheme: Scheme, rebuilt: u8) -> u16 {
        let read = match self {
            Self::Files | Self::Staging => 0,
            Self::Shards => scheme.data(),
        };
        u16::from(read) + u16::from(rebuilt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boundary::PackKind;
    use crate::durability::shape_for;

    fn scheme(data: u8, parity: u8) -> Scheme {
        Scheme::new(data, parity).unwrap()
    }

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    /// Members 0.. of these kinds, each in a house of its own.
    fn view(kinds: &[HostHealth], target: u8) -> HealthView {
        let members = (0..)
            .zip(kinds)
            .map(|(number, kind)| (node(number), (*kind, Domain(node(number)))));
        HealthView {
            members: members.collect(),
            target: Target::Losses(target),
        }
    }

    /// Shard 0 at member 0, and so on.
    fn spread(count: u8) -> Vec<(ShardIndex, NodeId)> {
        (0..count)
            .map(|number| (ShardIndex(number), node(number)))
            .collect()
    }

    #[test]
    fn gone_hosts_are_waited_for_down_to_the_threshold_and_those_given_up_are_not() {
        use HostHealth::{Gone, Leaving, Lost, Sound};
        let shape = scheme(2, 3);
        let due = |kinds: &[HostHealth]| view(kinds, 2).due(shape, &spread(5));
        assert_eq!(due(&[Sound; 5]), Due::Rest);
        assert_eq!(due(&[Gone, Sound, Sound, Sound, Sound]), Due::Rest);
        assert_eq!(
            due(&[Gone, Gone, Sound, Sound, Sound]),
            Due::Rebuild { margin: 1 }
        );
        assert_eq!(
            due(&[Lost, Sound, Sound, Sound, Sound]),
            Due::Rebuild { margin: 2 }
        );
        assert_eq!(
            due(&[Leaving, Sound, Sound, Sound, Sound]),
            Due::Rebuild { margin: 2 }
        );
        assert_eq!(due(&[Gone, Gone, Gone, Gone, Gone]), Due::Rebuild { margin: 0 });
        assert_eq!(due(&[Lost, Lost, Lost, Lost, Gone]), Due::Unrepairable);
        // A copy elsewhere makes up for what was given up.
        let mut copied = spread(5);
        copied.push((ShardIndex(0), node(5)));
        let leaving = view(&[Leaving, Sound, Sound, Sound, Sound, Sound], 2);
        assert_eq!(leaving.due(shape, &copied), Due::Rest);
        // Whoever is no member does not count.
        assert_eq!(
            view(&[Sound; 3], 2).health(shape, &spread(5)),
            StripeHealth {
                retrievable: 5,
                healthy: 3
            }
        );
    }

    #[test]
    fn who_knows_only_the_shape_keeps_what_it_was_made_for() {
        for (hosts, target) in [(2, 1), (3, 1), (5, 2), (8, 2), (11, 3)] {
            let shape = shape_for(hosts, target, PackKind::Data).unwrap();
            assert_eq!(Target::AsShaped.of(shape), target, "{hosts} hosts");
        }
        assert_eq!(Target::AsShaped.of(scheme(1, 0)), 0);
        let mut seen = view(&[HostHealth::Gone, HostHealth::Sound], 0);
        seen.target = Target::AsShaped;
        assert_eq!(seen.due(scheme(1, 1), &spread(2)), Due::Rebuild { margin: 0 });
    }

    #[test]
    fn shards_in_one_house_are_clumped_and_count_once() {
        let shape = scheme(3, 1);
        let mut view = view(&[HostHealth::Sound; 4], 1);
        assert!(!view.is_clumped(shape, &spread(4)));
        view.members.insert(node(3), (HostHealth::Sound, Domain(node(2))));
        assert!(view.is_clumped(shape, &spread(4)));
        assert_eq!(
            view.health(shape, &spread(4)),
            StripeHealth {
                retrievable: 4,
                healthy: 3
            }
        );
        assert_eq!(view.due(shape, &spread(4)), Due::Rebuild { margin: 0 });
    }

    fn health(shards: u8) -> StripeHealth {
        StripeHealth {
            retrievable: shards,
            healthy: shards,
        }
    }

    #[test]
    fn one_spare_loss_is_waited_for_and_then_all_are_rebuilt_together() {
        let (shape, target) = (scheme(2, 3), 2);
        assert_eq!(decide(shape, health(5), target, 3), RepairDecision::Rest);
        assert_eq!(decide(shape, health(4), target, 3), RepairDecision::Rest);
        assert_eq!(
            decide(shape, health(3), target, 3),
            RepairDecision::Rebuild { shards: 2 }
        );
        assert_eq!(
            decide(shape, health(3), target, 1),
            RepairDecision::Rebuild { shards: 1 }
        );
        assert_eq!(decide(shape, health(3), target, 0), RepairDecision::NoHost);
        assert_eq!(decide(shape, health(1), target, 3), RepairDecision::Unrepairable);
    }

    #[test]
    fn shards_that_do_not_count_are_rebuilt_while_they_can_still_be_read() {
        let clumped = StripeHealth {
            retrievable: 4,
            healthy: 2,
        };
        assert_eq!(
            decide(scheme(3, 1), clumped, 1, 2),
            RepairDecision::Rebuild { shards: 2 }
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn after_a_rebuild_with_hosts_enough_there_is_rest(
            data in 1..12_u8,
            parity in 0..8_u8,
            target in 0..8_u8,
            lost in 0..20_u8,
        ) {
            let shape = scheme(data, parity);
            let left = shape.total().saturating_sub(lost);
            if let RepairDecision::Rebuild { shards } = decide(shape, health(left), target, u8::MAX) {
                prop_assert_eq!(decide(shape, health(left + shards), target, 0), RepairDecision::Rest);
                prop_assert!(RepairSource::Files.shards_moved(shape, shards) < RepairSource::Shards.shards_moved(shape, shards));
            }
        }
    }
}
