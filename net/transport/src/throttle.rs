//! How fast bulk may move: one bucket for everything that is sent and one for everything that is received, shared by all nodes.
//!
//! [`Bucket`] is pure: the time is an argument. [`Throttle`] waits for it, streams in the order in which they came. What is sent is paid
//! for before, what is received after it came; so no direction ever moves more than its rate allows and a tenth of a second's worth,
//! and, for what is received, one portion for each stream that was already reading.

use std::num::NonZeroU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turns, watch};
use tokio::time::Instant;

/// Slowest rate that can be set, in bytes per second. Below it a range of a shard takes longer than others wait for a byte to move.
pub const RATE_MIN: u64 = 64_000;

/// Fastest rate that can be set, in bytes per second: more than any link, and small enough to count with.
pub const RATE_MAX: u64 = 1 << 40;

/// Longest portion that moves at a time, in bytes.
const PORTION_MAX: u64 = 16 << 10;

/// Of what a second may move, a portion is at most one part in this many: as many streams can take turns within a second.
const PORTIONS_PER_SECOND: u64 = 16;

/// Of what a second may move, one part in this many may be saved up while nothing moves.
const BURSTS_PER_SECOND: u64 = 10;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

const _: () = assert!(RATE_MIN / PORTIONS_PER_SECOND > 0 && RATE_MIN / BURSTS_PER_SECOND > 0);
const _: () = assert!(RATE_MAX < i64::MAX as u64);

/// What may move now: fills with time, up to its burst; may be overdrawn, and then nothing moves until it has filled again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Bytes per second.
    rate: NonZeroU64,
    /// Bytes that may move; below zero when more has moved than was there.
    balance: i64,
    /// Up to when it was filled.
    filled_at: Instant,
}

impl Bucket {
    /// A bucket with nothing in it.
    const fn new(rate: NonZeroU64, now: Instant) -> Self {
        Self {
            rate,
            balance: 0,
            filled_at: now,
        }
    }

    /// Most that moves at a time, in bytes.
    fn portion(&self) -> u64 {
        (self.rate.get() / PORTIONS_PER_SECOND).clamp(1, PORTION_MAX)
    }

    fn burst(&self) -> i64 {
        i64::try_from(self.rate.get() / BURSTS_PER_SECOND)
            .unwrap_or(i64::MAX)
            .max(1)
    }

    /// Adds what the time since the last filling has brought. Parts of a byte are left for the next time.
    fn fill(&mut self, now: Instant) {
        let rate = u128::from(self.rate.get());
        let elapsed = now.saturating_duration_since(self.filled_at).as_nanos();
        let bytes = elapsed.saturating_mul(rate) / NANOS_PER_SECOND;
        let room = self.burst().saturating_sub(self.balance);
        match i64::try_from(bytes) {
            Ok(bytes) if bytes < room => {
                self.balance += bytes;
                let used = (u128::from(bytes.unsigned_abs()) * NANOS_PER_SECOND).div_ceil(rate);
                self.filled_at += Duration::from_nanos(u64::try_from(used).unwrap_or(u64::MAX));
            }
            Ok(_) | Err(_) => {
                self.balance = self.burst();
                self.filled_at = now;
            }
        }
    }

    /// How long until something may move; zero: now.
    fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        if self.balance > 0 {
            return Duration::ZERO;
        }
        let lacking = u128::from(self.balance.unsigned_abs()) + 1;
        let nanos = (lacking * NANOS_PER_SECOND).div_ceil(u128::from(self.rate.get()));
        (self.filled_at + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
            .saturating_duration_since(now)
            .max(Duration::from_nanos(1))
    }

    /// Pays for bytes.
    fn pay(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.balance = self.balance.saturating_sub(bytes);
    }

    /// Takes back what was paid for bytes that did not move.
    fn refund(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.balance = self.balance.saturating_add(bytes).min(self.burst());
    }
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// `None`: as fast as it goes.
    bucket: Mutex<Option<Bucket>>,
    /// Held by the stream whose turn it is to wait for the bucket; others queue behind it.
    turns: Turns<()>,
    /// Told when the rate changed.
    changed: watch::Sender<Option<NonZeroU64>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            bucket: Mutex::new(None),
            turns: Turns::new(()),
            changed: watch::channel(None).0,
        }
    }
}

impl Throttle {
    /// Sets the rate from now on, in bytes per second, brought into `RATE_MIN..=RATE_MAX`; `None` lifts the limit.
    pub(crate) fn set(&self, rate: Option<NonZeroU64>) {
        let rate = rate.and_then(|rate| NonZeroU64::new(rate.get().clamp(RATE_MIN, RATE_MAX)));
        *self.bucket.lock() = rate.map(|rate| Bucket::new(rate, Instant::now()));
        self.changed.send_replace(rate);
    }

    /// The rate, in bytes per second.
    pub(crate) fn rate(&self) -> Option<NonZeroU64> {
        *self.changed.borrow()
    }

    /// Waits until bytes may move, pays for as many as may and are wanted, and says how many that are (`1..=wanted`, for `wanted > 0`).
    /// May be given up while it waits, and has cost nothing then.
    pub(crate) async fn take(&self, wanted: usize) -> usize {
        self.turn(wanted, Bucket::pay).await
    }

    /// Waits until bytes may move, and says how many may at most; they are paid for by [`Self::moved`] when they have come.
    pub(crate) async fn allowed(&self, wanted: usize) -> usize {
        self.turn(wanted, |_, _| {}).await
    }

    async fn turn(&self, wanted: usize, then: impl FnOnce(&mut Bucket, u64)) -> usize {
        if self.bucket.lock().is_none() {
            return wanted;
        }
        let _turn = self.turns.lock().await;
        let mut changed = self.changed.subscribe();
        loop {
            let pause = {
                let mut bucket = self.bucket.lock();
                let Some(bucket) = bucket.as_mut() else {
                    return wanted;
                };
                let pause = bucket.wait(Instant::now());
                if pause.is_zero() {
                    let portion = bucket.portion().min(wanted as u64);
                    then(bucket, portion);
                    return usize::try_from(portion).unwrap_or(wanted);
                }
                pause
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Its sender is ours, so it only ever says that the rate is another.
                _ = changed.changed() => {}
            }
        }
    }

    /// Pays for bytes that came.
    pub(crate) fn moved(&self, count: usize) {
        if let Some(bucket) = self.bucket.lock().as_mut() {
            bucket.pay(count as u64);
        }
    }

    /// Takes back what was paid for bytes that did not move.
    pub(crate) fn unmoved(&self, count: usize) {
        if let Some(bucket) = self.bucket.lock().as_mut() {
            bucket.refund(count as u64);
        }
    }
}

/// Both directions, for all bulk of a transport.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    pub(crate) up: Throttle,
    pub(crate) down: Throttle,
}

/// Limits for everything together, in bytes per second (`RATE_MIN..=RATE_MAX`); `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// What is sent.
    pub up: Option<NonZeroU64>,
    /// What is received.
    pub down: Option<NonZeroU64>,
}

#[cfg(test)]
mod tests;
