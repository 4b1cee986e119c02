//! A node: one loop that feeds the engine, performs its effects, and serves the commands of its person.

pub mod api;
pub mod config;
pub mod local_client;
pub mod local_server;
