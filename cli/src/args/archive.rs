//! Flags of the commands about the archive itself: `init`, `kit`, `recover`.

use std::path::PathBuf;

use clap::Args;
use nuthatch_daemon::config::SURVIVE_MAX;
use nuthatch_format::ByteCount;

use super::values;

/// `nuthatch init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch init
  nuthatch init --name laptop --quota 200GB --survive 2
  nuthatch --home /srv/nuthatch init --no-passphrase --show-phrase --json")]
pub(crate) struct InitArgs {
    /// What this node calls itself [default: the machine's name]
    #[arg(long, value_parser = values::name)]
    pub name: Option<String>,
    /// Keep the reading keys on this machine unwrapped: whoever has the disk can read every backup
    #[arg(long)]
    pub no_passphrase: bool,
    /// Show the phrase also where there is no terminal
    #[arg(long)]
    pub show_phrase: bool,
    /// How many hosts may vanish [default: by their number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=i64::from(SURVIVE_MAX)))]
    pub survive: Option<u8>,
    /// How much to keep for others
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub quota: Option<ByteCount>,
    /// Address to listen at [default: every interface]
    #[arg(long, value_name = "MULTIADDR", value_parser = values::address)]
    pub listen: Vec<String>,
    /// Neither look for nodes on the local network nor be found there
    #[arg(long)]
    pub no_mdns: bool,
}

/// `nuthatch kit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch kit | lp                            print it
  nuthatch kit --out kit.txt                   keep it with the 24 words, away from this machine")]
pub(crate) struct KitArgs {
    /// Write to FILE instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `nuthatch recover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch recover                             hosts on the local network are found by themselves
  nuthatch recover --peer /ip4/203.0.113.7/tcp/24480
  nuthatch recover --list --phrase-file words.txt")]
pub(crate) struct RecoverArgs {
    /// Address of a host, with or without /p2p/ID, as the kit says it
    #[arg(long = "peer", value_name = "MULTIADDR", value_parser = values::address)]
    pub peers: Vec<String>,
    /// What this node calls itself [default: the machine's name]
    #[arg(long, value_parser = values::name)]
    pub name: Option<String>,
    /// Only show which snapshots there are; this machine becomes no device of the archive
    #[arg(long)]
    pub list: bool,
    /// Keep the reading keys on this machine unwrapped
    #[arg(long)]
    pub no_passphrase: bool,
    /// Address to listen at [default: every interface]
    #[arg(long, value_name = "MULTIADDR", value_parser = values::address)]
    pub listen: Vec<String>,
    /// Neither look for nodes on the local network nor be found there
    #[arg(long)]
    pub no_mdns: bool,
}
