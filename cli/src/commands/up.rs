//! `up`: the node until it is interrupted, an event a line.

use std::sync::Arc;

use nuthatch_daemon::api::{Exit, Failure, Message, Reach, Ready, Request};
use nuthatch_daemon::local_server::LocalServer;
use nuthatch_daemon::{Node, NodeOptions};

use crate::args::UpArgs;
use crate::node;
use crate::render;
use crate::run;
use crate::session::Session;
use crate::terminal::{self, Tone, toned};

pub(super) async fn run(session: &Session, args: UpArgs) -> Result<Exit, Failure> {
    if !node::is_here(session)? {
        return Err(node::nothing_here(session));
    }
    let running = Node::start(
        session.home(),
        NodeOptions {
            listen: args.listen,
            reach: Reach::Listening,
        },
    )
    .await?;
    let server = match LocalServer::start(session.home(), Arc::<Node>::clone(&running)) {
        Ok(server) => server,
        Err(error) => {
            running.shutdown().await;
            return Err(Failure::from_error(Exit::Failed, "no_socket", &error));
        }
    };
    say_ready(session, running.ready().await);
    let mut view = super::work_view(session);
    let performer = Arc::<Node>::clone(&running);
    let outcome = run::perform(
        performer,
        Request::Events {},
        None,
        view.as_mut(),
        session.cancel.clone(),
    )
    .await;
    server.stop().await;
    running.shutdown().await;
    match outcome.failure {
        Some(failure) if failure.exit != Exit::Interrupted => Err(failure),
        Some(_) | None => Ok(Exit::Done),
    }
}

fn say_ready(session: &Session, ready: Ready) {
    if session.json {
        render::json_line(&Message::Ready(ready));
        return;
    }
    terminal::result_line(&format!("{}  {}", toned(Tone::Good, "ready"), ready.peer_id));
    for address in ready.addresses {
        terminal::result_line(&format!("  {}", terminal::escaped(&address)));
    }
}
