//! What the state of the hosts means to an owner: whom a shard can be given to, whom a stripe may count on, what is still expected.
//! Changes nothing.

use std::collections::BTreeSet;

use nuthatch_format::{ByteCount, NodeId, Timestamp};

use super::{Chore, Host, Hosts, Session, Taker};
use crate::boundary::{Domain, JournalPosition};
use crate::circle::Circle;
use crate::leases::{HeldLease, Purpose};
use crate::outbox::Context;
use crate::owner::transfers::Transfers;
use crate::repair::HostHealth;
use crate::targets::Histories;

impl Hosts {
    /// Hosts that could take a shard of this length now or as soon as their lease has grown.
    pub(in crate::owner) fn takers(
        &self,
        (len, purpose): (ByteCount, Purpose),
        circle: &Circle,
        transfers: &Transfers,
        now: Timestamp,
    ) -> Vec<Taker> {
        let taker = |(node, host): (&NodeId, &Host)| {
            let session = host.session.as_ref()?;
            let is_leased = host.lease.is_some_and(|lease| lease.is_valid(now));
            let is_sound = circle
                .get(*node)
                .is_some_and(|member| member.health() == HostHealth::Sound);
            let room = host.room(transfers.bytes_to(*node), purpose);
            let is_able = is_sound
                && is_leased
                && !host.is_closed
                && session.unable_until.is_none()
                && (room >= len || host.may_grow(now));
            is_able.then(|| Taker {
                node: *node,
                domain: circle.domain_of(*node),
                room,
            })
        };
        self.hosts.iter().filter_map(taker).collect()
    }

    /// Whether a shard can be sent to a host at this very moment.
    pub(in crate::owner) fn is_ready(
        &self,
        node: NodeId,
        (len, purpose): (ByteCount, Purpose),
        journal: JournalPosition,
        transfers: &Transfers,
        now: Timestamp,
    ) -> bool {
        let Some(host) = self.hosts.get(&node) else {
            return false;
        };
        let Some(session) = &host.session else {
            return false;
        };
        now >= session.busy_until
            && session.journal >= Some(journal)
            && !session.inventory.is_open()
            && !host.is_closed
            && host.lease.is_some_and(|lease| lease.is_valid(now))
            && host.room(transfers.bytes_to(node), purpose) >= len
            && transfers.has_slot_to(node)
    }

    /// Failure domains of the hosts that a new stripe may count on: leased, here or away within their grace, and with room for a
    /// shard of this length; `None` as length: whatever their room.
    pub(in crate::owner) fn domains_counted(
        &self,
        wanted: Option<(ByteCount, Purpose)>,
        circle: &Circle,
        transfers: &Transfers,
        cx: &Context<'_>,
    ) -> BTreeSet<Domain> {
        let counts = |(node, host): (&NodeId, &Host)| {
            let member = circle.get(*node)?;
            let has_room = wanted.is_none_or(|(len, purpose)| {
                let is_able = host.session.is_none_or(|session| session.unable_until.is_none());
                is_able
                    && !host.is_closed
                    && (host.may_grow(cx.now) || host.room(transfers.bytes_to(*node), purpose) >= len)
            });
            let counts = host.lease.is_some() && has_room && member.counts();
            counts.then_some(member.domain)
        };
        self.hosts.iter().filter_map(counts).collect()
    }

    /// The hosts that a new stripe may count on, whatever their room, and what is remembered of each.
    pub(in crate::owner) fn histories_counted(
        &self,
        circle: &Circle,
        cx: &Context<'_>,
    ) -> (Vec<NodeId>, Histories) {
        let counted = |(node, host): (&NodeId, &Host)| {
            let member = circle
                .get(*node)
                .filter(|member| host.lease.is_some() && !host.is_closed && member.counts())?;
            Some((*node, member.history.looks(member.domain, cx.now)))
        };
        let (nodes, hosts) = self.hosts.iter().filter_map(counted).unzip();
        let histories = Histories {
            hosts,
            ..Histories::default()
        };
        (nodes, histories)
    }

    /// Failure domains of all members that ever granted a lease and are not gone or given up.
    pub(in crate::owner) fn domains_leased(&self, circle: &Circle) -> BTreeSet<Domain> {
        self.hosts
            .iter()
            .filter(|(_, host)| host.lease.is_some())
            .filter_map(|(node, _)| circle.get(*node))
            .filter(|member| member.health() == HostHealth::Sound)
            .map(|member| member.domain)
            .collect()
    }

    /// Whether any host is here and leased.
    pub(in crate::owner) fn some_are_here(&self, now: Timestamp) -> bool {
        self.hosts
            .values()
            .any(|host| host.session.is_some() && host.lease.is_some_and(|lease| lease.is_valid(now)))
    }

    /// Hosts that can be talked to.
    pub(in crate::owner) fn here(&self) -> impl Iterator<Item = NodeId> {
        let here = self.hosts.iter().filter(|(_, host)| host.session.is_some());
        here.map(|(node, _)| *node)
    }

    /// Hosts that are here and keep something: what an archive has at a host is audited whether or not the lease is still valid.
    pub(in crate::owner) fn auditable(&self) -> impl Iterator<Item = NodeId> {
        self.hosts
            .iter()
            .filter(|(_, host)| host.session.is_some() && host.kept > ByteCount::ZERO)
            .map(|(node, _)| *node)
    }

    /// Hosts that keep something, as far as this run knows (count).
    pub(in crate::owner) fn keeping_count(&self) -> usize {
        self.hosts
            .values()
            .filter(|host| host.kept > ByteCount::ZERO)
            .count()
    }

    /// Whether this host's first lease is being asked for.
    pub(in crate::owner) fn is_asking_first(&self, node: NodeId) -> bool {
        self.hosts
            .get(&node)
            .is_some_and(|host| host.lease.is_none() && host.asking.is_some())
    }

    /// Whether this host has a lease and has not yet said what it keeps.
    pub(in crate::owner) fn is_to_be_inventoried(&self, node: NodeId) -> bool {
        self.hosts.get(&node).is_some_and(|host| {
            host.lease.is_some() && host.session.is_some_and(|session| !session.is_inventoried)
        })
    }

    /// Whether nothing is expected soon of any connected host, beside shards.
    pub(in crate::owner) fn are_idle(&self, now: Timestamp) -> bool {
        self.hosts.values().all(|host| {
            let is_leased = host.lease.is_some_and(|lease| lease.is_valid(now));
            let has_open_chores = host
                .session
                .is_some_and(|session| session.segments.is_open() || session.inventory.is_open());
            host.asking.is_none() && !(is_leased && has_open_chores)
        })
    }

    /// Whether some connected host could take another shard and has none on its way.
    pub(in crate::owner) fn some_are_unused(&self, transfers: &Transfers, now: Timestamp) -> bool {
        self.hosts.iter().any(|(node, host)| {
            let is_able = host.session.is_some_and(|session| {
                session.unable_until.is_none() && now >= session.busy_until && !session.inventory.is_open()
            });
            let is_able = is_able && !host.is_closed;
            is_able && transfers.count_to(*node) == 0 && host.lease.is_some_and(|lease| lease.is_valid(now))
        })
    }

    /// The hosts that hold a lease.
    pub(in crate::owner) fn leased(&self) -> impl Iterator<Item = NodeId> {
        let leased = self.hosts.iter().filter(|(_, host)| host.lease.is_some());
        leased.map(|(node, _)| *node)
    }

    pub(in crate::owner) fn asking_count(&self) -> usize {
        self.hosts.values().filter(|host| host.asking.is_some()).count()
    }

    pub(in crate::owner) fn sending_count(&self) -> usize {
        self.running_count(|session| session.segments)
    }

    pub(in crate::owner) fn comparing_count(&self) -> usize {
        self.running_count(|session| session.inventory)
    }

    fn running_count(&self, chore: impl Fn(&Session) -> Chore) -> usize {
        let sessions = self.hosts.values().filter_map(|host| host.session.as_ref());
        sessions
            .filter(|session| matches!(chore(session), Chore::Running(_)))
            .count()
    }

    /// What a member keeps by its last inventory and what it signed for since; `None` while it has promised space and not shown one.
    pub(in crate::owner) fn given_by(&self, node: NodeId, now: Timestamp) -> Option<ByteCount> {
        let Some(host) = self.hosts.get(&node) else {
            return Some(ByteCount::ZERO);
        };
        let is_promised = host.lease.is_some_and(|lease| lease.is_valid(now));
        (host.is_kept_known || !is_promised).then_some(host.kept)
    }

    /// A host's lease, what it keeps, and whether it can be talked to.
    pub(in crate::owner) fn view(&self, node: NodeId) -> Option<(HeldLease, ByteCount)> {
        let host = self.hosts.get(&node)?;
        Some((host.lease?, host.kept))
    }
}
