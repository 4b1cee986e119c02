//! What this node and each member keep for each other: what is said and heard about it, kept for screens, and the evidence for it.
//!
//! How an archive stands here is the engine's verdict, noted here as it is said. What others say is a claim; what they have signed is
//! compared with what they and we say now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nuthatch_disk::IndexError;
use nuthatch_engine::boundary::{AccountView, HostTerms, Input};
use nuthatch_engine::fairness::{self, Stance};
use nuthatch_format::{ArchiveId, ByteCount, NodeId, Timestamp};
use nuthatch_wire::attest::Attestation;
use nuthatch_wire::inventory::InventoryRoot;
use nuthatch_wire::ledger::{self, Agreement, LedgerView, agree};
use nuthatch_wire::message::{Hello, Request};
use parking_lot::RwLock;

use crate::ask::ask_for;
use crate::clock;
use crate::commands::hosts;
use crate::effects::terms_of;
use crate::node::Node;

/// Nodes that anything is kept of here; members are fewer.
const NODES_MAX: usize = 512;

/// Reading of one archive is told to the engine this often at most.
const RESTORE_NOTED_EVERY: Duration = Duration::from_mins(10);

/// What a member last said.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) view: LedgerView,
    /// Whether what it says that this node keeps for it is what this node has signed and keeps.
    pub(crate) kept_here: Agreement,
    /// Whether what it says that it keeps for this node is what it has signed.
    pub(crate) kept_there: Agreement,
}

impl Heard {
    /// Whether both say the same.
    pub(crate) fn agrees(&self) -> bool {
        self.kept_here == Agreement::Same && self.kept_there == Agreement::Same
    }

    /// By how much they do not, at most.
    pub(crate) fn differs_by(&self) -> Option<ByteCount> {
        let by = |agreement| match agreement {
            Agreement::Same => None,
            Agreement::Differs(by) => Some(by),
        };
        by(self.kept_here).max(by(self.kept_there))
    }
}

/// Everything heard.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    heard: RwLock<BTreeMap<NodeId, Heard>>,
    terms: RwLock<BTreeMap<NodeId, HostTerms>>,
    evidence: RwLock<BTreeMap<NodeId, Attestation<InventoryRoot>>>,
    accounts: RwLock<BTreeMap<ArchiveId, AccountView>>,
    restores: RwLock<BTreeMap<ArchiveId, Instant>>,
}

impl Ledgers {
    /// What a member last said.
    pub(crate) fn heard(&self, node: &NodeId) -> Option<Heard> {
        self.heard.read().get(node).cloned()
    }

    /// What a member's person has said about hosting, as far as it is known.
    pub(crate) fn stance(&self, node: &NodeId) -> Stance {
        let terms = self.terms.read().get(node).copied().unwrap_or_default();
        terms.stance.at(clock::now())
    }

    /// How an archive stands here, as the engine last said.
    pub(crate) fn account(&self, archive: &ArchiveId) -> Option<AccountView> {
        self.accounts.read().get(archive).copied()
    }

    /// Notes how an archive stands here; says how it stood before.
    pub(crate) fn note_account(&self, view: AccountView) -> Option<AccountView> {
        self.accounts.write().insert(view.archive, view)
    }

    /// Notes what a host has signed for the archive of this node.
    pub(crate) fn note_evidence(&self, node: NodeId, root: Attestation<InventoryRoot>) {
        put(&mut self.evidence.write(), node, root);
    }

    /// Forgets what members said that they need here.
    pub(crate) fn forget_needs(&self) {
        for heard in self.heard.write().values_mut() {
            heard.view.needed = None;
        }
    }

    /// Notes what a member offers; answers what is believed of it. A greeting does not say when a holiday ends: who said so before is
    /// believed on.
    fn note_terms(&self, node: NodeId, mut terms: HostTerms) -> HostTerms {
        let mut all = self.terms.write();
        let known = all.get(&node).map(|known| known.stance);
        if let (Some(Stance::Paused { until: Some(_) }), Stance::Paused { until: None }) =
            (known, terms.stance)
        {
            terms.stance = known.unwrap_or(terms.stance);
        }
        put(&mut all, node, terms);
        terms
    }

    fn terms(&self, node: &NodeId) -> Option<HostTerms> {
        self.terms.read().get(node).copied()
    }

    /// Whether the engine is to be told that an archive is being read.
    fn is_restore_news(&self, archive: ArchiveId) -> bool {
        let now = clock::instant();
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= RESTORE_NOTED_EVERY;
        if self.restores.read().get(&archive).is_some_and(|at| !is_old(at)) {
            return false;
        }
        let mut restores = self.restores.write();
        restores.retain(|_, at| !is_old(at));
        restores.insert(archive, now);
        true
    }
}

/// Puts one more, if there is room.
fn put<T>(map: &mut BTreeMap<NodeId, T>, node: NodeId, value: T) {
    if map.len() < NODES_MAX || map.contains_key(&node) {
        map.insert(node, value);
    }
}

impl Node {
    /// A member said who it is and what it offers, asked or unasked.
    pub(crate) fn take_terms(&self, peer: NodeId, hello: &Hello) {
        let terms = self.ledgers.note_terms(peer, terms_of(hello));
        self.engine.tell_soon(Input::TermsLearned { node: peer, terms });
    }

    /// Something of an archive that is kept here is read, or was claimed.
    pub(crate) fn note_restore(&self, archive: ArchiveId) {
        if self.ledgers.is_restore_news(archive) {
            self.engine.tell_soon(Input::RestoreSeen { archive });
        }
    }

    /// Tells all members that are here, in tasks of their own, what this node offers now and how it sees the account with each.
    pub(crate) fn tell_terms(self: &Arc<Self>) {
        for peer in self.pulse.online().into_keys() {
            let node = Arc::clone(self);
            self.tasks.spawn(async move {
                let said = ask_for!(&node.transport, peer, Request::Hello(node.hello()), Hello);
                match said {
                    Ok(hello) => node.take_terms(peer, &hello),
                    Err(error) => tracing::debug!("{peer:?} was not told new terms: {error}"),
                }
                node.exchange_ledger(peer).await;
            });
        }
    }

    /// Tells those members that are of an archive, and here, how it stands.
    pub(crate) fn tell_account(self: &Arc<Self>, archive: ArchiveId) {
        for peer in self.pulse.online().into_keys() {
            let is_theirs = self.circle.read(|roster| roster.archive_of(&peer)).flatten() == Some(archive);
            if is_theirs {
                let node = Arc::clone(self);
                self.tasks.spawn(async move { node.exchange_ledger(peer).await });
            }
        }
    }

    /// Tells a member how this node sees their account, and hears how the member does.
    pub(crate) async fn exchange_ledger(self: &Arc<Self>, peer: NodeId) {
        let Some(view) = self.ledger_for(peer).await else {
            return;
        };
        match ask_for!(&self.transport, peer, Request::Ledger(view), Ledger) {
            Ok(view) => self.take_ledger(peer, view),
            // Older programs don't know the question.
            Err(error) => tracing::debug!("no ledger from {peer:?}: {error}"),
        }
    }

    /// How this node sees the account with a member; `None` when its own disk can't be asked.
    pub(crate) async fn ledger_for(self: &Arc<Self>, peer: NodeId) -> Option<LedgerView> {
        let node = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || node.make_ledger(&peer)).await;
        match made {
            Ok(Ok(view)) => Some(view),
            Ok(Err(error)) => {
                tracing::warn!("the catalogue can't be asked: {error}");
                None
            }
            Err(error) => {
                tracing::warn!("the ledger for a member can't be made: {error}");
                None
            }
        }
    }

    fn make_ledger(&self, peer: &NodeId) -> Result<LedgerView, IndexError> {
        let theirs = self.circle.read(|roster| roster.archive_of(peer)).flatten();
        let account = theirs.and_then(|archive| self.ledgers.account(&archive));
        let evidence = self.ledgers.evidence.read().get(peer).cloned();
        let signed = evidence.as_ref().and_then(|root| root.open().ok());
        let needed = match self.owned() {
            _ if self.ledgers.stance(peer) != Stance::Leaving => None,
            Some(_) if self.repairs.state().drained.contains(peer) => Some(0),
            Some(owned) => Some(hosts::needed_of(&owned, peer, |other| {
                self.ledgers.stance(other) != Stance::Leaving
            })?),
            None => Some(0),
        };
        Ok(LedgerView {
            archive: self.owned().map(|owned| owned.archive),
            keeps: theirs.map_or(ByteCount::ZERO, |archive| self.vault.usage(&archive).bytes),
            kept: signed.map_or(ByteCount::ZERO, |root| root.bytes),
            evidence,
            allowed: account.and_then(|account| account.allowed),
            balance: account.map_or(ledger::Balance::Even, |account| said_balance(account.balance)),
            stance: said_stance(self.config().stance().at(clock::now())),
            needed,
        })
    }

    /// Takes what a member says about the account with it.
    pub(crate) fn take_ledger(&self, peer: NodeId, view: LedgerView) {
        let theirs = self.circle.read(|roster| roster.archive_of(&peer)).flatten();
        // What it says that we keep for it counts as far as our own signature stands beneath it.
        let signed_here = view.evidence.as_ref().and_then(|root| root.open().ok());
        let is_proven = signed_here.as_ref().is_none_or(|root| {
            root.host == self.identity.node && Some(root.archive) == theirs && root.bytes == view.kept
        });
        let keep = theirs.map_or(ByteCount::ZERO, |archive| self.vault.usage(&archive).bytes);
        let has_root = signed_here.is_some();
        let kept_here = match (is_proven, has_root) {
            (true, true) => agree(view.kept, keep),
            // Without a signature it makes no claim.
            (true, false) => Agreement::Same,
            (false, _) => Agreement::Differs(view.kept),
        };
        let signed_there = self
            .ledgers
            .evidence
            .read()
            .get(&peer)
            .and_then(|root| root.open().ok());
        let kept_there = signed_there.map_or(Agreement::Same, |root| agree(root.bytes, view.keeps));
        self.take_stance(peer, &view);
        let heard = Heard {
            at: clock::now(),
            view,
            kept_here,
            kept_there,
        };
        self.say_what_is_new(peer, &heard);
        put(&mut self.ledgers.heard.write(), peer, heard);
    }

    /// Tells the engine when a member may be asked for more than before, or says when its holiday ends.
    fn take_stance(&self, peer: NodeId, view: &LedgerView) {
        let Some(before) = self.ledgers.terms(&peer) else {
            return;
        };
        let terms = HostTerms {
            stance: heard_stance(view.stance),
            ..before
        };
        let known = self
            .ledgers
            .heard(&peer)
            .map(|heard| (rank(heard.view.balance), heard.view.allowed));
        let is_better = known.is_some_and(|known| known != (rank(view.balance), view.allowed));
        if terms != before || is_better {
            self.ledgers.note_terms(peer, terms);
            self.engine.tell_soon(Input::TermsLearned { node: peer, terms });
        }
    }

    /// Says when a member warns this node, or is about to leave.
    fn say_what_is_new(&self, peer: NodeId, heard: &Heard) {
        let before = self.ledgers.heard(&peer).map(|heard| heard.view);
        let name = self.circle.name_of(&peer);
        let balance = heard.view.balance;
        if before.as_ref().map(|view| rank(view.balance)) != Some(rank(balance)) {
            let message = match balance {
                ledger::Balance::Even if before.is_none() => None,
                ledger::Balance::Even => Some(format!("the account with {name} is even again")),
                ledger::Balance::Warned(_) => Some(format!(
                    "{name} keeps more for this archive than this node keeps for it, and asks for more in return"
                )),
                ledger::Balance::Stopped(_) | ledger::Balance::Releasable => Some(format!(
                    "{name} takes nothing new for this archive until this node keeps more for it; what it has stays"
                )),
            };
            if let Some(message) = message {
                self.events.say("balance", Some(peer), message);
            }
        }
        if before.map(|view| view.stance) != Some(heard.view.stance) {
            let message = match heard.view.stance {
                ledger::Stance::Open => return,
                ledger::Stance::Paused | ledger::Stance::PausedUntil(_) => {
                    format!("{name} is on a holiday: it keeps and gives what it has, and takes nothing new")
                }
                ledger::Stance::Leaving => format!("{name} is about to leave: what it keeps goes elsewhere"),
            };
            self.events.say("stance", Some(peer), message);
        }
    }
}

/// How pressing a balance is.
pub(crate) const fn rank(balance: ledger::Balance) -> u8 {
    match balance {
        ledger::Balance::Even => 0,
        ledger::Balance::Warned(_) => 1,
        ledger::Balance::Stopped(_) => 2,
        ledger::Balance::Releasable => 3,
    }
}

const fn said_balance(balance: fairness::Balance) -> ledger::Balance {
    match balance {
        fairness::Balance::Even => ledger::Balance::Even,
        fairness::Balance::Warned { until } => ledger::Balance::Warned(until),
        fairness::Balance::Stopped { release_at } => ledger::Balance::Stopped(release_at),
        fairness::Balance::Releasable => ledger::Balance::Releasable,
    }
}

const fn said_stance(stance: Stance) -> ledger::Stance {
    match stance {
        Stance::Open => ledger::Stance::Open,
        Stance::Paused { until: None } => ledger::Stance::Paused,
        Stance::Paused { until: Some(until) } => ledger::Stance::PausedUntil(until),
        Stance::Leaving => ledger::Stance::Leaving,
    }
}

const fn heard_stance(stance: ledger::Stance) -> Stance {
    match stance {
        ledger::Stance::Open => Stance::Open,
        ledger::Stance::Paused => Stance::Paused { until: None },
        ledger::Stance::PausedUntil(until) => Stance::Paused { until: Some(until) },
        ledger::Stance::Leaving => Stance::Leaving,
    }
}
