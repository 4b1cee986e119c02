//! What a host says to something that is offered for its vault. Pure: the offer and the state of the vault in, a verdict out.
//!
//! What is carried decides, never who carries it.

use nuthatch_format::{ByteCount, Timestamp};

use crate::boundary::{OfferFacts, OfferRefusal, OfferVerdict, Offered, StripeHere};
use crate::leases::{GrantedLease, Purpose, room};
use crate::rules::{HostRules, OFFERS_MAX, OFFERS_PER_NODE_MAX};

/// The state of the vault, as far as a verdict depends on it. Everything used includes what open offers have reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultState {
    /// The archive's lease here.
    pub lease: Option<GrantedLease>,
    /// What the archive uses.
    pub archive_used: ByteCount,
    /// What all archives use.
    pub vault_used: ByteCount,
    /// What they may use.
    pub quota: ByteCount,
    /// What the file system has free beyond what is reserved.
    pub disk_free: ByteCount,
    /// Open offers of everybody (count).
    pub open_count: usize,
    /// Open offers of the node that brings this one (count).
    pub open_from_node_count: usize,
    /// Whether a shard of the same stripe is arriving.
    pub stripe_arriving: bool,
    /// What the archive may keep in shards by its balance; `None`: whatever its lease allows.
    pub balanced: Option<ByteCount>,
    /// What the person at this machine lets the archive keep at most; `None`: no word on it.
    pub own_limit: Option<ByteCount>,
    /// Whether new shards are taken now. Segments are: without them nobody could follow the journal of what is here.
    pub is_open: bool,
}

/// Whether this host takes what is offered.
pub fn verdict(facts: &OfferFacts, vault: &VaultState, now: Timestamp, rules: &HostRules) -> OfferVerdict {
    let Some(lease) = vault.lease.filter(|lease| now < lease.until) else {
        return match facts.offered {
            Offered::Shard {
                here: StripeHere::SameShard,
                ..
            } => OfferVerdict::Have,
            Offered::Shard { .. } | Offered::Journal => OfferVerdict::Refuse(OfferRefusal::NoLease),
        };
    };
    let busy = OfferVerdict::Busy {
        retry_after: rules.busy_retry,
    };
    let purpose = match facts.offered {
        Offered::Journal => Purpose::Reserved,
        Offered::Shard {
            kind,
            believed,
            here,
            mirror,
            ..
        } => {
            match here {
                StripeHere::SameShard => return OfferVerdict::Have,
                StripeHere::OtherShard if !mirror => {
                    return OfferVerdict::Refuse(OfferRefusal::StripeAlreadyHere);
                }
                StripeHere::OtherShard | StripeHere::Nothing => {}
            }
            if !believed {
                return OfferVerdict::Refuse(OfferRefusal::NotBelieved);
            }
            if !vault.is_open {
                return OfferVerdict::Refuse(OfferRefusal::Paused);
            }
            let after = vault.archive_used.saturating_add(facts.len);
            if vault.balanced.is_some_and(|balanced| after > balanced) {
                return OfferVerdict::Refuse(OfferRefusal::Unbalanced);
            }
            if vault.own_limit.is_some_and(|limit| after > limit) {
                return OfferVerdict::Refuse(OfferRefusal::Full);
            }
            if vault.stripe_arriving {
                return busy;
            }
            kind.into()
        }
    };
    if vault.open_count >= OFFERS_MAX || vault.open_from_node_count >= OFFERS_PER_NODE_MAX {
        return busy;
    }
    let disk_room = vault.disk_free.saturating_sub(rules.disk_reserve);
    let fits = facts.len <= room(lease.bytes, vault.archive_used, purpose)
        && facts.len <= vault.quota.saturating_sub(vault.vault_used)
        && facts.len <= disk_room;
    if fits {
        OfferVerdict::Accept
    } else {
        OfferVerdict::Refuse(OfferRefusal::Full)
    }
}

#[cfg(test)]
mod tests {
    use nuthatch_erasure::ShardIndex;
    use nuthatch_format::{ArchiveId, LabelId, NodeId};

    use super::*;
    use crate::boundary::PackKind;
    use crate::rules::Rules;

    const NOW: Timestamp = Timestamp(1000);

    fn vault() -> VaultState {
        VaultState {
            lease: Some(GrantedLease {
                bytes: ByteCount(1000),
                until: Timestamp(2000),
            }),
            archive_used: ByteCount(0),
            vault_used: ByteCount(0),
            quota: ByteCount(10_000),
            disk_free: ByteCount(1 << 40),
            open_count: 0,
            open_from_node_count: 0,
            stripe_arriving: false,
            balanced: None,
            own_limit: None,
            is_open: true,
        }
    }

    fn shard(len: u64, kind: PackKind, here: StripeHere, believed: bool) -> OfferFacts {
        OfferFacts {
            from: NodeId::from_bytes([1; 32]),
            archive: ArchiveId::from_bytes([2; 32]),
            len: ByteCount(len),
            offered: Offered::Shard {
                label: LabelId::from_bytes([3; 32]),
                index: ShardIndex(0),
                kind,
                believed,
                here,
                mirror: false,
            },
        }
    }

    fn said(facts: &OfferFacts, vault: &VaultState) -> OfferVerdict {
        verdict(facts, vault, NOW, &Rules::default().host)
    }

    #[test]
    fn a_believed_shard_with_room_is_accepted_and_a_second_of_its_stripe_refused() {
        assert_eq!(
            said(&shard(900, PackKind::Data, StripeHere::Nothing, true), &vault()),
            OfferVerdict::Accept
        );
        assert_eq!(
            said(&shard(1, PackKind::Data, StripeHere::OtherShard, true), &vault()),
            OfferVerdict::Refuse(OfferRefusal::StripeAlreadyHere)
        );
        assert_eq!(
            said(&shard(1, PackKind::Data, StripeHere::SameShard, true), &vault()),
            OfferVerdict::Have
        );
        assert_eq!(
            said(&shard(1, PackKind::Data, StripeHere::Nothing, false), &vault()),
            OfferVerdict::Refuse(OfferRefusal::NotBelieved)
        );
    }

    #[test]
    fn data_can_not_fill_what_is_kept_for_metadata() {
        let mut vault = vault();
        vault.archive_used = ByteCount(850);
        let full = OfferVerdict::Refuse(OfferRefusal::Full);
        assert_eq!(
            said(&shard(51, PackKind::Data, StripeHere::Nothing, true), &vault),
            full
        );
        assert_eq!(
            said(&shard(51, PackKind::Meta, StripeHere::Nothing, true), &vault),
            OfferVerdict::Accept
        );
        assert_eq!(
            said(&shard(151, PackKind::Meta, StripeHere::Nothing, true), &vault),
            full
        );
    }

    #[test]
    fn quota_and_disk_are_never_exceeded() {
        let full = OfferVerdict::Refuse(OfferRefusal::Full);
        let offer = shard(100, PackKind::Data, StripeHere::Nothing, true);
        let reserve = Rules::default().host.disk_reserve;
        assert_eq!(
            said(
                &offer,
                &VaultState {
                    quota: ByteCount(99),
                    ..vault()
                }
            ),
            full
        );
        assert_eq!(
            said(
                &offer,
                &VaultState {
                    vault_used: ByteCount(9_901),
                    ..vault()
                }
            ),
            full
        );
        assert_eq!(
            said(
                &offer,
                &VaultState {
                    disk_free: reserve.saturating_add(ByteCount(99)),
                    ..vault()
                }
            ),
            full
        );
    }

    #[test]
    fn an_expired_lease_takes_nothing_new_and_still_signs_for_what_is_here() {
        let lease = Some(GrantedLease {
            bytes: ByteCount(1000),
            until: NOW,
        });
        let expired = VaultState { lease, ..vault() };
        let refused = OfferVerdict::Refuse(OfferRefusal::NoLease);
        assert_eq!(
            said(&shard(1, PackKind::Data, StripeHere::Nothing, true), &expired),
            refused
        );
        assert_eq!(
            said(&shard(1, PackKind::Data, StripeHere::SameShard, true), &expired),
            OfferVerdict::Have
        );
        let journal = OfferFacts {
            offered: Offered::Journal,
            ..shard(1, PackKind::Data, StripeHere::Nothing, true)
        };
        assert_eq!(said(&journal, &expired), refused);
    }

    #[test]
    fn a_paused_host_and_one_that_gets_too_little_take_the_journal_and_sign_for_what_is_here() {
        let paused = VaultState {
            is_open: false,
            ..vault()
        };
        let unbalanced = VaultState {
            archive_used: ByteCount(50),
            balanced: Some(ByteCount(100)),
            ..vault()
        };
        let (new, here) = (StripeHere::Nothing, StripeHere::SameShard);
        let limited = VaultState {
            own_limit: Some(ByteCount(50)),
            ..vault()
        };
        for (vault, reason) in [
            (paused, OfferRefusal::Paused),
            (unbalanced, OfferRefusal::Unbalanced),
            (limited, OfferRefusal::Full),
        ] {
            for kind in [PackKind::Data, PackKind::Meta] {
                let offer = shard(51, kind, new, true);
                assert_eq!(said(&offer, &vault), OfferVerdict::Refuse(reason));
                assert_eq!(said(&shard(51, kind, here, true), &vault), OfferVerdict::Have);
            }
            let journal = OfferFacts {
                offered: Offered::Journal,
                ..shard(51, PackKind::Data, new, true)
            };
            assert_eq!(said(&journal, &vault), OfferVerdict::Accept);
        }
        assert_eq!(
            said(&shard(50, PackKind::Data, new, true), &unbalanced),
            OfferVerdict::Accept
        );
    }

    #[test]
    fn who_sends_too_much_at_a_time_is_asked_to_wait() {
        let offer = shard(1, PackKind::Data, StripeHere::Nothing, true);
        for vault in [
            VaultState {
                open_count: OFFERS_MAX,
                ..vault()
            },
            VaultState {
                open_from_node_count: OFFERS_PER_NODE_MAX,
                ..vault()
            },
            VaultState {
                stripe_arriving: true,
                ..vault()
            },
        ] {
            assert!(matches!(said(&offer, &vault), OfferVerdict::Busy { .. }));
        }
    }
}
