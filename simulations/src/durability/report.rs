//! The report on durability: what to expect of so many friends, and published figures beside ours. Text of fixed form; the same seed gives
//! the same bytes.

use std::fmt::{self, Write as _};

use nuthatch_engine::audits::challenges_for;
use nuthatch_engine::boundary::PackKind;
use nuthatch_engine::durability::{shape_for, target_for};
use nuthatch_engine::repair::RepairSource;

use super::circle::{self, Knowledge, Setting, Tally};
use super::peers::Draws;
use super::published::{Month, Upkeep};

/// Numbers of friends that are reported (count).
pub const FRIENDS: [usize; 7] = [1, 2, 3, 5, 8, 12, 20];

/// Days of a month.
const MONTH: f64 = 365.0 / 12.0;

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

/// Runs everything and writes the report.
pub fn report(wanted: &Wanted) -> Result<String, fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "durability: {} peers, {} years, seed {}",
        wanted.peers, wanted.years, wanted.seed
    )?;
    friends(wanted, &mut text)?;
    published(wanted.seed, &mut text)?;
    Ok(text)
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

fn friends(wanted: &Wanted, text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "\nfriends  shape  stored  archives    lost  below k  below target  can restore now  repaired/TB/month  by an oracle  in vain  audits/TB/month"
    )?;
    let share = wanted.peers / FRIENDS.len() as u64;
    for friends in FRIENDS {
        let setting = Setting {
            days: wanted.years * 365,
            ..Setting::new(friends)
        };
        let ours = tally(&setting, share, wanted.seed);
        let oracle = Setting {
            knowledge: Knowledge::Oracle,
            ..setting
        };
        let known = tally(&oracle, share, wanted.seed);
        let Some(scheme) = shape_for(friends, target_for(friends, None), PackKind::Data) else {
            continue;
        };
        let audits = f64::from(challenges_for(0.99, 0.01)) * PROOF_LEN * f64::from(scheme.total());
        writeln!(
            text,
            "{friends:>7} {:>6} {:>7.2} {:>9} {:>7} {:>8} {:>12.3}% {:>15.1}% {:>15.1} GB {:>10.1} GB {:>7.1}% {:>12.1} MB",
            format!("{}+{}", scheme.data(), scheme.parity()),
            f64::from(scheme.total()) / f64::from(scheme.data()),
            ours.archives,
            ours.lost,
            ours.below_k,
            percent(ours.days_below_target, ours.days),
            percent(ours.restorable as f64, ours.looks as f64),
            a_month(&ours, &setting) / 1e9,
            a_month(&known, &setting) / 1e9,
            percent(ours.rebuilt_in_vain as f64, ours.rebuilt as f64),
            audits / 1e6
        )?;
    }
    Ok(())
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

/// Bytes moved for a terabyte of archives in a month.
fn a_month(tally: &Tally, setting: &Setting) -> f64 {
    tally.repair_bytes / (tally.days / MONTH) * (1e12 / setting.archive_len)
}

fn published(seed: u64, text: &mut String) -> fmt::Result {
    let mut draws = Draws::new(seed, u64::MAX);
    writeln!(
        text,
        "\nbytes moved per byte kept and month   k/n  rebuilt at  life   formula  simulated  from files that are here"
    )?;
    for case in Upkeep::CASES {
        let shards = case.by_simulation(RepairSource::Shards, &mut draws);
        let files = case.by_simulation(RepairSource::Files, &mut draws);
        writeln!(
            text,
            "{:>41} {:>11} {:>5} {:>9.3} {shards:>10.3} {files:>10.3}",
            format!("{}/{}", case.data, case.total),
            case.left,
            case.life,
            case.by_formula()
        )?;
    }
    writeln!(
        text,
        "\nlost in a month at 10 % churn   k/n   published     Poisson   simulated  with repair after 14 days"
    )?;
    for case in Month::CASES {
        let alone = case.loss_by_simulation(None, &mut draws);
        let repaired = case.loss_by_simulation(Some(14.0), &mut draws);
        writeln!(
            text,
            "{:>35} {:>11.3e} {:>11.3e} {alone:>11.3e} {repaired:>11.3e}",
            format!("{}/{}", case.data, case.total),
            1.0 - case.published,
            case.loss_by_poisson()
        )?;
    }
    Ok(())
}
