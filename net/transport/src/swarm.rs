//! Builds the swarm: TCP with Noise and yamux, QUIC, names; and starts to listen. It makes sockets and runs nothing.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use futures::future::Either;
use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, ListenerId, OptionalTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::kad::Mode;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::Config as SwarmConfig;
use libp2p::{Multiaddr, PeerId, Swarm, TransportError, dns, noise, quic, tcp};
use tokio_util::sync::CancellationToken;

use crate::address::node_of;
use crate::behaviour::{Behaviour, LocalSearch};
use crate::config::{
    Config, HANDSHAKE_TIMEOUT, QUIC_CONNECTION_WINDOW, QUIC_STREAM_WINDOW, STREAMS_PER_CONNECTION_MAX,
    StartError,
};
use crate::event::Degraded;
use crate::gate::Gate;
use crate::inbound::Inbound;
use crate::muxer::Yamux;
use crate::refusals::Refusals;

/// The variable that makes the TLS library write session keys to a file.
const KEY_LOG_VARIABLE: &str = "SSLKEYLOGFILE";

/// A swarm that listens, and what it does without.
pub(crate) struct Built {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) listeners: Vec<ListenerId>,
    pub(crate) degraded: Vec<Degraded>,
}

/// Builds the swarm of a node and starts to listen. Its tasks end when `stop` is cancelled.
pub(crate) fn build(
    config: &mut Config,
    gate: &Arc<dyn Gate>,
    inbound: Inbound,
    stop: &CancellationToken,
) -> Result<Built, StartError> {
    let key = Keypair::ed25519_from_bytes(&mut config.key_seed)
        .map_err(|error| StartError::Key(error.to_string()))?;
    let addresses = parse(&config.listen)?;
    addresses.iter().try_for_each(refuse_taken_port)?;
    let mut degraded = Vec::new();
    let quic = if std::env::var_os(KEY_LOG_VARIABLE).is_some() {
        degraded.push(Degraded::KeyLog);
        Quic::Off
    } else {
        Quic::On
    };
    let transport = transport((&key, gate), quic, &mut degraded)?;
    let mode = if addresses.is_empty() {
        Mode::Client
    } else {
        Mode::Server
    };
    let search = if config.mdns {
        LocalSearch::On
    } else {
        LocalSearch::Off
    };
    let (behaviour, no_mdns) =
        Behaviour::new(&key, gate, inbound, mode, (search, config.timings.stranger_turn));
    degraded.extend(no_mdns);
    let mut swarm = Swarm::new(
        transport,
        behaviour,
        key.public().to_peer_id(),
        swarm_config(config, stop),
    );
    let mut listeners = Vec::new();
    for address in addresses
        .into_iter()
        .filter(|address| quic == Quic::On || !is_quic(address))
    {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => listeners.push(listener),
            Err(error) => tolerate(&address, error, &mut degraded)?,
        }
    }
    Ok(Built {
        swarm,
        listeners,
        degraded,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quic {
    On,
    Off,
}

fn parse(listen: &[String]) -> Result<Vec<Multiaddr>, StartError> {
    listen
        .iter()
        .map(|text| text.parse().map_err(|_| StartError::Address(text.clone())))
        .collect()
}

/// Sockets are opened so that several can share a port, which hole punching needs. Two nodes on one port would then get each other's
/// connections, so a port that another program listens on is found out beforehand.
fn refuse_taken_port(address: &Multiaddr) -> Result<(), StartError> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
        _ => return Ok(()),
    };
    let Some(Protocol::Tcp(port @ 1..)) = parts.next() else {
        return Ok(());
    };
    match TcpListener::bind((ip, port)) {
        Err(source) if source.kind() == io::ErrorKind::AddrInUse => Err(StartError::Listen {
            address: address.to_string(),
            source,
        }),
        // What else may be wrong shows when it is really listened on.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::QuicV1))
}

/// A machine without IPv6 goes on without; anything else that was asked for must work.
fn tolerate(
    address: &Multiaddr,
    error: TransportError<io::Error>,
    degraded: &mut Vec<Degraded>,
) -> Result<(), StartError> {
    let source = match error {
        TransportError::MultiaddrNotSupported(_) => return Err(StartError::Address(address.to_string())),
        TransportError::Other(source) => source,
    };
    if address.iter().any(|part| matches!(part, Protocol::Ip6(_))) {
        degraded.push(Degraded::Ipv6 {
            address: address.to_string(),
            reason: source.to_string(),
        });
        return Ok(());
    }
    Err(StartError::Listen {
        address: address.to_string(),
        source,
    })
}

fn swarm_config(config: &Config, stop: &CancellationToken) -> SwarmConfig {
    let stop = stop.clone();
    let executor = move |work: futures::future::BoxFuture<'static, ()>| {
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
    };
    SwarmConfig::with_executor(executor)
        .with_idle_connection_timeout(config.timings.stranger_idle)
        .with_max_negotiating_inbound_streams(STREAMS_PER_CONNECTION_MAX)
}

/// TCP and QUIC under names. Where the machine's resolver cannot be read, names stay unknown and addresses with numbers work.
fn transport(
    who: (&Keypair, &Arc<dyn Gate>),
    quic: Quic,
    degraded: &mut Vec<Degraded>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    match dns::tokio::Transport::system(sockets(who, quic)?) {
        Ok(named) => Ok(named.boxed()),
        Err(error) => {
            degraded.push(Degraded::Resolver {
                reason: error.to_string(),
            });
            let (nobody, options) = (
                dns::ResolverConfig::from_parts(None, Vec::new(), Vec::new()),
                dns::ResolverOpts::default(),
            );
            Ok(dns::tokio::Transport::custom(sockets(who, quic)?, nobody, options).boxed())
        }
    }
}

/// TCP and QUIC. A relayed transport joins here when relays come.
fn sockets(
    (key, gate): (&Keypair, &Arc<dyn Gate>),
    quic: Quic,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, StartError> {
    let noise = noise::Config::new(key).map_err(|error| StartError::Key(error.to_string()))?;
    let gate = Arc::clone(gate);
    let refusals = Refusals::default();
    let tcp = refusals
        .told_by(tcp::tokio::Transport::new(tcp::Config::new().nodelay(true)))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |peer, _| Yamux::with(node_of(peer), &gate))
        .timeout(HANDSHAKE_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = match quic {
        Quic::On => OptionalTransport::some(quic::tokio::Transport::new(quic_config(key))),
        Quic::Off => OptionalTransport::none(),
    }
    .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let either = tcp
        .or_transport(refusals.heeded_by(quic.boxed()))
        .map(|connected, _| match connected {
            Either::Left(connected) | Either::Right(connected) => connected,
        });
    Ok(either.boxed())
}

fn quic_config(key: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(key);
    config.max_stream_data = QUIC_STREAM_WINDOW;
    config.max_connection_data = QUIC_CONNECTION_WINDOW;
    config.max_concurrent_stream_limit = STREAMS_PER_CONNECTION_MAX as u32;
    config.handshake_timeout = HANDSHAKE_TIMEOUT;
    config
}
