use proptest::prelude::*;

use super::*;
use crate::rules::Rules;

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn rules() -> LeaseRules {
    Rules::default().lease
}

fn quota(bytes: u64, others: u64) -> Quota {
    Quota {
        bytes: ByteCount(bytes),
        promised_to_others: ByteCount(others),
        has_place: true,
        balanced: None,
        own_limit: None,
        is_open: true,
    }
}

fn held(bytes: u64) -> HeldLease {
    HeldLease {
        bytes: ByteCount(bytes),
        granted_at: NOW,
        until: NOW.after(Span::from_days(180)),
    }
}

#[test]
fn a_lease_is_renewed_when_a_third_of_its_time_has_passed() {
    let lease = held(1 << 40);
    let third = NOW.after(Span::from_days(60));
    assert_eq!(
        ask(
            Some(&lease),
            ByteCount::ZERO,
            true,
            Timestamp(third.0 - 1),
            &rules()
        ),
        None
    );
    assert_eq!(
        ask(Some(&lease), ByteCount::ZERO, true, third, &rules()),
        Some(lease.bytes)
    );
    assert!(lease.is_valid(third));
    assert!(!lease.is_valid(lease.until));
}

#[test]
fn a_lease_grows_before_it_is_full_and_only_while_the_host_gives_more() {
    let lease = held(rules().step.0);
    assert_eq!(
        ask(None, ByteCount::ZERO, true, NOW, &rules()),
        Some(rules().step)
    );
    assert_eq!(ask(Some(&lease), ByteCount::ZERO, true, NOW, &rules()), None);
    assert_eq!(
        ask(Some(&lease), lease.bytes, true, NOW, &rules()),
        Some(ByteCount(2 * rules().step.0))
    );
    assert_eq!(ask(Some(&lease), lease.bytes, false, NOW, &rules()), None);
}

#[test]
fn who_is_here_already_stays_welcome() {
    let old = GrantedLease {
        bytes: ByteCount(100),
        until: Timestamp(0),
    };
    for (member, quota) in [
        (IsMember::No, quota(1000, 0)),
        (IsMember::Yes, quota(0, 0)),
        (IsMember::Yes, quota(50, 900)),
    ] {
        assert_eq!(
            grant(Some(&old), ByteCount(500), member, &quota, (NOW, &rules())),
            LeaseAnswer::Granted {
                bytes: ByteCount(100),
                until: NOW.after(rules().term)
            }
        );
    }
}

#[test]
fn a_refusal_says_why() {
    let refused = |member, quota: Quota| grant(None, ByteCount(500), member, &quota, (NOW, &rules()));
    assert_eq!(
        refused(IsMember::No, quota(1000, 0)),
        LeaseAnswer::Refused(LeaseRefusal::NotMember)
    );
    assert_eq!(
        refused(IsMember::Yes, quota(0, 0)),
        LeaseAnswer::Refused(LeaseRefusal::NotHosting)
    );
    assert_eq!(
        refused(IsMember::Yes, quota(1000, 1000)),
        LeaseAnswer::Refused(LeaseRefusal::Full)
    );
    let crowded = Quota {
        has_place: false,
        ..quota(1000, 0)
    };
    assert_eq!(
        refused(IsMember::Yes, crowded),
        LeaseAnswer::Refused(LeaseRefusal::TooManyArchives)
    );
}

#[test]
fn a_paused_host_renews_and_gives_no_more() {
    let paused = Quota {
        is_open: false,
        ..quota(1000, 0)
    };
    let old = GrantedLease {
        bytes: ByteCount(100),
        until: Timestamp(0),
    };
    let ask = |held| grant(held, ByteCount(500), IsMember::Yes, &paused, (NOW, &rules()));
    assert_eq!(ask(None), LeaseAnswer::Refused(LeaseRefusal::Paused));
    let until = NOW.after(rules().term);
    assert_eq!(
        ask(Some(&old)),
        LeaseAnswer::Granted {
            bytes: ByteCount(100),
            until
        }
    );
}

#[test]
fn the_smallest_of_quota_balance_and_the_persons_word_is_given() {
    let until = NOW.after(rules().term);
    for (balanced, own_limit, given) in [
        (None, None, 500),
        (Some(300), None, 300),
        (None, Some(200), 200),
        (Some(300), Some(200), 200),
        (Some(9000), Some(9000), 500),
    ] {
        let quota = Quota {
            balanced: balanced.map(ByteCount),
            own_limit: own_limit.map(ByteCount),
            ..quota(1000, 500)
        };
        assert_eq!(
            grant(None, ByteCount(700), IsMember::Yes, &quota, (NOW, &rules())),
            LeaseAnswer::Granted {
                bytes: ByteCount(given),
                until
            }
        );
    }
    let none = Quota {
        balanced: Some(ByteCount::ZERO),
        ..quota(1000, 0)
    };
    assert_eq!(
        grant(None, ByteCount(1), IsMember::Yes, &none, (NOW, &rules())),
        LeaseAnswer::Refused(LeaseRefusal::Unbalanced)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn data_leaves_a_tenth_to_metadata(bytes in 0..1_u64 << 50, used in 0..1_u64 << 50) {
        let (data, all) = (
            room(ByteCount(bytes), ByteCount(used), Purpose::Data),
            room(ByteCount(bytes), ByteCount(used), Purpose::Reserved),
        );
        prop_assert!(data <= all);
        if data > ByteCount::ZERO {
            prop_assert!(all.0 - data.0 >= bytes / 10);
        }
        prop_assert!(used.saturating_add(all.0) <= bytes.max(used));
    }

    #[test]
    fn grants_keep_within_the_quota_and_never_shrink(
        asked in any::<u64>(),
        before in prop::option::of(0..1000_u64),
        total in 0..5000_u64,
        others in 0..5000_u64,
    ) {
        let old = before.map(|bytes| GrantedLease { bytes: ByteCount(bytes), until: NOW });
        let answer = grant(old.as_ref(), ByteCount(asked), IsMember::Yes, &quota(total, others), (NOW, &rules()));
        if let LeaseAnswer::Granted { bytes, .. } = answer {
            prop_assert!(bytes.0 >= before.unwrap_or(0));
            prop_assert!(bytes.0 <= before.unwrap_or(0).max(total.saturating_sub(others)));
        }
    }

    #[test]
    fn what_is_asked_for_has_room(used in 0..1_u64 << 40, bytes in 1..1_u64 << 40) {
        let lease = held(bytes);
        if let Some(asked) = ask(Some(&lease), ByteCount(used), true, NOW, &rules()) {
            prop_assert!(asked >= lease.bytes);
        }
        let first = ask(None, ByteCount(used), true, NOW, &rules()).unwrap();
        prop_assert!(room(first, ByteCount(used), Purpose::Data) > ByteCount::ZERO || used == 0);
    }
}
