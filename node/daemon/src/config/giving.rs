//! Settings about what this node gives to others and asks for in return. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use nuthatch_engine::fairness::Stance;
use nuthatch_engine::rules::{FairRules, Rules};
use nuthatch_format::{ByteCount, NodeId, Span, Timestamp};
use nuthatch_transport::{node_from_text, peer_id_text};
use serde::Deserialize;

use super::{parse_size, size_text};
use crate::api::rfc3339;

/// Names in the table `[fair]`.
pub(super) const FAIR_KEYS: [&str; 4] = ["allowance", "tolerance", "warning", "release"];

/// Most peers with a quota of their own: as many as a circle has members.
const PEER_QUOTAS_MAX: usize = 256;

/// Most tolerance, in hundredths: beyond it nothing is asked in return.
const TOLERANCE_MAX: u16 = 1000;

/// How often accounts are looked at within the time of a warning, at least.
const LOOKS_PER_WARNING: u64 = 8;

/// Shortest pause between two looks at the accounts.
const LOOK_MIN: Span = Span::from_millis(200);

/// What people write for a holiday without an end.
const UNTIL_RESUMED: &str = "until resumed";

/// A holiday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Until a person ends it.
    UntilResumed,
    /// Until then.
    Until(Timestamp),
}

impl Pause {
    /// As it is written in the settings.
    pub(super) fn text(self) -> String {
        match self {
            Self::UntilResumed => UNTIL_RESUMED.to_owned(),
            Self::Until(until) => rfc3339(until),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == UNTIL_RESUMED {
            return Ok(Self::UntilResumed);
        }
        let moment = parse_moment(text).map_err(|reason| format!("{reason}, nor '{UNTIL_RESUMED}'"))?;
        Ok(Self::Until(moment))
    }
}

/// A moment as people write it: `2026-12-24T18:00:00Z`, or a date, which begins at midnight by this machine's time zone.
pub fn parse_moment(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("'{text}' is not a moment such as 2026-12-24 or 2026-12-24T18:00:00Z");
    let moment = match text.parse::<jiff::civil::Date>() {
        Ok(date) if !text.contains([':', 'T']) => {
            let zoned = date.to_zoned(jiff::tz::TimeZone::system());
            zoned.map_err(|_| wrong())?.timestamp()
        }
        Ok(_) | Err(_) => text.parse::<jiff::Timestamp>().map_err(|_| wrong())?,
    };
    u64::try_from(moment.as_millisecond())
        .map(Timestamp)
        .map_err(|_| wrong())
}

/// How much is asked for in return, and what follows when it does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fair {
    /// What anybody may keep here who keeps nothing for us.
    pub allowance: ByteCount,
    /// How much more than it keeps for us somebody may keep here, in hundredths.
    pub tolerance_percent: u16,
    /// For how long somebody is told that it keeps too much before nothing new is taken.
    pub warning: Duration,
    /// How long after that what it keeps may be released by this host's person.
    pub release: Duration,
}

impl Default for Fair {
    fn default() -> Self {
        let usual = Rules::default().fair;
        Self {
            allowance: usual.allowance,
            tolerance_percent: usual.tolerance_percent,
            warning: Duration::from_millis(usual.warning.0),
            release: Duration::from_millis(usual.release.0),
        }
    }
}

impl Fair {
    /// What the engine decides by.
    pub fn rules(&self) -> FairRules {
        let usual = Rules::default().fair;
        let span = |time: Duration| Span::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let (warning, release) = (span(self.warning), span(self.release));
        let look = Span(warning.0.min(release.0) / LOOKS_PER_WARNING);
        FairRules {
            allowance: self.allowance,
            tolerance_percent: self.tolerance_percent,
            warning,
            release,
            look: look.clamp(LOOK_MIN, usual.look),
            ..usual
        }
    }
}

/// The table `[fair]` as it is written.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FairForm {
    allowance: Option<String>,
    tolerance: Option<u16>,
    warning: Option<String>,
    release: Option<String>,
}

impl FairForm {
    /// The values, or which of them can't be and why.
    pub(super) fn read(
        self,
        span: impl Fn(&'static str, Option<String>, Duration) -> Result<Duration, (&'static str, String)>,
    ) -> Result<Fair, (&'static str, String)> {
        let usual = Fair::default();
        let allowance = match self.allowance {
            None => usual.allowance,
            Some(text) => parse_size(&text).map_err(|reason| ("fair.allowance", reason))?,
        };
        let tolerance_percent = self.tolerance.unwrap_or(usual.tolerance_percent);
        if tolerance_percent > TOLERANCE_MAX {
            return Err((
                "fair.tolerance",
                format!("at most {TOLERANCE_MAX} hundredths; 'generous = true' asks nothing in return"),
            ));
        }
        Ok(Fair {
            allowance,
            tolerance_percent,
            warning: span("fair.warning", self.warning, usual.warning)?,
            release: span("fair.release", self.release, usual.release)?,
        })
    }
}

/// What single members may keep here at most.
pub type PeerQuotas = BTreeMap<NodeId, ByteCount>;

/// Reads `ID=SIZE` entries.
pub(super) fn parse_peer_quotas(entries: &[String]) -> Result<PeerQuotas, String> {
    if entries.len() > PEER_QUOTAS_MAX {
        return Err(format!("at most {PEER_QUOTAS_MAX} members"));
    }
    let parse = |entry: &String| {
        let (id, size) = entry
            .split_once('=')
            .ok_or_else(|| format!("'{entry}' is not ID=SIZE"))?;
        let node = node_from_text(id.trim()).ok_or_else(|| format!("'{id}' is not the id of a node"))?;
        Ok((node, parse_size(size)?))
    };
    entries.iter().map(parse).collect()
}

/// The entries that [`parse_peer_quotas`] reads back.
pub(super) fn peer_quota_entries(quotas: &PeerQuotas) -> Vec<String> {
    let entry = |(node, size): (&NodeId, &ByteCount)| format!("{}={}", peer_id_text(*node), size_text(*size));
    quotas.iter().map(entry).collect()
}

/// What a person has said about hosting, as the engine takes it.
pub(super) fn stance(is_leaving: bool, pause: Option<Pause>) -> Stance {
    match (is_leaving, pause) {
        (true, _) => Stance::Leaving,
        (false, Some(Pause::UntilResumed)) => Stance::Paused { until: None },
        (false, Some(Pause::Until(until))) => Stance::Paused { until: Some(until) },
        (false, None) => Stance::Open,
    }
}
