//! `recover`: from 24 words and the address of one host to a device of the archive that knows every snapshot.
//!
//! Each host is asked by a claim; those that grant it introduce others. Journals of all of them are united, so one host that shows an old
//! one hides nothing that another has.

mod claim;
mod enter;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nuthatch_format::keys::{ArchiveKeys, RecoveryPhrase};
use nuthatch_format::{LineId, NodeId};
use nuthatch_wire::protocol::provider_key;

use self::claim::{Claimant, Granted};
use self::enter::enter_circle;
use self::queue::{HostQueue, Rank};
use crate::api::{
    Exit, Failure, Message, Notice, Outlet, Phase, Progress, Recover, RecoverAnswer, Snapshots,
};
use crate::clock;
use crate::events::FaultKind;
use crate::job;
use crate::node::{Node, Owned};
use crate::setup::{self, Adoption};
use crate::sync::{self, JournalShown};

/// Hosts that are asked of those that have announced the archive.
const ANNOUNCED_MAX: usize = 256;

/// Hosts that are asked at a time.
const CLAIMS_MAX: usize = 16;

/// How long the first grant may take: a dial and two answers.
const CLAIM_MAX: Duration = Duration::from_mins(1);

/// How long further hosts have after one has let us in.
const OTHERS_MAX: Duration = Duration::from_secs(3);

/// How long nodes on the local network have to show themselves, when no address was given.
const LAN_WAIT: Duration = Duration::from_secs(8);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// Recovers.
pub(crate) async fn run(node: &Arc<Node>, request: Recover, out: &Outlet) -> Result<RecoverAnswer, Failure> {
    let phrase = setup::parse_phrase(&request.phrase)?;
    let since = clock::now();
    let keys = ArchiveKeys::derive(&phrase);
    let (claimant, adoption) = claimant(node, &phrase, &keys)?;
    let mut asked = ask_hosts(node, &claimant, &request.peers, out).await?;
    if let Some(adoption) = adoption {
        let (owner, passphrase) = (Arc::clone(node), request.passphrase.clone());
        super::blocking(move || adoption.write(&owner.home, passphrase.as_ref())).await?;
    }
    node.open_archive().await?;
    let owned = super::owned(node)?;
    // Whoever only looks stays a stranger to the circle.
    if !request.list_only {
        enter_circle(node, &asked, &keys).await;
    }
    ask_announced(node, &claimant, &mut asked).await;
    let shown = unite(node, &owned, &asked, out).await?;
    job::name_faults(node, since, out).await;
    let snapshots = owned
        .catalogue
        .snapshots()
        .map_err(|error| super::catalogue_failure(&error))?;
    if request.list_only {
        let every = (&Snapshots::default(), Some(keys.reader_keys()));
        super::snapshots::send_rows(node, &owned, every, out).await?;
    }
    if shown < 2 {
        out.send(Message::Warning(Notice {
            code: 0,
            kind: "one_host".to_owned(),
            message:
                "this stands on the word of one host: if it shows an old journal, newer snapshots are missing"
                    .to_owned(),
            hint: Some("run 'nuthatch recover' again when another host is online".to_owned()),
            peer_id: None,
            path: None,
            path_b64: None,
        }))
        .await;
    }
    Ok(RecoverAnswer {
        archive_id: owned.archive.to_string(),
        device_id: (!request.list_only).then(|| owned.device.id().to_string()),
        peer_id: node.peer_id(),
        hosts: shown,
        snapshots: snapshots.len() as u64,
    })
}

/// Who claims: this node's device when it has one of the archive, else a new one, whose keys are written once a host has let us in.
fn claimant(
    node: &Node,
    phrase: &RecoveryPhrase,
    keys: &ArchiveKeys,
) -> Result<(Claimant, Option<Adoption>), Failure> {
    if let Some(owned) = node.owned() {
        if owned.archive != keys.archive_id() {
            return Err(Failure::new(
                Exit::WrongSecret,
                "other_archive",
                "this home has another archive than the one of these words",
            )
            .with_hint("recover into another home, with --home"));
        }
        let device = Arc::clone(&owned.device);
        return Ok((
            Claimant {
                archive: owned.archive,
                device,
                certificate: owned.certificate.clone(),
            },
            None,
        ));
    }
    let adoption = Adoption::prepare(&node.identity, phrase)?;
    let device = Arc::new(adoption.device.clone());
    Ok((
        Claimant {
            archive: keys.archive_id(),
            device,
            certificate: adoption.certificate.clone(),
        },
        Some(adoption),
    ))
}

/// Claims at every host that can be found; fails when none lets us in.
async fn ask_hosts(
    node: &Arc<Node>,
    claimant: &Claimant,
    peers: &[String],
    out: &Outlet,
) -> Result<BTreeMap<NodeId, Granted>, Failure> {
    let started = clock::instant();
    let mut waiting = HostQueue::new(node.identity.node);
    let mut unreachable = Vec::new();
    for address in peers {
        match dial_peer(node, address).await {
            Ok(peer) => waiting.push(Rank::NAMED, [peer]),
            Err(error) => unreachable.push(format!("{address}: {error}")),
        }
    }
    waiting.push(Rank::MEMBER, node.circle.members());
    if peers.is_empty() {
        wait_for_lan(node).await;
    }
    waiting.push(Rank::SEEN, node.circle.sighted_nodes());
    let mut granted = BTreeMap::new();
    let mut refused_count = 0_u32;
    let mut named_count = 0_usize;
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < CLAIMS_MAX
            && let Some((rank, peer)) = waiting.pop()
        {
            named_count += usize::from(rank == Rank::NAMED);
            progress(out, Phase::Connect, started, &node.circle.name_of(&peer));
            running.push(async move { (rank, peer, claim::claim(node, claimant, peer).await) });
        }
        // With somebody's grant in hand, hosts that do not answer have only a moment more; but not those that the person has named.
        let patience = if granted.is_empty() || named_count > 0 {
            CLAIM_MAX
        } else {
            OTHERS_MAX
        };
        let Ok(Some((rank, peer, claimed))) = tokio::time::timeout(patience, running.next()).await else {
            break;
        };
        named_count -= usize::from(rank == Rank::NAMED);
        match claimed {
            Ok(Some(grant)) => {
                for introduction in &grant.introductions {
                    node.circle
                        .sighted(introduction.0, introduction.1.iter().cloned());
                    waiting.push(rank.introduced(), [introduction.0]);
                }
                granted.insert(peer, grant);
            }
            Ok(None) => refused_count += 1,
            Err(error) => unreachable.push(format!("{}: {error}", peer.short())),
        }
    }
    drop(running);
    if !granted.is_empty() {
        return Ok(granted);
    }
    if refused_count > 0 {
        return Err(Failure::new(
            Exit::WrongSecret,
            "wrong_phrase",
            format!("{refused_count} nodes answered, and none of them keeps anything for an archive of these words"),
        )
        .with_hint("check the 24 words, and that the address is of a friend who kept your backups"));
    }
    let tried = if unreachable.is_empty() {
        "nobody was found on the local network".to_owned()
    } else {
        unreachable.join("; ")
    };
    Err(Failure::new(Exit::TryLater, "unreachable", format!("no host could be reached: {tried}"))
        .with_hint("give the address of a friend's node with --peer; the recovery kit has it, or 'nuthatch status' on the friend's machine"))
}

/// Claims at hosts that nobody introduced, and that have told the circle's address tables that they hold something of the archive.
async fn ask_announced(node: &Arc<Node>, claimant: &Claimant, granted: &mut BTreeMap<NodeId, Granted>) {
    let providers = node.transport.providers(provider_key(&claimant.archive));
    // A hint only: tables full of dead nodes are not waited for.
    let Ok(providers) = tokio::time::timeout(OTHERS_MAX, providers).await else {
        return;
    };
    for host in providers.into_iter().take(ANNOUNCED_MAX) {
        if host == node.identity.node || granted.contains_key(&host) || node.pulse.has_answered(&host) {
            continue;
        }
        node.circle.sighted(host, node.transport.find_node(host).await);
        match tokio::time::timeout(OTHERS_MAX, claim::claim(node, claimant, host)).await {
            Ok(Ok(Some(grant))) => {
                granted.insert(host, grant);
            }
            Ok(Ok(None)) => tracing::debug!("{host:?} announced the archive and refused the claim"),
            Ok(Err(error)) => tracing::debug!("{host:?} announced the archive and can't be asked: {error}"),
            Err(_) => tracing::debug!("{host:?} announced the archive and does not answer"),
        }
    }
}

async fn dial_peer(node: &Node, address: &str) -> Result<NodeId, nuthatch_transport::DialError> {
    let expected = address
        .rsplit_once("/p2p/")
        .and_then(|(_, id)| nuthatch_transport::node_from_text(id));
    let peer = node.transport.dial(expected, vec![address.to_owned()]).await?;
    node.circle.sighted(peer, [address.to_owned()]);
    Ok(peer)
}

async fn wait_for_lan(node: &Node) {
    let seen = async {
        while node.circle.sighted_nodes().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(LAN_WAIT, seen).await.is_err() {
        tracing::debug!("nobody was seen on the local network");
    }
}

/// Unites what the hosts show: statements first, since they say whom to believe, then journals, then inventories. Answers how many hosts
/// have shown a journal that holds: anybody can say that he lets us in.
async fn unite(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    granted: &BTreeMap<NodeId, Granted>,
    out: &Outlet,
) -> Result<u32, Failure> {
    let started = clock::instant();
    for host in granted.keys() {
        if let Err(error) = sync::statements(node, owned.archive, *host).await {
            silent(node, *host, &error);
        }
    }
    let mut shown: BTreeMap<NodeId, JournalShown> = BTreeMap::new();
    for host in granted.keys() {
        progress(out, Phase::Catalogue, started, &node.circle.name_of(host));
        match sync::pull(node, owned.archive, *host).await {
            Ok(journal) => {
                shown.insert(*host, journal);
            }
            Err(error) => silent(node, *host, &error),
        }
    }
    let journal = Arc::clone(&owned.journal);
    super::blocking(move || {
        journal
            .apply_missing()
            .map_err(|error| Failure::from_error(Exit::Failed, "journal", &error))
    })
    .await?;
    name_laggards(node, &shown);
    let mut shown_count = 0;
    for (host, journal) in &shown {
        let has_shown = sync::note_shown(node, owned, *host, journal)
            .map_err(|error| Failure::from_error(Exit::Failed, "catalogue", &error))?;
        shown_count += u32::from(has_shown);
    }
    for host in granted.keys() {
        progress(out, Phase::Catalogue, started, &node.circle.name_of(host));
        sync::inventory(node, owned.archive, *host).await;
    }
    node.engine
        .tell(nuthatch_engine::boundary::Input::WorkChanged {
            archive: owned.archive,
        })
        .await;
    Ok(shown_count)
}

fn silent(node: &Node, host: NodeId, error: &dyn std::error::Error) {
    let message = format!(
        "{} let us in and then did not answer: {error}",
        node.circle.name_of(&host)
    );
    node.events.fault(FaultKind::Silent, Some(host), message);
}

/// A host that shows less of a line than another is named: it lags, or was set back.
fn name_laggards(node: &Node, shown: &BTreeMap<NodeId, JournalShown>) {
    let mut best: BTreeMap<LineId, u64> = BTreeMap::new();
    for head in shown.values().flat_map(|journal| &journal.heads) {
        let sequence = best.entry(head.line).or_default();
        *sequence = head.sequence.max(*sequence);
    }
    for (host, journal) in shown {
        let has = |line: &LineId| {
            journal
                .heads
                .iter()
                .filter(|head| head.line == *line)
                .map(|head| head.sequence)
                .max()
        };
        if best
            .iter()
            .any(|(line, sequence)| has(line).is_none_or(|shows| shows < *sequence))
        {
            let message = format!(
                "{} shows an older journal than other hosts do",
                node.circle.name_of(host)
            );
            node.events.fault(FaultKind::OldJournal, Some(*host), message);
        }
    }
}

fn progress(out: &Outlet, phase: Phase, started: std::time::Instant, current: &str) {
    out.progress(Progress {
        phase,
        files_done: 0,
        files_total: 0,
        bytes_done: 0,
        bytes_total: 0,
        seconds: clock::seconds_since(started),
        current: Some(current.to_owned()),
    });
}
