//! `peer lost`, `peer drain`, `peer keep`: a person's word on a member, which the engine goes by from then on.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_engine::boundary::Input;
use nuthatch_engine::history::Standing;
use nuthatch_engine::repair::HostHealth;
use nuthatch_transport::peer_id_text;

use super::member;
use crate::api::{Exit, Failure, PeerStanding, PeerStandingAnswer, PeerWord};
use crate::node::Node;

/// How long the engine has to take the word.
const TAKEN_MAX: Duration = Duration::from_secs(10);

/// Says it; answers when it holds, durably.
pub(crate) async fn run(node: &Arc<Node>, said: &PeerStanding) -> Result<PeerStandingAnswer, Failure> {
    let peer = member::find(node, &said.peer)?;
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

/// As scripts read it.
pub(crate) const fn health_word(health: HostHealth) -> &'static str {
    match health {
        HostHealth::Sound => "sound",
        HostHealth::Gone => "gone",
        HostHealth::Leaving => "leaving",
        HostHealth::Lost => "lost",
    }
}
