//! Flags of the commands about what this node gives: `limit`.

use clap::Args;
use nuthatch_daemon::api::RateChoice;

use super::values;

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
