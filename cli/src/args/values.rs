//! How values are written: sizes, spans of time, parts of snapshots. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use nuthatch_daemon::api::{RateChoice, RawPath, SnapshotPart};
use nuthatch_daemon::config;
use nuthatch_format::{ByteCount, Timestamp};

/// `20GB`, `20GiB`, `512`.
pub(crate) fn size(text: &str) -> Result<ByteCount, String> {
    config::parse_size(text)
}

/// A size above zero.
pub(crate) fn some_size(text: &str) -> Result<ByteCount, String> {
    match size(text)? {
        ByteCount::ZERO => Err("it must be more than nothing".to_owned()),
        size => Ok(size),
    }
}

/// A size, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeOrNone(pub Option<ByteCount>);

/// `20GB`, `none`.
pub(crate) fn size_or_none(text: &str) -> Result<SizeOrNone, String> {
    match text {
        "none" => Ok(SizeOrNone(None)),
        text => size(text).map(|size| SizeOrNone(Some(size))),
    }
}

/// `2MB`, `500kB/s`, `none`.
pub(crate) fn rate(text: &str) -> Result<RateChoice, String> {
    let rate = config::parse_rate(text)?;
    Ok(rate.map_or(RateChoice::Unlimited, |rate| {
        RateChoice::BytesPerSecond(rate.get())
    }))
}

/// A moment to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// So long from now.
    In(Duration),
    /// Then.
    At(Timestamp),
}

/// `14d`, `2026-08-15` (its beginning, by this machine's time), `2026-08-15T12:00:00Z`.
pub(crate) fn until(text: &str) -> Result<Until, String> {
    match humantime::parse_duration(text) {
        Ok(span) => Ok(Until::In(span)),
        Err(_) => config::parse_moment(text).map(Until::At),
    }
}

/// `10m`, `7d`, `1h 30m`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("'{text}' is not a span of time such as 10m, 6h or 7d"))
}

/// A multiaddress, as far as its shape goes: whether somebody is there shows when it is dialled.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let is_one =
        text.starts_with('/') && !text.contains(char::is_whitespace) && text.matches('/').count() >= 2;
    if is_one {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "'{}' is not an address such as /ip4/203.0.113.7/tcp/24480",
            text.escape_debug()
        ))
    }
}

/// A node's name.
pub(crate) fn name(text: &str) -> Result<String, String> {
    config::check_name(text).map(|()| text.to_owned())
}

/// `ID`, `latest`, `latest~2`, each with `:PATH` or not.
pub(crate) fn snapshot_part(text: &OsStr) -> SnapshotPart {
    let bytes = text.as_bytes();
    let (id, path) = match bytes.iter().position(|byte| *byte == b':') {
        Some(at) => (&bytes[..at], Some(RawPath(bytes[at + 1..].to_vec()))),
        None => (bytes, None),
    };
    SnapshotPart {
        snapshot: String::from_utf8_lossy(id).into_owned(),
        path: path.filter(|path| !path.0.is_empty()),
    }
}

/// Whether a text can name a snapshot; the archive decides whether it does.
pub(crate) fn check_snapshot(id: &str) -> Result<(), String> {
    let is_id = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_latest = id.strip_prefix("latest").is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix('~')
                .is_some_and(|back| back.parse::<u32>().is_ok())
    });
    if is_id || is_latest {
        return Ok(());
    }
    Err(format!(
        "'{}' is not a snapshot: write an id from 'nuthatch snapshots', 'latest' or 'latest~2'",
        id.escape_debug()
    ))
}

/// The parser for a snapshot or a part of one, whose path may be any bytes.
#[derive(Clone)]
pub(crate) struct PartParser;

impl clap::builder::TypedValueParser for PartParser {
    type Value = SnapshotPart;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<SnapshotPart, clap::Error> {
        let part = snapshot_part(value);
        check_snapshot(&part.snapshot).map_err(|reason| {
            command
                .clone()
                .error(clap::error::ErrorKind::ValueValidation, reason)
        })?;
        Ok(part)
    }
}

/// The lines of an exclude file: a glob each; empty lines and those with `#` first are skipped.
pub(crate) fn exclude_lines(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}
