//! Nonces that a host has given out to be signed: each good for one peer, once, for a short time.
//!
//! Whatever signs a nonce can't be used again here, and since it names this host, nowhere else.

use std::collections::BTreeMap;

use nuthatch_format::{NodeId, Span, Timestamp};

use crate::attest::Nonce;

/// Nonces that are open at once. When there are more, the oldest is forgotten: its peer asks again.
pub const CHALLENGES_MAX: usize = 256;

/// How long a peer may take to sign.
pub const CHALLENGE_TERM: Span = Span::from_secs(120);

/// The open nonces of a host, at most one for each peer.
#[derive(Debug, Default)]
pub struct Challenges(BTreeMap<NodeId, (Timestamp, Nonce)>);

impl Challenges {
    /// None open.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Opens a nonce, which must be random, for a peer; an earlier one for it is forgotten.
    pub fn issue(&mut self, peer: NodeId, nonce: Nonce, now: Timestamp) {
        self.0.insert(peer, (now, nonce));
        while self.0.len() > CHALLENGES_MAX {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(_, (at, _))| *at)
                .map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
    }

    /// The peer's nonce, which is no longer open afterwards; `None` when there is none, or it is too old.
    pub fn redeem(&mut self, peer: &NodeId, now: Timestamp) -> Option<Nonce> {
        let (at, nonce) = self.0.remove(peer)?;
        (now.since(at) <= CHALLENGE_TERM).then_some(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        NodeId::from_bytes(bytes)
    }

    #[test]
    fn a_nonce_is_good_once_for_its_peer_and_not_for_long() {
        let mut challenges = Challenges::new();
        challenges.issue(peer(1), Nonce([1; 32]), Timestamp(0));
        assert_eq!(challenges.redeem(&peer(2), Timestamp(1)), None);
        assert_eq!(challenges.redeem(&peer(1), Timestamp(1)), Some(Nonce([1; 32])));
        assert_eq!(challenges.redeem(&peer(1), Timestamp(1)), None);
        challenges.issue(peer(1), Nonce([2; 32]), Timestamp(0));
        assert_eq!(challenges.redeem(&peer(1), Timestamp(CHALLENGE_TERM.0 + 1)), None);
    }

    #[test]
    fn the_number_of_open_nonces_is_bounded() {
        let mut challenges = Challenges::new();
        for number in 0..1000 {
            challenges.issue(peer(number), Nonce([0; 32]), Timestamp(u64::from(number)));
            assert!(challenges.0.len() <= CHALLENGES_MAX);
        }
        assert_eq!(challenges.redeem(&peer(0), Timestamp(999)), None);
        assert_eq!(
            challenges.redeem(&peer(999), Timestamp(999)),
            Some(Nonce([0; 32]))
        );
    }
}
