//! Flags of the commands that keep data alive: `peer`, `repair`.

use clap::{Args, Subcommand};

use super::values::{self, SizeOrNone};

/// `nuthatch peer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch peer lost attic                     its disk died: rebuild on others what it kept, now
  nuthatch peer drain attic                    it will leave: copy away first what it keeps
  nuthatch peer keep attic                     neither any more
  nuthatch peer set attic --quota 50GB         let it keep so much here at most")]
pub(crate) struct PeerArgs {
    /// What to say
    #[command(subcommand)]
    pub command: PeerCommand,
}

/// What to say of a member.
#[derive(Debug, Subcommand)]
pub(crate) enum PeerCommand {
    /// It never comes back: what it kept is rebuilt on others now
    Lost {
        /// Its name or id, or a beginning or end of the id
        name: String,
    },
    /// It will leave: what it keeps is copied to others first; 'up' and 'status' tell when it may be switched off
    Drain {
        /// Its name or id, or a beginning or end of the id
        name: String,
    },
    /// Set what holds for this member alone
    Set {
        /// Its name or id, or a beginning or end of the id
        name: String,
        /// How much it may keep here at most, or 'none': as much as everything else allows
        #[arg(long, value_name = "SIZE", value_parser = values::size_or_none, required = true)]
        quota: SizeOrNone,
    },
    /// It stays: takes 'lost' or 'drain' back
    Keep {
        /// Its name or id, or a beginning or end of the id
        name: String,
    },
}

/// `nuthatch repair`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch repair --dry-run                    which packs, from where, to whom
  nuthatch repair                              what the running node does by itself, now and to its end")]
pub(crate) struct RepairArgs {
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}
