//! Sealing packs again from the files that are still here. One walk over the files serves every pack that waits for one by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nuthatch_disk::catalogue::{PackNumber, PackRecord};
use nuthatch_jobs::Cancel;
use nuthatch_jobs::backup::{BackupParams, ResealContext, reseal};
use parking_lot::Mutex;

use crate::clock;
use crate::job;
use crate::node::{Node, Owned};

/// Packs that wait for a walk, and those that one has been made for. At most as many as are repaired at a time.
#[derive(Debug, Default)]
pub(crate) struct Resealing {
    waiting: Mutex<BTreeMap<PackNumber, PackRecord>>,
    made: Mutex<BTreeSet<PackNumber>>,
    turn: tokio::sync::Mutex<()>,
}

/// Whether the pack could be sealed again and is among those that were brought back now.
pub(super) async fn from_files(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    record: &PackRecord,
) -> Result<bool, String> {
    let desk = &node.resealing;
    desk.waiting.lock().insert(record.number, record.clone());
    let turn = desk.turn.lock().await;
    let packs = std::mem::take(&mut *desk.waiting.lock());
    if packs.contains_key(&record.number) {
        let (walker, of) = (Arc::clone(node), Arc::clone(owned));
        let walked = job::run(node, &node.stop, move |flag| walk(&walker, &of, packs, flag)).await;
        if let Err(error) = walked.map_err(|failure| failure.message).flatten() {
            tracing::warn!("packs could not be sealed again from the files here: {error}");
        }
    }
    let is_made = desk.made.lock().remove(&record.number);
    drop(turn);
    Ok(is_made)
}

fn walk(
    node: &Arc<Node>,
    owned: &Owned,
    packs: BTreeMap<PackNumber, PackRecord>,
    cancel: &Cancel,
) -> Result<(), String> {
    let spool = owned.recalled.unnamed_file().map_err(|error| error.to_string())?;
    let forbidden = [node.home.root().to_owned()];
    let context = ResealContext {
        keys: &owned.writer,
        catalogue: &owned.catalogue,
        file_cache: &owned.file_cache,
        staging: &owned.recalled,
        forbidden: &forbidden,
        clock: &clock::now,
        // It is done beside everything else, and nobody waits for it.
        params: BackupParams::for_cores(1),
    };
    let mut failed = None;
    reseal(
        packs.into_values().collect(),
        context,
        spool,
        cancel,
        |number, sealed| match owned.recalled.put_pack(&sealed) {
            Ok(()) => {
                node.resealing.made.lock().insert(number);
            }
            Err(error) => failed = Some(error.to_string()),
        },
    )
    .map_err(|error| error.to_string())?;
    failed.map_or(Ok(()), Err)
}
