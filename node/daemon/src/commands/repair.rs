//! `repair`: has everything looked over and repaired now that is to be repaired, or shows what that would be. Which stripe is rebuilt and who
//! gets what is the engine's word.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nuthatch_engine::boundary::{Input, PackKind, StripeFacts};
use nuthatch_engine::placement::{Candidate, preview};
use nuthatch_format::PackId;

use super::{blocking, catalogue_failure, owned};
use crate::api::{
    CancellationToken, Exit, Failure, Outlet, Phase, Progress, Repair, RepairRow, RepairStanding,
    RepairSummary,
};
use crate::clock;
use crate::contact;
use crate::effects::{Part, endangered};
use crate::node::{Node, Owned};
use crate::repairs::{PlanFacts, RepairState};
use crate::ward::Ward;

/// Packs that a plan names; of more only the number is said.
const PLAN_MAX: usize = 1000;

/// Packs read at a time for a plan (count).
const PAGE: usize = 32;

/// How long the engine has to say how things stand.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How often progress is said while nothing changes.
const LOOK: Duration = Duration::from_millis(500);

/// Does it, or shows it.
pub(crate) async fn run(
    node: &Arc<Node>,
    asked: &Repair,
    out: &Outlet,
    cancel: CancellationToken,
) -> Result<RepairSummary, Failure> {
    let owned = owned(node)?;
    let started = clock::instant();
    contact::hosts(node).await;
    let mut summary = if asked.dry_run {
        plan(node, &owned).await?
    } else {
        repair(node, &owned, out, cancel).await?
    };
    summary.seconds = clock::seconds_since(started);
    Ok(summary)
}

fn nobody_is_here() -> Failure {
    Failure::new(
        Exit::TryLater,
        "hosts_away",
        "no host is online, so nothing can be repaired now",
    )
    .with_hint(
        "repairs are done by themselves when hosts are back; 'nuthatch peers' shows who is away since when",
    )
}

async fn repair(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    out: &Outlet,
    cancel: CancellationToken,
) -> Result<RepairSummary, Failure> {
    if node.pulse.is_cut() {
        return Err(Failure::new(
            Exit::TryLater,
            "link_cut",
            "most members vanished at once: this machine's own connection seems cut, and nothing is repaired",
        )
        .with_hint("repairs go on by themselves as soon as one of them is back"));
    }
    let mut states = node.repairs.watch();
    let before = node.repairs.state();
    let sent_before = node.transport.traffic().sent;
    let started = clock::instant();
    let archive = owned.archive;
    node.engine.tell(Input::RepairNow { archive }).await;
    loop {
        let state = states.borrow_and_update().clone();
        if state.rounds > before.rounds && state.asked_rounds > before.asked_rounds {
            let mut summary = summary_of(&before, &state);
            summary.bytes_sent = node.transport.traffic().sent.saturating_sub(sent_before);
            return Ok(summary);
        }
        if node.pulse.online().is_empty() {
            return Err(nobody_is_here());
        }
        out.progress(Progress {
            phase: Phase::Repair,
            files_done: 0,
            files_total: 0,
            bytes_done: node.transport.traffic().sent.saturating_sub(sent_before),
            bytes_total: 0,
            seconds: clock::seconds_since(started),
            current: None,
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Failure::interrupted()),
            () = tokio::time::sleep(LOOK) => {}
            _ = states.changed() => {}
        }
    }
}

fn summary_of(before: &RepairState, after: &RepairState) -> RepairSummary {
    let (round, by) = (after.last, after.by_source.since(before.by_source));
    RepairSummary {
        packs_due: round.found.due,
        packs_repaired: round.rebuilt,
        shards_placed: after.shards_placed.saturating_sub(before.shards_placed),
        bytes_fetched: after.bytes_fetched.saturating_sub(before.bytes_fetched),
        from_files: by.files,
        from_staging: by.staging,
        from_shards: by.shards,
        waiting_for_room: round.no_host,
        waiting_for_hosts: round.out_of_reach,
        unrepairable: round.found.unrepairable,
        clumped: round.found.clumped,
        ..empty(false)
    }
}

const fn empty(dry_run: bool) -> RepairSummary {
    RepairSummary {
        dry_run,
        plan: Vec::new(),
        packs_due: 0,
        packs_repaired: 0,
        shards_placed: 0,
        bytes_sent: 0,
        bytes_fetched: 0,
        from_files: 0,
        from_staging: 0,
        from_shards: 0,
        waiting_for_room: 0,
        waiting_for_hosts: 0,
        unrepairable: 0,
        clumped: 0,
        link_cut: false,
        seconds: 0.0,
    }
}

/// What a repair would do now.
async fn plan(node: &Arc<Node>, owned: &Arc<Owned>) -> Result<RepairSummary, Failure> {
    let busy = || {
        Failure::new(
            Exit::TryLater,
            "busy",
            "the node does not say in time how things stand",
        )
    };
    let (token, answer) = node.repairs.ask().ok_or_else(busy)?;
    let archive = owned.archive;
    node.engine.tell(Input::RepairAsked { token, archive }).await;
    let facts = tokio::time::timeout(ANSWER_MAX, answer)
        .await
        .map_err(|_| busy())?
        .map_err(|_| busy())?;
    let (node, owned) = (Arc::clone(node), Arc::clone(owned));
    blocking(move || lay_out(&node, &owned, &facts)).await
}

fn lay_out(node: &Node, owned: &Arc<Owned>, facts: &PlanFacts) -> Result<RepairSummary, Failure> {
    let ward = Ward::of_owned(owned);
    let mut summary = empty(true);
    summary.link_cut = facts.is_cut;
    let mut margin = Some(0);
    while let Some(now) = margin.take() {
        let mut after = None;
        loop {
            let part = Part {
                margin: now,
                after,
                limit: PAGE,
            };
            let found = endangered(&ward, &facts.view, part).map_err(|error| catalogue_failure(&error))?;
            if now == 0 {
                summary.packs_due += found.counts.due;
                summary.unrepairable += found.counts.unrepairable;
                summary.clumped += found.counts.clumped;
            }
            margin = [margin, found.next_margin].into_iter().flatten().min();
            for stripe in &found.page {
                add(node, owned, facts, stripe, &mut summary)?;
            }
            after = found.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(summary)
}

/// Adds one pack to a plan.
fn add(
    node: &Node,
    owned: &Owned,
    facts: &PlanFacts,
    pack: &StripeFacts,
    summary: &mut RepairSummary,
) -> Result<(), Failure> {
    let Some(stripe) = &pack.stripe else { return Ok(()) };
    let number = nuthatch_disk::catalogue::PackNumber(pack.pack.0);
    let record = owned
        .catalogue
        .pack(number)
        .map_err(|error| catalogue_failure(&error))?;
    let Some(record) = record else { return Ok(()) };
    let candidates: Vec<Candidate> = facts
        .takers
        .iter()
        .filter(|one| one.free >= stripe.shard_len)
        .copied()
        .collect();
    let holders: Vec<_> = facts
        .view
        .sound(&stripe.holders)
        .map(|(index, holder)| (index, holder, facts.view.of(holder).1))
        .collect();
    let moves = preview(stripe.scheme, &holders, &candidates, pack.pack.0).moves;
    let bytes = stripe.shard_len.0.saturating_mul(moves.len() as u64);
    let sources = sources(owned, &record.id);
    if moves.is_empty() {
        summary.waiting_for_room += 1;
    } else {
        summary.shards_placed += moves.len() as u64;
        summary.bytes_sent = summary.bytes_sent.saturating_add(bytes);
        if sources.iter().all(|source| source != "staging") {
            summary.bytes_fetched = summary.bytes_fetched.saturating_add(pack.pack_len.0);
        }
    }
    if summary.plan.len() < PLAN_MAX {
        let health = facts.view.health(stripe.scheme, &stripe.holders);
        let to: BTreeSet<String> = moves.values().map(|to| node.circle.name_of(to)).collect();
        summary.plan.push(RepairRow {
            pack_id: record.id.to_string(),
            kind: match pack.kind {
                PackKind::Data => "data",
                PackKind::Meta => "meta",
            }
            .to_owned(),
            shards: stripe.scheme.total(),
            needed: stripe.scheme.data(),
            retrievable: health.retrievable,
            healthy: health.healthy,
            sources,
            to: to.into_iter().collect(),
            bytes,
        });
    }
    Ok(())
}

/// Where a pack's bytes are looked for, in this order.
fn sources(owned: &Owned, pack: &PackId) -> Vec<String> {
    let words: &[&str] = if owned.recalled.contains(pack) || owned.staging.contains(pack) {
        &["staging"]
    } else {
        &["files", "shards"]
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// How repairs stand, for `status`.
pub(crate) fn standing(node: &Node) -> RepairStanding {
    let state = node.repairs.state();
    RepairStanding {
        running: state.running.len() as u64,
        waiting_for_room: state.last.no_host,
        waiting_for_hosts: state.last.out_of_reach,
        unrepairable: state.last.found.unrepairable,
        clumped: state.last.found.clumped,
        shards_placed: state.shards_placed,
        from_files: state.by_source.files,
        from_staging: state.by_source.staging,
        from_shards: state.by_source.shards,
        bytes_fetched: state.bytes_fetched,
    }
}

/// What becomes of a repair that was done as far as it goes now.
pub(crate) fn missed(summary: &RepairSummary) -> Option<Failure> {
    if summary.dry_run {
        return None;
    }
    if summary.unrepairable > 0 {
        let message = format!(
            "{} packs can't be repaired: too little is left of them",
            summary.unrepairable
        );
        return Some(Failure::new(Exit::Damage, "unrepairable", message).with_hint(
            "back up again what is still here: it is stored anew; 'nuthatch verify' names what suffers",
        ));
    }
    if summary.waiting_for_room > 0 {
        let message = format!(
            "{} packs wait for another host to take what is missing",
            summary.waiting_for_room
        );
        return Some(
            Failure::new(Exit::NotEnoughHosts, "not_enough_hosts", message).with_hint(
                "invite another friend: 'nuthatch invite'; it is repaired by itself when one joins",
            ),
        );
    }
    if summary.waiting_for_hosts > 0 {
        let message = format!(
            "{} packs wait for hosts that still have shards",
            summary.waiting_for_hosts
        );
        return Some(
            Failure::new(Exit::TryLater, "hosts_away", message)
                .with_hint("it is repaired by itself when they are back; 'nuthatch peers' shows who is away"),
        );
    }
    None
}
