//! Logs: to standard error, nothing but warnings unless asked. Owns the choice of what is shown, nothing else.

use std::io;

use tracing_subscriber::EnvFilter;

/// Starts logging for the life of the process. `NUTHATCH_LOG` has the last word.
pub(crate) fn start(verbosity: u8) {
    let usual = match verbosity {
        0 => "error",
        1 => "warn,nuthatch=info,nuthatch_daemon=info,nuthatch_jobs=info,nuthatch_transport=info",
        _ => {
            "info,nuthatch=debug,nuthatch_daemon=debug,nuthatch_jobs=debug,nuthatch_transport=debug,nuthatch_disk=debug"
        }
    };
    let asked = std::env::var("NUTHATCH_LOG").ok().filter(|text| !text.is_empty());
    let filter = asked.map_or_else(|| EnvFilter::new(usual), EnvFilter::new);
    let colours = crate::terminal::wants_colour(crate::terminal::is_watched());
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
}
