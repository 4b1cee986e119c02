//! This node as a host, for people.

use nuthatch_daemon::api::{HostAnswer, HostedRow};
use nuthatch_daemon::config::size_text;
use nuthatch_format::ByteCount;

use super::words::{self, count, size};
use crate::terminal::{Tone, escaped, toned};

/// A gigabyte, as disks are sold.
const GIGABYTE: u64 = 1_000_000_000;

/// What it gives, what it could safely promise, and, where it is leaving, how far that is.
pub(crate) fn host_lines(answer: &HostAnswer) -> Vec<String> {
    let mut lines = vec![format!(
        "kept for others  {} of {}",
        size(answer.hosted_bytes),
        size(answer.quota_bytes)
    )];
    if answer.over_bytes > 0 {
        lines.push(toned(
            Tone::Warn,
            &format!(
                "over the quota   {}: nothing new is taken, and nothing is deleted by itself",
                size(answer.over_bytes)
            ),
        ));
    }
    lines.push(format!("safe to promise  {}", safe(answer)));
    lines.push(format!(
        "in return        {}",
        if answer.generous {
            "nothing is asked"
        } else {
            "about as much as is given"
        }
    ));
    match answer.stance.as_str() {
        "paused" => {
            let until = answer.paused_until.as_deref().map_or_else(
                || "until 'nuthatch host resume'".to_owned(),
                |until| format!("until {} UTC", words::moment(until)),
            );
            lines.push(format!("holiday          {until}: nothing new is taken"));
        }
        "leaving" => lines.extend(leaving_lines(answer)),
        _ => {}
    }
    lines
}

fn safe(answer: &HostAnswer) -> String {
    let bytes = size(answer.safe_bytes);
    let line = match (answer.upload_bytes_per_second, answer.uptime_per_mille) {
        (None, _) => {
            return format!(
                "{bytes}, by the disk alone; 'nuthatch limit --up RATE' says what of the line is for this"
            );
        }
        (Some(rate), None) => format!("{}/s, always online", size(rate)),
        (Some(rate), Some(uptime)) => format!("{}/s, online {} % of the time", size(rate), uptime / 10),
    };
    let why = match answer.safe_bound.as_str() {
        "give_back" => "what the line gives back within a month",
        "upkeep" => "what the line keeps alive while friends come and go",
        _ => "what the disk holds",
    };
    format!("{bytes}: {why} ({line})")
}

fn leaving_lines(answer: &HostAnswer) -> Vec<String> {
    let mut lines = vec!["leaving          owners copy elsewhere what they keep here:".to_owned()];
    lines.extend(answer.archives.iter().map(leaving_row));
    lines.push(if answer.may_switch_off == Some(true) {
        toned(
            Tone::Good,
            "nothing is kept here alone any more: this machine may be switched off",
        )
    } else {
        toned(
            Tone::Warn,
            "leave this machine running; 'nuthatch host leave' tells when it may be switched off",
        )
    });
    lines
}

fn leaving_row(row: &HostedRow) -> String {
    let who = if row.names.is_empty() {
        row.archive_id.chars().take(8).collect()
    } else {
        row.names
            .iter()
            .map(|name| escaped(name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let needed = match row.needed_shards {
        None => "has not said yet whether it needs them".to_owned(),
        Some(0) => "needs none of them any more".to_owned(),
        Some(1) => "still needs one of them".to_owned(),
        Some(shards) => format!("still needs {} of them", count(shards)),
    };
    format!("  {who}: {} in shards, {needed}", size(row.bytes))
}

/// What is said to somebody who promises more than his machine can keep.
pub(crate) fn promise_note(quota: ByteCount, safe: ByteCount) -> Option<String> {
    let whole = ByteCount(safe.0 / GIGABYTE * GIGABYTE);
    (quota > safe).then(|| {
        format!(
            "That is more than this machine can safely promise, which is {}: 'nuthatch host quota {}' promises less.",
            size(safe.0),
            size_text(whole)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> HostAnswer {
        HostAnswer {
            stance: "open".to_owned(),
            paused_until: None,
            generous: false,
            quota_bytes: 2_000_000_000,
            hosted_bytes: 1_000_000_000,
            over_bytes: 0,
            safe_bytes: 5_000_000_000,
            safe_bound: "disk".to_owned(),
            upload_bytes_per_second: None,
            uptime_per_mille: None,
            archives: Vec::new(),
            may_switch_off: None,
        }
    }

    #[test]
    fn a_leaving_host_is_not_to_be_switched_off_before_everybody_says_so() {
        let row = |needed_shards| HostedRow {
            archive_id: "abcdef0123".to_owned(),
            names: vec!["be\u{1b}n".to_owned()],
            bytes: 1,
            needed_shards,
            told: None,
        };
        let leaving = HostAnswer {
            stance: "leaving".to_owned(),
            archives: vec![row(None), row(Some(1)), row(Some(0))],
            may_switch_off: Some(false),
            ..answer()
        };
        let text = host_lines(&leaving).join("\n");
        assert!(
            text.contains("has not said yet")
                && text.contains("still needs one")
                && text.contains("needs none")
        );
        assert!(
            text.contains("leave this machine running") && !text.contains('\u{1b}'),
            "{text}"
        );
        let done = HostAnswer {
            may_switch_off: Some(true),
            ..leaving
        };
        assert!(host_lines(&done).join("\n").contains("may be switched off"));
    }

    #[test]
    fn who_promises_too_much_is_told_what_would_be_safe() {
        let (quota, safe) = (ByteCount(500_000_000_000), ByteCount(324_600_000_000));
        let note = promise_note(quota, safe).unwrap();
        assert!(note.contains("'nuthatch host quota 324GB'"), "{note}");
        assert_eq!(promise_note(safe, safe), None);
    }
}
