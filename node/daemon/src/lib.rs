//! A node: one loop that feeds the engine, performs its effects, and serves the commands of its person.

pub mod api;
pub mod clock;
pub mod config;
pub mod local_client;
pub mod local_server;
pub mod setup;

mod archives;
mod ask;
mod audit_log;
mod circle;
mod commands;
mod contact;
mod driver;
mod effects;
mod events;
mod fetch;
mod gate;
mod hosting;
mod identity;
mod job;
mod journal;
mod ledger;
mod links;
mod membership;
mod node;
mod outboards;
mod outlet;
mod perform;
mod protection;
mod pulse;
mod repairs;
mod roster_sync;
mod send;
mod serve;
mod source;
mod stewards;
mod stripes;
mod sync;
mod uptime;
mod waiting;
mod ward;

pub use node::{Node, NodeOptions};
pub use nuthatch_transport::peer_id_text;
