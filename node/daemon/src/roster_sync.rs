//! Bringing two members to the same knowledge of their circle: theirs is pulled and merged, then ours is pushed where they lack it.
//!
//! Every item carries its proof, so it does not matter which of the two is believed: neither is.

use std::collections::BTreeSet;
use std::sync::Arc;

use nuthatch_format::{CircleId, NodeId, codec};
use nuthatch_wire::attest::Digest;
use nuthatch_wire::bounded::List;
use nuthatch_wire::membership::{ROSTER_ITEMS_MAX, Roster};
use nuthatch_wire::message::{ROSTER_ITEMS_PER_PAGE_MAX, Request, RosterItem, RosterRequest, page_of};

use crate::ask::{AskError, ask_for};
use crate::events::FaultKind;
use crate::node::Node;

/// Rounds until the two agree, or are left to differ until they greet again.
const ROUNDS_MAX: usize = 3;

/// Pages pulled or pushed in one round; each is at most 256 KiB, so that no member can fill the memory. What is left comes later.
const PAGES_MAX: usize = 64;

/// Exchanges rosters with a connected member. Does nothing at a node without a circle.
pub(crate) async fn exchange(node: &Arc<Node>, peer: NodeId) -> Result<(), AskError> {
    let Some(circle) = node.circle.id() else {
        return Ok(());
    };
    let mut known: Option<Digest> = None;
    for _ in 0..ROUNDS_MAX {
        let theirs = pull(node, peer, circle).await?;
        let have: BTreeSet<Vec<u8>> = theirs.iter().map(codec::encode).collect();
        if !take(node, theirs).await {
            return Ok(());
        }
        let pushed = push(node, peer, &have).await?;
        // Another round only while something moves: what one of the two has no room or no right for stays different.
        let now = node.circle.read(Roster::digest);
        if pushed == 0 || known == now {
            return Ok(());
        }
        known = now;
    }
    Ok(())
}

/// What a member says of a circle, unverified.
pub(crate) async fn pull(node: &Node, peer: NodeId, circle: CircleId) -> Result<Vec<RosterItem>, AskError> {
    let mut items = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let request = Request::Roster(RosterRequest { circle, after });
        let page = ask_for!(&node.transport, peer, request, Roster)?;
        items.extend(page.items.into_vec());
        // Pages ascend: one that does not would never end.
        match page.next {
            Some(next) if after.is_none_or(|after| next > after) && items.len() < ROSTER_ITEMS_MAX => {
                after = Some(next);
            }
            _ => break,
        }
    }
    Ok(items)
}

/// Merges what came; `false` when this machine's disk does not take it.
async fn take(node: &Arc<Node>, items: Vec<RosterItem>) -> bool {
    let taker = Arc::clone(node);
    let outcome = match tokio::task::spawn_blocking(move || taker.take_roster(items)).await {
        Ok(Ok(_)) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    node.events.fault(
        FaultKind::OwnDisk,
        None,
        format!("the roster can't be written: {outcome}"),
    );
    false
}

/// Sends what the member lacks, what others rest on first; answers how many items.
async fn push(node: &Node, peer: NodeId, have: &BTreeSet<Vec<u8>>) -> Result<usize, AskError> {
    let lacking = node.circle.read(|roster| {
        let items = roster
            .items()
            .filter(|item| !have.contains(&codec::encode(*item)));
        let mut items: Vec<RosterItem> = items.cloned().collect();
        items.sort_by_key(rests_on);
        items
    });
    let mut rest = lacking.unwrap_or_default();
    let mut pushed = 0;
    for _ in 0..PAGES_MAX {
        let page: List<RosterItem, ROSTER_ITEMS_PER_PAGE_MAX> =
            page_of(rest.iter().cloned(), |item| codec::encode(item).len());
        if page.is_empty() {
            break;
        }
        rest.drain(..page.len());
        pushed += page.len();
        match crate::ask::ask(&node.transport, peer, &Request::PutRoster(page)).await? {
            nuthatch_wire::message::Reply::Done => {}
            _ => return Err(AskError::OtherAnswer),
        }
    }
    Ok(pushed)
}

/// Items with a greater number hold only where those with smaller ones are known.
fn rests_on(item: &RosterItem) -> u8 {
    match item {
        RosterItem::Charter(_) => 0,
        RosterItem::Admission(_) => 1,
        RosterItem::Removal(_) => 2,
        RosterItem::Addresses(_) => 3,
        RosterItem::Statement(_) => 4,
    }
}
