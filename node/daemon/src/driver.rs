//! The loop around the engine: takes inputs, drains effects, makes records durable, then starts the effects. Decides nothing.
//!
//! Every effect is performed by a task of its own whose end is an input; the loop itself never waits for one of them. Records are
//! committed before any other effect of the same batch starts, so that a crash between two steps leaves a state to go on from.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_disk::records::{RecordChange, Records};
use nuthatch_engine::Engine;
use nuthatch_engine::boundary::{Effect, Input};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Inputs that may wait; whoever is ahead of the engine waits for a place.
pub(crate) const INPUTS_MAX: usize = 1024;

/// Inputs taken before their records are committed together.
const BATCH_MAX: usize = 64;

/// Pause before a commit of records that failed (disk full, mostly) is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(2);

/// Longest sleep between two ticks, so that a clock set forward is noticed.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// Starts effects. Implemented by the node; a call must not wait for the effect's end.
pub(crate) trait Performer: Send + Sync + 'static {
    /// Starts one effect other than `Persist` and `Forget`.
    fn start(&self, effect: Effect);
    /// Records can't be written: the node stands still until they can.
    fn records_failed(&self, error: &str);
}

/// Where inputs are put.
#[derive(Debug, Clone)]
pub(crate) struct DriverInputs(mpsc::Sender<Input>);

impl DriverInputs {
    /// A queue of inputs and its reading end, for [`run`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<Input>) {
        let (sender, receiver) = mpsc::channel(INPUTS_MAX);
        (Self(sender), receiver)
    }

    /// Tells the engine, waiting for a place. After the loop has ended there is nobody to tell, and nothing to do.
    pub(crate) async fn tell(&self, input: Input) {
        if self.0.send(input).await.is_err() {
            tracing::trace!("an input came after the end of the loop");
        }
    }

    /// Tells the engine without waiting here: a task of its own waits for a place when there is none.
    pub(crate) fn tell_soon(&self, input: Input) {
        if let Err(mpsc::error::TrySendError::Full(input)) = self.0.try_send(input) {
            let inputs = self.clone();
            tokio::spawn(async move { inputs.tell(input).await });
        }
    }

    /// Like [`Self::tell`], from a thread that may block.
    pub(crate) fn tell_blocking(&self, input: Input) {
        if self.0.blocking_send(input).is_err() {
            tracing::trace!("an input came after the end of the loop");
        }
    }
}

/// Runs the engine until `stop`.
pub(crate) async fn run(
    mut engine: Engine,
    mut inputs: mpsc::Receiver<Input>,
    records: Arc<Records>,
    performer: Arc<dyn Performer>,
    stop: CancellationToken,
) {
    loop {
        let sleep = engine
            .poll_timeout()
            .map_or(SLEEP_MAX, |at| clock::until(at).min(SLEEP_MAX));
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            input = inputs.recv() => match input {
                Some(input) => input,
                None => return,
            },
            () = tokio::time::sleep(sleep) => Input::Tick,
        };
        let mut changes = Vec::new();
        let mut effects = Vec::new();
        take(&mut engine, first, &mut changes, &mut effects);
        for _ in 1..BATCH_MAX {
            let Ok(input) = inputs.try_recv() else { break };
            take(&mut engine, input, &mut changes, &mut effects);
        }
        if !commit(&records, changes, performer.as_ref(), &stop).await {
            return;
        }
        for effect in effects {
            performer.start(effect);
        }
    }
}

/// One input, then drain to empty.
fn take(engine: &mut Engine, input: Input, changes: &mut Vec<RecordChange>, effects: &mut Vec<Effect>) {
    engine.handle(clock::now(), input);
    while let Some(effect) = engine.poll_effect() {
        match effect {
            Effect::Persist(record) => {
                changes.push(RecordChange::Put {
                    key: record.key().to_bytes(),
                    value: record.to_bytes(),
                });
            }
            Effect::Forget(key) => changes.push(RecordChange::Delete { key: key.to_bytes() }),
            other => effects.push(other),
        }
    }
}

/// Makes the changes durable, however long that takes; `false` when `stop` came first.
async fn commit(
    records: &Arc<Records>,
    changes: Vec<RecordChange>,
    performer: &dyn Performer,
    stop: &CancellationToken,
) -> bool {
    if changes.is_empty() {
        return true;
    }
    let changes = Arc::new(changes);
    loop {
        let (records, batch) = (Arc::clone(records), Arc::clone(&changes));
        let ended = tokio::task::spawn_blocking(move || records.commit(&batch)).await;
        let error = match ended {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        performer.records_failed(&error);
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(COMMIT_RETRY) => {}
        }
    }
}
