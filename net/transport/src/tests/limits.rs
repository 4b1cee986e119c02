//! Limits hold for all nodes and streams together, in real time, on real sockets.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::bulk::data;
use super::{Node, PATIENCE, TCP};
use crate::{BulkStream, RATE_MIN, RateLimits, Transport};

const RATE: u64 = 1_500_000;
const FRAME: usize = 50_000;
/// Frames on each of four streams: three megabytes in all, two seconds.
const FRAMES: u64 = 15;
const STREAMS: u64 = 4;

async fn swallow(mut stream: BulkStream) {
    while let Ok(Some(_)) = stream.recv().await {}
    let _ = stream.finish().await;
}

async fn pour(from: Transport, to: nuthatch_format::NodeId) {
    let mut stream = from.open_bulk(to).await.unwrap();
    for at in 0..FRAMES {
        stream.send(&data(at, FRAME)).await.unwrap();
    }
    stream.finish().await.unwrap();
}

/// Has two streams from each to each moved, and says how long that took.
async fn poured(pairs: [(&Transport, nuthatch_format::NodeId); 2]) -> Duration {
    let start = Instant::now();
    let streams = pairs
        .into_iter()
        .flat_map(|(from, to)| (0..STREAMS / 2).map(move |_| tokio::spawn(pour(from.clone(), to))));
    for stream in streams.collect::<Vec<_>>() {
        timeout(PATIENCE, stream)
            .await
            .expect("a limit is no stall")
            .unwrap();
    }
    start.elapsed()
}

/// Bytes over time, with a tenth of a second's worth saved up and a portion for each stream.
fn assert_kept_to(took: Duration) {
    let bytes = FRAMES * STREAMS * FRAME as u64;
    let least = (bytes - RATE / 10 - STREAMS * (16 << 10)) as f64 / RATE as f64;
    assert!(took.as_secs_f64() >= least, "{bytes} bytes in {took:?}");
}

fn limits(up: bool, down: bool) -> RateLimits {
    let rate = NonZeroU64::new(RATE);
    RateLimits {
        up: rate.filter(|_| up),
        down: rate.filter(|_| down),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_to_all_nodes_together_keeps_to_the_limit() {
    let (one, two, three) = (
        Node::member(200, TCP),
        Node::member(201, TCP),
        Node::member(202, TCP),
    );
    one.dial(&two).await;
    one.dial(&three).await;
    let (two, three) = (two.serve(swallow), three.serve(swallow));
    one.transport.set_limits(limits(true, false));
    assert_eq!(one.transport.limits(), limits(true, false));
    let to = [(&one.transport, two.node()), (&one.transport, three.node())];
    assert_kept_to(poured(to).await);
}

/// At the slowest rate it would take longer than anybody waits here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_lifted_frees_what_is_under_way_and_one_for_what_comes_slows_nothing_that_goes() {
    let slowest = NonZeroU64::new(RATE_MIN);
    assert!(FRAMES * STREAMS * FRAME as u64 / RATE_MIN > 2 * PATIENCE.as_secs());
    let (one, two) = (Node::member(206, TCP), Node::member(207, TCP));
    one.dial(&two).await;
    let two = two.serve(swallow);
    one.transport.set_limits(RateLimits {
        up: slowest,
        down: slowest,
    });
    let from = one.transport.clone();
    let to = two.node();
    let pouring = tokio::spawn(async move { poured([(&from, to), (&from, to)]).await });
    while one.transport.traffic().sent == 0 {
        tokio::task::yield_now().await;
    }
    one.transport.set_limits(RateLimits {
        up: None,
        down: slowest,
    });
    timeout(PATIENCE, pouring)
        .await
        .expect("it goes on at full speed")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_all_nodes_together_keeps_to_the_limit() {
    let (one, two, three) = (
        Node::member(203, TCP),
        Node::member(204, TCP),
        Node::member(205, TCP),
    );
    two.dial(&one).await;
    three.dial(&one).await;
    one.transport.set_limits(limits(false, true));
    let one = one.serve(swallow);
    let from = [(&two.transport, one.node()), (&three.transport, one.node())];
    assert_kept_to(poured(from).await);
    one.set_limits(RateLimits::default());
    assert_eq!(one.limits(), RateLimits::default());
}
