//! One owner's engine, seen through its face: what it does when a host says no.

use std::collections::BTreeMap;

use nuthatch_engine::boundary::{
    Domain, Effect, EncodeOutcome, EndangeredPage, Event, HostTerms, Input, InventoryOutcome,
    JournalPosition, LeaseAnswer, MemberFacts, OfferRefusal, OpId, PackKind, PackNumber, PathClass,
    SegmentsOutcome, StripeFacts, StripeQuery, TransferOutcome,
};
use nuthatch_engine::durability::shape_for;
use nuthatch_engine::rules::Rules;
use nuthatch_engine::{Engine, OwnerLoad};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Span, Timestamp};

const ARCHIVE: ArchiveId = ArchiveId::from_bytes([9; 32]);
const MIB: u64 = 1 << 20;

fn host(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

/// The end of a comparison that has shown so many shards that were not known.
fn compared(op: OpId, found_count: u64) -> Input {
    let outcome = InventoryOutcome::Compared {
        bytes: ByteCount(0),
        lost_count: 0,
        found_count,
    };
    Input::InventoryEnded { op, outcome }
}

/// An engine with two hosts and some staged packs (one, mostly), whose world answers everything but transfers at once.
struct Bench {
    engine: Engine,
    packs: u64,
    /// Shards that are held of each pack (count); a pack with two is pending no more.
    held: BTreeMap<PackNumber, usize>,
    /// Whose shard each transfer is.
    moving: BTreeMap<OpId, PackNumber>,
    now: Timestamp,
    transfers: Vec<(OpId, NodeId)>,
    events: Vec<Event>,
    segments_sent: usize,
    leases_asked: usize,
    /// Comparisons of inventories wait in `comparisons` instead of being answered at once.
    holds_comparisons: bool,
    comparisons: Vec<OpId>,
    pages_read: usize,
}

impl Bench {
    fn new() -> Self {
        Self::with_packs(1)
    }

    fn with_packs(packs: u64) -> Self {
        let mut bench = Self {
            engine: Engine::new(host(0), Rules::default(), 1),
            packs,
            held: BTreeMap::new(),
            moving: BTreeMap::new(),
            now: Timestamp(1_000_000),
            transfers: Vec::new(),
            events: Vec::new(),
            segments_sent: 0,
            leases_asked: 0,
            holds_comparisons: false,
            comparisons: Vec::new(),
            pages_read: 0,
        };
        let members = [1, 2].map(|number| MemberFacts {
            node: host(number),
            domain: Domain(host(number)),
        });
        bench.tell(Input::Members(members.to_vec()));
        bench.tell(Input::ArchiveOpened {
            archive: ARCHIVE,
            survive: None,
            journal: JournalPosition(1),
        });
        for number in [1, 2] {
            bench.tell(Input::Connected {
                node: host(number),
                class: PathClass::Lan,
            });
        }
        bench
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.engine.handle(self.now, input);
            while let Some(effect) = self.engine.poll_effect() {
                inputs.extend(self.answer(&effect));
            }
        }
    }

    fn answer(&mut self, effect: &Effect) -> Option<Input> {
        match *effect {
            Effect::Greet { op, .. } => {
                let terms = HostTerms {
                    accepts: true,
                    generous: false,
                    free: ByteCount(MIB << 10),
                    ..HostTerms::default()
                };
                Some(Input::GreetEnded {
                    op,
                    terms: Some(terms),
                })
            }
            Effect::AskLease { op, bytes, .. } => {
                self.leases_asked += 1;
                let until = self.now.after(Span::from_days(180));
                Some(Input::LeaseEnded {
                    op,
                    answer: LeaseAnswer::Granted { bytes, until },
                })
            }
            Effect::ReadStripes {
                query,
                archive,
                after,
                limit,
            } => {
                self.pages_read += 1;
                let from = after.map_or(1, |pack| pack.0 + 1);
                let facts = |number| StripeFacts {
                    pack: PackNumber(number),
                    kind: PackKind::Data,
                    pack_len: ByteCount(16 * MIB),
                    stripe: None,
                };
                let is_pending = query == StripeQuery::Pending;
                let page: Vec<_> = (from..=self.packs)
                    .filter(|number| is_pending && self.held.get(&PackNumber(*number)) != Some(&2))
                    .map(facts)
                    .take(limit)
                    .collect();
                let next = page.last().map(|last| last.pack);
                Some(Input::Stripes {
                    archive,
                    query,
                    page,
                    next: next.filter(|last| last.0 < self.packs),
                })
            }
            Effect::ReadEndangered { archive, .. } => Some(Input::Endangered {
                archive,
                found: EndangeredPage::default(),
            }),
            Effect::Encode { op, scheme, pack, .. } => {
                assert_eq!(Some(scheme), shape_for(2, 1, PackKind::Data));
                let (label, shard_len) = (LabelId::from_bytes([pack.0 as u8; 32]), ByteCount(16 * MIB));
                let outcome = EncodeOutcome::Labelled {
                    label,
                    shard_len,
                    journal: JournalPosition(2),
                };
                Some(Input::EncodeEnded { op, outcome })
            }
            Effect::SendSegments { op, .. } => {
                self.segments_sent += 1;
                Some(Input::SegmentsEnded {
                    op,
                    outcome: SegmentsOutcome::Sent(JournalPosition(2)),
                })
            }
            Effect::CompareInventory { op, .. } if self.holds_comparisons => {
                self.comparisons.push(op);
                None
            }
            Effect::CompareInventory { op, .. } => Some(compared(op, 0)),
            Effect::Transfer { op, to, pack, .. } => {
                self.moving.insert(op, pack);
                self.transfers.push((op, to));
                None
            }
            Effect::Report(event) => {
                self.events.push(event);
                None
            }
            Effect::Persist(_)
            | Effect::Forget(_)
            | Effect::ReportOf { .. }
            | Effect::Dial { .. }
            | Effect::Recall { .. }
            | Effect::AnswerRepairPlan { .. }
            | Effect::Audit { .. }
            | Effect::AnswerLease { .. }
            | Effect::AnswerOffer { .. }
            | Effect::AnswerRelease { .. } => None,
        }
    }

    /// Ends the oldest transfer; whom it was to.
    fn end(&mut self, outcome: TransferOutcome) -> NodeId {
        let (op, to) = self.transfers.remove(0);
        if outcome == TransferOutcome::Held {
            *self.held.entry(self.moving[&op]).or_default() += 1;
        }
        self.tell(Input::TransferEnded { op, outcome });
        to
    }

    /// Lets time pass up to the next alarm, so many times.
    fn wait(&mut self, alarms: usize) {
        for _ in 0..alarms {
            if let Some(at) = self.engine.poll_timeout() {
                assert!(at > self.now);
                self.now = at;
                self.tell(Input::Tick);
            }
        }
    }
}

#[test]
fn both_hosts_get_a_shard_and_then_all_is_quiet() {
    let mut bench = Bench::new();
    assert_eq!(bench.transfers.len(), 2);
    assert_eq!(bench.engine.quiet(), None);
    assert_ne!(bench.end(TransferOutcome::Held), bench.end(TransferOutcome::Held));
    assert_eq!(bench.engine.quiet(), Some(0));
    assert_eq!(bench.engine.load().owner, OwnerLoad::default());
    assert_eq!(bench.engine.target(), Some(1));
    assert!(bench.events.contains(&Event::Quiet { incomplete_count: 0 }));
}

#[test]
fn a_lease_grows_as_fast_as_its_host_takes_shards() {
    let mut bench = Bench::with_packs(40);
    let begun = bench.now;
    for _ in 0..80 {
        bench.end(TransferOutcome::Held);
    }
    assert_eq!(bench.engine.quiet(), Some(0));
    assert_eq!(bench.now, begun, "nothing had to be waited for");
    assert!(bench.leases_asked > 4);
}

#[test]
fn a_busy_host_is_asked_again_when_it_said() {
    let mut bench = Bench::new();
    let busy = bench.end(TransferOutcome::Busy {
        retry_after: Span::from_secs(2),
    });
    bench.end(TransferOutcome::Held);
    assert!(bench.transfers.is_empty());
    assert_eq!(bench.engine.quiet(), None);
    let asked_at = bench.now;
    while bench.transfers.is_empty() {
        bench.wait(1);
    }
    assert_eq!(bench.now, asked_at.after(Span::from_secs(2)));
    assert_eq!(bench.end(TransferOutcome::Held), busy);
    assert_eq!(bench.engine.quiet(), Some(0));
}

#[test]
fn a_host_that_does_not_know_the_label_gets_the_journal_again() {
    let mut bench = Bench::new();
    let before = bench.segments_sent;
    bench.end(TransferOutcome::Refused(OfferRefusal::NotBelieved));
    bench.end(TransferOutcome::Held);
    while bench.transfers.is_empty() {
        bench.wait(1);
    }
    assert_eq!(bench.segments_sent, before + 1);
}

#[test]
fn a_full_host_is_asked_for_more_and_then_offered_the_shard_again() {
    let mut bench = Bench::new();
    let asked = bench.leases_asked;
    let full = bench.end(TransferOutcome::Refused(OfferRefusal::Full));
    bench.end(TransferOutcome::Held);
    assert!(bench.events.contains(&Event::HostFull { node: full }));
    assert_eq!(bench.engine.quiet(), Some(1));
    while bench.transfers.is_empty() {
        bench.wait(1);
    }
    assert!(bench.leases_asked > asked);
    assert!(bench.transfers.iter().any(|transfer| transfer.1 == full));
}

#[test]
fn a_host_that_calls_all_damaged_stops_nobody_else() {
    let mut bench = Bench::new();
    let liar = bench.end(TransferOutcome::Refused(OfferRefusal::Damaged));
    assert!(
        !bench
            .events
            .iter()
            .any(|event| matches!(event, Event::PackUnreadable { .. }))
    );
    assert!(bench.events.contains(&Event::OfferRefused {
        node: liar,
        reason: OfferRefusal::Damaged
    }));
    bench.end(TransferOutcome::Held);
    // It has no new offer at once, and one later.
    assert!(bench.transfers.is_empty());
    assert_eq!(bench.engine.quiet(), Some(1));
    while bench.transfers.is_empty() {
        bench.wait(1);
    }
    assert!(bench.transfers.iter().any(|transfer| transfer.1 == liar));
}

#[test]
fn a_host_that_leaves_takes_no_work_with_it() {
    let mut bench = Bench::new();
    let (op, gone) = bench.transfers.remove(0);
    bench.tell(Input::TransferEnded {
        op,
        outcome: TransferOutcome::Disconnected,
    });
    bench.tell(Input::Disconnected { node: gone });
    bench.end(TransferOutcome::Held);
    assert_eq!(
        bench.engine.quiet(),
        Some(1),
        "one pack waits for the host that left"
    );
    bench.tell(Input::Connected {
        node: gone,
        class: PathClass::Lan,
    });
    assert!(!bench.transfers.is_empty());
}

#[test]
fn however_often_news_comes_each_host_has_one_inventory_running_and_one_to_follow() {
    let mut bench = Bench::new();
    bench.end(TransferOutcome::Held);
    bench.end(TransferOutcome::Held);
    bench.holds_comparisons = true;
    for _ in 0..10 {
        bench.tell(Input::Committed { archive: ARCHIVE });
    }
    assert_eq!(bench.comparisons.len(), 2, "one a host");
    assert_eq!(bench.engine.load().owner.comparisons, 2);
    for op in std::mem::take(&mut bench.comparisons) {
        bench.tell(compared(op, 0));
    }
    assert_eq!(
        bench.comparisons.len(),
        2,
        "what came meanwhile is asked for once"
    );
    assert_eq!(bench.engine.quiet(), None, "it is waited for");
    for op in std::mem::take(&mut bench.comparisons) {
        bench.tell(compared(op, 0));
    }
    assert!(bench.comparisons.is_empty());
    assert_eq!(bench.engine.quiet(), Some(0));
}

#[test]
fn while_inventories_show_something_new_others_follow_after_longer_and_longer_pauses() {
    let mut bench = Bench::new();
    bench.end(TransferOutcome::Held);
    bench.end(TransferOutcome::Held);
    bench.holds_comparisons = true;
    bench.tell(Input::Committed { archive: ARCHIVE });
    let others = bench.comparisons.split_off(1);
    for op in others {
        bench.tell(compared(op, 0));
    }
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let (op, asked_at) = (bench.comparisons.remove(0), bench.now);
        bench.tell(compared(op, 1));
        assert_eq!(bench.engine.quiet(), Some(0), "nobody waits for what follows");
        while bench.comparisons.is_empty() {
            bench.wait(1);
        }
        pauses.push(bench.now.since(asked_at));
    }
    let minutes = |count: u64| Span::from_secs(60 * count);
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60].map(minutes));

    // One that shows nothing new is the last, and the next news begins with the shortest pause.
    let op = bench.comparisons.remove(0);
    bench.tell(compared(op, 0));
    bench.wait(50);
    assert!(bench.comparisons.is_empty());
}

#[test]
fn what_is_found_counts_although_its_host_has_gone() {
    let mut bench = Bench::new();
    bench.holds_comparisons = true;
    bench.end(TransferOutcome::Held);
    bench.end(TransferOutcome::Held);
    bench.tell(Input::Committed { archive: ARCHIVE });
    let op = bench.comparisons.remove(0);
    let pages = bench.pages_read;
    for number in [1, 2] {
        bench.tell(Input::Disconnected { node: host(number) });
    }
    bench.tell(compared(op, 1));
    assert!(bench.pages_read > pages, "packs are read afresh");
}

#[test]
fn the_end_of_an_unknown_operation_changes_nothing() {
    let mut bench = Bench::new();
    let before = bench.engine.load();
    let op = OpId(u64::MAX);
    bench.tell(Input::TransferEnded {
        op,
        outcome: TransferOutcome::Held,
    });
    bench.tell(Input::EncodeEnded {
        op,
        outcome: EncodeOutcome::Failed,
    });
    bench.tell(Input::LeaseEnded {
        op,
        answer: LeaseAnswer::Failed,
    });
    assert_eq!(bench.engine.load(), before);
}
