//! A backup: from paths to sealed packs in staging and a committed snapshot.
//!
//! ```text
//! walk (1 thread) -> steps -> sequencer (this thread) -> sections -> workers -> packs -> staging -> outlet
//!        \-> small files -> readers -/
//! ```
//!
//! Steps, small files and sections keep the order of the walk, so the same files make the same packs. Queues and buffers are bounded; when
//! staging is full everything stands still until the node has sent something. It opens no socket and decides nothing about hosts.

mod counts;
mod dir_writer;
mod entry;
mod env;
mod face;
mod harvest;
mod known;
pub mod outlet;
mod packer;
mod read;
mod reseal;
mod roots;
mod sequencer;
mod sink;
mod step;
mod walk;

use std::collections::{BTreeSet, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};
use nuthatch_disk::catalogue::PackNumber;
use nuthatch_disk::file_cache::BackupSource;
use nuthatch_disk::owners::Owners;
use nuthatch_disk::source::FileTime;
use nuthatch_format::chunker::{Chunker, ChunkerParams};
use nuthatch_format::codec;
use nuthatch_format::content::Content;
use nuthatch_format::snapshot::{self, Origin, PATHS_MAX, Snapshot, seal_snapshot};
use nuthatch_format::tree::{MTime, Metadata};
use nuthatch_format::{ByteCount, Timestamp};

use crate::cancel::{Cancel, Cancelled};
use crate::pattern::PatternSet;
use crate::progress::{Progress, Warning, WarningKind};
use crate::snapshot_path::{self, PathError};
pub use face::{BackupContext, BackupError, BackupParams, BackupReport, BackupRequest, StreamSource};
pub use reseal::{ResealContext, ResealError, reseal};

use counts::Counts;
use env::{Env, Parts};
use known::{KnownFiles, Memory};
use outlet::Commit;
use packer::{Packer, SectionJob};
use roots::Root;
use sequencer::{Sequenced, Sequencer};
use sink::ChunkSink;
use step::Step;
use walk::{Rules, Walk, WalkError, Walker};

/// Steps that the walk may be ahead (count).
const STEPS_MAX: usize = 128;
/// Small files that may wait for a reader (count).
const READ_JOBS_MAX: usize = 32;
/// Mode of a file that came as a stream.
const STREAM_MODE: u32 = 0o600;

/// What a walk and its sequencing left behind.
struct Walked {
    root: Content,
    counts: Counts,
    warnings: Vec<Warning>,
    packs_known: BTreeSet<PackNumber>,
    bytes_added: u64,
}

/// Backs up. Blocks until the snapshot is committed; packs are on their way to hosts meanwhile, if there are any.
pub fn run(
    mut request: BackupRequest,
    context: BackupContext<'_>,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<BackupReport, BackupError> {
    let stream = request.stream.take();
    let paths = named_paths(&request, stream.as_ref())?;
    let source = (stream.is_none() && !request.dry_run).then(|| BackupSource {
        paths: paths.clone(),
        excludes: request.excludes.clone(),
        one_file_system: request.one_file_system,
    });
    check_sizes(&request, &paths)?;
    let rules = Rules {
        excludes: PatternSet::new(&request.excludes)?,
        forbidden: identities(&request.forbidden),
        one_file_system: request.one_file_system,
    };
    context.file_cache.forget_unused_lists()?;
    if let Some(source) = &source {
        // What is sealed of it can be sealed again, even if this backup does not come to its end.
        context.file_cache.note_source(source)?;
    }
    let env = Env::new(
        Parts {
            keys: context.keys,
            chunker: Chunker::new(&context.keys.chunker_key, ChunkerParams::DEFAULT),
            catalogue: context.catalogue,
            file_cache: context.file_cache,
            staging: context.staging,
            outlet: context.outlet,
            harvest: None,
            level: context.params.level,
            is_dry_run: request.dry_run,
            workers: context.params.workers,
            packs_in_flight_max: context.params.packs_in_flight_max,
        },
        cancel,
    );
    let result = if let Some(stream) = stream {
        pipeline(&env, context.params, |sections| {
            sequence_stream(&env, stream, request.start, sections, progress)
        })
    } else {
        let root = Root::new(paths.iter().map(Vec::as_slice)).map_err(|source| BackupError::Path {
            path: request.paths.first().cloned().unwrap_or_default(),
            source,
        })?;
        pipeline(&env, context.params, |sections| {
            sequence_walk(&env, &context, &rules, &root, sections, progress)
        })
    };
    let walked = match result {
        Ok(walked) => walked,
        Err(error) => {
            // What is sealed is kept: the next run finds it in the catalogue.
            if let Err(error) = context.outlet.flush() {
                tracing::warn!(%error, "packs of a backup that ended early could not be journalled");
            }
            return Err(error);
        }
    };
    commit(request, paths, &env, walked, (context.clock)())
}

/// Runs the workers around a sequencer, and stages everything when both are done.
fn pipeline<'e>(
    env: &'e Env<'e>,
    params: BackupParams,
    sequence: impl FnOnce(Sender<SectionJob<'e>>) -> Result<Walked, BackupError>,
) -> Result<Walked, BackupError> {
    let packer = Packer::new(env);
    let (sections_in, sections_out) = bounded(params.workers.max(1));
    let walked = std::thread::scope(|scope| {
        for _ in 0..params.workers.max(1) {
            let (packer, jobs) = (&packer, sections_out.clone());
            scope.spawn(move || packer.work(&jobs));
        }
        drop(sections_out);
        let walked = sequence(sections_in);
        if walked.is_err() {
            env.cancel.cancel();
        }
        walked
    });
    if let Some(failure) = env.take_failure() {
        return Err(failure);
    }
    let walked = walked?;
    packer.finish()?;
    Ok(walked)
}

fn sequence_walk<'e>(
    env: &'e Env<'e>,
    context: &BackupContext<'e>,
    rules: &'e Rules,
    root: &Root,
    sections: Sender<SectionJob<'e>>,
    progress: &'e dyn Progress,
) -> Result<Walked, BackupError> {
    let (steps_in, steps_out) = bounded(STEPS_MAX);
    let (jobs_in, jobs_out) = bounded(READ_JOBS_MAX);
    let walker = Walker {
        rules,
        owners: Arc::new(Owners::load()),
        known: KnownFiles::new(context.file_cache, context.catalogue, env.harvest),
        steps: steps_in,
        jobs: jobs_in,
        read_ahead: &env.read_ahead,
        clock: context.clock,
        looked_at: FileTime::default(),
        found: 0,
        cancel: &env.cancel,
    };
    let (walk, sequenced) = std::thread::scope(|scope| {
        let walk = scope.spawn(move || walker.run(root));
        for _ in 0..context.params.readers.max(1) {
            let jobs = jobs_out.clone();
            scope.spawn(move || read::reader(&jobs, &env.chunker, env.keys));
        }
        drop(jobs_out);
        let sink = ChunkSink::new(env, sections);
        let memory = Memory::new(context.file_cache, env.is_dry_run);
        let sequenced = take_steps(Sequencer::new(env, sink, memory, progress), steps_out);
        if sequenced.is_err() {
            env.cancel.cancel();
        }
        let walk = walk
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (walk, sequenced)
    });
    let Walk { known, found } = match walk {
        Ok(walk) => walk,
        Err(WalkError::Known(error)) => return Err(error.into()),
        Err(WalkError::Stopped) => return Err(sequenced.err().unwrap_or(BackupError::Cancelled(Cancelled))),
    };
    let sequenced = sequenced?;
    if found == 0 {
        let first = sequenced.log.kept().first();
        return Err(BackupError::NothingReadable {
            first: first.map_or_else(String::new, |warning| {
                format!("{}: {}", snapshot_path::display(&warning.path), warning.message)
            }),
        });
    }
    let mut walked = end(sequenced)?;
    walked.packs_known.append(&mut known.into_packs());
    Ok(walked)
}

fn take_steps<'e>(
    mut sequencer: Sequencer<'e>,
    steps: Receiver<Step<'e>>,
) -> Result<Sequenced<'e>, BackupError> {
    for step in steps {
        sequencer.step(step)?;
    }
    sequencer.finish()
}

fn sequence_stream<'e>(
    env: &'e Env<'e>,
    mut stream: StreamSource,
    start: Timestamp,
    sections: Sender<SectionJob<'e>>,
    progress: &'e dyn Progress,
) -> Result<Walked, BackupError> {
    let meta = Metadata {
        mode: STREAM_MODE,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        mtime: MTime {
            secs: (start.0 / 1000) as i64,
            nanos: (start.0 % 1000) as u32 * 1_000_000,
        },
        ..Metadata::default()
    };
    let sink = ChunkSink::new(env, sections);
    let mut sequencer = Sequencer::new(env, sink, Memory::new(env.file_cache, env.is_dry_run), progress);
    sequencer.stream(&stream.name, meta, &mut *stream.reader)?;
    end(sequencer.finish()?)
}

fn end(sequenced: Sequenced<'_>) -> Result<Walked, BackupError> {
    let (packs_known, bytes_added) = sequenced.sink.finish()?;
    Ok(Walked {
        root: sequenced.root,
        counts: sequenced.counts,
        warnings: sequenced.log.into_kept(),
        packs_known,
        bytes_added,
    })
}

fn commit(
    request: BackupRequest,
    paths: Vec<Vec<u8>>,
    env: &Env<'_>,
    walked: Walked,
    end: Timestamp,
) -> Result<BackupReport, BackupError> {
    env.cancel.check()?;
    let counts = walked.counts;
    let origin = Origin {
        paths,
        hostname: cut(request.hostname, snapshot::ORIGIN_LEN_MAX),
        username: cut(request.username, snapshot::ORIGIN_LEN_MAX),
        tags: request.tags,
        start: request.start,
    };
    let root_hash = env.keys.chunk_id(&codec::encode(&walked.root));
    let mut snapshot = Snapshot::new(
        origin,
        walked.root,
        snapshot::Counts {
            files: counts.files(),
            dirs: counts.dirs(),
            others: counts.others,
            bytes: ByteCount(counts.bytes),
        },
        end,
    );
    snapshot.parent = request.parent;
    for warning in &walked.warnings {
        snapshot.warnings.push(stored(warning));
    }
    let sealed = seal_snapshot(&snapshot, env.keys)?;
    let packs_new = std::mem::take(&mut *env.packs_new.lock());
    let report = BackupReport {
        snapshot: sealed.id,
        root_hash,
        files_new: counts.files_new,
        files_changed: counts.files_changed,
        files_unmodified: counts.files_unmodified,
        dirs_new: counts.dirs_new,
        dirs_changed: counts.dirs_changed,
        dirs_unmodified: counts.dirs_unmodified,
        others: counts.others,
        bytes_processed: counts.bytes_processed,
        bytes_added: walked.bytes_added,
        bytes_stored: env.bytes_stored.load(Ordering::Relaxed),
        packs_new: packs_new.len() as u64,
        errors: counts.errors,
        end,
        warnings: walked.warnings,
    };
    if !env.is_dry_run {
        env.outlet.commit(Commit {
            snapshot: &snapshot,
            sealed,
            packs_known: walked.packs_known,
            packs_new,
        })?;
    }
    Ok(report)
}

/// The paths that the snapshot names: absolute, without `.` and `..`.
fn named_paths(request: &BackupRequest, stream: Option<&StreamSource>) -> Result<Vec<Vec<u8>>, BackupError> {
    if let Some(stream) = stream {
        return if snapshot_path::is_name(&stream.name) {
            Ok(vec![snapshot_path::join(b"", &stream.name)])
        } else {
            Err(BackupError::StreamName)
        };
    }
    let found = request.paths.len();
    if found == 0 || found > PATHS_MAX {
        return Err(BackupError::PathCount { found });
    }
    request.paths.iter().map(|path| named_path(path)).collect()
}

/// What a snapshot cannot keep is refused now and not when everything is stored.
fn check_sizes(request: &BackupRequest, paths: &[Vec<u8>]) -> Result<(), BackupError> {
    let found = paths.iter().map(Vec::len).sum();
    if found > snapshot::PATHS_LEN_MAX {
        return Err(BackupError::PathsLen { found });
    }
    let tags = &request.tags;
    if tags.len() > snapshot::TAGS_MAX || tags.iter().any(|tag| tag.len() > snapshot::TAG_LEN_MAX) {
        return Err(BackupError::Tags);
    }
    Ok(())
}

fn named_path(path: &Path) -> Result<Vec<u8>, BackupError> {
    // Only the file system knows where `..` leads from a link.
    let leads_up = path
        .components()
        .any(|component| component == Component::ParentDir);
    let resolved = if leads_up {
        std::fs::canonicalize(path).ok()
    } else {
        None
    };
    let bytes = resolved.as_deref().unwrap_or(path).as_os_str().as_bytes();
    let names = snapshot_path::absolute_names(bytes).map_err(|source| BackupError::Path {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() > snapshot::PATH_LEN_MAX {
        return Err(BackupError::Path {
            path: path.to_owned(),
            source: PathError::TooLong { found: bytes.len() },
        });
    }
    let joined = names
        .iter()
        .fold(Vec::new(), |path, name| snapshot_path::join(&path, name));
    Ok(if joined.is_empty() { b"/".to_vec() } else { joined })
}

fn identities(directories: &[PathBuf]) -> HashSet<(u64, u64)> {
    directories
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .collect()
}

fn cut(mut text: String, len_max: usize) -> String {
    text.truncate(text.floor_char_boundary(len_max));
    text
}

/// A warning as the snapshot keeps it.
fn stored(warning: &Warning) -> snapshot::Warning {
    snapshot::Warning {
        path: warning.path.clone(),
        kind: match warning.kind {
            WarningKind::Unreadable => snapshot::WarningKind::Unreadable,
            WarningKind::FileChanged => snapshot::WarningKind::Changed,
            WarningKind::Attributes => snapshot::WarningKind::Attributes,
            _ => snapshot::WarningKind::Unsupported,
        },
        message: warning.message.clone(),
    }
}
