//! The handle on a running transport: what the rest of Nuthatch calls. It sends commands to the swarm's task and waits with deadlines;
//! it holds no state of the network.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use libp2p::{Multiaddr, PeerId};
use nuthatch_format::NodeId;
use nuthatch_wire::protocol::MESSAGE_LEN_MAX;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::address::{node_of, peer_of, split_peer};
use crate::bulk::BulkStream;
use crate::config::{
    COMMANDS_MAX, Config, LISTEN_TIMEOUT, QUERY_TIMEOUT, SHUTDOWN_TIMEOUT, StartError, Timings,
};
use crate::control::{ControlStream, RequestError};
use crate::dialing::{DialError, Dialer, merge, targets};
use crate::event::Event;
use crate::gate::Gate;
use crate::inbound::Inbound;
use crate::meter::{Meters, Traffic};
use crate::protocol::{ControlProtocol, Protocol};
use crate::streams::{OpenError, Opened, Opener};
use crate::swarm;
use crate::task::{Listening, Task};
use crate::throttle::RateLimits;
use crate::wishes::Wishes;

/// What the handle asks of the swarm's task. Answers go to whoever asked.
#[derive(Debug)]
pub(crate) enum Command {
    Dial(Option<PeerId>, Vec<Multiaddr>, Dialer),
    Open(PeerId, Protocol, Opener),
    FindNode(PeerId, oneshot::Sender<Vec<Multiaddr>>),
    Provide([u8; 32], oneshot::Sender<()>),
    Providers([u8; 32], oneshot::Sender<Vec<NodeId>>),
    Shutdown,
}

/// A transport, running unless it is [`nowhere`](Self::nowhere). Clones are handles on the same one; it ends by [`shutdown`](Self::shutdown) or when the last is dropped.
#[derive(Debug, Clone)]
pub struct Transport {
    node: NodeId,
    timings: Timings,
    commands: mpsc::Sender<Command>,
    wishes: Arc<Wishes>,
    listening: watch::Receiver<Listening>,
    meters: Arc<Meters>,
    stopped: CancellationToken,
}

impl Transport {
    /// Starts a transport within the current tokio runtime. Events must be taken from the receiver: while they are not, others hear
    /// that we are busy. When the receiver is dropped, the transport ends.
    pub fn start(
        mut config: Config,
        gate: Arc<dyn Gate>,
    ) -> Result<(Self, mpsc::Receiver<Event>), StartError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        let (meters, wishes) = (Arc::new(Meters::default()), Arc::new(Wishes::default()));
        let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
        let (inbound, events, receiver) = Inbound::new(
            Arc::clone(&meters),
            Arc::clone(&wishes),
            &config.timings,
            stop.clone(),
        );
        let built = swarm::build(&mut config, &gate, inbound, &stop)?;
        let node = node_of(built.swarm.local_peer_id())
            .ok_or_else(|| StartError::Key("its peer id does not hold it".to_owned()))?;
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let (task, listening) = Task::new(built, gate, Arc::clone(&meters), Arc::clone(&wishes), events);
        tokio::spawn({
            let stopped = stopped.clone();
            async move {
                // Connections end with the task, however it ends.
                let _stop = stop.drop_guard();
                let _stopped = stopped.drop_guard();
                Box::pin(task.run(asked)).await;
            }
        });
        Ok((
            Self {
                node,
                timings: config.timings,
                commands,
                wishes,
                listening,
                meters,
                stopped,
            },
            receiver,
        ))
    }

    /// A transport that was never started, for a node that needs nobody now: it opens no socket, reaches nobody, finds nothing and
    /// listens nowhere. Everything that is asked of it ends at once.
    pub fn nowhere(node: NodeId) -> Self {
        let stopped = CancellationToken::new();
        stopped.cancel();
        Self {
            node,
            timings: Timings::default(),
            // Without the other ends nothing that is put in ever leaves.
            commands: mpsc::channel(1).0,
            wishes: Arc::default(),
            listening: watch::channel(Listening::default()).1,
            meters: Arc::default(),
            stopped,
        }
    }

    /// Whether it runs: false when it was never started, and after its end.
    pub fn is_running(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Our own id.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Where we listen: private and public addresses first, loopback last. Waits a few seconds for listeners that are just starting.
    pub async fn listen_addresses(&self) -> Vec<String> {
        let mut listening = self.listening.clone();
        // When some listener takes too long, the others are answered.
        let _ = timeout(LISTEN_TIMEOUT, listening.wait_for(Listening::is_settled)).await;
        let addresses = listening.borrow().addresses();
        addresses.iter().map(ToString::to_string).collect()
    }

    /// Connects with a node, or finds that it is connected already. All addresses are tried at once, the first that leads to the node
    /// wins; one where another node answers costs the others nothing. Without a node, whoever answers is taken, and its id is the
    /// answer; an address may end in `/p2p/` and the id that is expected there.
    pub async fn dial(&self, node: Option<NodeId>, addresses: Vec<String>) -> Result<NodeId, DialError> {
        let targets = targets(node, &addresses)?;
        let mut dials: FuturesUnordered<_> = targets
            .into_iter()
            .map(|(peer, addresses)| self.dial_one(peer, addresses))
            .collect();
        let any = async {
            let mut failed = DialError::NoAddress;
            while let Some(outcome) = dials.next().await {
                match outcome {
                    Ok(node) => return Ok(node),
                    Err(error) => failed = merge(failed, error),
                }
            }
            Err(failed)
        };
        timeout(self.timings.dial, any)
            .await
            .unwrap_or(Err(DialError::TimedOut))
    }

    /// Dials one node; an address where another node answers is left out and the rest tried again.
    async fn dial_one(
        &self,
        peer: Option<PeerId>,
        mut addresses: Vec<Multiaddr>,
    ) -> Result<NodeId, DialError> {
        let mut wrong: Option<DialError> = None;
        loop {
            let (dialer, outcome) = oneshot::channel();
            self.command(Command::Dial(peer, addresses.clone(), dialer))
                .await
                .map_err(|Gone| DialError::Stopped)?;
            match outcome.await.unwrap_or(Err(DialError::Stopped)) {
                Err(error @ (DialError::WrongNode { .. } | DialError::Ourselves { .. })) => {
                    let (DialError::WrongNode { address, .. } | DialError::Ourselves { address }) = &error
                    else {
                        return Err(error);
                    };
                    let tried = addresses.len();
                    addresses.retain(|other| other.to_string() != *address);
                    if addresses.is_empty() || addresses.len() == tried {
                        return Err(error);
                    }
                    wrong = Some(error);
                }
                Err(error) => return Err(wrong.map_or(error.clone(), |wrong| merge(wrong, error))),
                Ok(node) => return Ok(node),
            }
        }
    }

    /// Asks a connected node. `patience` is how long the answer may take to begin; the question and the answer, at most
    /// `MESSAGE_LEN_MAX` bytes each, may then take as long as they keep moving.
    pub async fn request(
        &self,
        node: NodeId,
        protocol: ControlProtocol,
        message: Vec<u8>,
        patience: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        if message.len() > MESSAGE_LEN_MAX {
            return Err(RequestError::TooLong {
                found: message.len(),
                max: MESSAGE_LEN_MAX,
            });
        }
        let opened = self.open(node, Protocol::Control(protocol)).await?;
        ControlStream::new(opened, self.meters.counter(node))
            .ask(&message, patience)
            .await
    }

    /// Opens a bulk stream to a connected node, on the best connection that may carry bulk. A node that is busy says so in its first
    /// frame.
    pub async fn open_bulk(&self, node: NodeId) -> Result<BulkStream, OpenError> {
        let opened = self.open(node, Protocol::Bulk).await?;
        let (counter, wishes) = (self.meters.counter(node), Arc::clone(&self.wishes));
        Ok(BulkStream::new(
            node,
            opened,
            counter,
            self.timings.progress,
            wishes,
        ))
    }

    pub(crate) async fn open(&self, node: NodeId, protocol: Protocol) -> Result<Opened, OpenError> {
        let peer = peer_of(&node).ok_or(OpenError::NotConnected)?;
        let opening = async {
            match self.open_once(peer, protocol).await {
                // The connection broke before anything was sent; there may be another.
                Err(OpenError::Lost) => self.open_once(peer, protocol).await,
                other => other,
            }
        };
        timeout(self.timings.open, opening)
            .await
            .unwrap_or(Err(OpenError::TimedOut))
    }

    async fn open_once(&self, peer: PeerId, protocol: Protocol) -> Result<Opened, OpenError> {
        let (opener, outcome) = oneshot::channel();
        self.command(Command::Open(peer, protocol, opener))
            .await
            .map_err(|Gone| OpenError::Stopped)?;
        outcome.await.unwrap_or(Err(OpenError::Lost))
    }

    #[cfg(test)]
    pub(crate) fn counter(&self, node: NodeId) -> crate::meter::Counter {
        self.meters.counter(node)
    }

    /// Closes all connections with a node. `Disconnected` follows, if there were any.
    pub fn disconnect(&self, node: NodeId) {
        self.wishes.disconnect(node);
    }

    /// Has the gate asked again about a node whose standing changed. Its open connections follow: a new member's are let in as they
    /// stand (and `Connected` comes once more), those of one that is a member no longer are closed.
    pub fn reconsider(&self, node: NodeId) {
        self.wishes.reconsider(node);
    }

    /// Tells the address tables where a member can be reached. A hint; addresses that cannot be read are left out.
    pub fn add_address(&self, node: NodeId, address: &str) {
        if let Ok(address) = address.parse() {
            self.wishes.add_address(node, split_peer(address).0);
        }
    }

    /// Asks the members' address tables where a node is. A hint: empty when nobody knows, or nobody is connected.
    pub async fn find_node(&self, node: NodeId) -> Vec<String> {
        let Some(peer) = peer_of(&node) else {
            return Vec::new();
        };
        let found = self
            .ask(|asker| Command::FindNode(peer, asker))
            .await
            .unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    /// Tells the members' address tables that this node has something under a key, and goes on telling them.
    pub async fn provide(&self, key: [u8; 32]) {
        if self.ask(|asker| Command::Provide(key, asker)).await.is_none() {
            tracing::debug!("a key was not announced to anybody");
        }
    }

    /// Asks the members' address tables who has something under a key, ourselves included. A hint: empty when nobody knows, or nobody
    /// is connected.
    pub async fn providers(&self, key: [u8; 32]) -> Vec<NodeId> {
        self.ask(|asker| Command::Providers(key, asker))
            .await
            .unwrap_or_default()
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (asker, answer) = oneshot::channel();
        let asking = async {
            self.command(question(asker)).await.ok()?;
            answer.await.ok()
        };
        timeout(QUERY_TIMEOUT + QUERY_TIMEOUT / 2, asking)
            .await
            .ok()
            .flatten()
    }

    /// Limits how fast bulk moves from now on, with all nodes together, also on streams that are open. Control questions are not limited.
    pub fn set_limits(&self, limits: RateLimits) {
        let throttles = self.meters.throttles();
        throttles.up.set(limits.up);
        throttles.down.set(limits.down);
    }

    /// The limits that hold.
    pub fn limits(&self) -> RateLimits {
        let throttles = self.meters.throttles();
        RateLimits {
            up: throttles.up.rate(),
            down: throttles.down.rate(),
        }
    }

    /// What all our streams moved since the start.
    pub fn traffic(&self) -> Traffic {
        self.meters.total()
    }

    /// What our streams with one node moved since the start.
    pub fn traffic_with(&self, node: &NodeId) -> Traffic {
        self.meters.of(node)
    }

    /// Ends the transport: open streams break, connections close, sockets are free again. Takes seconds at most.
    pub async fn shutdown(self) {
        let ending = async {
            // If the task is gone already, there is nothing to end.
            let _ = self.command(Command::Shutdown).await;
            self.stopped.cancelled().await;
        };
        if timeout(SHUTDOWN_TIMEOUT, ending).await.is_err() {
            tracing::warn!("the network did not end in time");
        }
    }

    async fn command(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).await.map_err(|_| Gone)
    }
}

/// The swarm's task has ended.
#[derive(Debug)]
struct Gone;
