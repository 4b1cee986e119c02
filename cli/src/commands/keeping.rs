//! `peer lost|drain|keep`, `repair`: keeping data alive.

use nuthatch_daemon::api::{Answer, Exit, Failure, PeerStanding, PeerWord, Repair, Request};

use super::{conclude, host, work_view};
use crate::args::{PeerCommand, RepairArgs};
use crate::render::{self, Collected};
use crate::run;
use crate::session::Session;
use crate::terminal::{self, escaped};

pub(super) async fn peer(session: &Session, command: PeerCommand) -> Result<Exit, Failure> {
    let (peer, word) = match command {
        PeerCommand::Lost { name } => (name, PeerWord::Lost),
        PeerCommand::Drain { name } => (name, PeerWord::Drain),
        PeerCommand::Keep { name } => (name, PeerWord::Keep),
        PeerCommand::Set { name, quota } => return host::peer_quota(session, name, quota).await,
    };
    let request = Request::PeerStanding(PeerStanding { peer, word });
    let answer = run::request(session, request, None, &mut Collected::default())
        .await?
        .into_answer()?;
    let Answer::PeerStanding(answer) = answer else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
        return Ok(Exit::Done);
    }
    let name = escaped(&answer.name);
    let line = match word {
        PeerWord::Lost => format!("{name} is given up: what it kept is rebuilt on others"),
        PeerWord::Drain => format!(
            "{name} is leaving: what it keeps is copied to others first; 'nuthatch status' tells when that is done"
        ),
        PeerWord::Keep => format!("{name} counts as before ({})", escaped(&answer.health)),
    };
    terminal::result_line(&line);
    Ok(Exit::Done)
}

pub(super) async fn repair(session: &Session, args: &RepairArgs) -> Result<Exit, Failure> {
    let request = Request::Repair(Repair {
        dry_run: args.dry_run,
    });
    if args.dry_run && session.json {
        let answer = run::request(session, request, None, &mut Collected::default())
            .await?
            .into_answer()?;
        let Answer::Repair(summary) = answer else {
            return Err(run::unexpected_answer());
        };
        render::json_document(&summary);
        return Ok(Exit::Done);
    }
    let mut view = work_view(session);
    let outcome = run::request(session, request, None, view.as_mut()).await?;
    conclude(session, outcome, |answer| match answer {
        Answer::Repair(summary) => Some(render::repair_lines(summary)),
        _ => None,
    })
}
