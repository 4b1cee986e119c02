//! The host's side: leases granted, offers accepted, space counted. Keeps the books of a vault; the rules are in `leases` and `offers`.
//!
//! Never promises or accepts more than the quota and the disk hold. Draining, audits and the ledger come later.

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Timestamp};

use crate::boundary::{
    Effect, HostTerms, LeaseAnswer, LeaseAsked, OfferFacts, OfferVerdict, Offered, Token, VaultFacts,
};
use crate::leases::{GrantedLease, IsMember, Quota, grant};
use crate::offers::{VaultState, verdict};
use crate::outbox::Context;
use crate::record::Record;
use crate::rules::{ARCHIVES_HOSTED_MAX, HostRules, OFFERS_MAX};

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
}

impl Hosting {
    pub(crate) fn replay(&mut self, archive: ArchiveId, lease: GrantedLease) {
        if self.granted.len() < ARCHIVES_HOSTED_MAX {
            self.granted.insert(archive, lease);
        }
    }

    pub(crate) fn set_vault(&mut self, vault: VaultFacts) {
        self.vault = vault;
    }

    pub(crate) fn lease_asked(&mut self, token: Token, asked: &LeaseAsked, cx: &mut Context<'_>) {
        let quota = Quota {
            bytes: self.effective_quota(&cx.rules.host),
            promised_to_others: self.promised_without(asked.archive),
            has_place: self.granted.len() < ARCHIVES_HOSTED_MAX,
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
        let state = self.state_for(facts, stripe);
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
        }
    }

    /// What this node says in a greeting.
    pub(crate) fn terms(&self, rules: &HostRules) -> HostTerms {
        let quota = self.effective_quota(rules);
        let promised: u64 = self
            .archives()
            .map(|archive| self.promised_to(archive).0)
            .fold(0, u64::saturating_add);
        HostTerms {
            accepts: self.vault.quota > ByteCount::ZERO,
            generous: self.vault.generous,
            free: quota.saturating_sub(ByteCount(promised)),
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

    fn state_for(&self, facts: &OfferFacts, stripe: Option<LabelId>) -> VaultState {
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
        }
    }
}
