//! `peer lost`, `peer drain`, `peer keep`: a person's word on a member, which the engine goes by from then on.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_engine::boundary::Input;
use nuthatch_engine::history::Standing;
use nuthatch_engine::repair::HostHealth;
use nuthatch_format::NodeId;
use nuthatch_transport::peer_id_text;

use crate::api::{Exit, Failure, PeerStanding, PeerStandingAnswer, PeerWord};
use crate::node::Node;

/// Characters of an id that name a node at least: every id begins alike.
const PART_LEN_MIN: usize = 4;

/// How long the engine has to take the word.
const TAKEN_MAX: Duration = Duration::from_secs(10);

/// Says it; answers when it holds, durably.
pub(crate) async fn run(node: &Arc<Node>, said: &PeerStanding) -> Result<PeerStandingAnswer, Failure> {
    let peer = find(node, &said.peer)?;
    let name = node.circle.name_of(&peer);
    let (standing, wanted) = match said.word {
        PeerWord::Lost => (Standing::Lost, HostHealth::Lost),
        PeerWord::Drain => (Standing::Leaving, HostHealth::Leaving),
        PeerWord::Keep => (Standing::Member, HostHealth::Sound),
    };
    if said.word == PeerWord::Lost && node.pulse.online().contains_key(&peer) {
        return Err(Failure::new(
            Exit::Failed,
            "peer_online",
            format!("{name} is online, so it is not lost"),
        )
        .with_hint(format!(
            "'nuthatch peer drain {name}' copies away what it keeps before it leaves"
        ))
        .with_peer(peer_id_text(peer)));
    }
    let mut work = node.pulse.work();
    node.engine
        .tell(Input::StandingSet { node: peer, standing })
        .await;
    let taken = async {
        loop {
            let health = node.pulse.health(&peer);
            if health == wanted || (said.word == PeerWord::Keep && health == HostHealth::Gone) {
                return health;
            }
            if work.changed().await.is_err() {
                return health;
            }
        }
    };
    let health = tokio::time::timeout(TAKEN_MAX, taken).await.map_err(|_| {
        Failure::new(
            Exit::Failed,
            "not_taken",
            "the node did not take the word in time",
        )
        .with_hint("look at this machine's disk, and say it again")
    })?;
    Ok(PeerStandingAnswer {
        peer_id: peer_id_text(peer),
        name,
        health: health_word(health).to_owned(),
    })
}

/// The one member of this name, this id, or this beginning or end of it.
fn find(node: &Node, text: &str) -> Result<NodeId, Failure> {
    let own = node.identity.node;
    let members: Vec<NodeId> = node
        .circle
        .members()
        .into_iter()
        .filter(|member| *member != own)
        .collect();
    let names = |member: &&NodeId| node.circle.name_of(member) == text;
    let is_id = |member: &&NodeId| {
        let id = peer_id_text(**member);
        id == text || (text.len() >= PART_LEN_MIN && (id.starts_with(text) || id.ends_with(text)))
    };
    let by_name: Vec<&NodeId> = members.iter().filter(names).collect();
    let found = if by_name.is_empty() {
        members.iter().filter(is_id).collect()
    } else {
        by_name
    };
    match found.as_slice() {
        [one] => Ok(**one),
        [] => Err(Failure::new(
            Exit::Failed,
            "no_such_peer",
            format!("the circle has no member '{text}'"),
        )
        .with_hint("'nuthatch peers' shows who is in it")),
        _ => Err(Failure::new(
            Exit::Usage,
            "ambiguous",
            format!("'{text}' names several members"),
        )
        .with_hint("give the id instead: 'nuthatch peers --json' shows it")),
    }
}

/// As scripts read it.
pub(crate) const fn health_word(health: HostHealth) -> &'static str {
    match health {
        HostHealth::Sound => "sound",
        HostHealth::Gone => "gone",
        HostHealth::Leaving => "leaving",
        HostHealth::Lost => "lost",
    }
}
