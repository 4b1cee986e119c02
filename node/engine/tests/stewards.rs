//! A steward's engine, seen through its face: what it does for somebody else's archive, and what it leaves alone.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are not seen as tests (rust-clippy issue 11119)"
)]

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_engine::Engine;
use nuthatch_engine::audits::{AuditCounts, AuditEnd};
use nuthatch_engine::boundary::{
    Domain, Effect, EndangeredPage, Event, HostTerms, Input, InventoryOutcome, JournalPosition, LeaseAnswer,
    MemberFacts, OpId, PackKind, PackNumber, PathClass, RecallOutcome, SegmentsOutcome, Stripe, StripeFacts,
    TransferOutcome,
};
use nuthatch_engine::history::Standing;
use nuthatch_engine::repair::{Due, RepairSource};
use nuthatch_engine::rules::{Rules, STEWARDED_MAX};
use nuthatch_engine::stewards::{Stewardship, elect};
use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Span, Timestamp};

const ARCHIVE: ArchiveId = ArchiveId::from_bytes([9; 32]);
const MIB: u64 = 1 << 20;

/// How long hosts promise to keep what they have.
const TERM: Span = Span::from_days(9);

/// This node, which holds shard 0 of every stripe.
const SELF: u8 = 0;
/// The archive's only device.
const DEVICE: u8 = 7;
/// Hosts of the archive; the last two have no shard yet.
const HOSTS: [u8; 4] = [1, 2, 3, 4];

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn stewardship(archive: ArchiveId, stewards: &[u8]) -> Stewardship {
    Stewardship {
        archive,
        stewards: stewards.iter().copied().map(node).collect(),
        devices: BTreeSet::from([node(DEVICE)]),
    }
}

/// An engine that is a steward of stripes of 1+2 at this node and the hosts 1 and 2. Its world answers everything at once.
struct Bench {
    engine: Engine,
    now: Timestamp,
    /// Who holds which shard of each stripe.
    holders: BTreeMap<PackNumber, Vec<(ShardIndex, NodeId)>>,
    sent: Vec<(PackNumber, ShardIndex, NodeId)>,
    recalled: usize,
    audits: usize,
    looks: usize,
    /// Until when each host has promised something.
    leases: BTreeMap<NodeId, Timestamp>,
    told: Vec<Event>,
    told_of_own: Vec<Event>,
}

impl Bench {
    fn new(stewards: &[u8], stripes: u64) -> Self {
        let holders = vec![
            (ShardIndex(0), node(SELF)),
            (ShardIndex(1), node(1)),
            (ShardIndex(2), node(2)),
        ];
        let mut bench = Self {
            engine: Engine::new(node(SELF), Rules::default(), 1),
            now: Timestamp(1_000_000),
            holders: (0..stripes)
                .map(|number| (PackNumber(number), holders.clone()))
                .collect(),
            sent: Vec::new(),
            recalled: 0,
            audits: 0,
            looks: 0,
            leases: BTreeMap::new(),
            told: Vec::new(),
            told_of_own: Vec::new(),
        };
        let members = [1, 2, 3, 4, DEVICE].map(|number| MemberFacts {
            node: node(number),
            domain: Domain(node(number)),
        });
        bench.tell(Input::Members(members.to_vec()));
        bench.tell(Input::Stewardships(vec![stewardship(ARCHIVE, stewards)]));
        for number in [DEVICE].into_iter().chain(HOSTS) {
            bench.connect(number);
        }
        bench
    }

    fn connect(&mut self, number: u8) {
        self.tell(Input::Connected {
            node: node(number),
            class: PathClass::Direct,
        });
    }

    fn leave(&mut self, number: u8) {
        self.tell(Input::Disconnected { node: node(number) });
    }

    fn lose(&mut self, number: u8) {
        self.leave(number);
        self.tell(Input::StandingSet {
            node: node(number),
            standing: Standing::Lost,
        });
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.engine.handle(self.now, input);
            while let Some(effect) = self.engine.poll_effect() {
                inputs.extend(self.answer(effect));
            }
        }
    }

    fn answer(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Greet { op, .. } => Some(Input::GreetEnded {
                op,
                terms: Some(HostTerms {
                    accepts: true,
                    ..HostTerms::default()
                }),
            }),
            Effect::AskLease { op, node, bytes, .. } => {
                let until = self.now.after(TERM);
                self.leases.insert(node, until);
                let answer = LeaseAnswer::Granted { bytes, until };
                Some(Input::LeaseEnded { op, answer })
            }
            Effect::SendSegments { op, .. } => {
                let outcome = SegmentsOutcome::Sent(JournalPosition(0));
                Some(Input::SegmentsEnded { op, outcome })
            }
            Effect::CompareInventory { op, node, .. } => {
                let all = self.holders.values().flatten();
                let kept = all.filter(|holder| holder.1 == node).count() as u64;
                let outcome = InventoryOutcome::Compared {
                    bytes: ByteCount(kept * MIB),
                    lost_count: 0,
                    found_count: 0,
                };
                Some(Input::InventoryEnded { op, outcome })
            }
            Effect::ReadEndangered {
                archive,
                view,
                margin,
                after,
                limit,
            } => {
                self.looks += 1;
                let mut found = EndangeredPage::default();
                let from = after.map_or(0, |pack| pack.0 + 1);
                for (pack, holders) in self.holders.range(PackNumber(from)..) {
                    let facts = facts(*pack, holders);
                    let due = view.due(scheme(), holders);
                    found.note(due, false, margin);
                    if due == (Due::Rebuild { margin }) {
                        found.page.push(facts);
                        if found.page.len() == limit {
                            found.next = Some(*pack);
                            break;
                        }
                    }
                }
                Some(Input::Endangered { archive, found })
            }
            Effect::Recall { op, .. } => {
                self.recalled += 1;
                let source = RepairSource::Shards;
                let outcome = RecallOutcome::Here { source };
                Some(Input::RecallEnded { op, outcome })
            }
            Effect::Transfer {
                op, pack, index, to, ..
            } => Some(self.take(op, (pack, index, to))),
            Effect::Audit { op, task } => {
                self.audits += 1;
                let counts = AuditCounts {
                    proven: 1,
                    ..AuditCounts::default()
                };
                assert_eq!(task.archive, ARCHIVE);
                let end = AuditEnd::Answered;
                Some(Input::AuditEnded { op, end, counts })
            }
            Effect::ReportOf { archive, event } => {
                assert_eq!(archive, ARCHIVE);
                self.told.push(event);
                None
            }
            Effect::Report(event) => {
                self.told_of_own.push(event);
                None
            }
            // Whoever left does not come back.
            Effect::Dial { node } => Some(Input::DialFailed { node }),
            Effect::Persist(_) | Effect::Forget(_) => None,
            other => panic!("a steward never does this: {other:?}"),
        }
    }

    fn take(&mut self, op: OpId, (pack, index, to): (PackNumber, ShardIndex, NodeId)) -> Input {
        assert!(
            self.leases.get(&to) > Some(&self.now),
            "a host takes nothing without a lease"
        );
        self.holders.entry(pack).or_default().push((index, to));
        self.sent.push((pack, index, to));
        let outcome = TransferOutcome::Held;
        Input::TransferEnded { op, outcome }
    }

    /// Lets so much time pass, and what is due in it be done.
    fn pass(&mut self, span: Span) {
        let end = self.now.after(span);
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.tell(Input::Tick);
        }
        self.now = end;
        self.tell(Input::Tick);
    }

    /// Shards of each stripe that are on hosts which are here, each once.
    fn live(&self, dead: &[u8]) -> Vec<usize> {
        let is_live = |holder: &&(ShardIndex, NodeId)| !dead.iter().any(|number| node(*number) == holder.1);
        let shards = |holders: &Vec<(ShardIndex, NodeId)>| {
            holders
                .iter()
                .filter(is_live)
                .map(|holder| holder.0)
                .collect::<BTreeSet<_>>()
                .len()
        };
        self.holders.values().map(shards).collect()
    }
}

fn scheme() -> Scheme {
    Scheme::new(1, 2).unwrap()
}

fn label(pack: PackNumber) -> LabelId {
    let mut bytes = [5; 32];
    bytes[..8].copy_from_slice(&pack.0.to_le_bytes());
    LabelId::from_bytes(bytes)
}

fn facts(pack: PackNumber, holders: &[(ShardIndex, NodeId)]) -> StripeFacts {
    StripeFacts {
        pack,
        kind: PackKind::Data,
        pack_len: ByteCount(MIB),
        stripe: Some(Stripe {
            label: label(pack),
            scheme: scheme(),
            shard_len: ByteCount(MIB),
            journal: JournalPosition(0),
            holders: holders.to_vec(),
        }),
    }
}

#[test]
fn what_a_lost_host_kept_is_given_to_another_and_nothing_else_is_done() {
    let mut bench = Bench::new(&[SELF], 3);
    bench.leave(DEVICE);
    bench.pass(Span::from_secs(600));
    assert_eq!(
        (bench.recalled, bench.sent.len()),
        (0, 0),
        "nothing is missing: this node's shard counts"
    );
    assert!(bench.looks > 0);
    bench.lose(2);
    bench.pass(Span::from_secs(600));
    let rebuilt: Vec<_> = bench.sent.iter().map(|sent| (sent.0, sent.1)).collect();
    let expected: BTreeSet<_> = (0..3).map(|pack| (PackNumber(pack), ShardIndex(2))).collect();
    assert_eq!(rebuilt.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(rebuilt.len(), 3, "each once");
    assert!(
        bench
            .sent
            .iter()
            .all(|sent| sent.2 == node(3) || sent.2 == node(4))
    );
    assert!(
        !bench.leases.contains_key(&node(DEVICE)),
        "what it backs up is not kept by itself"
    );
    let is_of_repair = |event: &Event| matches!(event, Event::RepairEnded { .. } | Event::Leased { .. });
    assert!(bench.told.iter().any(is_of_repair));
    assert!(
        !bench.told_of_own.iter().any(is_of_repair),
        "it is no archive of this node"
    );
}

#[test]
fn while_a_device_of_the_archive_is_here_repairs_are_left_to_it() {
    let mut bench = Bench::new(&[SELF], 2);
    bench.lose(2);
    bench.pass(Span::from_secs(600));
    assert_eq!((bench.looks, bench.sent.len()), (0, 0));
    bench.leave(DEVICE);
    bench.pass(Span::from_secs(600));
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn stewards_who_see_each_other_share_the_stripes_and_one_who_is_gone_is_replaced() {
    let stewards = [SELF, 1];
    let mut bench = Bench::new(&stewards, 12);
    bench.leave(DEVICE);
    bench.lose(2);
    bench.pass(Span::from_secs(600));
    let both = stewards.map(node).into();
    let mine = |pack: &PackNumber| elect(&label(*pack), &both) == Some(node(SELF));
    let expected: BTreeSet<_> = bench.holders.keys().copied().filter(mine).collect();
    assert!(!expected.is_empty() && expected.len() < 12);
    assert_eq!(
        bench.sent.iter().map(|sent| sent.0).collect::<BTreeSet<_>>(),
        expected
    );
    // The other steward goes. What it would have rebuilt is rebuilt here, and nothing twice.
    bench.leave(1);
    bench.pass(Span::from_days(1));
    let packs: BTreeSet<_> = bench.sent.iter().map(|sent| sent.0).collect();
    assert_eq!((packs.len(), bench.sent.len()), (12, 12));
}

#[test]
fn whoever_is_dismissed_does_nothing_more() {
    let mut bench = Bench::new(&[SELF], 2);
    bench.leave(DEVICE);
    assert_eq!(bench.engine.load().stewarded, 1);
    bench.tell(Input::Stewardships(Vec::new()));
    assert_eq!(bench.engine.load().stewarded, 0);
    bench.lose(2);
    bench.pass(Span::from_secs(600));
    assert_eq!(bench.sent.len(), 0);
}

#[test]
fn a_node_looks_after_so_many_archives_and_never_after_its_own() {
    let mut engine = Engine::new(node(SELF), Rules::default(), 1);
    let mut tell = |input| {
        engine.handle(Timestamp(1), input);
        while engine.poll_effect().is_some() {}
        engine.load().stewarded
    };
    let numbers = 0..=u8::try_from(STEWARDED_MAX).unwrap();
    let many = numbers.map(|number| stewardship(ArchiveId::from_bytes([number; 32]), &[SELF]));
    assert_eq!(tell(Input::Stewardships(many.collect())), STEWARDED_MAX);
    let one = || Input::Stewardships(vec![stewardship(ARCHIVE, &[SELF])]);
    assert_eq!(tell(one()), 1);
    let opened = Input::ArchiveOpened {
        archive: ARCHIVE,
        survive: None,
        journal: JournalPosition(0),
    };
    assert_eq!(tell(opened), 0, "whoever becomes a device goes on as one");
    assert_eq!(tell(one()), 0);
}

#[test]
fn sixty_days_without_the_owner_cost_nothing() {
    let mut bench = Bench::new(&[SELF], 5);
    bench.leave(DEVICE);
    bench.pass(Span::from_days(10));
    bench.leave(1);
    bench.pass(Span::from_days(16));
    assert_eq!(
        (bench.live(&[1]), bench.sent.len()),
        (vec![2; 5], 0),
        "one may be missing without haste"
    );
    bench.leave(2);
    bench.pass(Span::from_days(34));
    assert_eq!(
        bench.live(&[1, 2]),
        [3; 5],
        "what is gone after its grace is made good"
    );
    assert_eq!(bench.sent.len(), 10, "two shards of each stripe, each once");
    // Each of them promised something for nine days, five times over.
    for number in [3, 4] {
        assert!(bench.leases[&node(number)] > bench.now);
    }
    assert!(bench.audits > 60, "each host is asked daily");
    for (pack, holders) in &bench.holders {
        let hosts: BTreeSet<NodeId> = holders.iter().map(|holder| holder.1).collect();
        assert_eq!(hosts.len(), holders.len(), "{pack:?}: no host has two shards");
    }
}
