//! Sealing packs again from the files that they were made of: the same content gives the same bytes, so what hosts have lost is rebuilt
//! without downloading anything. A pack whose files are gone or changed is left out, and so is one that comes out with another name.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::{Catalogue, PackNumber, PackRecord};
use nuthatch_disk::file_cache::{BackupSource, FileCache};
use nuthatch_disk::staging::Staging;
use nuthatch_format::chunker::{Chunker, ChunkerParams};
use nuthatch_format::codec;
use nuthatch_format::keys::WriterKeys;
use nuthatch_format::pack::{PackDirectory, SectionEntry};
use nuthatch_format::padding::{Fill, PACK_LEN};
use nuthatch_format::seal::{PackPlan, SealError, SealedPack};
use nuthatch_format::section::{CompressError, Compressor, PlainSection, SectionBuilder, encoder_version};
use nuthatch_format::{ChunkId, Timestamp};

use super::env::{Env, Parts};
use super::harvest::Harvest;
use super::outlet::{Commit, Outlet, OutletError, Space};
use super::roots::Root;
use super::walk::Rules;
use super::{BackupContext, BackupError, BackupParams, identities, pipeline, sequence_walk};
use crate::cancel::{Cancel, Cancelled};
use crate::pattern::PatternSet;
use crate::progress::Silent;

/// What packs are sealed again with.
#[derive(Clone, Copy)]
pub struct ResealContext<'a> {
    /// The keys that they were sealed with.
    pub keys: &'a WriterKeys,
    /// What is stored.
    pub catalogue: &'a Catalogue,
    /// What earlier backups saw, and where.
    pub file_cache: &'a FileCache,
    /// Where sealed packs go; it is the caller who puts them there.
    pub staging: &'a Staging,
    /// Directories that are never backed up: the node's home.
    pub forbidden: &'a [PathBuf],
    /// The machine's clock.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// How much machine to use.
    pub params: BackupParams,
}

/// Why nothing could be sealed again.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// It was told to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// What earlier backups saw could not be read.
    #[error("what earlier backups saw can't be read")]
    Index(#[from] IndexError),
    /// The file that chunks are gathered in failed.
    #[error("gathering chunks on this disk failed")]
    Spool(#[from] std::io::Error),
    /// Compressing failed.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The keys can't seal.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A pack to be sealed again.
struct Wanted {
    number: PackNumber,
    record: PackRecord,
    directory: PackDirectory,
}

/// Seals those of these packs again whose files are all here unchanged, and hands each to `done`. `spool` is an empty file for their
/// plaintext, best one without a name. Blocks for as long as a backup of the same paths in which nothing has changed.
pub fn reseal(
    packs: Vec<PackRecord>,
    context: ResealContext<'_>,
    spool: File,
    cancel: &Cancel,
    mut done: impl FnMut(PackNumber, SealedPack),
) -> Result<(), ResealError> {
    let wanted: Vec<Wanted> = packs.into_iter().filter_map(wanted).collect();
    let chunks = |pack: &Wanted| chunks_of(&pack.directory).collect::<Vec<_>>();
    let ids: BTreeSet<ChunkId> = wanted.iter().flat_map(chunks).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let walk = cancel.for_parts();
    let harvest = Harvest::new(ids.clone(), spool, walk.clone());
    // Long lists of chunks are remembered as they are.
    for id in &ids {
        if let Some(list) = context.file_cache.list(id)?
            && context.keys.chunk_id(&list) == *id
        {
            harvest.take(id, &list);
        }
    }
    for source in context.file_cache.sources()? {
        if harvest.is_complete() {
            break;
        }
        look(&source, &context, &harvest, &walk);
        cancel.check()?;
        if let Some(failure) = harvest.take_failure() {
            return Err(failure.into());
        }
    }
    for pack in wanted {
        cancel.check()?;
        if let Some(sealed) = seal(&pack, &harvest, context.keys)? {
            done(pack.number, sealed);
        }
    }
    Ok(())
}

/// A pack that this program could make: another encoder would write other bytes.
fn wanted(record: PackRecord) -> Option<Wanted> {
    let directory: PackDirectory = codec::decode(&record.directory).ok()?;
    (directory.encoder == encoder_version()).then_some(Wanted {
        number: record.number,
        record,
        directory,
    })
}

fn chunks_of(directory: &PackDirectory) -> impl Iterator<Item = ChunkId> {
    let sections = directory.sections.iter();
    sections.flat_map(|section| section.chunks.iter().map(|chunk| chunk.id))
}

/// Walks one source. Whatever is wrong with it, what was found counts.
fn look(source: &BackupSource, context: &ResealContext<'_>, harvest: &Harvest, walk: &Cancel) {
    if let Err(error) = try_look(source, context, harvest, walk) {
        tracing::debug!(%error, "a source was not looked over to its end");
    }
}

fn try_look(
    source: &BackupSource,
    context: &ResealContext<'_>,
    harvest: &Harvest,
    walk: &Cancel,
) -> Result<(), BackupError> {
    let rules = Rules {
        excludes: PatternSet::new(&source.excludes)?,
        forbidden: identities(context.forbidden),
        one_file_system: source.one_file_system,
    };
    let context = BackupContext {
        keys: context.keys,
        catalogue: context.catalogue,
        file_cache: context.file_cache,
        staging: context.staging,
        outlet: &Nowhere,
        clock: context.clock,
        params: context.params,
    };
    let parts = Parts {
        keys: context.keys,
        chunker: Chunker::new(&context.keys.chunker_key, ChunkerParams::DEFAULT),
        catalogue: context.catalogue,
        file_cache: context.file_cache,
        staging: context.staging,
        outlet: context.outlet,
        harvest: Some(harvest),
        level: context.params.level,
        is_dry_run: true,
        workers: context.params.workers,
        packs_in_flight_max: context.params.packs_in_flight_max,
    };
    let env = Env::new(parts, walk);
    let first = source.paths.first();
    let root = Root::new(source.paths.iter().map(Vec::as_slice)).map_err(|source| BackupError::Path {
        path: first
            .map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
            .unwrap_or_default(),
        source,
    })?;
    pipeline(&env, context.params, |sections| {
        sequence_walk(&env, &context, &rules, &root, sections, &Silent)
    })?;
    Ok(())
}

/// Puts a pack together from what was found; `None` when something of it is missing, or when it comes out otherwise.
fn seal(pack: &Wanted, harvest: &Harvest, keys: &WriterKeys) -> Result<Option<SealedPack>, ResealError> {
    let mut plan = PackPlan::new(pack.record.kind);
    let mut compressor: Option<Compressor> = None;
    for entry in &pack.directory.sections {
        let Some(section) = section(entry, harvest)? else {
            return Ok(None);
        };
        let usable = compressor.take().filter(|one| one.level() == entry.level);
        let mut one = match usable {
            Some(one) => one,
            None => Compressor::new(entry.level)?,
        };
        let section = one.compress(section)?;
        compressor = Some(one);
        if !plan.fits(&section) {
            return Ok(None);
        }
        plan.push(section);
    }
    if plan.is_empty() {
        return Ok(None);
    }
    let fill = if pack.record.len.0 == PACK_LEN as u64 {
        Fill::Full
    } else {
        Fill::Last
    };
    let sealed = plan.seal(keys, fill)?;
    Ok((sealed.id == pack.record.id).then_some(sealed))
}

/// A section with just these chunks; `None` when one is missing or the builder would have cut it otherwise.
fn section(entry: &SectionEntry, harvest: &Harvest) -> Result<Option<PlainSection>, ResealError> {
    let mut builder = SectionBuilder::new();
    let mut alone = None;
    for chunk in &entry.chunks {
        let Some(bytes) = harvest.read(&chunk.id)? else {
            return Ok(None);
        };
        if bytes.len() != chunk.len as usize || bytes.is_empty() || alone.is_some() {
            return Ok(None);
        }
        alone = builder.push(chunk.id, &bytes);
    }
    let section = alone.or_else(|| builder.finish());
    Ok(section.filter(|section| section.chunks() == entry.chunks))
}

/// A walk that gathers chunks makes no packs.
struct Nowhere;

impl Outlet for Nowhere {
    fn pack_staged(&self, _: &SealedPack) -> Result<(), OutletError> {
        Ok(())
    }

    fn flush(&self) -> Result<(), OutletError> {
        Ok(())
    }

    fn wait_for_space(&self, _: Duration) -> Space {
        Space::Never
    }

    fn commit(&self, _: Commit<'_>) -> Result<(), OutletError> {
        Ok(())
    }
}
