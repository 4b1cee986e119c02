//! A node without a network: keys, indexes and staging in a temporary directory, a journal in memory, and a source that reads staging
//! and can be told to fail.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nuthatch_disk::catalogue::{Catalogue, PackNumber, PackRecord};
use nuthatch_disk::file_cache::FileCache;
use nuthatch_disk::staging::{ReadPackError, Staging};
use nuthatch_format::codec;
use nuthatch_format::journal::{Entry, LineHead, Opened};
use nuthatch_format::keys::{ArchiveKeys, ReaderKeys, RecoveryPhrase};
use nuthatch_format::seal::SealedPack;
use nuthatch_format::snapshot::{PackChange, Snapshot, SnapshotLine};
use nuthatch_format::{
    ByteCount, DeviceId, LabelId, LineId, NodeId, PackId, SegmentId, SnapshotId, Timestamp,
};
use nuthatch_jobs::backup::outlet::{Commit, Outlet, OutletError, Space};
use nuthatch_jobs::backup::{self, BackupContext, BackupError, BackupParams, BackupReport, BackupRequest};
use nuthatch_jobs::restore::{
    self, Overwrite, RestoreContext, RestoreError, RestoreParams, RestoreReport, RestoreRequest,
};
use nuthatch_jobs::{
    Cancel, Origin, PackSource, Progress, ReadContext, Reading, Silent, SourceError, snapshots,
};

/// A node of one archive.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub keys: ArchiveKeys,
    pub catalogue: Catalogue,
    pub file_cache: FileCache,
    pub staging: Staging,
    journal: Mutex<Journal>,
    /// What `wait_for_space` answers.
    pub space: Space,
    pub last_commit: Mutex<Option<(std::collections::BTreeSet<PackNumber>, Vec<PackId>)>>,
}

#[derive(Default)]
struct Journal {
    waiting: Vec<Entry>,
    sequence: u64,
    packs: u64,
}

pub fn clock() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test stands in for the node that owns the clock"
    )]
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    // Ahead of the files that a test has just made, so that they are not too fresh to be trusted.
    Timestamp(now.as_millis() as u64 + 10_000)
}

impl Node {
    pub fn new() -> Self {
        Self::with_staging(64 << 30)
    }

    /// As after a restart with another bound.
    pub fn reopen_staging(&mut self, bound: u64) {
        self.staging = Staging::open(&self.dir.path().join("staging"), ByteCount(bound)).unwrap();
    }

    pub fn with_staging(bound: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = ArchiveKeys::derive(&RecoveryPhrase::from_entropy([7; 32]));
        let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.redb")).unwrap();
        let (file_cache, _) = FileCache::open(&dir.path().join("files.redb"), &[1; 32]).unwrap();
        let staging = Staging::open(&dir.path().join("staging"), ByteCount(bound)).unwrap();
        Self {
            dir,
            keys,
            catalogue,
            file_cache,
            staging,
            journal: Mutex::default(),
            space: Space::Never,
            last_commit: Mutex::new(None),
        }
    }

    pub fn reader(&self) -> ReaderKeys {
        self.keys.reader_keys()
    }

    /// A segment with these entries, as if this device, or another one, had written it.
    pub fn apply(&self, device: u8, entries: Vec<Entry>) {
        let mut journal = self.journal.lock().unwrap();
        let first_ordinal = journal.packs;
        journal.packs += entries
            .iter()
            .filter(|entry| matches!(entry, Entry::PackAdded { .. }))
            .count() as u64;
        let mut segment = [device; 32];
        segment[..8].copy_from_slice(&journal.sequence.to_le_bytes());
        let head = LineHead {
            line: LineId::from_bytes([device; 16]),
            device: DeviceId::from_bytes([device; 32]),
            sequence: journal.sequence,
            segment: SegmentId::from_bytes(segment),
            packs: journal.packs,
        };
        journal.sequence += 1;
        let opened = Opened {
            first_ordinal,
            entries,
        };
        assert!(self.catalogue.apply_segment(&head, &opened).unwrap());
    }

    pub fn context(&self) -> BackupContext<'_> {
        BackupContext {
            keys: &self.keys.writer,
            catalogue: &self.catalogue,
            file_cache: &self.file_cache,
            staging: &self.staging,
            outlet: self,
            clock: &clock,
            params: BackupParams::for_cores(2),
        }
    }

    pub fn backup(&self, paths: &[&Path]) -> BackupReport {
        self.try_backup(request(paths), &Silent, &Cancel::new()).unwrap()
    }

    pub fn try_backup(
        &self,
        request: BackupRequest,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<BackupReport, BackupError> {
        backup::run(request, self.context(), progress, cancel)
    }

    pub fn snapshot(&self, id: &SnapshotId) -> Snapshot {
        snapshots::open(id, &self.catalogue, &self.reader()).unwrap()
    }

    pub fn source(&self) -> StagingSource<'_> {
        StagingSource {
            node: self,
            faults: Mutex::default(),
            away: Mutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Restores into a directory and expects no end before the end.
    pub fn restore(&self, id: &SnapshotId, subpath: Option<&Path>, target: &Path) -> RestoreReport {
        let request = self.restore_request(id, subpath, target);
        self.try_restore(&request, &self.source(), &Silent, &Cancel::new())
            .unwrap()
    }

    pub fn restore_request(&self, id: &SnapshotId, subpath: Option<&Path>, target: &Path) -> RestoreRequest {
        use std::os::unix::ffi::OsStrExt as _;
        RestoreRequest {
            snapshot: self.snapshot(id),
            subpath: subpath.map(|path| path.as_os_str().as_bytes().to_vec()),
            target: target.to_owned(),
            includes: vec![],
            excludes: vec![],
            overwrite: Overwrite::Always,
            dry_run: false,
        }
    }

    pub fn try_restore(
        &self,
        request: &RestoreRequest,
        source: &dyn PackSource,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<RestoreReport, RestoreError> {
        let keys = self.reader();
        let context = RestoreContext {
            read: ReadContext {
                keys: &keys,
                catalogue: &self.catalogue,
                source,
            },
            scratch: self.dir.path(),
            params: RestoreParams::default(),
        };
        restore::run(request, context, progress, cancel)
    }

    pub fn packs(&self) -> Vec<PackId> {
        self.staging.list().into_iter().map(|pack| pack.id).collect()
    }
}

impl Outlet for Node {
    fn pack_staged(&self, pack: &SealedPack) -> Result<(), OutletError> {
        assert!(self.staging.contains(&pack.id));
        self.journal.lock().unwrap().waiting.push(pack_added(pack));
        Ok(())
    }

    fn flush(&self) -> Result<(), OutletError> {
        let waiting = std::mem::take(&mut self.journal.lock().unwrap().waiting);
        if !waiting.is_empty() {
            self.apply(1, waiting);
        }
        Ok(())
    }

    fn wait_for_space(&self, _: Duration) -> Space {
        self.space
    }

    fn commit(&self, commit: Commit<'_>) -> Result<(), OutletError> {
        self.flush()?;
        *self.last_commit.lock().unwrap() = Some((commit.packs_known, commit.packs_new));
        let line = SnapshotLine {
            time: commit.snapshot.end,
            tags: commit.snapshot.tags.clone(),
            bytes: commit.snapshot.counts.bytes,
            files: commit.snapshot.counts.files,
            packs_needed: PackChange::default(),
            group: [0; 32],
            parent: None,
        };
        let entry = Entry::SnapshotAdded {
            id: commit.sealed.id,
            line,
            sealed: commit.sealed.bytes,
        };
        self.apply(1, vec![entry]);
        Ok(())
    }
}

/// Paths of all entries of a snapshot.
pub fn listed(node: &Node, id: &SnapshotId) -> Vec<String> {
    use nuthatch_jobs::list::{Depth, ListRequest};
    let request = ListRequest {
        snapshot: node.snapshot(id),
        subpath: vec![],
        depth: Depth::Everything,
    };
    let keys = node.reader();
    let source = node.source();
    let context = ReadContext {
        keys: &keys,
        catalogue: &node.catalogue,
        source: &source,
    };
    let mut paths = Vec::new();
    let mut each = |path: &[u8], _: &nuthatch_format::tree::Entry| {
        paths.push(String::from_utf8_lossy(path).into_owned());
        true
    };
    let report = nuthatch_jobs::list::run(&request, context, &mut each, &Silent, &Cancel::new()).unwrap();
    assert_eq!(report.entries as usize, paths.len());
    paths
}

/// Those of these paths that lie below a directory, as names from there.
pub fn below(root: &Path, paths: &[String]) -> Vec<String> {
    let prefix = format!("{}/", root.display());
    paths
        .iter()
        .filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

/// What a journal says of a pack.
pub fn pack_added(pack: &SealedPack) -> Entry {
    Entry::PackAdded {
        pack: pack.id,
        kind: pack.kind,
        len: pack.bytes.len() as u64,
        header: pack.header.as_bytes().to_vec(),
        directory: codec::encode(&pack.directory),
    }
}

pub fn request(paths: &[&Path]) -> BackupRequest {
    BackupRequest {
        paths: paths.iter().map(|path| path.to_path_buf()).collect(),
        tags: vec!["test".to_owned()],
        excludes: vec![],
        one_file_system: false,
        stream: None,
        hostname: "here".to_owned(),
        username: "me".to_owned(),
        start: clock(),
        forbidden: vec![],
        parent: None,
        dry_run: false,
    }
}

/// Reads staging; pretends that packs lie with hosts.
pub struct StagingSource<'a> {
    pub node: &'a Node,
    /// Readings of a pack that come back wrong, by what is then true.
    pub faults: Mutex<HashMap<PackId, Fault>>,
    /// Packs that cannot be had.
    pub away: Mutex<Vec<PackId>>,
    pub bytes: AtomicU64,
}

/// How a pack is wrong.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The first host flips a byte in everything; there is another one.
    OneHost,
    /// All there is is wrong.
    Everywhere,
}

pub const BAD_HOST: NodeId = NodeId::from_bytes([0xbb; 32]);
const BAD_STRIPE: LabelId = LabelId::from_bytes([0xbb; 32]);
const GOOD_STRIPE: LabelId = LabelId::from_bytes([0xcc; 32]);

impl PackSource for StagingSource<'_> {
    fn read(&self, pack: &PackRecord, ranges: &[Range<u64>]) -> Result<Reading, SourceError> {
        if self.away.lock().unwrap().contains(&pack.id) {
            return Err(SourceError::Away { pack: pack.id });
        }
        let is_bad = self.faults.lock().unwrap().contains_key(&pack.id);
        let parts = ranges
            .iter()
            .map(|range| {
                let len = range.end - range.start;
                self.bytes.fetch_add(len, Ordering::Relaxed);
                match self.node.staging.read_range(&pack.id, range.start, len) {
                    Ok(mut bytes) => {
                        if is_bad {
                            bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x20);
                        }
                        Ok(bytes)
                    }
                    Err(ReadPackError::NotFound { pack }) => Err(SourceError::Lost { pack }),
                    Err(_) => Err(SourceError::Damaged {
                        pack: pack.id,
                        host: None,
                    }),
                }
            })
            .collect::<Result<_, _>>()?;
        let origin = Origin {
            stripe: Some(if is_bad { BAD_STRIPE } else { GOOD_STRIPE }),
            host: is_bad.then_some(BAD_HOST),
        };
        Ok(Reading { parts, origin })
    }

    fn distrust(&self, pack: &PackRecord, origin: Origin) -> bool {
        let mut faults = self.faults.lock().unwrap();
        if origin.stripe == Some(BAD_STRIPE) && matches!(faults.get(&pack.id), Some(Fault::OneHost)) {
            faults.remove(&pack.id);
            return true;
        }
        false
    }

    fn shard_len(&self, pack: &PackRecord) -> Option<u64> {
        Some(pack.len.0.div_ceil(3))
    }
}

/// Everything that a restore must give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub size: u64,
    pub device: u64,
    pub content: Option<[u8; 32]>,
    pub target: Option<PathBuf>,
    /// The first path with the same inode.
    pub first_name: PathBuf,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub is_sparse: bool,
}

/// The facts of everything below a directory, and of itself, by relative path.
pub fn facts(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut found = BTreeMap::new();
    let mut inodes = HashMap::new();
    collect(root, Path::new(""), &mut found, &mut inodes);
    found
}

fn collect(
    root: &Path,
    at: &Path,
    found: &mut BTreeMap<PathBuf, Facts>,
    inodes: &mut HashMap<(u64, u64), PathBuf>,
) {
    use std::os::unix::fs::MetadataExt as _;
    let path = if at.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(at)
    };
    let metadata = std::fs::symlink_metadata(&path).unwrap();
    let is_file = metadata.is_file();
    let first_name = inodes
        .entry((metadata.dev(), metadata.ino()))
        .or_insert_with(|| at.to_owned())
        .clone();
    let facts = Facts {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        size: if is_file { metadata.size() } else { 0 },
        device: metadata.rdev(),
        content: is_file.then(|| hash_file(&path)),
        target: metadata.is_symlink().then(|| std::fs::read_link(&path).unwrap()),
        first_name,
        xattrs: xattrs(&path),
        is_sparse: is_file && metadata.blocks() * 512 < metadata.size(),
    };
    found.insert(at.to_owned(), facts);
    if metadata.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            collect(root, &at.join(name), found, inodes);
        }
    }
}

fn hash_file(path: &Path) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let size = std::fs::metadata(path).unwrap().len();
    if size > 4 << 30 {
        // Only for huge sparse files: their beginning and end.
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::open(path).unwrap();
        let mut bytes = vec![0; 8 << 20];
        for at in [0, size / 2, size - bytes.len() as u64] {
            file.read_exact_at(&mut bytes, at).unwrap();
            hasher.update(&bytes);
        }
    } else {
        hasher.update_reader(std::fs::File::open(path).unwrap()).unwrap();
    }
    *hasher.finalize().as_bytes()
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 65536];
    let Ok(len) = rustix::fs::llistxattr(path, names.as_mut_slice()) else {
        return vec![];
    };
    let mut found: Vec<_> = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let len = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
            (name.to_vec(), value[..len].to_vec())
        })
        .collect();
    found.sort();
    found
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// A progress that does something when it is told of an entry or a warning.
pub struct Watch<F: Fn(&nuthatch_jobs::Tally, &[u8]) + Sync>(pub F);

impl<F: Fn(&nuthatch_jobs::Tally, &[u8]) + Sync> Progress for Watch<F> {
    fn advanced(&self, tally: &nuthatch_jobs::Tally, path: &[u8]) {
        (self.0)(tally, path);
    }

    fn warned(&self, _: &nuthatch_jobs::Warning) {}
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
