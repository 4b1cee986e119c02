//! Flags of `steward`.

use clap::{Args, Subcommand};
use nuthatch_format::ByteCount;

use super::values;

/// `nuthatch steward`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch steward appoint attic               keeps the archive repaired while this machine is off or lost
  nuthatch steward appoint attic --budget 5GB  and fetches at most so much a day from each host
  nuthatch steward revoke attic
  nuthatch steward list                        who does it for me, and for whom I do

A steward has no key: it rebuilds lost shards from others by their signed labels, gives them to other hosts and renews
their promises. It can neither read nor delete anything. Appointing one needs the archive's key: the passphrase of this home,
or the 24 words with --phrase-file.")]
pub(crate) struct StewardArgs {
    /// What to do
    #[command(subcommand)]
    pub command: StewardCommand,
}

/// What to do about stewards.
#[derive(Debug, Subcommand)]
pub(crate) enum StewardCommand {
    /// Let a host look after the archive, or change how much it may fetch
    Appoint {
        /// Its name or id, or a beginning or end of the id
        name: String,
        /// How much it may fetch from each host in a day; also how much space it may ask a new host for
        #[arg(long, value_name = "SIZE", default_value = "20GB", value_parser = values::some_size)]
        budget: ByteCount,
    },
    /// Let it do so no longer
    Revoke {
        /// Its name or id, or a beginning or end of the id
        name: String,
    },
    /// Show who looks after this archive, and which archives this node looks after
    List,
}
