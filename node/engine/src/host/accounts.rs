//! The accounts with the archives that are kept here: how each stands, and for how long it has kept too much. Keeps the books; what follows
//! from them is `fairness`'s verdict.

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, ByteCount, Span, Timestamp};

use crate::boundary::{AccountView, Effect, Event, VaultFacts};
use crate::circle::{Circle, Greeting};
use crate::fairness::{
    Account, AccountTerms, Balance, Debt, Hearing, ReleaseVerdict, allowance, balance, count, may_release,
    most,
};
use crate::outbox::{Alarm, Context};
use crate::owner::Owner;
use crate::record::{Record, RecordKey};
use crate::rules::{ARCHIVES_HOSTED_MAX, FairRules};

/// Of the time of a warning, one part in this many may pass before a debt is written down again.
const REMEMBERED_PARTS: u64 = 32;

/// Of the time that a restore is noted for, one part in this many may pass before it is noted again.
const RESTORED_PARTS: u64 = 30;

#[derive(Debug, Clone, Copy)]
struct Entry {
    debt: Option<Debt>,
    /// The debt as it is written down.
    remembered: Option<Span>,
    /// What was last said about it.
    said: Option<AccountView>,
    balance: Balance,
    /// What may be kept here in all by new promises and new data.
    most: Option<ByteCount>,
}

/// Where it is seen what others keep for us.
pub(crate) struct Givers<'a> {
    pub(crate) circle: &'a Circle,
    pub(crate) owner: Option<&'a Owner>,
}

impl Givers<'_> {
    /// What is known now of the account with an archive.
    fn account(&self, archive: ArchiveId, kept: ByteCount, vault: &VaultFacts, now: Timestamp) -> Account {
        let of_archive = |(_, owned): &(_, &ArchiveId)| **owned == archive;
        let nodes = vault.owners.iter().filter(of_archive).map(|(node, _)| *node);
        let mut account = Account {
            kept_for_them: kept,
            kept_for_us: ByteCount::ZERO,
            terms: AccountTerms::Balanced,
            hearing: Hearing::Closed,
        };
        let is_own = self.owner.is_some_and(|owner| owner.archive() == archive);
        if vault.generous || is_own {
            account.terms = AccountTerms::Free;
            return account;
        }
        // An archive that is still to be opened: nothing is known yet of what others keep for it.
        let Some(owner) = self.owner else { return account };
        let (mut is_known, mut some_hear) = (true, false);
        for node in nodes {
            match owner.given_by(node, now) {
                Some(given) => account.kept_for_us = account.kept_for_us.saturating_add(given),
                None => is_known = false,
            }
            let hears = self.circle.get(node).is_some_and(|member| match member.greeting {
                Greeting::Done(terms) => member.presence.is_here() && terms.stance.at(now).is_open(),
                Greeting::Wanted { .. } | Greeting::Running(_) => false,
            });
            some_hear |= hears;
        }
        if is_known && some_hear {
            account.hearing = Hearing::Open;
        }
        account
    }
}

/// All accounts of this host, at most `ARCHIVES_HOSTED_MAX` beside those that only hold something without a promise.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    entries: BTreeMap<ArchiveId, Entry>,
    restored: BTreeMap<ArchiveId, Timestamp>,
    look_at: Timestamp,
}

impl Accounts {
    pub(super) fn replay_debt(&mut self, archive: ArchiveId, debt: Debt) {
        if self.entries.len() < ARCHIVES_HOSTED_MAX {
            let entry = Entry {
                debt: Some(debt),
                remembered: Some(debt.lasted),
                said: None,
                balance: Balance::Even,
                most: None,
            };
            self.entries.insert(archive, entry);
        }
    }

    pub(super) fn replay_restored(&mut self, archive: ArchiveId, at: Timestamp) {
        if self.restored.len() < ARCHIVES_HOSTED_MAX {
            self.restored.insert(archive, at);
        }
    }

    /// Something changed: all accounts are looked at with the next step.
    pub(super) fn touch(&mut self) {
        self.look_at = Timestamp(0);
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now >= self.look_at
    }

    pub(super) fn alarm(&self, alarm: &mut Alarm) {
        // Only a debt changes by time alone.
        if self.entries.values().any(|entry| entry.debt.is_some()) {
            alarm.set(self.look_at);
        }
    }

    /// What an archive may keep here in all by its balance; `None`: whatever else allows.
    pub(super) fn most(&self, archive: ArchiveId) -> Option<ByteCount> {
        self.entries.get(&archive).and_then(|entry| entry.most)
    }

    /// Looks at all of these archives, each with what is kept here for it. Others are forgotten.
    pub(super) fn look(
        &mut self,
        kept: &BTreeMap<ArchiveId, ByteCount>,
        vault: &VaultFacts,
        givers: &Givers<'_>,
        cx: &mut Context<'_>,
    ) {
        self.look_at = cx.later(cx.rules.fair.look);
        let gone = self
            .entries
            .extract_if(.., |archive, _| !kept.contains_key(archive));
        for (archive, entry) in gone {
            if entry.remembered.is_some() {
                cx.out.push(Effect::Forget(RecordKey::Debt(archive)));
            }
        }
        for (archive, kept) in kept {
            let account = givers.account(*archive, *kept, vault, cx.now);
            let before = self.entries.get(archive).copied();
            let entry = look_at(*archive, &account, before, cx);
            self.entries.insert(*archive, entry);
        }
    }

    /// Something of an archive was read, or its owner has claimed it.
    pub(super) fn restore_seen(&mut self, archive: ArchiveId, cx: &mut Context<'_>) {
        let quiet = Span(cx.rules.fair.restore_quiet.0 / RESTORED_PARTS);
        let known = self.restored.get(&archive);
        let is_new = known.is_none_or(|at| cx.now.since(*at) >= quiet);
        if is_new && (known.is_some() || self.restored.len() < ARCHIVES_HOSTED_MAX) {
            self.restored.insert(archive, cx.now);
            cx.out
                .push(Effect::Persist(Record::Restored { archive, at: cx.now }));
        }
    }

    pub(super) fn may_release(
        &self,
        archive: ArchiveId,
        lease_until: Option<Timestamp>,
        now: Timestamp,
        rules: &FairRules,
    ) -> ReleaseVerdict {
        let balance = self.entries.get(&archive).map(|entry| entry.balance);
        let restored_at = self.restored.get(&archive).copied();
        may_release(lease_until, balance.unwrap_or_default(), restored_at, now, rules)
    }
}

/// Goes on counting one account, and says what has become of it.
fn look_at(archive: ArchiveId, account: &Account, before: Option<Entry>, cx: &mut Context<'_>) -> Entry {
    let rules = &cx.rules.fair;
    let debt = count(before.and_then(|entry| entry.debt), account, cx.now, rules);
    let balance = balance(debt, cx.now, rules);
    let allowed = (account.terms == AccountTerms::Balanced).then(|| allowance(account.kept_for_us, rules));
    let view = AccountView {
        archive,
        kept_for_them: account.kept_for_them,
        kept_for_us: account.kept_for_us,
        allowed,
        balance,
    };
    let mut remembered = before.and_then(|entry| entry.remembered);
    let part = rules.warning.0 / REMEMBERED_PARTS;
    match debt {
        None if remembered.take().is_some() => cx.out.push(Effect::Forget(RecordKey::Debt(archive))),
        Some(debt) if remembered.is_none_or(|known| debt.lasted.0.saturating_sub(known.0) > part) => {
            remembered = Some(debt.lasted);
            cx.out.push(Effect::Persist(Record::Debt {
                archive,
                lasted: debt.lasted,
                counted_at: debt.counted_at,
            }));
        }
        None | Some(_) => {}
    }
    if before.and_then(|entry| entry.said) != Some(view) {
        cx.out.report(Event::Account(view));
    }
    Entry {
        debt,
        remembered,
        said: Some(view),
        balance,
        most: most(account, balance, rules),
    }
}
