//! The node's side of the transport: where to listen, and what to do with each event.

use std::sync::{Arc, Weak};

use nuthatch_engine::boundary::{Input, PathClass};
use nuthatch_transport::{ControlProtocol, Event, Transport};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{NodeOptions, Stores};
use crate::api::{Exit, Failure, Reach};
use crate::node::Node;
use crate::serve;

/// Starts the network of a node whose stores are open; `None` where nobody is to be reached.
pub(super) fn start(
    opened: &Stores,
    options: &NodeOptions,
) -> Result<Option<(Transport, mpsc::Receiver<Event>)>, Failure> {
    let own = opened.identity.node;
    let has_others = || opened.circle.members().iter().any(|member| *member != own);
    let is_wanted = match options.reach {
        Reach::Home => false,
        Reach::Members => has_others(),
        Reach::Anybody | Reach::Listening => true,
    };
    if !is_wanted {
        return Ok(None);
    }
    let mut config =
        nuthatch_transport::Config::new(*opened.identity.key.seed(), listen_at(opened, options)?);
    config.mdns = opened.config.mdns;
    let gate = Arc::clone(opened.circle.gate()) as Arc<dyn nuthatch_transport::Gate>;
    let (transport, events) = Transport::start(config, gate).map_err(|error| {
        Failure::from_error(Exit::Failed, "network", &error)
            .with_hint("choose other addresses with --listen, or set 'port' in config.toml")
    })?;
    transport.set_limits(opened.config.rate_limits());
    Ok(Some((transport, events)))
}

/// What the command says, else the settings, else every interface at the node's port, which the first start chooses and keeps.
fn listen_at(opened: &Stores, options: &NodeOptions) -> Result<Vec<String>, Failure> {
    if options.reach < Reach::Listening {
        return Ok(Vec::new());
    }
    if !options.listen.is_empty() {
        return Ok(options.listen.clone());
    }
    if !opened.config.listen.is_empty() {
        return Ok(opened.config.listen.clone());
    }
    let port = if let Some(port) = opened.config.port {
        port
    } else {
        let mut config = opened.config.clone();
        let port = crate::config::choose_port().map_err(|error| {
            Failure::from_error(Exit::Failed, "network", &error).with_hint("set 'port' in config.toml")
        })?;
        config.port = Some(port);
        config
            .save(opened.home.root())
            .map_err(|error| Failure::from_error(Exit::Failed, "config", &error))?;
        port
    };
    Ok(opened.config.listen_addresses(port))
}

/// Takes the transport's events until the node ends.
pub(super) async fn listen(node: Weak<Node>, mut events: mpsc::Receiver<Event>, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            event = events.recv() => event,
        };
        let (Some(event), Some(node)) = (event, node.upgrade()) else {
            return;
        };
        take(&node, event).await;
    }
}

async fn take(node: &Arc<Node>, event: Event) {
    match event {
        Event::Listening { address } => {
            node.events
                .say("listening", None, format!("listening on {address}"));
            let publisher = Arc::clone(node);
            node.tasks
                .spawn(async move { publisher.publish_addresses().await });
        }
        Event::Connected {
            node: peer, class, ..
        } => {
            if node.circle.gate().is_member(&peer) {
                node.engine
                    .tell(Input::Connected {
                        node: peer,
                        class: class_of(class),
                    })
                    .await;
            }
        }
        Event::Disconnected { node: peer } => node.engine.tell(Input::Disconnected { node: peer }).await,
        Event::Request {
            node: asker,
            protocol,
            message,
            respond,
        } => {
            let server = Arc::clone(node);
            node.tasks.spawn(async move {
                let answer = match protocol {
                    ControlProtocol::Join => serve::strangers::answer_join(server, asker, message).await,
                    ControlProtocol::Claim => serve::strangers::answer_claim(server, asker, message).await,
                    ControlProtocol::Control => Some(serve::control::answer(server, asker, message).await),
                };
                // Dropped without an answer, the transport tells the asker that there is none.
                if let Some(answer) = answer {
                    respond.respond(answer);
                }
            });
        }
        Event::Bulk { stream, .. } => {
            let (server, stop) = (Arc::clone(node), node.stop.clone());
            node.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = serve::bulk::serve(server, stream) => {}
                }
            });
        }
        Event::Discovered { node: peer, address } => {
            node.circle.sighted(peer, [address]);
            if node.circle.gate().is_member(&peer) {
                node.engine.tell(Input::Sighted { node: peer }).await;
            }
        }
        Event::PeerAddresses {
            node: peer,
            addresses,
        } => node.circle.sighted(peer, addresses),
        Event::Degraded(degraded) => node.events.say("degraded", None, degraded.to_string()),
    }
}

fn class_of(class: nuthatch_transport::PathClass) -> PathClass {
    match class {
        nuthatch_transport::PathClass::Lan => PathClass::Lan,
        nuthatch_transport::PathClass::Direct => PathClass::Direct,
        nuthatch_transport::PathClass::Relayed => PathClass::Relayed,
    }
}
