//! Flags of the commands about what this node gives: `host`, `limit`.

use clap::{Args, Subcommand, ValueEnum};
use nuthatch_daemon::api::RateChoice;
use nuthatch_format::ByteCount;

use super::values::{self, Until};

/// `nuthatch host`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch host quota                          what is kept for others, and what could safely be promised
  nuthatch host quota 500GB                    keep more, or less; nothing is deleted by itself
  nuthatch host pause --until 2026-08-15       a holiday: keep and give what is here, take nothing new
  nuthatch host resume
  nuthatch host leave                          have owners move what they keep here; again: how far that is
  nuthatch host stay                           not leaving after all
  nuthatch host generous on                    ask nothing in return
  nuthatch host release ben                    free what is kept for one who long gave too little")]
pub(crate) struct HostArgs {
    /// What to do
    #[command(subcommand)]
    pub command: HostCommand,
}

/// What to do with this node as a host.
#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Set how much others may keep here, or show it
    Quota {
        /// How much
        #[arg(value_name = "SIZE", value_parser = values::size)]
        size: Option<ByteCount>,
    },
    /// Go on a holiday: nothing new is taken, what is here is kept and given back, and it does not count against this node
    Pause {
        /// When it ends by itself: a date, a moment, or a span of time from now
        #[arg(long, value_name = "WHEN", value_parser = values::until)]
        until: Option<Until>,
    },
    /// End the holiday
    Resume,
    /// Be about to leave: owners copy elsewhere what they keep here; shows how far that is
    Leave,
    /// Stay after all
    Stay,
    /// Whether to ask nothing in return [default: only while there is no archive of one's own]
    Generous {
        /// Whether
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Delete what is kept for a member: after its lease has ended, or when it long gave too little and was told
    Release {
        /// Its name or id, or a beginning or end of the id; or the id of an archive
        name: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// `nuthatch limit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch limit                               show the limits
  nuthatch limit --up 500kB                    leave some of the line to the others in the house
  nuthatch limit --up 2MB/s --down 10MB/s
  nuthatch limit --up none")]
pub(crate) struct LimitArgs {
    /// How fast to send, to all nodes together: bytes a second, or 'none'
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub up: Option<RateChoice>,
    /// How fast to receive, from all nodes together, restores included: bytes a second, or 'none'
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub down: Option<RateChoice>,
}
