//! Which snapshot a person means: `latest`, `latest~2`, an id, or the beginning of one. Pure but for reading the list.
//!
//! `latest` never jumps from one device to another: what another machine backed up last is seldom what is meant, and a device that was
//! taken over must not be able to put its own snapshot in the place of another's.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_disk::catalogue::{SnapshotRecord, SnapshotSummary};
use nuthatch_format::{DeviceId, LineId, SnapshotId, Timestamp};

use super::catalogue_failure;
use crate::api::{Exit, Failure};
use crate::node::Owned;

/// Candidates that a failure names at most.
const NAMED_MAX: usize = 5;

/// Hexadecimal digits with which a failure names a candidate: more than a list shows, so that they differ.
const NAMED_DIGITS: usize = 16;

/// The snapshot that a person means.
pub(crate) fn select(owned: &Owned, text: &str) -> Result<SnapshotRecord, Failure> {
    let snapshots = owned
        .catalogue
        .snapshots()
        .map_err(|error| catalogue_failure(&error))?;
    let id = pick(&snapshots, &owned.device.id(), text).map_err(|error| failure(text, &error))?;
    let record = owned
        .catalogue
        .snapshot(&id)
        .map_err(|error| catalogue_failure(&error))?;
    record.ok_or_else(|| failure(text, &PickError::Unknown))
}

/// Why it can't be said which snapshot is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum PickError {
    /// Neither an id nor a word that is known.
    #[error("it is neither an id nor 'latest'")]
    NotAName,
    /// There is no snapshot at all.
    #[error("this archive has no snapshot yet")]
    None,
    /// No id begins like this.
    #[error("no snapshot has this id")]
    Unknown,
    /// Going back further than there are.
    #[error("there are only {count} snapshots of this device")]
    TooFarBack {
        /// How many there are.
        count: usize,
    },
    /// Several ids begin like this.
    #[error("{} snapshots begin like this", .candidates.len())]
    Ambiguous {
        /// All of them.
        candidates: Vec<SnapshotId>,
    },
    /// Several devices have snapshots, this one has none.
    #[error("{} devices have snapshots, and this one is none of them", .newest.len())]
    SeveralDevices {
        /// The newest of each.
        newest: Vec<(DeviceId, SnapshotId)>,
    },
}

fn pick(snapshots: &[SnapshotSummary], own: &DeviceId, text: &str) -> Result<SnapshotId, PickError> {
    match steps_back(text)? {
        Some(steps) => latest(snapshots, own, steps),
        None => by_prefix(snapshots, text),
    }
}

/// How far back from the latest; `None` for what may be an id.
fn steps_back(text: &str) -> Result<Option<usize>, PickError> {
    let Some(rest) = text.strip_prefix("latest") else {
        return Ok(None);
    };
    if rest.is_empty() {
        return Ok(Some(0));
    }
    let steps = rest.strip_prefix('~').and_then(|number| number.parse().ok());
    steps.map(Some).ok_or(PickError::NotAName)
}

fn latest(snapshots: &[SnapshotSummary], own: &DeviceId, steps: usize) -> Result<SnapshotId, PickError> {
    let devices: BTreeSet<DeviceId> = snapshots.iter().map(|snapshot| snapshot.device).collect();
    let device = match (devices.contains(own), devices.len()) {
        (true, _) => *own,
        (false, 0) => return Err(PickError::None),
        (false, 1) => devices.first().copied().ok_or(PickError::None)?,
        (false, _) => {
            let newest = devices
                .iter()
                .filter_map(|device| Some((*device, *of_device(snapshots, device).last()?)));
            return Err(PickError::SeveralDevices {
                newest: newest.collect(),
            });
        }
    };
    let ordered = of_device(snapshots, &device);
    let place = ordered.len().checked_sub(steps.saturating_add(1));
    place
        .and_then(|place| ordered.get(place).copied())
        .ok_or(PickError::TooFarBack { count: ordered.len() })
}

/// A device's snapshots, oldest first. Within a line the journal's order counts, whatever the clock said; lines are put in order by
/// their newest snapshot.
fn of_device(snapshots: &[SnapshotSummary], device: &DeviceId) -> Vec<SnapshotId> {
    let own = || {
        snapshots
            .iter()
            .enumerate()
            .filter(|(_, snapshot)| snapshot.device == *device)
    };
    let mut newest: BTreeMap<LineId, Timestamp> = BTreeMap::new();
    for (_, snapshot) in own() {
        let time = newest.entry(snapshot.line).or_default();
        *time = (*time).max(snapshot.time);
    }
    let mut ordered: Vec<_> = own()
        .map(|(place, snapshot)| {
            let line = newest.get(&snapshot.line).copied().unwrap_or_default();
            (line, snapshot.line, snapshot.sequence, place, snapshot.id)
        })
        .collect();
    ordered.sort_unstable();
    ordered.into_iter().map(|(.., id)| id).collect()
}

fn by_prefix(snapshots: &[SnapshotSummary], text: &str) -> Result<SnapshotId, PickError> {
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || text.len() > 2 * SnapshotId::LEN {
        return Err(PickError::NotAName);
    }
    if snapshots.is_empty() {
        return Err(PickError::None);
    }
    let prefix = text.to_ascii_lowercase();
    let found: BTreeSet<SnapshotId> = snapshots
        .iter()
        .map(|snapshot| snapshot.id)
        .filter(|id| id.to_string().starts_with(&prefix))
        .collect();
    match (found.first(), found.len()) {
        (Some(id), 1) => Ok(*id),
        (Some(_), _) => Err(PickError::Ambiguous {
            candidates: found.into_iter().collect(),
        }),
        (None, _) => Err(PickError::Unknown),
    }
}

fn failure(text: &str, error: &PickError) -> Failure {
    let (exit, kind) = match error {
        PickError::NotAName => (Exit::Usage, "no_snapshot"),
        PickError::None | PickError::Unknown | PickError::TooFarBack { .. } => (Exit::Failed, "no_snapshot"),
        PickError::Ambiguous { .. } | PickError::SeveralDevices { .. } => (Exit::Failed, "ambiguous"),
    };
    let hint = match error {
        PickError::NotAName => {
            "name a snapshot by its id or the beginning of it, 'latest' or 'latest~2'; 'nuthatch snapshots' lists them".to_owned()
        }
        PickError::None => "make one with 'nuthatch backup PATH'".to_owned(),
        PickError::Unknown | PickError::TooFarBack { .. } => "'nuthatch snapshots' lists those that there are".to_owned(),
        PickError::Ambiguous { candidates } => {
            let shown: Vec<_> = candidates.iter().take(NAMED_MAX).map(digits).collect();
            format!("give more digits: {}", shown.join(", "))
        }
        PickError::SeveralDevices { newest } => {
            let shown: Vec<_> = newest
                .iter()
                .take(NAMED_MAX)
                .map(|(device, id)| format!("{} (device {})", digits(id), device.short()))
                .collect();
            format!("name one by its id; the newest of each device: {}", shown.join(", "))
        }
    };
    Failure::new(
        exit,
        kind,
        format!("can't tell which snapshot '{text}' is: {error}"),
    )
    .with_hint(hint)
}

fn digits(id: &SnapshotId) -> String {
    id.to_string().chars().take(NAMED_DIGITS).collect()
}

#[cfg(test)]
mod tests;
