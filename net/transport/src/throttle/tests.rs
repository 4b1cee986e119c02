use futures::FutureExt as _;

use super::*;

fn rate(bytes: u64) -> NonZeroU64 {
    NonZeroU64::new(bytes).unwrap()
}

/// Moves portions as soon as they may for a span of virtual time; answers how many bytes moved.
fn run(bucket: &mut Bucket, start: Instant, span: Duration, late: Duration) -> u64 {
    let (mut now, mut moved) = (start, 0);
    while now.duration_since(start) < span {
        let pause = bucket.wait(now);
        if pause.is_zero() {
            bucket.pay(bucket.portion());
            moved += bucket.portion();
        } else {
            now += pause + late;
        }
    }
    moved
}

#[test]
fn over_any_time_no_more_moves_than_the_rate_allows_and_hardly_less() {
    let start = Instant::now();
    for per_second in [RATE_MIN, 500_000, 2_000_000, 125_000_000, RATE_MAX / 4096] {
        // A machine that wakes up late loses little: what it missed is there when it comes.
        for late in [Duration::ZERO, Duration::from_millis(3)] {
            let mut bucket = Bucket::new(rate(per_second), start);
            let moved = run(&mut bucket, start, Duration::from_secs(20), late);
            let most = 20 * per_second + per_second / BURSTS_PER_SECOND + PORTION_MAX;
            assert!(moved <= most, "{per_second}: {moved}");
            assert!(moved >= 19 * per_second, "{per_second}: {moved}");
        }
    }
}

#[test]
fn what_nobody_used_is_saved_up_for_a_tenth_of_a_second_only() {
    let start = Instant::now();
    let mut bucket = Bucket::new(rate(1_000_000), start);
    assert_eq!(bucket.wait(start + Duration::from_hours(100)), Duration::ZERO);
    assert_eq!(bucket.balance, 100_000);
}

#[test]
fn parts_of_a_byte_are_not_lost() {
    let start = Instant::now();
    let mut bucket = Bucket::new(rate(RATE_MIN), start);
    bucket.pay(RATE_MIN);
    // A byte takes 15.6 us; it is looked at every 10 us.
    for look in 1..=100_000 {
        bucket.fill(start + Duration::from_micros(10 * look));
    }
    assert!((-1..=0).contains(&bucket.balance), "{}", bucket.balance);
}

#[test]
fn an_overdrawn_bucket_says_when_it_is_open_again() {
    let start = Instant::now();
    let mut bucket = Bucket::new(rate(100_000), start);
    bucket.pay(50_000);
    let pause = bucket.wait(start);
    assert!(
        pause > Duration::from_millis(500) && pause < Duration::from_millis(501),
        "{pause:?}"
    );
    assert!(!bucket.wait(start + pause - Duration::from_micros(20)).is_zero());
    assert!(bucket.wait(start + pause).is_zero());
}

#[tokio::test]
async fn without_a_limit_nobody_waits() {
    let throttle = Throttle::default();
    assert_eq!(throttle.take(usize::MAX).now_or_never(), Some(usize::MAX));
    throttle.moved(1 << 40);
    assert_eq!(throttle.allowed(5).now_or_never(), Some(5));
}

#[tokio::test]
async fn who_waits_hears_at_once_that_the_limit_was_lifted() {
    let throttle = Throttle::default();
    throttle.set(Some(rate(RATE_MIN)));
    throttle.moved(usize::MAX >> 8);
    let (mut first, mut second) = (Box::pin(throttle.take(10)), Box::pin(throttle.take(20)));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    throttle.set(None);
    assert_eq!((first.await, second.await), (10, 20));
}

#[tokio::test]
async fn rates_out_of_bounds_are_brought_into_them() {
    let throttle = Throttle::default();
    throttle.set(NonZeroU64::new(1));
    assert_eq!(throttle.rate(), NonZeroU64::new(RATE_MIN));
    throttle.set(NonZeroU64::new(u64::MAX));
    assert_eq!(throttle.rate(), NonZeroU64::new(RATE_MAX));
}
