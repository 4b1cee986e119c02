//! The owner's side: gives every pack a label of the right shape and every shard a host, and keeps journals and inventories there
//! up to date. Facts per pack come in pages and go; the rules are in `durability`, `placement` and `leases`.
//!
//! Never sends a shard before its host has the segment that names its label, and never counts on what a host has not signed for.

mod audits;
mod doubts;
mod duty;
mod hosts;
mod packs;
mod repairs;
mod transfers;
mod window;

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, ByteCount, NodeId, Timestamp};

use crate::audits::{AuditCounts, AuditEnd, AuditState};
use crate::boundary::{
    Effect, EncodeOutcome, Event, InventoryOutcome, JournalPosition, LeaseAnswer, OfferRefusal, OpId,
    PackNumber, SegmentsOutcome, StripeFacts, StripeQuery, TransferOutcome,
};
use crate::circle::{Circle, Greeting};
use crate::durability::target_for;
use crate::leases::HeldLease;
use crate::outbox::{Alarm, Context, Outbox};
use crate::presence::Presence;
use crate::record::RecordKey;
use crate::rules::WINDOW_MAX;
pub(crate) use audits::Audits;
use doubts::Doubts;
pub(crate) use duty::Duty;
use hosts::{BUSY_LONG, Hosts};
use repairs::Repairs;
use transfers::{Transfer, Transfers};
use window::{Placing, Stage, Window};

/// An archive that this node looks after: its own, or one that it is a steward of.
#[derive(Debug)]
pub(crate) struct Owner {
    archive: ArchiveId,
    duty: Duty,
    survive: Option<u8>,
    journal: JournalPosition,
    opened_at: Timestamp,
    hosts: Hosts,
    transfers: Transfers,
    doubts: Doubts,
    audits: Audits,
    window: Window,
    repairs: Repairs,
    /// Nothing is encoded before: an encoding has failed lately.
    encode_not_before: Timestamp,
    /// When a new pass is to be made because of something that failed.
    again_at: Option<Timestamp>,
    /// Until when at most shapes wait for members that are just coming; `None`: they don't.
    settles_at: Option<Timestamp>,
    /// What was last said about being quiet; `None` while it is not.
    quiet: Option<u64>,
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
            duty: Duty::Own,
            survive,
            journal,
            opened_at: now,
            hosts: Hosts::new(archive, leases),
            transfers: Transfers::default(),
            doubts: Doubts::default(),
            audits: Audits::new(archive, []),
            window: Window::new(),
            repairs: Repairs::new(),
            encode_not_before: Timestamp(0),
            again_at: None,
            settles_at: None,
            quiet: None,
        }
    }

    /// The same, with what is remembered of its hosts' audits.
    pub(crate) fn with_audits(self, audits: Audits) -> Self {
        Self { audits, ..self }
    }

    /// The same for somebody else's archive.
    pub(crate) fn of_steward(
        archive: ArchiveId,
        duty: Duty,
        leases: BTreeMap<NodeId, HeldLease>,
        now: Timestamp,
    ) -> Self {
        Self {
            duty,
            ..Self::new(archive, None, JournalPosition::default(), leases, now)
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
        self.repairs.look_again();
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
        self.doubts.keep_members(circle);
        self.audits.keep_members(circle, cx);
        self.window.look_again();
    }

    pub(crate) fn greeted(&mut self, node: NodeId, accepts: bool) {
        if self.duty.is_host(node) {
            self.hosts.greeted(node, accepts);
            self.window.look_again();
        }
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
        let asked = self.hosts.inventory_ended(op, outcome, cx);
        let InventoryOutcome::Compared {
            lost_count,
            found_count,
            ..
        } = outcome
        else {
            return;
        };
        // What found no place may find one now: doubts are settled, or the host has more room than was booked.
        if asked.is_some_and(|(node, has_more_room)| self.doubts.clear(node) || has_more_room) {
            self.window.look_again();
        }
        // Also when its host has gone meanwhile: the catalogue is corrected.
        if lost_count > 0 {
            self.repairs.look_now();
        }
        if lost_count > 0 || found_count > 0 {
            self.repairs.look_again();
            self.window.distrust(|pack| self.transfers.has_pack(pack));
        }
    }

    pub(crate) fn audit_ended(&mut self, op: OpId, end: AuditEnd, counts: AuditCounts, cx: &mut Context<'_>) {
        let audited = self.audits.ended(op, end, counts, cx);
        // How long an answer has been owed changes what the host's shards are worth; so does an answer.
        self.repairs.look_again();
        if counts.missing > 0 || counts.wrong > 0 {
            // The catalogue is corrected, also when its host has gone meanwhile.
            self.repairs.look_now();
            self.window.distrust(|pack| self.transfers.has_pack(pack));
            self.window.look_again();
            if let Some(node) = audited {
                self.hosts.want_inventory(node);
            }
        }
    }

    pub(crate) fn audit_wanted(&mut self, node: Option<NodeId>) {
        self.audits.want(node, &self.hosts);
    }

    /// How a host's audits stand.
    pub(crate) fn audit_of(&self, node: NodeId) -> AuditState {
        self.audits.state(node)
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
            TransferOutcome::Busy { retry_after } if retry_after >= BUSY_LONG => {
                self.hosts.rest(to, retry_after, cx.now);
            }
            TransferOutcome::Busy { retry_after } => self.hosts.wait(to, retry_after, cx.now),
            TransferOutcome::Refused(reason) => self.hosts.refused(to, reason, cx),
            TransferOutcome::Disconnected => {
                self.hosts.wait(to, cx.rules.owner.retry, cx.now);
                self.hosts.want_inventory(to);
            }
            TransferOutcome::Unreadable => {}
        }
        if outcome == TransferOutcome::Disconnected {
            self.doubts.add(label, index, to, cx.now);
            self.try_again_at(cx.later(cx.rules.owner.doubt));
        } else {
            self.doubts.end(label, index, to);
        }
        self.window.note_progress();
        if self.repairs.has(pack) {
            return self.repair_sent(&transfer, outcome, cx);
        }
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
            TransferOutcome::Disconnected | TransferOutcome::Busy { .. } | TransferOutcome::Refused(_) => {
                placing.planned = None;
            }
            TransferOutcome::Unreadable => {}
        }
        // What a host calls damaged was checked here before it was sent: only our own word parks a pack.
        if outcome == TransferOutcome::Unreadable {
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
        if self.duty.is_ours(circle) {
            self.audits.step(&self.hosts, cx);
        }
        self.advance_all(circle, cx);
        self.step_repairs(circle, cx);
        if self.transfers.has_slot() && self.hosts.some_are_unused(&self.transfers, cx.now) {
            self.window.set_aside(|pack| self.transfers.has_pack(pack));
        }
        let weak = self.weak_query(circle, cx);
        if self.duty.is_own()
            && let Some(page) = self.window.next_page(weak)
        {
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

    /// Losses that backups of this archive are to survive (count).
    pub(crate) fn target(&self, circle: &Circle) -> u8 {
        target_for(self.hosts.domains_leased(circle).len(), self.survive)
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
        self.repairs.alarm(alarm);
        self.audits.alarm(alarm);
        alarm.set(self.encode_not_before);
        for at in self.again_at.into_iter().chain(self.settles_at) {
            alarm.set(at);
        }
    }

    /// What a member keeps of the archive, by its signatures; `None` while it has promised space and not yet shown in this run what it has.
    pub(crate) fn given_by(&self, node: NodeId, now: Timestamp) -> Option<ByteCount> {
        self.hosts.given_by(node, now)
    }

    /// This node no longer looks after the archive: what was remembered of it goes.
    pub(crate) fn forget(&self, out: &mut Outbox) {
        for node in self.hosts.leased() {
            out.push(Effect::Forget(RecordKey::Held(self.archive, node)));
        }
        for node in self.audits.nodes() {
            out.push(Effect::Forget(RecordKey::Audited(self.archive, node)));
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
            doubts: self.doubts.count(),
            repairs: self.repairs.count(),
            audits: self.audits.running_count(),
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
    /// Shards whose sending broke off and whose host has not said since what it keeps, at most `rules::DOUBTS_MAX`.
    pub doubts: usize,
    /// Packs that are being repaired, at most `rules::REPAIRS_MAX`.
    pub repairs: usize,
    /// Audits, at most `rules::AUDITS_MAX`.
    pub audits: usize,
}
