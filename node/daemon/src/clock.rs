//! The one place that reads the clock and the entropy of the machine. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nuthatch_format::Timestamp;

/// Latest moment given out so far, in milliseconds since 1970.
static LATEST_MS: AtomicU64 = AtomicU64::new(0);

/// The time by the machine's clock, made non-decreasing within this process: when the clock is set back, time stands still
/// until it has caught up.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn now() -> Timestamp {
    let ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    Timestamp(LATEST_MS.fetch_max(ms, Ordering::Relaxed).max(ms))
}

/// A moment to measure spans of running time from; not affected by setting the clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
pub fn instant() -> Instant {
    Instant::now()
}

/// Seconds since a moment taken with [`instant`].
pub fn seconds_since(start: Instant) -> f64 {
    instant().saturating_duration_since(start).as_secs_f64()
}

/// How long until a moment; zero when it has passed.
pub fn until(moment: Timestamp) -> Duration {
    Duration::from_millis(moment.since(now()).0)
}

/// The operating system gave no randomness: nothing that needs keys can go on.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct EntropyError(#[from] getrandom::Error);

/// Fresh random bytes from the operating system.
pub fn entropy<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
