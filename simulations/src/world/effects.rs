//! Performing effects as the daemon does it: one sync of all records, then everything else in order. The end of an effect is an event of
//! its own, never part of the step that began it.

use std::collections::BTreeSet;
use std::sync::Arc;

use nuthatch_engine::Scheme;
use nuthatch_engine::boundary::{
    Effect, EncodeOutcome, Event, Input, JournalPosition, OpId, PackNumber, RecallOutcome,
};
use nuthatch_engine::repair::RepairSource;
use nuthatch_format::{ByteCount, Span};
use rand::RngExt;

use super::{Action, Happening, SAID_MAX, World};
use crate::checkers::Violation;
use crate::exchanges::What;
use crate::network::{DIAL_TIMEOUT, Network, NodeIndex};
use crate::node::{archive_id, index_of, node_id};

/// Length of a segment, and of the padding that a small one has.
const SEGMENT_LEN: ByteCount = ByteCount(4096);

impl World {
    /// One sync of all records, then everything else in order; unless the power fails somewhere in between.
    pub(super) fn perform_all(&mut self, at: NodeIndex, effects: &[Effect]) {
        if self.crashes(at) {
            return;
        }
        for effect in effects {
            if let Effect::Persist(record) = effect {
                self.nodes[at].persist(record);
            } else if let Effect::Forget(key) = effect {
                self.nodes[at].forget(&key.to_bytes());
            }
        }
        for effect in effects {
            if self.crashes(at) {
                return;
            }
            self.perform(at, effect);
        }
    }

    fn crashes(&mut self, at: NodeIndex) -> bool {
        match &mut self.nodes[at].crash_after {
            Some(0) => {
                self.stop(at);
                self.plan(Span::from_secs(20), Action::Start(at));
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn perform(&mut self, at: NodeIndex, effect: &Effect) {
        let life = self.nodes[at].life;
        match *effect {
            // Records are kept by then, and only a person asks for a release.
            Effect::Persist(_) | Effect::Forget(_) | Effect::AnswerRelease { .. } => {}
            Effect::AnswerRepairPlan { ref view, is_cut, .. } => {
                self.nodes[at].plan = Some((Arc::clone(view), is_cut));
            }
            Effect::Dial { node } => {
                let to = index_of(node);
                let can = self.network.reaches(at, to) && self.nodes[to].engine.is_some();
                let delay = if can {
                    Network::latency(&mut self.rng)
                } else {
                    DIAL_TIMEOUT
                };
                self.schedule(delay, Happening::Dialled { from: at, life, to });
            }
            Effect::ReadStripes {
                query,
                archive,
                after,
                limit,
            } => {
                let (page, next) = self.nodes[at].catalogue.page(query, after, limit);
                let delay = Span::from_millis(self.rng.random_range(1..5));
                let input = Input::Stripes {
                    archive,
                    query,
                    page,
                    next,
                };
                self.schedule(delay, Happening::Input { to: at, life, input });
            }
            Effect::ReadEndangered {
                archive,
                ref view,
                margin,
                after,
                limit,
            } => {
                let found = self.nodes[at].catalogue.endangered(view, margin, after, limit);
                let delay = Span::from_millis(self.rng.random_range(1..5));
                let input = Input::Endangered { archive, found };
                self.schedule(delay, Happening::Input { to: at, life, input });
            }
            Effect::Recall { op, pack, .. } => {
                // The files are never here in a simulation: what is not staged comes from hosts.
                let outcome = if self.can_be_read(at, pack) {
                    let source = RepairSource::Shards;
                    RecallOutcome::Here { source }
                } else {
                    RecallOutcome::Failed
                };
                let delay = Span::from_millis(self.rng.random_range(20..2000));
                let input = Input::RecallEnded { op, outcome };
                self.schedule(delay, Happening::Input { to: at, life, input });
            }
            Effect::Encode { op, pack, scheme, .. } => {
                let delay = Span::from_millis(self.rng.random_range(20..200));
                let node = at;
                self.schedule(
                    delay,
                    Happening::Encoded {
                        node,
                        life,
                        op,
                        pack,
                        scheme,
                    },
                );
            }
            Effect::Transfer {
                op,
                archive,
                pack,
                label,
                index,
                to,
            } => {
                self.sent_count += 1;
                self.send_shard(at, op, index_of(to), (archive, pack, label, index));
            }
            Effect::Greet { .. }
            | Effect::AskLease { .. }
            | Effect::SendSegments { .. }
            | Effect::CompareInventory { .. }
            | Effect::Audit { .. } => self.ask_by(at, effect),
            Effect::AnswerLease { token, answer } => self.answer_lease(token.0, answer),
            Effect::AnswerOffer { token, verdict } => self.answer_offer(token.0, verdict),
            Effect::Report(event) => self.note(at, event),
            Effect::ReportOf { event, .. } => self.trace.add(&event),
        }
    }

    /// Puts the question of an effect to another machine.
    fn ask_by(&mut self, at: NodeIndex, effect: &Effect) {
        let question = match *effect {
            Effect::Greet { op, node } => (op, node, What::Greet),
            Effect::AskLease {
                op,
                node,
                archive,
                bytes,
            } => (op, node, What::Lease { archive, bytes }),
            Effect::CompareInventory { op, archive, node } => (op, node, What::Inventory { archive }),
            Effect::Audit { op, task } => (
                op,
                task.node,
                What::Audit {
                    archive: task.archive,
                },
            ),
            Effect::SendSegments { op, archive, to } => {
                let journal = self.nodes[at].catalogue.journal;
                let has = self.nodes[index_of(to)]
                    .vault
                    .journal(archive)
                    .unwrap_or_default();
                let len = ByteCount(SEGMENT_LEN.0 * journal.0.saturating_sub(has.0));
                (
                    op,
                    to,
                    What::Segments {
                        archive,
                        journal,
                        len,
                    },
                )
            }
            Effect::Persist(_)
            | Effect::Forget(_)
            | Effect::Dial { .. }
            | Effect::ReadStripes { .. }
            | Effect::ReadEndangered { .. }
            | Effect::Recall { .. }
            | Effect::AnswerRepairPlan { .. }
            | Effect::Encode { .. }
            | Effect::Transfer { .. }
            | Effect::AnswerLease { .. }
            | Effect::AnswerOffer { .. }
            | Effect::AnswerRelease { .. }
            | Effect::Report(_)
            | Effect::ReportOf { .. } => return,
        };
        self.ask(at, question.0, index_of(question.1), question.2);
    }

    fn note(&mut self, at: NodeIndex, event: Event) {
        self.trace.add(&event);
        let is_on_keeping = matches!(
            event,
            Event::LinkCut { .. }
                | Event::LinkBack
                | Event::Gone { .. }
                | Event::Returned { .. }
                | Event::RepairBegun { .. }
                | Event::RepairEnded { .. }
                | Event::RepairRound(_)
        );
        if is_on_keeping && self.said.len() < SAID_MAX {
            self.said.push((at, event));
        }
        if let Event::StripeComplete { pack, .. } = event {
            self.nodes[at].catalogue.unstage(pack);
        }
    }

    /// A pack is encoded, its label signed and in a synced segment; unless its bytes can't be had.
    pub(super) fn encoded(
        &mut self,
        node: NodeIndex,
        life: u32,
        (op, pack, scheme): (OpId, PackNumber, Scheme),
    ) -> Result<(), Violation> {
        if self.nodes[node].life != life || self.nodes[node].engine.is_none() {
            return Ok(());
        }
        let can_be_had = self.can_be_read(node, pack);
        let catalogue = &mut self.nodes[node].catalogue;
        let label = if can_be_had {
            catalogue.label(node_id(node).as_bytes()[0], pack, scheme)
        } else {
            None
        };
        let outcome = label.map_or(EncodeOutcome::Failed, |stripe| EncodeOutcome::Labelled {
            label: stripe.label,
            shard_len: stripe.shard_len,
            journal: stripe.journal,
        });
        let journal: JournalPosition = catalogue.journal;
        self.tell(
            node,
            Input::JournalGrew {
                archive: archive_id(node),
                journal,
            },
        );
        self.handle(node, life, Input::EncodeEnded { op, outcome })
    }

    /// Whether a pack is staged, or enough connected hosts have shards of one of its stripes.
    fn can_be_read(&self, node: NodeIndex, pack: PackNumber) -> bool {
        let Some(pack) = self.nodes[node].catalogue.packs.get(&pack) else {
            return false;
        };
        let readable = |stripe: &nuthatch_engine::boundary::Stripe| {
            let here = stripe
                .holders
                .iter()
                .filter(|holder| self.network.is_connected(node, index_of(holder.1)));
            here.map(|holder| holder.0).collect::<BTreeSet<_>>().len() >= usize::from(stripe.scheme.data())
        };
        pack.staged || pack.stripes.iter().any(readable)
    }
}
