//! One running node: what it is made of, how it starts and how it ends. The parts are in files of their own; this one owns the
//! assembly and decides nothing.

mod start;

use std::sync::Arc;
use std::time::Duration;

use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::file_cache::FileCache;
use nuthatch_disk::home::Home;
use nuthatch_disk::records::Records;
use nuthatch_disk::segment_store::SegmentStore;
use nuthatch_disk::staging::Staging;
use nuthatch_disk::vault::Vault;
use nuthatch_engine::boundary::Input;
use nuthatch_format::keys::{DeviceKeys, WriterKeys};
use nuthatch_format::statement::SignedStatement;
use nuthatch_format::{ArchiveId, Timestamp};
use nuthatch_transport::Transport;
use nuthatch_wire::challenge::Challenges;
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{Exit, Failure};
use crate::archives::Statements;
use crate::audit_log::AuditLog;
use crate::circle::Circle;
use crate::clock;
use crate::config::Config;
use crate::driver::DriverInputs;
use crate::effects::Resealing;
use crate::events::Events;
use crate::hosting::Hosting;
use crate::identity::Identity;
use crate::journal::JournalWriter;
use crate::ledger::Ledgers;
use crate::links::Links;
use crate::outboards::Outboards;
use crate::pulse::Pulse;
use crate::repairs::RepairDesk;
use crate::serve::{AuditPace, Budgets};
use crate::setup;
use crate::stewards::Stewards;
use crate::uptime::Uptime;
use crate::waiting::Waiting;
use crate::ward::ForksSent;

pub use start::NodeOptions;
pub(crate) use start::load_records;

/// How long tasks have to end; the network takes up to 4 s after them at most, and all of it stays near 5 s.
const SHUTDOWN_TASKS_MAX: Duration = Duration::from_secs(1);

/// A running node. Shared by all its tasks; every part locks inside.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: RwLock<Config>,
    /// Held while the settings file is changed.
    pub(crate) settings_turn: Mutex<()>,
    pub(crate) identity: Identity,
    /// Who belongs to the circle, and where they are.
    pub(crate) circle: Circle,
    /// Nonces that strangers are to sign.
    pub(crate) challenges: Mutex<Challenges>,
    /// Petitions that wait for a person.
    pub(crate) waiting: Waiting,
    /// What we keep for others.
    pub(crate) vault: Arc<Vault>,
    pub(crate) outboards: Outboards,
    /// How much others have asked us to prove lately.
    pub(crate) audit_pace: AuditPace,
    /// How the audits of our own hosts stand.
    pub(crate) audits: AuditLog,
    /// Journals and statements of every archive that we own or host: on disk, and the statements in memory too.
    pub(crate) segments: Arc<SegmentStore>,
    pub(crate) statements: Arc<Statements>,
    /// Questions of others that wait for the engine's verdict.
    pub(crate) hosting: Hosting,
    /// The archive of this node, when it has one.
    pub(crate) owned: RwLock<Option<Arc<Owned>>>,
    /// The archives of others that this node is a steward of.
    pub(crate) stewards: Stewards,
    /// What stewards have fetched here today.
    pub(crate) budgets: Budgets,
    pub(crate) transport: Transport,
    pub(crate) links: Links,
    /// Trees of shards that are to be sent.
    pub(crate) sent_trees: Outboards,
    /// Tells the engine.
    pub(crate) engine: DriverInputs,
    /// What members and this node keep for each other, as both say.
    pub(crate) ledgers: Ledgers,
    /// How much of the time it runs.
    pub(crate) uptime: Uptime,
    /// What the engine last said about its work, for those who wait for it.
    pub(crate) pulse: Pulse,
    pub(crate) events: Events,
    /// Packs that wait to be sealed again from the files here.
    pub(crate) resealing: Resealing,
    /// What the engine remembers, as it lies on the disk.
    pub(crate) records: Arc<Records>,
    /// What is being repaired, and who asks about it.
    pub(crate) repairs: RepairDesk,
    /// Every task of the node; `shutdown` waits for them.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the node ends.
    pub(crate) stop: CancellationToken,
    /// The last one to go, since its lock says that nobody else has any of the above open.
    pub(crate) home: Home,
}

/// The archive that this node owns: keys to write, and everything local about it.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) archive: ArchiveId,
    pub(crate) writer: WriterKeys,
    pub(crate) device: Arc<DeviceKeys>,
    /// The statement that makes this node a device of the archive.
    pub(crate) certificate: SignedStatement,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) file_cache: Arc<FileCache>,
    pub(crate) staging: Arc<Staging>,
    /// Packs that were brought back to be repaired, for as long as that takes.
    pub(crate) recalled: Arc<Staging>,
    /// Appends to this device's line; the only one that does.
    pub(crate) journal: Arc<JournalWriter>,
    /// Of lines that forked: how many segments beside the line each host was sent in this run.
    pub(crate) forks_sent: Arc<ForksSent>,
}

impl Node {
    /// The archive of this node, when it has one.
    pub(crate) fn owned(&self) -> Option<Arc<Owned>> {
        self.owned.read().clone()
    }

    /// Members of the circle beside this node (count).
    pub(crate) fn others_count(&self) -> usize {
        let own = self.identity.node;
        let members = self.circle.members();
        members.iter().filter(|member| **member != own).count()
    }

    /// Whether there is nobody else in the circle.
    pub(crate) fn has_no_others(&self) -> bool {
        self.others_count() == 0
    }

    /// When another member was last connected, as far as is known; now, while one is.
    pub(crate) fn last_contact(&self) -> Option<Timestamp> {
        if !self.pulse.online().is_empty() {
            return Some(clock::now());
        }
        let members = self.circle.members();
        members
            .iter()
            .filter_map(|member| self.pulse.last_seen(member))
            .max()
    }

    /// The settings.
    pub(crate) fn config(&self) -> Config {
        self.config.read().clone()
    }

    /// Reads the settings again, which a command has changed. Space for others, limits and losses to survive hold from now on; the name and
    /// where to listen, from the next start.
    pub(crate) fn take_settings(self: &Arc<Self>) -> Result<(), Failure> {
        let config = setup::load_config(self.home.root())?;
        let survive = config.survive;
        self.transport.set_limits(config.rate_limits());
        *self.config.write() = config;
        self.vault_changed();
        self.tell_terms();
        if let Some(owned) = self.owned() {
            let archive = owned.archive;
            self.engine.tell_blocking(Input::SurviveSet { archive, survive });
        }
        Ok(())
    }

    /// Changes settings in their file, where everything else stays as it stands there, and has them hold from now on. Blocks.
    pub(crate) fn change_settings(self: &Arc<Self>, change: impl FnOnce(&mut Config)) -> Result<(), Failure> {
        let _turn = self.settings_turn.lock();
        let mut config = setup::load_config(self.home.root())?;
        change(&mut config);
        config
            .save(self.home.root())
            .map_err(|error| Failure::from_error(Exit::Failed, "config", &error))?;
        self.take_settings()
    }

    /// Notes that it ran since it was last noted.
    pub(crate) fn count_uptime(&self) {
        if let Err(error) = self.uptime.count() {
            tracing::debug!("how long this node runs can't be noted: {error}");
        }
    }

    /// Ends the node: no new work, tasks are cancelled, connections closed. Takes at most 5 s.
    pub async fn shutdown(&self) {
        if self.meets_others() {
            self.count_uptime();
        }
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_TASKS_MAX, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!("{} tasks did not end in time", self.tasks.len());
        }
        self.transport.clone().shutdown().await;
    }
}
