//! The command line as it is typed: names, flags, help, examples. Only syntax; what a command does is elsewhere.
//!
//! Names and flags are an interface. Subcommands are never inferred from beginnings, so that later commands break no script.

mod archive;
mod circle;
mod data;
mod host;
mod keeping;
mod steward;
pub(crate) mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

pub(crate) use archive::{InitArgs, KitArgs, RecoverArgs};
pub(crate) use circle::{AuditArgs, CircleArgs, CircleCommand, InviteArgs, JoinArgs, PeersArgs, UpArgs};
pub(crate) use data::{BackupArgs, LsArgs, RestoreArgs, SnapshotsArgs, VerifyArgs};
pub(crate) use host::{HostArgs, HostCommand, LimitArgs, Switch};
pub(crate) use keeping::{PeerArgs, PeerCommand, RepairArgs};
pub(crate) use steward::{StewardArgs, StewardCommand};
pub(crate) use values::{SizeOrNone, Until};

/// Back up to your friends' machines, and theirs to yours: encrypted, without a server.
#[derive(Debug, Parser)]
#[command(name = "nuthatch", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

const EXAMPLES: &str = "\
Examples:
  nuthatch lab                                 see the whole story on this machine, with real nodes
  nuthatch init                                begin an archive; write its 24 words down
  nuthatch invite                              a line for a friend, who runs:
    nuthatch join INVITATION --quota 200GB && nuthatch up
  nuthatch backup ~/Documents --wait protected
  nuthatch recover --peer ADDRESS              on a new machine, with the 24 words
  nuthatch restore latest:/home/me/Documents --target ~/Documents

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files not, 10 no archive or node here,
12 wrong passphrase or phrase, 13 damage found, 14 not enough hosts, 15 a drill failed,
75 try later (hosts are away, busy or full), 130 interrupted";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct GlobalArgs {
    /// All state of this node; two homes are two independent nodes
    #[arg(long, global = true, value_name = "DIR", env = "NUTHATCH_HOME")]
    pub home: Option<PathBuf>,
    /// Print JSON only: one document for a question, one object a line for long work
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more to standard error; twice for everything (see also NUTHATCH_LOG)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Read the passphrase from the first line of FILE (- is standard input)
    #[arg(long, global = true, value_name = "FILE", env = "NUTHATCH_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the 24 words from FILE (- is standard input)
    #[arg(long, global = true, value_name = "FILE", env = "NUTHATCH_PHRASE_FILE")]
    pub phrase_file: Option<PathBuf>,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Begin an archive on this machine and show its 24 words, once
    Init(InitArgs),
    /// Run the node until interrupted
    Up(UpArgs),
    /// Print one line that admits a friend's node
    Invite(InviteArgs),
    /// Join a friend's circle with an invitation
    Join(JoinArgs),
    /// Let nodes into the circle that wait for a person
    Circle(CircleArgs),
    /// Show the circle: who is there, who keeps what for whom
    Peers(PeersArgs),
    /// Say what is to be thought of a member: lost, leaving, or neither
    Peer(PeerArgs),
    /// Make a snapshot and send it to the circle
    Backup(BackupArgs),
    /// List snapshots and how safe each is
    Snapshots(SnapshotsArgs),
    /// List files of a snapshot
    Ls(LsArgs),
    /// Get files back
    Restore(RestoreArgs),
    /// Check that everything can be restored
    Verify(VerifyArgs),
    /// Rebuild now what hosts have lost, or show what that would be
    Repair(RepairArgs),
    /// Have hosts prove now that they hold what they signed for
    Audit(AuditArgs),
    /// One screen: last backup, where the copies are, what needs attention
    #[command(after_help = "Examples:\n  nuthatch status\n  nuthatch status --json")]
    Status,
    /// Print the recovery kit: what to keep beside the phrase
    Kit(KitArgs),
    /// What this node gives: quota, holidays, leaving, what it asks in return
    Host(HostArgs),
    /// Let a host look after the archive while this machine is off or lost
    Steward(StewardArgs),
    /// Set how fast this node sends and receives, or show it
    Limit(LimitArgs),
    /// On a new machine: find the archive again with the 24 words
    Recover(RecoverArgs),
    /// The whole story on one machine: back up, lose machines, get everything back
    Lab(LabArgs),
}

/// `nuthatch lab`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nuthatch lab                                 six nodes, a generated folder, the owner and two hosts destroyed
  nuthatch lab ~/Documents --nodes 4 --lose 1  with a folder of yours, which is only read
  nuthatch lab --nodes 2 --lose 0 --keep       leave everything there to look at")]
pub(crate) struct LabArgs {
    /// Folder to back up; without it, one is generated
    pub path: Option<PathBuf>,
    /// Real nodes to run, the owner among them
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(2..=20))]
    pub nodes: u8,
    /// Hosts to destroy beside the owner
    #[arg(long, value_name = "M")]
    pub lose: Option<u8>,
    /// Leave the lab's directory when it is over
    #[arg(long)]
    pub keep: bool,
}

#[cfg(test)]
mod tests;
