//! A host's engine, seen through its face: what becomes of an archive that keeps more here than its owner gives.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are not seen as tests (rust-clippy issue 11119)"
)]

use std::collections::BTreeMap;

use nuthatch_engine::Engine;
use nuthatch_engine::boundary::{
    AccountView, Domain, Effect, Event, HostTerms, Input, InventoryOutcome, JournalPosition, LeaseAnswer,
    LeaseAsked, MemberFacts, OfferFacts, OfferRefusal, OfferVerdict, Offered, PackKind, PathClass,
    SegmentsOutcome, StripeHere, Token, VaultFacts,
};
use nuthatch_engine::fairness::{Balance, ReleaseVerdict, Stance};
use nuthatch_engine::record::Record;
use nuthatch_engine::rules::Rules;
use nuthatch_erasure::ShardIndex;
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Span, Timestamp};

const OWN: ArchiveId = ArchiveId::from_bytes([9; 32]);
const THEIRS: ArchiveId = ArchiveId::from_bytes([8; 32]);
const PEER: NodeId = NodeId::from_bytes([1; 32]);
const ALLOWANCE: u64 = 1000;

fn rules() -> Rules {
    let mut rules = Rules::default();
    rules.fair.allowance = ByteCount(ALLOWANCE);
    rules
}

/// An engine that owns an archive and hosts another's, whose one node is a member.
struct Bench {
    engine: Engine,
    now: Timestamp,
    vault: VaultFacts,
    /// What the peer keeps for us, as it shows.
    given: ByteCount,
    stance: Stance,
    shards: u8,
    leases: Vec<LeaseAnswer>,
    verdicts: Vec<OfferVerdict>,
    releases: Vec<ReleaseVerdict>,
    accounts: Vec<AccountView>,
    records: BTreeMap<Vec<u8>, Record>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Vec::new(), Timestamp(1_000_000_000_000), 0)
    }

    fn with(records: Vec<Record>, now: Timestamp, used: u64) -> Self {
        let vault = VaultFacts {
            quota: ByteCount(1 << 40),
            disk_free: ByteCount(1 << 40),
            owners: BTreeMap::from([(PEER, THEIRS)]),
            used: BTreeMap::from([(THEIRS, ByteCount(used))]),
            ..VaultFacts::default()
        };
        let mut engine = Engine::new(NodeId::from_bytes([0; 32]), rules(), 1);
        engine.replay(records);
        let mut bench = Self {
            engine,
            now,
            vault: vault.clone(),
            given: ByteCount::ZERO,
            stance: Stance::Open,
            shards: 0,
            leases: Vec::new(),
            verdicts: Vec::new(),
            releases: Vec::new(),
            accounts: Vec::new(),
            records: BTreeMap::new(),
        };
        bench.tell(Input::Vault(vault));
        bench.tell(Input::Members(vec![MemberFacts {
            node: PEER,
            domain: Domain(PEER),
        }]));
        bench.tell(Input::ArchiveOpened {
            archive: OWN,
            survive: None,
            journal: JournalPosition(1),
        });
        bench.connect();
        bench
    }

    fn connect(&mut self) {
        self.tell(Input::Connected {
            node: PEER,
            class: PathClass::Lan,
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
            Effect::Greet { op, .. } => {
                let terms = HostTerms {
                    accepts: true,
                    free: ByteCount(1 << 30),
                    stance: self.stance,
                    ..HostTerms::default()
                };
                Some(Input::GreetEnded {
                    op,
                    terms: Some(terms),
                })
            }
            Effect::AskLease { op, bytes, .. } => Some(Input::LeaseEnded {
                op,
                answer: LeaseAnswer::Granted {
                    bytes,
                    until: self.now.after(Span::from_days(180)),
                },
            }),
            Effect::SendSegments { op, .. } => Some(Input::SegmentsEnded {
                op,
                outcome: SegmentsOutcome::Sent(JournalPosition(1)),
            }),
            Effect::CompareInventory { op, .. } => Some(Input::InventoryEnded {
                op,
                outcome: InventoryOutcome::Compared {
                    bytes: self.given,
                    lost_count: 0,
                    found_count: 0,
                },
            }),
            Effect::ReadStripes { archive, query, .. } => Some(Input::Stripes {
                archive,
                query,
                page: Vec::new(),
                next: None,
            }),
            other => {
                self.note(other);
                None
            }
        }
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::AnswerLease { answer, .. } => self.leases.push(answer),
            Effect::AnswerOffer { verdict, .. } => self.verdicts.push(verdict),
            Effect::AnswerRelease { verdict, .. } => self.releases.push(verdict),
            Effect::Report(Event::Account(view)) if view.archive == THEIRS => self.accounts.push(view),
            Effect::Persist(record) => drop(self.records.insert(record.key().to_bytes(), record)),
            Effect::Forget(key) => drop(self.records.remove(&key.to_bytes())),
            _ => {}
        }
    }

    fn ask_lease(&mut self, bytes: u64) -> LeaseAnswer {
        self.tell(Input::LeaseAsked {
            token: Token(1),
            asked: LeaseAsked {
                from: PEER,
                archive: THEIRS,
                bytes: ByteCount(bytes),
                member: true,
            },
        });
        *self.leases.last().unwrap()
    }

    fn leased(&mut self, bytes: u64) -> u64 {
        match self.ask_lease(bytes) {
            LeaseAnswer::Granted { bytes, .. } => bytes.0,
            other => panic!("{other:?}"),
        }
    }

    /// Offers a new shard, and keeps it when it is taken.
    fn offer(&mut self, len: u64) -> OfferVerdict {
        self.shards += 1;
        let token = Token(100 + u64::from(self.shards));
        self.tell(Input::Offered {
            token,
            facts: OfferFacts {
                from: PEER,
                archive: THEIRS,
                len: ByteCount(len),
                offered: Offered::Shard {
                    label: LabelId::from_bytes([self.shards; 32]),
                    index: ShardIndex(0),
                    kind: PackKind::Meta,
                    believed: true,
                    here: StripeHere::Nothing,
                    mirror: false,
                },
            },
        });
        let verdict = *self.verdicts.last().unwrap();
        if verdict == OfferVerdict::Accept {
            let kept = Some(ByteCount(len));
            self.tell(Input::OfferEnded { token, kept });
        }
        verdict
    }

    /// Lets days pass, with an alarm in each hour.
    fn pass(&mut self, days: u64) {
        for _ in 0..24 * days {
            self.now = self.now.after(Span::from_secs(3600));
            self.tell(Input::Tick);
        }
    }

    fn balance(&self) -> Balance {
        self.accounts.last().unwrap().balance
    }

    fn release(&mut self) -> ReleaseVerdict {
        let archive = THEIRS;
        self.tell(Input::ReleaseAsked {
            token: Token(7),
            archive,
        });
        *self.releases.last().unwrap()
    }

    /// The peer shows another inventory.
    fn gives(&mut self, bytes: u64) {
        self.given = ByteCount(bytes);
        self.tell(Input::Committed { archive: OWN });
    }
}

#[test]
fn who_gives_nothing_is_warned_then_stopped_and_keeps_what_is_here() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.leased(50_000),
        2 * ALLOWANCE,
        "twice the allowance, and no more"
    );
    assert_eq!(bench.offer(900), OfferVerdict::Accept);
    assert_eq!(bench.balance(), Balance::Even);
    assert_eq!(bench.offer(200), OfferVerdict::Accept);
    assert_eq!(bench.balance().rank(), 1, "warned first, and it was taken");
    bench.pass(13);
    assert_eq!(bench.offer(100), OfferVerdict::Accept, "there is time to mend it");
    bench.pass(2);
    assert_eq!(bench.balance().rank(), 2);
    let refused = OfferVerdict::Refuse(OfferRefusal::Unbalanced);
    assert_eq!(bench.offer(100), refused);
    assert_eq!(
        bench.leased(50_000),
        2 * ALLOWANCE,
        "what was promised is renewed"
    );
    assert!(matches!(bench.release(), ReleaseVerdict::Promised { .. }));
    bench.pass(88);
    assert!(
        matches!(bench.release(), ReleaseVerdict::Promised { .. }),
        "not before its time"
    );
    bench.pass(3);
    assert_eq!(bench.balance(), Balance::Releasable);
    bench.tell(Input::RestoreSeen { archive: THEIRS });
    assert!(matches!(bench.release(), ReleaseVerdict::Restoring { .. }));
    bench.pass(31);
    assert_eq!(bench.release(), ReleaseVerdict::Granted);
    assert!(
        !bench
            .records
            .values()
            .any(|record| matches!(record, Record::Granted { .. })),
        "nothing is promised any more"
    );
}

#[test]
fn who_gives_about_as_much_is_even_and_gets_more() {
    let mut bench = Bench::new();
    bench.gives(10_000);
    let allowed = ALLOWANCE + 10_000 + 2_500;
    assert_eq!(bench.leased(1 << 30), 2 * allowed);
    assert_eq!(bench.offer(allowed), OfferVerdict::Accept);
    assert_eq!(bench.balance(), Balance::Even);
    bench.gives(9_000);
    assert_eq!(bench.balance().rank(), 1, "it gives less than before");
    bench.pass(20);
    assert_eq!(bench.balance().rank(), 2);
    bench.gives(10_000);
    assert_eq!(bench.balance(), Balance::Even);
    assert_eq!(bench.offer(100), OfferVerdict::Accept);
}

#[test]
fn a_debt_outlives_a_restart_and_grows_only_while_its_owner_can_hear_of_it() {
    let mut bench = Bench::new();
    bench.leased(2 * ALLOWANCE);
    bench.offer(ALLOWANCE + 1);
    bench.pass(10);
    let records: Vec<Record> = bench.records.into_values().collect();
    let mut again = Bench::with(records, bench.now, ALLOWANCE + 1);
    again.tell(Input::Disconnected { node: PEER });
    again.pass(100);
    assert_eq!(again.balance().rank(), 1, "nobody was there to hear it");
    again.connect();
    again.pass(2);
    assert_eq!(again.balance().rank(), 1);
    again.stance = Stance::Paused { until: None };
    again.tell(Input::Disconnected { node: PEER });
    again.connect();
    again.pass(100);
    assert_eq!(again.balance().rank(), 1, "a holiday is not counted against it");
    again.stance = Stance::Open;
    again.tell(Input::Disconnected { node: PEER });
    again.connect();
    again.pass(4);
    assert_eq!(again.balance().rank(), 2);
}

#[test]
fn a_generous_host_asks_nothing() {
    let mut bench = Bench::new();
    let generous = VaultFacts {
        generous: true,
        ..bench.vault.clone()
    };
    bench.tell(Input::Vault(generous));
    assert_eq!(bench.leased(50_000), 50_000);
    assert_eq!(bench.offer(40_000), OfferVerdict::Accept);
    assert_eq!(
        (bench.balance(), bench.accounts.last().unwrap().allowed),
        (Balance::Even, None)
    );
}

#[test]
fn the_persons_word_bounds_one_archive_and_a_holiday_all() {
    let mut bench = Bench::new();
    let limited = VaultFacts {
        limits: BTreeMap::from([(THEIRS, ByteCount(500))]),
        ..bench.vault.clone()
    };
    bench.tell(Input::Vault(limited));
    assert_eq!(bench.leased(50_000), 500);
    let until = bench.now.after(Span::from_days(1));
    let paused = VaultFacts {
        stance: Stance::Paused { until: Some(until) },
        ..bench.vault.clone()
    };
    bench.tell(Input::Vault(paused));
    assert!(!bench.engine.terms().accepts);
    assert_eq!(bench.leased(50_000), 500, "renewed, and no more");
    assert_eq!(bench.offer(1), OfferVerdict::Refuse(OfferRefusal::Paused));
    bench.pass(1);
    assert!(bench.engine.terms().accepts, "a holiday ends by itself");
    assert_eq!(bench.offer(1), OfferVerdict::Accept);
}
