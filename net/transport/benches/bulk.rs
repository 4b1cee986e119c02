//! How fast frames of shard data move between two nodes in one process over loopback: encoding, Noise and yamux (or QUIC), decoding.
//! Both nodes share the machine's cores. Compare with plain streams over the same stack in `docs/PERFORMANCE.md`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use nuthatch_format::NodeId;
use nuthatch_transport::{BulkStream, Config, Event, Gate, Standing, Transport};
use nuthatch_wire::Opaque;
use nuthatch_wire::bulk::{Data, Frame, RANGE_LEN_MAX};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;

/// Bytes moved in one measurement.
const TOTAL: u64 = 1 << 30;

struct Everybody;

impl Gate for Everybody {
    fn standing(&self, _: &NodeId) -> Standing {
        Standing::Member
    }
}

fn main() {
    divan::main();
}

fn start(seed: u8, listen: &str) -> (Transport, Receiver<Event>) {
    let mut config = Config::new([seed; 32], vec![listen.to_owned()]);
    config.mdns = false;
    Transport::start(config, Arc::new(Everybody)).unwrap()
}

fn ignore(mut events: Receiver<Event>) {
    tokio::spawn(async move { while events.recv().await.is_some() {} });
}

/// A stream between two nodes, and the nodes.
async fn connect(listen: &str) -> (BulkStream, BulkStream, [Transport; 2]) {
    let (one, events) = start(1, listen);
    ignore(events);
    let (two, mut events) = start(2, listen);
    one.dial(Some(two.node()), two.listen_addresses().await)
        .await
        .unwrap();
    let here = one.open_bulk(two.node()).await.unwrap();
    loop {
        if let Event::Bulk { stream, .. } = events.recv().await.unwrap() {
            ignore(events);
            return (here, stream, [one, two]);
        }
    }
}

async fn receive(mut stream: BulkStream) -> BulkStream {
    let mut received = 0;
    while received < TOTAL {
        received += stream.recv().await.unwrap().unwrap().payload_len();
    }
    stream
}

#[divan::bench(args = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"], sample_count = 3, sample_size = 1)]
fn frames(bencher: Bencher, listen: &str) {
    let runtime = Runtime::new().unwrap();
    let slice = Opaque::new(vec![7; RANGE_LEN_MAX as usize]).unwrap();
    let frame = Frame::Data(Data {
        offset: 0,
        len: RANGE_LEN_MAX,
        slice,
    });
    let (here, there, nodes) = runtime.block_on(connect(listen));
    let mut streams = Some((here, there));
    bencher.counter(BytesCount::new(TOTAL)).bench_local(|| {
        streams = streams.take().map(|(mut here, there)| {
            runtime.block_on(async {
                let receiving = tokio::spawn(receive(there));
                for _ in 0..TOTAL / u64::from(RANGE_LEN_MAX) {
                    here.send(&frame).await.unwrap();
                }
                (here, receiving.await.unwrap())
            })
        });
    });
    drop(streams);
    let [one, two] = nodes;
    runtime.block_on(async { tokio::join!(one.shutdown(), two.shutdown()) });
}
