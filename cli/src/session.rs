//! One run of the program: its home, its flags, and the signals that end it. Reads the environment, acts on nothing.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use nuthatch_daemon::api::{CancellationToken, Exit, Failure};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::GlobalArgs;

/// What every command needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    home: PathBuf,
    /// Print JSON only.
    pub json: bool,
    /// File with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// File with the phrase.
    pub phrase_file: Option<PathBuf>,
    /// Cancelled by the first signal to end.
    pub cancel: CancellationToken,
}

impl Session {
    /// The session of these flags.
    pub(crate) fn new(global: GlobalArgs) -> Result<Self, Failure> {
        let home = match global.home {
            Some(home) if !home.as_os_str().is_empty() => home,
            Some(_) | None => default_home()?,
        };
        let home = std::path::absolute(&home)
            .map_err(|error| Failure::from_error(Exit::Usage, "bad_home", &error))?;
        Ok(Self {
            home,
            json: global.json,
            passphrase_file: global.passphrase_file.filter(|file| !file.as_os_str().is_empty()),
            phrase_file: global.phrase_file.filter(|file| !file.as_os_str().is_empty()),
            cancel: CancellationToken::new(),
        })
    }

    /// The same run with another home.
    pub(crate) fn at(&self, home: PathBuf) -> Self {
        Self { home, ..self.clone() }
    }

    /// The home: absolute, not necessarily there.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Makes SIGINT and SIGTERM cancel the session; a second one ends the process at once. Only inside the runtime.
    pub(crate) fn watch_signals(&self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::from_error(Exit::Failed, "no_signals", &error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if cancel.is_cancelled() {
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
                cancel.cancel();
            }
        });
        Ok(())
    }
}

fn default_home() -> Result<PathBuf, Failure> {
    let strategy = etcetera::base_strategy::choose_native_strategy().map_err(|error| {
        Failure::from_error(Exit::Usage, "no_home", &error)
            .with_hint("name a directory with --home or NUTHATCH_HOME")
    })?;
    Ok(strategy.data_dir().join("nuthatch"))
}
