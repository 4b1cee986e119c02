//! The state machine as a whole: hands each input to the child that it concerns, lets each child do what is due, and keeps the
//! effects until they are drained. Decides nothing itself.

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, ByteCount, NodeId, Timestamp};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::audits::AuditState;
use crate::boundary::{Domain, Effect, HostTerms, Input};
use crate::circle::{Circle, Greeting};
use crate::fairness::Debt;
use crate::history::History;
use crate::host::{Givers, Hosting};
use crate::leases::{GrantedLease, HeldLease};
use crate::outbox::{Alarm, Context, Outbox};
use crate::owner::{Audits, Duty, Owner, OwnerLoad};
use crate::presence::Presence;
use crate::record::Record;
use crate::repair::HostHealth;
use crate::rules::{MEMBERS_MAX, Rules, STEWARDED_MAX};
use crate::stewards::Stewardship;

/// One node's decisions.
///
/// `replay` once, then `handle` an input and drain `poll_effect`, again and again; call with `Input::Tick` at `poll_timeout`.
#[derive(Debug)]
pub struct Engine {
    node: NodeId,
    rules: Rules,
    rng: Xoshiro256PlusPlus,
    now: Timestamp,
    out: Outbox,
    circle: Circle,
    hosting: Hosting,
    owner: Option<Owner>,
    /// Archives of others that this node is a steward of, at most `STEWARDED_MAX`.
    stewarded: BTreeMap<ArchiveId, Owner>,
    /// Leases from records, until their archive is opened.
    replayed: BTreeMap<(ArchiveId, NodeId), HeldLease>,
    /// Audits from records, the same.
    replayed_audits: BTreeMap<(ArchiveId, NodeId), AuditState>,
}

/// A member as the engine knows it, for showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberView {
    /// Who.
    pub node: NodeId,
    /// What it is lost together with.
    pub domain: Domain,
    /// Whether it is here.
    pub presence: Presence,
    /// What is remembered of it.
    pub history: History,
    /// What its shards are worth.
    pub health: HostHealth,
    /// What it said when it was last greeted on this connection.
    pub terms: Option<HostTerms>,
    /// The lease that it granted to the archive of this node.
    pub lease: Option<HeldLease>,
    /// What it keeps of that archive, by its last inventory in this run and what it signed for since.
    pub kept: ByteCount,
    /// How its audits stand.
    pub audit: AuditState,
}

/// What is in flight (counts). Each has its bound in `rules`; simulations hold them against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Members that are looked after, at most `rules::MEMBERS_MAX`.
    pub members: usize,
    /// Dials, at most `rules::DIALS_MAX`.
    pub dials: usize,
    /// Greetings, at most one a member.
    pub greetings: usize,
    /// Accepted offers, at most `rules::OFFERS_MAX`.
    pub offers: usize,
    /// Effects that wait to be drained, at most `rules::EFFECTS_MAX`.
    pub effects: usize,
    /// Of the archive that this node owns; nothing when it owns none.
    pub owner: OwnerLoad,
    /// Archives that it is a steward of, at most `rules::STEWARDED_MAX`; each has in flight at most what its own has.
    pub stewarded: usize,
}

impl Engine {
    /// An engine that knows nothing yet. The seed decides every choice that is left to chance.
    pub fn new(node: NodeId, rules: Rules, seed: u64) -> Self {
        Self {
            node,
            rules,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            now: Timestamp(0),
            out: Outbox::default(),
            circle: Circle::default(),
            hosting: Hosting::default(),
            owner: None,
            stewarded: BTreeMap::new(),
            replayed: BTreeMap::new(),
            replayed_audits: BTreeMap::new(),
        }
    }

    /// Takes what was persisted in earlier runs; before the first input.
    pub fn replay(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            match record {
                Record::Seen { node, at } => self.circle.replay_seen(node, at),
                Record::Known { node, history } => self.circle.replay(node, &history),
                Record::Held {
                    archive,
                    node,
                    bytes,
                    granted_at,
                    until,
                } => {
                    if self.replayed.len() < (1 + STEWARDED_MAX) * MEMBERS_MAX {
                        self.replayed.insert(
                            (archive, node),
                            HeldLease {
                                bytes,
                                granted_at,
                                until,
                            },
                        );
                    }
                }
                Record::Granted {
                    archive,
                    bytes,
                    until,
                } => {
                    self.hosting.replay(archive, GrantedLease { bytes, until });
                }
                Record::Audited { archive, node, state } => {
                    if self.replayed_audits.len() < (1 + STEWARDED_MAX) * MEMBERS_MAX {
                        self.replayed_audits.insert((archive, node), state);
                    }
                }
                Record::Debt {
                    archive,
                    lasted,
                    counted_at,
                } => self.hosting.replay_debt(archive, Debt { lasted, counted_at }),
                Record::Restored { archive, at } => self.hosting.replay_restored(archive, at),
            }
        }
    }

    /// Takes one input. Time never goes back: an earlier `now` counts as the last one.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.now = self.now.max(now);
        let mut cx = Context {
            now: self.now,
            rules: &self.rules,
            rng: &mut self.rng,
            out: &mut self.out,
        };
        self.circle.observe(&mut cx);
        match input {
            Input::Tick => {}
            Input::Vault(vault) => self.hosting.set_vault(vault),
            Input::LeaseAsked { token, asked } => {
                let givers = Givers {
                    circle: &self.circle,
                    owner: self.owner.as_ref(),
                };
                self.hosting.look(Some(asked.archive), &givers, &mut cx);
                self.hosting.lease_asked(token, &asked, &mut cx);
            }
            Input::ReleaseAsked { token, archive } => self.hosting.release_asked(token, archive, &mut cx),
            Input::RestoreSeen { archive } => self.hosting.restore_seen(archive, &mut cx),
            Input::Offered { token, facts } => self.hosting.offered(token, &facts, &mut cx),
            Input::OfferEnded { token, kept } => self.hosting.offer_ended(token, kept),
            Input::ArchiveOpened {
                archive,
                survive,
                journal,
            } => {
                if self.owner.is_none() {
                    // Whoever becomes a device of an archive goes on as its owner.
                    self.stewarded.remove(&archive);
                    let leases = take_of(&mut self.replayed, archive);
                    let audits = take_of(&mut self.replayed_audits, archive);
                    let owner = Owner::new(archive, survive, journal, leases, cx.now);
                    self.owner = Some(owner.with_audits(Audits::new(archive, audits)));
                    self.greet_new(archive);
                }
                self.hosting.accounts_changed();
            }
            Input::Stewardships(stewardships) => self.set_stewardships(stewardships),
            circle_input @ (Input::Members(_)
            | Input::Sighted { .. }
            | Input::Connected { .. }
            | Input::Disconnected { .. }
            | Input::DialFailed { .. }
            | Input::GreetEnded { .. }
            | Input::StandingSet { .. }
            | Input::TermsLearned { .. }) => {
                self.handle_circle(circle_input);
                self.hosting.accounts_changed();
            }
            owner_input @ (Input::SurviveSet { .. }
            | Input::Endangered { .. }
            | Input::RepairNow { .. }
            | Input::RepairAsked { .. }
            | Input::RecallEnded { .. }
            | Input::WorkChanged { .. }
            | Input::JournalGrew { .. }
            | Input::Committed { .. }
            | Input::Stripes { .. }
            | Input::LeaseEnded { .. }
            | Input::EncodeEnded { .. }
            | Input::TransferEnded { .. }
            | Input::SegmentsEnded { .. }
            | Input::AuditEnded { .. }
            | Input::AuditWanted { .. }
            | Input::InventoryEnded { .. }) => {
                let is_account = matches!(owner_input, Input::InventoryEnded { .. });
                self.handle_owner(&owner_input);
                if is_account {
                    self.hosting.accounts_changed();
                }
            }
        }
        self.step();
    }

    /// The next thing to do, in order; `None` when the last input's effects are drained.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.out.pop()
    }

    /// When to call again with `Input::Tick`, if nothing happens before; `None`: only another input can change anything.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let mut alarm = Alarm::after(self.now);
        self.circle.alarm(&mut alarm, self.now, &self.rules.presence);
        self.hosting.alarm(&mut alarm);

        for owner in self.owner.iter().chain(self.stewarded.values()) {
            owner.alarm(&mut alarm);
        }
        alarm.rings()
    }

    fn handle_circle(&mut self, input: Input) {
        let mut cx = Context {
            now: self.now,
            rules: &self.rules,
            rng: &mut self.rng,
            out: &mut self.out,
        };
        let greeted = match input {
            Input::Members(facts) => {
                self.circle.set_members(self.node, facts, &mut cx);
                for owner in self.owner.iter_mut().chain(self.stewarded.values_mut()) {
                    cx.out.tell_of(owner.told_of());
                    owner.members_changed(&self.circle, &mut cx);
                }
                cx.out.tell_of(None);
                None
            }
            Input::Sighted { node } => {
                self.circle.sighted(node);
                None
            }
            Input::Connected { node, class } => {
                self.circle.connected(node, class, &mut cx);
                None
            }
            Input::Disconnected { node } => {
                self.circle.disconnected(node, &mut cx);
                for owner in self.owner.iter_mut().chain(self.stewarded.values_mut()) {
                    owner.disconnected(node);
                }
                None
            }
            Input::DialFailed { node } => {
                self.circle.dial_failed(node, &mut cx);
                None
            }
            Input::GreetEnded { op, terms } => self.circle.greeted(op, terms, &mut cx),
            Input::StandingSet { node, standing } => {
                self.circle.set_standing(node, standing, &mut cx);
                None
            }
            Input::TermsLearned { node, terms } => self
                .circle
                .learn_terms(node, terms, &mut cx)
                .then_some((node, terms)),
            Input::Tick
            | Input::Vault(_)
            | Input::LeaseAsked { .. }
            | Input::ReleaseAsked { .. }
            | Input::RestoreSeen { .. }
            | Input::Offered { .. }
            | Input::OfferEnded { .. }
            | Input::ArchiveOpened { .. }
            | Input::Stewardships(_)
            | Input::SurviveSet { .. }
            | Input::WorkChanged { .. }
            | Input::JournalGrew { .. }
            | Input::Committed { .. }
            | Input::Stripes { .. }
            | Input::Endangered { .. }
            | Input::RepairNow { .. }
            | Input::RepairAsked { .. }
            | Input::RecallEnded { .. }
            | Input::LeaseEnded { .. }
            | Input::EncodeEnded { .. }
            | Input::TransferEnded { .. }
            | Input::SegmentsEnded { .. }
            | Input::InventoryEnded { .. }
            | Input::AuditEnded { .. }
            | Input::AuditWanted { .. } => None,
        };
        for owner in self.owner.iter_mut().chain(self.stewarded.values_mut()) {
            if let Some((node, terms)) = greeted {
                owner.greeted(node, accepts(&terms));
            }
        }
    }

    /// Hands an input to whom it concerns: what names no archive ends an operation, which only its owner knows.
    fn handle_owner(&mut self, input: &Input) {
        let mut cx = Context {
            now: self.now,
            rules: &self.rules,
            rng: &mut self.rng,
            out: &mut self.out,
        };
        for owner in self.owner.iter_mut().chain(self.stewarded.values_mut()) {
            cx.out.tell_of(owner.told_of());
            hand_to(owner, input.clone(), &self.circle, &mut cx);
        }
        cx.out.tell_of(None);
    }

    /// Takes what this node is a steward of now; what it is no longer is let go.
    fn set_stewardships(&mut self, stewardships: Vec<Stewardship>) {
        let own = self.owner.as_ref().map(Owner::archive);
        let mut wanted: BTreeMap<ArchiveId, Stewardship> = stewardships
            .into_iter()
            .filter(|one| Some(one.archive) != own)
            .map(|one| (one.archive, one))
            .collect();
        while wanted.len() > STEWARDED_MAX {
            wanted.pop_last();
        }
        let ended = self
            .stewarded
            .extract_if(.., |archive, _| !wanted.contains_key(archive));
        for (_, owner) in ended {
            owner.forget(&mut self.out);
        }
        for (archive, stewardship) in wanted {
            let duty = Duty::steward(self.node, &stewardship);
            if let Some(owner) = self.stewarded.get_mut(&archive) {
                owner.set_duty(duty);
                continue;
            }
            let leases = take_of(&mut self.replayed, archive);
            let audits = take_of(&mut self.replayed_audits, archive);
            let owner = Owner::of_steward(archive, duty, leases, self.now);
            let owner = owner.with_audits(Audits::new(archive, audits));
            self.stewarded.insert(archive, owner);
            self.greet_new(archive);
        }
    }

    /// An archive is looked after from now on; members may have been greeted before.
    fn greet_new(&mut self, archive: ArchiveId) {
        let mut all = self.owner.iter_mut().chain(self.stewarded.values_mut());
        let Some(owner) = all.find(|owner| owner.archive() == archive) else {
            return;
        };
        for (node, member) in self.circle.iter() {
            if let Greeting::Done(terms) = member.greeting {
                owner.greeted(node, accepts(&terms));
            }
        }
    }

    fn step(&mut self) {
        let mut cx = Context {
            now: self.now,
            rules: &self.rules,
            rng: &mut self.rng,
            out: &mut self.out,
        };
        self.circle.observe(&mut cx);
        self.circle.step(&mut cx);
        for owner in self.owner.iter_mut().chain(self.stewarded.values_mut()) {
            cx.out.tell_of(owner.told_of());
            owner.step(&self.circle, &mut cx);
        }
        cx.out.tell_of(None);
        let givers = Givers {
            circle: &self.circle,
            owner: self.owner.as_ref(),
        };
        self.hosting.look(None, &givers, &mut cx);
    }

    /// What this node says in its greetings.
    pub fn terms(&self) -> HostTerms {
        self.hosting.terms(&self.rules.host, self.now)
    }

    /// What this node has promised an archive: all that it may keep here, and until when.
    pub fn lease_granted(&self, archive: ArchiveId) -> Option<(ByteCount, Timestamp)> {
        self.hosting.lease_of(archive)
    }

    /// How many losses backups of the archive of this node are to survive (count), for `durability::verdict`; `None` when it owns
    /// none. Counts the failure domains of all members that hold a lease, however long they have been away.
    pub fn target(&self) -> Option<u8> {
        self.owner.as_ref().map(|owner| owner.target(&self.circle))
    }

    /// Packs that still wait (count) when all that the reachable hosts take has been sent to them and acknowledged; `None` while
    /// something can still be expected soon, or when this node owns no archive.
    pub fn quiet(&self) -> Option<u64> {
        self.owner.as_ref().and_then(Owner::quiet)
    }

    /// The members as they are now, in the order of their ids.
    pub fn members(&self) -> Vec<MemberView> {
        self.circle
            .iter()
            .map(|(node, member)| {
                let leased = self.owner.as_ref().and_then(|owner| owner.lease_at(node));
                let terms = match member.greeting {
                    Greeting::Done(terms) => Some(terms),
                    Greeting::Wanted { .. } | Greeting::Running(_) => None,
                };
                MemberView {
                    node,
                    domain: member.domain,
                    presence: member.presence,
                    history: member.history,
                    health: member.health(),
                    terms,
                    lease: leased.map(|leased| leased.0),
                    kept: leased.map(|leased| leased.1).unwrap_or_default(),
                    audit: self
                        .owner
                        .as_ref()
                        .map(|owner| owner.audit_of(node))
                        .unwrap_or_default(),
                }
            })
            .collect()
    }

    /// What is in flight.
    pub fn load(&self) -> Load {
        Load {
            members: self.circle.len(),
            dials: self.circle.dial_count(),
            greetings: self.circle.greet_count(),
            offers: self.hosting.open_count(),
            effects: self.out.len(),
            owner: self.owner.as_ref().map(Owner::load).unwrap_or_default(),
            stewarded: self.stewarded.len(),
        }
    }
}

/// Whether a host that says this takes anything new.
const fn accepts(terms: &HostTerms) -> bool {
    terms.accepts && terms.stance.is_open()
}

/// Hands an input to an archive's owner or steward, if it concerns it.
fn hand_to(owner: &mut Owner, input: Input, circle: &Circle, cx: &mut Context<'_>) {
    let own = owner.archive();
    match input {
        Input::SurviveSet { archive, survive } if archive == own => owner.set_survive(survive),
        Input::WorkChanged { archive } if archive == own => owner.work_changed(),
        Input::JournalGrew { archive, journal } if archive == own => owner.journal_grew(journal),
        Input::Committed { archive } if archive == own => owner.committed(),
        Input::Stripes {
            archive,
            query,
            page,
            next,
        } if archive == own => owner.take_page(query, page, next),
        Input::Endangered { archive, found } if archive == own => {
            owner.take_endangered(found, circle, cx);
        }
        Input::RepairNow { archive } if archive == own => owner.repair_now(),
        Input::RepairAsked { token, archive } if archive == own => {
            owner.answer_repair(token, circle, cx);
        }
        Input::RecallEnded { op, outcome } => owner.recall_ended(op, outcome, cx),
        Input::LeaseEnded { op, answer } => owner.lease_ended(op, answer, cx),
        Input::EncodeEnded { op, outcome } => owner.encode_ended(op, outcome, cx),
        Input::TransferEnded { op, outcome } => owner.transfer_ended(op, outcome, cx),
        Input::SegmentsEnded { op, outcome } => owner.segments_ended(op, outcome, cx),
        Input::InventoryEnded { op, outcome } => owner.inventory_ended(op, outcome, cx),
        Input::AuditEnded { op, end, counts } => owner.audit_ended(op, end, counts, cx),
        Input::AuditWanted { archive, node } if archive == own => owner.audit_wanted(node),
        // Of another archive, or not for an owner.
        Input::SurviveSet { .. }
        | Input::WorkChanged { .. }
        | Input::JournalGrew { .. }
        | Input::Committed { .. }
        | Input::Stripes { .. }
        | Input::Endangered { .. }
        | Input::RepairNow { .. }
        | Input::RepairAsked { .. }
        | Input::StandingSet { .. }
        | Input::AuditWanted { .. }
        | Input::Tick
        | Input::Vault(_)
        | Input::LeaseAsked { .. }
        | Input::ReleaseAsked { .. }
        | Input::RestoreSeen { .. }
        | Input::Offered { .. }
        | Input::OfferEnded { .. }
        | Input::ArchiveOpened { .. }
        | Input::Stewardships(_)
        | Input::Members(_)
        | Input::Sighted { .. }
        | Input::Connected { .. }
        | Input::Disconnected { .. }
        | Input::DialFailed { .. }
        | Input::GreetEnded { .. }
        | Input::TermsLearned { .. } => {}
    }
}

/// What is remembered of an archive.
fn take_of<T>(replayed: &mut BTreeMap<(ArchiveId, NodeId), T>, archive: ArchiveId) -> BTreeMap<NodeId, T> {
    let own = replayed.extract_if(.., |(of, _), _| *of == archive);
    own.map(|((_, node), fact)| (node, fact)).collect()
}
