//! One simulated machine: what lasts on its disk, and the engine that runs while it is up.

use std::collections::BTreeMap;
use std::sync::Arc;

use nuthatch_engine::boundary::{Domain, Input, MemberFacts};
use nuthatch_engine::record::Record;
use nuthatch_engine::repair::HealthView;
use nuthatch_engine::rules::Rules;
use nuthatch_engine::{Engine, Load};
use nuthatch_format::{ArchiveId, NodeId, Timestamp};

use crate::catalogue::Catalogue;
use crate::network::NodeIndex;
use crate::vaults::Vault;

/// How a machine is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The shared house, if any; machines of one house are lost together.
    pub house: Option<NodeIndex>,
    /// Losses to survive; only for owners.
    pub survive: Option<u8>,
    /// Whether it backs up.
    pub owns: bool,
}

/// A machine.
#[derive(Debug)]
pub struct Node {
    /// Its place in the world.
    pub at: NodeIndex,
    /// Its setup.
    pub setup: Setup,
    /// Its vault.
    pub vault: Vault,
    /// What it backs up.
    pub catalogue: Catalogue,
    /// What its engine persisted, as bytes.
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The engine; `None` while the machine is down.
    pub engine: Option<Engine>,
    /// Counts restarts: what was begun in an earlier life ends nowhere.
    pub life: u32,
    /// When the engine wants to be woken.
    pub wake_at: Option<Timestamp>,
    /// Crashes after so many more effects.
    pub crash_after: Option<u32>,
    /// Its clock and its disk.
    pub health: Health,
    /// Whether it is lost for good, with all that it kept.
    pub is_dead: bool,
    /// What its engine said of all members when it was last asked, and whether it took its own link for cut.
    pub plan: Option<(Arc<HealthView>, bool)>,
}

/// What may be wrong with a machine that runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    /// How far its clock is off, in milliseconds.
    pub skew_ms: i64,
    /// The latest moment that it has seen in this life: when a clock is set back, time stands still.
    latest: Timestamp,
    /// Whether its vault's disk is not connected.
    pub is_detached: bool,
}

/// The node that is at a place.
pub fn node_id(at: NodeIndex) -> NodeId {
    NodeId::from_bytes([u8::try_from(at).unwrap_or(u8::MAX); NodeId::LEN])
}

/// The place that a node is at.
pub fn index_of(node: NodeId) -> NodeIndex {
    usize::from(node.as_bytes()[0])
}

/// The archive of the node that is at a place.
pub fn archive_id(at: NodeIndex) -> ArchiveId {
    ArchiveId::from_bytes([u8::try_from(at).unwrap_or(u8::MAX); ArchiveId::LEN])
}

impl Node {
    /// A machine that is down.
    pub fn new(at: NodeIndex, setup: Setup, vault: Vault) -> Self {
        Self {
            at,
            setup,
            vault,
            catalogue: Catalogue::default(),
            records: BTreeMap::new(),
            engine: None,
            life: 0,
            wake_at: None,
            crash_after: None,
            health: Health::default(),
            is_dead: false,
            plan: None,
        }
    }

    /// What its clock shows.
    pub fn clock(&mut self, now: Timestamp) -> Timestamp {
        let shown = Timestamp(now.0.saturating_add_signed(self.health.skew_ms));
        self.health.latest = self.health.latest.max(shown);
        self.health.latest
    }

    /// When its clock will show a moment.
    pub const fn moment(&self, shown: Timestamp) -> Timestamp {
        Timestamp(
            shown
                .0
                .saturating_add_signed(self.health.skew_ms.saturating_neg()),
        )
    }

    /// What is lost together with it.
    pub fn domain(&self) -> Domain {
        Domain(node_id(self.setup.house.unwrap_or(self.at)))
    }

    /// As a member of the circle.
    pub fn facts(&self) -> MemberFacts {
        MemberFacts {
            node: node_id(self.at),
            domain: self.domain(),
        }
    }

    /// Starts the engine from what lasted; the inputs that it is to begin with.
    pub fn start(&mut self, rules: Rules, seed: u64, members: Vec<MemberFacts>) -> Vec<Input> {
        let mut engine = Engine::new(node_id(self.at), rules, seed ^ u64::from(self.life));
        engine.replay(
            self.records
                .values()
                .filter_map(|bytes| Record::from_bytes(bytes).ok()),
        );
        self.engine = Some(engine);
        self.wake_at = None;
        self.health.latest = Timestamp::default();
        let mut inputs = vec![Input::Vault(self.vault.facts()), Input::Members(members)];
        if self.setup.owns {
            inputs.push(Input::ArchiveOpened {
                archive: archive_id(self.at),
                survive: self.setup.survive,
                journal: self.catalogue.journal,
            });
        }
        inputs
    }

    /// Ends the engine without warning.
    pub fn stop(&mut self) {
        self.engine = None;
        self.life += 1;
        self.crash_after = None;
    }

    /// Keeps a record.
    pub fn persist(&mut self, record: &Record) {
        self.records.insert(record.key().to_bytes(), record.to_bytes());
    }

    /// Drops a record.
    pub fn forget(&mut self, key: &[u8]) {
        self.records.remove(key);
    }

    /// What its engine has in flight.
    pub fn load(&self) -> Load {
        self.engine.as_ref().map(Engine::load).unwrap_or_default()
    }
}
