//! What passes between two machines: a question, its arrival, what the other side does about it, its answer. The other side's durable
//! part is done before its answer leaves, and the asker's before its engine hears.

use nuthatch_engine::audits::{AuditCounts, AuditEnd};
use std::collections::BTreeSet;

use nuthatch_engine::ShardIndex;
use nuthatch_engine::boundary::{
    Input, InventoryOutcome, LeaseAnswer, LeaseAsked, OfferFacts, OfferVerdict, Offered, OpId, PackNumber,
    SegmentsOutcome, Token, TransferOutcome,
};
use nuthatch_format::{ArchiveId, LabelId};

use super::{Action, Happening, World};
use crate::checkers::{self, Violation};
use crate::exchanges::{Exchange, What};
use crate::network::{Network, NodeIndex};
use crate::node::node_id;

impl World {
    pub(super) fn send_shard(
        &mut self,
        at: NodeIndex,
        op: OpId,
        to: NodeIndex,
        (archive, pack, label, index): (ArchiveId, PackNumber, LabelId, ShardIndex),
    ) {
        let catalogue = &self.nodes[at].catalogue;
        let facts = catalogue.packs.get(&pack).zip(catalogue.stripe(pack, label));
        let Some((kind, len, journal)) =
            facts.map(|(pack, stripe)| (pack.kind, stripe.shard_len, stripe.journal))
        else {
            let outcome = TransferOutcome::Unreadable;
            return self.tell(at, Input::TransferEnded { op, outcome });
        };
        self.ask(
            at,
            op,
            to,
            What::Shard {
                archive,
                label,
                index,
                len,
                kind,
                journal,
            },
        );
    }

    /// Sends a question, or lets it fail at once where there is no connection.
    pub(super) fn ask(&mut self, from: NodeIndex, op: OpId, to: NodeIndex, what: What) {
        let (from_life, to_life) = (self.nodes[from].life, self.nodes[to].life);
        let exchange = Exchange {
            from,
            from_life,
            op,
            to,
            to_life,
            what,
            is_accepted: false,
        };
        if !self.network.is_connected(from, to) {
            return self.tell(from, exchange.failure());
        }
        let exchange = self.exchanges.open(exchange);
        let delay = Network::latency(&mut self.rng);
        self.schedule(delay, Happening::Arrived { exchange });
    }

    pub(super) fn answer(&mut self, exchange: u64, input: Input) {
        let delay = Network::latency(&mut self.rng);
        self.schedule(
            delay,
            Happening::Answered {
                exchange,
                input,
                kept: BTreeSet::new(),
            },
        );
    }

    /// A question has come to the other side.
    pub(super) fn arrived(&mut self, id: u64) -> Result<(), Violation> {
        let Some(exchange) = self.exchanges.get(id) else {
            return Ok(());
        };
        let Exchange {
            from,
            op,
            to,
            to_life,
            ..
        } = exchange;
        if self.answers_detached(id, (to, exchange.what)) {
            return Ok(());
        }
        let vault = &self.nodes[to].vault;
        let token = Token(id);
        match exchange.what {
            What::Greet => {
                let terms = self.nodes[to].engine.as_ref().map(nuthatch_engine::Engine::terms);
                self.answer(id, Input::GreetEnded { op, terms });
                Ok(())
            }
            What::Lease { archive, bytes } => {
                let asked = LeaseAsked {
                    from: node_id(from),
                    archive,
                    bytes,
                    member: true,
                };
                self.handle(to, to_life, Input::LeaseAsked { token, asked })
            }
            What::Shard {
                archive,
                label,
                index,
                len,
                kind,
                journal,
            } => {
                let believed = vault.journal(archive) >= Some(journal);
                let here = vault.stripe_here(archive, label, index);
                let offered = Offered::Shard {
                    label,
                    index,
                    kind,
                    believed,
                    here,
                    mirror: false,
                };
                let facts = OfferFacts {
                    from: node_id(from),
                    archive,
                    len,
                    offered,
                };
                self.handle(to, to_life, Input::Offered { token, facts })
            }
            What::Segments { archive, len, .. } => {
                let facts = OfferFacts {
                    from: node_id(from),
                    archive,
                    len,
                    offered: Offered::Journal,
                };
                self.handle(to, to_life, Input::Offered { token, facts })
            }
            What::Inventory { archive } => {
                self.answer_inventory(id, exchange, archive);
                Ok(())
            }
            What::Audit { archive } => self.answer_audit(id, exchange, archive),
        }
    }

    /// What the host keeps travels with the answer; what that means for the catalogue is found out when it arrives.
    fn answer_inventory(&mut self, id: u64, asked: Exchange, archive: ArchiveId) {
        let vault = &self.nodes[asked.to].vault;
        let kept = vault.of_archive(archive).collect();
        let bytes = vault.used_by(archive);
        let outcome = InventoryOutcome::Compared {
            bytes,
            lost_count: 0,
            found_count: 0,
        };
        let delay = Network::latency(&mut self.rng);
        let input = Input::InventoryEnded {
            op: asked.op,
            outcome,
        };
        self.schedule(
            delay,
            Happening::Answered {
                exchange: id,
                input,
                kept,
            },
        );
    }

    /// The host proves every shard that it is asked for and has; what its disk has lost travels with the answer. That it never signed
    /// for what it is asked would be the asker's fault.
    fn answer_audit(&mut self, id: u64, asked: Exchange, archive: ArchiveId) -> Result<(), Violation> {
        let (asker, vault) = (&self.nodes[asked.from], &self.nodes[asked.to].vault);
        let claims = asker.catalogue.stripes().flat_map(|stripe| {
            let of_host = stripe
                .holders
                .iter()
                .filter(|holder| holder.1 == node_id(asked.to));
            of_host.map(|holder| (stripe.label, holder.0))
        });
        let (proven, missing): (BTreeSet<_>, BTreeSet<_>) =
            claims.partition(|(label, index)| vault.has(archive, *label, *index));
        let is_blamed = |(label, index): &&(LabelId, ShardIndex)| !vault.signed_for(archive, *label, *index);
        checkers::nobody_is_blamed((asked.from, asked.to), missing.iter().filter(is_blamed).count())?;
        let counts = AuditCounts {
            proven: proven.len() as u32,
            missing: missing.len() as u32,
            ..AuditCounts::default()
        };
        let input = Input::AuditEnded {
            op: asked.op,
            end: AuditEnd::Answered,
            counts,
        };
        let delay = Network::latency(&mut self.rng);
        self.schedule(
            delay,
            Happening::Answered {
                exchange: id,
                input,
                kept: missing,
            },
        );
        Ok(())
    }

    pub(super) fn answer_lease(&mut self, id: u64, answer: LeaseAnswer) {
        if let Some(exchange) = self.exchanges.get(id) {
            self.answer(
                id,
                Input::LeaseEnded {
                    op: exchange.op,
                    answer,
                },
            );
        }
    }

    pub(super) fn answer_offer(&mut self, id: u64, verdict: OfferVerdict) {
        let Some(exchange) = self.exchanges.get(id) else {
            return;
        };
        let op = exchange.op;
        let (len, is_shard) = match exchange.what {
            What::Shard { len, .. } => (len, true),
            What::Segments { len, .. } => (len, false),
            What::Greet | What::Lease { .. } | What::Inventory { .. } | What::Audit { .. } => return,
        };
        let (shard, segments) = match verdict {
            OfferVerdict::Accept => {
                self.exchanges.set_accepted(id, true);
                let delay = Network::transfer_time(len, &mut self.rng);
                return self.schedule(delay, Happening::Stored { exchange: id });
            }
            OfferVerdict::Have => (TransferOutcome::Held, SegmentsOutcome::Failed),
            OfferVerdict::Busy { retry_after } => (
                TransferOutcome::Busy { retry_after },
                SegmentsOutcome::Busy { retry_after },
            ),
            OfferVerdict::Refuse(reason) => {
                (TransferOutcome::Refused(reason), SegmentsOutcome::Refused(reason))
            }
        };
        let input = if is_shard {
            Input::TransferEnded { op, outcome: shard }
        } else {
            Input::SegmentsEnded {
                op,
                outcome: segments,
            }
        };
        self.answer(id, input);
    }

    /// All bytes have come and are synced: the host's books first, then its signature goes out.
    pub(super) fn stored(&mut self, id: u64) -> Result<(), Violation> {
        let Some(exchange) = self.exchanges.get(id) else {
            return Ok(());
        };
        let Exchange {
            from,
            op,
            to,
            to_life,
            ..
        } = exchange;
        self.exchanges.set_accepted(id, false);
        if self.nodes[to].health.is_detached {
            let token = Token(id);
            self.answer(id, exchange.failure());
            return self.handle(to, to_life, Input::OfferEnded { token, kept: None });
        }
        let vault = &mut self.nodes[to].vault;
        let (len, input) = match exchange.what {
            What::Shard {
                archive,
                label,
                index,
                len,
                ..
            } => {
                vault.put(archive, label, index, len);
                checkers::one_shard_of_a_stripe(to, vault, archive, label)?;
                self.acknowledged.insert((to, archive, label, index));
                (
                    len,
                    Input::TransferEnded {
                        op,
                        outcome: TransferOutcome::Held,
                    },
                )
            }
            What::Segments {
                archive,
                journal,
                len,
            } => {
                vault.put_journal(archive, journal, len);
                (
                    len,
                    Input::SegmentsEnded {
                        op,
                        outcome: SegmentsOutcome::Sent(journal),
                    },
                )
            }
            What::Greet | What::Lease { .. } | What::Inventory { .. } | What::Audit { .. } => return Ok(()),
        };
        let ended = Input::OfferEnded {
            token: Token(id),
            kept: Some(len),
        };
        if matches!(exchange.what, What::Shard { .. }) && self.answers_to_lose > 0 {
            self.answers_to_lose -= 1;
            self.handle(to, to_life, ended)?;
            self.disconnect(from, to);
            return Ok(());
        }
        if matches!(exchange.what, What::Shard { .. }) && self.hosts_to_strand.0 > 0 {
            self.hosts_to_strand.0 -= 1;
            self.handle(to, to_life, ended)?;
            self.stop(to);
            self.plan(self.hosts_to_strand.1, Action::Start(to));
            return Ok(());
        }
        self.answer(id, input);
        self.handle(to, to_life, ended)
    }

    /// An answer has come back; what it says becomes durable before the engine hears of it.
    pub(super) fn answered(
        &mut self,
        id: u64,
        input: Input,
        kept: &BTreeSet<(LabelId, ShardIndex)>,
    ) -> Result<(), Violation> {
        let Some(exchange) = self.exchanges.close(id) else {
            return Ok(());
        };
        let Exchange {
            from,
            from_life,
            to,
            what,
            ..
        } = exchange;
        let catalogue = &mut self.nodes[from].catalogue;
        let mut input = input;
        if let (
            What::Shard { label, index, .. },
            Input::TransferEnded {
                outcome: TransferOutcome::Held,
                ..
            },
        ) = (what, &input)
        {
            catalogue.add_holder(label, index, node_id(to));
        }
        if let Input::InventoryEnded {
            outcome:
                InventoryOutcome::Compared {
                    lost_count,
                    found_count,
                    ..
                },
            ..
        } = &mut input
        {
            (*lost_count, *found_count) = catalogue.reconcile(node_id(to), kept);
        }
        if let Input::AuditEnded { .. } = &input {
            catalogue.disprove(node_id(to), kept);
        }
        self.handle(from, from_life, input)
    }
}
