//! Questions of other nodes, and of the person here, that wait for the engine's verdict. Each waits in a slot under its token until the verdict comes or the asker
//! goes away. Decides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use nuthatch_engine::boundary::{Input, LeaseAnswer, LeaseAsked, OfferFacts, OfferVerdict, Token};
use nuthatch_engine::fairness::ReleaseVerdict;
use nuthatch_format::{ArchiveId, ByteCount};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::driver::DriverInputs;

/// Questions that may wait at a time; one more hears that we are busy. The transport admits fewer.
const QUESTIONS_MAX: usize = 512;

/// The slots.
#[derive(Debug, Default)]
pub(crate) struct Hosting {
    last_token: AtomicU64,
    leases: Mutex<BTreeMap<Token, oneshot::Sender<LeaseAnswer>>>,
    offers: Mutex<BTreeMap<Token, oneshot::Sender<OfferVerdict>>>,
    releases: Mutex<BTreeMap<Token, oneshot::Sender<ReleaseVerdict>>>,
}

/// The engine gave no verdict: it is overloaded or ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node is too busy to decide")]
pub(crate) struct NoVerdict;

/// An offer that was accepted: its space is reserved until it is told how it ended. Dropped, it has kept nothing.
#[derive(Debug)]
pub(crate) struct AcceptedOffer {
    token: Token,
    engine: DriverInputs,
    ended: bool,
}

impl AcceptedOffer {
    /// The bytes are in the vault, synced.
    pub(crate) async fn kept(mut self, bytes: ByteCount) {
        self.ended = true;
        self.engine
            .tell(Input::OfferEnded {
                token: self.token,
                kept: Some(bytes),
            })
            .await;
    }
}

impl Drop for AcceptedOffer {
    fn drop(&mut self) {
        if !self.ended {
            self.engine.tell_soon(Input::OfferEnded {
                token: self.token,
                kept: None,
            });
        }
    }
}

/// The engine's word on an offer.
#[derive(Debug)]
pub(crate) enum Decided {
    /// Send it.
    Accept(AcceptedOffer),
    /// Any other verdict.
    Not(OfferVerdict),
}

impl Hosting {
    /// Puts a question for a lease to the engine.
    pub(crate) async fn ask_lease(
        &self,
        engine: &DriverInputs,
        asked: LeaseAsked,
    ) -> Result<LeaseAnswer, NoVerdict> {
        let token = self.next_token();
        let answer = slot(&self.leases, token)?;
        engine.tell(Input::LeaseAsked { token, asked }).await;
        let answer = answer.await;
        self.leases.lock().remove(&token);
        answer.map_err(|_| NoVerdict)
    }

    /// Asks the engine whether what is kept for an archive may be released; when it may, its promise has ended.
    pub(crate) async fn ask_release(
        &self,
        engine: &DriverInputs,
        archive: ArchiveId,
    ) -> Result<ReleaseVerdict, NoVerdict> {
        let token = self.next_token();
        let verdict = slot(&self.releases, token)?;
        engine.tell(Input::ReleaseAsked { token, archive }).await;
        let verdict = verdict.await;
        self.releases.lock().remove(&token);
        verdict.map_err(|_| NoVerdict)
    }

    /// Puts an offer to the engine.
    pub(crate) async fn ask_offer(
        &self,
        engine: &DriverInputs,
        facts: OfferFacts,
    ) -> Result<Decided, NoVerdict> {
        let token = self.next_token();
        let verdict = slot(&self.offers, token)?;
        // Made before the question is put: whatever becomes of us from here on, an acceptance is given back.
        let mut accepted = AcceptedOffer {
            token,
            engine: engine.clone(),
            ended: false,
        };
        engine.tell(Input::Offered { token, facts }).await;
        let verdict = verdict.await;
        self.offers.lock().remove(&token);
        match verdict {
            Ok(OfferVerdict::Accept) => Ok(Decided::Accept(accepted)),
            Ok(other) => {
                accepted.ended = true;
                Ok(Decided::Not(other))
            }
            Err(_) => Err(NoVerdict),
        }
    }

    /// The engine has decided on a lease.
    pub(crate) fn answer_lease(&self, token: Token, answer: LeaseAnswer) {
        if let Some(slot) = self.leases.lock().remove(&token)
            && slot.send(answer).is_err()
        {
            tracing::debug!("nobody waits for a lease any more");
        }
    }

    /// The engine has decided on an offer.
    pub(crate) fn answer_offer(&self, token: Token, verdict: OfferVerdict) {
        if let Some(slot) = self.offers.lock().remove(&token)
            && slot.send(verdict).is_err()
        {
            tracing::debug!("nobody waits for a verdict any more");
        }
    }

    /// The engine has decided on a release.
    pub(crate) fn answer_release(&self, token: Token, verdict: ReleaseVerdict) {
        if let Some(slot) = self.releases.lock().remove(&token)
            && slot.send(verdict).is_err()
        {
            tracing::debug!("nobody waits for a release any more");
        }
    }

    fn next_token(&self) -> Token {
        Token(self.last_token.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

fn slot<T>(
    slots: &Mutex<BTreeMap<Token, oneshot::Sender<T>>>,
    token: Token,
) -> Result<oneshot::Receiver<T>, NoVerdict> {
    let mut slots = slots.lock();
    slots.retain(|_, sender| !sender.is_closed());
    if slots.len() >= QUESTIONS_MAX {
        return Err(NoVerdict);
    }
    let (sender, receiver) = oneshot::channel();
    slots.insert(token, sender);
    Ok(receiver)
}
