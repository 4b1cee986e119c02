//! Rebuilding what was lost: looks over the catalogue, the most endangered stripes first, has their packs brought back, and gives the
//! shards that don't count any more to hosts in domains of their own. Bounded: a few packs at a time, the rest stays in the catalogue.
//!
//! When a stripe is rebuilt is `repair`'s verdict, and who gets what is `placement`'s. Nothing is begun while our own link is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nuthatch_erasure::ShardIndex;
use nuthatch_format::{NodeId, Span, Timestamp};

use super::Owner;
use super::packs::Fate;
use super::transfers::Transfer;
use super::window::Placing;
use crate::boundary::{
    Effect, EndangeredPage, Event, OfferRefusal, OpId, PackKind, PackNumber, RecallOutcome, RepairRound,
    StripeFacts, Token, TransferOutcome,
};
use crate::circle::Circle;
use crate::leases::Purpose;
use crate::outbox::{Alarm, Context};
use crate::placement::Candidate;
use crate::repair::{Due, HealthView, HostHealth};
use crate::rules::REPAIRS_MAX;

/// A stripe that is being rebuilt.
#[derive(Debug)]
struct Repair {
    kind: PackKind,
    placing: Placing,
    /// Everybody who had a shard when it was begun, whatever they are worth.
    known: Vec<(ShardIndex, NodeId)>,
    /// The bytes are being brought back.
    recalling: Option<OpId>,
    placed: u8,
}

/// One look over everything.
#[derive(Debug)]
struct Pass {
    view: Arc<HealthView>,
    /// The stripes that are looked for now can stand so many more losses.
    margin: u8,
    next_margin: Option<u8>,
    after: Option<PackNumber>,
    is_read: bool,
    round: RepairRound,
}

/// All repairs of an archive.
#[derive(Debug)]
pub(super) struct Repairs {
    items: BTreeMap<PackNumber, Repair>,
    pass: Option<Pass>,
    is_reading: bool,
    /// Something has changed that another look may find.
    again: bool,
    /// A person wants a look.
    is_asked: bool,
    /// No look begins before.
    not_before: Timestamp,
    /// The pause after the last look; `None` where the next one is to be soon.
    pause: Option<Span>,
    /// By which state of the members the last look was begun.
    health_version: u64,
    /// Leaving hosts of which it was said that they may go.
    drained: BTreeSet<NodeId>,
}

impl Repairs {
    pub(super) const fn new() -> Self {
        Self {
            items: BTreeMap::new(),
            pass: None,
            is_reading: false,
            again: true,
            is_asked: false,
            not_before: Timestamp(0),
            pause: None,
            health_version: 0,
            drained: BTreeSet::new(),
        }
    }

    /// Shards were lost, or a person wants it: everything is looked over as soon as can be.
    pub(super) fn look_now(&mut self) {
        self.again = true;
        self.pause = None;
        self.not_before = Timestamp(0);
    }

    /// Something changed that may be of interest: it is looked at when the present pause is over.
    pub(super) fn look_again(&mut self) {
        self.again = true;
    }

    pub(super) fn has(&self, pack: PackNumber) -> bool {
        self.items.contains_key(&pack)
    }

    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    pub(super) fn alarm(&self, alarm: &mut Alarm) {
        if self.again && self.pass.is_none() {
            alarm.set(self.not_before);
        }
    }

    fn note(&mut self, change: impl FnOnce(&mut RepairRound)) {
        if let Some(pass) = &mut self.pass {
            change(&mut pass.round);
        }
    }
}

impl Owner {
    /// A person wants everything looked over now.
    pub(crate) fn repair_now(&mut self) {
        self.repairs.look_now();
        self.repairs.is_asked = true;
    }

    /// Answers what a repair would do.
    pub(crate) fn answer_repair(&self, token: Token, circle: &Circle, cx: &mut Context<'_>) {
        let takers = self.hosts.takers(
            (nuthatch_format::ByteCount::ZERO, Purpose::Data),
            circle,
            &self.transfers,
            cx.now,
        );
        let is_sound = |node| self.audits.is_sound(node, cx.now, &cx.rules.audit);
        let takers = takers.into_iter().filter(|taker| is_sound(taker.node));
        let takers = takers.map(|taker| Candidate {
            node: taker.node,
            domain: taker.domain,
            free: taker.room,
        });
        let (view, takers) = (Arc::new(self.health(circle, cx)), takers.collect());
        cx.out.push(Effect::AnswerRepairPlan {
            token,
            view,
            takers,
            is_cut: circle.is_cut(),
        });
    }

    /// What all members are worth now. What lies at a host that was caught, or owes an answer for too long, may be there: it does not count.
    fn health(&self, circle: &Circle, cx: &Context<'_>) -> HealthView {
        let mut view = self.view(circle);
        for (node, (health, _)) in &mut view.members {
            let is_sound = *health == HostHealth::Sound;
            if is_sound && !self.audits.is_sound(*node, cx.now, &cx.rules.audit) {
                *health = HostHealth::Gone;
            }
        }
        view
    }

    /// Begins and goes on with whatever can be done.
    pub(super) fn step_repairs(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        if self.repairs.health_version != circle.health_version {
            self.repairs.health_version = circle.health_version;
            self.repairs.look_now();
            // Whom shards may be given to, and how many losses are to be survived, may have changed with it.
            self.hosts.version += 1;
            self.window.look_again();
        }
        for pack in self.repairs.items.keys().copied().collect::<Vec<_>>() {
            self.go_on(pack, circle, cx);
        }
        self.turn(circle, cx);
        let can_begin = !circle.is_cut() && self.duty.is_ours(circle) && self.hosts.some_are_here(cx.now);
        let room = REPAIRS_MAX - self.repairs.items.len();
        let Some(pass) = &self.repairs.pass else { return };
        if can_begin && !pass.is_read && !self.repairs.is_reading && room > 0 {
            self.repairs.is_reading = true;
            cx.out.push(Effect::ReadEndangered {
                archive: self.archive,
                view: Arc::clone(&pass.view),
                margin: pass.margin,
                after: pass.after,
                limit: room,
            });
        }
    }

    /// Goes from one look to the next where it is time.
    fn turn(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        let can_begin = !circle.is_cut()
            && self.settles_at.is_none()
            && self.duty.is_ours(circle)
            && self.hosts.some_are_here(cx.now);
        let repairs = &mut self.repairs;
        if let Some(pass) = &mut repairs.pass
            && pass.is_read
            && repairs.items.is_empty()
        {
            if let Some(margin) = pass.next_margin.take() {
                (pass.margin, pass.after, pass.is_read) = (margin, None, false);
                return;
            }
            self.end_pass(cx);
        }
        let repairs = &mut self.repairs;
        if repairs.pass.is_none() && repairs.again && can_begin && cx.is_due(repairs.not_before) {
            repairs.again = false;
            let view = Arc::new(self.health(circle, cx));
            self.repairs.pass = Some(Pass {
                view,
                margin: 0,
                next_margin: None,
                after: None,
                is_read: false,
                round: RepairRound {
                    is_asked: std::mem::take(&mut self.repairs.is_asked),
                    ..RepairRound::default()
                },
            });
        }
    }

    fn end_pass(&mut self, cx: &mut Context<'_>) {
        let rules = &cx.rules.repair;
        let repairs = &mut self.repairs;
        let Some(pass) = repairs.pass.take() else { return };
        let round = pass.round;
        let has_achieved = round.rebuilt > 0 || round.shards > 0;
        let has_left = round.no_host > 0 || round.out_of_reach > 0;
        let pause = match repairs.pause {
            Some(pause) if !has_achieved => Span(pause.0.saturating_mul(2)).min(rules.pause_max),
            Some(_) | None => rules.pause_min,
        };
        repairs.pause = Some(pause);
        repairs.not_before = cx.later(pause);
        repairs.again |= has_left;
        cx.out.report(Event::RepairRound(round));
        let leaving = |(node, (health, _)): (&NodeId, &(HostHealth, _))| {
            (*health == HostHealth::Leaving).then_some(*node)
        };
        let leaving: BTreeSet<NodeId> = pass.view.members.iter().filter_map(leaving).collect();
        repairs.drained.retain(|node| leaving.contains(node));
        if !has_left && round.found.unrepairable == 0 {
            for node in leaving {
                if repairs.drained.insert(node) {
                    cx.out.report(Event::Drained { node });
                }
            }
        }
    }

    /// Takes a page: what can be given to hosts now is begun.
    pub(crate) fn take_endangered(&mut self, found: EndangeredPage, circle: &Circle, cx: &mut Context<'_>) {
        if !std::mem::take(&mut self.repairs.is_reading) {
            return;
        }
        let Some(pass) = &mut self.repairs.pass else {
            return;
        };
        let is_first = pass.margin == 0;
        if is_first {
            // Later looks of the same pass go over the same packs again.
            pass.round.found = pass.round.found.plus(found.counts);
        }
        pass.next_margin = [pass.next_margin, found.next_margin].into_iter().flatten().min();
        (pass.after, pass.is_read) = (found.next.or(pass.after), found.next.is_none());
        for facts in found.page.into_iter().take(REPAIRS_MAX) {
            if self.repairs.items.len() < REPAIRS_MAX {
                self.begin(facts, circle, cx);
            }
        }
        assert!(self.repairs.items.len() <= REPAIRS_MAX, "repairs are bounded");
    }

    fn begin(&mut self, facts: StripeFacts, circle: &Circle, cx: &mut Context<'_>) {
        let (pack, kind) = (facts.pack, facts.kind);
        let Some(stripe) = facts.stripe else { return };
        // Whoever else looks after it may go: then it is found again.
        if !self.duty.is_mine(&stripe.label, circle) {
            self.repairs.again = true;
            return;
        }
        // What is on its way or being looked at otherwise is left to that; a later look sees what is left.
        if circle.is_cut()
            || self.repairs.has(pack)
            || self.window.items.contains_key(&pack)
            || self.transfers.has_pack(pack)
        {
            self.repairs.again = true;
            return;
        }
        // Members may have come back since the page was asked for.
        let view = self.health(circle, cx);
        if !matches!(view.due(stripe.scheme, &stripe.holders), Due::Rebuild { .. }) {
            return;
        }
        let mut placing = Placing::new(stripe.label, stripe.scheme, stripe.shard_len, stripe.journal);
        placing.holders = view.sound(&stripe.holders).collect();
        placing.considered = true;
        self.plan(&mut placing, (stripe.shard_len, Purpose::from(kind)), circle, cx);
        if placing.plan.is_empty() {
            self.repairs.note(|round| round.no_host += 1);
            return;
        }
        let op = cx.out.next_op();
        cx.out.push(Effect::Recall {
            op,
            archive: self.archive,
            pack,
            label: stripe.label,
        });
        let repair = Repair {
            kind,
            placing,
            known: stripe.holders,
            recalling: Some(op),
            placed: 0,
        };
        self.repairs.items.insert(pack, repair);
    }

    /// Takes the end of a recall.
    pub(crate) fn recall_ended(&mut self, op: OpId, outcome: RecallOutcome, cx: &mut Context<'_>) {
        let found = self
            .repairs
            .items
            .iter_mut()
            .find(|(_, repair)| repair.recalling == Some(op));
        let Some((pack, repair)) = found else { return };
        let pack = *pack;
        match outcome {
            RecallOutcome::Here { source } => {
                repair.recalling = None;
                let shards = u8::try_from(repair.placing.plan.len()).unwrap_or(u8::MAX);
                cx.out.report(Event::RepairBegun { pack, source, shards });
            }
            RecallOutcome::Failed => {
                self.repairs.items.remove(&pack);
                self.repairs.note(|round| round.out_of_reach += 1);
            }
        }
    }

    fn go_on(&mut self, pack: PackNumber, circle: &Circle, cx: &mut Context<'_>) {
        let Some(mut repair) = self.repairs.items.remove(&pack) else {
            return;
        };
        let is_waiting = repair.recalling.is_some();
        let fate = if is_waiting {
            Fate::Stays
        } else if self.is_needless(&repair, circle, cx) {
            Fate::Parks
        } else {
            self.place_and_send(pack, repair.kind, &mut repair.placing, circle, cx)
        };
        match fate {
            Fate::Stays => {
                self.repairs.items.insert(pack, repair);
            }
            Fate::Parks => self.end_repair(pack, &repair, circle, cx),
        }
    }

    /// Whether nothing was sent yet and nothing needs to be any more: a host has come back while the bytes were brought.
    fn is_needless(&self, repair: &Repair, circle: &Circle, cx: &Context<'_>) -> bool {
        let placing = &repair.placing;
        let is_untouched = repair.placed == 0 && self.transfers.of_label(placing.label).next().is_none();
        let view = self.health(circle, cx);
        is_untouched && view.due(placing.scheme, &repair.known) == Due::Rest
    }

    /// All that can be given away now is.
    fn end_repair(&mut self, pack: PackNumber, repair: &Repair, circle: &Circle, cx: &mut Context<'_>) {
        let placing = &repair.placing;
        let holders: Vec<(ShardIndex, NodeId)> =
            placing.holders.iter().chain(&repair.known).copied().collect();
        let view = self.health(circle, cx);
        let health = view.health(placing.scheme, &holders);
        let is_due = view.due(placing.scheme, &holders) != Due::Rest;
        let missing = placing.scheme.total().saturating_sub(health.healthy);
        self.repairs.note(|round| {
            round.shards += u64::from(repair.placed);
            match (is_due, repair.placed) {
                (true, _) => round.no_host += 1,
                (false, 0) => {}
                (false, _) => round.rebuilt += 1,
            }
        });
        self.repairs.again |= placing.is_stale;
        cx.out.report(Event::RepairEnded {
            pack,
            placed: repair.placed,
            missing,
        });
    }

    /// Takes the end of a shard's sending, where it was sent for a repair.
    pub(super) fn repair_sent(
        &mut self,
        transfer: &Transfer,
        outcome: TransferOutcome,
        cx: &mut Context<'_>,
    ) {
        let pack = transfer.pack;
        let Some(repair) = self.repairs.items.get_mut(&pack) else {
            return;
        };
        let placing = &mut repair.placing;
        match outcome {
            TransferOutcome::Held => {
                placing.holders.insert((transfer.index, transfer.to));
                repair.placed += 1;
            }
            TransferOutcome::Refused(OfferRefusal::StripeAlreadyHere) => {
                placing.refused_by.insert(transfer.to);
                placing.planned = None;
            }
            TransferOutcome::Disconnected | TransferOutcome::Busy { .. } | TransferOutcome::Refused(_) => {
                placing.planned = None;
            }
            TransferOutcome::Unreadable => {
                let placed = repair.placed;
                self.repairs.items.remove(&pack);
                self.repairs.note(|round| {
                    round.out_of_reach += 1;
                    round.shards += u64::from(placed);
                });
                cx.out.report(Event::PackUnreadable { pack });
            }
        }
    }
}
