//! Troubles of a running world: messages that get lost, clocks that are wrong, disks that are pulled out.

use nuthatch_engine::audits::{AuditCounts, AuditEnd};
use nuthatch_engine::boundary::{Input, OfferVerdict, Token};
use nuthatch_format::Span;

use super::{Action, Happening, World};
use crate::checkers::Violation;
use crate::exchanges::{Exchange, What};
use crate::network::NodeIndex;
use crate::node::{archive_id, node_id};
use crate::vaults::Vault;

/// After so long without an answer an asker gives up, while the connection lasts.
const PATIENCE: Span = Span::from_secs(20);

/// What a host without its disk asks a sender to wait.
const DETACHED_RETRY: Span = Span::from_secs(30);

impl World {
    /// Does what happens to one machine, or what its person does.
    pub(super) fn trouble(&mut self, action: Action) {
        match action {
            Action::Skew(node, by_ms) => self.skew(node, by_ms),
            Action::Detach(node, is_detached) => self.nodes[node].health.is_detached = is_detached,
            Action::Rot(node, one_in) => {
                self.nodes[node].vault.rot(one_in, &mut self.rng);
                let facts = self.nodes[node].vault.facts();
                self.tell(node, Input::Vault(facts));
            }
            Action::Die(node) => {
                self.stop(node);
                let vault = &mut self.nodes[node].vault;
                *vault = Vault::new(vault.quota, vault.disk);
                self.nodes[node].is_dead = true;
                self.acknowledged.retain(|kept| kept.0 != node);
            }
            Action::Say(at, of, standing) => {
                let node = node_id(of);
                self.tell(at, Input::StandingSet { node, standing });
            }
            Action::House(node, house) => {
                self.nodes[node].setup.house = house;
                let facts: Vec<_> = self.joined.iter().map(|at| self.nodes[*at].facts()).collect();
                for at in self.joined.clone() {
                    self.tell(at, Input::Members(facts.clone()));
                }
            }
            Action::Ask(at) => {
                let (token, archive) = (Token(u64::MAX), archive_id(at));
                self.tell(at, Input::RepairAsked { token, archive });
            }
            Action::Start(_)
            | Action::Stop(_)
            | Action::StopAfter(..)
            | Action::Stage(..)
            | Action::Commit(_)
            | Action::Break(..)
            | Action::LoseAnswers(_)
            | Action::StrandHosts(..)
            | Action::Move(..)
            | Action::LoseMessages(_) => {}
        }
    }

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
    fn skew(&mut self, node: NodeIndex, by_ms: i64) {
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
            What::Audit { .. } => {
                if let Some(Exchange { op, .. }) = self.exchanges.get(id) {
                    let (end, counts) = (AuditEnd::Detached, AuditCounts::default());
                    self.answer(id, Input::AuditEnded { op, end, counts });
                }
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
