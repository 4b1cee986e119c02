//! What others open to us: each stream gets a place and a task, or hears that we are busy. Nothing is dropped in silence while there is
//! room to say so.
//!
//! Places are counted for each node and for all together, and strangers have a pool of their own, so that they cannot crowd out members.
//! Nothing here looks into a message.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use nuthatch_format::NodeId;
use nuthatch_wire::bulk::{Busy, Frame};
use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bulk::BulkStream;
use crate::config::{
    ACCEPT_TIMEOUT, BULK_INBOUND_MAX, BULK_PER_NODE_MAX, BULK_SHARE, BUSY_RETRY, EVENTS_MAX, QUESTION_MAX,
    REFUSALS_MAX, REQUESTS_MAX, REQUESTS_OF_STRANGERS_MAX, REQUESTS_PER_NODE_MAX, RESPOND_TIMEOUT, Timings,
};
use crate::control::{ControlStream, Status};
use crate::event::{Event, Responder};
use crate::framed::FrameError;
use crate::gate::Standing;
use crate::meter::{Counter, Meters};
use crate::protocol::{ControlProtocol, Protocol};
use crate::streams::{Held, Opened};
use crate::wishes::Wishes;

/// What one node may hold open here, over all its connections.
#[derive(Debug)]
struct Places {
    requests: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

/// Where a stream comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) node: NodeId,
    places: Arc<Places>,
    counter: Counter,
}

/// Takes in streams. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbound(Arc<Shared>);

struct Shared {
    events: mpsc::Sender<Event>,
    meters: Arc<Meters>,
    wishes: Arc<Wishes>,
    progress: Duration,
    stranger_question: Duration,
    stop: CancellationToken,
    nodes: Mutex<HashMap<NodeId, Weak<Places>>>,
    requests: Arc<Semaphore>,
    requests_of_strangers: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Inbound {
    /// Events go to the receiver that is returned beside it.
    pub(crate) fn new(
        meters: Arc<Meters>,
        wishes: Arc<Wishes>,
        timings: &Timings,
        stop: CancellationToken,
    ) -> (Self, mpsc::Sender<Event>, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let shared = Shared {
            events: events.clone(),
            meters,
            wishes,
            progress: timings.progress,
            stranger_question: timings.stranger_question,
            stop,
            nodes: Mutex::new(HashMap::new()),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            requests_of_strangers: Arc::new(Semaphore::new(REQUESTS_OF_STRANGERS_MAX)),
            bulk: Arc::new(Semaphore::new(BULK_INBOUND_MAX)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        };
        (Self(Arc::new(shared)), events, receiver)
    }

    /// The origin of streams from this node; its places are the same ones as long as it is connected.
    pub(crate) fn origin(&self, node: NodeId) -> Origin {
        let mut nodes = self.0.nodes.lock();
        let places = nodes.get(&node).and_then(Weak::upgrade).unwrap_or_else(|| {
            nodes.retain(|_, places| places.strong_count() > 0);
            let places = Arc::new(Places {
                requests: Arc::new(Semaphore::new(REQUESTS_PER_NODE_MAX)),
                bulk: Arc::new(Semaphore::new(BULK_PER_NODE_MAX)),
            });
            nodes.insert(node, Arc::downgrade(&places));
            places
        });
        Origin {
            node,
            places,
            counter: self.0.meters.counter(node),
        }
    }

    /// Takes in a stream that the gate allows.
    pub(crate) fn accept(&self, origin: &Origin, standing: Standing, protocol: Protocol, opened: Opened) {
        match protocol {
            Protocol::Control(protocol) => self.accept_request(origin, standing, protocol, opened),
            Protocol::Bulk => self.accept_bulk(origin, opened),
        }
    }

    fn accept_request(&self, origin: &Origin, standing: Standing, protocol: ControlProtocol, opened: Opened) {
        // One stranger can hold an eighth of the strangers' places, a claimant half of them.
        let (pool, weight) = match standing {
            Standing::Member => (&self.0.requests, 1),
            Standing::Claimant => (&self.0.requests_of_strangers, REQUESTS_PER_NODE_MAX / 8),
            Standing::Stranger => (&self.0.requests_of_strangers, REQUESTS_PER_NODE_MAX / 2),
        };
        let stream = |opened| ControlStream::new(opened, origin.counter.clone());
        let Some(held) = take(&origin.places.requests, pool, weight) else {
            return self.refuse(stream(opened).refuse(Status::Busy));
        };
        let (node, events) = (origin.node, self.0.events.clone());
        let stream = stream(Opened { held, ..opened });
        let patience = match standing {
            Standing::Member | Standing::Claimant => QUESTION_MAX,
            Standing::Stranger => self.0.stranger_question,
        };
        self.spawn(async move { serve(stream, (node, patience), protocol, &events).await });
    }

    fn accept_bulk(&self, origin: &Origin, opened: Opened) {
        let Some(held) = self.take_bulk(&origin.places) else {
            return self.refuse(refuse_bulk(self.bulk_stream(origin, opened)));
        };
        let stream = self.bulk_stream(origin, Opened { held, ..opened });
        match self.0.events.try_send(Event::Bulk {
            node: origin.node,
            stream,
        }) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            // Its place stays taken meanwhile, so as many tasks wait here as there are places.
            Err(TrySendError::Full(event)) => {
                let events = self.0.events.clone();
                self.spawn(async move {
                    if let Err(Event::Bulk { stream, .. }) = deliver(&events, event).await {
                        refuse_bulk(stream).await;
                    }
                });
            }
        }
    }

    /// A place for a bulk stream. While many places are free a node may have many; of the rest each has a share.
    fn take_bulk(&self, places: &Places) -> Option<Held> {
        let has_share = places.bulk.available_permits() > BULK_PER_NODE_MAX - BULK_SHARE;
        let is_ample = self.0.bulk.available_permits() > BULK_INBOUND_MAX / 2;
        if has_share || is_ample {
            take(&places.bulk, &self.0.bulk, 1)
        } else {
            None
        }
    }

    fn bulk_stream(&self, origin: &Origin, opened: Opened) -> BulkStream {
        let (counter, wishes) = (origin.counter.clone(), Arc::clone(&self.0.wishes));
        BulkStream::new(origin.node, opened, counter, self.0.progress, wishes)
    }

    /// Lets a refusal be said, while there are few.
    fn refuse(&self, saying: impl Future<Output = ()> + Send + 'static) {
        let Ok(place) = Arc::clone(&self.0.refusals).try_acquire_owned() else {
            tracing::debug!("too busy to say so: a stream is cut off");
            return;
        };
        self.spawn(async move {
            saying.await;
            drop(place);
        });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.0.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
    }
}

/// So many of the node's places and one of all, or none.
fn take(of_node: &Arc<Semaphore>, of_all: &Arc<Semaphore>, weight: usize) -> Option<Held> {
    let of_node = Arc::clone(of_node)
        .try_acquire_many_owned(u32::try_from(weight).ok()?)
        .ok()?;
    let of_all = Arc::clone(of_all).try_acquire_owned().ok()?;
    Some(Held::these(vec![of_node, of_all]))
}

/// Hands an event over; gives it back when there was no room in time.
async fn deliver(events: &mpsc::Sender<Event>, event: Event) -> Result<(), Event> {
    match timeout(ACCEPT_TIMEOUT, events.reserve()).await {
        Ok(Ok(room)) => {
            room.send(event);
            Ok(())
        }
        Ok(Err(_)) | Err(_) => Err(event),
    }
}

async fn refuse_bulk(mut stream: BulkStream) {
    if stream
        .send(&Frame::Busy(Busy {
            retry_after: BUSY_RETRY,
        }))
        .await
        .is_ok()
    {
        // Whether the other side read it in time is its own affair.
        let _ = stream.finish().await;
    }
}

/// Reads one question, has it answered, sends the answer. Question and answer each move within `patience`, whatever moves meanwhile: a
/// place is not for whoever sends a byte now and then.
async fn serve(
    mut stream: ControlStream,
    (node, patience): (NodeId, Duration),
    protocol: ControlProtocol,
    events: &mpsc::Sender<Event>,
) {
    let message = match timeout(patience, stream.hear()).await {
        Ok(Ok(message)) => message,
        Ok(Err(FrameError::TooLong { .. })) => return stream.refuse(Status::TooLong).await,
        Ok(Err(error)) => return tracing::debug!(node = %node.short(), %error, "a question was not heard"),
        Err(_) => return tracing::debug!(node = %node.short(), "a question took too long"),
    };
    let (answer, answered) = oneshot::channel();
    let event = Event::Request {
        node,
        protocol,
        message,
        respond: Responder::new(answer),
    };
    if deliver(events, event).await.is_err() {
        return stream.refuse(Status::Busy).await;
    }
    match timeout(RESPOND_TIMEOUT, answered).await {
        Ok(Ok(answer)) => match timeout(patience, stream.answer(&answer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(node = %node.short(), %error, "an answer was not sent"),
            Err(_) => tracing::debug!(node = %node.short(), "an answer took too long"),
        },
        Ok(Err(_)) | Err(_) => stream.refuse(Status::NoAnswer).await,
    }
}
