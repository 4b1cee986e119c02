//! Opening the stores of the archive in a home, and taking up what a crash left in staging.

use std::sync::Arc;

use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::file_cache::FileCache;
use nuthatch_disk::staging::Staging;
use nuthatch_engine::rules::REPAIRS_MAX;
use nuthatch_format::ByteCount;
use nuthatch_format::codec;
use nuthatch_format::journal::Entry;
use nuthatch_format::padding::PACK_LEN;

use crate::api::{Exit, Failure};
use crate::events::FaultKind;
use crate::journal::JournalWriter;
use crate::node::{Node, Owned};
use crate::{setup, stripes};

/// Staging takes this part of the free space unless the settings say otherwise.
const STAGING_DIVISOR: u64 = 4;

/// Packs that are repaired at a time, and as many that are just being thrown away.
const RECALLED_MAX: ByteCount = ByteCount(2 * (REPAIRS_MAX * PACK_LEN) as u64);

/// Opens everything of the archive; `None` at a node that only hosts.
pub(super) fn open(node: &Node) -> Result<Option<Owned>, Failure> {
    let Some(keys) = setup::load_owned(&node.home)? else {
        return Ok(None);
    };
    let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::Failed, "own_disk", error);
    let archive = keys.writer.archive;
    node.begin_hosting(&archive, &keys.certificate)
        .map_err(|error| failed(&error))?;
    let (catalogue, _) =
        Catalogue::open(&node.home.catalogue_path(&archive)).map_err(|error| failed(&error))?;
    let (file_cache, _) = FileCache::open(&node.home.file_cache_path(&archive), archive.as_bytes())
        .map_err(|error| failed(&error))?;
    let staging =
        Staging::open(&node.home.staging_dir(), staging_bound(node)?).map_err(|error| failed(&error))?;
    let recalled = Staging::open(&node.home.recalled_dir(), RECALLED_MAX).map_err(|error| failed(&error))?;
    // What an earlier run brought back is brought back again when it is wanted.
    recalled.clear().map_err(|error| failed(&error))?;
    let (catalogue, device) = (Arc::new(catalogue), Arc::new(keys.device));
    let segments = Arc::clone(&node.segments);
    let journal = JournalWriter::open(
        keys.writer.clone(),
        Arc::clone(&device),
        (segments, Arc::clone(&node.statements)),
        Arc::clone(&catalogue),
    )
    .map_err(|error| failed(&error))?;
    let unread_count = journal.unread_count();
    if unread_count > 0 {
        let message = format!(
            "{unread_count} parts of the journal can't be read from this disk; they are fetched again from hosts"
        );
        node.events.fault(FaultKind::OwnDisk, None, message);
    }
    let owned = Owned {
        archive,
        writer: keys.writer,
        device,
        certificate: keys.certificate,
        catalogue,
        file_cache: Arc::new(file_cache),
        staging: Arc::new(staging),
        recalled: Arc::new(recalled),
        journal: Arc::new(journal),
        forks_sent: Arc::default(),
    };
    take_up_staged(node, &owned)?;
    Ok(Some(owned))
}

fn staging_bound(node: &Node) -> Result<ByteCount, Failure> {
    if let Some(bound) = node.config().staging {
        return Ok(bound);
    }
    let space =
        nuthatch_disk::atomic::disk_space(node.home.root()).map_err(|error| setup::disk_failure(&error))?;
    Ok(ByteCount(space.free.0 / STAGING_DIVISOR))
}

/// Packs that were sealed and staged, and never journalled: a backup was killed. They are journalled now, and count as stored. Packs
/// whose every shard is held under a label of our own, left by a crash before they were removed, go.
fn take_up_staged(node: &Node, owned: &Owned) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::Failed, "own_disk", error);
    for staged in owned.staging.list() {
        let numbers = owned
            .catalogue
            .pack_numbers(&staged.id)
            .map_err(|error| failed(&error))?;
        if let Some(number) = numbers.first() {
            let facts = owned
                .catalogue
                .pack_facts(*number)
                .map_err(|error| failed(&error))?;
            let own = owned.device.id();
            let newest = facts
                .as_ref()
                .and_then(|facts| stripes::current(facts, &own, true));
            if newest.is_some_and(|stripe| stripe.missing_count() == 0) {
                owned
                    .staging
                    .remove(&staged.id)
                    .map_err(|error| setup::disk_failure(&error))?;
            }
            continue;
        }
        let entry = owned.staging.read(&staged.id).ok().and_then(|bytes| {
            let (header, directory) = nuthatch_format::open::open_directory(&bytes, &owned.writer).ok()?;
            Some(Entry::PackAdded {
                pack: staged.id,
                kind: header.kind(),
                len: bytes.len() as u64,
                header: header.as_bytes().to_vec(),
                directory: codec::encode(&directory),
            })
        });
        if let Some(entry) = entry {
            owned.journal.add(entry).map_err(|error| failed(&error))?;
        } else {
            let message = format!("a staged pack ({}) is damaged and is left out", staged.id.short());
            node.events.fault(FaultKind::OwnDisk, None, message);
            owned
                .staging
                .remove(&staged.id)
                .map_err(|error| setup::disk_failure(&error))?;
        }
    }
    owned.journal.flush().map(drop).map_err(|error| failed(&error))
}
