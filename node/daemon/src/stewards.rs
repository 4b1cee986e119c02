//! Being a steward: which archives of others this node looks after, and what it knows of them without their keys.
//!
//! Appointments come as statements, by whatever way. Label ids stand in the segments that this node hosts, labels come from hosts that have
//! them, and who holds what from inventories. All of it is a cache: deleted, it is gathered again. What to do with it is the engine's.

mod index;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Weak};

use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::staging::Staging;
use nuthatch_engine::boundary::{Event, Input, PackNumber, RepairRound};
use nuthatch_engine::rules::{REPAIRS_MAX, STEWARDED_MAX};
use nuthatch_engine::stewards::Stewardship;
use nuthatch_format::padding::PACK_LEN;
use nuthatch_format::statement::{Statement, StatementSet};
use nuthatch_format::{ArchiveId, ByteCount, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::events::FaultKind;
use crate::node::Node;
use crate::ward::Ward;

pub(crate) use index::{learn, learn_own};

/// Packs that are repaired at a time, and as many that are just being thrown away.
const RECALLED_MAX: ByteCount = ByteCount(2 * (REPAIRS_MAX * PACK_LEN) as u64);

/// What a steward has done for one archive in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Work {
    /// Shards given to hosts (count).
    pub(crate) shards_placed: u64,
    /// Bytes that were downloaded for that.
    pub(crate) bytes_fetched: u64,
    /// The last look over everything, and when it ended.
    pub(crate) last: Option<(Timestamp, RepairRound)>,
}

/// The archives that this node is a steward of.
#[derive(Debug, Default)]
pub(crate) struct Stewards {
    wards: RwLock<BTreeMap<ArchiveId, Arc<Ward>>>,
    work: Mutex<BTreeMap<ArchiveId, Work>>,
    changed: Arc<Notify>,
}

impl Stewards {
    /// One of them.
    pub(crate) fn ward(&self, archive: &ArchiveId) -> Option<Arc<Ward>> {
        self.wards.read().get(archive).cloned()
    }

    /// All of them.
    pub(crate) fn wards(&self) -> Vec<Arc<Ward>> {
        self.wards.read().values().cloned().collect()
    }

    /// What was done for one of them.
    pub(crate) fn work(&self, archive: &ArchiveId) -> Work {
        self.work.lock().get(archive).copied().unwrap_or_default()
    }

    /// A statement came that may change whom this node is a steward of, or who else is.
    pub(crate) fn heard(&self, statement: &Statement) {
        if matches!(
            statement,
            Statement::Steward { .. } | Statement::Certified { .. } | Statement::Revoked { .. }
        ) {
            self.changed.notify_one();
        }
    }

    /// Bytes were downloaded for a repair.
    pub(crate) fn fetched(&self, archive: ArchiveId, bytes: u64) {
        self.note(archive, |work| {
            work.bytes_fetched = work.bytes_fetched.saturating_add(bytes);
        });
    }

    fn note(&self, archive: ArchiveId, change: impl FnOnce(&mut Work)) {
        if self.wards.read().contains_key(&archive) {
            change(self.work.lock().entry(archive).or_default());
        }
    }
}

/// Takes up appointments as they come, until the node ends.
pub(crate) async fn keep(node: Weak<Node>, stop: CancellationToken) {
    let Some(changed) = node.upgrade().map(|node| Arc::clone(&node.stewards.changed)) else {
        return;
    };
    loop {
        let Some(here) = node.upgrade() else { return };
        refresh(&here).await;
        drop(here);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = changed.notified() => {}
        }
    }
}

/// Opens what this node is a steward of now, closes what it is no longer, and tells the engine.
async fn refresh(node: &Arc<Node>) {
    let appointed = appointed(node);
    let worker = Arc::clone(node);
    let opened = tokio::task::spawn_blocking(move || {
        let wanted: Vec<ArchiveId> = appointed.iter().map(|one| one.archive).collect();
        close_others(&worker, &wanted);
        let is_open = |one: &Stewardship| open(&worker, one.archive);
        appointed.into_iter().filter(is_open).collect()
    });
    let stewardships: Vec<Stewardship> = match opened.await {
        Ok(stewardships) => stewardships,
        Err(error) => return tracing::warn!("appointments were not taken up: {error}"),
    };
    let archives: Vec<ArchiveId> = stewardships.iter().map(|one| one.archive).collect();
    node.engine.tell(Input::Stewardships(stewardships)).await;
    for archive in archives {
        learn_own(node, archive).await;
    }
}

/// By the statements that are here.
fn appointed(node: &Node) -> Vec<Stewardship> {
    let own = node.owned().map(|owned| owned.archive);
    let stewardship = |archive: ArchiveId| {
        let set: Arc<StatementSet> = node.known_statements(&archive)?;
        set.steward_budget(&node.identity.node)?;
        Some(Stewardship {
            archive,
            stewards: set.stewards().map(|(steward, _)| steward).collect(),
            devices: set.certificates().map(|certificate| certificate.node).collect(),
        })
    };
    let archives = node
        .known_archives()
        .into_iter()
        .filter(|archive| Some(*archive) != own);
    archives.filter_map(stewardship).take(STEWARDED_MAX).collect()
}

fn close_others(node: &Node, wanted: &[ArchiveId]) {
    let ended: Vec<Arc<Ward>> = {
        let mut wards = node.stewards.wards.write();
        wards
            .extract_if(.., |archive, _| !wanted.contains(archive))
            .map(|(_, ward)| ward)
            .collect()
    };
    for ward in ended {
        node.stewards.work.lock().remove(&ward.archive);
        let archive = ward.archive;
        drop(ward);
        // Whoever still reads it has it open; what stays behind is a cache.
        drop(fs::remove_file(node.home.stewarded_path(&archive)));
        drop(fs::remove_dir_all(node.home.stewarded_recalled_dir(&archive)));
        let message = format!("this node is no longer a steward of archive {}", archive.short());
        node.events.say("steward", None, message);
    }
}

/// Whether it is open.
fn open(node: &Node, archive: ArchiveId) -> bool {
    if node.stewards.ward(&archive).is_some() {
        return true;
    }
    let ward = match try_open(node, archive) {
        Ok(ward) => ward,
        Err(error) => {
            let message =
                format!("what this node knows of an archive as its steward can't be opened: {error}");
            node.events.fault(FaultKind::OwnDisk, None, message);
            return false;
        }
    };
    node.stewards.wards.write().insert(archive, Arc::new(ward));
    let message = format!(
        "this node is a steward of archive {}: it keeps it repaired without being able to read it",
        archive.short()
    );
    node.events.say("steward", None, message);
    true
}

fn try_open(node: &Node, archive: ArchiveId) -> Result<Ward, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let (catalogue, _) =
        Catalogue::open(&node.home.stewarded_path(&archive)).map_err(|error| text(&error))?;
    let recalled = Staging::open(&node.home.stewarded_recalled_dir(&archive), RECALLED_MAX);
    let recalled = recalled.map_err(|error| text(&error))?;
    // What an earlier run brought back is brought back again when it is wanted.
    recalled.clear().map_err(|error| text(&error))?;
    Ok(Ward {
        archive,
        catalogue: Arc::new(catalogue),
        recalled: Arc::new(recalled),
        forks_sent: Arc::default(),
        owned: None,
    })
}

/// What the engine says of an archive that this node is a steward of.
pub(crate) fn report(node: &Node, archive: ArchiveId, event: Event) {
    let Some(ward) = node.stewards.ward(&archive) else {
        return;
    };
    let of = format!("archive {}", archive.short());
    match event {
        Event::RepairBegun { shards, .. } => {
            let message = format!(
                "as a steward of {of}: {shards} shards of a pack are rebuilt and given to other hosts"
            );
            node.events.say("steward_repair", None, message);
        }
        Event::RepairEnded { pack, placed, .. } => {
            let_go(node, &ward, pack);
            node.stewards
                .note(archive, |work| work.shards_placed += u64::from(placed));
        }
        Event::PackUnreadable { pack } => let_go(node, &ward, pack),
        Event::RepairRound(round) => round_ended(node, archive, round),
        Event::ShardsLost {
            node: host,
            lost_count,
        } => {
            let message = format!(
                "{} no longer has {lost_count} shards of {of} that it had signed for",
                node.circle.name_of(&host)
            );
            node.events.fault(FaultKind::WrongShard, Some(host), message);
        }
        Event::Audited(audit) if audit.counts.wrong + audit.counts.missing > 0 => {
            let message = format!(
                "{} could not prove {} shards of {of} that it had signed for: they count as lost",
                node.circle.name_of(&audit.node),
                audit.counts.wrong + audit.counts.missing
            );
            let kind = if audit.counts.wrong > 0 {
                FaultKind::WrongBytes
            } else {
                FaultKind::WrongShard
            };
            node.events.fault(kind, Some(audit.node), message);
        }
        other => tracing::debug!("as a steward of {of}: {other:?}"),
    }
}

fn round_ended(node: &Node, archive: ArchiveId, round: RepairRound) {
    let before = node.stewards.work(&archive).last.map(|(_, round)| round);
    node.stewards
        .note(archive, |work| work.last = Some((clock::now(), round)));
    if round.found.unrepairable > 0 && before.map(|before| before.found) != Some(round.found) {
        let message = format!(
            "as a steward of archive {}: {} packs can't be repaired any more",
            archive.short(),
            round.found.unrepairable
        );
        node.events.say("steward_repair", None, message);
    }
}

/// A repair has ended: what was brought back for it goes.
fn let_go(node: &Node, ward: &Ward, pack: PackNumber) {
    if let Err(error) = crate::effects::let_go_recalled(ward, pack) {
        let message = format!("a pack that was brought back can't be removed: {error}");
        node.events.fault(FaultKind::OwnDisk, None, message);
    }
}
