//! What a person or a script sees. Only this crate renders; everything that others named is escaped here.

mod audits;
mod failure;
mod host;
mod kit;
mod progress;
mod qr;
mod repair;
mod rows;
mod steward;
mod summary;
pub(crate) mod words;

use nuthatch_daemon::api::{Message, Notice};
use serde::Serialize;

pub(crate) use audits::audit_lines;
pub(crate) use failure::{failure_lines, report};
pub(crate) use host::{host_lines, promise_note};
pub(crate) use kit::kit_text;
pub(crate) use progress::{HumanView, RowForm};
pub(crate) use qr::qr_text;
pub(crate) use repair::repair_lines;
pub(crate) use rows::{entry_line, peers_table, snapshots_table, waiting_table};
pub(crate) use steward::steward_lines;
pub(crate) use summary::{backup_lines, restore_lines, status_lines, verify_lines};

use crate::terminal;

/// Where the messages of a job are shown.
pub(crate) trait View: Send {
    /// Shows a message other than the summary.
    fn show(&mut self, message: Message);
    /// The job has ended: clears progress, repeats what failed.
    fn end(&mut self) {}
}

/// Every message as a line of JSON on standard output.
#[derive(Debug, Default)]
pub(crate) struct JsonLines;

impl View for JsonLines {
    fn show(&mut self, message: Message) {
        json_line(&message);
    }
}

/// Rows kept for one document; warnings still go to standard error.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The rows, in order.
    pub rows: Vec<Message>,
}

impl View for Collected {
    fn show(&mut self, message: Message) {
        match message {
            Message::Warning(notice) => warning(&notice),
            Message::Snapshot(_) | Message::Entry(_) => self.rows.push(message),
            _ => {}
        }
    }
}

/// A value as one line of JSON on standard output.
pub(crate) fn json_line(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(line) => terminal::result_line(&line),
        Err(error) => tracing::error!("a result can't be written as JSON: {error}"),
    }
}

/// An answer as a document: without the tag that tells answers apart on the local interface.
pub(crate) fn json_document(value: &impl Serialize) {
    match serde_json::to_value(value) {
        Ok(mut document) => {
            if let Some(object) = document.as_object_mut() {
                object.remove("answer");
            }
            json_line(&document);
        }
        Err(error) => tracing::error!("a result can't be written as JSON: {error}"),
    }
}

/// A warning on standard error.
pub(crate) fn warning(notice: &Notice) {
    for line in failure_lines("warning", terminal::Tone::Warn, notice) {
        terminal::note_line(&line);
    }
}
