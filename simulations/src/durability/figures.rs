//! Everything that the report and the plots show, computed once. A function of what is wanted: the same seed gives the same figures.

use nuthatch_engine::audits::challenges_for;
use nuthatch_engine::repair::RepairSource;
use nuthatch_engine::targets::Goals;

use super::circle::{self, Deaths, Knowledge, Setting, Shaping, Tally};
use super::peers::{Draws, Lives, Mix};
use super::published::{Month, Upkeep};

/// Numbers of friends that are reported (count).
pub const FRIENDS: [usize; 7] = [1, 2, 3, 5, 8, 12, 20];

/// Numbers of friends for whom other populations and a year of ordinary friends are reported (count).
pub const FEW_AND_MANY: [usize; 2] = [5, 12];

/// Days of a month.
const MONTH: f64 = 365.0 / 12.0;

/// Of the machines that are wanted, one part in this many is simulated where a circle is one of several variations.
const VARIATION_PART: u64 = 10;

/// Longest slice that answers a challenge of 1 KiB, in bytes: the leaf, its siblings in the group and up to the root of a shard of
/// 16 MiB (1024 + 14 pairs of 64).
const PROOF_LEN: f64 = 1024.0 + 14.0 * 64.0;

/// What is reported.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Machines in all, shared out evenly over [`FRIENDS`] (count).
    pub peers: u64,
    /// How long, in years.
    pub years: u64,
    /// The seed.
    pub seed: u64,
}

/// One setting, as nodes decide and as somebody would who knows who is dead.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The setting, with nodes deciding.
    pub setting: Setting,
    /// What came of it.
    pub ours: Tally,
    /// With the oracle.
    pub oracle: Tally,
}

/// Upkeep of one published case.
#[derive(Debug, Clone, Copy)]
pub struct UpkeepRow {
    /// The case.
    pub case: Upkeep,
    /// Bytes moved per byte kept and month, simulated as published, from shards.
    pub shards: f64,
    /// The same with our source: the owner's files.
    pub files: f64,
}

/// A month of one published case.
#[derive(Debug, Clone, Copy)]
pub struct MonthRow {
    /// The case.
    pub case: Month,
    /// Lost, simulated as published, without repair (`0..=1`).
    pub alone: f64,
    /// Lost when our repair replaces what is lost (`0..=1`).
    pub repaired: f64,
    /// Bytes moved for that, per byte kept.
    pub moved: f64,
}

/// All figures.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What was wanted.
    pub wanted: Wanted,
    /// By number of friends, with shapes by the table.
    pub by_number: Vec<Row>,
    /// By number of friends, with shapes by what was seen of them.
    pub by_history: Vec<Row>,
    /// Other populations, with shapes by what was seen.
    pub mixes: Vec<Row>,
    /// A year of ordinary friends with two deaths.
    pub year: Vec<Row>,
    /// Published upkeep.
    pub upkeep: Vec<UpkeepRow>,
    /// Published survival of a month.
    pub months: Vec<MonthRow>,
}

impl Figures {
    /// Runs everything.
    pub fn of(wanted: Wanted) -> Self {
        let share = wanted.peers / FRIENDS.len() as u64;
        let few = share / VARIATION_PART;
        let years = |friends: usize, shaping| Setting {
            days: wanted.years * 365,
            shaping,
            ..Setting::new(friends)
        };
        let measured = Shaping::ByHistory(Goals::default());
        let rows = |settings: Vec<Setting>, peers: u64| -> Vec<Row> {
            let row = |setting| row(setting, peers, wanted.seed);
            settings.into_iter().map(row).collect()
        };
        let of_friends = |shaping| {
            FRIENDS
                .into_iter()
                .map(|friends| years(friends, shaping))
                .collect()
        };
        let mixes = FEW_AND_MANY.into_iter().flat_map(|friends| {
            Mix::ALL.map(|mix| Setting {
                mix,
                ..years(friends, measured)
            })
        });
        let ordinary = FEW_AND_MANY
            .into_iter()
            .flat_map(|friends| [Shaping::ByNumber, measured].map(|shaping| ordinary_year(friends, shaping)));
        let mut draws = Draws::new(wanted.seed, u64::MAX);
        Self {
            wanted,
            by_number: rows(of_friends(Shaping::ByNumber), share),
            by_history: rows(of_friends(measured), few),
            mixes: rows(mixes.collect(), few),
            year: rows(ordinary.collect(), few),
            upkeep: Upkeep::CASES.map(|case| upkeep(case, &mut draws)).to_vec(),
            months: Month::CASES.map(|case| month(case, &mut draws)).to_vec(),
        }
    }
}

/// A year in which two machines of the circle are lost, and no disaster comes.
pub fn ordinary_year(friends: usize, shaping: Shaping) -> Setting {
    Setting {
        days: 365,
        deaths: Deaths::Exactly(2),
        lives: Lives::default(),
        shaping,
        ..Setting::new(friends)
    }
}

/// Every circle of one size, summed.
pub fn tally(setting: &Setting, peers: u64, seed: u64) -> Tally {
    let mut sum = Tally::default();
    let circles = peers.div_ceil(setting.friends as u64 + 1);
    for circle in 0..circles {
        // Circles of different sizes draw differently.
        let number = circle + ((setting.friends as u64) << 32);
        if let Some(tally) = circle::run(setting, seed, number) {
            sum.add(&tally);
        }
    }
    sum
}

/// One setting with and without knowing who is dead.
pub fn row(setting: Setting, peers: u64, seed: u64) -> Row {
    let oracle = Setting {
        knowledge: Knowledge::Oracle,
        ..setting
    };
    Row {
        setting,
        ours: tally(&setting, peers, seed),
        oracle: tally(&oracle, peers, seed),
    }
}

impl Row {
    /// Bytes that our repairs move for a terabyte of archives in a month.
    pub fn repaired(&self) -> f64 {
        a_month(&self.ours, &self.setting)
    }

    /// The same of the oracle's.
    pub fn repaired_by_oracle(&self) -> f64 {
        a_month(&self.oracle, &self.setting)
    }

    /// Our repairs as a multiple of the oracle's.
    pub fn ratio(&self) -> f64 {
        self.ours.repair_bytes / self.oracle.repair_bytes
    }

    /// Owners who lost data, of a thousand, in a year.
    pub fn lost_of_thousand(&self) -> f64 {
        1000.0 * self.ours.lost as f64 / (self.ours.days / 365.0)
    }

    /// Part of the moments at which everything could be restored (`0..=1`).
    pub fn restorable(&self) -> f64 {
        self.ours.restorable as f64 / self.ours.looks as f64
    }

    /// Part of the moments from which it could be within a day (`0..=1`).
    pub fn restorable_in_a_day(&self) -> f64 {
        self.ours.restorable_in_a_day as f64 / self.ours.looks as f64
    }

    /// Part of the time in which fewer losses were survived than should be (`0..=1`).
    pub fn below_target(&self) -> f64 {
        self.ours.days_below_target / self.ours.days
    }

    /// Part of the rebuilt shards whose host came back (`0..=1`).
    pub fn in_vain(&self) -> f64 {
        self.ours.rebuilt_in_vain as f64 / (self.ours.rebuilt as f64).max(1.0)
    }

    /// Bytes stored for a byte of an archive.
    pub fn stored(&self) -> f64 {
        self.ours.stored / self.ours.archives as f64
    }

    /// What the member that keeps most keeps, in archives, on average over circles.
    pub fn busiest(&self) -> f64 {
        self.ours.busiest / self.ours.circles as f64
    }

    /// Bytes of proofs in a month for an archive of any length: a round at each host that finds 1 % lost with 99 %.
    pub fn audited(&self) -> f64 {
        let hosts = self.ours.shards as f64 / self.ours.archives as f64;
        f64::from(challenges_for(0.99, 0.01)) * PROOF_LEN * hosts
    }
}

/// Bytes moved for a terabyte of archives in a month.
fn a_month(tally: &Tally, setting: &Setting) -> f64 {
    tally.repair_bytes / (tally.days / MONTH) * (1e12 / setting.archive_len)
}

fn upkeep(case: Upkeep, draws: &mut Draws) -> UpkeepRow {
    UpkeepRow {
        case,
        shards: case.by_simulation(RepairSource::Shards, draws),
        files: case.by_simulation(RepairSource::Files, draws),
    }
}

fn month(case: Month, draws: &mut Draws) -> MonthRow {
    let alone = case.by_simulation(None, draws);
    let repaired = case.by_simulation(Some(14.0), draws);
    MonthRow {
        case,
        alone: alone.lost,
        repaired: repaired.lost,
        moved: repaired.moved,
    }
}
