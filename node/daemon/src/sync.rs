//! Bringing an archive that this node looks after and one of its hosts to the same state: journals both ways, and the host's inventory into the
//! catalogue. What a host says is verified; what it once signed for and no longer shows is a fault with its name.

mod inventory;
mod journal;

pub(crate) use inventory::{inventory, own_table};
pub(crate) use journal::{JournalShown, journal, note_shown, pull, refresh, statements};
