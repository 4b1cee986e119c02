//! `HOME/config.toml`: the settings of one node. Unknown names are refused, naming the nearest known; what a person wrote stays
//! as it was written, comments and order included. Holds no secret and no state that is not a setting.

mod audits;
mod giving;
mod nearest;
mod port;
mod rate;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nuthatch_disk::atomic::{self, Access, FileError};
use nuthatch_engine::fairness::Stance;
use nuthatch_engine::rules::{LeaseRules, RepairRules, Rules};
use nuthatch_format::{ByteCount, Span};
use nuthatch_wire::lease::LEASE_TERM;
use serde::Deserialize;

pub use audits::Audits;
use giving::{FAIR_KEYS, FairForm, parse_peer_quotas, peer_quota_entries};
pub use giving::{Fair, Pause, PeerQuotas, parse_moment};
pub use nearest::nearest;
pub use port::{DEFAULT_PORT, choose_port};
pub use rate::{Rate, parse_rate, rate_text};

/// Name of the file inside a home.
pub const FILE_NAME: &str = "config.toml";

/// Longest file that is read, in bytes.
const FILE_LEN_MAX: u64 = 64 * 1024;

/// Most listening addresses.
const LISTEN_MAX: usize = 16;

/// Longest name of a node, in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// Most losses that an owner may ask to survive: the largest target whose shape fits 20 hosts with as many data shards.
pub const SURVIVE_MAX: u8 = 9;

const KEYS: [&str; 16] = [
    "name",
    "listen",
    "port",
    "mdns",
    "quota",
    "survive",
    "staging",
    "limit_up",
    "limit_down",
    "generous",
    "pause",
    "leaving",
    "peer_quotas",
    "fair",
    "periods",
    "audits",
];
const PERIOD_KEYS: [&str; 5] = ["inventory", "roster", "grace", "repair", "lease"];

/// The settings of a node. Every field has a default, so that an empty file is a valid one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the node calls itself; without it, the machine's name.
    pub name: Option<String>,
    /// Addresses to listen at instead of every interface; each names its own port.
    pub listen: Vec<String>,
    /// Port to listen at on every interface; 0 is a new one at each start. Unset until the first start has chosen one.
    pub port: Option<u16>,
    /// Whether to find nodes on the local network and be found.
    pub mdns: bool,
    /// How much this node keeps for others at most; without it, nothing.
    pub quota: Option<ByteCount>,
    /// How many hosts may vanish; without it, by their number.
    pub survive: Option<u8>,
    /// How much sealed data may wait on this disk; without it, a quarter of the free space.
    pub staging: Option<ByteCount>,
    /// How fast bulk is sent at most, to all nodes together; without it, as fast as it goes.
    pub limit_up: Option<Rate>,
    /// How fast bulk is received at most, from all nodes together; without it, as fast as it goes.
    pub limit_down: Option<Rate>,
    /// Whether this node asks nothing in return; without it, only while it has no archive of its own.
    pub generous: Option<bool>,
    /// A holiday: nothing new is taken.
    pub pause: Option<Pause>,
    /// Whether this node is about to leave its circle.
    pub leaving: bool,
    /// What single members may keep here at most.
    pub peer_quotas: PeerQuotas,
    /// How much is asked for in return.
    pub fair: Fair,
    /// How often things are done by themselves.
    pub periods: Periods,
    /// How hosts are audited, and the own vault.
    pub audits: Audits,
}

/// How often things are done by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Between two inventories asked of a host that is online.
    pub inventory: Duration,
    /// Between two looks at what members and other devices of the archive have to tell.
    pub roster: Duration,
    /// How long a member may be away until it is gone, while its own history does not say better.
    pub grace: Duration,
    /// Between two looks for what must be repaired, at least.
    pub repair: Duration,
    /// How long this node promises to keep an archive's shards, from the last contact with whoever looks after it.
    pub lease: Duration,
}

impl Periods {
    /// What the engine decides by, with these periods.
    fn rules(&self) -> Rules {
        let usual = Rules::default();
        let span =
            |period: Duration| Span::from_millis(u64::try_from(period.as_millis()).unwrap_or(u64::MAX));
        Rules {
            presence: usual.presence.with_grace(span(self.grace)),
            lease: LeaseRules {
                term: span(self.lease),
                ..usual.lease
            },
            repair: RepairRules {
                pause_min: span(self.repair),
                pause_max: usual.repair.pause_max.max(span(self.repair)),
            },
            ..usual
        }
    }
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            inventory: Duration::from_hours(6),
            roster: Duration::from_mins(10),
            grace: Duration::from_hours(14 * 24),
            repair: Duration::from_mins(1),
            lease: Duration::from_millis(LEASE_TERM.0),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            listen: Vec::new(),
            port: None,
            mdns: true,
            quota: None,
            survive: None,
            staging: None,
            limit_up: None,
            limit_down: None,
            generous: None,
            pause: None,
            leaving: false,
            peer_quotas: PeerQuotas::new(),
            fair: Fair::default(),
            periods: Periods::default(),
            audits: Audits::default(),
        }
    }
}

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file can't be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// The file is longer than any that is meant.
    #[error("{path}: a settings file has at most {FILE_LEN_MAX} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is not TOML, or a value has another type.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        message: String,
    },
    /// A name that is not known.
    #[error("{path}: there is no setting '{key}'; the nearest is '{nearest}'")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The name.
        key: String,
        /// The nearest that is known.
        nearest: &'static str,
    },
    /// A value that can't be.
    #[error("{path}: {key}: {reason}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// The file's own form: texts where people write texts.
#[derive(Debug, Deserialize)]
struct FileForm {
    name: Option<String>,
    #[serde(default)]
    listen: Vec<String>,
    port: Option<u16>,
    mdns: Option<bool>,
    quota: Option<String>,
    survive: Option<u8>,
    staging: Option<String>,
    limit_up: Option<String>,
    limit_down: Option<String>,
    generous: Option<bool>,
    pause: Option<String>,
    leaving: Option<bool>,
    #[serde(default)]
    peer_quotas: Vec<String>,
    #[serde(default)]
    fair: FairForm,
    #[serde(default)]
    periods: PeriodsForm,
    #[serde(default)]
    audits: audits::AuditsForm,
}

#[derive(Debug, Default, Deserialize)]
struct PeriodsForm {
    inventory: Option<String>,
    roster: Option<String>,
    grace: Option<String>,
    repair: Option<String>,
    lease: Option<String>,
}

/// A size as people write it: `20GB` (powers of ten), `20GiB` (powers of two), `512` (bytes).
pub fn parse_size(text: &str) -> Result<ByteCount, String> {
    text.trim()
        .parse::<bytesize::ByteSize>()
        .map(|size| ByteCount(size.as_u64()))
        .map_err(|_| format!("'{text}' is not a size such as 20GB or 20GiB"))
}

/// A size that [`parse_size`] reads back as the same number.
pub fn size_text(size: ByteCount) -> String {
    for (unit, name) in [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ] {
        if size.0 >= unit && size.0.is_multiple_of(unit) {
            return format!("{}{name}", size.0 / unit);
        }
    }
    format!("{}B", size.0)
}

impl Config {
    /// The settings of a home; those of an empty file where there is none.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(FILE_NAME);
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(ConfigError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        Self::parse(&path, &text)
    }

    /// The settings that a text says; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let syntax = |message: String| ConfigError::Syntax {
            path: path.to_owned(),
            message,
        };
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| syntax(error.to_string().trim_end().to_owned()))?;
        check_keys(path, &table, "", &KEYS)?;
        if let Some(toml::Value::Table(periods)) = table.get("periods") {
            check_keys(path, periods, "periods.", &PERIOD_KEYS)?;
        }
        if let Some(toml::Value::Table(audits)) = table.get("audits") {
            check_keys(path, audits, "audits.", &audits::KEYS)?;
        }
        if let Some(toml::Value::Table(fair)) = table.get("fair") {
            check_keys(path, fair, "fair.", &FAIR_KEYS)?;
        }
        let form: FileForm =
            toml::from_str(text).map_err(|error| syntax(error.to_string().trim_end().to_owned()))?;
        Self::from_form(path, form)
    }

    fn from_form(path: &Path, form: FileForm) -> Result<Self, ConfigError> {
        let wrong = |key, reason: String| ConfigError::Value {
            path: path.to_owned(),
            key,
            reason,
        };
        let size = |key, text: Option<String>| {
            text.map(|text| parse_size(&text).map_err(|reason| wrong(key, reason)))
                .transpose()
        };
        let rate = |key, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_rate(&text).map_err(|reason| wrong(key, reason)),
        };
        if let Some(name) = &form.name {
            check_name(name).map_err(|reason| wrong("name", reason))?;
        }
        if form.listen.len() > LISTEN_MAX {
            return Err(wrong("listen", format!("at most {LISTEN_MAX} addresses")));
        }
        if form.survive.is_some_and(|losses| losses > SURVIVE_MAX) {
            return Err(wrong("survive", format!("at most {SURVIVE_MAX} losses")));
        }
        let usual = Periods::default();
        let span = |key, text: Option<String>, usual| match text {
            None => Ok(usual),
            Some(text) => match humantime::parse_duration(&text) {
                Ok(duration) if !duration.is_zero() => Ok(duration),
                _ => Err((key, format!("'{text}' is not a span such as 30s, 10m or 6h"))),
            },
        };
        let period = |key, text, usual| span(key, text, usual).map_err(|(key, reason)| wrong(key, reason));
        let pause = form.pause.map(|text| Pause::parse(&text));
        Ok(Self {
            name: form.name,
            listen: form.listen,
            port: form.port,
            mdns: form.mdns.unwrap_or(true),
            quota: size("quota", form.quota)?,
            survive: form.survive,
            staging: size("staging", form.staging)?,
            limit_up: rate("limit_up", form.limit_up)?,
            limit_down: rate("limit_down", form.limit_down)?,
            generous: form.generous,
            pause: pause.transpose().map_err(|reason| wrong("pause", reason))?,
            leaving: form.leaving.unwrap_or(false),
            peer_quotas: parse_peer_quotas(&form.peer_quotas)
                .map_err(|reason| wrong("peer_quotas", reason))?,
            fair: form.fair.read(span).map_err(|(key, reason)| wrong(key, reason))?,
            periods: Periods {
                inventory: period("periods.inventory", form.periods.inventory, usual.inventory)?,
                roster: period("periods.roster", form.periods.roster, usual.roster)?,
                grace: period("periods.grace", form.periods.grace, usual.grace)?,
                repair: period("periods.repair", form.periods.repair, usual.repair)?,
                lease: period("periods.lease", form.periods.lease, usual.lease)?,
            },
            audits: form.audits.read(path)?,
        })
    }

    /// What the engine decides by, with these settings.
    pub fn rules(&self) -> Rules {
        Rules {
            audit: self.audits.rules.clone(),
            fair: self.fair.rules(),
            ..self.periods.rules()
        }
    }

    /// Sets what differs from the file in it, keeping everything else as it stands there. Creates it when missing.
    pub fn save(&self, home: &Path) -> Result<(), ConfigError> {
        let path = home.join(FILE_NAME);
        let before = match read_bounded(&path) {
            Ok(text) => text,
            Err(ConfigError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                FILE_HEAD.to_owned()
            }
            Err(error) => return Err(error),
        };
        let old = Self::parse(&path, &before)?;
        let mut text = before;
        for ((key, old_value), (_, new_value)) in old.settings().into_iter().zip(self.settings()) {
            if old_value != new_value {
                text = with_setting(&text, key, new_value);
            }
        }
        let kept = Self::parse(&path, &text)?;
        if kept.settings() != self.settings() {
            let message = "this setting is written in a way that is not changed by itself: change it by hand"
                .to_owned();
            return Err(ConfigError::Syntax { path, message });
        }
        Ok(atomic::write_file(&path, text.as_bytes(), Access::Ordinary)?)
    }

    /// The settings outside of tables, as they are written; `None` is not written.
    fn settings(&self) -> [(&'static str, Option<String>); 13] {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let list = |texts: &[String]| {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            (!texts.is_empty()).then(|| format!("[{}]", texts.join(", ")))
        };
        [
            ("name", self.name.as_deref().map(quoted)),
            ("listen", list(&self.listen)),
            ("port", self.port.map(|port| port.to_string())),
            ("mdns", (!self.mdns).then(|| "false".to_owned())),
            ("quota", self.quota.map(|size| quoted(&size_text(size)))),
            ("survive", self.survive.map(|losses| losses.to_string())),
            ("staging", self.staging.map(|size| quoted(&size_text(size)))),
            ("limit_up", self.limit_up.map(|rate| quoted(&rate_text(rate)))),
            ("limit_down", self.limit_down.map(|rate| quoted(&rate_text(rate)))),
            (
                "generous",
                self.generous.map(|is_generous| is_generous.to_string()),
            ),
            ("pause", self.pause.map(|pause| quoted(&pause.text()))),
            ("leaving", self.leaving.then(|| "true".to_owned())),
            ("peer_quotas", list(&peer_quota_entries(&self.peer_quotas))),
        ]
    }

    /// What a person has said about hosting.
    pub fn stance(&self) -> Stance {
        giving::stance(self.leaving, self.pause)
    }

    /// How fast bulk may move, as the transport takes it.
    pub fn rate_limits(&self) -> nuthatch_transport::RateLimits {
        nuthatch_transport::RateLimits {
            up: self.limit_up,
            down: self.limit_down,
        }
    }

    /// Where to listen: the addresses of the settings, or every interface with this port, TCP and QUIC.
    pub fn listen_addresses(&self, port: u16) -> Vec<String> {
        if !self.listen.is_empty() {
            return self.listen.clone();
        }
        vec![
            format!("/ip4/0.0.0.0/tcp/{port}"),
            format!("/ip4/0.0.0.0/udp/{port}/quic-v1"),
            format!("/ip6/::/tcp/{port}"),
            format!("/ip6/::/udp/{port}/quic-v1"),
        ]
    }
}

/// First lines of a new file.
const FILE_HEAD: &str = "# Settings of this node. A name that is not known is refused; leaving one out is its default.\n\
    # name, listen, port, mdns, quota, survive, staging, limit_up, limit_down,\n\
    # generous, pause, leaving, peer_quotas; [fair] allowance, tolerance, warning, release; [periods] inventory, roster, grace, repair, lease\n\
    # [audits] detection, lost, within, period, data, metadata, traffic, answer, retry, excused, proven, scrub\n";

/// Whether a text can name a node: not empty, bounded, no control characters.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        return Err(format!(
            "a name has 1 to {NAME_LEN_MAX} bytes and no control characters"
        ));
    }
    Ok(())
}

fn check_keys(
    path: &Path,
    table: &toml::Table,
    prefix: &str,
    known: &[&'static str],
) -> Result<(), ConfigError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(ConfigError::UnknownKey {
            path: path.to_owned(),
            key: format!("{prefix}{key}"),
            nearest: nearest(key, known).unwrap_or("name"),
        }),
    }
}

fn read_bounded(path: &Path) -> Result<String, ConfigError> {
    use io::Read as _;
    let failed = |source| ConfigError::Io {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_LEN_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// The text with one setting of the top table changed, added or (with `None`) removed; other lines stay.
fn with_setting(text: &str, key: &str, value: Option<String>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let top_end = lines
        .iter()
        .position(|line| line.trim_start().starts_with('['))
        .unwrap_or(lines.len());
    let place = lines
        .iter()
        .take(top_end)
        .position(|line| line.split('=').next().is_some_and(|name| name.trim() == key));
    match (place, value) {
        (Some(at), Some(value)) => lines[at] = format!("{key} = {value}"),
        (Some(at), None) => drop(lines.remove(at)),
        (None, Some(value)) => lines.insert(top_end, format!("{key} = {value}")),
        (None, None) => {}
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
