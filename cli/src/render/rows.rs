//! Lists for people: files, snapshots, the circle.

use comfy_table::{Table, presets};
use nuthatch_daemon::api::{EntryRow, PeerRow, Protection, SnapshotRow, WaitingRow};

use super::RowForm;
use super::words;
use crate::terminal::escaped;

/// A file as a line: as `ls` and `ls -l` show it.
pub(crate) fn entry_line(entry: &EntryRow, form: RowForm) -> String {
    let path = escaped(&entry.path.path);
    let RowForm::Long = form else { return path };
    let link = entry
        .target
        .as_ref()
        .map_or_else(String::new, |target| format!(" -> {}", escaped(target)));
    let owner = format!("{}:{}", entry.uid, entry.gid);
    let size = words::size(entry.size);
    format!(
        "{}  {owner:>11}  {size:>9}  {}  {path}{link}",
        mode_text(&entry.kind, entry.mode),
        words::moment(&entry.mtime)
    )
}

/// `drwxr-xr-x`.
fn mode_text(kind: &str, mode: u32) -> String {
    let first = match kind {
        "dir" => 'd',
        "symlink" => 'l',
        "fifo" => 'p',
        "char_device" => 'c',
        "block_device" => 'b',
        "socket" => 's',
        _ => '-',
    };
    let mut text = String::from(first);
    for (shift, special, letters) in [
        (6, 0o4000, ('s', 'S')),
        (3, 0o2000, ('s', 'S')),
        (0, 0o1000, ('t', 'T')),
    ] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letters.0,
            (true, false) => letters.1,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    table
}

/// Snapshots, as given.
pub(crate) fn snapshots_table(snapshots: &[SnapshotRow]) -> String {
    let mut table = table(&[
        "id",
        "time (UTC)",
        "files",
        "size",
        "safe",
        "host",
        "paths",
        "tags",
    ]);
    for snapshot in snapshots {
        let safe = match (snapshot.protection, snapshot.survives_losses) {
            (Protection::Staged, _) => "staged".to_owned(),
            (Protection::Recoverable, losses) => format!("recoverable ({losses})"),
            (Protection::Protected, losses) => format!("protected ({losses})"),
        };
        let locked = || "(locked)".to_owned();
        table.add_row([
            snapshot.short_id.clone(),
            words::moment(&snapshot.time),
            words::count(snapshot.files),
            words::size(snapshot.bytes),
            safe,
            snapshot.hostname.as_deref().map_or_else(locked, escaped),
            snapshot
                .paths
                .as_ref()
                .map_or_else(locked, |paths| escaped(&paths.join(", "))),
            escaped(&snapshot.tags.join(", ")),
        ]);
    }
    trimmed(&table)
}

/// Whether a member is there, what its shards are worth where that is something else, and what else is out of the ordinary.
fn state_words(peer: &PeerRow) -> String {
    let mut words = vec![peer.state.as_str()];
    if peer.stance == "paused" {
        words.push("on a holiday");
    }
    if matches!(peer.health.as_str(), "leaving" | "drained") {
        words.push(&peer.health);
    }
    match peer.balance_there.as_str() {
        "warned" => words.push("asks for more in return"),
        "stopped" | "releasable" => words.push("takes no more from me"),
        _ => {}
    }
    match peer.balance_here.as_str() {
        "warned" => words.push("gives too little"),
        "stopped" | "releasable" => words.push("gets no more here"),
        _ => {}
    }
    words.join(", ")
}

/// The circle, as given.
pub(crate) fn peers_table(peers: &[PeerRow]) -> String {
    let mut table = table(&[
        "name",
        "id",
        "state",
        "keeps for me",
        "I keep",
        "last seen",
        "last proof",
        "where",
    ]);
    for peer in peers {
        let place = peer
            .path
            .clone()
            .or_else(|| peer.addresses.first().cloned())
            .unwrap_or_default();
        let time = |time: &Option<String>| time.as_deref().map_or_else(|| "never".to_owned(), words::moment);
        table.add_row([
            escaped(&peer.name),
            short_peer(&peer.peer_id),
            escaped(&state_words(peer)),
            words::size(peer.hosted_for_me),
            words::size(peer.hosted_for_them),
            time(&peer.last_seen),
            proof(peer, time(&peer.last_proof)),
            escaped(&place),
        ]);
    }
    trimmed(&table)
}

/// When a host last proved what it keeps, and what speaks against that.
fn proof(peer: &PeerRow, at: String) -> String {
    let Some(audit) = &peer.audit else { return at };
    let outcome = audit.outcome.as_deref().filter(|outcome| *outcome != "kept");
    let since = audit.open_since.as_deref().filter(|_| outcome.is_some());
    match (outcome, since) {
        (Some(outcome), Some(since)) => format!("{at}, {} since {}", escaped(outcome), words::moment(since)),
        (Some(outcome), None) => format!("{at}, {}", escaped(outcome)),
        (None, _) => at,
    }
}

/// Who waits, as given.
pub(crate) fn waiting_table(waiting: &[WaitingRow]) -> String {
    let mut table = table(&["name", "id", "asked (UTC)", "used before by"]);
    for row in waiting {
        let users = row
            .used_by
            .iter()
            .map(|user| format!("{} ({})", escaped(&user.name), short_peer(&user.peer_id)));
        table.add_row([
            escaped(&row.name),
            escaped(&row.peer_id),
            row.asked
                .as_deref()
                .map_or_else(|| "elsewhere".to_owned(), words::moment),
            users.collect::<Vec<_>>().join(", "),
        ]);
    }
    trimmed(&table)
}

/// The end of a peer id: its beginning is the same for all.
fn short_peer(peer_id: &str) -> String {
    let start = peer_id.len().saturating_sub(8);
    escaped(peer_id.get(start..).unwrap_or(peer_id))
}

fn trimmed(table: &Table) -> String {
    table
        .to_string()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_shows_them() {
        assert_eq!(mode_text("dir", 0o1777), "drwxrwxrwt");
        assert_eq!(mode_text("file", 0o4755), "-rwsr-xr-x");
        assert_eq!(mode_text("file", 0o2640), "-rw-r-S---");
    }
}
