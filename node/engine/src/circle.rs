//! The members of the circle as this node meets them: who is here, whom to dial and to greet. Knows nothing of archives or leases.

use std::collections::BTreeMap;

use nuthatch_format::{NodeId, Timestamp};

use crate::boundary::{Domain, Effect, Event, HostTerms, MemberFacts, OpId, PathClass};
use crate::outbox::{Alarm, Context};
use crate::presence::{Presence, redial_pause};
use crate::record::{Record, RecordKey};
use crate::rules::{DIALS_MAX, MEMBERS_MAX};

/// What this node knows of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) domain: Domain,
    pub(crate) presence: Presence,
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
    fn new(domain: Domain, seen: Option<Timestamp>) -> Self {
        Self {
            domain,
            presence: Presence::Away { since: seen },
            dial: Dial::Waiting {
                failure_count: 0,
                not_before: Timestamp(0),
            },
            greeting: Greeting::Wanted {
                not_before: Timestamp(0),
            },
        }
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
    /// When members were last connected, from records, until the roster is known.
    seen: BTreeMap<NodeId, Timestamp>,
}

impl Circle {
    pub(crate) fn replay(&mut self, node: NodeId, at: Timestamp) {
        if self.seen.len() < MEMBERS_MAX {
            self.seen.insert(node, at);
        }
    }

    /// Takes the roster: new members are dialled, former ones forgotten.
    pub(crate) fn set_members(&mut self, own: NodeId, facts: Vec<MemberFacts>, cx: &mut Context<'_>) {
        let mut members = BTreeMap::new();
        for one in facts.into_iter().filter(|one| one.node != own).take(MEMBERS_MAX) {
            let known = self.members.remove(&one.node);
            let seen = self.seen.remove(&one.node);
            let member = known.map_or(Member::new(one.domain, seen), |known| Member {
                domain: one.domain,
                ..known
            });
            members.insert(one.node, member);
        }
        let former = self.members.keys().chain(self.seen.keys());
        for node in former {
            cx.out.push(Effect::Forget(RecordKey::Seen(*node)));
        }
        self.seen.clear();
        self.members = members;
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
        member.presence = Presence::Here { since: cx.now, class };
        member.greeting = Greeting::Wanted {
            not_before: Timestamp(0),
        };
        cx.out.push(Effect::Persist(Record::Seen { node, at: cx.now }));
        cx.out.report(Event::Arrived { node, class });
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
        member.dial = Dial::Waiting {
            failure_count: 1,
            not_before: cx.later(pause),
        };
        member.greeting = Greeting::Wanted {
            not_before: Timestamp(0),
        };
        cx.out.push(Effect::Persist(Record::Seen { node, at: cx.now }));
        cx.out.report(Event::Departed { node });
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
        Some((*node, terms))
    }

    /// Takes terms that came unasked; says whether they are a connected member's.
    pub(crate) fn learn_terms(&mut self, node: NodeId, terms: HostTerms) -> bool {
        match self
            .members
            .get_mut(&node)
            .filter(|member| member.presence.is_here())
        {
            Some(member) => {
                member.greeting = Greeting::Done(terms);
                true
            }
            None => false,
        }
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

    pub(crate) fn alarm(&self, alarm: &mut Alarm) {
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
