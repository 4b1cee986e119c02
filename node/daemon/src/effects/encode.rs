//! Giving a pack a label: its shards named, the label signed and journalled.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use nuthatch_disk::catalogue::{self, PackRecord};
use nuthatch_disk::vault::ShardPlace;
use nuthatch_engine::boundary::{EncodeOutcome, Input, PackNumber};
use nuthatch_erasure::Scheme;
use nuthatch_format::journal::Entry;
use nuthatch_format::label::{PackToLabel, SignedLabel};
use nuthatch_format::pack::{HEADER_LEN, read_header};
use nuthatch_format::slice::Outboard;
use nuthatch_format::{ArchiveId, ByteCount, PackId};

use super::recall;
use crate::clock;
use crate::node::{Node, Owned};
use crate::stripes::StripeFile;
use crate::ward::Ward;

/// How long a label waits for others to share its segment.
const GATHER: Duration = Duration::from_millis(20);

/// Encodes a pack that is staged, or that hosts give back. Whatever fails here is tried again later.
pub(super) async fn encode(
    node: &Arc<Node>,
    archive: ArchiveId,
    pack: PackNumber,
    scheme: Scheme,
) -> EncodeOutcome {
    match try_encode(node, archive, pack, scheme).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::warn!("pack number {} could not be encoded: {error}", pack.0);
            EncodeOutcome::Failed
        }
    }
}

async fn try_encode(
    node: &Arc<Node>,
    archive: ArchiveId,
    pack: PackNumber,
    scheme: Scheme,
) -> Result<EncodeOutcome, String> {
    let owned = node
        .owned()
        .filter(|owned| owned.archive == archive)
        .ok_or("no such archive here")?;
    let text = |error: &dyn std::error::Error| error.to_string();
    let number = catalogue::PackNumber(pack.0);
    let record = owned
        .catalogue
        .pack(number)
        .map_err(|error| text(&error))?
        .ok_or("no such pack")?;
    if !owned.staging.contains(&record.id) {
        stage(node, &owned, &record).await?;
    }
    let worker = Arc::clone(&owned);
    let (label, trees) = blocking(move || label(&worker, &record, scheme)).await?;
    let (id, shard_len) = (label.id(), label.label().shard_len);
    keep_trees(node, &label, trees);
    let journal = Arc::clone(&owned.journal);
    let entry = Entry::StripeAdded {
        label: label.bytes().to_vec(),
    };
    blocking(move || journal.add(entry).map_err(|error| error.to_string())).await?;
    tokio::time::sleep(GATHER).await;
    let journal = Arc::clone(&owned.journal);
    let position = blocking(move || journal.flush().map_err(|error| error.to_string())).await?;
    node.engine
        .tell(Input::JournalGrew {
            archive,
            journal: position,
        })
        .await;
    Ok(EncodeOutcome::Labelled {
        label: id,
        shard_len: ByteCount(shard_len),
        journal: position,
    })
}

/// Keeps the trees of a stripe for its sending.
fn keep_trees(node: &Node, label: &SignedLabel, trees: Vec<Outboard>) {
    for (index, tree) in label.label().scheme.indices().zip(trees) {
        let place = ShardPlace {
            archive: label.label().archive,
            label: label.id(),
            index,
        };
        node.sent_trees.put(place, Arc::new(tree));
    }
}

/// Names the shards of a staged pack, after checking that it is the pack, and signs the label. Answers their trees beside it.
fn label(owned: &Owned, record: &PackRecord, scheme: Scheme) -> Result<(SignedLabel, Vec<Outboard>), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let file = owned
        .staging
        .open_pack(&record.id)
        .map_err(|error| text(&error))?;
    if hash(&file).map_err(|error| text(&error))? != record.id {
        // A damaged staged copy is worse than none: without it the pack is made or fetched again.
        owned.staging.remove(&record.id).map_err(|error| text(&error))?;
        return Err(format!(
            "the staged copy of pack {} is damaged",
            record.id.short()
        ));
    }
    // What the journal says of the pack may be another device's claim; its bytes are what was just checked.
    let pack_len = file.metadata().map_err(|error| text(&error))?.len();
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0).map_err(|error| text(&error))?;
    let header = read_header(&header).map_err(|error| text(&error))?;
    let stripe = StripeFile::new(&file, pack_len, scheme);
    let trees = stripe.encode().map_err(|error| text(&error))?;
    let shards = trees.iter().map(Outboard::root).collect();
    let pack = PackToLabel {
        archive: owned.archive,
        pack: record.id,
        header,
        pack_len,
    };
    let nonce = clock::entropy().map_err(|error| text(&error))?;
    Ok((pack.label(scheme, shards, nonce, &owned.device), trees))
}

fn hash(file: &File) -> std::io::Result<PackId> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(PackId::from_bytes(*hasher.finalize().as_bytes()))
}

/// Gets a pack back into staging, from the cheapest source that gives it.
async fn stage(node: &Arc<Node>, owned: &Arc<Owned>, record: &PackRecord) -> Result<(), String> {
    recall::bring(node, &Arc::new(Ward::of_owned(owned)), record).await?;
    let (owned, id) = (Arc::clone(owned), record.id);
    blocking(move || {
        if owned.staging.contains(&id) {
            return Ok(());
        }
        let bytes = owned.recalled.read(&id).map_err(|error| error.to_string())?;
        owned
            .staging
            .put_pack_bytes(&id, &bytes)
            .map_err(|error| error.to_string())?;
        owned.recalled.remove(&id).map_err(|error| error.to_string())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}
