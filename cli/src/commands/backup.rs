//! `backup`: paths or standard input, into a snapshot.

use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use futures::stream::unfold;
use nuthatch_daemon::api::{Answer, Backup, CancellationToken, Exit, Failure, Input, RawPath, Request};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use crate::args::BackupArgs;
use crate::args::values;
use crate::render;
use crate::run;
use crate::session::Session;

/// Longest exclude file, in bytes.
const EXCLUDE_FILE_LEN_MAX: u64 = 256 * 1024;

/// Bytes of standard input that are read at a time.
const INPUT_CHUNK_LEN: usize = 64 * 1024;

/// Chunks of standard input that wait to be taken.
const INPUT_CHUNKS_MAX: usize = 8;

pub(super) async fn run(session: &Session, args: BackupArgs) -> Result<Exit, Failure> {
    let paths = args
        .paths
        .iter()
        .map(|path| super::absolute(path))
        .collect::<Result<Vec<_>, _>>()?;
    check_present(&args.paths)?;
    let mut excludes = args.excludes;
    if let Some(file) = &args.exclude_file {
        excludes.extend(values::exclude_lines(&read_excludes(file)?));
    }
    let request = Backup {
        paths,
        tags: args.tags,
        excludes,
        one_file_system: args.one_file_system,
        dry_run: args.dry_run,
        wait: args.wait.map(Into::into),
        wait_for_ms: u64::try_from(args.wait_for.as_millis()).unwrap_or(u64::MAX),
        stdin_name: args.stdin_name.as_deref().map(RawPath::from),
    };
    let input = args.stdin.then(|| standard_input(session.cancel.clone()));
    let mut view = super::work_view(session);
    let outcome = run::request(session, Request::Backup(request), input, view.as_mut()).await?;
    super::conclude(session, outcome, |answer| match answer {
        Answer::Backup(summary) => Some(render::backup_lines(summary)),
        _ => None,
    })
}

/// A snapshot of nothing helps nobody: at least one of the paths must be there. Those that are not are warned about by the job.
fn check_present(paths: &[std::path::PathBuf]) -> Result<(), Failure> {
    let mut failure = None;
    for path in paths {
        match path.symlink_metadata() {
            Ok(_) => return Ok(()),
            Err(error) => {
                let message = format!("can't back up {}: {error}", path.display());
                failure = Some(Failure::new(Exit::Failed, "unreadable", message));
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn read_excludes(path: &Path) -> Result<String, Failure> {
    let unreadable = |reason: String| {
        Failure::new(
            Exit::Usage,
            "unreadable",
            format!("can't read {}: {reason}", path.display()),
        )
    };
    let length = path
        .metadata()
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if length > EXCLUDE_FILE_LEN_MAX {
        return Err(unreadable(format!(
            "it has more than {EXCLUDE_FILE_LEN_MAX} bytes"
        )));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

/// Standard input as a stream. A thread reads it, because a terminal or a file can't be waited for otherwise; an error on it, or an interruption, reaches
/// the job as one, so that half an input is never taken for all of it.
fn standard_input(cancel: CancellationToken) -> Input {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(INPUT_CHUNKS_MAX);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; INPUT_CHUNK_LEN];
        loop {
            let chunk = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(len) => Ok(Bytes::copy_from_slice(&buffer[..len])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    let chunks = unfold((receiver, cancel), |(mut receiver, cancel)| async move {
        let chunk = tokio::select! {
            () = cancel.cancelled() => Some(Err(io::ErrorKind::ConnectionAborted.into())),
            chunk = receiver.recv() => chunk,
        };
        chunk.map(|chunk| (chunk, (receiver, cancel)))
    });
    Box::new(StreamReader::new(Box::pin(chunks)))
}
