//! `limit`: what this node gives to others.

use nuthatch_daemon::api::{Answer, Exit, Failure, Limit, Request};

use super::circle::ask;
use crate::args::LimitArgs;
use crate::render::{self, words};
use crate::run;
use crate::session::Session;
use crate::terminal;

pub(super) async fn limit(session: &Session, args: &LimitArgs) -> Result<Exit, Failure> {
    let request = Request::Limit(Limit {
        up: args.up,
        down: args.down,
    });
    let Answer::Limit(answer) = ask(session, request).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
    } else {
        let rate = |rate: Option<u64>| {
            rate.map_or_else(
                || "no limit".to_owned(),
                |rate| format!("{}/s", words::size(rate)),
            )
        };
        terminal::result_line(&format!("up    {}", rate(answer.up)));
        terminal::result_line(&format!("down  {}", rate(answer.down)));
    }
    Ok(Exit::Done)
}
