//! Numbers as words: sizes, counts, spans, moments. Pure.

use nuthatch_daemon::api::{PeerName, Protection};

use crate::terminal::escaped;

/// `1.2 GB`: powers of ten, as disks are sold.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `10,240`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`.
pub(crate) fn plural(number: u64, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {word}{ending}", count(number))
}

/// `1 entry`, `2 entries`: files, directories and everything else in a tree.
pub(crate) fn entries(number: u64) -> String {
    if number == 1 {
        "1 entry".to_owned()
    } else {
        format!("{} entries", count(number))
    }
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn seconds(span: f64) -> String {
    if span < 10.0 {
        return format!("{:.1} s", span.max(0.0));
    }
    let whole = span.round() as u64;
    match whole {
        0..=119 => format!("{whole} s"),
        120..=7199 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `85 MB/s`; nothing for spans too short to say.
pub(crate) fn rate(bytes: u64, span: f64) -> String {
    if span < 0.001 {
        return String::new();
    }
    format!("{}/s", size((bytes as f64 / span) as u64))
}

/// How safe, as a sentence.
pub(crate) fn protection(protection: Protection, survives: u32, hosts: u32) -> String {
    match (protection, survives) {
        (Protection::Staged, _) => "staged: complete and encrypted, but only on this machine".to_owned(),
        (Protection::Recoverable, 0) => format!(
            "recoverable from {}; none of them may be lost",
            plural(u64::from(hosts), "host")
        ),
        (Protection::Recoverable, n) => format!(
            "recoverable: survives the loss of any {n} of {}, not yet as many as wanted",
            plural(u64::from(hosts), "host")
        ),
        (Protection::Protected, 0) => format!("protected as far as {} can", plural(u64::from(hosts), "host")),
        (Protection::Protected, n) => format!(
            "protected: survives the loss of any {n} of {}",
            plural(u64::from(hosts), "host")
        ),
    }
}

/// `2026-11-21 02:10` in UTC from RFC 3339; another text as it is.
pub(crate) fn moment(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time}"),
        _ => escaped(rfc3339),
    }
}

/// Nodes by name.
pub(crate) fn names(peers: &[PeerName]) -> String {
    peers
        .iter()
        .map(|peer| escaped(&peer.name))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_949, "99.9 kB"),
            (123_456, "123 kB"),
            (999_600, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [count(0), count(999), count(1000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([plural(1, "host"), plural(2, "host")], ["1 host", "2 hosts"]);
    }

    #[test]
    fn spans_grow_in_unit() {
        assert_eq!(
            [seconds(0.44), seconds(61.0), seconds(200.0), seconds(7500.0)],
            ["0.4 s", "61 s", "3 min 20 s", "2 h 5 min"]
        );
    }
}
