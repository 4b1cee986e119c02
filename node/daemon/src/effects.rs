//! Carrying out the engine's effects: each in a task of its own, whose end is told to the engine. Decides nothing.

mod audit;
mod encode;
mod recall;
mod report;
mod reseal;
mod stripes_page;
mod transfer;

use std::sync::Arc;

pub(crate) use recall::let_go as let_go_recalled;
pub(crate) use reseal::Resealing;
pub(crate) use stripes_page::{Part, endangered};
pub(crate) use transfer::reason;

use nuthatch_engine::boundary::{Effect, HostTerms, Input, LeaseAnswer, LeaseRefusal};
use nuthatch_engine::fairness::Stance;
use nuthatch_format::{ArchiveId, ByteCount, NodeId};
use nuthatch_wire::bounded::Opaque;
use nuthatch_wire::lease::{self, CertificateBytes, LeaseRequest};
use nuthatch_wire::message::{Capabilities, Hello, Request};

use crate::ask::ask_for;
use crate::clock;
use crate::driver::Performer;
use crate::events::FaultKind;
use crate::node::Node;
use crate::repairs::PlanFacts;
use crate::{roster_sync, stewards, sync};

/// Starts effects for a node that it does not keep alive.
#[derive(Debug)]
pub(crate) struct NodePerformer(pub(crate) std::sync::Weak<Node>);

impl Performer for NodePerformer {
    fn start(&self, effect: Effect) {
        if let Some(node) = self.0.upgrade() {
            node.start_effect(effect);
        }
    }

    fn records_failed(&self, error: &str) {
        if let Some(node) = self.0.upgrade() {
            node.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the node's records can't be written: {error}"),
            );
        }
    }
}

impl Node {
    fn start_effect(self: Arc<Self>, effect: Effect) {
        match effect {
            // Made durable by the loop before anything is started.
            Effect::Persist(_) | Effect::Forget(_) => {}
            Effect::Report(event) => report::report(&self, event),
            Effect::ReportOf { archive, event } => stewards::report(&self, archive, event),
            Effect::AnswerLease { token, answer } => self.hosting.answer_lease(token, answer),
            Effect::AnswerOffer { token, verdict } => self.hosting.answer_offer(token, verdict),
            Effect::AnswerRepairPlan {
                token,
                view,
                takers,
                is_cut,
            } => self.repairs.answer(token, PlanFacts { view, takers, is_cut }),
            Effect::AnswerRelease { token, verdict } => self.hosting.answer_release(token, verdict),
            effect => {
                let node = Arc::clone(&self);
                let stop = self.stop.clone();
                self.tasks.spawn(async move {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = node.perform_effect(effect) => {}
                    }
                });
            }
        }
    }

    async fn perform_effect(self: Arc<Self>, effect: Effect) {
        let input = match effect {
            Effect::Dial { node } => match self.dial(node).await {
                // `Connected` comes by the transport's event.
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!("dialling {node:?} failed: {error}");
                    self.pulse.dial_failed(node);
                    Input::DialFailed { node }
                }
            },
            Effect::Greet { op, node } => Input::GreetEnded {
                op,
                terms: self.greet(node).await,
            },
            Effect::AskLease {
                op,
                node,
                archive,
                bytes,
            } => Input::LeaseEnded {
                op,
                answer: self.ask_lease(node, archive, bytes).await,
            },
            Effect::ReadStripes {
                archive,
                query,
                after,
                limit,
            } => stripes_page::read(&self, archive, query, after, limit).await,
            Effect::ReadEndangered {
                archive,
                view,
                margin,
                after,
                limit,
            } => stripes_page::read_endangered(&self, archive, &view, Part { margin, after, limit }).await,
            Effect::Recall {
                op,
                archive,
                pack,
                label,
            } => Input::RecallEnded {
                op,
                outcome: recall::recall(&self, archive, pack, label).await,
            },
            Effect::Encode {
                op,
                archive,
                pack,
                scheme,
            } => Input::EncodeEnded {
                op,
                outcome: encode::encode(&self, archive, pack, scheme).await,
            },
            Effect::Transfer {
                op,
                archive,
                pack,
                label,
                index,
                to,
            } => {
                let order = transfer::Order {
                    archive,
                    pack,
                    label,
                    index,
                    to,
                };
                Input::TransferEnded {
                    op,
                    outcome: transfer::transfer(&self, &order).await,
                }
            }
            Effect::SendSegments { op, archive, to } => Input::SegmentsEnded {
                op,
                outcome: sync::journal(&self, archive, to).await,
            },
            Effect::CompareInventory { op, archive, node } => Input::InventoryEnded {
                op,
                outcome: sync::inventory(&self, archive, node).await,
            },
            Effect::Audit { op, task } => audit::audit(&self, op, task).await,
            Effect::Persist(_)
            | Effect::Forget(_)
            | Effect::Report(_)
            | Effect::ReportOf { .. }
            | Effect::AnswerLease { .. }
            | Effect::AnswerOffer { .. }
            | Effect::AnswerRepairPlan { .. }
            | Effect::AnswerRelease { .. } => return,
        };
        self.engine.tell(input).await;
    }

    /// Connects to a member: by its kept addresses first, then by what the circle's tables say.
    async fn dial(&self, node: NodeId) -> Result<(), nuthatch_transport::DialError> {
        let known = self.circle.addresses_of(&node);
        let first = self.transport.dial(Some(node), known.clone()).await;
        let Err(error) = first else { return Ok(()) };
        let found = self.transport.find_node(node).await;
        if found.is_empty() || found.iter().all(|address| known.contains(address)) {
            return Err(error);
        }
        self.transport.dial(Some(node), found).await.map(drop)
    }

    async fn greet(self: &Arc<Self>, peer: NodeId) -> Option<HostTerms> {
        let hello = match ask_for!(&self.transport, peer, Request::Hello(self.hello()), Hello) {
            Ok(hello) => hello,
            Err(error) => {
                tracing::debug!("greeting {peer:?} failed: {error}");
                return None;
            }
        };
        if hello.circle.is_some() && hello.circle == self.circle.id() {
            let own = self.circle.read(nuthatch_wire::membership::Roster::digest);
            if own != Some(hello.roster)
                && let Err(error) = roster_sync::exchange(self, peer).await
            {
                tracing::debug!("the roster was not exchanged with {peer:?}: {error}");
            }
        }
        self.take_terms(peer, &hello);
        let teller = Arc::clone(self);
        self.tasks
            .spawn(async move { teller.exchange_ledger(peer).await });
        Some(terms_of(&hello))
    }

    /// The statement by which this node is one of an archive's: as its device, or as its steward.
    fn standing_in(&self, archive: &ArchiveId) -> Option<CertificateBytes> {
        if let Some(owned) = self.owned().filter(|owned| owned.archive == *archive) {
            return Opaque::new(owned.certificate.bytes().to_vec()).ok();
        }
        let statements = self.known_statements(archive)?;
        let statement = statements.steward_statement(&self.identity.node)?;
        Opaque::new(statement.bytes().to_vec()).ok()
    }

    async fn ask_lease(&self, host: NodeId, archive: ArchiveId, bytes: ByteCount) -> LeaseAnswer {
        let Some(certificate) = self.standing_in(&archive) else {
            return LeaseAnswer::Failed;
        };
        let request = Request::Lease(LeaseRequest {
            archive,
            certificate,
            bytes,
        });
        match ask_for!(&self.transport, host, request, Lease) {
            Ok(lease::LeaseAnswer::Granted(signed)) => match signed.open() {
                Ok(lease) if lease.host == host && lease.archive == archive => LeaseAnswer::Granted {
                    bytes: lease.bytes,
                    until: lease.until.max(clock::now()),
                },
                Ok(_) | Err(_) => LeaseAnswer::Failed,
            },
            Ok(lease::LeaseAnswer::Refused(reason)) => LeaseAnswer::Refused(match reason {
                lease::LeaseRefusal::Full => LeaseRefusal::Full,
                lease::LeaseRefusal::Balance => LeaseRefusal::Unbalanced,
                lease::LeaseRefusal::NotHosting => LeaseRefusal::NotHosting,
                lease::LeaseRefusal::Paused => LeaseRefusal::Paused,
                lease::LeaseRefusal::NotMember | lease::LeaseRefusal::NotCertified => LeaseRefusal::NotMember,
            }),
            Err(error) => {
                tracing::debug!("no lease from {host:?}: {error}");
                LeaseAnswer::Failed
            }
        }
    }
}

/// What a member says of itself as a host. When a holiday ends is told elsewhere, to those who ask.
pub(crate) fn terms_of(hello: &Hello) -> HostTerms {
    let says = |what| hello.capabilities.has(what);
    HostTerms {
        accepts: says(Capabilities::HOST),
        generous: says(Capabilities::GENEROUS),
        free: hello.free,
        stance: match (says(Capabilities::LEAVING), says(Capabilities::PAUSED)) {
            (true, _) => Stance::Leaving,
            (false, true) => Stance::Paused { until: None },
            (false, false) => Stance::Open,
        },
    }
}
