//! `audit`: has the hosts that are reachable prove at once what they keep, and says what each did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nuthatch_engine::audits::{
    AuditEnd, AuditStanding, AuditState, AuditWord, EndedAudit, challenges_wanted, standing,
};
use nuthatch_engine::boundary::Input;
use nuthatch_engine::rules::AuditRules;
use nuthatch_format::NodeId;
use nuthatch_transport::peer_id_text;
use tokio::sync::broadcast::error::RecvError;

use super::{blocking, catalogue_failure, hosts};
use crate::api::{
    Audit, AuditAnswer, AuditRow, AuditRulesShown, AuditShown, Exit, Failure, Outlet, Phase, Progress,
    rfc3339,
};
use crate::clock;
use crate::contact;
use crate::node::{Node, Owned};

/// Shortest part of an id that names a node.
const PART_LEN_MIN: usize = 4;

/// How often it is looked whether a host has left.
const LOOK: Duration = Duration::from_millis(200);

/// Audits.
pub(crate) async fn run(node: &Arc<Node>, asked: &Audit, out: &Outlet) -> Result<AuditAnswer, Failure> {
    let owned = super::owned(node)?;
    let started = clock::instant();
    let keepers = keepers(&owned).await?;
    let wanted: Vec<NodeId> = match &asked.peer {
        None => keepers,
        Some(text) => vec![find(node, &keepers, text)?],
    };
    contact::hosts(node).await;
    let ended = have_audited(node, &owned, (&wanted, asked.peer.is_some()), out).await;
    let rules = node.config().audits.rules;
    Ok(AuditAnswer {
        hosts: wanted
            .iter()
            .map(|host| row(node, *host, ended.get(host)))
            .collect(),
        rules: AuditRulesShown {
            detection: rules.detection.fraction(),
            lost: rules.lost.fraction(),
            challenges: challenges_wanted(&rules),
            within_seconds: rules.within.0 / 1000,
            traffic_per_day: rules.traffic.0,
        },
        seconds: clock::seconds_since(started),
    })
}

/// Who is known to hold something.
async fn keepers(owned: &Arc<Owned>) -> Result<Vec<NodeId>, Failure> {
    let owned = Arc::clone(owned);
    let held = blocking(move || hosts::bytes_held(&owned).map_err(|error| catalogue_failure(&error)));
    Ok(held.await?.into_keys().collect())
}

/// The one host that a person means.
fn find(node: &Node, keepers: &[NodeId], text: &str) -> Result<NodeId, Failure> {
    let names = |host: &&NodeId| {
        let id = peer_id_text(**host);
        let is_part = text.len() >= PART_LEN_MIN && (id.starts_with(text) || id.ends_with(text));
        id == text || is_part || node.circle.name_of(host) == text
    };
    let found: Vec<NodeId> = keepers.iter().filter(names).copied().collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::new(
            Exit::Failed,
            "no_such_host",
            format!("no host '{text}' keeps anything of this archive"),
        )
        .with_hint("'nuthatch peers' shows who does")),
        _ => Err(
            Failure::new(Exit::Usage, "ambiguous", format!("'{text}' names several hosts"))
                .with_hint("give more of the id"),
        ),
    }
}

/// Has the engine audit them, and waits for the end of each, or until it has gone.
async fn have_audited(
    node: &Node,
    owned: &Owned,
    (wanted, is_one): (&[NodeId], bool),
    out: &Outlet,
) -> BTreeMap<NodeId, EndedAudit> {
    let started = clock::instant();
    let mut audits = node.audits.ended();
    let archive = owned.archive;
    let one = wanted.first().copied().filter(|_| is_one);
    node.engine.tell(Input::AuditWanted { archive, node: one }).await;
    let mut ended = BTreeMap::new();
    loop {
        let online = node.pulse.online();
        let waits: BTreeSet<NodeId> = wanted
            .iter()
            .filter(|host| online.contains_key(host) && !ended.contains_key(*host))
            .copied()
            .collect();
        out.progress(Progress {
            phase: Phase::Audit,
            files_done: ended.len() as u64,
            files_total: wanted.len() as u64,
            bytes_done: ended
                .values()
                .map(|audit: &EndedAudit| audit.counts.bytes.0)
                .sum(),
            bytes_total: 0,
            seconds: clock::seconds_since(started),
            current: waits.first().map(|host| node.circle.name_of(host)),
        });
        if waits.is_empty() {
            return ended;
        }
        match tokio::time::timeout(LOOK, audits.recv()).await {
            Ok(Ok(audit)) if audit.was_wanted => drop(ended.insert(audit.node, audit)),
            Ok(Err(RecvError::Closed)) => return ended,
            Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => {}
        }
    }
}

fn row(node: &Node, host: NodeId, ended: Option<&EndedAudit>) -> AuditRow {
    let state = ended.map_or_else(|| node.audits.state(&host), |audit| audit.state);
    let counts = ended.map(|audit| audit.counts).unwrap_or_default();
    let outcome = match ended {
        Some(audit) if audit.end == AuditEnd::Failed => "failed",
        Some(audit) => audit.state.last.map_or("kept", word),
        None => "away",
    };
    AuditRow {
        peer_id: peer_id_text(host),
        name: node.circle.name_of(&host),
        outcome: outcome.to_owned(),
        proven: counts.proven,
        shards_lost: counts.missing,
        shards_wrong: counts.wrong,
        open: counts.open,
        bytes: counts.bytes.0,
        last_proof: state.proven_at.map(rfc3339),
        open_since: state.open_since.map(rfc3339),
    }
}

/// As scripts read it.
const fn word(word: AuditWord) -> &'static str {
    match word {
        AuditWord::Kept => "kept",
        AuditWord::Late => "late",
        AuditWord::Refused => "refused",
        AuditWord::Wrong => "wrong",
        AuditWord::Lost => "lost",
        AuditWord::Detached => "detached",
    }
}

/// How the audits of a host stand, for screens.
pub(super) fn shown(state: &AuditState, rules: &AuditRules) -> AuditShown {
    AuditShown {
        outcome: state.last.map(|last| word(last).to_owned()),
        at: state.ended_at.map(rfc3339),
        proven: state.proven_at.map(rfc3339),
        open_since: state.open_since.map(rfc3339),
        detached_since: state.detached_since.map(rfc3339),
        counted: standing(state, clock::now(), rules) == AuditStanding::Sound,
    }
}
