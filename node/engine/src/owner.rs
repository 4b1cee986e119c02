//! The owner's side: gives every pack a label of the right shape and every shard a host, and keeps journals and inventories there
//! up to date. Facts per pack come in pages and go; the rules are in `durability`, `placement` and `leases`.
//!
//! Never sends a shard before its host has the segment that names its label, and never counts on what a host has not signed for.

mod hosts;
mod transfers;
mod window;

use std::collections::BTreeMap;

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::{ArchiveId, ByteCount, NodeId, Timestamp};

use crate::boundary::{
    Effect, EncodeOutcome, Event, InventoryOutcome, JournalPosition, LeaseAnswer, OfferRefusal, OpId,
    PackKind, PackNumber, SegmentsOutcome, StripeFacts, StripeQuery, TransferOutcome,
};
use crate::circle::{Circle, Greeting};
use crate::durability::{is_better, is_weak, shape_for, target_for};
use crate::leases::{HeldLease, Purpose};
use crate::outbox::{Alarm, Context};
use crate::placement::{Candidate, place};
use crate::presence::Presence;
use crate::rules::{ENCODES_MAX, STRIPE_HOSTS_MAX, WINDOW_MAX};
use hosts::Hosts;
use transfers::{Transfer, Transfers};
use window::{Item, Placing, Stage, Window};

/// The archive that this node owns.
#[derive(Debug)]
pub(crate) struct Owner {
    archive: ArchiveId,
    survive: Option<u8>,
    journal: JournalPosition,
    opened_at: Timestamp,
    hosts: Hosts,
    transfers: Transfers,
    window: Window,
    /// Nothing is encoded before: an encoding has failed lately.
    encode_not_before: Timestamp,
    /// When a new pass is to be made because of something that failed.
    again_at: Option<Timestamp>,
    /// Until when at most shapes wait for members that are just coming; `None`: they don't.
    settles_at: Option<Timestamp>,
    /// What was last said about being quiet; `None` while it is not.
    quiet: Option<u64>,
}

/// What becomes of a pack after it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Parks,
}

impl Owner {
    pub(crate) fn new(
        archive: ArchiveId,
        survive: Option<u8>,
        journal: JournalPosition,
        leases: BTreeMap<NodeId, HeldLease>,
        now: Timestamp,
    ) -> Self {
        Self {
            archive,
            survive,
            journal,
            opened_at: now,
            hosts: Hosts::new(archive, leases),
            transfers: Transfers::default(),
            window: Window::new(),
            encode_not_before: Timestamp(0),
            again_at: None,
            settles_at: None,
            quiet: None,
        }
    }

    pub(crate) fn archive(&self) -> ArchiveId {
        self.archive
    }

    pub(crate) fn set_survive(&mut self, survive: Option<u8>) {
        self.survive = survive;
        self.window.look_again();
    }

    pub(crate) fn work_changed(&mut self) {
        self.window.look_again();
    }

    pub(crate) fn journal_grew(&mut self, journal: JournalPosition) {
        self.journal = self.journal.max(journal);
        self.hosts.journal_grew();
    }

    pub(crate) fn committed(&mut self) {
        self.hosts.want_inventories();
    }

    pub(crate) fn members_changed(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        self.hosts.keep_members(circle, cx);
        self.window.look_again();
    }

    pub(crate) fn greeted(&mut self, node: NodeId, accepts: bool) {
        self.hosts.greeted(node, accepts);
        self.window.look_again();
    }

    pub(crate) fn disconnected(&mut self, node: NodeId) {
        self.hosts.disconnected(node);
    }

    pub(crate) fn take_page(&mut self, query: StripeQuery, page: Vec<StripeFacts>, next: Option<PackNumber>) {
        self.window.take_page(query, page, next);
    }

    pub(crate) fn lease_ended(&mut self, op: OpId, answer: LeaseAnswer, cx: &mut Context<'_>) {
        if self.hosts.lease_ended(op, answer, cx) {
            self.window.look_again();
        }
    }

    pub(crate) fn segments_ended(&mut self, op: OpId, outcome: SegmentsOutcome, cx: &mut Context<'_>) {
        self.hosts.segments_ended(op, outcome, self.journal, cx);
    }

    pub(crate) fn inventory_ended(&mut self, op: OpId, outcome: InventoryOutcome, cx: &mut Context<'_>) {
        let Some((node, has_changed)) = self.hosts.inventory_ended(op, outcome, cx) else {
            return;
        };
        self.window.clear_perhaps(node);
        if has_changed {
            self.window.drop_waiting(|pack| self.transfers.has_pack(pack));
            self.window.look_again();
        }
    }

    pub(crate) fn encode_ended(&mut self, op: OpId, outcome: EncodeOutcome, cx: &mut Context<'_>) {
        let Some(pack) = self.window.encoded_by(op) else {
            return;
        };
        let Some(mut item) = self.window.items.remove(&pack) else {
            return;
        };
        match (outcome, &item.stage) {
            (
                EncodeOutcome::Labelled {
                    label,
                    shard_len,
                    journal,
                },
                Stage::Encoding { scheme, .. },
            ) => {
                self.journal_grew(journal);
                let placing = Placing::new(label, *scheme, shard_len, journal);
                item.stage = Stage::Labelled(Placing {
                    considered: true,
                    ..placing
                });
                self.window.note_progress();
                self.window.put_back(pack, item);
            }
            (EncodeOutcome::Labelled { .. } | EncodeOutcome::Failed, _) => {
                self.encode_not_before = cx.later(cx.rules.owner.retry);
                self.try_again_at(cx.later(cx.rules.owner.full_retry));
                self.window.park(&item);
                cx.out.report(Event::PackUnreadable { pack });
            }
        }
    }

    pub(crate) fn transfer_ended(&mut self, op: OpId, outcome: TransferOutcome, cx: &mut Context<'_>) {
        let Some(transfer) = self.transfers.end(op) else {
            return;
        };
        let Transfer {
            pack,
            label,
            index,
            to,
            len,
        } = transfer;
        match outcome {
            TransferOutcome::Held => self.hosts.kept(to, len),
            TransferOutcome::Busy { retry_after } => self.hosts.wait(to, retry_after, cx.now),
            TransferOutcome::Refused(reason) => self.hosts.refused(to, reason, cx),
            TransferOutcome::Disconnected => {
                self.hosts.wait(to, cx.rules.owner.retry, cx.now);
                self.hosts.want_inventory(to);
            }
            TransferOutcome::Unreadable => {}
        }
        self.window.note_progress();
        let Some(mut item) = self.window.items.remove(&pack) else {
            return;
        };
        let Stage::Labelled(placing) = &mut item.stage else {
            return self.window.put_back(pack, item);
        };
        if placing.label != label {
            return self.window.put_back(pack, item);
        }
        match outcome {
            TransferOutcome::Held => {
                placing.holders.insert((index, to));
            }
            TransferOutcome::Refused(OfferRefusal::StripeAlreadyHere) => {
                placing.refused_by.insert(to);
                placing.planned = None;
            }
            TransferOutcome::Disconnected => {
                placing.perhaps.insert((index, to));
                placing.planned = None;
            }
            TransferOutcome::Busy { .. } | TransferOutcome::Refused(_) => placing.planned = None,
            TransferOutcome::Unreadable => {}
        }
        let is_damaged_here = matches!(
            outcome,
            TransferOutcome::Unreadable | TransferOutcome::Refused(OfferRefusal::Damaged)
        );
        if is_damaged_here {
            self.try_again_at(cx.later(cx.rules.owner.full_retry));
            self.window.park(&item);
            cx.out.report(Event::PackUnreadable { pack });
        } else {
            self.window.put_back(pack, item);
        }
    }

    fn try_again_at(&mut self, at: Timestamp) {
        self.again_at = Some(self.again_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Does whatever is due and possible.
    pub(crate) fn step(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        let is_able_again = self.hosts.step(self.journal, &self.transfers, cx);
        let is_retry = self.again_at.take_if(|at| cx.is_due(*at)).is_some();
        if is_able_again || is_retry {
            self.window.look_again();
        }
        self.settles_at = self.settles_at(circle, cx);
        self.advance_all(circle, cx);
        if self.transfers.has_slot() && self.hosts.some_are_unused(&self.transfers, cx.now) {
            self.window.set_aside(|pack| self.transfers.has_pack(pack));
        }
        let weak = self.weak_query(circle, cx);
        if let Some(page) = self.window.next_page(weak) {
            let (query, after, limit) = (page.query, page.after, page.limit);
            cx.out.push(Effect::ReadStripes {
                query,
                archive: self.archive,
                after,
                limit,
            });
        }
        self.say_when_quiet(cx);
    }

    /// While shapes still wait for members that are just coming: the moment until which they do at most.
    fn settles_at(&self, circle: &Circle, cx: &Context<'_>) -> Option<Timestamp> {
        let settled = self.opened_at.after(cx.rules.owner.settle);
        let coming = (!cx.is_due(settled) && circle.some_may_be_coming()).then_some(settled);
        let shaking = circle.iter().filter_map(|(node, member)| {
            let Presence::Here { since, .. } = member.presence else {
                return None;
            };
            let is_shaking = match member.greeting {
                Greeting::Wanted { .. } | Greeting::Running(_) => true,
                Greeting::Done(_) => {
                    self.hosts.is_asking_first(node) || self.hosts.is_to_be_inventoried(node)
                }
            };
            let until = since.after(cx.rules.owner.handshake);
            (is_shaking && !cx.is_due(until)).then_some(until)
        });
        coming.into_iter().chain(shaking).max()
    }

    fn advance_all(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        let packs: Vec<PackNumber> = self.window.items.keys().copied().collect();
        for pack in packs {
            let Some(mut item) = self.window.items.remove(&pack) else {
                continue;
            };
            match self.advance(pack, &mut item, circle, cx) {
                Fate::Stays => self.window.put_back(pack, item),
                Fate::Parks => self.window.park(&item),
            }
        }
    }

    fn advance(&mut self, pack: PackNumber, item: &mut Item, circle: &Circle, cx: &mut Context<'_>) -> Fate {
        self.consider(item, circle, cx);
        let was_weak = item.was_weak;
        match &mut item.stage {
            Stage::Unlabelled { previous } => {
                let previous = *previous;
                self.encode(pack, item, previous, circle, cx)
            }
            Stage::Labelled(placing) if was_weak && !placing.considered => {
                if self.settles_at.is_some() {
                    Fate::Stays
                } else {
                    Fate::Parks
                }
            }
            Stage::Labelled(placing) => {
                let fate = self.place_and_send(pack, item.kind, placing, circle, cx);
                if !placing.is_held() {
                    return fate;
                }
                cx.out.report(Event::StripeComplete {
                    pack,
                    label: placing.label,
                });
                item.stage = Stage::Done;
                Fate::Stays
            }
            Stage::Encoding { .. } | Stage::Done => Fate::Stays,
        }
    }

    /// Thinks once about a better shape for a pack that has a label, when it is clear who is here and nothing of it is on its way.
    fn consider(&self, item: &mut Item, circle: &Circle, cx: &Context<'_>) {
        let Stage::Labelled(placing) = &mut item.stage else {
            return;
        };
        let is_time = self.settles_at.is_none() && self.hosts.some_are_here(cx.now);
        if placing.considered || !is_time || self.transfers.of_label(placing.label).next().is_some() {
            return;
        }
        placing.considered = true;
        let (current, is_held) = (placing.scheme, placing.is_held());
        if self.is_worth_reshaping(current, (item.kind, item.pack_len), circle, cx) {
            item.stage = Stage::Unlabelled {
                previous: Some(current),
            };
        } else if is_held {
            item.stage = Stage::Done;
        }
    }

    /// Starts an encoding when there is a host, a shape and a slot.
    fn encode(
        &mut self,
        pack: PackNumber,
        item: &mut Item,
        previous: Option<Scheme>,
        circle: &Circle,
        cx: &mut Context<'_>,
    ) -> Fate {
        if self.settles_at.is_some() {
            return Fate::Stays;
        }
        if !self.hosts.some_are_here(cx.now) {
            return Fate::Parks;
        }
        if self.window.encoding_count() >= ENCODES_MAX || !cx.is_due(self.encode_not_before) {
            return Fate::Stays;
        }
        let Some(scheme) = self.shape((item.kind, item.pack_len), circle, cx) else {
            return Fate::Parks;
        };
        let hosts = self.count(circle, cx);
        if previous.is_some_and(|previous| !is_better(scheme, previous, hosts)) {
            return Fate::Parks;
        }
        let op = cx.out.next_op();
        item.stage = Stage::Encoding { op, scheme };
        cx.out.push(Effect::Encode {
            op,
            archive: self.archive,
            pack,
            scheme,
        });
        cx.out.report(Event::Shaped {
            pack,
            scheme,
            again: previous.is_some(),
        });
        Fate::Stays
    }

    /// Sends what can be sent now; parks what no connected host can take.
    fn place_and_send(
        &mut self,
        pack: PackNumber,
        kind: PackKind,
        placing: &mut Placing,
        circle: &Circle,
        cx: &mut Context<'_>,
    ) -> Fate {
        let wanted = (placing.shard_len, Purpose::from(kind));
        if placing.planned != Some(self.hosts.version) {
            self.plan(placing, wanted, circle, cx);
        }
        let is_starting = !cx.is_due(self.opened_at.after(cx.rules.owner.handshake));
        if self.settles_at.is_some() && is_starting {
            // What was on its way when the last run ended may have arrived; the hosts are being asked.
            return Fate::Stays;
        }
        let ready: Vec<(ShardIndex, NodeId)> =
            placing.plan.iter().map(|(index, node)| (*index, *node)).collect();
        for (index, node) in ready {
            if self
                .hosts
                .is_ready(node, wanted, placing.journal, &self.transfers, cx.now)
            {
                let op = cx.out.next_op();
                placing.plan.remove(&index);
                let (label, len) = (placing.label, placing.shard_len);
                self.transfers.start(
                    op,
                    Transfer {
                        pack,
                        label,
                        index,
                        to: node,
                        len,
                    },
                );
                cx.out.push(Effect::Transfer {
                    op,
                    archive: self.archive,
                    pack,
                    label,
                    index,
                    to: node,
                });
            }
        }
        let is_moving = !placing.plan.is_empty() || self.transfers.of_label(placing.label).next().is_some();
        if is_moving { Fate::Stays } else { Fate::Parks }
    }

    fn plan(
        &self,
        placing: &mut Placing,
        wanted: (ByteCount, Purpose),
        circle: &Circle,
        cx: &mut Context<'_>,
    ) {
        let moving = self.transfers.of_label(placing.label);
        let holders: Vec<_> = placing
            .holders
            .iter()
            .chain(&placing.perhaps)
            .copied()
            .chain(moving)
            .map(|(index, node)| (index, node, circle.domain_of(node)))
            .collect();
        let candidates: Vec<Candidate> = self
            .hosts
            .takers(wanted, circle, &self.transfers, cx.now)
            .into_iter()
            .filter(|taker| !placing.refused_by.contains(&taker.node))
            .map(|taker| Candidate {
                node: taker.node,
                domain: taker.domain,
                free: taker.room,
            })
            .collect();
        placing.plan = place(placing.scheme, &holders, &candidates, cx.rng).moves;
        placing.planned = Some(self.hosts.version);
    }

    /// Failure domains that a stripe may count on (count).
    fn count(&self, circle: &Circle, cx: &Context<'_>) -> u8 {
        let count = self
            .hosts
            .domains_counted(None, circle, &self.transfers, cx)
            .len();
        u8::try_from(count.min(STRIPE_HOSTS_MAX)).unwrap_or(u8::MAX)
    }

    /// Losses that backups of this archive are to survive (count).
    pub(crate) fn target(&self, circle: &Circle) -> u8 {
        target_for(self.hosts.domains_leased(circle).len(), self.survive)
    }

    /// The best shape for a pack over the hosts that have room for its shards; `None` when there is none.
    fn shape(&self, (kind, len): (PackKind, ByteCount), circle: &Circle, cx: &Context<'_>) -> Option<Scheme> {
        let target = self.target(circle);
        let mut hosts = self
            .hosts
            .domains_counted(None, circle, &self.transfers, cx)
            .len();
        loop {
            let scheme = shape_for(hosts, target, kind)?;
            let wanted = (ByteCount(scheme.shard_len(len.0)), Purpose::from(kind));
            let roomy = self
                .hosts
                .domains_counted(Some(wanted), circle, &self.transfers, cx)
                .len();
            if roomy >= usize::from(scheme.total()) {
                return Some(scheme);
            }
            // Fewer hosts mean longer shards, which fit on fewer hosts still; each round loses one, down to none.
            hosts = roomy;
        }
    }

    fn is_worth_reshaping(
        &self,
        current: Scheme,
        pack: (PackKind, ByteCount),
        circle: &Circle,
        cx: &Context<'_>,
    ) -> bool {
        let hosts = self.count(circle, cx);
        is_weak(current, hosts, self.target(circle))
            && self
                .shape(pack, circle, cx)
                .is_some_and(|shape| is_better(shape, current, hosts))
    }

    /// Which packs are weak; `None` while no host is here to better it.
    fn weak_query(&self, circle: &Circle, cx: &Context<'_>) -> Option<StripeQuery> {
        let hosts = self.count(circle, cx);
        let is_possible = hosts > 0 && self.hosts.some_are_here(cx.now);
        is_possible.then(|| StripeQuery::Weak {
            hosts,
            target: self.target(circle),
        })
    }

    fn say_when_quiet(&mut self, cx: &mut Context<'_>) {
        let is_quiet = self.window.is_idle()
            && self.transfers.count() == 0
            && self.hosts.are_idle(cx.now)
            && self.settles_at.is_none();
        let quiet = is_quiet.then(|| self.window.parked_count());
        if let Some(incomplete_count) = quiet
            && self.quiet != quiet
        {
            cx.out.report(Event::Quiet { incomplete_count });
        }
        self.quiet = quiet;
    }

    /// Packs that still wait, when all that can be done now has been done.
    pub(crate) fn quiet(&self) -> Option<u64> {
        self.quiet
    }

    pub(crate) fn alarm(&self, alarm: &mut Alarm) {
        self.hosts.alarm(alarm);
        alarm.set(self.encode_not_before);
        for at in self.again_at.into_iter().chain(self.settles_at) {
            alarm.set(at);
        }
    }

    /// A host's lease and what it keeps of the archive.
    pub(crate) fn lease_at(&self, node: NodeId) -> Option<(HeldLease, ByteCount)> {
        self.hosts.view(node)
    }

    pub(crate) fn load(&self) -> OwnerLoad {
        assert!(self.window.items.len() <= WINDOW_MAX);
        OwnerLoad {
            window: self.window.items.len(),
            encodes: self.window.encoding_count(),
            transfers: self.transfers.count(),
            lease_requests: self.hosts.asking_count(),
            segment_sends: self.hosts.sending_count(),
            comparisons: self.hosts.comparing_count(),
        }
    }
}

/// What an owner has in flight (counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnerLoad {
    /// Packs being looked at, at most `rules::WINDOW_MAX`.
    pub window: usize,
    /// Packs being encoded, at most `rules::ENCODES_MAX`.
    pub encodes: usize,
    /// Shards on their way, at most `rules::TRANSFERS_MAX`.
    pub transfers: usize,
    /// Lease requests, at most one a member.
    pub lease_requests: usize,
    /// Sendings of segments, at most `rules::SEGMENT_SENDS_MAX`.
    pub segment_sends: usize,
    /// Comparisons of inventories, at most `rules::COMPARISONS_MAX`.
    pub comparisons: usize,
}
