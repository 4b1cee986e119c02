//! Troubles of a running world: messages that get lost, clocks that are wrong, disks that are pulled out.

use nuthatch_engine::boundary::{Input, OfferVerdict};
use nuthatch_format::Span;

use super::{Happening, World};
use crate::checkers::Violation;
use crate::exchanges::What;
use crate::network::NodeIndex;

/// After so long without an answer an asker gives up, while the connection lasts.
const PATIENCE: Span = Span::from_secs(20);

/// What a host without its disk asks a sender to wait.
const DETACHED_RETRY: Span = Span::from_secs(30);

impl World {
    /// Whether a message is one of those that get lost; its asker then gives up later.
    pub(super) fn gets_lost(&mut self, exchange: u64) -> bool {
        let is_open = self.exchanges.get(exchange).is_some();
        if !is_open || self.messages_to_lose == 0 {
            return false;
        }
        self.messages_to_lose -= 1;
        self.schedule(PATIENCE, Happening::GivenUp { exchange });
        true
    }

    /// An asker gives up.
    pub(super) fn given_up(&mut self, id: u64) -> Result<(), Violation> {
        let Some(exchange) = self.exchanges.close(id) else {
            return Ok(());
        };
        self.handle(exchange.from, exchange.from_life, exchange.failure())
    }

    /// Sets a clock; the machine's next alarm is moved with it.
    pub(super) fn skew(&mut self, node: NodeIndex, by_ms: i64) {
        self.nodes[node].health.skew_ms = by_ms;
        if self.nodes[node].engine.is_some() {
            self.tell(node, Input::Tick);
        }
    }

    /// What a host answers whose disk is not there, without asking anybody: it has nothing to say on what it keeps, and takes nothing.
    /// Says whether that settles the question.
    pub(super) fn answers_detached(&mut self, id: u64, (host, what): (NodeIndex, What)) -> bool {
        if !self.nodes[host].health.is_detached {
            return false;
        }
        match what {
            What::Greet => false,
            What::Shard { .. } | What::Segments { .. } => {
                let retry_after = DETACHED_RETRY;
                self.answer_offer(id, OfferVerdict::Busy { retry_after });
                true
            }
            What::Lease { .. } | What::Inventory { .. } => {
                if let Some(exchange) = self.exchanges.get(id) {
                    self.answer(id, exchange.failure());
                }
                true
            }
        }
    }
}
