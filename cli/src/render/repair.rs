//! Repairs for people: what was done or would be, from where, to whom, and what waits.

use nuthatch_daemon::api::{RepairRow, RepairSummary};

use super::words::{count, plural, seconds, size};
use crate::terminal::{Tone, escaped, toned};

/// A repair.
pub(crate) fn repair_lines(summary: &RepairSummary) -> Vec<String> {
    let mut lines: Vec<String> = summary.plan.iter().map(row_line).collect();
    let unlisted = summary.packs_due.saturating_sub(summary.plan.len() as u64);
    if summary.dry_run && unlisted > 0 {
        lines.push(format!("and {} more", plural(unlisted, "pack")));
    }
    if summary.link_cut {
        lines.push(toned(
            Tone::Warn,
            "this machine's own connection seems cut: nothing is repaired until a member is back",
        ));
    }
    lines.push(match (summary.dry_run, summary.packs_due) {
        (_, 0) => toned(Tone::Good, "nothing is to be repaired"),
        (true, due) => format!(
            "dry run: {} to repair; {} would be sent, and at most {} downloaded, nothing where the files are still here unchanged",
            plural(due, "pack"),
            size(summary.bytes_sent),
            size(summary.bytes_fetched)
        ),
        (false, due) => format!(
            "repaired {} of {} ({} from the files here, {} from this disk, {} from other hosts): {} placed, {} sent, {} downloaded, in {}",
            count(summary.packs_repaired),
            plural(due, "pack"),
            count(summary.from_files),
            count(summary.from_staging),
            count(summary.from_shards),
            plural(summary.shards_placed, "shard"),
            size(summary.bytes_sent),
            size(summary.bytes_fetched),
            seconds(summary.seconds)
        ),
    });
    for (packs, tone, what) in [
        (
            summary.waiting_for_room,
            Tone::Warn,
            "waiting for another host to take what is missing",
        ),
        (
            summary.waiting_for_hosts,
            Tone::Warn,
            "waiting for hosts that are away",
        ),
        (summary.clumped, Tone::Warn, "with several shards in one house"),
        (summary.unrepairable, Tone::Bad, "that can't be repaired any more"),
    ] {
        if packs > 0 {
            lines.push(toned(tone, &format!("{} {what}", plural(packs, "pack"))));
        }
    }
    lines
}

fn row_line(row: &RepairRow) -> String {
    let to = if row.to.is_empty() {
        "no host can take a shard now".to_owned()
    } else {
        format!("to {}", escaped(&row.to.join(", ")))
    };
    format!(
        "pack {} ({}): {} of {} shards count, {} can be read, {} needed; from {}; {to}, {}",
        row.pack_id.get(..8).unwrap_or(&row.pack_id),
        row.kind,
        row.healthy,
        row.shards,
        row.retrievable,
        row.needed,
        row.sources.join(", else "),
        size(row.bytes)
    )
}
