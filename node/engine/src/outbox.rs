//! Effects that wait to be drained, operation numbers, and what every child state machine is handed. Decides nothing.

use std::collections::VecDeque;

use nuthatch_format::{ArchiveId, Span, Timestamp};
use rand::rngs::Xoshiro256PlusPlus;

use crate::boundary::{Effect, Event, OpId};
use crate::rules::{EFFECTS_MAX, Rules};

/// Effects in the order in which they were decided.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    effects: VecDeque<Effect>,
    last_op: u64,
    /// The stewarded archive that is spoken of; `None`: this node itself, and its own archive.
    told_of: Option<ArchiveId>,
}

impl Outbox {
    /// Adds an effect.
    pub(crate) fn push(&mut self, effect: Effect) {
        assert!(
            self.effects.len() < EFFECTS_MAX,
            "effects are drained after each input"
        );
        self.effects.push_back(effect);
    }

    /// Tells the person.
    pub(crate) fn report(&mut self, event: Event) {
        self.push(match self.told_of {
            None => Effect::Report(event),
            Some(archive) => Effect::ReportOf { archive, event },
        });
    }

    /// From now on events are about this stewarded archive; `None`: about this node and its own.
    pub(crate) fn tell_of(&mut self, archive: Option<ArchiveId>) {
        self.told_of = archive;
    }

    /// The oldest effect.
    pub(crate) fn pop(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A number for a new operation.
    pub(crate) fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    /// Effects that wait (count).
    pub(crate) fn len(&self) -> usize {
        self.effects.len()
    }
}

/// What a child state machine decides with.
pub(crate) struct Context<'a> {
    /// The time of the input.
    pub(crate) now: Timestamp,
    /// The numbers.
    pub(crate) rules: &'a Rules,
    /// The only source of chance.
    pub(crate) rng: &'a mut Xoshiro256PlusPlus,
    /// Where effects go.
    pub(crate) out: &'a mut Outbox,
}

impl Context<'_> {
    /// The moment so much later than now.
    pub(crate) fn later(&self, span: Span) -> Timestamp {
        self.now.after(span)
    }

    /// Whether a moment has come.
    pub(crate) fn is_due(&self, at: Timestamp) -> bool {
        self.now >= at
    }
}

/// The earliest moment that is still to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarm {
    now: Timestamp,
    at: Option<Timestamp>,
}

impl Alarm {
    /// None yet.
    pub(crate) const fn after(now: Timestamp) -> Self {
        Self { now, at: None }
    }

    /// Rings at this moment too, unless it has passed: what was due has been seen to.
    pub(crate) fn set(&mut self, at: Timestamp) {
        if at > self.now && self.at.is_none_or(|earlier| at < earlier) {
            self.at = Some(at);
        }
    }

    /// When it rings.
    pub(crate) const fn rings(self) -> Option<Timestamp> {
        self.at
    }
}
