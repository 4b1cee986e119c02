//! Homes, nodes and commands for tests: starts processes, reads their JSON, kills them. Asserts nothing about the product but that
//! it answers in time.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::compare::{Privilege, compare};
use crate::folder::{Amounts, generate};

/// How long anything may take before a test gives it up. Generous: machines of continuous integration are slow and shared.
const PATIENCE: Duration = Duration::from_mins(5);

/// Between two looks at something that happens by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A folder for tests: every kind of entry, a few hundred files, about 8 MB.
const SMALL_FOLDER: Amounts = Amounts {
    small: (300, 8 << 10),
    middle: (30, 128 << 10),
    large: (4, 1 << 20),
    huge: (1, 3 << 20),
};

/// One test's directory, removed at its end.
pub(crate) struct World {
    root: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a directory for the test"),
        }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root
            .path()
            .canonicalize()
            .expect("the test's directory is there")
            .join(name)
    }

    /// A home, not made yet.
    pub(crate) fn home(&self, name: &str) -> Home {
        Home {
            path: self.path(name),
        }
    }

    /// A folder with every kind of entry.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder_of(name, &SMALL_FOLDER)
    }

    /// A folder with every kind of entry and so many files.
    pub(crate) fn folder_of(&self, name: &str, amounts: &Amounts) -> PathBuf {
        let path = self.path(name);
        generate(&path, amounts).expect("a folder is made");
        path
    }

    /// A file with a secret.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a secret is written");
        path
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The last JSON of its output.
    pub(crate) fn last(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the last line of {self:?}"))
    }

    /// Each line of its output as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("every line is JSON"))
            .collect()
    }

    /// The summary, also when an error follows it.
    pub(crate) fn summary(&self) -> Value {
        let is_summary = |line: &Value| line["message_type"] == "summary";
        self.lines()
            .into_iter()
            .rfind(is_summary)
            .unwrap_or_else(|| panic!("no summary in {self:?}"))
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// A home of a node, there or not.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
}

impl Home {
    /// The program with this home, without anything of the surroundings.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nuthatch"));
        for name in ["NUTHATCH_PASSPHRASE_FILE", "NUTHATCH_PHRASE_FILE", "NUTHATCH_LOG"] {
            command.env_remove(name);
        }
        command
            .env("NUTHATCH_HOME", &self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `nuthatch --json ARGS`.
    pub(crate) fn run<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Ran {
        let mut command = self.command();
        command.arg("--json").args(args);
        finish(command, None)
    }

    /// Runs it with standard input.
    pub(crate) fn run_with_input<I: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = I>,
        input: &[u8],
    ) -> Ran {
        let mut command = self.command();
        command.arg("--json").args(args);
        finish(command, Some(input.to_vec()))
    }

    /// `init` on loopback, keys unwrapped; answers the phrase.
    #[track_caller]
    pub(crate) fn init(&self, more: &[&str]) -> String {
        let mut args = vec!["init", "--no-passphrase", "--show-phrase"];
        args.extend(LOOPBACK);
        args.extend(more);
        self.run(args).ended(0).last()["phrase"]
            .as_str()
            .expect("a phrase")
            .to_owned()
    }

    /// `invite`; answers the line.
    #[track_caller]
    pub(crate) fn invite(&self, more: &[&str]) -> String {
        let ran = self.run([&["invite"], more].concat()).ended(0);
        ran.last()["invitation"]
            .as_str()
            .expect("an invitation")
            .to_owned()
    }

    /// `join` on loopback.
    pub(crate) fn join(&self, invitation: &str, more: &[&str]) -> Ran {
        let mut args = vec!["join", invitation, "--quota", "50GB"];
        args.extend(LOOPBACK);
        args.extend(more);
        self.run(args)
    }

    /// `recover` on loopback with the address of a node.
    pub(crate) fn recover(&self, phrase: &str, peer: &str) -> Ran {
        let mut args = vec!["recover", "--peer", peer, "--no-passphrase", "--phrase-file", "-"];
        args.extend(LOOPBACK);
        self.run_with_input(args, phrase.as_bytes())
    }

    /// `backup PATH MORE`.
    pub(crate) fn backup(&self, path: &Path, more: &[&str]) -> Ran {
        let mut args: Vec<&OsStr> = vec![OsStr::new("backup"), path.as_os_str()];
        args.extend(more.iter().map(OsStr::new));
        self.run(args)
    }

    /// `restore latest` into a directory, then a strict comparison with a folder.
    #[track_caller]
    pub(crate) fn assert_restores(&self, folder: &Path, target: &Path) -> Value {
        let args = [
            OsStr::new("restore"),
            OsStr::new("latest"),
            OsStr::new("--target"),
            target.as_os_str(),
        ];
        let ran = self.run(args).ended(0);
        assert_same(folder, &target.join(folder.strip_prefix("/").expect("absolute")));
        ran.summary()
    }

    /// `nuthatch up`, ready.
    #[track_caller]
    pub(crate) fn up(&self) -> Node {
        Node::start(self)
    }

    /// Deletes everything in it.
    pub(crate) fn delete(&self) {
        fs::remove_dir_all(&self.path).expect("a home is deleted");
    }
}

/// Loopback, any port, no mDNS.
pub(crate) const LOOPBACK: [&str; 3] = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];

/// A running node. Killed when dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) addresses: Vec<String>,
    pub(crate) peer_id: String,
}

impl Node {
    #[track_caller]
    fn start(home: &Home) -> Self {
        let mut child = home
            .command()
            .args(["--json", "up"])
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a node starts");
        let lines = BufReader::new(child.stdout.take().expect("it has an output")).lines();
        let (sender, first) = sync_channel(1);
        // All lines are taken, so that the node never waits for the test; only the first is for it.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(sender.try_send(line));
            }
        });
        let ready = first.recv_timeout(PATIENCE).expect("a node is ready in time");
        let ready: Value = serde_json::from_str(&ready).expect("a node speaks JSON");
        assert_eq!(ready["message_type"], "ready", "{ready}");
        let addresses = ready["addresses"].as_array().expect("addresses").iter();
        let addresses = addresses
            .map(|address| address.as_str().expect("a text").to_owned())
            .collect();
        let peer_id = ready["peer_id"].as_str().expect("an id").to_owned();
        Self {
            child,
            addresses,
            peer_id,
        }
    }

    /// Its first address.
    pub(crate) fn address(&self) -> &str {
        self.addresses.first().expect("it listens")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        self::signal(&self.child, signal);
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a node is killed");
        self.child.wait().expect("a node is gone");
    }

    /// SIGTERM, and its end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        signal(&self.child, rustix::process::Signal::TERM);
        wait(&mut self.child)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, signal).expect("a signal is sent");
}

/// Waits for a child, in time.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if waited > PATIENCE {
            child.kill().expect("a child is killed");
            panic!("a process did not end in time");
        }
        thread::sleep(LOOK_AGAIN);
        waited += LOOK_AGAIN;
    }
}

/// Looks until it is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut waited = Duration::ZERO;
    while !is_so() {
        assert!(waited < PATIENCE, "never happened: {what}");
        thread::sleep(LOOK_AGAIN);
        waited += LOOK_AGAIN;
    }
}

/// Fails unless two trees are the same.
#[track_caller]
pub(crate) fn assert_same(left: &Path, right: &Path) {
    let comparison = compare(left, right, Privilege::current()).expect("both are readable");
    let told: Vec<_> = comparison.differences.iter().map(ToString::to_string).collect();
    assert_eq!(comparison.difference_count, 0, "\n{}", told.join("\n"));
    assert!(comparison.entries > 0, "nothing was compared");
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command, input: Option<Vec<u8>>) -> Ran {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("a command starts");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        thread::spawn(move || {
            // A command that does not read all of it ends the pipe; what it says about that is its own matter.
            drop(stdin.write_all(&input));
        });
    }
    let stdout = collect(child.stdout.take().expect("it has an output"));
    let stderr = collect(child.stderr.take().expect("it has an error output"));
    let text = |pipe: Receiver<String>, child: &mut Child| match pipe.recv_timeout(PATIENCE) {
        Ok(text) => text,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            child.kill().expect("a command is killed");
            panic!("{command:?} did not end in time");
        }
    };
    let (stdout, stderr) = (text(stdout, &mut child), text(stderr, &mut child));
    let status = child.wait().expect("a command ends");
    Ran {
        code: status.code().unwrap_or(-1),
        stdout,
        stderr,
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        drop(sender.send(read.map_or_else(|error| error.to_string(), |_| text)));
    });
    receiver
}
