//! The settings under `[audits]`: how surely and how soon a host's loss is found, what that may cost, and how long silence is borne.

use std::path::Path;

use nuthatch_engine::audits::Share;
use nuthatch_engine::rules::AuditRules;
use nuthatch_format::{ByteCount, Span};
use serde::Deserialize;

use super::{ConfigError, parse_size};

/// Names of the settings.
pub(super) const KEYS: [&str; 12] = [
    "detection",
    "lost",
    "within",
    "period",
    "data",
    "metadata",
    "traffic",
    "answer",
    "retry",
    "excused",
    "proven",
    "scrub",
];

/// What audits are made by, and how much of its own vault a host reads by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audits {
    /// Of our hosts.
    pub rules: AuditRules,
    /// Bytes of the own vault that are read and checked in a day.
    pub scrub: ByteCount,
}

impl Default for Audits {
    fn default() -> Self {
        Self {
            rules: AuditRules::default(),
            scrub: ByteCount(20_000_000_000),
        }
    }
}

/// As the file has it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct AuditsForm {
    detection: Option<String>,
    lost: Option<String>,
    within: Option<String>,
    period: Option<String>,
    data: Option<String>,
    metadata: Option<String>,
    traffic: Option<String>,
    answer: Option<String>,
    retry: Option<String>,
    excused: Option<String>,
    proven: Option<String>,
    scrub: Option<String>,
}

impl AuditsForm {
    pub(super) fn read(self, path: &Path) -> Result<Audits, ConfigError> {
        let wrong = |key, reason| ConfigError::Value {
            path: path.to_owned(),
            key,
            reason,
        };
        let usual = Audits::default();
        let span = |key, text: Option<String>, usual| match text {
            None => Ok(usual),
            Some(text) => parse_span(&text).map_err(|reason| wrong(key, reason)),
        };
        let share = |key, text: Option<String>, usual| match text {
            None => Ok(usual),
            Some(text) => parse_share(&text).map_err(|reason| wrong(key, reason)),
        };
        let size = |key, text: Option<String>, usual| match text {
            None => Ok(usual),
            Some(text) => parse_size(&text).map_err(|reason| wrong(key, reason)),
        };
        let rules = usual.rules;
        Ok(Audits {
            rules: AuditRules {
                detection: share("audits.detection", self.detection, rules.detection)?,
                lost: share("audits.lost", self.lost, rules.lost)?,
                within: span("audits.within", self.within, rules.within)?,
                period: span("audits.period", self.period, rules.period)?,
                data_within: span("audits.data", self.data, rules.data_within)?,
                meta_within: span("audits.metadata", self.metadata, rules.meta_within)?,
                traffic: size("audits.traffic", self.traffic, rules.traffic)?,
                answer: span("audits.answer", self.answer, rules.answer)?,
                retry: span("audits.retry", self.retry, rules.retry)?,
                excused: span("audits.excused", self.excused, rules.excused)?,
                proven_within: span("audits.proven", self.proven, rules.proven_within)?,
            },
            scrub: size("audits.scrub", self.scrub, usual.scrub)?,
        })
    }
}

fn parse_span(text: &str) -> Result<Span, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.as_millis() > 0 => {
            Ok(Span(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
        }
        _ => Err(format!("'{text}' is not a span such as 30s, 10m or 6h")),
    }
}

/// `99%`, `0.5%`: more than nothing, less than everything, to a hundredth of a percent.
fn parse_share(text: &str) -> Result<Share, String> {
    let percent = text
        .trim()
        .strip_suffix('%')
        .and_then(|number| number.trim().parse::<f64>().ok());
    match percent.map(|percent| (percent * 100.0).round()) {
        Some(parts) if (1.0..f64::from(Share::WHOLE)).contains(&parts) => Ok(Share(parts as u16)),
        _ => Err(format!("'{text}' is not a share such as 99% or 0.5%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("config.toml"), text)
    }

    #[test]
    fn what_is_set_holds_and_the_rest_is_as_usual() {
        let text = "[audits]\ndetection = \"99.9%\"\nlost = \"0.5%\"\nperiod = \"2s\"\ntraffic = \"1GB\"\nscrub = \"5GB\"\n";
        let audits = parse(text).unwrap().audits;
        assert_eq!(
            (audits.rules.detection, audits.rules.lost),
            (Share(9990), Share(50))
        );
        assert_eq!(audits.rules.period, Span::from_secs(2));
        assert_eq!(
            (audits.rules.traffic, audits.scrub),
            (ByteCount(1_000_000_000), ByteCount(5_000_000_000))
        );
        assert_eq!(audits.rules.excused, AuditRules::default().excused);
        assert_eq!(parse("").unwrap().audits, Audits::default());
    }

    #[test]
    fn shares_and_spans_that_cannot_be_are_refused() {
        for line in [
            "detection = \"100%\"",
            "detection = \"99\"",
            "lost = \"0%\"",
            "lost = \"-1%\"",
            "lost = \"NaN%\"",
            "period = \"0s\"",
            "traffic = \"much\"",
            "periods = \"1s\"",
        ] {
            assert!(parse(&format!("[audits]\n{line}\n")).is_err(), "{line}");
        }
    }
}
