//! The `nuthatch` command: takes a line apart, has a node perform it, shows what comes back, and ends with the documented exit
//! code. Decides nothing about backups.

mod allocator;
mod args;
mod commands;
mod lab;
mod logs;
mod node;
mod render;
mod run;
mod secrets;
mod session;
mod terminal;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use nuthatch_daemon::api::{Exit, Failure};

use args::Cli;
use session::Session;

/// How long the end of the process waits for threads that read standard input or unlock keys.
const END_PATIENCE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    allocator::tame();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    logs::start(cli.global.verbose);
    let json = cli.global.json;
    let session = match Session::new(cli.global) {
        Ok(session) => session,
        Err(failure) => return end(None, json, failure),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return end(
                Some(&session),
                json,
                Failure::from_error(Exit::Failed, "no_threads", &error),
            );
        }
    };
    let result = runtime.block_on(async {
        session.watch_signals()?;
        commands::run(&session, cli.command).await
    });
    runtime.shutdown_timeout(END_PATIENCE);
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => end(Some(&session), json, failure),
    }
}

fn end(session: Option<&Session>, json: bool, failure: Failure) -> ExitCode {
    let exit = failure.exit;
    render::report(session, json, failure);
    ExitCode::from(exit.code())
}

/// Help, version, or wrong usage. A script that asked for JSON gets wrong usage as JSON too.
fn usage(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code());
    if code != 0 && std::env::args_os().any(|arg| arg == "--json") {
        let text = error.to_string();
        let line = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        let failure = Failure::new(Exit::Usage, "usage", line).with_hint("see nuthatch --help");
        render::report(None, true, failure);
    } else if let Err(failed) = error.print() {
        eprintln!("{error}\n{failed}");
    }
    ExitCode::from(code)
}
