//! The network as the rest of Nuthatch sees it: nodes by id, one question and its answer, long-lived bulk streams, and hints about who
//! is where. libp2p lives in this crate alone; nothing of it shows outside.
//!
//! It touches sockets and decides nothing: whom to dial and when, whom to admit, what to answer are the caller's business. It reads no
//! file but the resolver's configuration, stores nothing, and never hands bytes to a node that the [`Gate`] has not let in, but for the
//! joining and the claiming protocol, which are open to all.
//!
//! Three promises hold everywhere: every queue has a bound and answers *busy* when it is full; every wait has a deadline, for bulk one
//! that runs from the last byte that moved; an error reaches whoever asked.
//!
//! QUIC and `SSLKEYLOGFILE`: the TLS library below writes session keys to the file named by that variable and offers no switch. Where
//! the variable is set when a transport starts, QUIC therefore stays off ([`Degraded::KeyLog`]); TCP uses Noise, which logs no keys.

mod address;
mod allowance;
mod behaviour;
mod bulk;
mod config;
mod control;
mod dialing;
mod event;
mod finding;
mod framed;
mod gate;
mod inbound;
mod meter;
mod muxer;
mod protocol;
mod refusals;
mod silence;
mod streams;
mod swarm;
mod task;
mod throttle;
mod transport;
mod wishes;

pub use address::{PathClass, node_from_text, peer_id_text};
pub use bulk::{BulkError, BulkReceiver, BulkSender, BulkStream};
pub use config::{Config, StartError, Timings};
pub use control::RequestError;
pub use dialing::{DialError, FailedAddress};
pub use event::{Degraded, Event, Responder};
pub use gate::{Gate, Standing};
pub use meter::Traffic;
pub use protocol::ControlProtocol;
pub use streams::OpenError;
pub use throttle::{RATE_MAX, RATE_MIN, RateLimits};
pub use transport::Transport;

#[cfg(test)]
mod tests;
