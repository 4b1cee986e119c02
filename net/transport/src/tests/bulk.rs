use std::time::Duration;

use nuthatch_wire::bulk::{Data, Frame};
use tokio::time::timeout;

use super::{Node, PATIENCE, QUIC, TCP};
use crate::config::{BULK_INBOUND_MAX, BULK_PER_NODE_MAX, BULK_SHARE, OPENED_PER_CONNECTION_MAX};
use crate::{BulkError, BulkStream, OpenError, Standing, Transport};

/// A frame of data.
pub(crate) fn data(offset: u64, len: usize) -> Frame {
    let slice: Vec<u8> = (0..len).map(|at| (at as u64 * 31 + offset) as u8).collect();
    Frame::Data(Data {
        offset,
        len: len as u32,
        slice: nuthatch_wire::bounded::Opaque::new(slice).unwrap(),
    })
}

async fn echo(mut stream: BulkStream) {
    while let Ok(Some(frame)) = stream.recv().await {
        if stream.send(&frame).await.is_err() {
            return;
        }
    }
    let _ = stream.finish().await;
}

/// Opens that many streams at once, sends a frame on each; answers how many were echoed and how many heard that we are busy.
async fn open_at_once(from: &Transport, to: nuthatch_format::NodeId, count: usize) -> (usize, usize) {
    let streams: Vec<_> = (0..count)
        .map(|at| {
            let from = from.clone();
            tokio::spawn(async move {
                let mut stream = from.open_bulk(to).await.unwrap();
                let frame = data(at as u64, 20_000);
                let sent = stream.send(&frame).await;
                match stream.recv().await {
                    Ok(Some(Frame::Busy(_))) => (false, stream),
                    Ok(Some(back)) => {
                        sent.unwrap();
                        assert_eq!(back, frame);
                        (true, stream)
                    }
                    other => panic!("stream {at} was lost: {other:?} after {sent:?}"),
                }
            })
        })
        .collect();
    let mut open = Vec::new();
    for stream in streams {
        open.push(timeout(PATIENCE, stream).await.expect("no stream hangs").unwrap());
    }
    let echoed = open.iter().filter(|(echoed, _)| *echoed).count();
    (echoed, open.len() - echoed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_streams_opened_at_once_none_is_lost() {
    for (at, listen) in [(0, TCP), (2, QUIC)] {
        let (one, two) = (Node::member(150 + at, listen), Node::member(151 + at, listen));
        one.dial(&two).await;
        let two = two.serve(echo);
        for round in 0..20 {
            let (echoed, busy) = open_at_once(&one.transport, two.node(), 64).await;
            assert_eq!(echoed + busy, 64);
            // Later, streams of the round before may still be ending.
            assert!(echoed == 64 || round > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beyond_the_bound_hear_that_we_are_busy() {
    let (one, two) = (Node::member(154, TCP), Node::member(155, TCP));
    one.dial(&two).await;
    let two = two.serve(echo);
    let (echoed, busy) = open_at_once(&one.transport, two.node(), BULK_PER_NODE_MAX + 20).await;
    assert_eq!((echoed, busy), (BULK_PER_NODE_MAX, 20));
}

/// Two nodes take half of all places. A third gets its share and not more, and the first two get nothing beyond what they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_half_of_all_places_are_taken_each_node_has_a_share_of_the_rest() {
    let host = Node::member(190, TCP);
    let others: Vec<_> = (191..194).map(|seed| Node::member(seed, TCP)).collect();
    for other in &others {
        other.dial(&host).await;
    }
    let host = host.serve(echo);
    let mut open = Vec::new();
    for (other, wanted) in others
        .iter()
        .zip([BULK_PER_NODE_MAX, BULK_PER_NODE_MAX, BULK_SHARE])
    {
        open.extend(hold(&other.transport, host.node(), wanted).await);
    }
    assert_eq!(open.len(), BULK_INBOUND_MAX / 2 + BULK_SHARE);
    for other in &others {
        assert_eq!(open_at_once(&other.transport, host.node(), 2).await, (0, 2));
    }
    drop(open);
}

/// Opens that many streams, one by one, and keeps those that are served.
async fn hold(from: &Transport, to: nuthatch_format::NodeId, count: usize) -> Vec<BulkStream> {
    let mut open = Vec::new();
    for at in 0..count {
        let mut stream = from.open_bulk(to).await.unwrap();
        stream.send(&data(at as u64, 10)).await.unwrap();
        match stream.recv().await.unwrap() {
            Some(Frame::Busy(_)) => {}
            Some(_) => open.push(stream),
            None => panic!("stream {at} ended"),
        }
    }
    open
}

#[tokio::test]
async fn streams_beyond_our_own_bound_are_refused_here_and_cost_the_connection_nothing() {
    let (one, two) = (Node::member(180, TCP), Node::member(181, TCP));
    one.dial(&two).await;
    let two = two.serve(echo);
    let mut open = Vec::new();
    for _ in 0..OPENED_PER_CONNECTION_MAX {
        open.push(one.transport.open_bulk(two.node()).await.unwrap());
    }
    assert_eq!(
        one.transport.open_bulk(two.node()).await.unwrap_err(),
        OpenError::Busy
    );
    open.truncate(1);
    one.transport.open_bulk(two.node()).await.unwrap();
    open[0].send(&data(0, 10)).await.unwrap();
    assert_eq!(open[0].recv().await.unwrap(), Some(data(0, 10)));
}

#[tokio::test]
async fn a_stream_ends_in_order_after_its_last_frame() {
    let (one, mut two) = (Node::member(156, TCP), Node::member(157, TCP));
    one.dial(&two).await;
    let mut here = one.transport.open_bulk(two.id()).await.unwrap();
    here.send(&data(1, 300)).await.unwrap();
    let mut there = two.bulk().await;
    assert_eq!(there.node(), one.id());
    let ending = tokio::spawn(here.finish());
    assert_eq!(there.recv().await.unwrap(), Some(data(1, 300)));
    assert!(there.recv().await.unwrap().is_none());
    there.finish().await.unwrap();
    ending.await.unwrap().unwrap();
}

#[tokio::test]
async fn both_halves_work_at_the_same_time() {
    let (one, two) = (Node::member(158, TCP), Node::member(159, TCP));
    one.dial(&two).await;
    let two = two.serve(echo);
    let (mut sender, mut receiver) = one.transport.open_bulk(two.node()).await.unwrap().split();
    let sending = tokio::spawn(async move {
        for at in 0..64 {
            sender.send(&data(at, 100_000)).await.unwrap();
        }
        sender.end().await.unwrap();
    });
    for at in 0..64 {
        assert_eq!(receiver.recv().await.unwrap(), Some(data(at, 100_000)));
    }
    assert!(receiver.recv().await.unwrap().is_none());
    sending.await.unwrap();
}

/// Sends a shard of 16 MiB in frames, and reads until nothing more comes.
async fn push(mut stream: BulkStream) -> Result<(), BulkError> {
    for at in 0..64 {
        stream.send(&data(at * (256 << 10), 256 << 10)).await?;
    }
    loop {
        match stream.recv().await? {
            Some(Frame::Finish) => return Ok(()),
            Some(_) => {}
            None => return Err(BulkError::Truncated),
        }
    }
}

#[tokio::test]
async fn a_shard_that_is_cut_in_the_middle_is_an_error_for_who_sends_it() {
    for cut in [false, true] {
        let (one, mut two) = (Node::member(160, TCP), Node::member(161, TCP));
        one.dial(&two).await;
        let sending = tokio::spawn(push(one.transport.open_bulk(two.id()).await.unwrap()));
        let mut stream = two.bulk().await;
        for at in 0..64 {
            if cut && at == 20 {
                two.transport.disconnect(one.id());
            }
            let Ok(Some(frame)) = stream.recv().await else {
                assert!(cut);
                break;
            };
            assert_eq!(frame, data(at * (256 << 10), 256 << 10));
        }
        if !cut {
            stream.send(&Frame::Finish).await.unwrap();
        }
        let sent = timeout(PATIENCE, sending).await.expect("no hang").unwrap();
        assert_eq!(sent.is_err(), cut, "{sent:?}");
    }
}

#[tokio::test]
async fn a_node_that_dies_in_the_middle_is_noticed() {
    for (at, listen) in [(0, TCP), (2, QUIC)] {
        let mut one = Node::member(162 + at, listen);
        // The other node lives in a runtime of its own, which dies with all its tasks at once.
        let doomed = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut two = doomed
            .spawn(async move { Node::member(163 + at, listen) })
            .await
            .unwrap();
        let addresses = two.transport.listen_addresses().await;
        one.transport.dial(Some(two.id()), addresses).await.unwrap();
        let stream = one.transport.open_bulk(two.id()).await.unwrap();
        let sending = tokio::spawn(push(stream));
        let mut receiving = two.bulk().await;
        receiving.recv().await.unwrap();
        doomed.shutdown_background();
        let sent = timeout(PATIENCE, sending)
            .await
            .expect("an error, not a hang")
            .unwrap();
        assert!(sent.is_err());
        assert_eq!(one.disconnected().await, two.id());
    }
}

#[tokio::test]
async fn a_stream_that_nobody_moves_fails_after_the_time_out() {
    let short = Duration::from_millis(300);
    let one = Node::with(166, Standing::Member, &[TCP], |config| {
        config.timings.progress = short;
    });
    let mut two = Node::member(167, TCP);
    one.dial(&two).await;
    let mut stream = one.transport.open_bulk(two.id()).await.unwrap();
    stream.send(&data(0, 10)).await.unwrap();
    let silent = two.bulk().await;
    assert!(matches!(stream.recv().await, Err(BulkError::Stalled { after }) if after == short));
    // Nor does the sender wait for a reader that does not read.
    let stalled = async {
        loop {
            if let Err(error) = stream.send(&data(0, 200_000)).await {
                return error;
            }
        }
    };
    let error = timeout(PATIENCE, stalled).await.expect("bounded by the window");
    assert!(matches!(error, BulkError::Stalled { .. }), "{error:?}");
    drop(silent);
}

#[tokio::test]
async fn a_pause_between_operations_is_no_stall() {
    let short = Duration::from_millis(200);
    let one = Node::with(168, Standing::Member, &[TCP], |config| {
        config.timings.progress = short;
    });
    let mut two = Node::member(169, TCP);
    one.dial(&two).await;
    let mut here = one.transport.open_bulk(two.id()).await.unwrap();
    here.send(&data(0, 10)).await.unwrap();
    let mut there = two.bulk().await;
    let waiting = tokio::spawn(async move { here.recv_within(PATIENCE).await });
    assert!(there.recv_within(4 * short).await.unwrap().is_some());
    assert!(matches!(
        there.recv_within(2 * short).await,
        Err(BulkError::Stalled { .. })
    ));
    there.send(&data(1, 10)).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Some(data(1, 10)));
}
