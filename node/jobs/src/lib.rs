//! The long work of a node: backup, restore, listing and verification, as blocking jobs over threads.
//!
//! A job touches files and indexes through `nuthatch-disk` and makes bytes through `nuthatch-format`. It opens no socket, knows no host and
//! decides nothing about placement: sealed packs go to an [`backup::outlet::Outlet`] and come back from a [`pack_source::PackSource`], both
//! of the node's making. Memory is bounded whatever the amount of data.

pub mod backup;
mod budget;
pub mod cancel;
mod content_reader;
mod cutter;
pub mod list;
mod meta_reader;
mod opener;
pub mod pack_source;
pub mod pattern;
pub mod progress;
pub mod restore;
mod section_reader;
pub mod snapshot_path;
pub mod snapshots;
mod tree_walk;
pub mod verify;

pub use cancel::{Cancel, Cancelled};
pub use pack_source::{Origin, PackSource, Reading, SourceError};
pub use progress::{Progress, Silent, Tally, Warning, WarningKind};
pub use section_reader::ReadContext;
