//! The host's side: leases granted, offers accepted, space counted. Keeps the books of a vault; the rules are in `leases` and `offers`.
//!
//! Never promises or accepts more than the quota and the disk hold, and nothing new on a holiday.

mod accounts;

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Timestamp};

use crate::boundary::{
    Effect, HostTerms, LeaseAnswer, LeaseAsked, OfferFacts, OfferVerdict, Offered, Token, VaultFacts,
};
use crate::fairness::{Debt, ReleaseVerdict};
use crate::leases::{GrantedLease, IsMember, Quota, grant};
use crate::offers::{VaultState, verdict};
use crate::outbox::{Alarm, Context};
use crate::record::{Record, RecordKey};
use crate::rules::{ARCHIVES_HOSTED_MAX, HostRules, OFFERS_MAX};

pub(crate) use accounts::Givers;

use accounts::Accounts;

/// An accepted offer that has not ended.
#[derive(Debug, Clone, Copy)]
struct Open {
    from: NodeId,
    archive: ArchiveId,
    len: ByteCount,
    stripe: Option<LabelId>,
}

/// The books of this node's vault.
#[derive(Debug, Default)]
pub(crate) struct Hosting {
    vault: VaultFacts,
    granted: BTreeMap<ArchiveId, GrantedLease>,
    open: BTreeMap<Token, Open>,
    accounts: Accounts,
}

impl Hosting {
    pub(crate) fn replay(&mut self, archive: ArchiveId, lease: GrantedLease) {
        if self.granted.len() < ARCHIVES_HOSTED_MAX {
            self.granted.insert(archive, lease);
        }
    }

    pub(crate) fn set_vault(&mut self, vault: VaultFacts) {
        self.vault = vault;
        self.accounts.touch();
    }

    pub(crate) fn replay_debt(&mut self, archive: ArchiveId, debt: Debt) {
        self.accounts.replay_debt(archive, debt);
    }

    pub(crate) fn replay_restored(&mut self, archive: ArchiveId, at: Timestamp) {
        self.accounts.replay_restored(archive, at);
    }

    /// What others keep for us may have changed.
    pub(crate) fn accounts_changed(&mut self) {
        self.accounts.touch();
    }

    /// Looks at all accounts when it is time; at once where an archive asks for something.
    pub(crate) fn look(&mut self, asker: Option<ArchiveId>, givers: &Givers<'_>, cx: &mut Context<'_>) {
        if asker.is_none() && !self.accounts.is_due(cx.now) {
            return;
        }
        let all = self.archives().chain(asker);
        let kept = all.map(|archive| (archive, self.used_by(archive))).collect();
        self.accounts.look(&kept, &self.vault, givers, cx);
    }

    pub(crate) fn alarm(&self, alarm: &mut Alarm) {
        self.accounts.alarm(alarm);
    }

    /// Something of an archive that is kept here was read, or claimed.
    pub(crate) fn restore_seen(&mut self, archive: ArchiveId, cx: &mut Context<'_>) {
        if self.archives().any(|kept| kept == archive) {
            self.accounts.restore_seen(archive, cx);
        }
    }

    /// The person at this machine wants to release what is kept for an archive.
    pub(crate) fn release_asked(&mut self, token: Token, archive: ArchiveId, cx: &mut Context<'_>) {
        let lease = self.granted.get(&archive);
        let verdict = if lease.is_none() && self.used_by(archive) == ByteCount::ZERO {
            ReleaseVerdict::Nothing
        } else {
            let until = lease.map(|lease| lease.until);
            self.accounts.may_release(archive, until, cx.now, &cx.rules.fair)
        };
        if verdict == ReleaseVerdict::Granted && self.granted.remove(&archive).is_some() {
            cx.out.push(Effect::Forget(RecordKey::Granted(archive)));
        }
        cx.out.push(Effect::AnswerRelease { token, verdict });
    }

    pub(crate) fn lease_asked(&mut self, token: Token, asked: &LeaseAsked, cx: &mut Context<'_>) {
        let quota = Quota {
            bytes: self.effective_quota(&cx.rules.host),
            promised_to_others: self.promised_without(asked.archive),
            has_place: self.granted.len() < ARCHIVES_HOSTED_MAX,
            balanced: self.accounts.most(asked.archive),
            own_limit: self.vault.limits.get(&asked.archive).copied(),
            is_open: self.vault.stance.at(cx.now).is_open(),
        };
        let is_member = if asked.member { IsMember::Yes } else { IsMember::No };
        let held = self.granted.get(&asked.archive);
        let answer = grant(held, asked.bytes, is_member, &quota, (cx.now, &cx.rules.lease));
        if let LeaseAnswer::Granted { bytes, until } = answer {
            self.granted.insert(asked.archive, GrantedLease { bytes, until });
            cx.out.push(Effect::Persist(Record::Granted {
                archive: asked.archive,
                bytes,
                until,
            }));
        }
        cx.out.push(Effect::AnswerLease { token, answer });
    }

    pub(crate) fn offered(&mut self, token: Token, facts: &OfferFacts, cx: &mut Context<'_>) {
        let stripe = match facts.offered {
            Offered::Shard { label, .. } => Some(label),
            Offered::Journal => None,
        };
        let state = self.state_for(facts, stripe, cx.now);
        let said = verdict(facts, &state, cx.now, &cx.rules.host);
        if said == OfferVerdict::Accept {
            let open = Open {
                from: facts.from,
                archive: facts.archive,
                len: facts.len,
                stripe,
            };
            self.open.insert(token, open);
            assert!(self.open.len() <= OFFERS_MAX, "accepted offers are bounded");
        }
        cx.out.push(Effect::AnswerOffer { token, verdict: said });
    }

    /// Books what has arrived and frees what was reserved for it. An unknown token changes nothing.
    pub(crate) fn offer_ended(&mut self, token: Token, kept: Option<ByteCount>) {
        let Some(open) = self.open.remove(&token) else {
            return;
        };
        if let Some(kept) = kept {
            let used = self.vault.used.entry(open.archive).or_default();
            *used = used.saturating_add(kept);
            self.vault.disk_free = self.vault.disk_free.saturating_sub(kept);
            self.accounts.touch();
        }
    }

    /// What this node says in a greeting.
    pub(crate) fn terms(&self, rules: &HostRules, now: Timestamp) -> HostTerms {
        let quota = self.effective_quota(rules);
        let promised: u64 = self
            .archives()
            .map(|archive| self.promised_to(archive).0)
            .fold(0, u64::saturating_add);
        let stance = self.vault.stance.at(now);
        HostTerms {
            accepts: self.vault.quota > ByteCount::ZERO && stance.is_open(),
            generous: self.vault.generous,
            free: quota.saturating_sub(ByteCount(promised)),
            stance,
        }
    }

    /// What an archive may keep here and until when.
    pub(crate) fn lease_of(&self, archive: ArchiveId) -> Option<(ByteCount, Timestamp)> {
        self.granted.get(&archive).map(|lease| (lease.bytes, lease.until))
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The quota, or what the disk allows when that is less.
    fn effective_quota(&self, rules: &HostRules) -> ByteCount {
        let disk = self.vault.disk_free.saturating_sub(rules.disk_reserve);
        let kept = self
            .vault
            .used
            .values()
            .fold(ByteCount::ZERO, |sum, used| sum.saturating_add(*used));
        self.vault.quota.min(kept.saturating_add(disk))
    }

    fn archives(&self) -> impl Iterator<Item = ArchiveId> {
        let unleased = self
            .vault
            .used
            .keys()
            .filter(|archive| !self.granted.contains_key(archive));
        self.granted.keys().chain(unleased).copied()
    }

    /// The larger of what an archive may keep and what it keeps.
    fn promised_to(&self, archive: ArchiveId) -> ByteCount {
        let granted = self
            .granted
            .get(&archive)
            .map_or(ByteCount::ZERO, |lease| lease.bytes);
        granted.max(self.used_by(archive))
    }

    fn promised_without(&self, asker: ArchiveId) -> ByteCount {
        self.archives()
            .filter(|archive| *archive != asker)
            .fold(ByteCount::ZERO, |sum, archive| {
                sum.saturating_add(self.promised_to(archive))
            })
    }

    /// What an archive keeps here, with what is arriving.
    fn used_by(&self, archive: ArchiveId) -> ByteCount {
        let kept = self.vault.used.get(&archive).copied().unwrap_or_default();
        kept.saturating_add(self.reserved(|open| open.archive == archive))
    }

    fn reserved(&self, which: impl Fn(&Open) -> bool) -> ByteCount {
        self.open
            .values()
            .filter(|open| which(open))
            .fold(ByteCount::ZERO, |sum, open| sum.saturating_add(open.len))
    }

    fn state_for(&self, facts: &OfferFacts, stripe: Option<LabelId>, now: Timestamp) -> VaultState {
        let reserved = self.reserved(|_| true);
        let kept = self
            .vault
            .used
            .values()
            .fold(ByteCount::ZERO, |sum, used| sum.saturating_add(*used));
        VaultState {
            lease: self.granted.get(&facts.archive).copied(),
            archive_used: self.used_by(facts.archive),
            vault_used: kept.saturating_add(reserved),
            quota: self.vault.quota,
            disk_free: self.vault.disk_free.saturating_sub(reserved),
            open_count: self.open.len(),
            open_from_node_count: self.open.values().filter(|open| open.from == facts.from).count(),
            stripe_arriving: stripe.is_some()
                && self
                    .open
                    .values()
                    .any(|open| open.archive == facts.archive && open.stripe == stripe),
            balanced: self.accounts.most(facts.archive),
            own_limit: self.vault.limits.get(&facts.archive).copied(),
            is_open: self.vault.stance.at(now).is_open(),
        }
    }
}
