//! The people of the story and what they type: the owner, the friends, the new computer. Every act is a child command.

use std::path::{Path, PathBuf};

use nuthatch_daemon::api::{Exit, Failure};
use serde_json::Value;

use super::children::{NodeProcess, Step};
use super::plan::Plan;
use super::story::Story;
use crate::render::words::size;

/// The friends, in the order in which they join.
const FRIENDS: [&str; 19] = [
    "anna", "ben", "clara", "david", "emma", "felix", "greta", "henry", "ida", "jonas", "karla", "leo",
    "mila", "noah", "olga", "paul", "rosa", "simon", "tilda",
];

/// Where lab nodes listen: loopback only, any free port.
const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];

/// How long the backup may wait for its protection; it moves all the time, so this only ends what will never end.
const WAIT_FOR: &str = "2h";

/// The lab's circle.
#[derive(Debug)]
pub(super) struct Scene {
    directory: PathBuf,
    phrase: zeroize::Zeroizing<String>,
    owner: Option<NodeProcess>,
    friends: Vec<Friend>,
}

#[derive(Debug)]
struct Friend {
    name: &'static str,
    node: NodeProcess,
}

/// What a backup said.
#[derive(Debug)]
pub(super) struct BackedUp {
    pub(super) bytes_processed: u64,
    pub(super) bytes_stored: u64,
    pub(super) bytes_sent: u64,
    pub(super) survives_losses: u64,
}

/// What a recovery said.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) asked: &'static str,
    pub(super) hosts: u64,
    pub(super) snapshots: u64,
}

/// What a restore said.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) target: PathBuf,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Scene {
    /// The owner begins an archive, runs a node and invites; every friend joins and runs a node.
    pub(super) async fn begin(plan: &Plan, directory: &Path, story: &Story) -> Result<Self, Failure> {
        let home = directory.join("you");
        let survive = plan.lose.to_string();
        let init = [
            "init",
            "--name",
            "you",
            "--no-passphrase",
            "--show-phrase",
            "--survive",
            &survive,
            "--no-mdns",
        ];
        let init = with_listen(Step::new(&home, &init))
            .run(Exit::Done, |_| {})
            .await?;
        let phrase = zeroize::Zeroizing::new(text(&init, "phrase")?.to_owned());
        let owner = NodeProcess::start(&home).await?;
        let uses = plan.hosts().to_string();
        let invitation = Step::new(&home, &["invite", "--uses", &uses])
            .run(Exit::Done, |_| {})
            .await?;
        let invitation = text(&invitation, "invitation")?;
        let mut scene = Self {
            directory: directory.to_owned(),
            phrase,
            owner: Some(owner),
            friends: Vec::new(),
        };
        for name in FRIENDS.into_iter().take(usize::from(plan.hosts())) {
            story.progress(name);
            let home = directory.join(name);
            let join = ["join", invitation, "--name", name, "--quota", "1TB", "--no-mdns"];
            with_listen(Step::new(&home, &join))
                .run(Exit::Done, |_| {})
                .await?;
            scene.friends.push(Friend {
                name,
                node: NodeProcess::start(&home).await?,
            });
        }
        Ok(scene)
    }

    /// Friends by name.
    pub(super) fn host_names(&self) -> String {
        self.friends
            .iter()
            .map(|friend| friend.name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Friends that are still there.
    pub(super) fn hosts_alive(&self) -> u8 {
        self.friends.len() as u8
    }

    /// The owner backs up a folder, until it is protected.
    pub(super) async fn back_up(&mut self, source: &Path, story: &Story) -> Result<BackedUp, Failure> {
        let home = self.directory.join("you");
        let step = Step::new(
            &home,
            &["backup", "--wait", "protected", "--wait-for", WAIT_FOR, "--"],
        )
        .arg(source);
        let summary = step
            .run(Exit::Incomplete, |message| show_progress(story, message))
            .await?;
        Ok(BackedUp {
            bytes_processed: number(&summary, "bytes_processed")?,
            bytes_stored: number(&summary, "bytes_stored")?,
            bytes_sent: number(&summary, "bytes_sent")?,
            survives_losses: number(&summary, "survives_losses")?,
        })
    }

    /// Destroys the owner and so many friends: every other one, so that neighbours in the order of joining are not all gone.
    pub(super) async fn destroy(&mut self, losses: u8) -> Result<Vec<&'static str>, Failure> {
        if let Some(owner) = self.owner.take() {
            owner.destroy().await?;
        }
        let mut gone = Vec::new();
        for turn in 0..usize::from(losses) {
            let at = (turn + 1).min(self.friends.len().saturating_sub(1));
            let friend = self.friends.remove(at);
            friend.node.destroy().await?;
            gone.push(friend.name);
        }
        Ok(gone)
    }

    /// A new computer recovers the archive with the phrase and the address of one friend.
    pub(super) async fn recover(&mut self, story: &Story) -> Result<Recovered, Failure> {
        let friend = self.friends.first().ok_or_else(nobody_left)?;
        let address = friend.node.addresses.first().ok_or_else(nobody_left)?;
        let home = self.new_home();
        let args = [
            "recover",
            "--peer",
            address,
            "--name",
            "new",
            "--no-passphrase",
            "--no-mdns",
            "--phrase-file",
            "-",
        ];
        let step = with_listen(Step::new(&home, &args)).input(self.phrase.to_string());
        let answer = step
            .run(Exit::Done, |message| show_progress(story, message))
            .await?;
        Ok(Recovered {
            asked: friend.name,
            hosts: number(&answer, "hosts")?,
            snapshots: number(&answer, "snapshots")?,
        })
    }

    /// The new computer restores everything; answers where the folder is now.
    pub(super) async fn restore(&self, source: &Path, story: &Story) -> Result<Restored, Failure> {
        let target = self.directory.join("restored");
        let home = self.new_home();
        let step = Step::new(&home, &["restore", "latest", "--target"]).arg(&target);
        let summary = step
            .run(Exit::Incomplete, |message| show_progress(story, message))
            .await?;
        let inside = source.strip_prefix("/").unwrap_or(source);
        Ok(Restored {
            target: target.join(inside),
            entries: number(&summary, "files_restored")?,
            bytes: number(&summary, "bytes_restored")?,
        })
    }

    /// Ends every node.
    pub(super) async fn end(self) {
        for friend in self.friends {
            friend.node.end().await;
        }
    }

    fn new_home(&self) -> PathBuf {
        self.directory.join("new-computer")
    }
}

fn with_listen(step: Step<'_>) -> Step<'_> {
    LISTEN
        .into_iter()
        .fold(step, |step, address| step.arg("--listen").arg(address))
}

fn nobody_left() -> Failure {
    Failure::new(Exit::Failed, "lab_step", "no friend with an address is left")
}

fn show_progress(story: &Story, message: &Value) {
    if message["message_type"] != "status" {
        return;
    }
    let done = message["bytes_done"].as_u64().unwrap_or(0);
    let phase = message["phase"].as_str().unwrap_or_default();
    story.progress(&format!("{phase} {}", size(done)));
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str, Failure> {
    value[key].as_str().ok_or_else(|| missing(key))
}

fn number(value: &Value, key: &str) -> Result<u64, Failure> {
    value[key].as_u64().ok_or_else(|| missing(key))
}

fn missing(key: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "lab_step",
        format!("a step of the lab did not say '{key}'"),
    )
}
