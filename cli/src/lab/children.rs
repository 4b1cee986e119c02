//! Child processes: nodes that run, and commands that end. All die with the lab; none inherits secrets or homes of its surroundings.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nuthatch_daemon::api::{Exit, Failure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// How long a node may take to be ready. It binds loopback ports and opens an empty home: seconds at most, on a busy machine too.
const READY_PATIENCE: Duration = Duration::from_mins(2);

/// Bytes of a child's standard error that are kept for its failure.
const STDERR_LEN_MAX: u64 = 16 * 1024;

/// Longest line of a child, in bytes.
const LINE_LEN_MAX: u64 = 4 << 20;

/// The program and its surroundings, for every child.
fn command(home: &Path) -> Result<Command, Failure> {
    let program =
        std::env::current_exe().map_err(|error| Failure::from_error(Exit::Failed, "no_program", &error))?;
    let mut command = Command::new(program);
    for name in [
        "NUTHATCH_HOME",
        "NUTHATCH_PASSPHRASE_FILE",
        "NUTHATCH_PHRASE_FILE",
    ] {
        command.env_remove(name);
    }
    command
        .arg("--home")
        .arg(home)
        .arg("--json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// A node that runs.
#[derive(Debug)]
pub(super) struct NodeProcess {
    home: PathBuf,
    child: Child,
    /// Where it listens, with its id.
    pub(super) addresses: Vec<String>,
}

impl NodeProcess {
    /// Starts `nuthatch up` and waits until it is ready.
    pub(super) async fn start(home: &Path) -> Result<Self, Failure> {
        let mut child = command(home)?
            .arg("up")
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| not_started(&error))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| broken("up", "it has no output"))?;
        let mut lines = BufReader::new(stdout);
        let ready = tokio::time::timeout(READY_PATIENCE, next_message(&mut lines)).await;
        let ready = ready.map_err(|_| broken("up", "it is not ready after two minutes"))??;
        let ready = ready.ok_or_else(|| broken("up", "it ended at once"))?;
        if ready["message_type"] != "ready" {
            return Err(failure_of("up", &ready, ""));
        }
        let addresses = ready["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        // Its further lines are taken and dropped, so that it never waits for us.
        tokio::spawn(async move {
            if let Err(error) = tokio::io::copy(&mut lines, &mut tokio::io::sink()).await {
                tracing::debug!("a node's output broke: {error}");
            }
        });
        Ok(Self {
            home: home.to_owned(),
            child,
            addresses,
        })
    }

    /// Kills it without warning and removes its home.
    pub(super) async fn destroy(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|error| not_started(&error))?;
        super::plan::remove_tree(&self.home)
            .map_err(|error| Failure::from_error(Exit::Failed, "lab_files", &error))
    }

    /// Kills it; its home goes with the lab's directory.
    pub(super) async fn end(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!("a node was gone already: {error}");
        }
    }
}

/// A command to run in a home.
#[derive(Debug)]
pub(super) struct Step<'a> {
    home: &'a Path,
    args: Vec<std::ffi::OsString>,
    input: Option<String>,
}

impl<'a> Step<'a> {
    /// `nuthatch --home HOME --json ARGS`.
    pub(super) fn new(home: &'a Path, args: &[&str]) -> Self {
        Self {
            home,
            args: args.iter().map(std::ffi::OsString::from).collect(),
            input: None,
        }
    }

    /// With another argument, which may be any bytes.
    #[must_use]
    pub(super) fn arg(mut self, arg: impl Into<std::ffi::OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With standard input.
    #[must_use]
    pub(super) fn input(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }

    /// Runs it and answers the last JSON of its output; every other line goes to `on_message`. An exit code above `worst` is a
    /// failure.
    pub(super) async fn run(self, worst: Exit, mut on_message: impl FnMut(&Value)) -> Result<Value, Failure> {
        let name = self
            .args
            .first()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut command = command(self.home)?;
        command.args(&self.args).stderr(Stdio::piped());
        if self.input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|error| not_started(&error))?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input) {
            stdin
                .write_all(input.as_bytes())
                .await
                .map_err(|error| not_started(&error))?;
        }
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| broken(&name, "it has no output"))?;
        let stderr = child.stderr.take();
        let errors = tokio::spawn(async move {
            let mut text = String::new();
            if let Some(stderr) = stderr {
                let mut bounded = stderr.take(STDERR_LEN_MAX);
                let read = bounded.read_to_string(&mut text).await;
                let rest = tokio::io::copy(&mut bounded.into_inner(), &mut tokio::io::sink()).await;
                tracing::trace!("standard error: {read:?}, beyond the bound: {rest:?}");
            }
            text
        });
        let mut lines = BufReader::new(stdout);
        let mut last = Value::Null;
        while let Some(message) = next_message(&mut lines).await? {
            on_message(&message);
            last = message;
        }
        let status = child.wait().await.map_err(|error| not_started(&error))?;
        let errors = errors.await.unwrap_or_default();
        match status.code() {
            Some(0) => Ok(last),
            Some(code) if code == i32::from(worst.code()) => Ok(last),
            _ => Err(failure_of(&name, &last, &errors)),
        }
    }
}

async fn next_message(lines: &mut BufReader<ChildStdout>) -> Result<Option<Value>, Failure> {
    let mut line = Vec::new();
    lines
        .take(LINE_LEN_MAX)
        .read_until(b'\n', &mut line)
        .await
        .map_err(|error| Failure::from_error(Exit::Failed, "lab_step", &error))?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line)
        .map(Some)
        .map_err(|error| broken("a step", &error.to_string()))
}

fn not_started(error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        "lab_step",
        format!("a step of the lab can't be run: {error}"),
    )
}

fn broken(step: &str, reason: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "lab_step",
        format!("the step 'nuthatch {step}' broke: {reason}"),
    )
}

/// The failure of a child, in its own words.
fn failure_of(step: &str, last: &Value, errors: &str) -> Failure {
    let own = last["message"].as_str().map(str::to_owned);
    let reason = own.unwrap_or_else(|| errors.lines().last().unwrap_or("it said nothing").to_owned());
    let failure = broken(step, &reason);
    match last["hint"].as_str() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
