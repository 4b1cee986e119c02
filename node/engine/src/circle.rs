//! The members of the circle as this node meets them: who is here, whom to dial and to greet. Knows nothing of archives or leases.

use std::collections::BTreeMap;

use nuthatch_format::{NodeId, Span, Timestamp};

use crate::boundary::{Domain, Effect, Event, HostTerms, MemberFacts, OpId, PathClass};
use crate::fairness::Stance;
use crate::history::{History, Standing, next_hour};
use crate::link::Link;
use crate::outbox::{Alarm, Context};
use crate::presence::{Presence, redial_pause};
use crate::record::{Record, RecordKey};
use crate::repair::{HealthView, HostHealth, Target};
use crate::rules::{DIALS_MAX, MEMBERS_MAX, PresenceRules};

/// Of the longest gap that is counted, one part in this many of an absence is remembered at a time: an hour of a day.
const PARTS_PER_GAP: u64 = 24;

/// What this node knows of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) domain: Domain,
    pub(crate) presence: Presence,
    pub(crate) history: History,
    dial: Dial,
    pub(crate) greeting: Greeting,
}

#[derive(Debug, Clone, Copy)]
enum Dial {
    Waiting {
        failure_count: u32,
        not_before: Timestamp,
    },
    Running {
        failure_count: u32,
    },
}

/// Whether a connected member has said what it offers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Greeting {
    /// Not asked, or asked in vain.
    Wanted { not_before: Timestamp },
    /// Asked.
    Running(OpId),
    /// Answered.
    Done(HostTerms),
}

impl Member {
    fn new(domain: Domain, history: &History) -> Self {
        let since = history.last_seen;
        Self {
            domain,
            presence: if history.is_gone {
                Presence::Gone { since }
            } else {
                Presence::Away { since }
            },
            history: *history,
            dial: Dial::Waiting {
                failure_count: 0,
                not_before: Timestamp(0),
            },
            greeting: Greeting::Wanted {
                not_before: Timestamp(0),
            },
        }
    }

    /// What its shards are worth.
    pub(crate) fn health(&self) -> HostHealth {
        match (self.history.standing, self.presence) {
            (Standing::Lost, _) => HostHealth::Lost,
            (Standing::Leaving | Standing::Departing, _) => HostHealth::Leaving,
            (Standing::Member, Presence::Gone { .. }) => HostHealth::Gone,
            (Standing::Member, Presence::Here { .. } | Presence::Away { .. }) => HostHealth::Sound,
        }
    }

    /// Whether new stripes may count on it, and shards be given to it.
    pub(crate) fn counts(&self) -> bool {
        self.presence.counts() && self.health() == HostHealth::Sound
    }

    fn record(&self, node: NodeId) -> Effect {
        Effect::Persist(Record::Known {
            node,
            history: Box::new(self.history),
        })
    }

    /// Whether it was never reached by a dial that is over: it may still turn out to be here.
    fn may_be_coming(&self) -> bool {
        !self.presence.is_here()
            && match self.dial {
                Dial::Running { failure_count } | Dial::Waiting { failure_count, .. } => failure_count == 0,
            }
    }
}

/// All members but this node.
#[derive(Debug, Default)]
pub(crate) struct Circle {
    members: BTreeMap<NodeId, Member>,
    /// What is remembered of members, from records, until the roster is known.
    remembered: BTreeMap<NodeId, History>,
    link: Link,
    /// Changes whenever a member's health may have changed.
    pub(crate) health_version: u64,
    /// When the habits of the present hour are to be noted.
    hour_ends: Option<Timestamp>,
}

impl Circle {
    /// Takes when a member was last connected, as the first version of records had it.
    pub(crate) fn replay_seen(&mut self, node: NodeId, at: Timestamp) {
        if self.remembered.len() < MEMBERS_MAX {
            let history = self.remembered.entry(node).or_insert(History::new(at));
            history.last_seen = history.last_seen.max(Some(at));
        }
    }

    /// Takes what is remembered of a member.
    pub(crate) fn replay(&mut self, node: NodeId, history: &History) {
        if self.remembered.len() < MEMBERS_MAX {
            let seen = self.remembered.get(&node).and_then(|other| other.last_seen);
            let last_seen = history.last_seen.max(seen);
            self.remembered.insert(
                node,
                History {
                    last_seen,
                    ..*history
                },
            );
        }
    }

    /// Takes the roster: new members are dialled, former ones forgotten.
    pub(crate) fn set_members(&mut self, own: NodeId, facts: Vec<MemberFacts>, cx: &mut Context<'_>) {
        let mut members = BTreeMap::new();
        for one in facts.into_iter().filter(|one| one.node != own).take(MEMBERS_MAX) {
            let known = self.members.remove(&one.node);
            let remembered = self.remembered.remove(&one.node);
            let history = remembered.unwrap_or(History::new(cx.now));
            let member = known.map_or(Member::new(one.domain, &history), |known| Member {
                domain: one.domain,
                ..known
            });
            members.insert(one.node, member);
        }
        let former = self.members.keys().chain(self.remembered.keys());
        for node in former {
            cx.out.push(Effect::Forget(RecordKey::Seen(*node)));
            cx.out.push(Effect::Forget(RecordKey::Known(*node)));
        }
        self.remembered.clear();
        self.members = members;
        let is_member = |node: &NodeId| self.members.contains_key(node);
        self.link.keep_members(is_member);
        self.health_version += 1;
    }

    /// Dials a member at the next opportunity, however often that has failed.
    pub(crate) fn sighted(&mut self, node: NodeId) {
        if let Some(member) = self.members.get_mut(&node)
            && let Dial::Waiting { failure_count, .. } = member.dial
        {
            member.dial = Dial::Waiting {
                failure_count,
                not_before: Timestamp(0),
            };
        }
    }

    pub(crate) fn connected(&mut self, node: NodeId, class: PathClass, cx: &mut Context<'_>) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        member.dial = Dial::Waiting {
            failure_count: 0,
            not_before: Timestamp(0),
        };
        if let Presence::Here { since, .. } = member.presence {
            member.presence = Presence::Here { since, class };
            return;
        }
        let before = member.health();
        member.presence = Presence::Here { since: cx.now, class };
        member.greeting = Greeting::Wanted {
            not_before: Timestamp(0),
        };
        member.history.arrived(class, cx.now);
        if member.history.standing == Standing::Lost {
            member.history.standing = Standing::Member;
        }
        cx.out.push(member.record(node));
        cx.out.report(Event::Arrived { node, class });
        if matches!(before, HostHealth::Gone | HostHealth::Lost) {
            self.health_version += 1;
            cx.out.report(Event::Returned { node });
        }
        if self.link.arrived(node) {
            self.health_version += 1;
            cx.out.report(Event::LinkBack);
        }
    }

    pub(crate) fn disconnected(&mut self, node: NodeId, cx: &mut Context<'_>) {
        let Some(member) = self
            .members
            .get_mut(&node)
            .filter(|member| member.presence.is_here())
        else {
            return;
        };
        let pause = redial_pause(&cx.rules.presence, 1, cx.rng);
        member.presence = Presence::Away { since: Some(cx.now) };
        member.history.left(cx.now);
        member.dial = Dial::Waiting {
            failure_count: 1,
            not_before: cx.later(pause),
        };
        member.greeting = Greeting::Wanted {
            not_before: Timestamp(0),
        };
        cx.out.report(Event::Departed { node });
        let left_here = self
            .members
            .values()
            .filter(|member| member.presence.is_here())
            .count();
        if let Some(count) = self.link.departed(node, left_here, cx.now, &cx.rules.presence) {
            cx.out.report(Event::LinkCut { count });
        }
        self.note_joint(node);
        if let Some(member) = self.members.get(&node) {
            cx.out.push(member.record(node));
        }
    }

    /// Notes who left together with a member that has just left, and so with whom it did.
    fn note_joint(&mut self, node: NodeId) {
        let others: Vec<NodeId> = self.link.left_with(node).collect();
        let is_first_pair = others.len() == 1;
        let mut joint = vec![node];
        joint.extend(others.iter().filter(|_| is_first_pair));
        for node in joint.into_iter().filter(|_| !others.is_empty()) {
            if let Some(member) = self.members.get_mut(&node) {
                member.history.joint_count = member.history.joint_count.saturating_add(1);
            }
        }
    }

    /// Takes what a person says of a member.
    pub(crate) fn set_standing(&mut self, node: NodeId, standing: Standing, cx: &mut Context<'_>) {
        let Some(member) = self
            .members
            .get_mut(&node)
            .filter(|member| member.history.standing != standing)
        else {
            return;
        };
        member.history.standing = standing;
        cx.out.push(member.record(node));
        cx.out.report(Event::StandingChanged { node, standing });
        if let (Standing::Member, Presence::Gone { since }) = (standing, member.presence) {
            cx.out.report(Event::Gone { node, since });
        }
        self.health_version += 1;
    }

    /// Counts the time that has passed as absence of those that are not here, as far as somebody else was: members that outlast
    /// their grace are gone.
    pub(crate) fn observe(&mut self, cx: &mut Context<'_>) {
        let near = self.some_are_here(|_| true);
        let far = self.some_are_here(|class| class != PathClass::Lan);
        if !near {
            self.hour_ends = None;
            return;
        }
        if self.link.observe(cx.now, &cx.rules.presence) {
            self.health_version += 1;
            cx.out.report(Event::LinkBack);
        }
        self.note_hour(cx);
        let is_cut = self.link.is_cut();
        for (node, member) in &mut self.members {
            let Presence::Away { since } = member.presence else {
                continue;
            };
            let is_observed = far || (near && member.history.is_near);
            if !is_observed || is_cut {
                continue;
            }
            let rules = &cx.rules.presence;
            let history = &mut member.history;
            let passed = cx.now.since(history.observed_at).min(rules.gap_max);
            history.observed_at = cx.now;
            let before = history.absent;
            history.absent = Span(before.0.saturating_add(passed.0));
            if history.absent >= history.grace(cx.now, rules) {
                history.is_gone = true;
                member.presence = Presence::Gone { since };
                self.health_version += 1;
                if history.standing == Standing::Member {
                    cx.out.report(Event::Gone { node: *node, since });
                }
            }
            // Not every second: what a crash forgets is not counted.
            let part = (rules.gap_max.0 / PARTS_PER_GAP).max(1);
            if before.0 / part != member.history.absent.0 / part || member.history.is_gone {
                cx.out.push(member.record(*node));
            }
        }
    }

    fn some_are_here(&self, is_counted: impl Fn(PathClass) -> bool) -> bool {
        self.members.values().any(|member| match member.presence {
            Presence::Here { class, .. } => is_counted(class),
            Presence::Away { .. } | Presence::Gone { .. } => false,
        })
    }

    /// At the end of each hour in which somebody was here: who was.
    fn note_hour(&mut self, cx: &Context<'_>) {
        let ends = *self.hour_ends.get_or_insert(next_hour(cx.now));
        if !cx.is_due(ends) {
            return;
        }
        // A machine that slept through the end of the hour has seen nothing of it.
        if cx.now.since(ends) < cx.rules.presence.vanish_window {
            let hour = Timestamp(ends.0.saturating_sub(1));
            for member in self.members.values_mut() {
                member.history.note_hour(hour, member.presence.is_here());
            }
        }
        self.hour_ends = Some(next_hour(cx.now));
    }

    /// What all members are worth now.
    pub(crate) fn health(&self, target: Target) -> HealthView {
        let members = self.members.iter();
        HealthView {
            members: members
                .map(|(node, member)| (*node, (member.health(), member.domain)))
                .collect(),
            target,
        }
    }

    /// Whether our own link is taken for cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.link.is_cut()
    }

    pub(crate) fn dial_failed(&mut self, node: NodeId, cx: &mut Context<'_>) {
        if let Some(member) = self.members.get_mut(&node)
            && let Dial::Running { failure_count } = member.dial
        {
            let failure_count = failure_count.saturating_add(1);
            let pause = redial_pause(&cx.rules.presence, failure_count, cx.rng);
            member.dial = Dial::Waiting {
                failure_count,
                not_before: cx.later(pause),
            };
        }
    }

    /// Takes the end of a greeting; says whose it was and what it brought.
    pub(crate) fn greeted(
        &mut self,
        op: OpId,
        terms: Option<HostTerms>,
        cx: &mut Context<'_>,
    ) -> Option<(NodeId, HostTerms)> {
        let (node, member) = self
            .members
            .iter_mut()
            .find(|(_, member)| matches!(member.greeting, Greeting::Running(own) if own == op))?;
        let Some(terms) = terms else {
            member.greeting = Greeting::Wanted {
                not_before: cx.later(cx.rules.owner.retry),
            };
            return None;
        };
        member.greeting = Greeting::Done(terms);
        let node = *node;
        self.take_stance(node, terms, cx);
        Some((node, terms))
    }

    /// A member's own person has said that it will leave, or has taken that back. What is said of it here goes before.
    fn take_stance(&mut self, node: NodeId, terms: HostTerms, cx: &mut Context<'_>) {
        let standing = self.members.get(&node).map(|member| member.history.standing);
        let is_leaving = terms.stance == Stance::Leaving;
        match standing {
            Some(Standing::Member) if is_leaving => self.set_standing(node, Standing::Departing, cx),
            Some(Standing::Departing) if !is_leaving => self.set_standing(node, Standing::Member, cx),
            Some(Standing::Member | Standing::Leaving | Standing::Lost | Standing::Departing) | None => {}
        }
    }

    /// Takes terms that came unasked; says whether they are a connected member's.
    pub(crate) fn learn_terms(&mut self, node: NodeId, terms: HostTerms, cx: &mut Context<'_>) -> bool {
        let is_here = match self
            .members
            .get_mut(&node)
            .filter(|member| member.presence.is_here())
        {
            Some(member) => {
                member.greeting = Greeting::Done(terms);
                true
            }
            None => false,
        };
        if is_here {
            self.take_stance(node, terms, cx);
        }
        is_here
    }

    /// Dials and greets whoever is due.
    pub(crate) fn step(&mut self, cx: &mut Context<'_>) {
        let mut running_count = self.dial_count();
        for (node, member) in &mut self.members {
            if member.presence.is_here() {
                if let Greeting::Wanted { not_before } = member.greeting
                    && cx.is_due(not_before)
                {
                    let op = cx.out.next_op();
                    member.greeting = Greeting::Running(op);
                    cx.out.push(Effect::Greet { op, node: *node });
                }
            } else if let Dial::Waiting {
                failure_count,
                not_before,
            } = member.dial
                && cx.is_due(not_before)
                && running_count < DIALS_MAX
            {
                running_count += 1;
                member.dial = Dial::Running { failure_count };
                cx.out.push(Effect::Dial { node: *node });
            }
        }
        assert!(running_count <= DIALS_MAX, "dials are bounded");
    }

    pub(crate) fn alarm(&self, alarm: &mut Alarm, now: Timestamp, rules: &PresenceRules) {
        if let Some(ends) = self.hour_ends {
            alarm.set(ends);
        }
        for member in self.members.values() {
            if let Presence::Away { .. } = member.presence
                && self.hour_ends.is_some()
            {
                let grace = member.history.grace(now, rules);
                let left = Span(grace.0.saturating_sub(member.history.absent.0));
                alarm.set(
                    member
                        .history
                        .observed_at
                        .after(left.min(Span(rules.gap_max.0 / 2))),
                );
            }
        }
        for member in self.members.values() {
            if member.presence.is_here() {
                if let Greeting::Wanted { not_before } = member.greeting {
                    alarm.set(not_before);
                }
            } else if let Dial::Waiting { not_before, .. } = member.dial {
                alarm.set(not_before);
            }
        }
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().map(|(node, member)| (*node, member))
    }

    /// What a node is lost together with; itself when it is no member (any more).
    pub(crate) fn domain_of(&self, node: NodeId) -> Domain {
        self.get(node).map_or(Domain(node), |member| member.domain)
    }

    /// Whether some member has not been dialled to an end since it became known.
    pub(crate) fn some_may_be_coming(&self) -> bool {
        self.members.values().any(Member::may_be_coming)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn dial_count(&self) -> usize {
        self.members
            .values()
            .filter(|member| matches!(member.dial, Dial::Running { .. }))
            .count()
    }

    pub(crate) fn greet_count(&self) -> usize {
        self.members
            .values()
            .filter(|member| matches!(member.greeting, Greeting::Running(_)))
            .count()
    }
}
