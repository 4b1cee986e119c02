//! What TCP learns about a machine, for QUIC: where a node's port is closed, or no way leads, TCP hears of it at once, while QUIC hears
//! nothing and would wait for its whole handshake. It stops no dial that still has a chance.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::HANDSHAKE_TIMEOUT;

/// A refusal takes one way there and back, a QUIC handshake two; as much again for a machine that is busy.
const ROUND_TRIPS: u32 = 4;
/// Shortest time that QUIC has after a refusal: machines near by are not always idle.
const GRACE_MIN: Duration = Duration::from_millis(500);
/// Longest such time.
const GRACE_MAX: Duration = Duration::from_secs(3);
/// Refusals that are remembered (count), each for as long as a handshake may take; beyond it QUIC waits as if it knew nothing.
const REFUSALS_MAX: usize = 1024;

const _: () = assert!(GRACE_MIN.as_millis() < GRACE_MAX.as_millis());
const _: () = assert!(GRACE_MAX.as_millis() < HANDSHAKE_TIMEOUT.as_millis());

/// A node at a machine. Several nodes may be behind one address.
type Place = (PeerId, IpAddr);

/// Where TCP was refused, and until when QUIC may go on there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Book>);

#[derive(Debug, Default)]
struct Book {
    until: Mutex<BTreeMap<Place, Instant>>,
    changed: Notify,
}

impl Refusals {
    /// A transport that tells of refusals: TCP.
    pub(crate) fn told_by<T>(&self, inner: T) -> Attentive<T> {
        self.with(inner, Part::Tells)
    }

    /// A transport that gives up soon after a refusal: QUIC.
    pub(crate) fn heeded_by<T>(&self, inner: T) -> Attentive<T> {
        self.with(inner, Part::Heeds)
    }

    fn with<T>(&self, inner: T, part: Part) -> Attentive<T> {
        Attentive {
            inner,
            refusals: self.clone(),
            part,
        }
    }

    fn note(&self, place: Place, asked_at: Instant) {
        let now = Instant::now();
        let grace = now
            .duration_since(asked_at)
            .saturating_mul(ROUND_TRIPS)
            .clamp(GRACE_MIN, GRACE_MAX);
        let mut until = self.0.until.lock();
        until.retain(|_, until| *until + HANDSHAKE_TIMEOUT > now);
        if until.len() < REFUSALS_MAX {
            until.insert(place, now + grace);
        }
        drop(until);
        self.0.changed.notify_waiters();
    }

    fn forget(&self, place: &Place) {
        self.0.until.lock().remove(place);
    }

    /// Waits until a refusal at this place is old enough; one from long before this dial says nothing about it.
    async fn too_long_after(&self, place: Place, asked_at: Instant) {
        loop {
            let changed = self.0.changed.notified();
            let known = self.0.until.lock().get(&place).copied();
            match known.filter(|until| *until >= asked_at) {
                Some(until) => return tokio::time::sleep_until(until).await,
                None => changed.await,
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Tells,
    Heeds,
}

/// A transport whose dials tell of refusals, or heed them; in all else the one inside.
#[derive(Debug)]
pub(crate) struct Attentive<T> {
    inner: T,
    refusals: Refusals,
    part: Part,
}

impl<T> Transport for Attentive<T>
where
    T: Transport<Error = io::Error> + Unpin,
    T::Output: Send + 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, io::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let place = place_of(&address);
        let dial = self.inner.dial(address, options)?;
        let Some(place) = place else {
            return Ok(dial.boxed());
        };
        let refusals = self.refusals.clone();
        Ok(match self.part {
            Part::Tells => telling(dial, refusals, place).boxed(),
            Part::Heeds => heeding(dial, refusals, place).boxed(),
        })
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

async fn telling<O>(
    dial: impl Future<Output = Result<O, io::Error>>,
    refusals: Refusals,
    place: Place,
) -> Result<O, io::Error> {
    let asked_at = Instant::now();
    let outcome = dial.await;
    match &outcome {
        Ok(_) => refusals.forget(&place),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                refusals.note(place, asked_at);
            }
            _ => {}
        },
    }
    outcome
}

async fn heeding<O>(
    dial: impl Future<Output = Result<O, io::Error>>,
    refusals: Refusals,
    place: Place,
) -> Result<O, io::Error> {
    let asked_at = Instant::now();
    tokio::select! {
        biased;
        outcome = dial => outcome,
        () = refusals.too_long_after(place, asked_at) => Err(io::Error::new(
            ErrorKind::ConnectionRefused,
            "no answer, and TCP is refused there",
        )),
    }
}

/// Whom an address leads to and where, when it says both in numbers.
fn place_of(address: &Multiaddr) -> Option<Place> {
    let (mut ip, mut peer) = (None, None);
    for part in address {
        match part {
            Protocol::Ip4(four) => ip = Some(IpAddr::from(four)),
            Protocol::Ip6(six) => ip = Some(IpAddr::from(six)),
            Protocol::P2p(id) => peer = Some(id),
            _ => {}
        }
    }
    peer.zip(ip)
}
