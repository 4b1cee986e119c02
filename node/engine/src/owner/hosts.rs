//! The hosts of an archive as its owner deals with them: leases, whether the journal and the inventory there are up to date, and whom
//! a shard can be given to now. Places nothing.

mod session;
mod standing;

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, ByteCount, NodeId, Span, Timestamp};

use crate::boundary::{
    Domain, Effect, Event, InventoryOutcome, JournalPosition, LeaseAnswer, OfferRefusal, OpId,
    SegmentsOutcome,
};
use crate::circle::Circle;
use crate::leases::{HeldLease, Purpose, ask, room};
use crate::outbox::{Alarm, Context};
use crate::owner::transfers::Transfers;
use crate::record::{Record, RecordKey};
use crate::rules::{COMPARISONS_MAX, SEGMENT_SENDS_MAX};
use session::{Chore, Session};

/// Bounds on the pause that a busy host may ask for: not so short that it is a loop, not so long that it is a refusal.
const BUSY_MIN: Span = Span::from_millis(20);
/// A host that asks for so much patience is not waited for: others are given its shards, or they wait for the next look.
pub(super) const BUSY_LONG: Span = Span::from_secs(20);
/// See `BUSY_MIN`.
const BUSY_MAX: Span = Span::from_secs(60);

/// A member as a host of the archive.
#[derive(Debug, Clone, Copy, Default)]
struct Host {
    lease: Option<HeldLease>,
    /// What it keeps, by its last inventory and what it signed for since.
    kept: ByteCount,
    /// Whether that is known: it has shown an inventory in this run.
    is_kept_known: bool,
    /// It said that it takes nothing new.
    is_closed: bool,
    asking: Option<(OpId, ByteCount)>,
    ask_not_before: Timestamp,
    /// It gave less than it was asked for; no more is asked for until then.
    grow_not_before: Timestamp,
    session: Option<Session>,
}

impl Host {
    fn may_grow(&self, now: Timestamp) -> bool {
        !self.is_closed && now >= self.grow_not_before
    }

    fn room(&self, moving: ByteCount, purpose: Purpose) -> ByteCount {
        let used = self.kept.saturating_add(moving);
        self.lease
            .map_or(ByteCount::ZERO, |lease| room(lease.bytes, used, purpose))
    }
}

/// A host that shards may be given to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taker {
    pub(super) node: NodeId,
    pub(super) domain: Domain,
    pub(super) room: ByteCount,
}

/// All hosts of the archive; at most as many as members.
#[derive(Debug)]
pub(super) struct Hosts {
    archive: ArchiveId,
    hosts: BTreeMap<NodeId, Host>,
    /// Changes whenever a plan made by the hosts' state may be out of date.
    pub(super) version: u64,
}

impl Hosts {
    pub(super) fn new(archive: ArchiveId, leases: BTreeMap<NodeId, HeldLease>) -> Self {
        let host = |lease| Host {
            lease: Some(lease),
            ..Host::default()
        };
        let hosts = leases
            .into_iter()
            .map(|(node, lease)| (node, host(lease)))
            .collect();
        Self {
            archive,
            hosts,
            version: 0,
        }
    }

    /// Forgets those that are no members any more.
    pub(super) fn keep_members(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        for (node, host) in &self.hosts {
            if circle.get(*node).is_none() && host.lease.is_some() {
                cx.out.push(Effect::Forget(RecordKey::Held(self.archive, *node)));
            }
        }
        self.hosts.retain(|node, _| circle.get(*node).is_some());
        self.version += 1;
    }

    /// A connected member said whether it takes anything new. What it once leased to us stays leased whatever it says.
    pub(super) fn greeted(&mut self, node: NodeId, accepts: bool) {
        let host = self.hosts.entry(node).or_default();
        host.is_closed = !accepts;
        if accepts || host.lease.is_some() {
            let session = host.session.get_or_insert(Session::new());
            session.wake();
            (host.ask_not_before, host.grow_not_before) = (Timestamp(0), Timestamp(0));
            self.version += 1;
        }
    }

    pub(super) fn disconnected(&mut self, node: NodeId) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.session = None;
            self.version += 1;
        }
    }

    /// The journal grew: each connected host lacks something.
    pub(super) fn journal_grew(&mut self) {
        for session in self.sessions() {
            if session.segments == Chore::Done {
                session.segments = Chore::NOW;
            }
        }
    }

    /// A snapshot was committed: each connected host is to sign for what it keeps after that.
    pub(super) fn want_inventories(&mut self) {
        for session in self.sessions() {
            session.want_inventory();
        }
    }

    fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        self.hosts.values_mut().filter_map(|host| host.session.as_mut())
    }

    /// Says whether there is a lease now that there was not, or a larger one.
    pub(super) fn lease_ended(&mut self, op: OpId, answer: LeaseAnswer, cx: &mut Context<'_>) -> bool {
        let found = self
            .hosts
            .iter_mut()
            .find(|(_, host)| host.asking.is_some_and(|asking| asking.0 == op));
        let Some((node, host)) = found else { return false };
        let (node, asked) = (
            *node,
            host.asking.take().map_or(ByteCount::ZERO, |asking| asking.1),
        );
        match answer {
            LeaseAnswer::Granted { bytes, until } => {
                let before = host.lease.map(|lease| lease.bytes);
                let has_grown = host
                    .lease
                    .is_none_or(|lease| lease.bytes < bytes || !lease.is_valid(cx.now));
                host.lease = Some(HeldLease {
                    bytes,
                    granted_at: cx.now,
                    until,
                });
                // Who gives all that was asked for may be asked for the next step as soon as it is needed.
                let gave_more = before.is_none_or(|before| before < bytes) && bytes >= asked;
                host.ask_not_before = if gave_more {
                    cx.now
                } else {
                    cx.later(cx.rules.owner.retry)
                };
                if bytes < asked {
                    host.grow_not_before = cx.later(cx.rules.owner.full_retry);
                }
                if has_grown && let Some(session) = &mut host.session {
                    session.unable_until = None;
                }
                let (archive, granted_at) = (self.archive, cx.now);
                cx.out.push(Effect::Persist(Record::Held {
                    archive,
                    node,
                    bytes,
                    granted_at,
                    until,
                }));
                cx.out.report(Event::Leased { node, bytes, until });
                self.version += 1;
                has_grown
            }
            LeaseAnswer::Refused(reason) => {
                host.ask_not_before = cx.later(cx.rules.lease.retry);
                host.grow_not_before = cx.later(cx.rules.owner.full_retry);
                self.version += 1;
                cx.out.report(Event::LeaseRefused { node, reason });
                false
            }
            LeaseAnswer::Failed => {
                host.ask_not_before = cx.later(cx.rules.owner.retry);
                if let Some(session) = &mut host.session {
                    session.unable_until = session.unable_until.max(Some(host.ask_not_before));
                }
                self.version += 1;
                false
            }
        }
    }

    pub(super) fn segments_ended(
        &mut self,
        op: OpId,
        outcome: SegmentsOutcome,
        journal: JournalPosition,
        cx: &mut Context<'_>,
    ) {
        let (rules, now) = (&cx.rules.owner, cx.now);
        let Some((node, session)) = self.session_with(|session| session.segments == Chore::Running(op))
        else {
            return;
        };
        match outcome {
            SegmentsOutcome::Sent(position) => {
                session.journal = session.journal.max(Some(position));
                // What was written meanwhile follows after a moment, together with what is written in it.
                session.segments = if session.journal < Some(journal) {
                    Chore::awaited(now.after(BUSY_MIN))
                } else {
                    Chore::Done
                };
            }
            SegmentsOutcome::Busy { retry_after } => {
                let not_before = now.after(retry_after.clamp(BUSY_MIN, BUSY_MAX));
                session.segments = Chore::awaited(not_before);
            }
            SegmentsOutcome::Failed => {
                let not_before = now.after(rules.retry);
                session.segments = Chore::later(not_before);
                session.unable_until = Some(not_before);
                self.version += 1;
            }
            SegmentsOutcome::Refused(reason) => {
                let not_before = now.after(rules.full_retry);
                session.segments = Chore::later(not_before);
                session.unable_until = Some(not_before);
                self.refused(node, reason, cx);
            }
        }
    }

    /// Takes the end of a comparison; says whose it was, when that is still of interest, and whether there is more room than was
    /// booked (a host that was full by its own word has its lease booked as used up).
    pub(super) fn inventory_ended(
        &mut self,
        op: OpId,
        outcome: InventoryOutcome,
        cx: &mut Context<'_>,
    ) -> Option<(NodeId, bool)> {
        let not_before = cx.later(cx.rules.lease.retry);
        let (node, session) = self.session_with(|session| session.inventory == Chore::Running(op))?;
        session.is_inventoried = true;
        let mut has_more_room = false;
        match outcome {
            InventoryOutcome::Compared {
                bytes,
                lost_count,
                found_count,
            } => {
                session.inventory_taken(found_count > 0, cx);
                if let Some(host) = self.hosts.get_mut(&node) {
                    has_more_room = bytes < host.kept;
                    (host.kept, host.is_kept_known) = (bytes, true);
                }
                if lost_count > 0 {
                    cx.out.report(Event::ShardsLost { node, lost_count });
                }
                self.version += 1;
            }
            InventoryOutcome::Failed => {
                session.inventory_failed(not_before);
            }
        }
        Some((node, has_more_room))
    }

    fn session_with(&mut self, which: impl Fn(&Session) -> bool) -> Option<(NodeId, &mut Session)> {
        self.hosts.iter_mut().find_map(|(node, host)| {
            host.session
                .as_mut()
                .filter(|session| which(session))
                .map(|session| (*node, session))
        })
    }

    /// The host signed for a shard.
    pub(super) fn kept(&mut self, node: NodeId, len: ByteCount) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.kept = host.kept.saturating_add(len);
        }
    }

    /// The host asks for patience, or its connection is failing.
    pub(super) fn wait(&mut self, node: NodeId, pause: Span, now: Timestamp) {
        if let Some(session) = self.hosts.get_mut(&node).and_then(|host| host.session.as_mut()) {
            session.busy_until = session.busy_until.max(now.after(pause.clamp(BUSY_MIN, BUSY_MAX)));
        }
    }

    /// The host takes nothing for so long that nobody is to wait for it: its disk is away.
    pub(super) fn rest(&mut self, node: NodeId, pause: Span, now: Timestamp) {
        if let Some(session) = self.hosts.get_mut(&node).and_then(|host| host.session.as_mut()) {
            let until = now.after(pause.min(BUSY_MAX));
            session.unable_until = session.unable_until.max(Some(until));
            self.version += 1;
        }
    }

    /// A shard may have been kept or not: only an inventory can tell.
    pub(super) fn want_inventory(&mut self, node: NodeId) {
        if let Some(session) = self.hosts.get_mut(&node).and_then(|host| host.session.as_mut()) {
            session.want_inventory();
        }
    }

    /// The host refused a shard or a segment: what that means for the next ones.
    pub(super) fn refused(&mut self, node: NodeId, reason: OfferRefusal, cx: &mut Context<'_>) {
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let long = cx.later(cx.rules.owner.full_retry);
        let short = cx.later(cx.rules.owner.retry);
        self.version += 1;
        match reason {
            OfferRefusal::Full => {
                // By its books nothing is left: ask for more once, then leave it alone for a while.
                if let Some(lease) = host.lease {
                    host.kept = host.kept.max(lease.bytes);
                }
                host.ask_not_before = host.ask_not_before.max(short);
                cx.out.report(Event::HostFull { node });
            }
            OfferRefusal::NoLease => {
                host.lease = None;
                host.ask_not_before = short;
                cx.out.push(Effect::Forget(RecordKey::Held(self.archive, node)));
                cx.out.report(Event::OfferRefused { node, reason });
            }
            OfferRefusal::Paused
            | OfferRefusal::Unbalanced
            | OfferRefusal::NotBelieved
            | OfferRefusal::StripeAlreadyHere
            | OfferRefusal::NotAllowed
            | OfferRefusal::Damaged
            | OfferRefusal::Version => cx.out.report(Event::OfferRefused { node, reason }),
        }
        let Some(session) = &mut host.session else { return };
        match reason {
            OfferRefusal::Full
            | OfferRefusal::Paused
            | OfferRefusal::Unbalanced
            | OfferRefusal::NotAllowed
            | OfferRefusal::Version
            | OfferRefusal::Damaged => {
                session.unable_until = Some(long);
            }
            OfferRefusal::NoLease => session.unable_until = Some(short),
            OfferRefusal::NotBelieved => {
                session.journal = None;
                session.segments = Chore::awaited(short);
            }
            OfferRefusal::StripeAlreadyHere => session.want_inventory(),
        }
    }

    /// Asks for leases, sends segments, compares inventories: whatever is due. Says whether a host has become able again.
    pub(super) fn step(
        &mut self,
        journal: JournalPosition,
        transfers: &Transfers,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut is_able_again = false;
        let (mut sending_count, mut comparing_count) = (self.sending_count(), self.comparing_count());
        for (node, host) in &mut self.hosts {
            let Some(session) = &mut host.session else {
                continue;
            };
            if session.unable_until.is_some_and(|until| cx.is_due(until)) {
                session.unable_until = None;
                if session.inventory == Chore::Done {
                    session.want_inventory();
                }
                is_able_again = true;
            }
            if session.segments == Chore::Done && session.journal < Some(journal) {
                session.segments = Chore::NOW;
            }
            let (archive, moving) = (self.archive, transfers.bytes_to(*node));
            let is_leased = host.lease.is_some_and(|lease| lease.is_valid(cx.now));
            if is_leased && session.segments.is_due(cx.now) && sending_count < SEGMENT_SENDS_MAX {
                let op = cx.out.next_op();
                session.segments = Chore::Running(op);
                sending_count += 1;
                cx.out.push(Effect::SendSegments {
                    op,
                    archive,
                    to: *node,
                });
            }
            let is_still = transfers.count_to(*node) == 0;
            if is_leased && is_still && session.inventory.is_due(cx.now) && comparing_count < COMPARISONS_MAX
            {
                let op = cx.out.next_op();
                session.inventory = Chore::Running(op);
                comparing_count += 1;
                cx.out.push(Effect::CompareInventory {
                    op,
                    archive,
                    node: *node,
                });
            }
            let may_ask = host.lease.is_some() || !host.is_closed;
            if may_ask && host.asking.is_none() && cx.is_due(host.ask_not_before) {
                let used = host.kept.saturating_add(moving);
                let may_grow = host.may_grow(cx.now);
                if let Some(bytes) = ask(host.lease.as_ref(), used, may_grow, cx.now, &cx.rules.lease) {
                    let op = cx.out.next_op();
                    host.asking = Some((op, bytes));
                    cx.out.push(Effect::AskLease {
                        op,
                        node: *node,
                        archive,
                        bytes,
                    });
                }
            }
        }
        assert!(sending_count <= SEGMENT_SENDS_MAX && comparing_count <= COMPARISONS_MAX);
        self.version += u64::from(is_able_again);
        is_able_again
    }

    pub(super) fn alarm(&self, alarm: &mut Alarm) {
        for host in self.hosts.values() {
            let Some(session) = &host.session else { continue };
            for at in [host.ask_not_before, host.grow_not_before, session.busy_until] {
                alarm.set(at);
            }
            if let Some(at) = session.unable_until {
                alarm.set(at);
            }
            if let Some(lease) = host.lease {
                alarm.set(lease.renew_at());
            }
            for chore in [session.segments, session.inventory] {
                if let Chore::Due { not_before, .. } = chore {
                    alarm.set(not_before);
                }
            }
        }
    }
}
