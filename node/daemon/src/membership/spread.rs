//! Word of mouth: what is new in the circle goes to members that are connected, and from them on. A shortcut: what is missed is made good
//! when two members greet each other.

use futures::StreamExt as _;
use nuthatch_format::statement::{SignedStatement, Statement};
use nuthatch_format::{NodeId, codec};
use nuthatch_wire::bounded::List;
use nuthatch_wire::membership::CIRCLE_MEMBERS_MAX;
use nuthatch_wire::message::{ROSTER_ITEMS_PER_PAGE_MAX, Request, RosterItem, page_of};

use crate::ask;
use crate::node::Node;

/// Members that are told of something at a time.
const TOLD_AT_ONCE: usize = 8;

/// Members that one node tells what is new: with so many each, word reaches a whole circle in two steps.
const SPREAD_MAX: usize = 16;

const _: () = assert!(SPREAD_MAX * SPREAD_MAX >= CIRCLE_MEMBERS_MAX);

impl Node {
    /// Tells some connected members what is new; they tell others. Greetings compare whole rosters, but come once a connection, and a
    /// new member must be known to those that are connected already.
    pub(crate) fn spread(&self, items: Vec<RosterItem>) {
        let page: List<RosterItem, ROSTER_ITEMS_PER_PAGE_MAX> =
            page_of(items, |item| codec::encode(item).len());
        let mut peers: Vec<NodeId> = self.pulse.online().into_keys().collect();
        if page.is_empty() || peers.is_empty() {
            return;
        }
        // Each node begins after its own place, so that not all tell the same ones.
        let own = self.identity.node;
        let place = peers.partition_point(|peer| *peer < own);
        peers.rotate_left(place);
        peers.truncate(SPREAD_MAX);
        let (transport, stop) = (self.transport.clone(), self.stop.clone());
        let telling = async move {
            let request = Request::PutRoster(page);
            futures::stream::iter(peers)
                .for_each_concurrent(TOLD_AT_ONCE, async |peer| {
                    if let Err(error) = ask::ask(&transport, peer, &request).await {
                        tracing::debug!("{peer:?} was not told what is new in the circle: {error}");
                    }
                })
                .await;
        };
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = telling => {}
            }
        });
    }

    /// Tells others all that is known of one node: somebody has just been admitted here.
    pub(crate) fn spread_word_of(&self, node: &NodeId) {
        let items = self.circle.read(|roster| {
            roster
                .items()
                .filter(|item| is_about(item, node))
                .cloned()
                .collect()
        });
        self.spread(items.unwrap_or_default());
    }
}

/// Whether an item says something of a node itself.
fn is_about(item: &RosterItem, node: &NodeId) -> bool {
    match item {
        RosterItem::Charter(_) => false,
        RosterItem::Admission(admission) => {
            let proof = admission.open().and_then(|admission| admission.proof.open());
            proof.is_ok_and(|proof| proof.node == *node)
        }
        RosterItem::Removal(removal) => removal.open().is_ok_and(|removal| removal.node == *node),
        RosterItem::Addresses(addresses) => addresses.open().is_ok_and(|addresses| addresses.node == *node),
        RosterItem::Statement(bytes) => {
            let Ok(statement) = SignedStatement::parse(bytes) else {
                return false;
            };
            matches!(statement.verify(), Ok(Statement::Certified { certificate }) if certificate.node == *node)
        }
    }
}
