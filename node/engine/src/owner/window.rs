//! The packs that an owner is looking at, and the pages by which it goes over its catalogue. Holds facts and their stage; what is to be
//! done for a pack is decided by the owner.
//!
//! A pass goes once over all pending packs and then, when nothing is left to do, over the weak ones. What can't be done now is
//! parked: dropped, counted, and met again by the next pass. So memory does not grow with the backup.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::{ByteCount, LabelId, NodeId};

use crate::boundary::{Domain, JournalPosition, OpId, PackKind, PackNumber, StripeFacts, StripeQuery};
use crate::durability::survives;
use crate::rules::{PAGE_LEN_MAX, RESHAPES_MAX, WINDOW_MAX};

/// Room in the window below which no page is read (count): many small pages cost more than a few larger ones.
const PAGE_LEN_MIN: usize = 8;

const _: () = assert!(PAGE_LEN_MIN <= PAGE_LEN_MAX && RESHAPES_MAX <= PAGE_LEN_MAX);

/// A pack in the window.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) kind: PackKind,
    pub(super) pack_len: ByteCount,
    /// Whether it was found weak rather than pending.
    pub(super) was_weak: bool,
    pub(super) stage: Stage,
}

/// How far a pack has come.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// It is to get a label; `previous` is the shape of a weaker one that it has.
    Unlabelled { previous: Option<Scheme> },
    /// It is getting one.
    Encoding { op: OpId, scheme: Scheme },
    /// It has one, and its shards are being placed.
    Labelled(Placing),
    /// Nothing is left to do; it stays until no page that was read before that can arrive.
    Done,
}

/// A stripe whose shards are being placed.
#[derive(Debug, Clone)]
pub(super) struct Placing {
    pub(super) label: LabelId,
    pub(super) scheme: Scheme,
    pub(super) shard_len: ByteCount,
    pub(super) journal: JournalPosition,
    pub(super) holders: BTreeSet<(ShardIndex, NodeId)>,
    /// Shards to send, and where, as of `planned`.
    pub(super) plan: BTreeMap<ShardIndex, NodeId>,
    /// The state of the hosts by which the plan was made; `None`: there is none.
    pub(super) planned: Option<u64>,
    /// Hosts that do not take a shard of this stripe.
    pub(super) refused_by: BTreeSet<NodeId>,
    /// Whether a better shape has been thought about.
    pub(super) considered: bool,
    /// Whether the catalogue knows better by now who holds what: nothing more is sent until it was read afresh.
    pub(super) is_stale: bool,
}

impl Placing {
    /// A stripe that nobody has a shard of.
    pub(super) fn new(
        label: LabelId,
        scheme: Scheme,
        shard_len: ByteCount,
        journal: JournalPosition,
    ) -> Self {
        Self {
            label,
            scheme,
            shard_len,
            journal,
            holders: BTreeSet::new(),
            plan: BTreeMap::new(),
            planned: None,
            refused_by: BTreeSet::new(),
            considered: false,
            is_stale: false,
        }
    }

    /// Whether each shard has a holder, or several copies of some make up for others: as many hosts may vanish then.
    pub(super) fn is_held(&self) -> bool {
        let has_holder = |index| self.holders.iter().any(|holder| holder.0 == index);
        if self.scheme.indices().all(has_holder) {
            return true;
        }
        let holders = self.holders.iter().map(|(index, node)| (*index, Domain(*node)));
        let holders: Vec<_> = holders.collect();
        survives(self.scheme, &holders) >= Some(self.scheme.parity())
    }
}

impl From<StripeFacts> for Item {
    fn from(facts: StripeFacts) -> Self {
        let stage = match facts.stripe {
            None => Stage::Unlabelled { previous: None },
            Some(stripe) => {
                let holders = stripe
                    .holders
                    .into_iter()
                    .filter(|holder| stripe.scheme.contains(holder.0));
                let placing = Placing::new(stripe.label, stripe.scheme, stripe.shard_len, stripe.journal);
                Stage::Labelled(Placing {
                    holders: holders.collect(),
                    ..placing
                })
            }
        };
        Self {
            kind: facts.kind,
            pack_len: facts.pack_len,
            was_weak: false,
            stage,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Idle,
    Running {
        query: StripeQuery,
        after: Option<PackNumber>,
        is_read: bool,
    },
}

/// A page to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageWanted {
    pub(super) query: StripeQuery,
    pub(super) after: Option<PackNumber>,
    pub(super) limit: usize,
}

/// The packs being looked at, and the pass.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) items: BTreeMap<PackNumber, Item>,
    pass: Pass,
    /// The page that was asked for and has not arrived.
    reading: Option<PageWanted>,
    /// Whether that page may have been read before something in it changed: then it is asked for again.
    is_page_stale: bool,
    /// Whether something has changed that a new pass must look at.
    again: bool,
    /// Pending packs that this pass, or the last one, could not finish (count).
    parked_count: u64,
    /// Whether anything has been achieved since packs were last set aside for others.
    progressed: bool,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            items: BTreeMap::new(),
            pass: Pass::Idle,
            reading: None,
            is_page_stale: false,
            again: true,
            parked_count: 0,
            progressed: false,
        }
    }

    /// A new pass follows the present one.
    pub(super) fn look_again(&mut self) {
        self.again = true;
    }

    pub(super) fn note_progress(&mut self) {
        self.progressed = true;
    }

    /// Drops a pack that can't be finished now. What is known of it here goes too, so an older page must not bring it back.
    pub(super) fn park(&mut self, item: &Item) {
        if !item.was_weak {
            self.parked_count += 1;
        }
        self.is_page_stale |= self.reading.is_some() && matches!(item.stage, Stage::Labelled(_));
    }

    pub(super) fn parked_count(&self) -> u64 {
        self.parked_count
    }

    /// Whether there is nothing to look at, and nothing on its way from the catalogue.
    pub(super) fn is_idle(&self) -> bool {
        self.pass == Pass::Idle && !self.again && self.reading.is_none() && self.items.is_empty()
    }

    /// The next page to ask for, if one is wanted now. `weak` is the question for weak packs, `None` while there is no use in it.
    pub(super) fn next_page(&mut self, weak: Option<StripeQuery>) -> Option<PageWanted> {
        if self.reading.is_some() {
            return None;
        }
        self.turn(weak);
        let Pass::Running {
            query,
            after,
            is_read: false,
        } = self.pass
        else {
            return None;
        };
        let room = WINDOW_MAX.saturating_sub(self.items.len());
        let limit = match query {
            StripeQuery::Pending if room >= PAGE_LEN_MIN => room.min(PAGE_LEN_MAX),
            StripeQuery::Weak { .. } if self.items.is_empty() => RESHAPES_MAX,
            StripeQuery::Pending | StripeQuery::Weak { .. } => return None,
        };
        let wanted = PageWanted { query, after, limit };
        self.reading = Some(wanted);
        Some(wanted)
    }

    /// Goes from one pass to the next where it is time.
    fn turn(&mut self, weak: Option<StripeQuery>) {
        let is_amid_pending = matches!(
            self.pass,
            Pass::Running {
                query: StripeQuery::Pending,
                is_read: false,
                ..
            }
        );
        if self.again && !is_amid_pending {
            self.pass = Pass::Running {
                query: StripeQuery::Pending,
                after: None,
                is_read: false,
            };
            self.again = false;
            self.parked_count = 0;
        } else if let Pass::Running {
            query, is_read: true, ..
        } = self.pass
            && self.items.is_empty()
        {
            let next = weak.filter(|_| query == StripeQuery::Pending);
            self.pass = next.map_or(Pass::Idle, |query| Pass::Running {
                query,
                after: None,
                is_read: false,
            });
        }
    }

    /// Takes a page. Packs that are in the window already are known better here.
    pub(super) fn take_page(&mut self, query: StripeQuery, page: Vec<StripeFacts>, next: Option<PackNumber>) {
        let Some(wanted) = self.reading.take_if(|wanted| wanted.query == query) else {
            return;
        };
        if std::mem::take(&mut self.is_page_stale) {
            return;
        }
        self.pass = match next {
            Some(last) => Pass::Running {
                query,
                after: Some(last),
                is_read: false,
            },
            None => Pass::Running {
                query,
                after: wanted.after,
                is_read: true,
            },
        };
        for facts in page.into_iter().take(wanted.limit) {
            let pack = facts.pack;
            let item = Item {
                was_weak: query != StripeQuery::Pending,
                ..Item::from(facts)
            };
            self.items.entry(pack).or_insert(item);
        }
        self.items.retain(|_, item| !matches!(item.stage, Stage::Done));
        assert!(self.items.len() <= WINDOW_MAX, "the window is bounded");
    }

    /// Puts a pack back after it was looked at: finished ones stay only while a page is on its way.
    pub(super) fn put_back(&mut self, pack: PackNumber, item: Item) {
        if !matches!(item.stage, Stage::Done) || self.reading.is_some() {
            self.items.insert(pack, item);
        }
    }

    /// Sets aside what waits for slow hosts, so that idle ones get work from later packs; a new pass comes back to it.
    /// Not twice without progress in between, or pages would be read in a circle.
    pub(super) fn set_aside(&mut self, is_busy: impl Fn(PackNumber) -> bool) {
        let is_full = WINDOW_MAX - self.items.len() < PAGE_LEN_MIN;
        let has_more = matches!(
            self.pass,
            Pass::Running {
                query: StripeQuery::Pending,
                is_read: false,
                ..
            }
        );
        if is_full && has_more && self.progressed && self.reading.is_none() {
            self.progressed = false;
            self.drop_waiting(is_busy);
        }
    }

    /// Drops every labelled pack without a shard on its way; a new pass reads it afresh.
    pub(super) fn drop_waiting(&mut self, is_busy: impl Fn(PackNumber) -> bool) {
        let before = self.items.len();
        self.items
            .retain(|pack, item| !matches!(item.stage, Stage::Labelled(_)) || is_busy(*pack));
        self.again |= self.items.len() < before;
    }

    /// Somebody holds something that was not known: every labelled pack is read afresh, as soon as nothing of it is on its way, and so
    /// is a page that is just being read.
    pub(super) fn distrust(&mut self, is_busy: impl Fn(PackNumber) -> bool) {
        self.drop_waiting(is_busy);
        self.is_page_stale = self.reading.is_some();
        for item in self.items.values_mut() {
            if let Stage::Labelled(placing) = &mut item.stage {
                placing.is_stale = true;
            }
        }
        self.look_again();
    }

    pub(super) fn encoding_count(&self) -> usize {
        self.items
            .values()
            .filter(|item| matches!(item.stage, Stage::Encoding { .. }))
            .count()
    }

    /// The pack that is being encoded by this operation.
    pub(super) fn encoded_by(&self, op: OpId) -> Option<PackNumber> {
        self.items
            .iter()
            .find(|(_, item)| matches!(item.stage, Stage::Encoding { op: own, .. } if own == op))
            .map(|(pack, _)| *pack)
    }
}
