//! Verifies snapshots: that their metadata can be read and every chunk they name has a place, and on request that every byte is right.
//!
//! It finds and names damage; what to do about it is decided elsewhere. Whether hosts hold enough shards is not its question.

use std::collections::{BTreeSet, HashSet};

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::{PackNumber, PackRecord};
use nuthatch_format::content::Content;
use nuthatch_format::snapshot::Snapshot;
use nuthatch_format::tree::EntryKind;
use nuthatch_format::{ChunkId, DeviceId, NodeId, PackId, SnapshotId};

use crate::cancel::{Cancel, Cancelled};
use crate::content_reader::{ContentError, ContentReader};
use crate::meta_reader::MetaReader;
use crate::opener::OpenPackError;
use crate::pack_source::{Origin, SourceError};
use crate::progress::{Progress, Reporter, Warning, WarningKind};
use crate::section_reader::{ChunkError, ClaimFault, ReadContext, SectionReader};
use crate::tree_walk::{self, TreeWalk, TreeWalkError, Visit};

/// Trees that are remembered as seen (count), so that what snapshots share is walked once.
const TREES_SEEN_MAX: usize = 200_000;
/// Damage that a report lists (count). More is counted.
const DAMAGE_MAX: usize = 1_000;
/// Bytes of paths in that list.
const DAMAGE_PATHS_LEN_MAX: usize = 128 * 1024;
/// Bytes of a pack that are read at a time.
const READ_LEN: u64 = 4 * 1024 * 1024;

/// How much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Metadata; that data has a place.
    Metadata,
    /// Every byte of every pack that is needed.
    EveryByte,
}

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// The snapshots, opened.
    pub snapshots: Vec<(SnapshotId, Snapshot)>,
    /// How much to read.
    pub effort: Effort,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// The snapshot in which it was found first, where it was found in one.
    pub snapshot: Option<SnapshotId>,
    /// The entry that suffers, where one is known; raw bytes.
    pub path: Vec<u8>,
    /// The pack, where one is to blame.
    pub pack: Option<PackId>,
    /// The device that sealed that pack.
    pub device: Option<DeviceId>,
    /// The host that gave wrong bytes, where that is known.
    pub host: Option<NodeId>,
    /// What happened, in words.
    pub message: String,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DamageKind {
    /// A chunk that a snapshot needs is in no pack that is known.
    NoPlace,
    /// Bytes are not those that were sealed.
    WrongBytes,
    /// What was sealed is not what its device claims.
    FalseClaim,
    /// A pack cannot be had now.
    Unavailable,
}

/// How a verification went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Packs that the snapshots need (count).
    pub packs: u64,
    /// Chunks that were looked for (count; shared ones once for each tree).
    pub chunks: u64,
    /// Bytes that came from the source.
    pub bytes_read: u64,
    /// What is wrong, up to 1,000 with 128 KiB of paths.
    pub damaged: Vec<Damage>,
    /// How much is wrong in all (count).
    pub damaged_count: u64,
    /// How much of that cannot be had now, and may be sound (count).
    pub unavailable_count: u64,
    /// Faults that cost nothing, since another place was good.
    pub warnings: Vec<Warning>,
}

/// Why a verification ended early.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The job was told to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The catalogue failed.
    #[error("the catalogue could not be read")]
    Catalogue(#[from] IndexError),
}

/// Verifies. Damage is in the report, not an error.
pub fn run(
    request: &VerifyRequest,
    context: ReadContext<'_>,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<VerifyReport, VerifyError> {
    let reporter = Reporter::new(progress);
    let book = context.book();
    let sections = context.sections(&book, &reporter, cancel);
    let mut verifier = Verifier {
        sections: &sections,
        report: VerifyReport::default(),
        paths_len: 0,
        packs: BTreeSet::new(),
        seen: HashSet::new(),
        snapshot: None,
    };
    let mut meta = MetaReader::new(&sections);
    for (id, snapshot) in &request.snapshots {
        verifier.snapshot = Some(*id);
        verifier.tree(b"", &snapshot.root, &mut meta)?;
    }
    drop(meta);
    verifier.snapshot = None;
    if request.effort == Effort::EveryByte {
        for number in std::mem::take(&mut verifier.packs) {
            verifier.report.packs += 1;
            verifier.pack(number)?;
        }
    } else {
        verifier.report.packs = verifier.packs.len() as u64;
    }
    let mut report = verifier.report;
    report.bytes_read = reporter.tally().bytes_moved;
    report.warnings = reporter.into_warnings();
    Ok(report)
}

struct Verifier<'a> {
    sections: &'a SectionReader<'a>,
    report: VerifyReport,
    /// Bytes of paths in the report's list of damage.
    paths_len: usize,
    packs: BTreeSet<PackNumber>,
    /// First 16 bytes of the hash of contents that were walked.
    seen: HashSet<[u8; 16]>,
    snapshot: Option<SnapshotId>,
}

impl Verifier<'_> {
    /// Everything below a tree.
    fn tree(&mut self, path: &[u8], tree: &Content, meta: &mut MetaReader<'_>) -> Result<(), VerifyError> {
        if !self.is_new(tree) {
            return Ok(());
        }
        self.own_chunks(path, tree, meta)?;
        let mut walk = TreeWalk::new(path, tree);
        while let Some(visit) = walk.next(meta) {
            self.sections.cancel.check()?;
            match visit {
                Visit::Entry { path, entry } => {
                    match &entry.kind {
                        EntryKind::Dir { tree } if self.is_new(tree) => {
                            self.own_chunks(&path, tree, meta)?;
                            walk.enter(&path, tree);
                        }
                        EntryKind::File { content, .. } => self.own_chunks(&path, content, meta)?,
                        _ => {}
                    }
                    self.sections.reporter.entry(&path);
                }
                Visit::Left => {}
                Visit::Broken { path, error } => self.broken(&path, error)?,
            }
        }
        Ok(())
    }

    fn is_new(&mut self, tree: &Content) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[tree.depth]);
        for id in &tree.chunks {
            hasher.update(id.as_bytes());
        }
        let digest = hasher
            .finalize()
            .as_bytes()
            .first_chunk()
            .copied()
            .unwrap_or_default();
        if self.seen.len() >= TREES_SEEN_MAX {
            return !self.seen.contains(&digest);
        }
        self.seen.insert(digest)
    }

    /// That every chunk of a content, and of its lists, has a place.
    fn own_chunks(
        &mut self,
        path: &[u8],
        content: &Content,
        meta: &mut MetaReader<'_>,
    ) -> Result<(), VerifyError> {
        if content.depth > 0 {
            for id in &content.chunks {
                self.place(path, id)?;
            }
        }
        let mut ids = match ContentReader::new::<ChunkError>(content) {
            Ok(ids) => ids,
            Err(error) => return self.unreadable(path, error),
        };
        loop {
            self.sections.cancel.check()?;
            match ids.next(meta) {
                Ok(Some(id)) => self.place(path, &id)?,
                Ok(None) => return Ok(()),
                Err(error) => return self.unreadable(path, error),
            }
        }
    }

    fn place(&mut self, path: &[u8], id: &ChunkId) -> Result<(), VerifyError> {
        self.report.chunks += 1;
        let places = self.sections.book.catalogue().lookup_all(id)?;
        if places.is_empty() {
            self.damage(Damage {
                kind: DamageKind::NoPlace,
                path: path.to_vec(),
                message: "a part of it is in no pack that is known".to_owned(),
                ..self.nothing_known()
            });
        }
        // All claims count: a reader may need any of them.
        self.packs.extend(places.iter().map(|place| place.pack));
        Ok(())
    }

    fn unreadable(&mut self, path: &[u8], error: ContentError<ChunkError>) -> Result<(), VerifyError> {
        self.broken(path, error.into())
    }

    fn broken(&mut self, path: &[u8], error: TreeWalkError) -> Result<(), VerifyError> {
        match tree_walk::broken(path, error) {
            Ok(warning) => {
                let kind = match warning.kind {
                    WarningKind::Unavailable => DamageKind::Unavailable,
                    _ => DamageKind::WrongBytes,
                };
                let damage = Damage {
                    kind,
                    path: warning.path,
                    message: warning.message,
                    ..self.nothing_known()
                };
                self.damage(damage);
                Ok(())
            }
            Err(TreeWalkError::Chunk(ChunkError::Index(error))) => Err(error.into()),
            Err(_) => Err(Cancelled.into()),
        }
    }

    /// Every byte of a pack.
    fn pack(&mut self, number: PackNumber) -> Result<(), VerifyError> {
        self.sections.cancel.check()?;
        let pack = match self.sections.book.pack(number) {
            Ok(pack) => pack,
            Err(OpenPackError::Index(error)) => return Err(error.into()),
            Err(OpenPackError::Unknown) => return Ok(()),
            Err(OpenPackError::Unusable { record, reason }) => {
                self.of_pack(&record, DamageKind::FalseClaim, reason, None);
                return Ok(());
            }
        };
        let record = &pack.record;
        let mut hasher = blake3::Hasher::new();
        // Bytes of the pack that are read and not used up by a section yet, and where they begin.
        let mut held: Vec<u8> = Vec::new();
        let mut held_at = 0_u64;
        let mut origin = Origin::default();
        // Whether all of it came from one stripe, so that its hash says something.
        let mut stripe = None;
        let mut is_of_one = true;
        let mut section = 0_u32;
        let mut at = 0_u64;
        while at < record.len.0 {
            self.sections.cancel.check()?;
            let end = (at + READ_LEN).min(record.len.0);
            let (bytes, from_now_on) = match self.sections.read(record, std::slice::from_ref(&(at..end))) {
                Ok(mut reading) => (reading.parts.pop().unwrap_or_default(), reading.origin),
                Err(SourceError::Cancelled) => return Err(Cancelled.into()),
                Err(error) => {
                    let (kind, host) = match &error {
                        SourceError::Damaged { host, .. } => (DamageKind::WrongBytes, *host),
                        _ => (DamageKind::Unavailable, None),
                    };
                    self.of_pack(record, kind, error.to_string(), host);
                    return Ok(());
                }
            };
            is_of_one = is_of_one && *stripe.get_or_insert(from_now_on.stripe) == from_now_on.stripe;
            if held.is_empty() {
                origin = from_now_on;
            }
            hasher.update(&bytes);
            held.extend_from_slice(&bytes);
            at = end;
            while let Some(range) = pack.range(section).filter(|range| range.end <= at) {
                let from = (range.start - held_at) as usize;
                let sealed = held
                    .get(from..from + (range.end - range.start) as usize)
                    .unwrap_or_default();
                self.section(&pack, section, (sealed, origin))?;
                section += 1;
                held.drain(..(range.end - held_at) as usize);
                held_at = range.end;
                if held.len() <= bytes.len() {
                    origin = from_now_on;
                }
            }
            if pack.range(section).is_none() {
                held.clear();
                held_at = at;
            }
        }
        if is_of_one && PackId::from_bytes(*hasher.finalize().as_bytes()) != record.id {
            self.of_pack(
                record,
                DamageKind::WrongBytes,
                "the pack is not the one that was sealed".to_owned(),
                None,
            );
        }
        Ok(())
    }

    fn section(
        &mut self,
        pack: &crate::opener::OpenPack,
        index: u32,
        sealed: (&[u8], Origin),
    ) -> Result<(), VerifyError> {
        let record = &pack.record;
        match self.sections.open(pack, index, sealed) {
            Ok(plain) => {
                let Some(entry) = pack.section(index) else {
                    return Ok(());
                };
                for (id, bytes) in entry.split(&plain) {
                    if self.sections.book.chunk_id(bytes) != id {
                        let message = format!("a chunk of section {index} is not what its device claims");
                        self.of_pack(record, DamageKind::FalseClaim, message, None);
                    }
                }
                self.sections.reporter.bytes(plain.len() as u64, &[]);
            }
            Err(ClaimFault::False) => {
                let message = format!("section {index} is not what its device claims");
                self.of_pack(record, DamageKind::FalseClaim, message, None);
            }
            Err(ClaimFault::Damaged(host)) => {
                self.of_pack(
                    record,
                    DamageKind::WrongBytes,
                    format!("section {index} is damaged"),
                    host,
                );
            }
            Err(ClaimFault::Source(SourceError::Cancelled)) => return Err(Cancelled.into()),
            Err(ClaimFault::Source(error)) => {
                self.of_pack(record, DamageKind::Unavailable, error.to_string(), None);
            }
        }
        Ok(())
    }

    fn of_pack(&mut self, record: &PackRecord, kind: DamageKind, message: String, host: Option<NodeId>) {
        let damage = Damage {
            kind,
            pack: Some(record.id),
            device: Some(record.device),
            host,
            message,
            ..self.nothing_known()
        };
        self.damage(damage);
    }

    fn nothing_known(&self) -> Damage {
        Damage {
            kind: DamageKind::NoPlace,
            snapshot: self.snapshot,
            path: Vec::new(),
            pack: None,
            device: None,
            host: None,
            message: String::new(),
        }
    }

    fn damage(&mut self, damage: Damage) {
        self.report.damaged_count += 1;
        self.report.unavailable_count += u64::from(damage.kind == DamageKind::Unavailable);
        let paths_len = self.paths_len + damage.path.len();
        if self.report.damaged.len() < DAMAGE_MAX && paths_len <= DAMAGE_PATHS_LEN_MAX {
            self.paths_len = paths_len;
            self.report.damaged.push(damage);
        }
    }
}
