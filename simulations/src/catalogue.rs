//! An owner's catalogue and staging in a simulation: packs, labels, holders, and the pages that the engine asks for. Survives crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use nuthatch_engine::boundary::{
    EndangeredPage, JournalPosition, PackKind, PackNumber, Stripe, StripeFacts, StripeQuery,
};
use nuthatch_engine::durability::is_weak;
use nuthatch_engine::repair::{Due, HealthView};
use nuthatch_engine::{Scheme, ShardIndex};
use nuthatch_format::{ByteCount, LabelId, NodeId};

/// A pack and all its stripes, oldest first.
#[derive(Debug, Clone)]
pub struct Pack {
    /// What it holds.
    pub kind: PackKind,
    /// Its length.
    pub len: ByteCount,
    /// Whether its bytes are in staging.
    pub staged: bool,
    /// Its labelled stripes.
    pub stripes: Vec<Stripe>,
}

impl Pack {
    fn is_pending(&self) -> bool {
        self.staged && self.stripes.last().is_none_or(|stripe| !is_complete(stripe))
    }
}

fn is_complete(stripe: &Stripe) -> bool {
    stripe
        .scheme
        .indices()
        .all(|index| stripe.holders.iter().any(|holder| holder.0 == index))
}

/// An archive as its owner knows it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// All packs.
    pub packs: BTreeMap<PackNumber, Pack>,
    /// How far the journal is written.
    pub journal: JournalPosition,
    label_count: u64,
}

impl Catalogue {
    /// Adds a staged pack.
    pub fn stage(&mut self, kind: PackKind, len: ByteCount) -> PackNumber {
        let number = PackNumber(self.packs.len() as u64);
        self.packs.insert(
            number,
            Pack {
                kind,
                len,
                staged: true,
                stripes: Vec::new(),
            },
        );
        number
    }

    /// Writes a segment.
    pub fn write_segment(&mut self) -> JournalPosition {
        self.journal.0 += 1;
        self.journal
    }

    /// Gives a pack a label, in a segment of its own. The name is unique within `owner`.
    pub fn label(&mut self, owner: u8, number: PackNumber, scheme: Scheme) -> Option<Stripe> {
        self.label_count += 1;
        let mut name = [owner; LabelId::LEN];
        name[..8].copy_from_slice(&self.label_count.to_le_bytes());
        let journal = self.write_segment();
        let pack = self.packs.get_mut(&number)?;
        let stripe = Stripe {
            label: LabelId::from_bytes(name),
            scheme,
            shard_len: ByteCount(scheme.shard_len(pack.len.0)),
            journal,
            holders: Vec::new(),
        };
        pack.staged = true;
        pack.stripes.push(stripe.clone());
        Some(stripe)
    }

    /// The stripe with this label.
    pub fn stripe(&self, number: PackNumber, label: LabelId) -> Option<&Stripe> {
        self.packs
            .get(&number)?
            .stripes
            .iter()
            .find(|stripe| stripe.label == label)
    }

    /// A pack's bytes are no longer needed here.
    pub fn unstage(&mut self, number: PackNumber) {
        if let Some(pack) = self.packs.get_mut(&number) {
            pack.staged = false;
        }
    }

    /// Notes that a host signed for a shard.
    pub fn add_holder(&mut self, label: LabelId, index: ShardIndex, node: NodeId) {
        for pack in self.packs.values_mut() {
            if let Some(stripe) = pack.stripes.iter_mut().find(|stripe| stripe.label == label)
                && !stripe.holders.contains(&(index, node))
            {
                stripe.holders.push((index, node));
            }
        }
    }

    /// Corrects the holders by a host's inventory; how many were lost and found.
    pub fn reconcile(&mut self, node: NodeId, kept: &BTreeSet<(LabelId, ShardIndex)>) -> (u64, u64) {
        let known: BTreeSet<(LabelId, ShardIndex)> = self
            .stripes()
            .flat_map(|stripe| {
                stripe
                    .holders
                    .iter()
                    .map(move |holder| (stripe.label, holder.0, holder.1))
            })
            .filter(|holder| holder.2 == node)
            .map(|holder| (holder.0, holder.1))
            .collect();
        for pack in self.packs.values_mut() {
            for stripe in &mut pack.stripes {
                let label = stripe.label;
                stripe
                    .holders
                    .retain(|(index, holder)| *holder != node || kept.contains(&(label, *index)));
            }
        }
        for (label, index) in kept.difference(&known) {
            self.add_holder(*label, *index, node);
        }
        (
            known.difference(kept).count() as u64,
            kept.difference(&known).count() as u64,
        )
    }

    /// A host does not have these.
    pub fn disprove(&mut self, node: NodeId, missing: &BTreeSet<(LabelId, ShardIndex)>) {
        for stripe in self.packs.values_mut().flat_map(|pack| &mut pack.stripes) {
            let label = stripe.label;
            let is_missing = |index, holder| holder == node && missing.contains(&(label, index));
            stripe
                .holders
                .retain(|(index, holder)| !is_missing(*index, *holder));
        }
    }

    /// All stripes of all packs.
    pub fn stripes(&self) -> impl Iterator<Item = &Stripe> {
        self.packs.values().flat_map(|pack| &pack.stripes)
    }

    /// A page, as the engine asks for it.
    pub fn page(
        &self,
        query: StripeQuery,
        after: Option<PackNumber>,
        limit: usize,
    ) -> (Vec<StripeFacts>, Option<PackNumber>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let is_wanted = |pack: &Pack| match query {
            StripeQuery::Pending => pack.is_pending(),
            StripeQuery::Weak { hosts, target } => pack
                .stripes
                .last()
                .is_some_and(|stripe| is_weak(stripe.scheme, hosts, target)),
        };
        let mut wanted = self
            .packs
            .range((from, Bound::Unbounded))
            .filter(|(_, pack)| is_wanted(pack));
        let page: Vec<StripeFacts> = wanted
            .by_ref()
            .take(limit)
            .map(|(number, pack)| StripeFacts {
                pack: *number,
                kind: pack.kind,
                pack_len: pack.len,
                stripe: pack.stripes.last().cloned(),
            })
            .collect();
        let next = wanted.next().and(page.last()).map(|last| last.pack);
        (page, next)
    }

    /// A page of stripes that are to be rebuilt, as the engine asks for it.
    pub fn endangered(
        &self,
        view: &HealthView,
        margin: u8,
        after: Option<PackNumber>,
        limit: usize,
    ) -> EndangeredPage {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = EndangeredPage::default();
        for (number, pack) in self.packs.range((from, Bound::Unbounded)) {
            let Some(stripe) = pack.stripes.last().filter(|_| !pack.staged) else {
                continue;
            };
            let due = view.due(stripe.scheme, &stripe.holders);
            found.note(due, view.is_clumped(stripe.scheme, &stripe.holders), margin);
            if due == (Due::Rebuild { margin }) {
                found.page.push(StripeFacts {
                    pack: *number,
                    kind: pack.kind,
                    pack_len: pack.len,
                    stripe: Some(stripe.clone()),
                });
            }
            if found.page.len() >= limit {
                found.next = Some(*number);
                break;
            }
        }
        found
    }
}
