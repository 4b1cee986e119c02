//! `host`, `limit`: what this node gives to others.

use nuthatch_daemon::api::{Answer, Exit, Failure, HostChange, Limit, PeerQuota, Release, Request};
use nuthatch_daemon::clock;

use super::circle::ask;
use crate::args::{HostCommand, LimitArgs, SizeOrNone, Switch, Until};
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

pub(super) async fn run(session: &Session, command: HostCommand) -> Result<Exit, Failure> {
    let change = match command {
        HostCommand::Quota { size: None } => HostChange::Show,
        HostCommand::Quota { size: Some(size) } => HostChange::Quota(size.0),
        HostCommand::Pause { until } => HostChange::Pause {
            until_ms: until.map(moment),
        },
        HostCommand::Resume => HostChange::Resume,
        HostCommand::Leave => HostChange::Leave,
        HostCommand::Stay => HostChange::Stay,
        HostCommand::Generous { switch } => HostChange::Generous(switch == Switch::On),
        HostCommand::Release { name, yes } => return release(session, name, yes).await,
    };
    let Answer::Host(answer) = ask(session, Request::Host { change }).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
    } else {
        terminal::result_lines(&render::host_lines(&answer));
    }
    Ok(Exit::Done)
}

/// In milliseconds since 1970.
fn moment(until: Until) -> u64 {
    match until {
        Until::At(moment) => moment.0,
        Until::In(span) => {
            let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            clock::now().0.saturating_add(ms)
        }
    }
}

async fn release(session: &Session, peer: String, yes: bool) -> Result<Exit, Failure> {
    if !yes && !terminal::can_ask() {
        return Err(Failure::new(
            Exit::Usage,
            "not_sure",
            "this deletes what is kept for somebody else",
        )
        .with_hint("say it again with --yes"));
    }
    if !yes {
        let shown = terminal::escaped(&peer);
        eprint!("Delete all that is kept here for {shown}? Its owner may have no other copy. [no] ");
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        if read.is_err() || !line.trim().eq_ignore_ascii_case("yes") {
            terminal::note_line("Nothing was deleted.");
            return Ok(Exit::Done);
        }
    }
    let Answer::Release(answer) = ask(session, Request::Release(Release { peer })).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
    } else {
        terminal::result_line(&format!(
            "freed {} of archive {}",
            words::size(answer.bytes),
            answer.archive_id
        ));
    }
    Ok(Exit::Done)
}

pub(super) async fn peer_quota(session: &Session, peer: String, quota: SizeOrNone) -> Result<Exit, Failure> {
    let bytes = quota.0.map(|quota| quota.0);
    let Answer::PeerQuota(answer) = ask(session, Request::PeerQuota(PeerQuota { peer, bytes })).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
    } else {
        let name = terminal::escaped(&answer.name);
        let quota = answer.quota.map_or_else(
            || "as much here as everything else allows".to_owned(),
            |quota| format!("{} here at most", words::size(quota)),
        );
        terminal::result_line(&format!("{name} may keep {quota}"));
    }
    Ok(Exit::Done)
}
