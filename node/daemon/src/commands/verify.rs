//! `verify`: asks every reachable host what it holds, then reads metadata or everything, and names what is wrong.

use std::sync::Arc;

use nuthatch_disk::catalogue::SnapshotSummary;
use nuthatch_engine::boundary::InventoryOutcome;
use nuthatch_format::keys::ReaderKeys;
use nuthatch_jobs::snapshots;
use nuthatch_jobs::verify::{self, DamageKind, Effort, VerifyContext, VerifyError, VerifyRequest};

use crate::api::{
    CancellationToken, Damage, Exit, Failure, Outlet, Phase, Protection, Verify, VerifyDepth, VerifySummary,
};
use crate::clock;
use crate::contact;
use crate::events::Fault;
use crate::job::{self, JobProgress};
use crate::node::{Node, Owned};
use crate::protection;
use crate::setup;
use crate::source::HostSource;
use crate::sync;

/// Packs read from the catalogue at a time.
const PAGE: usize = 64;

/// Verifies.
pub(crate) async fn run(
    node: &Arc<Node>,
    request: Verify,
    out: &Outlet,
    cancel: CancellationToken,
) -> Result<VerifySummary, Failure> {
    let owned = node.owned().ok_or_else(super::backup::no_archive)?;
    let (started, since) = (clock::instant(), clock::now());
    let wanted = match &request.snapshot {
        Some(text) => vec![super::select::select(&owned, text)?.summary],
        None => owned
            .catalogue
            .snapshots()
            .map_err(|error| Failure::from_error(Exit::Failed, "catalogue", &error))?,
    };
    contact::hosts(node).await;
    let mut damaged = inventories(node, &owned).await;
    let mut summary = VerifySummary {
        packs: 0,
        shards: 0,
        bytes_read: 0,
        damaged: Vec::new(),
        seconds: 0.0,
    };
    if request.depth == VerifyDepth::Quick {
        damaged.extend(held(node, &owned, wanted, &mut summary).await?);
    } else {
        let keys = setup::reader_keys(request.reader_key.as_ref(), &owned.writer)?;
        let effort = if request.depth == VerifyDepth::ReadData {
            Effort::EveryByte
        } else {
            Effort::Metadata
        };
        damaged.extend(read(node, &owned, (wanted, keys, effort), (out, &cancel), &mut summary).await?);
    }
    job::name_faults(node, since, out).await;
    damaged.extend(
        node.events
            .faults_since(since)
            .into_iter()
            .map(|fault| of_fault(&fault)),
    );
    summary.damaged = damaged;
    summary.seconds = clock::seconds_since(started);
    Ok(summary)
}

/// Compares every reachable host's inventory; shards that a host no longer names are damage.
async fn inventories(node: &Arc<Node>, owned: &Arc<Owned>) -> Vec<Damage> {
    let mut damaged = Vec::new();
    let leases = node.pulse.leases();
    for host in node
        .pulse
        .online()
        .into_keys()
        .filter(|host| leases.contains_key(host))
    {
        if let InventoryOutcome::Compared { lost_count, .. } =
            sync::inventory(node, owned.archive, host).await
            && lost_count > 0
        {
            damaged.push(Damage {
                kind: "missing".to_owned(),
                message: format!(
                    "{} no longer has {lost_count} shards that it signed for",
                    node.circle.name_of(&host)
                ),
                pack_id: None,
                peer_id: Some(nuthatch_transport::peer_id_text(host)),
                restorable: true,
            });
        }
    }
    damaged
}

/// The quick look: whether hosts hold enough, by what they say.
async fn held(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    wanted: Vec<SnapshotSummary>,
    summary: &mut VerifySummary,
) -> Result<Vec<Damage>, Failure> {
    let (reader, owned) = (Arc::clone(node), Arc::clone(owned));
    let looked = tokio::task::spawn_blocking(move || {
        let mut damaged = Vec::new();
        let packs = owned.catalogue.pack_count().unwrap_or(0);
        for snapshot in &wanted {
            let safe = protection::of_snapshot(&reader, &owned, snapshot)?;
            if safe.protection == Protection::Staged {
                damaged.push(Damage {
                    kind: "missing".to_owned(),
                    message: format!(
                        "snapshot {} could not be restored from hosts alone",
                        snapshot.id.short()
                    ),
                    pack_id: None,
                    peer_id: None,
                    restorable: false,
                });
            }
        }
        Ok::<_, Failure>((damaged, packs))
    });
    let (damaged, packs) = looked
        .await
        .map_err(|error| Failure::new(Exit::Failed, "job", error.to_string()))??;
    summary.packs = packs;
    Ok(damaged)
}

async fn read(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    (wanted, keys, effort): (Vec<SnapshotSummary>, ReaderKeys, Effort),
    (out, cancel): (&Outlet, &CancellationToken),
    summary: &mut VerifySummary,
) -> Result<Vec<Damage>, Failure> {
    let mut opened = Vec::new();
    for snapshot in wanted {
        let open = snapshots::open(&snapshot.id, &owned.catalogue, &keys)
            .map_err(|error| Failure::from_error(Exit::Damage, "snapshot", &error))?;
        opened.push((snapshot.id, open));
    }
    let request = VerifyRequest {
        snapshots: opened,
        effort,
    };
    let source = Arc::new(HostSource::new(node, owned));
    let progress = JobProgress::new(out, Phase::Verify, (0, 0));
    let (worker_source, worker_owned) = (Arc::clone(&source), Arc::clone(owned));
    let ended = job::run(node, cancel, move |flag| {
        let context = VerifyContext {
            keys: &keys,
            catalogue: &worker_owned.catalogue,
            source: worker_source.as_ref(),
        };
        verify::run(&request, context, &progress, flag)
    })
    .await?;
    let report = match ended {
        Ok(report) => report,
        Err(VerifyError::Cancelled) => return Err(crate::perform::interrupted()),
        Err(error) => return Err(Failure::from_error(Exit::Failed, "catalogue", &error)),
    };
    if effort == Effort::EveryByte {
        every_shard(node, owned, &source).await?;
    }
    summary.packs = report.packs;
    summary.shards = source.shards();
    summary.bytes_read = report.bytes_read.max(source.fetched());
    Ok(report.damaged.iter().map(of_damage).collect())
}

/// Reads every shard of every host that is online, parity too: what a restore has not needed may be needed when hosts are gone.
async fn every_shard(node: &Arc<Node>, owned: &Arc<Owned>, source: &Arc<HostSource>) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::Failed, "catalogue", error);
    let mut after = None;
    loop {
        let page = owned
            .catalogue
            .packs_page(after, PAGE)
            .map_err(|error| failed(&error))?;
        let is_last = page.len() < PAGE;
        for pack in page {
            after = Some(pack.number);
            let Some(stripe) = pack.stripes.last() else {
                continue;
            };
            let record = owned
                .catalogue
                .stripe(&stripe.label)
                .map_err(|error| failed(&error))?;
            let Some(label) = record.and_then(|record| record.signed_label().ok()) else {
                continue;
            };
            let online = node.pulse.online();
            let checks = stripe
                .holders
                .iter()
                .filter(|holder| online.contains_key(&holder.node))
                .map(|holder| source.check_shard(&label, holder.index, holder.node));
            futures::future::join_all(checks).await;
        }
        if is_last {
            return Ok(());
        }
    }
}

fn of_damage(damage: &verify::Damage) -> Damage {
    Damage {
        kind: match damage.kind {
            DamageKind::NoPlace => "missing",
            DamageKind::WrongBytes => "wrong_bytes",
            DamageKind::FalseClaim => "false_claim",
            DamageKind::Unavailable => "silent",
        }
        .to_owned(),
        message: damage.message.clone(),
        pack_id: damage.pack.map(|pack| pack.to_string()),
        peer_id: damage.host.map(nuthatch_transport::peer_id_text),
        restorable: damage.kind == DamageKind::FalseClaim,
    }
}

/// A fault of a host that the reading came upon: the bytes came from elsewhere, so all can still be restored.
fn of_fault(fault: &Fault) -> Damage {
    Damage {
        kind: fault.kind.word().to_owned(),
        message: fault.message.clone(),
        pack_id: None,
        peer_id: fault.node.map(nuthatch_transport::peer_id_text),
        restorable: true,
    }
}
