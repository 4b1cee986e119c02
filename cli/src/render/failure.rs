//! Errors and warnings: what went wrong, with what, what to do.

use nuthatch_daemon::api::{Failure, Message, Notice};

use super::json_line;
use crate::session::Session;
use crate::terminal::{self, Tone, escaped, toned_note};

/// A notice as lines for standard error.
pub(crate) fn failure_lines(word: &str, tone: Tone, notice: &Notice) -> Vec<String> {
    let said = |text: &&String| !notice.message.contains(text.as_str());
    let path = notice
        .path
        .as_ref()
        .filter(said)
        .map(|path| format!(": {}", escaped(path)));
    let peer = notice
        .peer_id
        .as_ref()
        .filter(said)
        .map(|peer| format!(" (node {})", escaped(peer)));
    let message = escaped(&notice.message);
    let line = [
        toned_note(tone, word),
        ": ".to_owned(),
        message,
        path.unwrap_or_default(),
        peer.unwrap_or_default(),
    ]
    .concat();
    let mut lines = vec![line];
    if let Some(hint) = &notice.hint {
        lines.push(format!("  {} {}", toned_note(Tone::Quiet, "→"), escaped(hint)));
    }
    lines
}

/// Says how a command failed, where scripts or people look for it.
pub(crate) fn report(session: Option<&Session>, json: bool, failure: Failure) {
    let json = session.map_or(json, |session| session.json);
    let notice = failure.into_notice();
    if json {
        json_line(&Message::Error(notice));
        return;
    }
    for line in failure_lines("error", Tone::Bad, &notice) {
        terminal::note_line(&line);
    }
}
