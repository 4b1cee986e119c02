//! Which names belong to one file. Remembers the first name of each group, and only so many groups.

use std::collections::HashMap;
use std::sync::Arc;

use nuthatch_format::codec;
use nuthatch_format::tree::Entry;

use super::files::{FileJob, Spot};

/// Groups that are remembered (count). Names of later groups come back as files of their own, and it is said.
const GROUPS_MAX: usize = 200_000;

/// The first name of a group.
struct First {
    spot: Spot,
    /// Of its contents and attributes: a group's number from elsewhere must not join what is not the same.
    digest: [u8; 16],
    /// The file, while it is being written.
    job: Option<Arc<FileJob>>,
}

/// What to do with a name of a group.
pub(crate) enum Linking {
    /// It is the first: make it.
    First,
    /// Join it with this one, unless that failed.
    Join {
        /// The first name.
        first: Spot,
        /// The file, if its contents are still to come.
        job: Option<Arc<FileJob>>,
    },
    /// Make it, though it should be joined: its group is not remembered.
    Split,
}

/// A name to be joined with another when that is complete.
pub(crate) struct LinkJob {
    /// Its path in the snapshot.
    pub(crate) path: Vec<u8>,
    /// Where it goes.
    pub(crate) spot: Spot,
    /// What it is another name of.
    pub(crate) first: Spot,
    /// The file, if its contents were still to come.
    pub(crate) job: Option<Arc<FileJob>>,
}

/// The groups of one restore.
#[derive(Default)]
pub(crate) struct LinkMap {
    groups: HashMap<u64, First>,
}

impl LinkMap {
    /// What to do with an entry of a group that goes to this spot.
    pub(crate) fn linking(&mut self, group: u64, entry: &Entry, spot: &Spot) -> Linking {
        let digest = digest(entry);
        match self.groups.get(&group) {
            Some(first) if first.digest == digest => Linking::Join {
                first: first.spot.clone(),
                job: first.job.clone(),
            },
            Some(_) => Linking::Split,
            None if self.groups.len() >= GROUPS_MAX => Linking::Split,
            None => {
                let first = First {
                    spot: spot.clone(),
                    digest,
                    job: None,
                };
                self.groups.insert(group, first);
                Linking::First
            }
        }
    }

    /// The first name of a group is being written.
    pub(crate) fn set_job(&mut self, group: u64, job: &Arc<FileJob>) {
        if let Some(first) = self.groups.get_mut(&group) {
            first.job = Some(Arc::clone(job));
        }
    }

    /// The first name of a group could not be made: the next one is the first.
    pub(crate) fn forget(&mut self, group: u64) {
        self.groups.remove(&group);
    }

    /// Everything that was being written is complete or failed: only failures are worth remembering.
    pub(crate) fn settle(&mut self) {
        self.groups
            .retain(|_, first| !first.job.take().is_some_and(|job| job.is_failed()));
    }
}

fn digest(entry: &Entry) -> [u8; 16] {
    let anonymous = Entry {
        name: b"-".to_vec(),
        ..entry.clone()
    };
    let hash = blake3::hash(&codec::encode(&anonymous));
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}
