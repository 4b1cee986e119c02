//! Results for people: what was done, how safe it is, what to do next.

use nuthatch_daemon::api::{BackupSummary, Protection, RestoreSummary, StatusAnswer, VerifySummary};

use super::words::{self, count, plural, rate, seconds, size};
use crate::terminal::{Tone, escaped, toned};

fn tone_of(protection: Protection) -> Tone {
    match protection {
        Protection::Staged => Tone::Bad,
        Protection::Recoverable => Tone::Warn,
        Protection::Protected => Tone::Good,
    }
}

/// A backup.
pub(crate) fn backup_lines(summary: &BackupSummary) -> Vec<String> {
    let mut lines = Vec::new();
    match &summary.snapshot_id {
        Some(id) => {
            let safe = words::protection(summary.protection, summary.survives_losses, summary.hosts);
            lines.push(format!(
                "snapshot {}  {}",
                id.get(..8).unwrap_or(id),
                toned(tone_of(summary.protection), &safe)
            ));
        }
        None => lines.push("dry run: nothing was stored".to_owned()),
    }
    lines.push(format!(
        "  files   {} new, {} changed, {} unmodified",
        count(summary.files_new),
        count(summary.files_changed),
        count(summary.files_unmodified)
    ));
    lines.push(format!(
        "  folders {} new, {} changed, {} unmodified",
        count(summary.dirs_new),
        count(summary.dirs_changed),
        count(summary.dirs_unmodified)
    ));
    lines.push(format!(
        "  data    {} looked at, {} new, {} stored, {} sent, in {} ({})",
        size(summary.bytes_processed),
        size(summary.bytes_added),
        size(summary.bytes_stored),
        size(summary.bytes_sent),
        seconds(summary.seconds),
        rate(summary.bytes_processed, summary.seconds)
    ));
    if !summary.waiting_for.is_empty() {
        lines.push(format!("  missing {}", words::names(&summary.waiting_for)));
    }
    if summary.errors > 0 {
        lines.push(toned(
            Tone::Bad,
            &format!("  {} could not be read", plural(summary.errors, "file")),
        ));
    }
    lines
}

/// A restore.
pub(crate) fn restore_lines(summary: &RestoreSummary, is_dry_run: bool) -> Vec<String> {
    let first = if is_dry_run {
        format!(
            "dry run: {} would be restored, unless they are right already; nothing was written",
            plural(summary.files_restored, "file")
        )
    } else {
        format!(
            "restored {} ({}), {} were right already; {} fetched in {} ({})",
            plural(summary.files_restored, "file"),
            size(summary.bytes_restored),
            count(summary.files_unchanged),
            size(summary.bytes_fetched),
            seconds(summary.seconds),
            rate(summary.bytes_restored, summary.seconds)
        )
    };
    let mut lines = vec![first];
    if summary.errors > 0 {
        lines.push(toned(
            Tone::Bad,
            &format!("{} could not be restored", plural(summary.errors, "file")),
        ));
    }
    lines
}

/// A verification.
pub(crate) fn verify_lines(summary: &VerifySummary) -> Vec<String> {
    let mut lines = vec![format!(
        "checked {} and {}, read {} in {}",
        plural(summary.packs, "pack"),
        plural(summary.shards, "shard"),
        size(summary.bytes_read),
        seconds(summary.seconds)
    )];
    if summary.damaged.is_empty() {
        lines.push(toned(Tone::Good, "no damage found"));
    }
    for damage in &summary.damaged {
        let peer = damage
            .peer_id
            .as_ref()
            .map_or_else(String::new, |peer| format!(" (node {})", escaped(peer)));
        let end = if damage.restorable {
            "; the others make up for it"
        } else {
            "; it can't be restored now"
        };
        let path = damage
            .path
            .as_ref()
            .map_or_else(String::new, |path| format!("{}: ", escaped(path)));
        lines.push(format!(
            "{}: {path}{}{peer}{end}",
            toned(Tone::Bad, &damage.kind),
            escaped(&damage.message)
        ));
    }
    let unlisted = summary.damaged_count.saturating_sub(summary.damaged.len() as u64);
    if unlisted > 0 {
        lines.push(toned(Tone::Bad, &format!("and {} more", count(unlisted))));
    }
    lines
}

/// One screen.
pub(crate) fn status_lines(status: &StatusAnswer) -> Vec<String> {
    let time = |time: &Option<String>| {
        time.as_deref().map_or_else(
            || "never".to_owned(),
            |time| format!("{} UTC", words::moment(time)),
        )
    };
    let mut lines = vec![format!(
        "node         {}  {}",
        toned(Tone::Strong, &escaped(&status.name)),
        status.peer_id
    )];
    if !status.running {
        lines.push(format!(
            "running      no; as of the last contact: {}",
            time(&status.last_contact)
        ));
    }
    if let Some(archive) = &status.archive_id {
        lines.push(format!("archive      {archive}"));
        lines.push(format!("last backup  {}", time(&status.last_backup)));
        if let Some(protection) = status.protection {
            let safe = words::protection(protection, status.survives_losses, status.hosts);
            lines.push(format!("safety       {}", toned(tone_of(protection), &safe)));
        }
        let online = status
            .hosts_online
            .map_or_else(String::new, |online| format!(" ({online} online)"));
        lines.push(format!(
            "copies       {}{online}",
            plural(u64::from(status.hosts), "host")
        ));
        lines.push(format!("last proof   {}", time(&status.last_proof)));
        lines.push(format!("to be sent   {}", size(status.staged_bytes)));
        if status.repair.running > 0 {
            lines.push(format!("repairing    {}", plural(status.repair.running, "pack")));
        }
    }
    lines.push(format!(
        "kept for others  {} of {}",
        size(status.hosted_bytes),
        size(status.quota_bytes)
    ));
    if status.attention.is_empty() {
        lines.push(toned(Tone::Good, "nothing needs attention"));
    }
    for attention in &status.attention {
        lines.push(format!(
            "{} {}",
            toned(Tone::Warn, "!"),
            escaped(&attention.message)
        ));
        lines.push(format!("  → {}", escaped(&attention.command)));
    }
    lines
}
