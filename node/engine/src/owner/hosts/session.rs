//! What an owner is doing with one connected host: which chores are due, running or done, and what the host has asked for. Lasts from a
//! greeting to the end of the connection. Starts nothing.

use nuthatch_format::{Span, Timestamp};

use crate::boundary::{JournalPosition, OpId};
use crate::outbox::Context;

/// Something that a host is to be asked for once in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chore {
    /// To do, from a moment on.
    Due {
        not_before: Timestamp,
        /// Whether shards and whoever asks if all is done wait for it.
        is_awaited: bool,
    },
    /// Being done.
    Running(OpId),
    /// Nothing to do.
    Done,
}

impl Chore {
    pub(super) const NOW: Self = Self::awaited(Timestamp(0));

    /// From a moment on, and it is waited for.
    pub(super) const fn awaited(not_before: Timestamp) -> Self {
        Self::Due {
            not_before,
            is_awaited: true,
        }
    }

    /// From a moment on, and nothing waits for it: it has failed before, or may show nothing new.
    pub(super) const fn later(not_before: Timestamp) -> Self {
        Self::Due {
            not_before,
            is_awaited: false,
        }
    }

    pub(super) fn is_due(self, now: Timestamp) -> bool {
        matches!(self, Self::Due { not_before, .. } if now >= not_before)
    }

    /// Whether something is still expected of it soon.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::Due { is_awaited, .. } => is_awaited,
            Self::Running(_) => true,
            Self::Done => false,
        }
    }
}

/// What lasts from a greeting to the end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// Own segments that the host is known to have.
    pub(super) journal: Option<JournalPosition>,
    pub(super) segments: Chore,
    pub(super) inventory: Chore,
    /// Another inventory is wanted as soon as the running one has ended: that one was asked for before something that it is to show.
    is_inventory_wanted_again: bool,
    /// The pause after which an inventory follows one that has shown something new.
    follow_up: Option<Span>,
    /// Whether an inventory was asked for to an end: until then it may have shards that we don't know of.
    pub(super) is_inventoried: bool,
    /// It asked for patience until then.
    pub(super) busy_until: Timestamp,
    /// It takes nothing until then.
    pub(super) unable_until: Option<Timestamp>,
}

impl Session {
    pub(super) const fn new() -> Self {
        Self {
            journal: None,
            segments: Chore::NOW,
            inventory: Chore::NOW,
            is_inventory_wanted_again: false,
            follow_up: None,
            is_inventoried: false,
            busy_until: Timestamp(0),
            unable_until: None,
        }
    }

    /// The host has said again what it offers: whatever it took no more for may be over. What it has shows its inventory.
    pub(super) fn wake(&mut self) {
        if self.unable_until.take().is_none() {
            return;
        }
        if let Chore::Due { .. } = self.segments {
            self.segments = Chore::NOW;
        }
        self.want_inventory();
    }

    /// An inventory is wanted that is asked for after now. One that is running goes on: what it finds counts too.
    pub(super) fn want_inventory(&mut self) {
        match self.inventory {
            Chore::Running(_) => self.is_inventory_wanted_again = true,
            Chore::Due { .. } | Chore::Done => self.inventory = Chore::NOW,
        }
    }

    /// An inventory was compared. One that has shown shards that nobody here knew of is followed by another, after pauses that double:
    /// some other device of the archive is storing, and how safe its snapshots are shows only when it has stored everything.
    pub(super) fn inventory_taken(&mut self, has_found: bool, cx: &Context<'_>) {
        let rules = &cx.rules.owner;
        let doubled = |pause: Span| Span(pause.0.saturating_mul(2)).min(rules.follow_up_max);
        self.follow_up = has_found.then(|| self.follow_up.map_or(rules.follow_up_min, doubled));
        self.inventory = match self.follow_up {
            _ if std::mem::take(&mut self.is_inventory_wanted_again) => Chore::NOW,
            Some(pause) => Chore::later(cx.later(pause)),
            None => Chore::Done,
        };
    }

    /// No inventory came; the next try serves whoever wanted one meanwhile.
    pub(super) fn inventory_failed(&mut self, not_before: Timestamp) {
        self.is_inventory_wanted_again = false;
        self.inventory = Chore::later(not_before);
    }
}
