//! Which hosts a recovery asks next. Pure.
//!
//! Anybody on the local network can show itself, and introduce as many others as it likes; so whom the person named comes first, then
//! whom they introduce, and strangers never take the places of those.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_format::NodeId;

/// Hosts that are asked in all.
const HOSTS_MAX: usize = 256;

/// Hosts among them that nobody is known to vouch for.
const STRANGERS_MAX: usize = 64;

/// How a host came to be known: the smaller, the sooner it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u8);

impl Rank {
    /// The person gave its address.
    pub(super) const NAMED: Self = Self(0);
    /// It is in the circle that this node is in already.
    pub(super) const MEMBER: Self = Self(1);
    /// It was seen on the local network.
    pub(super) const SEEN: Self = Self(3);

    /// That of a host whom one of this rank introduces.
    pub(super) fn introduced(self) -> Self {
        if self < Self::SEEN { Self(2) } else { Self(4) }
    }
}

/// Hosts to ask, each once.
#[derive(Debug)]
pub(super) struct HostQueue {
    waiting: BTreeMap<(Rank, u64), NodeId>,
    asked: BTreeSet<NodeId>,
    strangers_count: usize,
    next: u64,
}

impl HostQueue {
    /// Nobody yet; this node itself is never asked.
    pub(super) fn new(own: NodeId) -> Self {
        Self {
            waiting: BTreeMap::new(),
            asked: BTreeSet::from([own]),
            strangers_count: 0,
            next: 0,
        }
    }

    /// Adds hosts of a rank, behind those of the same rank.
    pub(super) fn push(&mut self, rank: Rank, hosts: impl IntoIterator<Item = NodeId>) {
        for host in hosts {
            if self.waiting.len() >= HOSTS_MAX {
                // The last of the worst gives way.
                match self.waiting.last_key_value() {
                    Some(((worst, _), _)) if *worst > rank => drop(self.waiting.pop_last()),
                    _ => return,
                }
            }
            self.waiting.insert((rank, self.next), host);
            self.next += 1;
        }
    }

    /// The next host to ask, and how it came to be known.
    pub(super) fn pop(&mut self) -> Option<(Rank, NodeId)> {
        while let Some(((rank, _), host)) = self.waiting.pop_first() {
            let is_stranger = rank >= Rank::SEEN;
            let is_full =
                self.asked.len() > HOSTS_MAX || (is_stranger && self.strangers_count >= STRANGERS_MAX);
            if !is_full && self.asked.insert(host) {
                self.strangers_count += usize::from(is_stranger);
                return Some((rank, host));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        NodeId::from_bytes(bytes)
    }

    #[test]
    fn whom_the_person_named_and_they_introduce_come_before_everybody_else() {
        let mut queue = HostQueue::new(host(0));
        queue.push(Rank::SEEN, [host(1), host(2)]);
        queue.push(Rank::NAMED, [host(3), host(0)]);
        assert_eq!(queue.pop(), Some((Rank::NAMED, host(3))));
        queue.push(Rank::SEEN.introduced(), [host(4)]);
        queue.push(Rank::NAMED.introduced(), [host(5), host(3)]);
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, host)| host).collect();
        assert_eq!(rest, [host(5), host(1), host(2), host(4)]);
    }

    #[test]
    fn strangers_without_number_leave_places_to_the_others() {
        let mut queue = HostQueue::new(host(0));
        queue.push(Rank::SEEN, (1..10_000).map(host));
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), STRANGERS_MAX);
        queue.push(Rank::SEEN, (10_000..20_000).map(host));
        queue.push(Rank::MEMBER.introduced(), (20_000..30_000).map(host));
        let first = queue.pop().unwrap();
        assert_eq!(first.0, Rank::MEMBER.introduced());
        assert_eq!(
            std::iter::from_fn(|| queue.pop()).count(),
            HOSTS_MAX - STRANGERS_MAX - 1
        );
    }
}
