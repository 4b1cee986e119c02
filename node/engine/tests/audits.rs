//! Laws of audits, seen through an engine's face: who is asked when, what silence, refusals and wrong answers lead to.

use nuthatch_engine::Engine;
use nuthatch_engine::audits::{
    AuditCounts, AuditEnd, AuditOrder, AuditStanding, AuditState, AuditWord, challenges_wanted, is_proven,
    standing,
};
use nuthatch_engine::boundary::{
    Domain, Effect, EndangeredPage, Event, HostTerms, Input, InventoryOutcome, JournalPosition, LeaseAnswer,
    MemberFacts, OpId, PathClass, SegmentsOutcome,
};
use nuthatch_engine::record::{Record, RecordKey};
use nuthatch_engine::rules::{AUDITS_MAX, Rules};
use nuthatch_format::{ArchiveId, ByteCount, NodeId, Span, Timestamp};

const ARCHIVE: ArchiveId = ArchiveId::from_bytes([9; 32]);

fn host(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

/// An audit that was asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    op: OpId,
    node: NodeId,
    order: AuditOrder,
    at: Timestamp,
}

/// An owner's engine whose hosts all keep something and answer everything but audits at once.
struct Bench {
    engine: Engine,
    now: Timestamp,
    asked: Vec<Asked>,
    events: Vec<Event>,
    records: Vec<Record>,
    forgotten: Vec<RecordKey>,
}

impl Bench {
    fn new(hosts: u8) -> Self {
        Self::with_records(hosts, Vec::new())
    }

    fn with_records(hosts: u8, records: Vec<Record>) -> Self {
        let mut bench = Self {
            engine: Engine::new(host(0), Rules::default(), 1),
            now: Timestamp(1_800_000_000_000),
            asked: Vec::new(),
            events: Vec::new(),
            records: Vec::new(),
            forgotten: Vec::new(),
        };
        bench.engine.replay(records);
        bench.tell(Input::ArchiveOpened {
            archive: ARCHIVE,
            survive: None,
            journal: JournalPosition(1),
        });
        bench.members(hosts);
        for number in 1..=hosts {
            bench.connect(number);
        }
        bench
    }

    fn members(&mut self, hosts: u8) {
        let facts = |number| MemberFacts {
            node: host(number),
            domain: Domain(host(number)),
        };
        self.tell(Input::Members((1..=hosts).map(facts).collect()));
    }

    fn connect(&mut self, number: u8) {
        self.tell(Input::Connected {
            node: host(number),
            class: PathClass::Lan,
        });
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
            Effect::Greet { op, .. } => Some(Input::GreetEnded {
                op,
                terms: Some(HostTerms {
                    accepts: true,
                    generous: false,
                    free: ByteCount(1 << 40),
                    ..HostTerms::default()
                }),
            }),
            Effect::AskLease { op, bytes, .. } => Some(Input::LeaseEnded {
                op,
                answer: LeaseAnswer::Granted {
                    bytes,
                    until: self.now.after(Span::from_days(180)),
                },
            }),
            Effect::ReadStripes { archive, query, .. } => Some(Input::Stripes {
                archive,
                query,
                page: Vec::new(),
                next: None,
            }),
            Effect::SendSegments { op, .. } => Some(Input::SegmentsEnded {
                op,
                outcome: SegmentsOutcome::Sent(JournalPosition(1)),
            }),
            Effect::CompareInventory { op, .. } => Some(Input::InventoryEnded {
                op,
                outcome: InventoryOutcome::Compared {
                    bytes: ByteCount(1 << 30),
                    lost_count: 0,
                    found_count: 0,
                },
            }),
            Effect::Audit { op, task } => {
                let (node, order) = (task.node, task.order);
                assert!(
                    matches!(self.records.last(), Some(Record::Audited { node: of, state, .. }) if *of == node && state.open_since.is_some()),
                    "what is asked is remembered before"
                );
                let at = self.now;
                self.asked.push(Asked { op, node, order, at });
                None
            }
            Effect::Persist(ref record) => {
                self.records.push(record.clone());
                None
            }
            Effect::Forget(key) => {
                self.forgotten.push(key);
                None
            }
            Effect::Report(event) => {
                self.events.push(event);
                None
            }
            Effect::ReadEndangered { archive, .. } => Some(Input::Endangered {
                archive,
                found: EndangeredPage::default(),
            }),
            Effect::Dial { .. }
            | Effect::Recall { .. }
            | Effect::AnswerRepairPlan { .. }
            | Effect::Encode { .. }
            | Effect::Transfer { .. }
            | Effect::AnswerLease { .. }
            | Effect::ReportOf { .. }
            | Effect::AnswerOffer { .. }
            | Effect::AnswerRelease { .. } => None,
        }
    }

    /// Lets time pass, waking the engine whenever it wants.
    fn pass(&mut self, span: Span) {
        let end = self.now.after(span);
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.tell(Input::Tick);
        }
        self.now = end;
        self.tell(Input::Tick);
    }

    /// Ends the oldest audit.
    fn end(&mut self, end: AuditEnd, counts: AuditCounts) -> Asked {
        let asked = self.asked.remove(0);
        self.tell(Input::AuditEnded {
            op: asked.op,
            end,
            counts,
        });
        asked
    }

    fn keeps(&mut self) -> Asked {
        self.end(
            AuditEnd::Answered,
            AuditCounts {
                proven: 30,
                ..AuditCounts::default()
            },
        )
    }

    fn keeps_all(&mut self) {
        while !self.asked.is_empty() {
            self.keeps();
        }
    }

    fn state(&self, number: u8) -> AuditState {
        let members = self.engine.members();
        let found = members.iter().find(|member| member.node == host(number));
        found.map(|member| member.audit).unwrap_or_default()
    }

    fn standing(&self, number: u8) -> AuditStanding {
        standing(&self.state(number), self.now, &Rules::default().audit)
    }
}

const HOUR: Span = Span::from_secs(3600);
const DAY: Span = Span::from_days(1);

#[test]
fn every_host_is_asked_once_a_round_and_all_within_one_window() {
    let mut bench = Bench::new(12);
    let mut rounds: Vec<Vec<Asked>> = Vec::new();
    for _ in 0..5 {
        let mut round = Vec::new();
        for _ in 0..(24 * 4) {
            bench.pass(Span(HOUR.0 / 4));
            while !bench.asked.is_empty() {
                assert!(bench.engine.load().owner.audits <= AUDITS_MAX);
                round.push(bench.keeps());
            }
        }
        rounds.push(round);
    }
    // The first day holds the end of one round and the beginning of the next.
    for round in &rounds[1..] {
        let mut nodes: Vec<NodeId> = round.iter().map(|asked| asked.node).collect();
        nodes.sort();
        nodes.dedup();
        assert_eq!((round.len(), nodes.len()), (12, 12), "{round:?}");
        let (first, last) = (
            round.iter().map(|asked| asked.at).min(),
            round.iter().map(|asked| asked.at).max(),
        );
        assert!(last.unwrap().since(first.unwrap()) <= HOUR, "{round:?}");
    }
    let asked: u32 = rounds[1..]
        .iter()
        .flatten()
        .filter(|asked| asked.node == host(1))
        .map(|asked| asked.order.random)
        .sum();
    assert!(
        30 * asked / 4 >= challenges_wanted(&Rules::default().audit),
        "{asked} in four days"
    );
}

#[test]
fn an_unanswered_challenge_stays_open_across_connections_and_restarts_and_nothing_new_is_asked_before() {
    let mut bench = Bench::new(1);
    bench.pass(DAY);
    let first = bench.end(
        AuditEnd::Late,
        AuditCounts {
            open: 15,
            ..AuditCounts::default()
        },
    );
    let since = bench.state(1).open_since;
    assert_eq!(since, Some(first.at));
    for _ in 0..3 {
        bench.tell(Input::Disconnected { node: host(1) });
        bench.pass(DAY);
        assert!(bench.asked.is_empty(), "who is away is not asked");
        bench.connect(1);
        bench.pass(HOUR);
        let again = bench.end(AuditEnd::Late, AuditCounts::default());
        assert_eq!(again.order, AuditOrder::AGAIN);
        assert_eq!(bench.state(1).open_since, since);
        bench.asked.clear();
        bench.tell(Input::Disconnected { node: host(1) });
        bench.connect(1);
    }
    assert_eq!(
        (bench.state(1).last, bench.state(1).proven_at),
        (Some(AuditWord::Late), None)
    );

    // Another run remembers.
    let mut next = Bench::with_records(1, bench.records.clone());
    next.now = bench.now;
    next.pass(HOUR);
    assert_eq!(next.asked[0].order, AuditOrder::AGAIN);
    assert_eq!(next.state(1).open_since, since);
    next.keeps_all();
    assert_eq!(
        (next.state(1).open_since, next.state(1).last),
        (None, Some(AuditWord::Kept))
    );
    assert!(next.state(1).proven_at.is_some());
}

#[test]
fn silence_is_no_loss_and_for_too_long_it_is_no_proof_either() {
    let mut bench = Bench::new(1);
    let rules = Rules::default().audit;
    bench.pass(HOUR);
    bench.keeps();
    let received = Timestamp(0);
    let is_counted = |bench: &Bench| is_proven(&bench.state(1), received, bench.now, &rules);
    assert!(is_counted(&bench));
    let mut days = 0;
    while bench.standing(1) == AuditStanding::Sound {
        bench.pass(DAY);
        while !bench.asked.is_empty() {
            bench.end(AuditEnd::Detached, AuditCounts::default());
        }
        days += 1;
        assert!(days < 20, "an excuse ends");
        assert_eq!(bench.state(1).found_out, None);
    }
    assert!((14..=16).contains(&days), "{days} days");
    assert_eq!(bench.standing(1), AuditStanding::Overdue);
    assert!(bench.state(1).detached_since.is_some() && !is_counted(&bench));
    // With the disk back, all is well again.
    bench.pass(HOUR);
    bench.keeps_all();
    assert_eq!(
        (bench.standing(1), bench.state(1).detached_since),
        (AuditStanding::Sound, None)
    );
    assert!(is_counted(&bench));
    // And who is simply never there is read, not counted on.
    bench.tell(Input::Disconnected { node: host(1) });
    bench.pass(Span(rules.proven_within.0 - 2 * HOUR.0));
    assert!(is_counted(&bench));
    bench.pass(DAY);
    assert!(!is_counted(&bench) && bench.state(1).found_out.is_none());
}

#[test]
fn whoever_gives_wrong_bytes_is_asked_for_everything_and_trusted_again_when_all_of_it_was_proven() {
    let mut bench = Bench::new(1);
    bench.pass(HOUR);
    let wrong = AuditCounts {
        proven: 3,
        wrong: 1,
        ..AuditCounts::default()
    };
    bench.end(AuditEnd::Answered, wrong);
    assert_eq!(bench.standing(1), AuditStanding::Caught);
    assert_eq!(bench.state(1).proven_at, None);
    let all = bench.asked[0];
    assert!(all.order.is_of_all() && all.order.random >= challenges_wanted(&Rules::default().audit));
    // A sweep that its traffic cuts short clears nobody, nor does silence or a refusal.
    bench.end(
        AuditEnd::Answered,
        AuditCounts {
            proven: 100,
            unswept: 7,
            ..AuditCounts::default()
        },
    );
    assert_eq!(bench.standing(1), AuditStanding::Caught);
    bench.pass(DAY);
    bench.end(AuditEnd::Refused, AuditCounts::default());
    assert_eq!(
        (bench.standing(1), bench.state(1).last),
        (AuditStanding::Caught, Some(AuditWord::Refused))
    );
    bench.pass(HOUR);
    bench.keeps();
    assert_eq!(
        bench.standing(1),
        AuditStanding::Caught,
        "what was open was not all"
    );
    bench.pass(DAY);
    let rest = bench.keeps();
    assert!(rest.order.is_of_all());
    assert_eq!(bench.standing(1), AuditStanding::Sound);
}

#[test]
fn a_person_who_asks_is_answered_at_once_with_all_that_the_detection_takes() {
    let mut bench = Bench::new(2);
    bench.pass(HOUR);
    bench.keeps();
    bench.keeps();
    bench.tell(Input::AuditWanted {
        archive: ARCHIVE,
        node: Some(host(2)),
    });
    assert_eq!(bench.asked.len(), 1);
    let asked = bench.keeps();
    assert_eq!((asked.node, asked.at), (host(2), bench.now));
    assert_eq!(asked.order.random, challenges_wanted(&Rules::default().audit));
    assert!(matches!(
        bench.events.last(),
        Some(Event::Audited(ended)) if ended.was_wanted
    ));
    bench.tell(Input::AuditWanted {
        archive: ARCHIVE,
        node: None,
    });
    assert_eq!(bench.asked.len(), 2);
}

#[test]
fn a_fault_of_our_own_blames_nobody_and_ends_in_no_loop() {
    let mut bench = Bench::new(1);
    bench.pass(HOUR);
    let before = bench.state(1);
    bench.end(AuditEnd::Failed, AuditCounts::default());
    assert_eq!(bench.state(1), before);
    assert!(bench.asked.is_empty(), "not asked again at once");
    bench.pass(HOUR);
    // What was open is not known any more: something new, and only once.
    bench.end(AuditEnd::Answered, AuditCounts::default());
    assert_eq!(bench.asked.len(), 1);
    bench.end(AuditEnd::Answered, AuditCounts::default());
    assert!(bench.asked.is_empty());
}

#[test]
fn the_audits_of_who_is_no_member_any_more_are_forgotten() {
    let mut bench = Bench::new(2);
    bench.pass(HOUR);
    bench.members(1);
    assert!(bench.forgotten.contains(&RecordKey::Audited(ARCHIVE, host(2))));
}
