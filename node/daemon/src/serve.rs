//! What this node answers to others: the joining and the claiming protocol, control questions, bulk streams.
//!
//! Everything that comes is somebody's attack until it is verified. Whether a node may have something of an archive is decided in one
//! place (`rights`); whether something is taken is the engine's verdict.

mod audit;
mod budgets;
pub(crate) mod bulk;
pub(crate) mod control;
pub(crate) mod rights;
pub(crate) mod strangers;

pub(crate) use audit::AuditPace;
pub(crate) use budgets::Budgets;
pub(crate) use control::DETACHED_RETRY;
