//! What is to be dialled, dials under way and who waits for them, and why a dial fails. It starts none by itself: when to dial again is the engine's business.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, TransportError};
use nuthatch_format::NodeId;
use tokio::sync::oneshot;

use crate::address::{node_of, peer_of, rank, split_peer};
use crate::config::{DIAL_ADDRESSES_MAX, DIALS_MAX};

/// An address that did not answer, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAddress {
    /// The address.
    pub address: String,
    /// What the system or the handshake says.
    pub reason: String,
}

/// Why a dial failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No address was given.
    #[error("no address to dial")]
    NoAddress,
    /// More addresses than are tried at once.
    #[error("{found} addresses, at most {DIAL_ADDRESSES_MAX} are tried at once")]
    TooManyAddresses {
        /// Addresses given (count).
        found: usize,
    },
    /// An address is not one, or names another node than the one to be dialled.
    #[error("'{address}' is not an address of this node")]
    BadAddress {
        /// The address.
        address: String,
    },
    /// Somebody answered, but it is another node.
    #[error("another node answers at {address}: {found}")]
    WrongNode {
        /// Who is there.
        found: NodeId,
        /// The address.
        address: String,
    },
    /// The address is our own.
    #[error("{address} is this node itself")]
    Ourselves {
        /// The address.
        address: String,
    },
    /// Nobody answered at any address.
    #[error("cannot be reached at any of {} addresses", .attempts.len())]
    Unreachable {
        /// Each address and what went wrong there.
        attempts: Vec<FailedAddress>,
    },
    /// A bound of our own forbids this connection.
    #[error("this node allows no further connection: {reason}")]
    NotAllowed {
        /// Which bound.
        reason: String,
    },
    /// Too many dials are under way.
    #[error("too many dials are under way")]
    Busy,
    /// The node was disconnected meanwhile.
    #[error("given up, since the node is to be disconnected")]
    GivenUp,
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The transport has ended.
    #[error("the network is shut down")]
    Stopped,
}

/// Takes the outcome of a dial.
pub(crate) type Dialer = oneshot::Sender<Result<NodeId, DialError>>;

/// Dials under way and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Dials(HashMap<ConnectionId, (Option<PeerId>, Dialer)>);

impl Dials {
    /// Whether there is room for another dial. Dials that nobody waits for any more make room.
    pub(crate) fn has_room(&mut self) -> bool {
        self.0.retain(|_, (_, dialer)| !dialer.is_closed());
        self.0.len() < DIALS_MAX
    }

    /// A dial was started.
    pub(crate) fn started(&mut self, connection: ConnectionId, peer: Option<PeerId>, dialer: Dialer) {
        self.0.insert(connection, (peer, dialer));
    }

    /// A connection stands: whoever waits for it or for its node is served.
    pub(crate) fn connected(&mut self, connection: ConnectionId, peer: PeerId, node: NodeId) {
        let served = self
            .0
            .extract_if(|id, (wanted, _)| *id == connection || *wanted == Some(peer));
        for (_, (_, dialer)) in served {
            let _ = dialer.send(Ok(node));
        }
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, connection: ConnectionId, error: &libp2p::swarm::DialError) {
        if let Some((_, dialer)) = self.0.remove(&connection) {
            let _ = dialer.send(Err(reason_of(error)));
        }
    }
}

/// A dial's failure in our words.
pub(crate) fn reason_of(error: &libp2p::swarm::DialError) -> DialError {
    use libp2p::swarm::DialError as Libp2p;
    match error {
        Libp2p::LocalPeerId { address } => DialError::Ourselves {
            address: one_line(&address.to_string()),
        },
        Libp2p::NoAddresses => DialError::NoAddress,
        Libp2p::WrongPeerId { obtained, address } => match node_of(obtained) {
            Some(found) => DialError::WrongNode {
                found,
                address: shown(address),
            },
            None => unreachable_at(address, "another program answers there"),
        },
        Libp2p::Denied { cause } => DialError::NotAllowed { reason: chain(cause) },
        Libp2p::Transport(attempts) => DialError::Unreachable {
            attempts: attempts
                .iter()
                .map(|(address, error)| FailedAddress {
                    address: shown(address),
                    reason: transport_reason(error),
                })
                .collect(),
        },
        Libp2p::Aborted | Libp2p::DialPeerConditionFalse(_) => DialError::GivenUp,
    }
}

fn unreachable_at(address: &Multiaddr, reason: &str) -> DialError {
    DialError::Unreachable {
        attempts: vec![FailedAddress {
            address: one_line(&address.to_string()),
            reason: reason.to_owned(),
        }],
    }
}

fn transport_reason(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => "this kind of address is not supported here".to_owned(),
        TransportError::Other(error) => chain(error),
    }
}

/// An address without its node, for people to read.
fn shown(address: &Multiaddr) -> String {
    one_line(&split_peer(address.clone()).0.to_string())
}

/// A text from elsewhere as part of a line of ours: the items of a list one after another, control characters escaped. Names in
/// addresses are whatever other nodes say they are.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines() {
        let part = part.trim();
        let part = part.strip_prefix("- ").unwrap_or(part);
        if part.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        for character in part.chars() {
            if character.is_control() {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
    }
    line
}

/// An error and what caused it, each said once, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = one_line(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = one_line(&error.to_string());
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Whom to dial, if it is known, and where.
pub(crate) type Target = (Option<PeerId>, Vec<Multiaddr>);

/// Sorts what is to be dialled.
pub(crate) fn targets(node: Option<NodeId>, addresses: &[String]) -> Result<Vec<Target>, DialError> {
    if addresses.len() > DIAL_ADDRESSES_MAX {
        return Err(DialError::TooManyAddresses {
            found: addresses.len(),
        });
    }
    let wanted = node.and_then(|node| peer_of(&node));
    let mut by_peer: BTreeMap<Option<PeerId>, Vec<Multiaddr>> = BTreeMap::new();
    for text in addresses {
        let bad = || DialError::BadAddress {
            address: text.clone(),
        };
        let (address, named) = split_peer(text.parse().map_err(|_| bad())?);
        if wanted.is_some() && named.is_some() && named != wanted {
            return Err(bad());
        }
        by_peer.entry(wanted.or(named)).or_default().push(address);
    }
    if wanted.is_some() {
        // Without an address too: the node may be connected already.
        by_peer.entry(wanted).or_default();
    }
    if by_peer.is_empty() {
        return Err(DialError::NoAddress);
    }
    let mut targets = Vec::new();
    for (peer, mut addresses) in by_peer {
        addresses.sort_by_key(rank);
        addresses.dedup();
        match peer {
            Some(_) => targets.push((peer, addresses)),
            // Each may be another node's.
            None => targets.extend(addresses.into_iter().map(|address| (None, vec![address]))),
        }
    }
    Ok(targets)
}

/// The error to report of two: attempts add up, and what says more wins.
pub(crate) fn merge(one: DialError, two: DialError) -> DialError {
    match (one, two) {
        (DialError::Unreachable { attempts: mut all }, DialError::Unreachable { attempts }) => {
            all.extend(attempts);
            DialError::Unreachable { attempts: all }
        }
        (DialError::NoAddress | DialError::Unreachable { .. }, other) => other,
        (one, _) => one,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn attempts(error: io::Error, address: &Multiaddr) -> Vec<FailedAddress> {
        let attempt = (address.clone(), TransportError::Other(error));
        match reason_of(&libp2p::swarm::DialError::Transport(vec![attempt])) {
            DialError::Unreachable { attempts } => attempts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn why_a_dial_failed_is_one_line() {
        let several = io::Error::other(
            "Multiple dial errors occurred:\n - Connection refused (os error 111)\n - Host is unreachable\r\n",
        );
        let address = "/ip4/192.0.2.1/tcp/24480".parse().unwrap();
        let reason = &attempts(several, &address)[0].reason;
        assert_eq!(
            reason,
            "Multiple dial errors occurred: Connection refused (os error 111); Host is unreachable"
        );
    }

    #[test]
    fn what_others_call_their_addresses_steers_no_terminal() {
        let name = "home\n\u{1b}[2Jerror";
        let address = Multiaddr::empty().with(libp2p::multiaddr::Protocol::Dns4(name.into()));
        let failed = &attempts(io::Error::other(format!("no such name: {name}")), &address)[0];
        for text in [&failed.address, &failed.reason] {
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(text.contains("\\u{1b}[2Jerror"), "{text:?}");
        }
        let ourselves = reason_of(&libp2p::swarm::DialError::LocalPeerId { address });
        assert!(!ourselves.to_string().contains(char::is_control), "{ourselves}");
    }
}
