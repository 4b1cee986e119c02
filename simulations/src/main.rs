//! Runs stories from the command line: `--scenario NAME` (all without it), `--seed N` (one) or `--seeds N` (from 0; 100 without it).
//! Prints the seed that failed; the same seed fails again.
//!
//! `durability [--peers N] [--years N] [--seed N] [--plots FOLDER]` reports what to expect of so many friends instead (100,000 peers and
//! ten years without numbers), and draws it.
//!
//! `faults [--seed N | --seeds N] [--steps N]` runs worlds in which everything goes wrong for so many steps (20 worlds of 20,000 steps
//! without numbers).
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nuthatch_simulations::durability::figures::{Figures, Wanted};
use nuthatch_simulations::durability::plots::plots;
use nuthatch_simulations::durability::report::report;
use nuthatch_simulations::faults;
use nuthatch_simulations::scenario::Scenario;

/// What to run.
struct Choice {
    scenarios: Vec<Scenario>,
    seeds: std::ops::Range<u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    if let Some((first, rest)) = arguments.split_first()
        && first == "durability"
    {
        return durability(rest, &mut out);
    }
    if let Some((first, rest)) = arguments.split_first()
        && first == "faults"
    {
        return run_faults(rest, &mut out).unwrap_or(ExitCode::FAILURE);
    }
    match choose(&arguments) {
        Ok(choice) => run(&choice, &mut out).unwrap_or(ExitCode::FAILURE),
        Err(what) => {
            let names: Vec<&str> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
            let _ = writeln!(std::io::stderr(), "{what}; scenarios are {}", names.join(", "));
            ExitCode::from(2)
        }
    }
}

fn durability(arguments: &[String], out: &mut impl Write) -> ExitCode {
    let mut wanted = Wanted {
        peers: 100_000,
        years: 10,
        seed: 1,
    };
    let mut plots_to = None;
    for pair in arguments.chunks(2) {
        let number = pair.get(1).and_then(|value| value.parse().ok());
        let place = match pair.first().map(String::as_str) {
            Some("--peers") => &mut wanted.peers,
            Some("--years") => &mut wanted.years,
            Some("--seed") => &mut wanted.seed,
            Some("--plots") if pair.len() == 2 => {
                plots_to = pair.get(1).map(PathBuf::from);
                continue;
            }
            _ => {
                let _ = writeln!(
                    std::io::stderr(),
                    "options are --peers N, --years N, --seed N and --plots FOLDER"
                );
                return ExitCode::from(2);
            }
        };
        let Some(number) = number else {
            let _ = writeln!(std::io::stderr(), "{} needs a number", pair.join(" "));
            return ExitCode::from(2);
        };
        *place = number;
    }
    match write_durability(&wanted, plots_to.as_deref(), out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            let _ = writeln!(std::io::stderr(), "{what}");
            ExitCode::FAILURE
        }
    }
}

/// The report goes to standard output, plots to a folder, and what the run took, which is another each time, to standard error.
fn write_durability(
    wanted: &Wanted,
    plots_to: Option<&Path>,
    out: &mut impl Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let figures = Figures::of(*wanted);
    out.write_all(report(&figures)?.as_bytes())?;
    if let Some(folder) = plots_to {
        std::fs::create_dir_all(folder)?;
        for plot in plots(&figures)? {
            std::fs::write(folder.join(plot.name), plot.svg)?;
        }
    }
    if let Some(peak) = peak_memory() {
        writeln!(std::io::stderr(), "peak memory: {peak}")?;
    }
    Ok(())
}

/// The most memory that this process has had at a time, as Linux says it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}

/// Worlds in trouble, seed after seed; ends with the first that fails and says how to see it again.
fn run_faults(arguments: &[String], out: &mut impl Write) -> std::io::Result<ExitCode> {
    let (mut seeds, mut steps) = (0..20, 20_000);
    for pair in arguments.chunks(2) {
        let number: Option<u64> = pair.get(1).and_then(|value| value.parse().ok());
        match (pair.first().map(String::as_str), number) {
            (Some("--seed"), Some(seed)) => seeds = seed..seed.saturating_add(1),
            (Some("--seeds"), Some(count)) => seeds = 0..count,
            (Some("--steps"), Some(count)) => steps = count,
            _ => {
                writeln!(std::io::stderr(), "options are --seed N, --seeds N and --steps N")?;
                return Ok(ExitCode::from(2));
            }
        }
    }
    let (mut step_count, mut sent_count) = (0, 0);
    for seed in seeds.clone() {
        match faults::run(seed, steps) {
            Ok(report) => {
                step_count += report.step_count;
                sent_count += report.sent_count;
            }
            Err(violation) => {
                writeln!(
                    out,
                    "faults: {violation}; again with faults --seed {seed} --steps {steps}"
                )?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    writeln!(
        out,
        "faults: {} worlds, {step_count} steps, {sent_count} shards sent, every invariant held after each step",
        seeds.end - seeds.start
    )?;
    Ok(ExitCode::SUCCESS)
}

fn choose(arguments: &[String]) -> Result<Choice, String> {
    let mut choice = Choice {
        scenarios: Scenario::ALL.to_vec(),
        seeds: 0..100,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} needs a value", pair.join(" ")));
        };
        match name.as_str() {
            "--scenario" => {
                let found = Scenario::ALL
                    .into_iter()
                    .find(|scenario| scenario.name() == value);
                choice.scenarios = vec![found.ok_or_else(|| format!("there is no scenario {value}"))?];
            }
            "--seed" => {
                let seed: u64 = value.parse().map_err(|_| format!("{value} is not a seed"))?;
                choice.seeds = seed..seed.saturating_add(1);
            }
            "--seeds" => choice.seeds = 0..value.parse().map_err(|_| format!("{value} is not a count"))?,
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(choice)
}

fn run(choice: &Choice, out: &mut impl Write) -> std::io::Result<ExitCode> {
    for scenario in &choice.scenarios {
        let (mut steps, mut sent, mut acknowledged) = (0, 0, 0);
        let (mut surplus, mut waiting) = (0, 0);
        for seed in choice.seeds.clone() {
            match scenario.run(seed) {
                Ok(report) => {
                    steps += report.step_count;
                    sent += report.sent_count;
                    acknowledged += report.acknowledged_count;
                    surplus += report.surplus_count;
                    waiting += report.waiting_count;
                }
                Err(violation) => {
                    let name = scenario.name();
                    writeln!(
                        out,
                        "{name}: {violation}; again with --scenario {name} --seed {seed}"
                    )?;
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        let (name, runs) = (scenario.name(), choice.seeds.end - choice.seeds.start);
        writeln!(
            out,
            "{name}: {runs} runs, {steps} steps, {sent} shards sent, {acknowledged} acknowledged, {surplus} surplus, {waiting} packs wait"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
