//! `invite`, `join`, `circle`, `peers`, `status`: the circle and this node's place in it.

use nuthatch_daemon::api::{
    Answer, Approve, Audit, Exit, Failure, Invite, Join, JoinAnswer, Peers, Request, Secret,
};
use nuthatch_daemon::config::size_text;
use nuthatch_daemon::setup::NewNode;
use nuthatch_format::ByteCount;

use super::new_home;
use crate::args::{AuditArgs, InviteArgs, JoinArgs, PeersArgs};
use crate::node;
use crate::render::{self, Collected, words};
use crate::run;
use crate::session::Session;
use crate::terminal;

/// Asks and gets an answer that is one document.
pub(super) async fn ask(session: &Session, request: Request) -> Result<Answer, Failure> {
    run::request(session, request, None, &mut Collected::default())
        .await?
        .into_answer()
}

pub(super) async fn invite(session: &Session, args: &InviteArgs) -> Result<Exit, Failure> {
    let expires_ms = u64::try_from(args.expires.as_millis()).unwrap_or(u64::MAX);
    let request = Request::Invite(Invite {
        expires_ms,
        uses: args.uses,
    });
    let Answer::Invite(answer) = ask(session, request).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
        return Ok(Exit::Done);
    }
    terminal::result_line(&answer.invitation);
    if args.qr {
        match render::qr_text(&answer.invitation) {
            Some(code) => terminal::result_line(&code),
            None => terminal::note_line("the invitation is too long for a QR code"),
        }
    }
    let expires = words::moment(&answer.expires);
    terminal::note_line(&format!(
        "Admits {} until {expires} UTC. Your friend runs:",
        words::plural(u64::from(args.uses), "node")
    ));
    terminal::note_line("  nuthatch join INVITATION --quota 200GB && nuthatch up");
    Ok(Exit::Done)
}

pub(super) async fn join(session: &Session, args: JoinArgs) -> Result<Exit, Failure> {
    let is_new = !node::is_here(session)?;
    let quota = match args.quota {
        None if is_new => Some(usual_quota(session)?),
        given => given,
    };
    let choices = NewNode {
        name: args.name,
        quota,
        listen: args.listen,
        no_mdns: args.no_mdns,
        survive: None,
    };
    let new = new_home::prepare(session, &choices)?;
    if node::running(session).await?.is_some() {
        new_home::tell_later(&choices);
    }
    let request = Request::Join(Join {
        invitation: Secret::new(args.invitation.trim().to_owned()),
    });
    let result = ask(session, request).await;
    // A node that waits for a person is to be the same one when it asks again.
    if let (Some(new), Err(failure)) = (new, &result)
        && failure.kind != "waits"
    {
        new.take_away();
    }
    let Answer::Join(answer) = result? else {
        return Err(run::unexpected_answer());
    };
    say_joined(session, &answer, quota);
    Ok(Exit::Done)
}

/// A quarter of the free space, unless a person at the terminal wants another.
fn usual_quota(session: &Session) -> Result<ByteCount, Failure> {
    let usual = new_home::quarter_of_free_space(session.home())?;
    if session.json || !terminal::can_ask() {
        return Ok(usual);
    }
    let mut prompt = format!("How much may others keep here? [{}] ", words::size(usual.0));
    loop {
        eprint!("{prompt}");
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        if line.trim().is_empty() || read.is_err() {
            return Ok(usual);
        }
        match nuthatch_daemon::config::parse_size(&line) {
            Ok(size) => return Ok(size),
            Err(reason) => {
                prompt = format!(
                    "{}. How much? [{}] ",
                    terminal::escaped(&reason),
                    words::size(usual.0)
                );
            }
        }
    }
}

fn say_joined(session: &Session, answer: &JoinAnswer, quota: Option<ByteCount>) {
    if let Some(quota) = quota {
        terminal::note_line(&format!(
            "Others may keep up to {} here ({} in config.toml).",
            words::size(quota.0),
            size_text(quota)
        ));
        if let Some(note) = render::promise_note(quota, ByteCount(answer.safe_bytes)) {
            terminal::note_line(&note);
        }
    }
    if session.json {
        render::json_document(answer);
        return;
    }
    terminal::result_line(&format!("joined circle {}", answer.circle_id));
    terminal::result_line(&format!(
        "it has {}, this one is {}",
        words::plural(u64::from(answer.members), "node"),
        answer.peer_id
    ));
    terminal::result_line("Next: 'nuthatch up' runs the node; 'nuthatch init' adds an archive of your own.");
}

pub(super) async fn waiting(session: &Session) -> Result<Exit, Failure> {
    let Answer::Waiting(answer) = ask(session, Request::Waiting {}).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_line(&answer.waiting);
    } else if answer.waiting.is_empty() {
        terminal::result_line("nobody waits");
    } else {
        terminal::result_line(&render::waiting_table(&answer.waiting));
        terminal::note_line(
            "'nuthatch circle approve ID' lets one in that you know. Who used the invitation before is in the circle.",
        );
    }
    Ok(Exit::Done)
}

pub(super) async fn approve(session: &Session, peer: String) -> Result<Exit, Failure> {
    let request = Request::Approve(Approve { peer });
    let Answer::Approve(answer) = ask(session, request).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
    } else {
        let members = words::plural(u64::from(answer.members), "node");
        let name = terminal::escaped(&answer.name);
        terminal::result_line(&format!("let {name} into the circle, which has {members} now"));
        terminal::result_line("It runs 'nuthatch join' with its invitation once more, and is in.");
    }
    Ok(Exit::Done)
}

pub(super) async fn peers(session: &Session, args: &PeersArgs) -> Result<Exit, Failure> {
    let request = Request::Peers(Peers { all: args.all });
    let Answer::Peers(answer) = ask(session, request).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_line(&answer.peers);
    } else if answer.peers.is_empty() {
        terminal::result_line("nobody else is in the circle: 'nuthatch invite' makes a line for a friend");
    } else {
        terminal::result_line(&render::peers_table(&answer.peers));
    }
    Ok(Exit::Done)
}

pub(super) async fn audit(session: &Session, args: AuditArgs) -> Result<Exit, Failure> {
    let request = Request::Audit(Audit { peer: args.peer });
    let mut view = super::work_view(session);
    let outcome = run::request(session, request, None, view.as_mut()).await?;
    super::conclude(session, outcome, |answer| match answer {
        Answer::Audit(answer) => Some(render::audit_lines(answer)),
        _ => None,
    })
}

pub(super) async fn status(session: &Session) -> Result<Exit, Failure> {
    let Answer::Status(answer) = ask(session, Request::Status {}).await? else {
        return Err(run::unexpected_answer());
    };
    if session.json {
        render::json_document(&answer);
    } else {
        terminal::result_lines(&render::status_lines(&answer));
    }
    Ok(Exit::Done)
}
