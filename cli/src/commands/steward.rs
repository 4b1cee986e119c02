//! `steward`: who looks after the archive without its keys.

use nuthatch_daemon::api::{Answer, Exit, Failure, Request, StewardOrder, StewardWord};

use super::circle::ask;
use crate::args::StewardCommand;
use crate::node;
use crate::render::{self, words};
use crate::run;
use crate::session::Session;
use crate::terminal::{self, escaped};

pub(super) async fn run(session: &Session, command: StewardCommand) -> Result<Exit, Failure> {
    match command {
        StewardCommand::Appoint { name, budget } => {
            order(session, name, StewardWord::Appoint { budget: budget.0 }).await
        }
        StewardCommand::Revoke { name } => order(session, name, StewardWord::Revoke).await,
        StewardCommand::List => list(session).await,
    }
}

async fn order(session: &Session, peer: String, word: StewardWord) -> Result<Exit, Failure> {
    let signing_key = node::signing_key(session).await?;
    let request = Request::Steward(StewardOrder {
        peer,
        word,
        signing_key,
    });
    let Answer::Steward(answer) = ask(session, request).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
        return Ok(Exit::Done);
    }
    let name = escaped(&answer.name);
    terminal::result_line(&match word {
        StewardWord::Appoint { .. } => format!(
            "{name} looks after this archive from now on; it may fetch {} a day from each host",
            words::size(answer.budget)
        ),
        StewardWord::Revoke => format!("{name} does not look after this archive any more"),
    });
    let told = words::plural(u64::from(answer.told), "host");
    terminal::note_line(&format!(
        "{told} know it already; others hear of it when this node meets them."
    ));
    Ok(Exit::Done)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let Answer::Stewards(answer) = ask(session, Request::Stewards {}).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
    } else {
        terminal::result_lines(&render::steward_lines(&answer));
    }
    Ok(Exit::Done)
}
