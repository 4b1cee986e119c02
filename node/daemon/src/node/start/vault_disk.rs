//! What a host does by itself for what it keeps: it looks whether the vault's disk is there, and reads every shard through, slowly. What is
//! damaged is removed, so that the next inventory and the next audit say so.

use std::sync::{Arc, Weak};
use std::time::Duration;

use nuthatch_disk::atomic::{self, Access};
use nuthatch_disk::vault::{ShardPlace, Soundness};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::ByteCount;
use tokio_util::sync::CancellationToken;

use crate::events::FaultKind;
use crate::node::Node;

/// Between two looks at the disk.
const LOOK: Duration = Duration::from_secs(5);

/// Pause where there is nothing to read, or the disk is away.
const IDLE: Duration = Duration::from_mins(1);

/// Longest pause before one shard: a budget that allows less is not kept, but shown to be too small by that.
const PAUSE_MAX: Duration = Duration::from_hours(24);

/// Longest note of how far the vault was read, in bytes.
const NOTE_LEN_MAX: u64 = 256;

/// Keeps an eye on the disk until the node ends.
pub(super) async fn look(node: Weak<Node>, stop: CancellationToken) {
    let mut was_there = true;
    loop {
        {
            let Some(node) = node.upgrade() else { return };
            was_there = node.look_at_vault(was_there).await;
        }
        if sleep(LOOK, &stop).await {
            return;
        }
    }
}

impl Node {
    /// Looks whether the vault's disk is there, and says so where that is new.
    async fn look_at_vault(self: &Arc<Self>, was_there: bool) -> bool {
        let vault = Arc::clone(&self.vault);
        let looked = tokio::task::spawn_blocking(move || vault.look()).await;
        let is_there = match looked {
            Ok(Ok(is_there)) => is_there,
            Ok(Err(error)) => {
                let message =
                    format!("the disk with what this node keeps for others can't be opened: {error}");
                self.events.fault(FaultKind::OwnDisk, None, message);
                return was_there;
            }
            Err(error) => {
                tracing::debug!("a look at the vault's disk broke off: {error}");
                return was_there;
            }
        };
        let said = match (was_there, is_there) {
            (false, true) => Some((
                "vault_attached",
                "the disk with what this node keeps for others is back",
            )),
            (true, false) => Some((
                "vault_detached",
                "the disk with what this node keeps for others is not connected: nothing is taken, and nothing is written",
            )),
            (true, true) | (false, false) => None,
        };
        if let Some((kind, message)) = said {
            self.events.say(kind, None, message);
            self.vault_changed();
        }
        is_there
    }
}

/// Reads shard after shard until the node ends, within the day's bytes, and goes on after a restart where it was.
pub(super) async fn scrub(node: Weak<Node>, stop: CancellationToken) {
    let mut after = None;
    let mut is_first = true;
    loop {
        let pause = {
            let Some(node) = node.upgrade() else { return };
            if std::mem::take(&mut is_first) {
                after = load(&node);
            }
            let per_day = node.config().audits.scrub;
            let found = next(&node, after).await;
            found.map(|(place, len)| (place, pause_for(len, per_day)))
        };
        let Some((place, pause)) = pause else {
            after = None;
            if sleep(IDLE, &stop).await {
                return;
            }
            continue;
        };
        if sleep(pause, &stop).await {
            return;
        }
        let Some(node) = node.upgrade() else { return };
        read_through(&node, place).await;
        after = Some(place);
    }
}

async fn sleep(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// How long a shard's bytes are worth, of so many in a day.
fn pause_for(len: ByteCount, per_day: ByteCount) -> Duration {
    let day = u128::from(nuthatch_format::Span::from_days(1).0);
    let millis = u128::from(len.0) * day / u128::from(per_day.0.max(1));
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)).min(PAUSE_MAX)
}

async fn next(node: &Arc<Node>, after: Option<ShardPlace>) -> Option<(ShardPlace, ByteCount)> {
    let vault = Arc::clone(&node.vault);
    let found = tokio::task::spawn_blocking(move || vault.next_shard(after.as_ref())).await;
    found.ok()?.ok()?
}

/// Reads one shard, and removes it when it is damaged and its disk is there: a disk that is away, or fails as a whole, damages nothing.
async fn read_through(node: &Arc<Node>, place: ShardPlace) {
    let scrubber = Arc::clone(node);
    let read = tokio::task::spawn_blocking(move || {
        let soundness = scrubber.vault.scrub(&place).map_err(|error| error.to_string())?;
        let is_gone = soundness != Soundness::Sound;
        if is_gone {
            // Refused where the disk is away.
            scrubber.vault.remove(&place).map_err(|error| error.to_string())?;
        }
        let note = format!("{} {} {}\n", place.archive, place.label, place.index.0);
        atomic::write_file(&scrubber.home.scrub_path(), note.as_bytes(), Access::Ordinary)
            .map_err(|error| error.to_string())?;
        Ok::<bool, String>(is_gone)
    });
    match read.await {
        Ok(Ok(true)) => {
            node.outboards.forget(&place);
            let message = format!(
                "{place} that this node keeps for others is damaged and was removed: its owner will see it"
            );
            node.events.fault(FaultKind::OwnDisk, None, message);
            node.vault_changed();
        }
        Ok(Ok(false)) => {}
        Ok(Err(error)) => tracing::debug!("a shard was not read through: {error}"),
        Err(error) => tracing::debug!("reading a shard through broke off: {error}"),
    }
}

fn load(node: &Node) -> Option<ShardPlace> {
    let bytes = atomic::read_file(&node.home.scrub_path(), NOTE_LEN_MAX).ok()??;
    place_of(std::str::from_utf8(&bytes).ok()?)
}

/// The shard that a note names; `None` for any other text, and then it begins at the first one.
fn place_of(text: &str) -> Option<ShardPlace> {
    let mut words = text.split_whitespace();
    Some(ShardPlace {
        archive: words.next()?.parse().ok()?,
        label: words.next()?.parse().ok()?,
        index: ShardIndex(words.next()?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use nuthatch_format::{ArchiveId, LabelId};

    use super::*;

    #[test]
    fn a_note_names_its_shard_and_anything_else_begins_anew() {
        let place = ShardPlace {
            archive: ArchiveId::from_bytes([1; 32]),
            label: LabelId::from_bytes([0xab; 32]),
            index: ShardIndex(7),
        };
        let note = format!("{} {} {}\n", place.archive, place.label, place.index.0);
        assert_eq!(place_of(&note), Some(place));
        for text in ["", "a b c", &note[..70], "nonsense"] {
            assert_eq!(place_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_reads_what_its_budget_says() {
        let shard = ByteCount(2 << 20);
        let pause = pause_for(shard, ByteCount(20_000_000_000));
        let read = Duration::from_hours(24).as_millis() / pause.as_millis() * u128::from(shard.0);
        assert!((19_000_000_000..=21_000_000_000).contains(&read), "{read}");
        assert_eq!(pause_for(shard, ByteCount(0)), PAUSE_MAX);
    }
}
