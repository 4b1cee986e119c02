//! What a node does by itself from time to time: it asks members for news, takes up what other devices wrote, and asks hosts for inventories.

use std::sync::{Arc, Weak};

use nuthatch_engine::boundary::Input;
use nuthatch_format::ArchiveId;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::config::Periods;
use crate::node::Node;
use crate::{roster_sync, stewards, sync};

/// Keeps to the periods until the node ends.
pub(super) async fn keep(node: Weak<Node>, periods: Periods, stop: CancellationToken) {
    // Ticks from now on; what a sleeping machine has missed is made up for once.
    let ticker = |period| {
        let mut ticker = interval_at(Instant::from_std(crate::clock::instant()) + period, period);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticker
    };
    let (mut roster, mut inventory) = (ticker(periods.roster), ticker(periods.inventory));
    loop {
        let is_roster = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = roster.tick() => true,
            _ = inventory.tick() => false,
        };
        let Some(node) = node.upgrade() else { return };
        if is_roster {
            node.count_uptime();
            news(&node).await;
        } else {
            inventories(&node).await;
        }
    }
}

/// As after a commit: each reachable host is asked for an inventory newer than now.
async fn inventories(node: &Arc<Node>) {
    let stewarded: Vec<ArchiveId> = node.stewards.wards().iter().map(|ward| ward.archive).collect();
    for archive in &stewarded {
        stewards::learn_own(node, *archive).await;
    }
    for archive in node
        .owned()
        .map(|owned| owned.archive)
        .into_iter()
        .chain(stewarded)
    {
        node.engine.tell(Input::Committed { archive }).await;
    }
}

/// Asks every member that is online for news of the circle, and every host for what other devices wrote.
async fn news(node: &Arc<Node>) {
    for peer in node.pulse.online().into_keys() {
        if let Err(error) = roster_sync::exchange(node, peer).await {
            tracing::debug!("the roster was not exchanged with {peer:?}: {error}");
        }
    }
    // A holiday may have ended, and what members need of a node that leaves grows less.
    node.tell_terms();
    if let Some(owned) = node.owned() {
        sync::refresh(node, &owned).await;
    }
}
