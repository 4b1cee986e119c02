//! What a transport is started with, and every bound of this crate. Numbers that must agree are written once and asserted here.

use std::fmt;
use std::time::Duration;

use nuthatch_format::Span;
use nuthatch_wire::bulk::FRAME_LEN_MAX;
use nuthatch_wire::protocol::MESSAGE_LEN_MAX;

/// How to start a transport.
pub struct Config {
    /// Seed of the node's Ed25519 key. Wiped when the transport has started.
    pub key_seed: [u8; 32],
    /// Where to listen, as multiaddresses: `/ip4/0.0.0.0/tcp/P`, `/ip4/0.0.0.0/udp/P/quic-v1` and their `ip6` twins. Port 0 lets the
    /// system choose. Empty: dial only, and ask the address tables without keeping one.
    pub listen: Vec<String>,
    /// Whether to look for nodes on the local network and to be found there.
    pub mdns: bool,
    /// Deadlines.
    pub timings: Timings,
}

impl Config {
    /// A configuration with the usual deadlines and mDNS on.
    pub fn new(key_seed: [u8; 32], listen: Vec<String>) -> Self {
        Self {
            key_seed,
            listen,
            mdns: true,
            timings: Timings::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("mdns", &self.mdns)
            .field("timings", &self.timings)
            .finish_non_exhaustive()
    }
}

/// Deadlines of a transport.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// A bulk stream fails when no byte moved for this long. 30 s by default: longer than the pauses of a busy home link.
    pub progress: Duration,
    /// A stream is open or has failed after this long. 15 s by default.
    pub open: Duration,
    /// A dial has ended after this long, over all its addresses. 30 s by default.
    pub dial: Duration,
    /// A connection that is not a member's is closed when it was idle for this long. 15 s by default.
    pub stranger_idle: Duration,
    /// A stranger has said its question, and heard its answer, each after this long in all. 20 s by default: its questions are short.
    pub stranger_question: Duration,
    /// A stranger's connection is kept for this long at least; when there are as many as may be, the oldest beyond it makes room for the
    /// next. 5 s by default: several round trips.
    pub stranger_turn: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            progress: Duration::from_secs(30),
            open: Duration::from_secs(15),
            dial: Duration::from_secs(30),
            stranger_idle: Duration::from_secs(15),
            stranger_question: Duration::from_secs(20),
            stranger_turn: Duration::from_secs(5),
        }
    }
}

/// Why a transport cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key does not work.
    #[error("the node's key cannot be used: {0}")]
    Key(String),
    /// A configured address is not one.
    #[error("'{0}' is not an address to listen on")]
    Address(String),
    /// A configured address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Started outside of a tokio runtime.
    #[error("the network needs an asynchronous runtime")]
    NoRuntime,
}

/// Events that wait for the caller (count). Streams and questions beyond it wait briefly, then hear that we are busy.
pub(crate) const EVENTS_MAX: usize = 256;
/// Events that wait for room among [`EVENTS_MAX`] (count); beyond it the swarm itself waits, so that none is lost.
pub(crate) const BACKLOG_MAX: usize = 1024;
/// Backlog (count) from which mere hints are left out.
pub(crate) const BACKLOG_HINTS_MAX: usize = BACKLOG_MAX / 2;
/// Commands that wait for the swarm (count).
pub(crate) const COMMANDS_MAX: usize = 256;

/// Addresses tried in one dial (count).
pub(crate) const DIAL_ADDRESSES_MAX: usize = 32;
/// Dials of ours under way (count).
pub(crate) const DIALS_MAX: usize = 64;
/// Addresses taken from a node's own word (count).
pub(crate) const PEER_ADDRESSES_MAX: usize = 16;
/// Look-ups of ours under way (count).
pub(crate) const QUERIES_MAX: usize = 64;

/// Connections in all (count): a full circle of 256 with a spare for each.
pub(crate) const CONNECTIONS_MAX: u32 = 640;
/// Connections to one node (count): TCP, QUIC, a relayed and a punched one, and one of each side's that cross.
pub(crate) const CONNECTIONS_PER_NODE_MAX: u32 = 6;
/// Connections whose handshake is under way, in each direction (count).
pub(crate) const HANDSHAKES_MAX: u32 = 128;
/// Connections with nodes that are no members (count).
pub(crate) const STRANGERS_MAX: usize = 32;

/// Bytes that a stranger may send over one connection that it has opened: many times what joining and claiming take.
pub(crate) const STRANGER_LEN_MAX: usize = 1 << 20;

/// Streams that one connection carries (count), both directions.
pub(crate) const STREAMS_PER_CONNECTION_MAX: usize = 256;
/// Streams that we may have open on one connection (count), and the other side as well; the rest is for libp2p's own protocols.
pub(crate) const OPENED_PER_CONNECTION_MAX: usize = 112;
/// Bulk streams that one node may hold open here (count).
pub(crate) const BULK_PER_NODE_MAX: usize = 64;
/// Bulk streams that all nodes together may hold open here (count).
pub(crate) const BULK_INBOUND_MAX: usize = 256;
/// Bulk streams that a node may hold open here (count) when half of [`BULK_INBOUND_MAX`] are taken: streams may rest for minutes, and a
/// few nodes with many of them leave places to the others. Twice what an owner keeps and has under way at one host.
pub(crate) const BULK_SHARE: usize = 16;
/// Questions of one node that are being read or answered here (count).
pub(crate) const REQUESTS_PER_NODE_MAX: usize = 16;
/// Questions of all members that are being read or answered here (count).
pub(crate) const REQUESTS_MAX: usize = 128;
/// Questions of all strangers and claimants that are being read or answered here (count).
pub(crate) const REQUESTS_OF_STRANGERS_MAX: usize = 16;
/// Streams that are being told that we are busy (count); beyond it they are cut off instead.
pub(crate) const REFUSALS_MAX: usize = 256;

/// Bytes that one QUIC stream may send ahead of its reader. 1 MiB: larger windows make uploads on home links stutter.
pub(crate) const QUIC_STREAM_WINDOW: u32 = 1 << 20;
/// Bytes that one QUIC connection may send ahead of its readers.
pub(crate) const QUIC_CONNECTION_WINDOW: u32 = 8 << 20;
/// Bytes that one TCP connection may send ahead of its readers. The multiplexer sets 256 KiB aside for each possible stream; only what
/// is beyond that lets streams grow to what a long fast path needs (1 Gbit/s over 100 ms: twice 12 MiB).
pub(crate) const YAMUX_CONNECTION_WINDOW: usize = STREAMS_PER_CONNECTION_MAX * (256 << 10) + (32 << 20);

/// A handshake over TCP or QUIC has ended after this long, name resolution included.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Agreeing on a stream's protocol has ended after this long.
pub(crate) const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);
/// A question or an answer must move a byte this often.
pub(crate) const CONTROL_PROGRESS: Duration = Duration::from_secs(10);
/// A question of anybody but a stranger, and its answer, have each moved after this long: the longest at 20 kbit/s.
pub(crate) const QUESTION_MAX: Duration = Duration::from_mins(2);
/// The caller has this long to answer a question.
pub(crate) const RESPOND_TIMEOUT: Duration = Duration::from_mins(2);
/// A stream or question waits this long for room among the events before it hears that we are busy.
pub(crate) const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a busy node asks others to wait.
pub(crate) const BUSY_RETRY: Span = Span::from_millis(1_000);
/// After a last word, the other side has this long to read it.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read and thrown away meanwhile.
pub(crate) const LINGER_LEN_MAX: usize = FRAME_LEN_MAX + (1 << 20);
/// A look-up in the address tables has ended after this long.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long listeners may take to report where they listen.
pub(crate) const LISTEN_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections have this long to close in order before they are cut.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Shutting down has ended after this long.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);

const _: () = assert!(BULK_PER_NODE_MAX + REQUESTS_PER_NODE_MAX <= OPENED_PER_CONNECTION_MAX);
const _: () = assert!(BULK_SHARE <= BULK_PER_NODE_MAX && BULK_PER_NODE_MAX <= BULK_INBOUND_MAX / 2);
const _: () = assert!(2 * OPENED_PER_CONNECTION_MAX < STREAMS_PER_CONNECTION_MAX);
const _: () = assert!(LINGER_LEN_MAX > MESSAGE_LEN_MAX);
const _: () = assert!(STRANGER_LEN_MAX >= 2 * MESSAGE_LEN_MAX);
const _: () = assert!(DIALS_MAX < HANDSHAKES_MAX as usize);
const _: () = assert!(BACKLOG_HINTS_MAX < BACKLOG_MAX);
const _: () = assert!(CLOSE_TIMEOUT.as_millis() < SHUTDOWN_TIMEOUT.as_millis());
