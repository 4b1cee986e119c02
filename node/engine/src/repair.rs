//! When a stripe is rebuilt, and how much of it. Pure: the health of a stripe in, a verdict out; starts nothing.
//!
//! Lazy, with hysteresis: one lost shard is waited for while the target still holds; once it does not, everything that is missing is
//! rebuilt together, since reading the stripe is the dearest part (Bhagwan et al., "Total Recall", NSDI 2004).

use nuthatch_erasure::Scheme;

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

    fn scheme(data: u8, parity: u8) -> Scheme {
        Scheme::new(data, parity).unwrap()
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
