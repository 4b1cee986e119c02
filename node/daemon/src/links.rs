//! Bulk streams to hosts, kept open between operations: a new one costs a negotiation, and most shards follow another.
//!
//! A stream carries one operation at a time and comes back only after one that ended in order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nuthatch_format::NodeId;
use nuthatch_transport::{BulkStream, OpenError, Transport};
use parking_lot::Mutex;

use crate::clock;

/// Idle streams kept for one host.
const IDLE_PER_HOST_MAX: usize = 4;

/// Idle streams kept for all hosts.
const IDLE_MAX: usize = 64;

/// An idle stream is given up after this long; the other side waits longer (`serve::bulk::NEXT_OPERATION`), so that ours is first.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The streams of one node.
#[derive(Debug)]
pub(crate) struct Links {
    transport: Transport,
    idle: Mutex<HashMap<NodeId, Vec<(Instant, BulkStream)>>>,
}

/// A stream for one operation.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: BulkStream,
    /// Whether it has carried an operation before: then its connection may have gone meanwhile, and a fresh one may work.
    pub(crate) used: bool,
}

impl Links {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            idle: Mutex::default(),
        }
    }

    /// A stream to a host: one that is idle, or a new one.
    pub(crate) async fn take(&self, node: NodeId) -> Result<Link, OpenError> {
        if let Some(stream) = self.take_idle(&node) {
            return Ok(Link { stream, used: true });
        }
        self.open(node).await
    }

    /// A new stream to a host.
    pub(crate) async fn open(&self, node: NodeId) -> Result<Link, OpenError> {
        Ok(Link {
            stream: self.transport.open_bulk(node).await?,
            used: false,
        })
    }

    /// Keeps a stream whose operation ended in order.
    pub(crate) fn put_back(&self, link: Link) {
        let mut idle = self.idle.lock();
        let count: usize = idle.values().map(Vec::len).sum();
        let streams = idle.entry(link.stream.node()).or_default();
        if streams.len() < IDLE_PER_HOST_MAX && count < IDLE_MAX {
            streams.push((clock::instant(), link.stream));
        }
    }

    /// Gives up the streams to a host that has gone.
    pub(crate) fn forget(&self, node: &NodeId) {
        self.idle.lock().remove(node);
    }

    fn take_idle(&self, node: &NodeId) -> Option<BulkStream> {
        let now = clock::instant();
        let mut idle = self.idle.lock();
        idle.retain(|_, streams| {
            streams.retain(|(since, _)| now.saturating_duration_since(*since) < IDLE_TIMEOUT);
            !streams.is_empty()
        });
        idle.get_mut(node)?.pop().map(|(_, stream)| stream)
    }
}
