//! Audits for people: what each host did, and by what they are made.

use nuthatch_daemon::api::{AuditAnswer, AuditRow};

use super::words::{self, count, plural, seconds, size};
use crate::terminal::{Tone, escaped, toned};

/// An audit of some hosts.
pub(crate) fn audit_lines(answer: &AuditAnswer) -> Vec<String> {
    if answer.hosts.is_empty() {
        return vec!["no host keeps anything of this archive yet".to_owned()];
    }
    let mut lines: Vec<String> = answer.hosts.iter().map(row_line).collect();
    let rules = &answer.rules;
    lines.push(format!(
        "{} at random find a loss of {} with {}; by themselves they are asked within {} days, in at most {} a day ({})",
        plural(u64::from(rules.challenges), "challenge"),
        percent(rules.lost),
        percent(rules.detection),
        rules.within_seconds / 86_400,
        size(rules.traffic_per_day),
        seconds(answer.seconds)
    ));
    lines
}

fn row_line(row: &AuditRow) -> String {
    let tone = match row.outcome.as_str() {
        "kept" => Tone::Good,
        "wrong" | "lost" => Tone::Bad,
        _ => Tone::Warn,
    };
    let mut parts = vec![format!(
        "{:<9} {}  {} proven, {}",
        toned(tone, &row.outcome),
        escaped(&row.name),
        count(u64::from(row.proven)),
        size(row.bytes)
    )];
    for (number, what) in [(row.shards_wrong, "wrong"), (row.shards_lost, "lost")] {
        if number > 0 {
            parts.push(format!("{} {what}", plural(u64::from(number), "shard")));
        }
    }
    if row.open > 0 {
        parts.push(format!("{} unanswered", count(u64::from(row.open))));
    }
    if let Some(since) = &row.open_since {
        parts.push(format!("owes an answer since {}", words::moment(since)));
    }
    parts.join(", ")
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_percent() {
        assert_eq!(percent(0.99), "99 %");
        assert_eq!(percent(0.9995), "99.95 %");
        assert_eq!(percent(0.01), "1 %");
    }
}
