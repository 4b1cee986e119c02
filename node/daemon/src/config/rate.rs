//! How fast bulk may move, as people write it. Pure.

use std::num::NonZeroU64;

use nuthatch_format::ByteCount;
use nuthatch_transport::{RATE_MAX, RATE_MIN};

use super::{parse_size, size_text};

/// Bytes per second, `RATE_MIN..=RATE_MAX` of the transport.
pub type Rate = NonZeroU64;

/// What people write for no limit.
const UNLIMITED: &str = "none";

/// A rate as people write it: `2MB`, `500kB/s`, `1MiB per second`; `none` is no limit.
pub fn parse_rate(text: &str) -> Result<Option<Rate>, String> {
    let text = text.trim();
    if text == UNLIMITED {
        return Ok(None);
    }
    let size = ["/s", "per second"]
        .iter()
        .find_map(|suffix| text.strip_suffix(suffix))
        .unwrap_or(text);
    let rate = parse_size(size)
        .map_err(|_| format!("'{text}' is not a rate such as 2MB/s or 500kB/s, nor 'none'"))?;
    if !(RATE_MIN..=RATE_MAX).contains(&rate.0) {
        let (least, most) = (size_text(ByteCount(RATE_MIN)), size_text(ByteCount(RATE_MAX)));
        return Err(format!("a rate is at least {least}/s and at most {most}/s"));
    }
    Ok(NonZeroU64::new(rate.0))
}

/// A rate that [`parse_rate`] reads back as the same one.
pub fn rate_text(rate: Rate) -> String {
    format!("{}/s", size_text(ByteCount(rate.get())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it_and_the_same_after_writing_it() {
        for (text, bytes) in [
            ("2MB", 2_000_000),
            ("500kB/s", 500_000),
            (" 1MiB per second ", 1 << 20),
            ("64000", 64_000),
        ] {
            let rate = parse_rate(text).unwrap().unwrap();
            assert_eq!(rate.get(), bytes, "{text}");
            assert_eq!(parse_rate(&rate_text(rate)), Ok(Some(rate)));
        }
        assert_eq!(parse_rate("none"), Ok(None));
    }

    #[test]
    fn what_is_no_rate_or_out_of_bounds_is_refused() {
        for text in ["", "fast", "0", "63999", "2MB/h", "9000PB", "-1MB"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
