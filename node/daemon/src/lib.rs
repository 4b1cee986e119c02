//! A node: one loop that feeds the engine, performs its effects, and serves the commands of its person.

pub mod api;
