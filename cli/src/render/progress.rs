//! A job for a person: a line of progress on standard error, warnings above it, rows on standard output, and at the end again
//! which files failed.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nuthatch_daemon::api::{Message, Notice, Phase, Progress};

use super::{View, entry_line, failure_lines, words};
use crate::terminal::{self, Tone, escaped};

/// Redraws of the line of progress in a second, at most.
const REDRAWS_PER_SECOND: u8 = 10;

/// Failed files that are repeated at the end; of the others, the number.
const REPEATED_MAX: usize = 100;

/// How rows are shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum RowForm {
    /// The path only.
    #[default]
    Short,
    /// With mode, owner, size and time.
    Long,
}

/// Shows a job to a person.
#[derive(Debug)]
pub(crate) struct HumanView {
    bar: ProgressBar,
    rows: RowForm,
    failed: Vec<Notice>,
    failed_count: u64,
}

impl HumanView {
    /// A view whose rows have this form.
    pub(crate) fn new(rows: RowForm) -> Self {
        let target = if terminal::is_watched() {
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(1000 / u64::from(REDRAWS_PER_SECOND)));
        Self {
            bar,
            rows,
            failed: Vec::new(),
            failed_count: 0,
        }
    }

    fn warn(&mut self, notice: Notice) {
        let lines = failure_lines("warning", Tone::Warn, &notice);
        self.bar.suspend(|| {
            for line in lines {
                terminal::note_line(&line);
            }
        });
        if notice.path.is_some() {
            self.failed_count += 1;
            if self.failed.len() < REPEATED_MAX {
                self.failed.push(notice);
            }
        }
    }

    fn line(&self, line: &str) {
        self.bar.suspend(|| terminal::result_line(line));
    }
}

impl View for HumanView {
    fn show(&mut self, message: Message) {
        match message {
            Message::Status(progress) => self.bar.set_message(progress_text(&progress)),
            Message::Warning(notice) => self.warn(notice),
            Message::Entry(entry) => self.line(&entry_line(&entry, self.rows)),
            Message::Event(event) => {
                self.line(&format!(
                    "{}  {}",
                    words::moment(&event.time),
                    escaped(&event.message)
                ));
            }
            Message::Ready(_) | Message::Snapshot(_) | Message::Error(_) | Message::Summary(_) => {}
        }
    }

    fn end(&mut self) {
        self.bar.finish_and_clear();
        if self.failed_count < 2 {
            return;
        }
        terminal::note_line(&format!(
            "{} had a problem:",
            words::plural(self.failed_count, "file")
        ));
        for notice in &self.failed {
            let path = notice.path.as_deref().unwrap_or_default();
            terminal::note_line(&format!("  {}  ({})", escaped(path), escaped(&notice.message)));
        }
        if self.failed_count > self.failed.len() as u64 {
            terminal::note_line(&format!(
                "  and {} more",
                words::count(self.failed_count - self.failed.len() as u64)
            ));
        }
    }
}

fn progress_text(progress: &Progress) -> String {
    let doing = match progress.phase {
        Phase::Connect => "looking for hosts",
        Phase::Repair => "repairing",
        Phase::Catalogue => "reading the journals",
        Phase::Read => "reading and sealing",
        Phase::Send => "sending",
        Phase::Wait => "waiting for hosts",
        Phase::Restore => "restoring",
        Phase::Verify => "checking",
        Phase::Audit => "auditing",
    };
    let mut parts = vec![doing.to_owned()];
    if progress.bytes_total > 0 && progress.bytes_total >= progress.bytes_done {
        let percent = progress.bytes_done.saturating_mul(100) / progress.bytes_total;
        let (done, total) = (
            words::size(progress.bytes_done),
            words::size(progress.bytes_total),
        );
        parts.push(format!("{percent} %"));
        parts.push(format!("{done} of {total}"));
    } else if progress.bytes_done > 0 {
        parts.push(words::size(progress.bytes_done));
    }
    if progress.files_done > 0 {
        parts.push(words::plural(progress.files_done, "file"));
    }
    if progress.bytes_done > 0 {
        parts.push(words::rate(progress.bytes_done, progress.seconds));
    }
    parts.extend(progress.current.as_deref().map(escaped));
    parts.join("  ")
}
