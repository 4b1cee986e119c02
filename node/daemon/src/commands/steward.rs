//! `steward appoint`, `revoke`, `list`: who may look after the archive without its keys, and whose archives this node looks after.

use std::sync::Arc;
use std::time::Duration;

use nuthatch_engine::boundary::Input;
use nuthatch_format::signed::KeyPair;
use nuthatch_format::statement::{SignedStatement, Statement};
use nuthatch_format::{ByteCount, NodeId, Timestamp};
use nuthatch_transport::peer_id_text;

use super::{blocking, member, owned};
use crate::api::{
    Exit, Failure, StewardAnswer, StewardOrder, StewardRow, StewardWord, StewardingRow, StewardsAnswer,
    rfc3339,
};
use crate::clock;
use crate::contact;
use crate::node::{Node, Owned};
use crate::setup;
use crate::stewards::Work;
use crate::sync;
use crate::ward::Ward;

/// How long one host may take to be told.
const TELL_MAX: Duration = Duration::from_secs(20);

/// Signs an appointment or its end, keeps it, and tells the hosts that can be reached.
pub(crate) async fn order(node: &Arc<Node>, order: &StewardOrder) -> Result<StewardAnswer, Failure> {
    let owned = owned(node)?;
    let signing = setup::signing_key(&order.signing_key, &owned.archive)?;
    let (steward, budget) = match order.word {
        StewardWord::Appoint { budget } => (appointee(node, &owned, &order.peer)?, ByteCount(budget)),
        StewardWord::Revoke => (dismissed(node, &owned, &order.peer)?, ByteCount::ZERO),
    };
    let statement = state(node, &owned, &signing, (steward, budget))?;
    let keeper = Arc::clone(node);
    blocking(move || {
        keeper.take_statement(&statement);
        let kept = keeper.known_statements(&statement.archive());
        match kept.filter(|kept| kept.contains(&statement.id())) {
            Some(_) => Ok(()),
            None => Err(Failure::new(
                Exit::Failed,
                "too_many",
                "no more statements are kept for this archive",
            )),
        }
    })
    .await?;
    let told = tell(node, &owned).await;
    Ok(StewardAnswer {
        peer_id: peer_id_text(steward),
        name: node.circle.name_of(&steward),
        budget: budget.0,
        told,
    })
}

/// Who is to be a steward: a host of the archive, since what is known of it lies with hosts.
fn appointee(node: &Node, owned: &Owned, text: &str) -> Result<NodeId, Failure> {
    let peer = member::find(node, text)?;
    let name = node.circle.name_of(&peer);
    let set = node.known_statements(&owned.archive);
    if set.is_some_and(|set| set.certificate_of_node(&peer).is_some()) {
        let message = format!("{name} is a device of this archive and looks after it anyway");
        return Err(Failure::new(Exit::Failed, "own_device", message).with_peer(peer_id_text(peer)));
    }
    if !node.pulse.leases().contains_key(&peer) {
        let message = format!("{name} keeps nothing of this archive, so it can't look after it");
        return Err(Failure::new(Exit::Failed, "not_a_host", message)
            .with_hint("a steward must be a host: it runs 'nuthatch join INVITATION --quota SIZE' and 'nuthatch up', and is met by this node once")
            .with_peer(peer_id_text(peer)));
    }
    Ok(peer)
}

/// Which steward is to be none any more.
fn dismissed(node: &Node, owned: &Owned, text: &str) -> Result<NodeId, Failure> {
    let set = node.known_statements(&owned.archive);
    let stewards: Vec<NodeId> = set
        .iter()
        .flat_map(|set| set.stewards())
        .map(|(steward, _)| steward)
        .collect();
    member::find_in(node, &stewards, text).map_err(|failure| match failure.kind.as_str() {
        "no_such_peer" => Failure::new(
            Exit::Failed,
            "no_such_steward",
            format!("this archive has no steward '{text}'"),
        )
        .with_hint("'nuthatch steward list' shows them"),
        _ => failure,
    })
}

/// The statement, later than any earlier one about this steward.
fn state(
    node: &Node,
    owned: &Owned,
    signing: &KeyPair,
    (steward, byte_budget): (NodeId, ByteCount),
) -> Result<SignedStatement, Failure> {
    let set = node.known_statements(&owned.archive);
    let before = set.and_then(|set| set.steward_stated_at(&steward));
    let time = before.map_or(clock::now(), |before| {
        clock::now().max(Timestamp(before.0.saturating_add(1)))
    });
    let statement = Statement::Steward {
        node: steward,
        byte_budget,
    };
    SignedStatement::by_archive(statement, signing, time)
        .map_err(|error| Failure::from_error(Exit::Failed, "internal", &error))
}

/// Tells the hosts that are online; answers how many have heard. The others hear it with the next segments.
async fn tell(node: &Arc<Node>, owned: &Arc<Owned>) -> u32 {
    contact::quick_hosts(node).await;
    let leases = node.pulse.leases();
    let online = node.pulse.online().into_keys();
    let mut told = 0;
    for host in online.filter(|host| leases.contains_key(host)) {
        match tokio::time::timeout(TELL_MAX, sync::statements(node, owned.archive, host)).await {
            Ok(Ok(())) => told += 1,
            Ok(Err(error)) => tracing::debug!("{host:?} was not told: {error}"),
            Err(_) => tracing::debug!("{host:?} was not told in time"),
        }
    }
    let grew = Input::JournalGrew {
        archive: owned.archive,
        journal: owned.journal.position(),
    };
    node.engine.tell(grew).await;
    told
}

/// Lists stewards both ways.
pub(crate) async fn list(node: &Arc<Node>) -> Result<StewardsAnswer, Failure> {
    let node = Arc::clone(node);
    blocking(move || {
        let rows = node.stewards.wards();
        let stewarding = rows.iter().map(|ward| stewarding(&node, ward));
        Ok(StewardsAnswer {
            stewards: node
                .owned()
                .map(|owned| stewards(&node, &owned))
                .unwrap_or_default(),
            stewarding: stewarding.collect::<Result<_, _>>()?,
        })
    })
    .await
}

fn stewards(node: &Node, owned: &Owned) -> Vec<StewardRow> {
    let Some(set) = node.known_statements(&owned.archive) else {
        return Vec::new();
    };
    let online = node.pulse.online();
    let row = |(steward, budget): (NodeId, ByteCount)| StewardRow {
        peer_id: peer_id_text(steward),
        name: node.circle.name_of(&steward),
        budget: budget.0,
        since: rfc3339(set.steward_stated_at(&steward).unwrap_or_default()),
        online: online.contains_key(&steward),
    };
    set.stewards().map(row).collect()
}

fn stewarding(node: &Node, ward: &Ward) -> Result<StewardingRow, Failure> {
    let set = node.known_statements(&ward.archive);
    let budget = set.and_then(|set| set.steward_budget(&node.identity.node));
    let Work {
        shards_placed,
        bytes_fetched,
        last,
    } = node.stewards.work(&ward.archive);
    let round = last.map(|(_, round)| round).unwrap_or_default();
    Ok(StewardingRow {
        archive_id: ward.archive.to_string(),
        budget: budget.unwrap_or_default().0,
        packs: ward
            .catalogue
            .pack_count()
            .map_err(|error| super::catalogue_failure(&error))?,
        last_look: last.map(|(at, _)| rfc3339(at)),
        packs_due: round.found.due.saturating_sub(round.rebuilt),
        unrepairable: round.found.unrepairable,
        shards_placed,
        bytes_fetched,
    })
}
