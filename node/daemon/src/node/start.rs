//! Starting a node: the home is opened, stores are opened and what a crash left is taken up, then the network, then the loop.

mod network;
mod owned;
mod periods;
mod vault_disk;

use std::path::Path;
use std::sync::Arc;

use nuthatch_disk::home::Home;
use nuthatch_disk::records::Records;
use nuthatch_disk::segment_store::SegmentStore;
use nuthatch_disk::vault::Vault;
use nuthatch_engine::Engine;
use nuthatch_engine::boundary::Input;
use nuthatch_engine::history::{History, Standing};
use nuthatch_engine::record::Record;
use nuthatch_engine::repair::HostHealth;
use nuthatch_format::ArchiveId;
use nuthatch_transport::{Event, Transport};
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Node;
use crate::api::{Exit, Failure, Reach, Ready};
use crate::archives::Statements;
use crate::audit_log::AuditLog;
use crate::circle::Circle;
use crate::config::Config;
use crate::driver::{self, DriverInputs};
use crate::effects::{NodePerformer, Resealing};
use crate::events::Events;
use crate::gate::NodeGate;
use crate::hosting::Hosting;
use crate::identity::Identity;
use crate::ledger::Ledgers;
use crate::links::Links;
use crate::outboards::Outboards;
use crate::pulse::Pulse;
use crate::repairs::RepairDesk;
use crate::serve::{AuditPace, Budgets};
use crate::setup;
use crate::stewards::{self, Stewards};
use crate::uptime::Uptime;
use crate::waiting::Waiting;

/// How a node is run, beside the settings in its home.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// Where to listen instead of what the settings say.
    pub listen: Vec<String>,
    /// How far it must reach: less than everything for a command that runs a node for its own length.
    pub reach: Reach,
}

impl Node {
    /// Starts the node of a home. It runs until [`Node::shutdown`].
    pub async fn start(home: &Path, options: NodeOptions) -> Result<Arc<Self>, Failure> {
        let path = home.to_owned();
        let opened = tokio::task::spawn_blocking(move || Stores::open(&path))
            .await
            .map_err(|error| Failure::new(Exit::Failed, "start", error.to_string()))??;
        let (transport, events) = match network::start(&opened, &options)? {
            Some((transport, events)) => (transport, Some(events)),
            None => (Transport::nowhere(opened.identity.node), None),
        };
        let (engine_inputs, inputs) = DriverInputs::new();
        let mut engine = Engine::new(
            opened.identity.node,
            opened.config.rules(),
            u64::from_le_bytes(setup::fresh()?),
        );
        let pulse = Pulse::new();
        let records = load_records(&opened.records)?;
        let audits = AuditLog::new();
        let own = setup::load_owned(&opened.home)?.map(|keys| keys.writer.archive);
        remember(&pulse, &audits, &records, own);
        engine.replay(records);
        let node = Arc::new(Self {
            home: opened.home,
            config: RwLock::new(opened.config),
            settings_turn: Mutex::default(),
            identity: opened.identity,
            circle: opened.circle,
            challenges: Mutex::default(),
            vault: opened.vault,
            waiting: Waiting::default(),
            outboards: Outboards::of_vault(),
            audit_pace: AuditPace::default(),
            audits,
            segments: opened.segments,
            statements: Arc::new(opened.statements),
            hosting: Hosting::default(),
            owned: RwLock::new(None),
            stewards: Stewards::default(),
            budgets: Budgets::default(),
            links: Links::new(transport.clone()),
            sent_trees: Outboards::of_sent(),
            transport,
            engine: engine_inputs,
            ledgers: Ledgers::default(),
            uptime: opened.uptime,
            pulse,
            events: Events::new(),
            resealing: Resealing::default(),
            records: Arc::clone(&opened.records),
            repairs: RepairDesk::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let Some(events) = events else {
            // Nobody is reached, so there is nothing to decide: what is asked stands in the home.
            drop(inputs);
            node.open_archive().await?;
            return Ok(node);
        };
        let performer = Arc::new(NodePerformer(Arc::downgrade(&node)));
        let loop_around = driver::run(engine, inputs, opened.records, performer, node.stop.clone());
        node.tasks.spawn(loop_around);
        // Only then it is known whether anything is asked in return.
        node.open_archive().await?;
        node.vault_changed();
        node.meet(events).await;
        Ok(node)
    }

    /// Begins to talk to others.
    async fn meet(self: &Arc<Self>, events: mpsc::Receiver<Event>) {
        self.members_changed();
        let listening = network::listen(Arc::downgrade(self), events, self.stop.clone());
        self.tasks.spawn(listening);
        self.publish_addresses().await;
        for archive in self.known_archives() {
            self.announce(&archive);
        }
        self.count_uptime();
        let stewarding = stewards::keep(Arc::downgrade(self), self.stop.clone());
        self.tasks.spawn(stewarding);
        let keeping = periods::keep(Arc::downgrade(self), self.config().periods, self.stop.clone());
        self.tasks.spawn(keeping);
        let looking = vault_disk::look(Arc::downgrade(self), self.stop.clone());
        self.tasks.spawn(looking);
        let scrubbing = vault_disk::scrub(Arc::downgrade(self), self.stop.clone());
        self.tasks.spawn(scrubbing);
    }

    /// Whether this node talks to others at all: not when it only answers from its home.
    pub(crate) fn meets_others(&self) -> bool {
        self.transport.is_running()
    }

    /// Opens the archive whose keys are in the home, if there is one that is not open yet, and tells the engine.
    pub(crate) async fn open_archive(self: &Arc<Self>) -> Result<(), Failure> {
        if self.owned().is_some() {
            return Ok(());
        }
        let opener = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || owned::open(&opener))
            .await
            .map_err(|error| Failure::new(Exit::Failed, "start", error.to_string()))??;
        let Some(owned) = opened else { return Ok(()) };
        let input = Input::ArchiveOpened {
            archive: owned.archive,
            survive: self.config().survive,
            journal: owned.journal.position(),
        };
        *self.owned.write() = Some(Arc::new(owned));
        self.engine.tell(input).await;
        // Whether anything is asked in return follows from whether there is an archive.
        self.vault_changed();
        Ok(())
    }

    /// This node's id as other programs write it.
    pub fn peer_id(&self) -> String {
        nuthatch_transport::peer_id_text(self.identity.node)
    }

    /// Who this node is and where it listens: addresses end in `/p2p/ID`, loopback last.
    pub async fn ready(&self) -> Ready {
        let peer_id = self.peer_id();
        let listening = self.transport.listen_addresses().await;
        Ready {
            addresses: listening
                .into_iter()
                .map(|address| format!("{address}/p2p/{peer_id}"))
                .collect(),
            peer_id,
        }
    }
}

/// Everything of a home, before there is a network.
struct Stores {
    config: Config,
    identity: Identity,
    records: Arc<Records>,
    vault: Arc<Vault>,
    segments: Arc<SegmentStore>,
    statements: Statements,
    circle: Circle,
    uptime: Uptime,
    home: Home,
}

impl Stores {
    fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::from_error(Exit::Failed, "own_disk", error)
                .with_hint("look at the disk that holds this home; nothing was changed")
        };
        let home = setup::open_home(path)?;
        let config = setup::load_config(home.root())?;
        let identity = setup::load_identity(&home, &config)?;
        let (records, _) = Records::open(&home.records_path()).map_err(|error| failed(&error))?;
        let vault = Vault::open_on_disk(&home.vault_dir(), &home.vault_name_path(), setup::fresh()?)
            .map_err(|error| failed(&error))?;
        let segments = SegmentStore::open(&home.segments_dir()).map_err(|error| failed(&error))?;
        let statements = Statements::open(&segments).map_err(|error| failed(&error))?;
        let circle =
            Circle::open(home.root(), Arc::new(NodeGate::default())).map_err(|error| failed(&error))?;
        let uptime = Uptime::open(home.root());
        Ok(Self {
            home,
            config,
            identity,
            records: Arc::new(records),
            vault: Arc::new(vault),
            segments: Arc::new(segments),
            statements,
            circle,
            uptime,
        })
    }
}

pub(crate) fn load_records(records: &Records) -> Result<Vec<Record>, Failure> {
    let rows = records
        .load()
        .map_err(|error| Failure::from_error(Exit::Failed, "own_disk", &error))?;
    let decode = |(_, value): (Vec<u8>, Vec<u8>)| match Record::from_bytes(&value) {
        Ok(record) => Some(record),
        Err(error) => {
            // Records are a cache: what is left out is learned again.
            tracing::warn!("a record is left out: {error}");
            None
        }
    };
    Ok(rows.into_iter().filter_map(decode).collect())
}

/// What screens and jobs want to know of earlier runs; of leases and audits, those of this node's own archive.
fn remember(pulse: &Pulse, audits: &AuditLog, records: &[Record], own: Option<ArchiveId>) {
    for record in records {
        match record {
            Record::Seen { node, at } => pulse.remember(*node, *at),
            Record::Held {
                archive,
                node,
                bytes,
                until,
                ..
            } if Some(*archive) == own => pulse.leased(*node, *bytes, *until),
            Record::Known { node, history } => {
                if let Some(at) = history.last_seen {
                    pulse.remember(*node, at);
                }
                pulse.set_health(*node, health_of(history));
            }
            Record::Audited { archive, node, state } if Some(*archive) == own => {
                audits.remember(*node, *state);
            }
            Record::Held { .. }
            | Record::Granted { .. }
            | Record::Audited { .. }
            | Record::Debt { .. }
            | Record::Restored { .. } => {}
        }
    }
}

/// What a member's shards were worth when the last run ended.
fn health_of(history: &History) -> HostHealth {
    match (history.standing, history.is_gone) {
        (Standing::Lost, _) => HostHealth::Lost,
        (Standing::Leaving | Standing::Departing, _) => HostHealth::Leaving,
        (Standing::Member, true) => HostHealth::Gone,
        (Standing::Member, false) => HostHealth::Sound,
    }
}

#[cfg(test)]
mod tests;
