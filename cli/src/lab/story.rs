//! What the lab says: numbered steps that anybody can follow, or lines of JSON. Owns the wording on the screen, does nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::LabSummary;
use super::plan::Plan;
use crate::render::{json_line, words};
use crate::terminal::{self, Tone, escaped, toned};

/// Redraws of the running step in a second, at most.
const REDRAWS_PER_SECOND: u8 = 10;

/// Column at which a step's text begins.
const TEXT_COLUMN: usize = 16;

/// The teller.
#[derive(Debug)]
pub(super) struct Story {
    json: bool,
    step: AtomicU32,
    spinner: ProgressBar,
}

impl Story {
    pub(super) fn new(json: bool) -> Self {
        let shown = terminal::is_watched() && !json;
        let target = if shown {
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let spinner = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template(" {spinner} {prefix:<12} {wide_msg}") {
            spinner.set_style(style);
        }
        Self {
            json,
            step: AtomicU32::new(0),
            spinner,
        }
    }

    /// What is going to happen.
    pub(super) fn title(&self, plan: &Plan) {
        if self.json {
            return;
        }
        let losses = match plan.lose {
            0 => "your computer".to_owned(),
            1 => "your computer and one friend".to_owned(),
            losses => format!("your computer and {losses} friends"),
        };
        terminal::result_line(&toned(
            Tone::Strong,
            "Nuthatch lab: a backup without a server, from beginning to end",
        ));
        terminal::result_line(&format!(
            "{} real nodes run on this machine. A folder is backed up to friends, {losses} are destroyed,",
            plan.nodes
        ));
        terminal::result_line("and everything comes back from the others with 24 words.");
        terminal::result_line("");
    }

    /// A step begins.
    pub(super) fn begin(&self, title: &'static str) {
        self.spinner.reset();
        self.spinner.set_prefix(title);
        self.spinner.set_message("");
        self.spinner
            .enable_steady_tick(Duration::from_millis(1000 / u64::from(REDRAWS_PER_SECOND)));
    }

    /// How far the step is.
    pub(super) fn progress(&self, text: &str) {
        self.spinner.set_message(escaped(text));
    }

    /// A step is done.
    pub(super) fn done(&self, title: &'static str, text: &str, seconds: f64, rate: Option<String>) {
        self.step_line(Tone::Good, title, text, seconds, rate);
    }

    /// A step has failed.
    pub(super) fn failed(&self, title: &'static str, text: &str, seconds: f64) {
        self.step_line(Tone::Bad, title, text, seconds, None);
    }

    fn step_line(&self, tone: Tone, title: &'static str, text: &str, seconds: f64, rate: Option<String>) {
        self.quiet();
        let step = self.step.fetch_add(1, Ordering::Relaxed) + 1;
        if self.json {
            json_line(
                &json!({ "message_type": "status", "step": title.to_lowercase(), "message": text, "seconds": seconds }),
            );
            return;
        }
        let rate = rate
            .filter(|rate| !rate.is_empty())
            .map_or_else(String::new, |rate| format!(", {rate}"));
        let time = toned(Tone::Quiet, &format!("({}{rate})", words::seconds(seconds)));
        let padding = " ".repeat(TEXT_COLUMN.saturating_sub(4 + title.len()));
        terminal::result_line(&format!(
            "{step:>2}. {}{padding}{}  {time}",
            toned(tone, title),
            escaped(text)
        ));
    }

    /// A sentence below a step.
    pub(super) fn detail(&self, text: &str) {
        if !self.json {
            terminal::result_line(&format!("{}{}", " ".repeat(TEXT_COLUMN), escaped(text)));
        }
    }

    /// A sentence that belongs to no step.
    pub(super) fn aside(&self, text: &str) {
        self.quiet();
        terminal::note_line(&escaped(text));
    }

    /// Clears the running step from the screen.
    pub(super) fn quiet(&self) {
        self.spinner.disable_steady_tick();
        self.spinner.finish_and_clear();
    }

    /// The end.
    pub(super) fn summary(&self, summary: &LabSummary) {
        if self.json {
            json_line(summary);
            return;
        }
        terminal::result_line("");
        if summary.differences == 0 {
            let line = "Everything came back. Nobody but you could read any of it at any time.";
            terminal::result_line(&toned(Tone::Good, line));
        } else {
            terminal::result_line(&toned(
                Tone::Bad,
                "Not everything came back: this is a fault of Nuthatch, please report it.",
            ));
        }
    }
}
