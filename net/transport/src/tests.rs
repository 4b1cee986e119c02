//! Whole transports on loopback: real sockets, ports chosen by the system, waiting on events only.

mod asking;
mod bulk;
mod connecting;
mod finding;
mod gate;
mod limits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nuthatch_format::NodeId;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::{BulkStream, Config, ControlProtocol, Event, Gate, Standing, Transport};

/// Far longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A gate that can be told.
pub(crate) struct Book {
    others: Standing,
    named: Mutex<BTreeMap<NodeId, Standing>>,
}

impl Book {
    pub(crate) fn set(&self, node: NodeId, standing: Standing) {
        self.named.lock().insert(node, standing);
    }
}

impl Gate for Book {
    fn standing(&self, node: &NodeId) -> Standing {
        self.named.lock().get(node).copied().unwrap_or(self.others)
    }
}

/// A node under test.
pub(crate) struct Node {
    pub(crate) transport: Transport,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) book: Arc<Book>,
}

impl Node {
    /// A node that takes others for `others`, and listens there.
    pub(crate) fn with(
        seed: u8,
        others: Standing,
        listen: &[&str],
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::new([seed; 32], listen.iter().map(ToString::to_string).collect());
        config.mdns = false;
        config.timings.progress = Duration::from_secs(5);
        adjust(&mut config);
        let book = Arc::new(Book {
            others,
            named: Mutex::default(),
        });
        let (transport, events) = Transport::start(config, Arc::clone(&book) as Arc<dyn Gate>).unwrap();
        Self {
            transport,
            events,
            book,
        }
    }

    /// A node in a circle of everybody.
    pub(crate) fn member(seed: u8, listen: &str) -> Self {
        Self::with(seed, Standing::Member, &[listen], |_| {})
    }

    pub(crate) fn id(&self) -> NodeId {
        self.transport.node()
    }

    pub(crate) async fn dial(&self, other: &Self) {
        let addresses = other.transport.listen_addresses().await;
        assert_eq!(
            self.transport.dial(Some(other.id()), addresses).await,
            Ok(other.id())
        );
    }

    /// The first event that `pick` takes; those before it are dropped.
    pub(crate) async fn event<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let picked = async {
            loop {
                let event = self.events.recv().await.expect("the transport has ended");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        };
        timeout(PATIENCE, picked).await.expect("the event did not come")
    }

    pub(crate) async fn connected(&mut self) -> NodeId {
        self.event(|event| match event {
            Event::Connected { node, .. } => Some(node),
            _ => None,
        })
        .await
    }

    pub(crate) async fn disconnected(&mut self) -> NodeId {
        self.event(|event| match event {
            Event::Disconnected { node } => Some(node),
            _ => None,
        })
        .await
    }

    pub(crate) async fn introduced(&mut self) -> NodeId {
        self.event(|event| match event {
            Event::PeerAddresses { node, .. } => Some(node),
            _ => None,
        })
        .await
    }

    pub(crate) async fn bulk(&mut self) -> BulkStream {
        self.event(|event| match event {
            Event::Bulk { stream, .. } => Some(stream),
            _ => None,
        })
        .await
    }

    /// Answers every question with itself, and gives every bulk stream to `each`, from now on.
    pub(crate) fn serve<F: Future<Output = ()> + Send + 'static>(
        self,
        each: impl Fn(BulkStream) -> F + Send + 'static,
    ) -> Transport {
        let mut events = self.events;
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    Event::Request { message, respond, .. } => respond.respond(message),
                    Event::Bulk { stream, .. } => drop(tokio::spawn(each(stream))),
                    _ => {}
                }
            }
        });
        self.transport
    }

    /// Answers questions; bulk streams are dropped.
    pub(crate) fn answer(self) -> Transport {
        self.serve(|stream| async move { drop(stream) })
    }
}

pub(crate) async fn ask(
    from: &Transport,
    to: NodeId,
    protocol: ControlProtocol,
    message: &[u8],
) -> Result<Vec<u8>, crate::RequestError> {
    from.request(to, protocol, message.to_vec(), PATIENCE).await
}
