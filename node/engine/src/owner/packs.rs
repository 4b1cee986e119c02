//! What is done for each pack in the window: a label of the right shape, a place for every shard. One look at a pack ends with what
//! can be started being started; facts come from the window and the hosts, rules from `durability` and `placement`.

use std::collections::BTreeSet;

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::{ByteCount, NodeId};

use super::Owner;
use super::doubts::Doubt;
use super::transfers::Transfer;
use super::window::{Item, Placing, Stage};
use crate::boundary::{Domain, Effect, Event, PackKind, PackNumber};
use crate::circle::Circle;
use crate::durability::{is_better, is_weak, shape_for};
use crate::leases::Purpose;
use crate::outbox::Context;
use crate::placement::{Candidate, place};
use crate::rules::{ENCODES_MAX, STRIPE_HOSTS_MAX};
use crate::targets::{Goals, choose, ranked};

/// A shard, who has it or is about to, and what that host is lost together with.
type Held = (ShardIndex, NodeId, Domain);

/// What becomes of a pack after it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Parks,
}

impl Owner {
    pub(super) fn advance_all(&mut self, circle: &Circle, cx: &mut Context<'_>) {
        let may_advance = |item: &Item| match &item.stage {
            Stage::Unlabelled { .. } => true,
            Stage::Labelled(placing) => !placing.considered || self.transfers.has_slot(),
            Stage::Encoding { .. } | Stage::Done => false,
        };
        let items = self.window.items.iter();
        let packs: Vec<PackNumber> = items
            .filter(|(pack, item)| may_advance(item) && !self.repairs.has(**pack))
            .map(|(pack, _)| *pack)
            .collect();
        for pack in packs {
            let Some(mut item) = self.window.items.remove(&pack) else {
                continue;
            };
            match self.advance(pack, &mut item, circle, cx) {
                Fate::Stays => self.window.put_back(pack, item),
                Fate::Parks => self.window.park(&item),
            }
        }
    }

    fn advance(&mut self, pack: PackNumber, item: &mut Item, circle: &Circle, cx: &mut Context<'_>) -> Fate {
        self.consider(item, circle, cx);
        let was_weak = item.was_weak;
        match &mut item.stage {
            Stage::Unlabelled { previous } => {
                let previous = *previous;
                self.encode(pack, item, previous, circle, cx)
            }
            Stage::Labelled(placing) if was_weak && !placing.considered => {
                if self.settles_at.is_some() {
                    Fate::Stays
                } else {
                    Fate::Parks
                }
            }
            Stage::Labelled(placing) => {
                let fate = self.place_and_send(pack, item.kind, placing, circle, cx);
                if !placing.is_held() {
                    return fate;
                }
                cx.out.report(Event::StripeComplete {
                    pack,
                    label: placing.label,
                });
                item.stage = Stage::Done;
                Fate::Stays
            }
            Stage::Encoding { .. } | Stage::Done => Fate::Stays,
        }
    }

    /// Thinks once about a better shape for a pack that has a label, when it is clear who is here and nothing of it is on its way.
    fn consider(&self, item: &mut Item, circle: &Circle, cx: &Context<'_>) {
        let Stage::Labelled(placing) = &mut item.stage else {
            return;
        };
        let is_time = self.settles_at.is_none() && self.hosts.some_are_here(cx.now);
        if placing.considered || !is_time || self.transfers.of_label(placing.label).next().is_some() {
            return;
        }
        placing.considered = true;
        let (current, is_held) = (placing.scheme, placing.is_held());
        if self.is_worth_reshaping(current, (item.kind, item.pack_len), circle, cx) {
            item.stage = Stage::Unlabelled {
                previous: Some(current),
            };
        } else if is_held {
            item.stage = Stage::Done;
        }
    }

    /// Starts an encoding when there is a host, a shape and a slot.
    fn encode(
        &mut self,
        pack: PackNumber,
        item: &mut Item,
        previous: Option<Scheme>,
        circle: &Circle,
        cx: &mut Context<'_>,
    ) -> Fate {
        if self.settles_at.is_some() {
            return Fate::Stays;
        }
        if !self.hosts.some_are_here(cx.now) {
            return Fate::Parks;
        }
        if self.window.encoding_count() >= ENCODES_MAX || !cx.is_due(self.encode_not_before) {
            return Fate::Stays;
        }
        let Some(scheme) = self.shape((item.kind, item.pack_len), circle, cx) else {
            return Fate::Parks;
        };
        let hosts = self.count(circle, cx);
        if previous.is_some_and(|previous| !is_better(scheme, previous, hosts)) {
            return Fate::Parks;
        }
        let op = cx.out.next_op();
        item.stage = Stage::Encoding { op, scheme };
        cx.out.push(Effect::Encode {
            op,
            archive: self.archive,
            pack,
            scheme,
        });
        cx.out.report(Event::Shaped {
            pack,
            scheme,
            again: previous.is_some(),
        });
        Fate::Stays
    }

    /// Sends what can be sent now; parks what no connected host can take.
    pub(super) fn place_and_send(
        &mut self,
        pack: PackNumber,
        kind: PackKind,
        placing: &mut Placing,
        circle: &Circle,
        cx: &mut Context<'_>,
    ) -> Fate {
        if placing.is_stale {
            if self.transfers.of_label(placing.label).next().is_some() {
                return Fate::Stays;
            }
            self.window.look_again();
            return Fate::Parks;
        }
        let wanted = (placing.shard_len, Purpose::from(kind));
        if placing.planned != Some(self.hosts.version) {
            self.plan(placing, wanted, circle, cx);
        }
        let is_starting = !cx.is_due(self.opened_at.after(cx.rules.owner.handshake));
        if self.settles_at.is_some() && is_starting {
            // What was on its way when the last run ended may have arrived; the hosts are being asked.
            return Fate::Stays;
        }
        let ready: Vec<(ShardIndex, NodeId)> =
            placing.plan.iter().map(|(index, node)| (*index, *node)).collect();
        for (index, node) in ready {
            if self
                .hosts
                .is_ready(node, wanted, placing.journal, &self.transfers, cx.now)
            {
                let op = cx.out.next_op();
                placing.plan.remove(&index);
                let (label, len) = (placing.label, placing.shard_len);
                self.transfers.start(
                    op,
                    Transfer {
                        pack,
                        label,
                        index,
                        to: node,
                        len,
                    },
                );
                cx.out.push(Effect::Transfer {
                    op,
                    archive: self.archive,
                    pack,
                    label,
                    index,
                    to: node,
                });
            }
        }
        let is_moving = !placing.plan.is_empty() || self.transfers.of_label(placing.label).next().is_some();
        if is_moving { Fate::Stays } else { Fate::Parks }
    }

    pub(super) fn plan(
        &self,
        placing: &mut Placing,
        wanted: (ByteCount, Purpose),
        circle: &Circle,
        cx: &mut Context<'_>,
    ) {
        let (label, scheme) = (placing.label, placing.scheme);
        let at = |(index, node): (ShardIndex, NodeId)| (index, node, circle.domain_of(node));
        let sure: Vec<Held> = placing
            .holders
            .iter()
            .copied()
            .chain(self.transfers.of_label(label))
            .map(at)
            .collect();
        let doubts: Vec<Doubt> = self.doubts.of_label(label).collect();
        let doubted = |doubt: &Doubt| at((doubt.index, doubt.node));
        let candidates: Vec<Candidate> = self
            .hosts
            .takers(wanted, circle, &self.transfers, cx.now)
            .into_iter()
            .filter(|taker| !placing.refused_by.contains(&taker.node))
            .filter(|taker| self.audits.is_sound(taker.node, cx.now, &cx.rules.audit))
            .map(|taker| Candidate {
                node: taker.node,
                domain: taker.domain,
                free: taker.room,
            })
            .collect();
        let holders: Vec<Held> = sure.iter().copied().chain(doubts.iter().map(doubted)).collect();
        let likely = self.likely_hosts(scheme, circle, cx);
        let (first, others): (Vec<Candidate>, Vec<Candidate>) = candidates
            .iter()
            .copied()
            .partition(|one| likely.as_ref().is_none_or(|likely| likely.contains(&one.node)));
        placing.plan = place(scheme, &holders, &first, cx.rng).moves;
        if !others.is_empty() {
            let planned = placing.plan.iter().map(|(index, node)| at((*index, *node)));
            let holders: Vec<Held> = holders.iter().copied().chain(planned).collect();
            placing
                .plan
                .extend(place(scheme, &holders, &others, cx.rng).moves);
        }
        placing.planned = Some(self.hosts.version);

        // What has long been in doubt goes to hosts that nothing else of the stripe is for: there a copy takes nobody's place.
        let is_fresh = |doubt: &&Doubt| !cx.is_due(doubt.since.after(cx.rules.owner.doubt));
        let fresh: Vec<Held> = doubts.iter().filter(is_fresh).map(doubted).collect();
        if fresh.len() < doubts.len() {
            let is_spare = |one: &&Candidate| {
                let is_planned = placing.plan.values().any(|node| *node == one.node);
                !is_planned && doubts.iter().all(|doubt| doubt.node != one.node)
            };
            let spare: Vec<Candidate> = candidates.iter().filter(is_spare).copied().collect();
            let planned = placing.plan.iter().map(|(index, node)| at((*index, *node)));
            let holders: Vec<Held> = sure.into_iter().chain(planned).chain(fresh).collect();
            let more = place(scheme, &holders, &spare, cx.rng).moves;
            placing.plan.extend(more);
        }
    }

    /// Failure domains that a stripe may count on (count).
    pub(super) fn count(&self, circle: &Circle, cx: &Context<'_>) -> u8 {
        let count = self
            .hosts
            .domains_counted(None, circle, &self.transfers, cx)
            .len();
        u8::try_from(count.min(STRIPE_HOSTS_MAX)).unwrap_or(u8::MAX)
    }

    /// The hosts that a stripe of this shape is for, the ones that are here most; `None` while that is not known: then it is for all.
    fn likely_hosts(&self, scheme: Scheme, circle: &Circle, cx: &Context<'_>) -> Option<BTreeSet<NodeId>> {
        let (nodes, histories) = self.hosts.histories_counted(circle, cx);
        let ranked = ranked(&histories)?;
        let first = ranked.into_iter().take(usize::from(scheme.total()));
        Some(first.filter_map(|place| nodes.get(place).copied()).collect())
    }

    /// The cheapest shape by what is remembered of the hosts; `None` while that is too little, or too few have room.
    fn shape_by_history(
        &self,
        (kind, len): (PackKind, ByteCount),
        circle: &Circle,
        cx: &Context<'_>,
    ) -> Option<Scheme> {
        let (_, histories) = self.hosts.histories_counted(circle, cx);
        let scheme = choose(&histories, self.target(circle), kind, &Goals::default())?.scheme;
        let wanted = (ByteCount(scheme.shard_len(len.0)), Purpose::from(kind));
        let roomy = self
            .hosts
            .domains_counted(Some(wanted), circle, &self.transfers, cx)
            .len();
        (roomy >= usize::from(scheme.total())).then_some(scheme)
    }

    /// The best shape for a pack over the hosts that have room for its shards: by what is remembered of them, else by their number;
    /// `None` when there is none.
    fn shape(&self, (kind, len): (PackKind, ByteCount), circle: &Circle, cx: &Context<'_>) -> Option<Scheme> {
        if let Some(scheme) = self.shape_by_history((kind, len), circle, cx) {
            return Some(scheme);
        }
        let target = self.target(circle);
        let mut hosts = self
            .hosts
            .domains_counted(None, circle, &self.transfers, cx)
            .len();
        loop {
            let scheme = shape_for(hosts, target, kind)?;
            let wanted = (ByteCount(scheme.shard_len(len.0)), Purpose::from(kind));
            let roomy = self
                .hosts
                .domains_counted(Some(wanted), circle, &self.transfers, cx)
                .len();
            if roomy >= usize::from(scheme.total()) {
                return Some(scheme);
            }
            // Fewer hosts mean longer shards, which fit on fewer hosts still; each round loses one, down to none.
            hosts = roomy;
        }
    }

    fn is_worth_reshaping(
        &self,
        current: Scheme,
        pack: (PackKind, ByteCount),
        circle: &Circle,
        cx: &Context<'_>,
    ) -> bool {
        let hosts = self.count(circle, cx);
        is_weak(current, hosts, self.target(circle))
            && self
                .shape(pack, circle, cx)
                .is_some_and(|shape| is_better(shape, current, hosts))
    }
}
