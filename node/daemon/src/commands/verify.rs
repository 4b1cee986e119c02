//! `verify`: asks every reachable host what it holds, then reads metadata or everything, and names what is wrong.

use std::sync::Arc;

use nuthatch_disk::catalogue::SnapshotSummary;
use nuthatch_engine::boundary::InventoryOutcome;
use nuthatch_format::keys::ReaderKeys;
use nuthatch_jobs::ReadContext;
use nuthatch_jobs::snapshots;
use nuthatch_jobs::verify::{self, DamageKind, Effort, VerifyError, VerifyRequest};

use crate::api::{
    Answer, CancellationToken, Damage, Exit, Failure, Message, Outlet, Phase, Protection, ShownPath, Verify,
    VerifyDepth, VerifySummary,
};
use crate::clock;
use crate::contact;
use crate::events::{Fault, FaultKind};
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
    let owned = super::owned(node)?;
    let (started, since) = (clock::instant(), clock::now());
    let wanted = match &request.snapshot {
        Some(text) => vec![super::select::select(&owned, text)?.summary],
        None => owned
            .catalogue
            .snapshots()
            .map_err(|error| Failure::from_error(Exit::Failed, "catalogue", &error))?,
    };
    job::unless_cancelled(&cancel, contact::hosts(node)).await?;
    let named = job::unless_cancelled(&cancel, inventories(node, &owned)).await?;
    let mut summary = VerifySummary {
        packs: 0,
        shards: 0,
        bytes_read: 0,
        damaged: Vec::new(),
        damaged_count: 0,
        seconds: 0.0,
    };
    let mut found = if request.depth == VerifyDepth::Quick {
        held(node, &owned, wanted, &mut summary).await?
    } else {
        let keys = setup::reader_keys(request.reader_key.as_ref(), &owned.writer)?;
        let effort = if request.depth == VerifyDepth::ReadData {
            Effort::EveryByte
        } else {
            Effort::Metadata
        };
        read(node, &owned, (wanted, keys, effort), (out, &cancel), &mut summary).await?
    };
    job::name_faults(node, since, out).await;
    let faults = node.events.faults_since(since);
    found.add(named);
    found.add(
        faults
            .iter()
            .filter(|fault| is_about_data(fault.kind))
            .map(of_fault),
    );
    let absent = found.absent();
    (summary.damaged, summary.damaged_count) = (found.damaged, found.count);
    summary.seconds = clock::seconds_since(started);
    match absent {
        None => Ok(summary),
        Some(failure) => {
            out.send(Message::Summary(Answer::Verify(summary))).await;
            Err(failure)
        }
    }
}

/// What a verification came upon.
#[derive(Debug, Default)]
struct Found {
    damaged: Vec<Damage>,
    /// In all (count), listed or not.
    count: u64,
    /// Of those, what may be sound and can't be had now (count).
    absent_count: u64,
    /// Whether it can't be had even with the hosts that are away.
    is_lost: bool,
}

impl Found {
    fn add(&mut self, more: impl IntoIterator<Item = Damage>) {
        let before = self.damaged.len();
        self.damaged.extend(more);
        self.count += (self.damaged.len() - before) as u64;
    }

    /// What a verification ends with that found nothing damaged, and not everything.
    fn absent(&self) -> Option<Failure> {
        if self.count == 0 || self.absent_count < self.count {
            return None;
        }
        let message = "nothing was found damaged, but not all of it can be had from hosts now";
        Some(job::incomplete(message, true, self.is_lost))
    }
}

/// Whether a fault says something about what is kept of the archive.
fn is_about_data(kind: FaultKind) -> bool {
    !matches!(kind, FaultKind::InvitationReused)
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
                peer_id: Some(nuthatch_transport::peer_id_text(host)),
                ..nothing_known(true)
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
) -> Result<Found, Failure> {
    let (reader, owned) = (Arc::clone(node), Arc::clone(owned));
    let (found, packs) = super::blocking(move || {
        let mut found = Found::default();
        let packs = owned
            .catalogue
            .pack_count()
            .map_err(|error| super::catalogue_failure(&error))?;
        for snapshot in &wanted {
            let safe = protection::of_snapshot(&reader, &owned, snapshot)?;
            if safe.protection == Protection::Staged {
                found.absent_count += 1;
                found.is_lost |= safe.waiting_for.is_empty();
                found.add([Damage {
                    kind: "missing".to_owned(),
                    message: format!(
                        "snapshot {} could not be restored from hosts alone",
                        snapshot.id.short()
                    ),
                    ..nothing_known(false)
                }]);
            }
        }
        Ok((found, packs))
    })
    .await?;
    summary.packs = packs;
    Ok(found)
}

async fn read(
    node: &Arc<Node>,
    owned: &Arc<Owned>,
    (wanted, keys, effort): (Vec<SnapshotSummary>, ReaderKeys, Effort),
    (out, cancel): (&Outlet, &CancellationToken),
    summary: &mut VerifySummary,
) -> Result<Found, Failure> {
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
    let source = Arc::new(HostSource::new(node, owned, cancel));
    let progress = JobProgress::new(out, Phase::Verify, (0, 0));
    let (worker_source, worker_owned) = (Arc::clone(&source), Arc::clone(owned));
    let ended = job::run(node, cancel, move |flag| {
        let context = ReadContext {
            keys: &keys,
            catalogue: &worker_owned.catalogue,
            source: worker_source.as_ref(),
        };
        verify::run(&request, context, &progress, flag)
    })
    .await?;
    let report = match ended {
        Ok(report) => report,
        Err(VerifyError::Cancelled(_)) => return Err(Failure::interrupted()),
        Err(error) => return Err(Failure::from_error(Exit::Failed, "catalogue", &error)),
    };
    if effort == Effort::EveryByte {
        job::unless_cancelled(cancel, every_shard(node, owned, &source)).await??;
    }
    summary.packs = report.packs;
    summary.shards = source.shards();
    summary.bytes_read = report.bytes_read.max(source.fetched());
    Ok(Found {
        damaged: report.damaged.iter().map(of_damage).collect(),
        count: report.damaged_count,
        absent_count: report.unavailable_count,
        is_lost: source.has_lost(),
    })
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
    let shown = (!damage.path.is_empty()).then(|| ShownPath::new(&damage.path));
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
        path: shown.as_ref().map(|shown| shown.path.clone()),
        path_b64: shown.and_then(|shown| shown.path_b64),
        restorable: damage.kind == DamageKind::FalseClaim,
    }
}

/// A fault of a host that the reading came upon: the bytes came from elsewhere, so all can still be restored.
fn of_fault(fault: &Fault) -> Damage {
    Damage {
        kind: fault.kind.word().to_owned(),
        message: fault.message.clone(),
        peer_id: fault.node.map(nuthatch_transport::peer_id_text),
        ..nothing_known(true)
    }
}

fn nothing_known(restorable: bool) -> Damage {
    Damage {
        kind: String::new(),
        message: String::new(),
        pack_id: None,
        peer_id: None,
        path: None,
        path_b64: None,
        restorable,
    }
}
