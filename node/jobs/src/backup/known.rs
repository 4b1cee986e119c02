//! What earlier backups saw of files, asked by the walk; and what this one saw, remembered by the sequencer for the next.
//!
//! A row of the file cache is used only when every chunk that it names is still in the catalogue, so a cache that is ahead of what was really
//! journalled, or older than what was thrown away, costs reading and never data.

use std::collections::{BTreeSet, HashMap};

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::{Catalogue, PackNumber};
use nuthatch_disk::file_cache::rule::{Judgement, judge_same_path};
use nuthatch_disk::file_cache::{CachedFile, CachedRow, FileCache, FileStamp};
use nuthatch_disk::source::{Hole, SourceEntry};
use nuthatch_format::ChunkId;
use nuthatch_format::content::Content;

use super::counts::Novelty;
use super::harvest::Harvest;
use super::read::Extent;
use super::step::Named;
use crate::content_reader::{ChunkReader, ContentError, ContentReader};

/// Rows (count) and bytes of their ids that are put in one commit, which costs a sync.
const ROWS_BATCH: usize = 4096;
const IDS_BATCH_LEN: usize = 2 * 1024 * 1024;
/// Files of several names whose contents are remembered within one run (count).
const LINKS_KEPT_MAX: usize = 2048;

/// The file cache or the catalogue failed.
#[derive(Debug, thiserror::Error)]
#[error("what is known of earlier backups could not be read or written")]
pub(crate) struct KnownError(#[from] IndexError);

/// A file's contents as they are in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownFile {
    /// Its chunks.
    pub(crate) content: Content,
    /// How its data lies in it.
    pub(crate) extent: Extent,
}

impl KnownFile {
    /// An empty one.
    fn nothing() -> Self {
        Self {
            content: Content::default(),
            extent: Extent::default(),
        }
    }
}

/// How a file compares with what was seen before.
#[derive(Debug)]
pub(crate) enum Known {
    /// It is the same, and all of it is stored.
    Unchanged(KnownFile),
    /// It was seen under another path, and all of it is stored.
    Moved(KnownFile),
    /// It has to be read; this is what was seen under its path before, if anything.
    ToRead(Option<Before>),
}

/// What an earlier backup saw under a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Before {
    stamp: FileStamp,
    content: Content,
}

impl Before {
    /// Whether the file that was read now is the same after all.
    pub(crate) fn is_same(&self, seen: &SourceEntry, content: &Content) -> bool {
        self.stamp.mtime == seen.mtime && self.stamp.size == seen.size && self.content == *content
    }
}

/// What is known of files, for the walk.
pub(crate) struct KnownFiles<'e> {
    cache: &'e FileCache,
    catalogue: &'e Catalogue,
    /// Only files are read that hold what this wants.
    harvest: Option<&'e Harvest>,
    packs: BTreeSet<PackNumber>,
}

impl<'e> KnownFiles<'e> {
    /// What this cache and this catalogue know.
    pub(crate) fn new(cache: &'e FileCache, catalogue: &'e Catalogue, harvest: Option<&'e Harvest>) -> Self {
        Self {
            cache,
            catalogue,
            harvest,
            packs: BTreeSet::new(),
        }
    }

    /// Packs that unchanged files need.
    pub(crate) fn into_packs(self) -> BTreeSet<PackNumber> {
        self.packs
    }

    /// Looks a regular file up.
    pub(crate) fn look_up(&mut self, path: &[u8], seen: &SourceEntry) -> Result<Known, KnownError> {
        let stamp = FileStamp::from(seen);
        let before = self.cache.get(path)?;
        if let Some(harvest) = self.harvest {
            return self.look_for(harvest, before);
        }
        if let Some(cached) = &before
            && judge_same_path(cached, &stamp) == Judgement::Unchanged
            && let Some(file) = self.usable(cached)?
        {
            return Ok(Known::Unchanged(file));
        }
        if before.is_none()
            && let Some(cached) = self.cache.renamed(&stamp)?
            && let Some(file) = self.usable(&cached)?
        {
            return Ok(Known::Moved(file));
        }
        Ok(Known::ToRead(before.map(|cached| Before {
            stamp: cached.stamp,
            content: cached.content,
        })))
    }

    /// Whether a file is to be read because a chunk is wanted that it held. Of any other it is enough what was seen of it: where that is
    /// no longer true, its directory's tree is another one, and nobody wants that.
    fn look_for(&self, harvest: &Harvest, before: Option<CachedFile>) -> Result<Known, KnownError> {
        let Some(cached) = before else {
            return Ok(Known::Unchanged(KnownFile::nothing()));
        };
        let mut lists = Lists {
            cache: self.cache,
            catalogue: self.catalogue,
            packs: BTreeSet::new(),
        };
        let Ok(mut ids) = ContentReader::new::<ListError>(&cached.content) else {
            return Ok(Known::ToRead(None));
        };
        loop {
            match ids.next(&mut lists) {
                Ok(Some(id)) if harvest.wants(&id) => return Ok(Known::ToRead(None)),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(ContentError::Chunk(ListError::Index(error))) => return Err(error.into()),
                Err(ContentError::Malformed | ContentError::Chunk(ListError::Forgotten)) => {
                    return Ok(Known::ToRead(None));
                }
            }
        }
        Ok(Known::Unchanged(KnownFile {
            extent: Extent {
                size: cached.stamp.size,
                holes: cached.holes,
            },
            content: cached.content,
        }))
    }

    /// The file's contents, if they make sense and every chunk of them is still known.
    fn usable(&mut self, cached: &CachedFile) -> Result<Option<KnownFile>, KnownError> {
        let mut lens = cached.holes.iter().map(|hole: &Hole| hole.len);
        if lens.try_fold(cached.content.len, u64::checked_add) != Some(cached.stamp.size) {
            return Ok(None);
        }
        let mut packs = BTreeSet::new();
        let mut lists = Lists {
            cache: self.cache,
            catalogue: self.catalogue,
            packs: BTreeSet::new(),
        };
        let Ok(mut ids) = ContentReader::new::<ListError>(&cached.content) else {
            return Ok(None);
        };
        loop {
            match ids.next(&mut lists) {
                Ok(Some(id)) => {
                    if !note(self.catalogue, &id, &self.packs, &mut packs)? {
                        return Ok(None);
                    }
                }
                Ok(None) => break,
                Err(ContentError::Malformed | ContentError::Chunk(ListError::Forgotten)) => return Ok(None),
                Err(ContentError::Chunk(ListError::Index(error))) => return Err(error.into()),
            }
        }
        self.packs.append(&mut packs);
        self.packs.append(&mut lists.packs);
        Ok(Some(KnownFile {
            content: cached.content.clone(),
            extent: Extent {
                size: cached.stamp.size,
                holes: cached.holes.clone(),
            },
        }))
    }
}

/// Notes a pack that holds a chunk, one that is needed anyway before another. `false` when no pack does.
fn note(
    catalogue: &Catalogue,
    id: &ChunkId,
    needed: &BTreeSet<PackNumber>,
    noted: &mut BTreeSet<PackNumber>,
) -> Result<bool, IndexError> {
    let places = catalogue.lookup(id)?;
    let Some(first) = places.first() else {
        return Ok(false);
    };
    if !places
        .iter()
        .any(|place| needed.contains(&place.pack) || noted.contains(&place.pack))
    {
        noted.insert(first.pack);
    }
    Ok(true)
}

/// The lists of long contents, as remembered here: a writer cannot read them from packs.
struct Lists<'e> {
    cache: &'e FileCache,
    catalogue: &'e Catalogue,
    packs: BTreeSet<PackNumber>,
}

/// Why a list is of no use.
#[derive(Debug)]
enum ListError {
    Forgotten,
    Index(IndexError),
}

impl ChunkReader for Lists<'_> {
    type Error = ListError;

    fn chunk(&mut self, id: &ChunkId) -> Result<Vec<u8>, ListError> {
        let none = BTreeSet::new();
        if !note(self.catalogue, id, &none, &mut self.packs).map_err(ListError::Index)? {
            return Err(ListError::Forgotten);
        }
        self.cache
            .list(id)
            .map_err(ListError::Index)?
            .ok_or(ListError::Forgotten)
    }
}

/// What this backup saw, for the next one, and for further names of the same file in this one.
pub(crate) struct Memory<'e> {
    cache: &'e FileCache,
    is_dry_run: bool,
    rows: Vec<CachedRow>,
    ids_len: usize,
    links: HashMap<(u64, u64), (FileStamp, KnownFile)>,
}

impl<'e> Memory<'e> {
    /// Nothing seen yet. A dry run remembers nothing for the next backup.
    pub(crate) fn new(cache: &'e FileCache, is_dry_run: bool) -> Self {
        Self {
            cache,
            is_dry_run,
            rows: Vec::new(),
            ids_len: 0,
            links: HashMap::new(),
        }
    }

    /// The contents of a file that this backup has seen under another name.
    pub(crate) fn linked(&self, named: &Named) -> Option<KnownFile> {
        if named.seen.link_count < 2 {
            return None;
        }
        let (stamp, file) = self.links.get(&named.identity())?;
        (*stamp == FileStamp::from(&named.seen)).then(|| file.clone())
    }

    /// Notes a file of several names.
    pub(crate) fn note_link(&mut self, named: &Named, file: KnownFile) {
        if named.seen.link_count < 2 {
            return;
        }
        if self.links.len() >= LINKS_KEPT_MAX {
            self.links.clear();
        }
        self.links
            .insert(named.identity(), (FileStamp::from(&named.seen), file));
    }

    /// Remembers a file for the next backup.
    pub(crate) fn remember(&mut self, named: &Named, file: KnownFile) -> Result<(), KnownError> {
        self.row(named, file.content, file.extent.holes)
    }

    /// Compares a directory with what was seen before, and remembers it.
    pub(crate) fn directory(&mut self, named: &Named, tree: &Content) -> Result<Novelty, KnownError> {
        let novelty = match self.cache.get(&named.path)? {
            None => Novelty::New,
            Some(before) if before.content == *tree => return Ok(Novelty::Unmodified),
            Some(_) => Novelty::Changed,
        };
        self.row(named, tree.clone(), Vec::new())?;
        Ok(novelty)
    }

    fn row(&mut self, named: &Named, content: Content, holes: Vec<Hole>) -> Result<(), KnownError> {
        if self.is_dry_run {
            return Ok(());
        }
        self.ids_len += content.chunks.len() * ChunkId::LEN;
        self.rows.push(CachedRow {
            path: named.path.clone(),
            file: CachedFile {
                stamp: FileStamp::from(&named.seen),
                seen_at: named.looked_at,
                content,
                holes,
            },
        });
        if self.rows.len() >= ROWS_BATCH || self.ids_len >= IDS_BATCH_LEN {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what is not written yet.
    pub(crate) fn flush(&mut self) -> Result<(), KnownError> {
        if !self.rows.is_empty() {
            self.cache.put(&self.rows)?;
            self.rows.clear();
            self.ids_len = 0;
        }
        Ok(())
    }
}
