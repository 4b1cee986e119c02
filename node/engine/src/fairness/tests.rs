use proptest::prelude::*;

use super::*;
use crate::rules::Rules;

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn rules() -> FairRules {
    Rules::default().fair
}

fn account(for_them: u64, for_us: u64) -> Account {
    Account {
        kept_for_them: ByteCount(for_them),
        kept_for_us: ByteCount(for_us),
        terms: AccountTerms::Balanced,
        hearing: Hearing::Open,
    }
}

/// Looks every so often for so long; answers the debt at the end.
fn watch(
    account: &Account,
    mut debt: Option<Debt>,
    from: Timestamp,
    every: Span,
    looks: u64,
) -> Option<Debt> {
    for look in 1..=looks {
        debt = count(debt, account, Timestamp(from.0 + look * every.0), &rules());
    }
    debt
}

#[test]
fn a_newcomer_may_keep_the_allowance_and_who_gives_about_as_much_may_go_on() {
    let rules = rules();
    assert_eq!(allowance(ByteCount::ZERO, &rules), rules.allowance);
    let kept = ByteCount(1 << 42);
    let allowed = allowance(kept, &rules);
    assert!(allowed > kept && allowed < ByteCount(kept.0 * 2));
    assert_eq!(count(None, &account(allowed.0, kept.0), NOW, &rules), None);
    assert_eq!(allowance(ByteCount(u64::MAX), &rules), ByteCount(u64::MAX));
}

#[test]
fn who_stops_giving_is_warned_then_gets_nothing_new_and_long_after_a_person_may_release() {
    let rules = rules();
    let over = account(rules.allowance.0 + 1, 0);
    let day = Span::from_days(1);
    let days = |span: Span| span.0 / day.0;
    let begun = count(None, &over, NOW, &rules);
    assert!(
        matches!(balance(begun, NOW, &rules), Balance::Warned { until } if until == NOW.after(rules.warning))
    );
    let warned = watch(&over, begun, NOW, day, days(rules.warning) - 1);
    assert_eq!(balance(warned, NOW, &rules).rank(), 1);
    let stopped = watch(&over, begun, NOW, day, days(rules.warning));
    assert_eq!(
        balance(stopped, NOW, &rules),
        Balance::Stopped {
            release_at: NOW.after(rules.release)
        }
    );
    let late = watch(&over, begun, NOW, day, days(rules.warning) + days(rules.release));
    assert_eq!(balance(late, NOW, &rules), Balance::Releasable);
    // As soon as it gives enough, all is forgotten.
    assert_eq!(count(late, &account(rules.allowance.0 + 1, 1), NOW, &rules), None);
}

#[test]
fn nothing_counts_while_its_owner_is_away_or_on_a_holiday() {
    let rules = rules();
    let away = Account {
        hearing: Hearing::Closed,
        ..account(u64::MAX, 0)
    };
    assert_eq!(count(None, &away, NOW, &rules), None);
    let debt = count(None, &account(u64::MAX, 0), NOW, &rules);
    let later = watch(&away, debt, NOW, Span::from_days(30), 20);
    assert_eq!(later.map(|debt| debt.lasted), Some(Span::ZERO));
    // Nor is it forgiven by going away.
    let hidden = Account {
        kept_for_us: ByteCount(u64::MAX),
        ..away
    };
    assert!(count(debt, &hidden, NOW, &rules).is_some());
}

#[test]
fn a_host_that_slept_counts_a_day_for_it() {
    let rules = rules();
    let over = account(u64::MAX, 0);
    let debt = count(None, &over, NOW, &rules);
    let woken = count(debt, &over, NOW.after(Span::from_days(400)), &rules);
    assert_eq!(woken.map(|debt| debt.lasted), Some(rules.gap_max));
}

#[test]
fn a_generous_host_asks_nothing() {
    let rules = rules();
    let free = Account {
        terms: AccountTerms::Free,
        ..account(u64::MAX, 0)
    };
    assert_eq!(count(None, &free, NOW, &rules), None);
    assert_eq!(most(&free, Balance::Even, &rules), None);
}

#[test]
fn nothing_is_released_before_its_time_nor_during_a_restore() {
    let rules = rules();
    let until = Some(NOW.after(Span::from_days(1)));
    let ended = Some(Timestamp(NOW.0 - 1));
    for balance in [
        Balance::Even,
        Balance::Warned { until: NOW },
        Balance::Stopped { release_at: NOW },
    ] {
        assert!(matches!(
            may_release(until, balance, None, NOW, &rules),
            ReleaseVerdict::Promised { .. }
        ));
        assert_eq!(
            may_release(ended, balance, None, NOW, &rules),
            ReleaseVerdict::Granted
        );
    }
    assert_eq!(
        may_release(until, Balance::Releasable, None, NOW, &rules),
        ReleaseVerdict::Granted
    );
    for lease in [None, until, ended] {
        assert_eq!(
            may_release(lease, Balance::Releasable, Some(NOW), NOW, &rules),
            ReleaseVerdict::Restoring {
                until: NOW.after(rules.restore_quiet)
            }
        );
    }
}

#[test]
fn a_holiday_ends_by_itself() {
    let until = NOW.after(Span::from_days(1));
    let paused = Stance::Paused { until: Some(until) };
    assert_eq!(paused.at(NOW), paused);
    assert_eq!(paused.at(until), Stance::Open);
    let open_end = Stance::Paused { until: None };
    assert_eq!(open_end.at(Timestamp(u64::MAX)), open_end);
    assert_eq!(Stance::Leaving.at(Timestamp(u64::MAX)), Stance::Leaving);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_may_be_kept_grows_with_what_is_given_and_shrinks_with_a_debt(
        one in any::<u64>(),
        other in any::<u64>(),
        lasted in any::<u64>(),
    ) {
        let rules = rules();
        let (less, more) = (one.min(other), one.max(other));
        prop_assert!(allowance(ByteCount(less), &rules) <= allowance(ByteCount(more), &rules));
        prop_assert!(allowance(ByteCount(less), &rules) >= ByteCount(less));
        let debt = Debt { lasted: Span(lasted), counted_at: NOW };
        let now = balance(Some(debt), NOW, &rules);
        prop_assert!(now.rank() > 0);
        prop_assert!(most(&account(0, one), now, &rules) <= most(&account(0, one), Balance::Even, &rules));
    }

    #[test]
    fn a_balance_only_gets_worse_step_by_step(
        looks in prop::collection::vec((0..200_000_000_u64, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let rules = rules();
        let (mut debt, mut now, mut rank, mut heard) = (None, NOW, 0, 0_u64);
        for (passed, is_over, is_here) in looks {
            now = Timestamp(now.0 + passed);
            let kept = if is_over { rules.allowance.0 + 1 } else { 0 };
            let hearing = if is_here { Hearing::Open } else { Hearing::Closed };
            debt = count(debt, &Account { hearing, ..account(kept, 0) }, now, &rules);
            let next = balance(debt, now, &rules).rank();
            prop_assert!(next <= rank + 1, "from {rank} to {next}");
            heard = if debt.is_none() { 0 } else { heard + if is_here { passed } else { 0 } };
            prop_assert!(debt.is_none_or(|debt| debt.lasted.0 <= heard), "more than could be heard");
            rank = next;
        }
    }
}
