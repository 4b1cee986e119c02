//! The handle on a running transport: what the rest of Nuthatch calls. It sends commands to the swarm's task and waits with deadlines;
//! it holds no state of the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use nuthatch_format::NodeId;
use nuthatch_wire::bulk::FRAME_LEN_MAX;
use nuthatch_wire::protocol::MESSAGE_LEN_MAX;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::address::{node_of, peer_of, rank, split_peer};
use crate::bulk::{BulkStream, Line};
use crate::config::{
    COMMANDS_MAX, Config, DIAL_ADDRESSES_MAX, LISTEN_TIMEOUT, PEER_ADDRESSES_MAX, QUERY_TIMEOUT,
    SHUTDOWN_TIMEOUT, StartError, Timings,
};
use crate::control::{ControlStream, RequestError};
use crate::dialing::{DialError, Dialer};
use crate::event::Event;
use crate::framed::Terms;
use crate::gate::Gate;
use crate::inbound::Inbound;
use crate::meter::{Meters, Traffic};
use crate::protocol::{ControlProtocol, Protocol};
use crate::streams::{OpenError, Opened, Opener};
use crate::swarm;
use crate::task::{Listening, Task};

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

/// Nodes and addresses that wishes may be about (count each).
const WISHES_MAX: usize = 4096;

/// What is asked of the swarm's task without waiting. Asking twice is asking once, so sets bound it.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    open: Mutex<OpenWishes>,
    any: Notify,
}

/// Wishes that are not fulfilled yet.
#[derive(Debug, Default)]
pub(crate) struct OpenWishes {
    pub(crate) disconnect: BTreeSet<NodeId>,
    pub(crate) reconsider: BTreeSet<NodeId>,
    pub(crate) addresses: BTreeMap<NodeId, BTreeSet<Multiaddr>>,
    pub(crate) complaints: BTreeSet<(ConnectionId, NodeId)>,
}

impl Wishes {
    fn add(&self, wish: impl FnOnce(&mut OpenWishes)) {
        wish(&mut self.open.lock());
        self.any.notify_one();
    }

    /// A stream on this connection stalled.
    pub(crate) fn complain(&self, node: NodeId, connection: ConnectionId) {
        self.add(|open| {
            if open.complaints.len() < WISHES_MAX {
                open.complaints.insert((connection, node));
            }
        });
    }

    /// Waits until there are wishes, and takes them.
    pub(crate) async fn take(&self) -> OpenWishes {
        self.any.notified().await;
        std::mem::take(&mut *self.open.lock())
    }
}

/// A running transport. Clones are handles on the same one; it ends by [`shutdown`](Self::shutdown) or when the last is dropped.
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
            config.timings.progress,
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
        let wishes = Arc::clone(&self.wishes);
        let line = Line {
            node,
            connection: opened.connection,
            path: opened.path,
            wishes,
            taken: None,
        };
        let terms = Terms {
            counter: self.meters.counter(node),
            progress: self.timings.progress,
            frame_len_max: FRAME_LEN_MAX,
            gone: opened.gone,
        };
        Ok(BulkStream::new(opened.stream, line, terms))
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
        self.wishes.add(|open| {
            open.disconnect.insert(node);
        });
    }

    /// Has the gate asked again about a node whose standing changed. Its open connections follow: a new member's are let in as they
    /// stand (and `Connected` comes once more), those of one that is a member no longer are closed.
    pub fn reconsider(&self, node: NodeId) {
        self.wishes.add(|open| {
            open.reconsider.insert(node);
        });
    }

    /// Tells the address tables where a member can be reached. A hint; addresses that cannot be read are left out.
    pub fn add_address(&self, node: NodeId, address: &str) {
        let Ok(address) = address.parse::<Multiaddr>() else {
            return;
        };
        self.wishes.add(|open| {
            if open.addresses.len() < WISHES_MAX {
                let known = open.addresses.entry(node).or_default();
                if known.len() < PEER_ADDRESSES_MAX {
                    known.insert(split_peer(address).0);
                }
            }
        });
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

    /// Asks the members' address tables who has something under a key. A hint: empty when nobody knows, or nobody is connected.
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

/// Whom to dial, if it is known, and where.
type Target = (Option<PeerId>, Vec<Multiaddr>);

/// Sorts what is to be dialled.
fn targets(node: Option<NodeId>, addresses: &[String]) -> Result<Vec<Target>, DialError> {
    if addresses.len() > DIAL_ADDRESSES_MAX {
        return Err(DialError::TooManyAddresses {
            found: addresses.len(),
        });
    }
    let wanted = node.and_then(|node| peer_of(&node));
    let mut by_peer: BTreeMap<Option<PeerId>, Vec<Multiaddr>> = BTreeMap::new();
    for text in addresses {
        let bad = || DialError::BadAddress {
            address: text.clone(),
        };
        let (address, named) = split_peer(text.parse().map_err(|_| bad())?);
        if wanted.is_some() && named.is_some() && named != wanted {
            return Err(bad());
        }
        by_peer.entry(wanted.or(named)).or_default().push(address);
    }
    if wanted.is_some() {
        // Without an address too: the node may be connected already.
        by_peer.entry(wanted).or_default();
    }
    if by_peer.is_empty() {
        return Err(DialError::NoAddress);
    }
    let mut targets = Vec::new();
    for (peer, mut addresses) in by_peer {
        addresses.sort_by_key(rank);
        addresses.dedup();
        match peer {
            Some(_) => targets.push((peer, addresses)),
            // Each may be another node's.
            None => targets.extend(addresses.into_iter().map(|address| (None, vec![address]))),
        }
    }
    Ok(targets)
}

/// The error to report of two: attempts add up, and what says more wins.
fn merge(one: DialError, two: DialError) -> DialError {
    match (one, two) {
        (DialError::Unreachable { attempts: mut all }, DialError::Unreachable { attempts }) => {
            all.extend(attempts);
            DialError::Unreachable { attempts: all }
        }
        (DialError::NoAddress | DialError::Unreachable { .. }, other) => other,
        (one, _) => one,
    }
}
