//! Asking a host to prove what it is said to hold, and taking out of the catalogue what it can't.
//!
//! How many challenges there are is the engine's order; which ones is drawn here, from the system's own randomness, and is durable before
//! it is asked. Each stays open until it is answered.

mod draw;

use nuthatch_engine::audits::{AuditCounts, AuditEnd, AuditTask};
use nuthatch_engine::boundary::{Input, OpId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::{AuditBook, Catalogue, HeldShard, OpenChallenge};
use nuthatch_format::{ByteCount, NodeId, ShardId, Span};
use nuthatch_wire::audit::{
    AuditReply, AuditRequest, CHALLENGES_PER_QUESTION_MAX, Challenge, Proof, Verdict,
};
use nuthatch_wire::bounded::List;
use nuthatch_wire::message::{ErrorCode, Request};

use crate::ask::{AskError, ask_for};
use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;
use crate::ward::Ward;

/// Longest pause that a busy host may ask for within an audit; beyond it the challenge stays open until the next one.
const BUSY_MAX: Span = Span::from_secs(5);

/// How often a host may ask for such a pause in one audit.
const BUSY_COUNT_MAX: u32 = 16;

/// Audits; afterwards the catalogue no longer names the host for what it could not prove.
pub(super) async fn audit(node: &Arc<Node>, op: OpId, task: AuditTask) -> Input {
    let (end, counts) = match make(node, task).await {
        Ok(made) => made,
        Err(error) => {
            let message = format!("hosts can't be audited by what is on this machine: {error}");
            node.events.fault(FaultKind::OwnDisk, None, message);
            (AuditEnd::Failed, AuditCounts::default())
        }
    };
    Input::AuditEnded { op, end, counts }
}

async fn make(node: &Arc<Node>, task: AuditTask) -> Result<(AuditEnd, AuditCounts), String> {
    let Some(ward) = node.ward(&task.archive) else {
        return Ok((AuditEnd::Failed, AuditCounts::default()));
    };
    let mut round = Round::begin(&ward, &task).await?;
    let end = round.run(node).await?;
    Ok((end, round.counts))
}

/// A challenge with what its label says of the shard.
#[derive(Debug, Clone, Copy)]
struct Asked {
    open: OpenChallenge,
    shard: ShardId,
    shard_len: u64,
}

impl Asked {
    fn challenge(&self) -> Challenge {
        Challenge {
            label: self.open.shard.label,
            index: self.open.shard.index,
            group: self.open.group,
        }
    }
}

/// One audit under way.
struct Round {
    ward: Arc<Ward>,
    task: AuditTask,
    book: AuditBook,
    /// Challenges of the book that were not asked in this audit yet.
    ahead: Vec<OpenChallenge>,
    counts: AuditCounts,
}

impl Round {
    /// Draws what is new and makes it durable.
    async fn begin(ward: &Arc<Ward>, task: &AuditTask) -> Result<Self, String> {
        let (catalogue, host, order) = (Arc::clone(&ward.catalogue), task.node, task.order);
        let (book, unswept) = blocking(move || draw::draw(&catalogue, &host, order)).await?;
        let counts = AuditCounts {
            unswept,
            ..AuditCounts::default()
        };
        Ok(Self {
            ward: Arc::clone(ward),
            task: *task,
            ahead: book.open.clone(),
            book,
            counts,
        })
    }

    async fn run(&mut self, node: &Arc<Node>) -> Result<AuditEnd, String> {
        let end = self.ask_all(node).await?;
        self.write(BTreeSet::new()).await?;
        self.counts.open = u32::try_from(self.book.open.len()).unwrap_or(u32::MAX);
        Ok(match end {
            AuditEnd::Answered if self.counts.open > 0 => AuditEnd::Late,
            end => end,
        })
    }

    async fn ask_all(&mut self, node: &Arc<Node>) -> Result<AuditEnd, String> {
        let mut busy_count = 0;
        while !self.ahead.is_empty() {
            let count = self.ahead.len().min(CHALLENGES_PER_QUESTION_MAX);
            let question: Vec<OpenChallenge> = self.ahead.drain(..count).collect();
            let asked = self.look_up(question.clone()).await?;
            if asked.is_empty() {
                continue;
            }
            let proofs = match self.ask(node, &asked).await {
                Ok(AuditReply::Proofs(proofs)) => proofs,
                Ok(AuditReply::Detached) => return Ok(AuditEnd::Detached),
                Err(AskError::Refused(ErrorCode::Busy(pause)))
                    if pause <= BUSY_MAX && busy_count < BUSY_COUNT_MAX =>
                {
                    busy_count += 1;
                    tokio::time::sleep(Duration::from_millis(pause.0)).await;
                    self.ahead.splice(0..0, question);
                    continue;
                }
                Err(AskError::Refused(ErrorCode::NotAllowed | ErrorCode::Malformed | ErrorCode::Version)) => {
                    return Ok(AuditEnd::Refused);
                }
                Err(error) => {
                    tracing::debug!("{:?} does not answer an audit: {error}", self.task.node);
                    return Ok(AuditEnd::Late);
                }
            };
            if proofs.is_empty() {
                return Ok(AuditEnd::Late);
            }
            self.judge(&asked, &proofs).await?;
        }
        Ok(AuditEnd::Answered)
    }

    async fn ask(&self, node: &Node, asked: &[Asked]) -> Result<AuditReply, AskError> {
        let request = Request::Audit(AuditRequest {
            archive: self.task.archive,
            challenges: List::first_of(asked.iter().map(Asked::challenge)),
        });
        let answer = Duration::from_millis(self.task.answer.0);
        let asking = async { ask_for!(&node.transport, self.task.node, request, Audit) };
        match tokio::time::timeout(answer, asking).await {
            Ok(reply) => reply,
            Err(_) => Err(AskError::Request(nuthatch_transport::RequestError::TimedOut)),
        }
    }

    /// What the labels say of these shards. What the host is no longer said to hold is not asked for any more: it has said so itself, or
    /// an earlier answer has.
    async fn look_up(&mut self, question: Vec<OpenChallenge>) -> Result<Vec<Asked>, String> {
        let (catalogue, host) = (Arc::clone(&self.ward.catalogue), self.task.node);
        let asked_for = question.clone();
        let asked = blocking(move || {
            let looked: Result<Vec<Option<Asked>>, _> = question
                .iter()
                .map(|open| look_up(&catalogue, &host, open))
                .collect();
            Ok(looked
                .map_err(|error| error.to_string())?
                .into_iter()
                .flatten()
                .collect::<Vec<_>>())
        })
        .await?;
        let is_gone =
            |open: &OpenChallenge| asked_for.contains(open) && asked.iter().all(|asked| asked.open != *open);
        self.book.open.retain(|open| !is_gone(open));
        Ok(asked)
    }

    async fn judge(&mut self, asked: &[Asked], proofs: &[Proof]) -> Result<(), String> {
        let (mut missing, mut wrong) = (BTreeSet::new(), BTreeSet::new());
        let mut answered = BTreeSet::new();
        for (asked, proof) in asked.iter().zip(proofs) {
            answered.insert(asked.open);
            if let Proof::Slice(bytes) = proof {
                self.counts.bytes = self.counts.bytes.saturating_add(ByteCount(bytes.len() as u64));
            }
            match asked.challenge().judge(&asked.shard, asked.shard_len, proof) {
                Some(Verdict::Proven) => self.counts.proven += 1,
                Some(Verdict::Missing) => drop(missing.insert(asked.open.shard)),
                Some(Verdict::Wrong) => drop(wrong.insert(asked.open.shard)),
                None => {}
            }
        }
        // Wrong bytes weigh more than a word.
        missing.retain(|shard| !wrong.contains(shard));
        self.counts.missing += missing.len() as u32;
        self.counts.wrong += wrong.len() as u32;
        let lost: BTreeSet<HeldShard> = missing.into_iter().chain(wrong).collect();
        let is_settled = |open: &OpenChallenge| answered.contains(open) || lost.contains(&open.shard);
        self.book.open.retain(|open| !is_settled(open));
        self.ahead.retain(|open| !lost.contains(&open.shard));
        if lost.is_empty() {
            Ok(())
        } else {
            self.write(lost).await
        }
    }

    async fn write(&self, lost: BTreeSet<HeldShard>) -> Result<(), String> {
        let (catalogue, host, book) = (
            Arc::clone(&self.ward.catalogue),
            self.task.node,
            self.book.clone(),
        );
        blocking(move || {
            catalogue
                .set_audit_book(&host, &book, &lost, clock::now())
                .map_err(|error| error.to_string())
        })
        .await
    }
}

fn look_up(catalogue: &Catalogue, host: &NodeId, open: &OpenChallenge) -> Result<Option<Asked>, IndexError> {
    if catalogue.is_held_by(open.shard, host)? {
        labelled(catalogue, *open)
    } else {
        Ok(None)
    }
}

/// The challenge with what the shard's label says; `None` when no label here does.
fn labelled(catalogue: &Catalogue, open: OpenChallenge) -> Result<Option<Asked>, IndexError> {
    let Some(stripe) = catalogue.stripe(&open.shard.label)? else {
        return Ok(None);
    };
    let label = stripe.signed_label()?;
    Ok(label.label().shard(open.shard.index).map(|shard| Asked {
        open,
        shard,
        shard_len: label.label().shard_len,
    }))
}

/// Whether a host's word on a shard is to be believed: nothing has ever spoken against it, or it proves some groups at random now.
pub(super) async fn has_again(
    node: &Node,
    ward: &Ward,
    (host, shard): (NodeId, HeldShard),
) -> Result<bool, String> {
    let catalogue = Arc::clone(&ward.catalogue);
    let drawn = blocking(move || draw::of_shard(&catalogue, &host, shard)).await?;
    let Some(asked) = drawn else { return Ok(true) };
    let request = Request::Audit(AuditRequest {
        archive: ward.archive,
        challenges: List::first_of(asked.iter().map(Asked::challenge)),
    });
    let reply = ask_for!(&node.transport, host, request, Audit).map_err(|error| error.to_string())?;
    let AuditReply::Proofs(proofs) = reply else {
        return Err("its disk is not connected".to_owned());
    };
    if proofs.len() < asked.len() {
        return Err("it did not answer all".to_owned());
    }
    let is_proven = |(asked, proof): (&Asked, &Proof)| {
        asked.challenge().judge(&asked.shard, asked.shard_len, proof) == Some(Verdict::Proven)
    };
    Ok(asked.iter().zip(&proofs).all(is_proven))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}
