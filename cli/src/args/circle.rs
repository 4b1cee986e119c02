//! Flags of the commands about the circle: `up`, `invite`, `join`, `circle`, `peers`.

use std::time::Duration;

use clap::{Args, Subcommand};
use nuthatch_format::ByteCount;

use super::values;

/// `nuthatch up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch up
  nuthatch up --listen /ip4/0.0.0.0/tcp/24480
  nuthatch --home /srv/nuthatch up --json")]
pub(crate) struct UpArgs {
    /// Address to listen at, this time only
    #[arg(long, value_name = "MULTIADDR", value_parser = values::address)]
    pub listen: Vec<String>,
}

/// `nuthatch invite`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch invite                              send the line to one friend, over a channel you trust
  nuthatch invite --uses 3 --expires 1d
  nuthatch invite --qr                         for a phone or a camera")]
pub(crate) struct InviteArgs {
    /// How long it admits
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = values::span)]
    pub expires: Duration,
    /// How many nodes it admits
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub uses: u32,
    /// Show it as a QR code too
    #[arg(long)]
    pub qr: bool,
}

/// `nuthatch join`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch join nuthatch1:… --quota 200GB
  nuthatch join nuthatch1:… --name attic && nuthatch up")]
pub(crate) struct JoinArgs {
    /// The line that 'nuthatch invite' printed
    pub invitation: String,
    /// What this node calls itself [default: the machine's name]
    #[arg(long, value_parser = values::name)]
    pub name: Option<String>,
    /// How much to keep for others [default: a quarter of the free space]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub quota: Option<ByteCount>,
    /// Address to listen at [default: every interface]
    #[arg(long, value_name = "MULTIADDR", value_parser = values::address)]
    pub listen: Vec<String>,
    /// Neither look for nodes on the local network nor be found there
    #[arg(long)]
    pub no_mdns: bool,
}

/// `nuthatch circle`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch circle waiting                      nodes whose invitation others have used up
  nuthatch circle approve 12D3KooW…            let one of them in that you know; then it joins again")]
pub(crate) struct CircleArgs {
    /// What to do
    #[command(subcommand)]
    pub command: CircleCommand,
}

/// What to do with the circle.
#[derive(Debug, Subcommand)]
pub(crate) enum CircleCommand {
    /// List nodes that wait for a person, because their invitation was used up
    Waiting,
    /// Let one of them in
    Approve {
        /// Its id, or a beginning or end of it
        peer: String,
    },
}

/// `nuthatch audit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch audit                               every host that is online
  nuthatch audit attic                         one of them, by name or id
  nuthatch audit --json

Exit codes: 0 all kept, 13 something is lost or wrong, 75 some did not answer or are away

Hosts are audited by themselves too: [audits] in config.toml says how surely, how soon, and at what cost.")]
pub(crate) struct AuditArgs {
    /// One host: its name, its id, or a beginning or end of that
    pub peer: Option<String>,
}

/// `nuthatch peers`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nuthatch peers\n  nuthatch peers --all --json")]
pub(crate) struct PeersArgs {
    /// Also nodes that wait until you decide, and members that were removed
    #[arg(long)]
    pub all: bool,
}
