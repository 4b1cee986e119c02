//! An archive that this node looks after, its own or as somebody's steward: where its shards are, and the packs that were brought back to
//! be repaired. What both have in common; keys, journal and staging are the owner's alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use nuthatch_disk::catalogue::{Catalogue, PackFacts, StripeFacts};
use nuthatch_disk::staging::Staging;
use nuthatch_engine::boundary::JournalPosition;
use nuthatch_format::{ArchiveId, LineId, NodeId, PackId};
use parking_lot::Mutex;

use crate::node::{Node, Owned};
use crate::stripes;

/// Of lines that forked: how many segments beside the line each host was sent in this run.
pub(crate) type ForksSent = Mutex<BTreeMap<(NodeId, LineId), u64>>;

/// See the file.
#[derive(Debug)]
pub(crate) struct Ward {
    pub(crate) archive: ArchiveId,
    pub(crate) catalogue: Arc<Catalogue>,
    /// Packs that were brought back to be repaired, for as long as that takes.
    pub(crate) recalled: Arc<Staging>,
    pub(crate) forks_sent: Arc<ForksSent>,
    /// The rest of it where the archive is this node's own.
    pub(crate) owned: Option<Arc<Owned>>,
}

impl Ward {
    /// This node's own archive.
    pub(crate) fn of_owned(owned: &Arc<Owned>) -> Self {
        Self {
            archive: owned.archive,
            catalogue: Arc::clone(&owned.catalogue),
            recalled: Arc::clone(&owned.recalled),
            forks_sent: Arc::clone(&owned.forks_sent),
            owned: Some(Arc::clone(owned)),
        }
    }

    /// Packs that wait to be sent; a steward has none.
    pub(crate) fn staging(&self) -> Option<&Staging> {
        self.owned.as_ref().map(|owned| &*owned.staging)
    }

    /// Whether a pack waits to be sent.
    pub(crate) fn is_staged(&self, pack: &PackId) -> bool {
        self.staging().is_some_and(|staging| staging.contains(pack))
    }

    /// The stripe that says where a pack stands.
    pub(crate) fn current<'f>(&self, facts: &'f PackFacts) -> Option<&'f StripeFacts> {
        match &self.owned {
            Some(owned) => stripes::current(facts, &owned.device.id(), owned.staging.contains(&facts.id)),
            None => facts.stripes.last(),
        }
    }

    /// Where in this device's journal the label of a stripe stands. Of other devices' lines nothing is waited for: their segments came
    /// from hosts.
    pub(crate) fn position_of(&self, stripe: &StripeFacts) -> JournalPosition {
        let journal = self.owned.as_ref().map(|owned| &owned.journal);
        match journal.and_then(|journal| Some((journal, journal.head()?))) {
            Some((journal, head)) if head.line == stripe.line => {
                journal.position_of_sequence(stripe.sequence)
            }
            _ => JournalPosition(0),
        }
    }

    /// Where this device's journal stands; a steward writes none.
    pub(crate) fn position(&self) -> JournalPosition {
        let journal = self.owned.as_ref().map(|owned| owned.journal.position());
        journal.unwrap_or_default()
    }
}

impl Node {
    /// An archive, if this node looks after it.
    pub(crate) fn ward(&self, archive: &ArchiveId) -> Option<Arc<Ward>> {
        match self.owned().filter(|owned| owned.archive == *archive) {
            Some(owned) => Some(Arc::new(Ward::of_owned(&owned))),
            None => self.stewards.ward(archive),
        }
    }
}
