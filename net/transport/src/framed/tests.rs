use futures::FutureExt as _;
use futures::io::Cursor;
use nuthatch_format::NodeId;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::*;
use crate::meter::{Meters, Traffic};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(5);
const MAX: usize = 300_000;

fn counter() -> Counter {
    Meters::default().counter(NodeId::from_bytes([0; 32]))
}

fn terms(progress: Duration) -> Terms {
    Terms {
        throttles: None,
        counter: counter(),
        progress,
        frame_len_max: MAX,
        gone: CancellationToken::new(),
    }
}

fn pipe() -> (
    FrameWriter<Compat<tokio::io::DuplexStream>>,
    FrameReader<Compat<tokio::io::DuplexStream>>,
) {
    let (one, two) = tokio::io::duplex(1000);
    (
        FrameWriter::new(one.compat(), terms(SHORT)),
        FrameReader::new(two.compat(), terms(SHORT)),
    )
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&[0; PREFIX_LEN], body].concat()
}

#[tokio::test]
async fn frames_arrive_as_they_were_sent() {
    let (mut writer, mut reader) = pipe();
    let bodies = [vec![], vec![1], vec![7; 1000], vec![9; MAX]];
    let sent = bodies.clone();
    let sender = tokio::spawn(async move {
        for body in &sent {
            writer.write(framed(body)).await.unwrap();
        }
        writer.close().await.unwrap();
    });
    for body in &bodies {
        assert_eq!(reader.next(LONG).await.unwrap(), Some(body.as_slice()));
    }
    assert_eq!(reader.next(LONG).await.unwrap(), None);
    sender.await.unwrap();
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_refused_on_both_sides_before_any_of_it_moves() {
    let (mut writer, _reader) = pipe();
    assert!(matches!(
        writer.write(framed(&vec![0; MAX + 1])).await,
        Err(FrameError::TooLong { .. })
    ));
    let bytes = u32::MAX.to_le_bytes().to_vec();
    let mut reader = FrameReader::new(Cursor::new(bytes), terms(SHORT));
    assert!(matches!(
        reader.next(SHORT).await,
        Err(FrameError::TooLong { .. })
    ));
    assert!(reader.buffer.capacity() <= READ_STEP);
}

#[tokio::test]
async fn memory_follows_what_came_not_what_was_announced() {
    let mut bytes = (MAX as u32).to_le_bytes().to_vec();
    bytes.extend([1; 10]);
    let mut reader = FrameReader::new(Cursor::new(bytes), terms(SHORT));
    assert!(matches!(reader.next(SHORT).await, Err(FrameError::Truncated)));
    assert!(reader.buffer.capacity() < MAX);
}

#[tokio::test]
async fn a_silent_stream_stalls_and_a_slow_one_does_not() {
    let (one, two) = tokio::io::duplex(1000);
    // Each pause is well within the deadline, all together are beyond it.
    let mut reader = FrameReader::new(two.compat(), terms(Duration::from_secs(1)));
    let mut one = one.compat();
    one.write_all(&[3, 0, 0, 0]).await.unwrap();
    assert!(matches!(reader.next(LONG).await, Err(FrameError::Stalled { .. })));
    let slow = tokio::spawn(async move {
        for byte in [1, 2, 3] {
            tokio::time::sleep(Duration::from_millis(400)).await;
            one.write_all(&[byte]).await.unwrap();
        }
        one
    });
    assert_eq!(reader.next(LONG).await.unwrap(), Some(&[1, 2, 3][..]));
    slow.await.unwrap();
}

#[tokio::test]
async fn a_read_given_up_half_way_loses_nothing() {
    let (mut writer, mut reader) = pipe();
    assert!(reader.next(LONG).now_or_never().is_none());
    writer.io.write_all(&[2, 0]).await.unwrap();
    assert!(reader.next(LONG).now_or_never().is_none());
    writer.io.write_all(&[0, 0, 8]).await.unwrap();
    assert!(reader.next(LONG).now_or_never().is_none());
    writer.io.write_all(&[9]).await.unwrap();
    assert_eq!(reader.next(LONG).await.unwrap(), Some(&[8, 9][..]));
}

#[tokio::test]
async fn a_write_given_up_half_way_spoils_the_stream() {
    let (mut writer, _reader) = pipe();
    assert!(writer.write(framed(&[0; 5000])).now_or_never().is_none());
    assert!(matches!(
        writer.write(framed(&[1])).await,
        Err(FrameError::Spoilt)
    ));
}

#[tokio::test]
async fn a_stream_cut_inside_a_frame_is_an_error_and_between_frames_an_end() {
    for (bytes, whole) in [(vec![], true), (vec![1, 0], false), (vec![2, 0, 0, 0, 1], false)] {
        let mut reader = FrameReader::new(Cursor::new(bytes), terms(SHORT));
        match reader.next(SHORT).await {
            Ok(None) => assert!(whole),
            Err(FrameError::Truncated) => assert!(!whole),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_byte_is_counted() {
    let meters = Meters::default();
    let counter = meters.counter(NodeId::from_bytes([1; 32]));
    let (one, two) = tokio::io::duplex(1000);
    let mut writer = FrameWriter::new(
        one.compat(),
        Terms {
            counter: counter.clone(),
            ..terms(SHORT)
        },
    );
    let mut reader = FrameReader::new(
        two.compat(),
        Terms {
            counter,
            ..terms(SHORT)
        },
    );
    writer.write(framed(&[5; 96])).await.unwrap();
    reader.next(SHORT).await.unwrap();
    assert_eq!(
        meters.total(),
        Traffic {
            sent: 100,
            received: 100
        }
    );
}

#[tokio::test]
async fn when_the_connection_is_gone_nobody_waits_for_the_time_out() {
    let (one, two) = tokio::io::duplex(1000);
    let gone = CancellationToken::new();
    let mut reader = FrameReader::new(
        two.compat(),
        Terms {
            gone: gone.clone(),
            ..terms(LONG)
        },
    );
    let mut writer = FrameWriter::new(
        one.compat(),
        Terms {
            gone: gone.clone(),
            ..terms(LONG)
        },
    );
    writer.io.write_all(&[1, 0, 0, 0, 7]).await.unwrap();
    gone.cancel();
    // What came is still read.
    assert_eq!(reader.next(LONG).await.unwrap(), Some(&[7][..]));
    assert!(matches!(reader.next(LONG).await, Err(FrameError::Io(_))));
    assert!(matches!(
        writer.write(framed(&[0; 5000])).await,
        Err(FrameError::Io(_))
    ));
}
