//! Whole processes for benches: homes, running nodes, commands with their time and their peak of memory, and data to back up.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nuthatch_daemon::clock;
use serde_json::Value;

/// Hosts beside the owner.
pub(crate) const HOSTS: usize = 5;

/// Between two looks at a command that runs: the error of its time, and what its peak may still grow unseen at its very end.
const LOOK: Duration = Duration::from_millis(5);

/// Loopback, any port, no mDNS.
const LOOPBACK: [&str; 3] = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];

/// Length of a small file, in bytes.
const SMALL_LEN: u64 = 8 << 10;

/// Length of a large file, in bytes.
const LARGE_LEN: u64 = 16 << 20;

/// Part of the data that is in small files: one in so many bytes.
const SMALL_PART: u64 = 16;

/// What a command did.
pub(crate) struct Ran {
    /// Its last line.
    pub(crate) answer: Value,
    /// From its start to its end.
    pub(crate) seconds: f64,
    /// Most memory resident at a time, in KiB.
    pub(crate) peak_kib: u64,
}

fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuthatch"));
    for name in ["NUTHATCH_PASSPHRASE_FILE", "NUTHATCH_PHRASE_FILE", "NUTHATCH_LOG"] {
        command.env_remove(name);
    }
    command
        .env("NUTHATCH_HOME", home)
        .arg("--json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Runs `nuthatch --json ARGS` to its end, which must be a good one.
pub(crate) fn run(home: &Path, args: &[&str], input: &str) -> io::Result<Ran> {
    let start = clock::instant();
    let mut child = program(home).args(args).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing may have ended the pipe.
        drop(stdin.write_all(input.as_bytes()));
    }
    let mut stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let lines = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_kib = peak_kib.max(peak_of(child.id()));
        std::thread::sleep(LOOK);
    };
    let seconds = clock::seconds_since(start);
    let text = lines
        .join()
        .map_err(|_| io::Error::other("the output is lost"))??;
    if !status.success() {
        return Err(io::Error::other(format!("nuthatch {args:?}: {status}: {text}")));
    }
    let answer = serde_json::from_str(text.lines().last().unwrap_or("null"))?;
    Ok(Ran {
        answer,
        seconds,
        peak_kib,
    })
}

/// Peak of resident memory of a process so far, in KiB; 0 when there is none.
fn peak_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// A running node. Killed when dropped.
pub(crate) struct Node {
    child: Child,
    home: PathBuf,
    /// Its first address.
    address: String,
}

impl Node {
    /// `nuthatch up`, ready.
    pub(crate) fn start(home: &Path) -> io::Result<Self> {
        let mut child = program(home).arg("up").spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let mut lines = BufReader::new(stdout);
        let mut ready = String::new();
        lines.read_line(&mut ready)?;
        std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        let ready: Value = serde_json::from_str(&ready)?;
        let address = ready["addresses"][0].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            child,
            home: home.to_owned(),
            address,
        })
    }

    /// Peak of resident memory so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        peak_of(self.child.id())
    }

    /// Kills it and deletes its home.
    pub(crate) fn lose(self) -> io::Result<()> {
        let home = self.home.clone();
        drop(self);
        fs::remove_dir_all(home)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An owner whose node does not run yet, and hosts whose nodes do, in one circle.
pub(crate) struct Circle {
    /// The owner's home.
    pub(crate) owner: PathBuf,
    /// The running hosts.
    pub(crate) hosts: Vec<Node>,
    phrase: String,
}

impl Circle {
    /// A new circle in a directory.
    pub(crate) fn begin(directory: &Path) -> io::Result<Self> {
        let owner = directory.join("owner");
        let phrase = init(&owner)?;
        let node = Node::start(&owner)?;
        let uses = HOSTS.to_string();
        let invited = run(&owner, &["invite", "--uses", &uses], "")?;
        let invitation = text(&invited.answer, "invitation")?;
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            let home = directory.join(format!("host-{number}"));
            let join = [&["join", &invitation, "--quota", "50GB"][..], &LOOPBACK[..]].concat();
            run(&home, &join, "")?;
            hosts.push(Node::start(&home)?);
        }
        drop(node);
        Ok(Self { owner, hosts, phrase })
    }

    /// A new home that knows the archive, from the phrase and one host.
    pub(crate) fn recover(&self, home: &Path) -> io::Result<Ran> {
        let peer = self
            .hosts
            .first()
            .map(|host| host.address.as_str())
            .unwrap_or_default();
        let recover = [
            &["recover", "--peer", peer, "--no-passphrase", "--phrase-file", "-"][..],
            &LOOPBACK[..],
        ]
        .concat();
        run(home, &recover, &self.phrase)
    }
}

/// `init` on loopback, keys unwrapped; answers the phrase.
pub(crate) fn init(home: &Path) -> io::Result<String> {
    let init = [&["init", "--no-passphrase", "--show-phrase"][..], &LOOPBACK[..]].concat();
    text(&run(home, &init, "")?.answer, "phrase")
}

/// `backup`, protected at its end.
pub(crate) fn back_up(home: &Path, data: &Path) -> io::Result<Ran> {
    let data = data.to_string_lossy();
    run(
        home,
        &["backup", &data, "--wait", "protected", "--wait-for", "1h"],
        "",
    )
}

/// `restore latest`, whole, compared with the data.
pub(crate) fn restore(home: &Path, data: &Path, target: &Path) -> io::Result<Ran> {
    let to = target.to_string_lossy();
    let ran = run(home, &["restore", "latest", "--target", &to], "")?;
    let back = target.join(data.strip_prefix("/").unwrap_or(data));
    let same = Command::new("diff")
        .args(["-r", "-q"])
        .args([data, &back])
        .status()?;
    if !same.success() {
        return Err(io::Error::other("what was restored differs"));
    }
    Ok(ran)
}

fn text(answer: &Value, key: &str) -> io::Result<String> {
    let text = answer[key].as_str().map(str::to_owned);
    text.ok_or_else(|| io::Error::other(format!("no {key} in {answer}")))
}

/// Writes so many MiB that do not compress, of which a sixteenth is in files of 8 KiB; other bytes for each seed.
pub(crate) fn write_data(directory: &Path, mib: u64, seed: u64) -> io::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let small = (mib << 20) / SMALL_PART;
    let large = (mib << 20) - small;
    let mut noise = Noise(seed);
    for number in 0..small / SMALL_LEN {
        let inner = directory.join(format!("small/{}", number / 200));
        fs::create_dir_all(&inner)?;
        fs::write(inner.join(number.to_string()), noise.take(SMALL_LEN))?;
    }
    fs::create_dir_all(directory)?;
    for number in 0..large.div_ceil(LARGE_LEN) {
        let len = LARGE_LEN.min(large - number * LARGE_LEN);
        fs::write(directory.join(number.to_string()), noise.take(len))?;
    }
    Ok(())
}

/// SplitMix64 (Steele and others, "Fast splittable pseudorandom number generators", 2014).
struct Noise(u64);

impl Noise {
    fn take(&mut self, len: u64) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next()).take(len.div_ceil(8) as usize);
        let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        bytes.truncate(len as usize);
        bytes
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// The size that `NUTHATCH_BENCH_MIB` asks for, or another.
pub(crate) fn mib_or(default: u64) -> u64 {
    std::env::var("NUTHATCH_BENCH_MIB")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
