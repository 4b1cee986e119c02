//! One function a command: flags to request, answer to lines.

mod backup;
mod circle;
mod host;
mod init;
mod keeping;
mod kit;
mod new_home;
mod read;
mod recover;
mod steward;
mod up;

use nuthatch_daemon::api::{Answer, Exit, Failure, Message, RawPath};

use crate::args::{CircleCommand, Command};
use crate::lab;
use crate::render::{self, HumanView, JsonLines, RowForm, View};
use crate::run::Outcome;
use crate::session::Session;
use crate::terminal;

/// Does a command.
pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(session, args).await,
        Command::Up(args) => up::run(session, args).await,
        Command::Invite(args) => circle::invite(session, &args).await,
        Command::Join(args) => circle::join(session, args).await,
        Command::Circle(args) => match args.command {
            CircleCommand::Waiting => circle::waiting(session).await,
            CircleCommand::Approve { peer } => circle::approve(session, peer).await,
        },
        Command::Peers(args) => circle::peers(session, &args).await,
        Command::Peer(args) => keeping::peer(session, args.command).await,
        Command::Repair(args) => keeping::repair(session, &args).await,
        Command::Backup(args) => backup::run(session, args).await,
        Command::Snapshots(args) => read::snapshots(session, args).await,
        Command::Ls(args) => read::ls(session, args).await,
        Command::Restore(args) => read::restore(session, args).await,
        Command::Verify(args) => read::verify(session, args).await,
        Command::Audit(args) => circle::audit(session, args).await,
        Command::Status => circle::status(session).await,
        Command::Kit(args) => kit::run(session, &args).await,
        Command::Host(args) => host::run(session, args.command).await,
        Command::Steward(args) => steward::run(session, args.command).await,
        Command::Limit(args) => host::limit(session, &args).await,
        Command::Recover(args) => recover::run(session, args).await,
        Command::Lab(args) => lab::run(session, args).await,
    }
}

/// How long work is shown.
fn work_view(session: &Session) -> Box<dyn View> {
    if session.json {
        Box::new(JsonLines)
    } else {
        Box::new(HumanView::new(RowForm::Short))
    }
}

/// Ends long work: its summary, then its failure if it had one.
fn conclude(
    session: &Session,
    outcome: Outcome,
    lines: impl FnOnce(&Answer) -> Option<Vec<String>>,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    if let Some(answer) = outcome.answer {
        exit = answer.exit();
        if session.json {
            render::json_line(&Message::Summary(answer));
        } else {
            let lines = lines(&answer).ok_or_else(crate::run::unexpected_answer)?;
            terminal::result_lines(&lines);
        }
    } else if outcome.failure.is_none() {
        return Err(crate::run::unexpected_answer());
    }
    outcome.failure.map_or(Ok(exit), Err)
}

/// A path of the command line as the node sees it: absolute, without `..`, symbolic links at its end kept.
fn absolute(path: &std::path::Path) -> Result<RawPath, Failure> {
    let failed = |error: std::io::Error| {
        Failure::from_error(Exit::Failed, "unreadable", &error)
            .with_path(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let climbs = absolute
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    match (climbs, absolute.parent(), absolute.file_name()) {
        (true, Some(parent), Some(name)) => Ok(RawPath::from(
            parent.canonicalize().map_err(failed)?.join(name).as_path(),
        )),
        (true, _, _) => Ok(RawPath::from(absolute.canonicalize().map_err(failed)?.as_path())),
        (false, _, _) => Ok(RawPath::from(trimmed(&absolute).as_path())),
    }
}

/// Without `.` parts and slashes at the end.
fn trimmed(path: &std::path::Path) -> std::path::PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_without_steps_back() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            absolute("a/b/".as_ref()).unwrap(),
            RawPath::from(here.join("a/b").as_path())
        );
        assert_eq!(
            absolute("/usr/../usr/lib".as_ref()).unwrap(),
            RawPath(b"/usr/lib".to_vec())
        );
        assert_eq!(absolute("/usr/..".as_ref()).unwrap(), RawPath(b"/".to_vec()));
    }
}
