//! Whole processes on one machine: backup into staging and into a loopback circle of six, restore with all hosts and with as many lost
//! as the backup survives: `cargo bench -p nuthatch --bench circle`.
//!
//! `NUTHATCH_BENCH_MIB` is the size in MiB (default 512). Times are of whole commands, their start and the connecting included; the
//! median of three runs, each in a circle of its own. Beside each stands its floor on this machine at this hour (`support/floors.rs`), of
//! costs that are taken before each run; the medians are of the costs' floors too.

#[expect(dead_code, reason = "shared by two benches: not all of it is needed here")]
#[path = "support/circle.rs"]
mod support;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

#[path = "support/floors.rs"]
mod floors;

use floors::Costs;
use support::{Circle, back_up, init, mib_or, restore, run, write_data};

/// Runs of everything (count); odd, so that one is in the middle.
const RUNS: u64 = 3;

fn main() -> ExitCode {
    let mib = mib_or(512);
    let (mut all, mut all_floors) = (Vec::new(), Vec::new());
    // Kept until the end: a file system that has just lost thousands of files makes new ones slowly (ext4 looks for an inode that was
    // not deleted lately), which is nothing of the commands'.
    let mut directories = Vec::new();
    for seed in 0..RUNS {
        let measured = tempfile::tempdir().and_then(|directory| {
            let measured = measure(mib, seed, directory.path());
            directories.push(directory);
            measured
        });
        match measured {
            Ok((times, floors)) => {
                all.push(times);
                all_floors.push(floors);
            }
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{mib} MiB, whole commands               MiB/s   seconds  (least..most)  floor  times the floor"
    );
    let names = [
        "backup into staging",
        "backup into a circle of 6",
        "restore, all hosts there",
        "restore, hosts lost",
    ];
    for (at, name) in names.iter().enumerate() {
        let seconds = sorted(all.iter().map(|times| times[at]));
        let floor = sorted(all_floors.iter().map(|floors| floors[at]))[all_floors.len() / 2];
        let median = seconds[seconds.len() / 2];
        let (least, most) = (seconds[0], seconds[seconds.len() - 1]);
        println!(
            "{name:<34}{:>10.1} {median:>9.2}  ({least:.2}..{most:.2}) {floor:>6.2} {:>6.1}",
            mib as f64 / median,
            median / floor
        );
    }
    ExitCode::SUCCESS
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn measure(mib: u64, seed: u64, root: &Path) -> io::Result<([f64; 4], [f64; 4])> {
    let data = root.join("data");
    let costs = Costs::measure(root)?;
    eprint!("{costs}");
    write_data(&data, mib, seed)?;

    let alone = root.join("alone");
    init(&alone)?;
    let staged = run(&alone, &["backup", &data.to_string_lossy()], "")?.seconds;

    let mut circle = Circle::begin(root)?;
    let backup = back_up(&circle.owner, &data)?;
    let survives = backup.answer["survives_losses"].as_u64().unwrap_or(0);
    fs::remove_dir_all(&circle.owner)?;

    let new = root.join("new");
    circle.recover(&new)?;
    let direct = restore(&new, &data, &root.join("back"))?.seconds;
    for _ in 0..survives {
        if let Some(host) = circle.hosts.pop() {
            host.lose()?;
        }
    }
    let decoded = restore(&new, &data, &root.join("back-again"))?.seconds;
    let sent = backup.answer["bytes_sent"].as_u64().unwrap_or(0) as f64;
    let floors = costs.floors(mib as f64, sent / (mib << 20) as f64);
    let times = [staged, backup.seconds, direct, decoded];
    Ok((
        times,
        [floors.staging, floors.circle, floors.restore, floors.restore],
    ))
}
