//! When each host of the archive is audited, and what is remembered of it. What a state means is decided in `crate::audits`; challenges
//! are drawn and asked by whoever performs `Effect::Audit`.
//!
//! A challenge that was not answered stays open: its host is asked for the same groups again, however often it breaks off, and asked for
//! nothing new before.

use std::collections::BTreeMap;

use nuthatch_format::{ArchiveId, NodeId, Span, Timestamp};
use rand::RngExt;

use super::hosts::Hosts;
use crate::audits::{
    AuditCounts, AuditEnd, AuditOrder, AuditStanding, AuditState, AuditTask, AuditWord, EndedAudit, round_of,
    standing,
};
use crate::boundary::{Effect, Event, OpId};
use crate::circle::Circle;
use crate::outbox::{Alarm, Context};
use crate::record::{Record, RecordKey};
use crate::rules::{AUDITS_MAX, AuditRules, MEMBERS_MAX};

/// A round's hosts are asked within one part in so many of the period, so that they are asked together and yet not all at once.
const SPREAD_DIVISOR: u64 = 16;
/// Longest time over which a round's hosts are spread.
const SPREAD_MAX: Span = Span::from_secs(600);

/// One host's audits.
#[derive(Debug, Clone, Copy, Default)]
struct Host {
    state: AuditState,
    running: Option<Running>,
    /// The round for which `due_at` was drawn.
    round: Option<Timestamp>,
    next_round_at: Timestamp,
    due_at: Timestamp,
    /// What is open is not asked again before.
    not_before: Timestamp,
    /// A person wants to know.
    is_wanted: bool,
    /// It has just been found out: the rest is asked for without waiting for a round.
    is_alarmed: bool,
}

/// An audit that has not ended.
#[derive(Debug, Clone, Copy)]
struct Running {
    op: OpId,
    asked_at: Timestamp,
    order: AuditOrder,
    was_wanted: bool,
}

/// The audits of all hosts of the archive; at most as many as members.
#[derive(Debug)]
pub(crate) struct Audits {
    archive: ArchiveId,
    hosts: BTreeMap<NodeId, Host>,
}

impl Audits {
    pub(crate) fn new(archive: ArchiveId, states: impl IntoIterator<Item = (NodeId, AuditState)>) -> Self {
        let host = |state| Host {
            state,
            ..Host::default()
        };
        let hosts = states
            .into_iter()
            .take(MEMBERS_MAX)
            .map(|(node, state)| (node, host(state)));
        Self {
            archive,
            hosts: hosts.collect(),
        }
    }

    /// Forgets those that are no members any more.
    pub(super) fn keep_members(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        let archive = self.archive;
        self.hosts.retain(|node, _| {
            let stays = circle.get(*node).is_some();
            if !stays {
                cx.out.push(Effect::Forget(RecordKey::Audited(archive, *node)));
            }
            stays
        });
    }

    /// A person wants to know of one host, or of all that are here.
    pub(super) fn want(&mut self, node: Option<NodeId>, hosts: &Hosts) {
        for here in hosts.here().filter(|here| node.is_none_or(|node| node == *here)) {
            self.hosts.entry(here).or_default().is_wanted = true;
        }
    }

    /// Asks whom it is time to ask.
    pub(super) fn step(&mut self, hosts: &Hosts, cx: &mut Context<'_>) {
        let round = round_of(&self.archive, cx.now, cx.rules.audit.period);
        let keeping = hosts.keeping_count() as u64;
        // A person who asks for a host that goes away is told so, and asks again.
        for (node, host) in &mut self.hosts {
            host.is_wanted = host.is_wanted && hosts.here().any(|here| here == *node);
        }
        let auditable: Vec<NodeId> = hosts.auditable().collect();
        for node in auditable {
            let host = self.hosts.entry(node).or_default();
            host.draw(round, cx);
            if host.running.is_some() || !host.is_due(round, cx) || self.running_count() >= AUDITS_MAX {
                continue;
            }
            let archive = self.archive;
            if let Some(host) = self.hosts.get_mut(&node) {
                host.start((archive, node), round, keeping, cx);
            }
        }
    }

    /// Takes the end of an audit; says whose it was, when that is still of interest.
    pub(super) fn ended(
        &mut self,
        op: OpId,
        end: AuditEnd,
        counts: AuditCounts,
        cx: &mut Context<'_>,
    ) -> Option<NodeId> {
        let is_it = |host: &Host| host.running.is_some_and(|running| running.op == op);
        let (node, host) = self.hosts.iter_mut().find(|(_, host)| is_it(host))?;
        let running = host.running.take()?;
        host.not_before = cx.later(cx.rules.audit.retry);
        if end != AuditEnd::Failed {
            host.take(running, end, counts, cx.now);
            let (archive, node, state) = (self.archive, *node, host.state);
            cx.out
                .push(Effect::Persist(Record::Audited { archive, node, state }));
        }
        let state = host.state;
        let was_wanted = running.was_wanted;
        cx.out.report(Event::Audited(EndedAudit {
            node: *node,
            state,
            end,
            counts,
            was_wanted,
        }));
        Some(*node)
    }

    /// How a host's audits stand.
    pub(super) fn state(&self, node: NodeId) -> AuditState {
        self.hosts.get(&node).map(|host| host.state).unwrap_or_default()
    }

    /// Whether what lies at a host counts, and new shards may be given to it.
    pub(super) fn is_sound(&self, node: NodeId, now: Timestamp, rules: &AuditRules) -> bool {
        standing(&self.state(node), now, rules) == AuditStanding::Sound
    }

    /// The hosts of which something is remembered.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.hosts.keys().copied()
    }

    pub(super) fn running_count(&self) -> usize {
        self.hosts.values().filter(|host| host.running.is_some()).count()
    }

    pub(super) fn alarm(&self, alarm: &mut Alarm) {
        for host in self.hosts.values() {
            for at in [host.due_at, host.not_before, host.next_round_at] {
                alarm.set(at);
            }
        }
    }
}

impl Host {
    /// Draws when it is asked in this round.
    fn draw(&mut self, round: Timestamp, cx: &mut Context<'_>) {
        if self.round != Some(round) {
            let spread = (cx.rules.audit.period.0 / SPREAD_DIVISOR).min(SPREAD_MAX.0);
            self.round = Some(round);
            self.next_round_at = round.after(cx.rules.audit.period);
            self.due_at = cx.now.after(Span(cx.rng.random_range(0..=spread)));
        }
    }

    fn is_due(&self, round: Timestamp, cx: &Context<'_>) -> bool {
        if self.is_wanted || self.is_alarmed {
            return true;
        }
        if self.state.open_since.is_some() {
            return cx.is_due(self.not_before);
        }
        self.state.round_at.is_none_or(|last| last < round) && cx.is_due(self.due_at)
    }

    fn start(&mut self, of: (ArchiveId, NodeId), round: Timestamp, keeping: u64, cx: &mut Context<'_>) {
        let (archive, node) = of;
        let (rules, is_suspect) = (&cx.rules.audit, self.state.found_out.is_some());
        let order = if self.is_wanted || self.is_alarmed {
            AuditOrder::whole(rules, is_suspect)
        } else if self.state.open_since.is_some() {
            AuditOrder::AGAIN
        } else {
            AuditOrder::round(rules, keeping, is_suspect)
        };
        if order != AuditOrder::AGAIN {
            self.state.round_at = Some(round);
        }
        // Before it is asked: whatever happens from here on, it owes an answer.
        self.state.open_since.get_or_insert(cx.now);
        let op = cx.out.next_op();
        self.running = Some(Running {
            op,
            asked_at: cx.now,
            order,
            was_wanted: self.is_wanted,
        });
        (self.is_wanted, self.is_alarmed) = (false, false);
        let (state, answer) = (self.state, rules.answer);
        cx.out
            .push(Effect::Persist(Record::Audited { archive, node, state }));
        let task = AuditTask {
            archive,
            node,
            order,
            answer,
        };
        cx.out.push(Effect::Audit { op, task });
    }

    fn take(&mut self, running: Running, end: AuditEnd, counts: AuditCounts, now: Timestamp) {
        let state = &mut self.state;
        let word = match end {
            _ if counts.wrong > 0 => AuditWord::Wrong,
            _ if counts.missing > 0 => AuditWord::Lost,
            AuditEnd::Answered | AuditEnd::Failed => AuditWord::Kept,
            AuditEnd::Late => AuditWord::Late,
            AuditEnd::Refused => AuditWord::Refused,
            AuditEnd::Detached => AuditWord::Detached,
        };
        let has_lost = counts.wrong > 0 || counts.missing > 0;
        (state.last, state.ended_at) = (Some(word), Some(now));
        if has_lost {
            self.is_alarmed = state.found_out.is_none();
            if state.found_out != Some(AuditWord::Wrong) {
                state.found_out = Some(word);
            }
        } else if end == AuditEnd::Answered && running.order.is_of_all() && counts.unswept == 0 {
            state.found_out = None;
        }
        match end {
            AuditEnd::Detached => state.detached_since = state.detached_since.or(Some(now)),
            AuditEnd::Answered => state.detached_since = None,
            AuditEnd::Late | AuditEnd::Refused | AuditEnd::Failed => {}
        }
        if end == AuditEnd::Answered {
            state.open_since = None;
            if !has_lost && counts.proven > 0 {
                state.proven_at = Some(running.asked_at);
            } else if running.order == AuditOrder::AGAIN {
                // What was open is not known any more: then something new.
                state.round_at = None;
            }
        }
    }
}
