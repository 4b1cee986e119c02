//! Stewards for people: who looks after the archive, and whose archives are looked after here.

use nuthatch_daemon::api::{StewardRow, StewardingRow, StewardsAnswer};

use super::words::{moment, plural, size};
use crate::terminal::{Tone, escaped, toned};

/// Both ways.
pub(crate) fn steward_lines(answer: &StewardsAnswer) -> Vec<String> {
    let mut lines: Vec<String> = answer.stewards.iter().map(steward_line).collect();
    if lines.is_empty() {
        lines.push(
            "nobody looks after an archive of this node: 'nuthatch steward appoint NAME' lets a host do so"
                .to_owned(),
        );
    }
    lines.extend(answer.stewarding.iter().map(stewarding_line));
    lines
}

fn steward_line(row: &StewardRow) -> String {
    let state = if row.online { "online" } else { "not connected" };
    format!(
        "{} looks after this archive since {} ({state}); it may fetch {} a day from each host",
        escaped(&row.name),
        moment(&row.since),
        size(row.budget)
    )
}

fn stewarding_line(row: &StewardingRow) -> String {
    let archive = row.archive_id.get(..8).unwrap_or(&row.archive_id);
    let state = match &row.last_look {
        None => "not looked over yet".to_owned(),
        Some(_) if row.unrepairable > 0 => toned(
            Tone::Bad,
            &format!("{} can't be repaired any more", plural(row.unrepairable, "pack")),
        ),
        Some(at) if row.packs_due > 0 => toned(
            Tone::Warn,
            &format!("{} to repair at {}", plural(row.packs_due, "pack"), moment(at)),
        ),
        Some(at) => toned(Tone::Good, &format!("all well at {}", moment(at))),
    };
    format!(
        "this node looks after archive {archive}: {}, {state}; {} rebuilt with {} downloaded",
        plural(row.packs, "pack"),
        plural(row.shards_placed, "shard"),
        size(row.bytes_fetched)
    )
}
