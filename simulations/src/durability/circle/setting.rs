//! What is simulated of a circle, and what came of it. Data only.

use nuthatch_engine::targets::Goals;

use crate::durability::peers::{Lives, Mix};

/// Who decides when a host has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// A node, from what it has seen.
    Node,
    /// Somebody who knows at once who is dead, has that rebuilt, and knows that everybody else comes back.
    Oracle,
}

/// Which rule gives the shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shaping {
    /// The table by the number of hosts: a young circle.
    ByNumber,
    /// The cheapest shape that meets these goals, by what four weeks of looks have shown.
    ByHistory(Goals),
}

/// When machines are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deaths {
    /// Each after a time of its own, and in disasters, by the rates of its life.
    ByRates,
    /// Just so many in the time, of different members, at moments of no particular choice.
    Exactly(usize),
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Members beside each owner (count): its possible hosts.
    pub friends: usize,
    /// How long, in days.
    pub days: u64,
    /// How often machines are on.
    pub mix: Mix,
    /// How long they last and stay away.
    pub lives: Lives,
    /// When they are lost.
    pub deaths: Deaths,
    /// Who decides.
    pub knowledge: Knowledge,
    /// Which shapes.
    pub shaping: Shaping,
    /// Plaintext of each archive, in bytes.
    pub archive_len: f64,
    /// What a machine uploads in an hour, in bytes.
    pub upload_an_hour: f64,
}

impl Setting {
    /// Ten years of an archive of 100 GB at 20 Mbit/s upwards.
    pub fn new(friends: usize) -> Self {
        Self {
            friends,
            days: 3650,
            mix: Mix::Friends,
            lives: Lives::default(),
            deaths: Deaths::ByRates,
            knowledge: Knowledge::Node,
            shaping: Shaping::ByNumber,
            archive_len: 100e9,
            upload_an_hour: 20e6 / 8.0 * 3600.0,
        }
    }
}

/// What came of it, summed over archives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// Archives (count).
    pub archives: u64,
    /// Circles (count).
    pub circles: u64,
    /// Archives that could not be restored any more when their owner needed it (count).
    pub lost: u64,
    /// Times that fewer than k shards were left in the world, the owner's own files aside (count).
    pub below_k: u64,
    /// Bytes moved to rebuild shards.
    pub repair_bytes: f64,
    /// Shards rebuilt (count).
    pub rebuilt: u64,
    /// Of them, for hosts that came back (count).
    pub rebuilt_in_vain: u64,
    /// Of these, for hosts that came back before their grace had ended (count).
    pub rebuilt_within_grace: u64,
    /// Days of archives, and of these the days at which fewer losses were survived than should be.
    pub days: f64,
    /// See `days`.
    pub days_below_target: f64,
    /// Looks at whether the archive could be restored (count), those at which it could at that moment, and those at which it could within
    /// a day.
    pub looks: u64,
    /// See `looks`.
    pub restorable: u64,
    /// See `looks`.
    pub restorable_in_a_day: u64,
    /// Machines lost for good (count).
    pub deaths: u64,
    /// Bytes stored for each byte of an archive, summed over archives.
    pub stored: f64,
    /// Shards of the shapes, summed over archives (count).
    pub shards: u64,
    /// What the member of each circle that keeps most keeps, in archives, summed over circles.
    pub busiest: f64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.archives += other.archives;
        self.circles += other.circles;
        self.lost += other.lost;
        self.below_k += other.below_k;
        self.repair_bytes += other.repair_bytes;
        self.rebuilt += other.rebuilt;
        self.rebuilt_in_vain += other.rebuilt_in_vain;
        self.rebuilt_within_grace += other.rebuilt_within_grace;
        self.days += other.days;
        self.days_below_target += other.days_below_target;
        self.looks += other.looks;
        self.restorable += other.restorable;
        self.restorable_in_a_day += other.restorable_in_a_day;
        self.deaths += other.deaths;
        self.stored += other.stored;
        self.shards += other.shards;
        self.busiest += other.busiest;
    }
}
