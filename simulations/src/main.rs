//! Runs stories from the command line: `--scenario NAME` (all without it), `--seed N` (one) or `--seeds N` (from 0; 100 without it).
//! Prints the seed that failed; the same seed fails again.
#![deny(clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

use std::io::Write;
use std::process::ExitCode;

use nuthatch_simulations::scenario::Scenario;

/// What to run.
struct Choice {
    scenarios: Vec<Scenario>,
    seeds: std::ops::Range<u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    match choose(&arguments) {
        Ok(choice) => run(&choice, &mut out).unwrap_or(ExitCode::FAILURE),
        Err(what) => {
            let names: Vec<&str> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
            let _ = writeln!(std::io::stderr(), "{what}; scenarios are {}", names.join(", "));
            ExitCode::from(2)
        }
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
        for seed in choice.seeds.clone() {
            match scenario.run(seed) {
                Ok(report) => {
                    steps += report.step_count;
                    sent += report.sent_count;
                    acknowledged += report.acknowledged_count;
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
            "{name}: {runs} runs, {steps} steps, {sent} shards sent, {acknowledged} acknowledged"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
