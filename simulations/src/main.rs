//! Runs stories from the command line: `--scenario NAME` (all without it), `--seed N` (one) or `--seeds N` (from 0; 100 without it).
//! Prints the seed that failed; the same seed fails again.
//!
//! `durability [--peers N] [--years N] [--seed N]` reports what to expect of so many friends instead (100,000 peers and ten years
//! without numbers).
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

use std::io::Write;
use std::process::ExitCode;

use nuthatch_simulations::durability::report::{Wanted, report};
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
    for pair in arguments.chunks(2) {
        let number = pair.get(1).and_then(|value| value.parse().ok());
        let place = match pair.first().map(String::as_str) {
            Some("--peers") => &mut wanted.peers,
            Some("--years") => &mut wanted.years,
            Some("--seed") => &mut wanted.seed,
            _ => {
                let _ = writeln!(std::io::stderr(), "options are --peers N, --years N and --seed N");
                return ExitCode::from(2);
            }
        };
        let Some(number) = number else {
            let _ = writeln!(std::io::stderr(), "{} needs a number", pair.join(" "));
            return ExitCode::from(2);
        };
        *place = number;
    }
    let written = report(&wanted).is_ok_and(|text| out.write_all(text.as_bytes()).is_ok());
    if written {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
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
