//! An owner with hosts that come and go, in a world that answers everything at once and keeps count of what moves.

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_engine::boundary::{
    Domain, Effect, EndangeredPage, Event, HostTerms, Input, InventoryOutcome, JournalPosition, LeaseAnswer,
    MemberFacts, OpId, PackKind, PackNumber, PathClass, RecallOutcome, SegmentsOutcome, Stripe, StripeFacts,
    TransferOutcome,
};
use nuthatch_engine::record::Record;
use nuthatch_engine::repair::{Due, HealthView, HostHealth, RepairSource};
use nuthatch_engine::rules::Rules;
use nuthatch_engine::{Engine, Scheme, ShardIndex};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Span, Timestamp};

const ARCHIVE: ArchiveId = ArchiveId::from_bytes([9; 32]);
pub(crate) const SHARD_LEN: ByteCount = ByteCount(1 << 20);

pub(crate) fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

/// An owner with hosts 1.., whose world answers everything at once and keeps count of what moves.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    rules: Rules,
    pub(crate) now: Timestamp,
    pub(crate) members: Vec<MemberFacts>,
    here: BTreeSet<u8>,
    pub(crate) packs: BTreeMap<PackNumber, Stripe>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Recalls wait in `held` instead of being answered at once.
    pub(crate) holds_recalls: bool,
    pub(crate) held: Vec<OpId>,
    /// Packs in the order in which they were brought back.
    pub(crate) recalled: Vec<PackNumber>,
    pub(crate) sent: Vec<(PackNumber, ShardIndex, NodeId)>,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    /// So many hosts, all here; each of so many packs is spread over the first `total` of them.
    pub(crate) fn new(hosts: u8, packs: u64, scheme: Scheme) -> Self {
        let members = (1..=hosts).map(|number| MemberFacts {
            node: node(number),
            domain: Domain(node(number)),
        });
        let stripe = |number: u64| Stripe {
            label: LabelId::from_bytes([u8::try_from(number).unwrap(); 32]),
            scheme,
            shard_len: SHARD_LEN,
            journal: JournalPosition(1),
            holders: scheme.indices().map(|index| (index, node(index.0 + 1))).collect(),
        };
        let rules = Rules::default();
        let mut bench = Self {
            engine: Engine::new(node(0), rules.clone(), 1),
            rules,
            now: Timestamp(1_800_000_000_000),
            members: members.collect(),
            here: BTreeSet::new(),
            packs: (1..=packs)
                .map(|number| (PackNumber(number), stripe(number)))
                .collect(),
            records: BTreeMap::new(),
            holds_recalls: false,
            held: Vec::new(),
            recalled: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
        };
        bench.open();
        for number in 1..=hosts {
            bench.come(number);
        }
        bench.pass(Span::from_secs(60));
        bench
    }

    fn open(&mut self) {
        let members = self.members.clone();
        self.tell(Input::Members(members));
        self.tell(Input::ArchiveOpened {
            archive: ARCHIVE,
            survive: None,
            journal: JournalPosition(1),
        });
    }

    /// The owner's machine is off for so long, and nobody was here when it began.
    pub(crate) fn sleep(&mut self, span: Span) {
        for number in self.here.clone() {
            self.leave(number);
        }
        self.now = self.now.after(span);
        let mut engine = Engine::new(node(0), self.rules.clone(), 2);
        engine.replay(
            self.records
                .values()
                .filter_map(|bytes| Record::from_bytes(bytes).ok()),
        );
        self.engine = engine;
        self.open();
    }

    pub(crate) fn come(&mut self, number: u8) {
        if self.here.insert(number) {
            let class = PathClass::Direct;
            self.tell(Input::Connected {
                node: node(number),
                class,
            });
        }
    }

    pub(crate) fn leave(&mut self, number: u8) {
        if self.here.remove(&number) {
            self.tell(Input::Disconnected { node: node(number) });
        }
    }

    /// Lets time pass, alarm by alarm, as the driver does it.
    pub(crate) fn pass(&mut self, span: Span) {
        let end = self.now.after(span);
        while self.now < end {
            let alarm = self.engine.poll_timeout().unwrap_or(end);
            assert!(alarm > self.now);
            self.now = alarm.min(end);
            self.tell(Input::Tick);
        }
    }

    pub(crate) fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.engine.handle(self.now, input);
            while let Some(effect) = self.engine.poll_effect() {
                inputs.extend(self.answer(&effect));
            }
        }
    }

    fn answer(&mut self, effect: &Effect) -> Option<Input> {
        match effect {
            Effect::Greet { op, .. } => {
                let terms = HostTerms {
                    accepts: true,
                    generous: false,
                    free: ByteCount(1 << 40),
                    ..HostTerms::default()
                };
                Some(Input::GreetEnded {
                    op: *op,
                    terms: Some(terms),
                })
            }
            Effect::AskLease { op, bytes, .. } => {
                let until = self.now.after(Span::from_days(180));
                Some(Input::LeaseEnded {
                    op: *op,
                    answer: LeaseAnswer::Granted { bytes: *bytes, until },
                })
            }
            Effect::ReadStripes { query, archive, .. } => Some(Input::Stripes {
                archive: *archive,
                query: *query,
                page: Vec::new(),
                next: None,
            }),
            Effect::ReadEndangered {
                view,
                margin,
                after,
                limit,
                ..
            } => Some(Input::Endangered {
                archive: ARCHIVE,
                found: self.endangered(view, *margin, *after, *limit),
            }),
            Effect::Recall { op, .. } if self.holds_recalls => {
                self.held.push(*op);
                None
            }
            Effect::Recall { op, pack, .. } => {
                self.recalled.push(*pack);
                let readable = self.packs[pack]
                    .holders
                    .iter()
                    .filter(|holder| self.is_here(holder.1));
                let readable: BTreeSet<ShardIndex> = readable.map(|holder| holder.0).collect();
                let is_enough = readable.len() >= usize::from(self.packs[pack].scheme.data());
                let outcome = if is_enough {
                    RecallOutcome::Here {
                        source: RepairSource::Shards,
                    }
                } else {
                    RecallOutcome::Failed
                };
                Some(Input::RecallEnded { op: *op, outcome })
            }
            Effect::Transfer {
                op, pack, index, to, ..
            } => {
                assert!(self.is_here(*to), "nothing is sent to who is away");
                self.sent.push((*pack, *index, *to));
                self.packs.get_mut(pack).unwrap().holders.push((*index, *to));
                Some(Input::TransferEnded {
                    op: *op,
                    outcome: TransferOutcome::Held,
                })
            }
            Effect::SendSegments { op, .. } => Some(Input::SegmentsEnded {
                op: *op,
                outcome: SegmentsOutcome::Sent(JournalPosition(1)),
            }),
            Effect::CompareInventory { op, .. } => Some(Input::InventoryEnded {
                op: *op,
                outcome: InventoryOutcome::Compared {
                    bytes: ByteCount(0),
                    lost_count: 0,
                    found_count: 0,
                },
            }),
            Effect::Report(event) | Effect::ReportOf { event, .. } => {
                self.events.push(*event);
                None
            }
            Effect::Persist(record) => {
                self.records.insert(record.key().to_bytes(), record.to_bytes());
                None
            }
            Effect::Forget(key) => {
                self.records.remove(&key.to_bytes());
                None
            }
            Effect::Dial { node } => Some(Input::DialFailed { node: *node }),
            Effect::Encode { .. }
            | Effect::Audit { .. }
            | Effect::AnswerLease { .. }
            | Effect::AnswerOffer { .. }
            | Effect::AnswerRelease { .. }
            | Effect::AnswerRepairPlan { .. } => None,
        }
    }

    fn endangered(
        &self,
        view: &HealthView,
        margin: u8,
        after: Option<PackNumber>,
        limit: usize,
    ) -> EndangeredPage {
        let mut found = EndangeredPage::default();
        for (pack, stripe) in self.packs.iter().filter(|(pack, _)| Some(**pack) > after) {
            let due = view.due(stripe.scheme, &stripe.holders);
            found.note(due, view.is_clumped(stripe.scheme, &stripe.holders), margin);
            if due == (Due::Rebuild { margin }) {
                found.page.push(facts(*pack, stripe));
            }
            if found.page.len() == limit {
                found.next = Some(*pack);
                break;
            }
        }
        found
    }

    pub(crate) fn is_here(&self, node: NodeId) -> bool {
        self.here.contains(&node.as_bytes()[0])
    }

    pub(crate) fn gone(&self) -> usize {
        let is_gone = |event: &&Event| matches!(event, Event::Gone { .. });
        self.events.iter().filter(is_gone).count()
    }

    pub(crate) fn cuts(&self) -> usize {
        let is_cut = |event: &&Event| matches!(event, Event::LinkCut { .. });
        self.events.iter().filter(is_cut).count()
    }

    pub(crate) fn health(&self, number: u8) -> HostHealth {
        let members = self.engine.members();
        members
            .iter()
            .find(|member| member.node == node(number))
            .unwrap()
            .health
    }
}

fn facts(pack: PackNumber, stripe: &Stripe) -> StripeFacts {
    StripeFacts {
        pack,
        kind: PackKind::Data,
        pack_len: ByteCount(16 << 20),
        stripe: Some(stripe.clone()),
    }
}

pub(crate) fn scheme(data: u8, parity: u8) -> Scheme {
    Scheme::new(data, parity).unwrap()
}
