//! The world: virtual time and its events in order. One event is one step; after each the invariants are checked.

mod effects;
mod remote;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};

use nuthatch_engine::boundary::{Event, Input, OpId, PackKind, PackNumber, PathClass, Token};
use nuthatch_engine::history::Standing;
use nuthatch_engine::rules::Rules;
use nuthatch_engine::{Scheme, ShardIndex};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, Span, Timestamp};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::checkers::{self, Violation};
use crate::exchanges::{Exchange, Exchanges};
use crate::network::{Network, NodeIndex};
use crate::node::{Node, Setup, archive_id, node_id};
use crate::trace::Trace;
use crate::vaults::Vault;

/// Steps after which a run is taken for an endless one (count).
const STEPS_MAX: u64 = 3_000_000;

/// Events that are remembered (count).
pub const SAID_MAX: usize = 100_000;

/// What a scenario does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A machine is switched on; the first time, it joins the circle.
    Start(NodeIndex),
    /// A machine loses power.
    Stop(NodeIndex),
    /// A machine loses power after so many more effects, and is switched on again 20 s later.
    StopAfter(NodeIndex, u32),
    /// An owner stages so many packs.
    Stage(NodeIndex, u32),
    /// An owner commits a snapshot.
    Commit(NodeIndex),
    /// A connection breaks.
    Break(NodeIndex, NodeIndex),
    /// The next so many shards are stored, and the connection breaks before their hosts' answers arrive.
    LoseAnswers(u32),
    /// The next so many shards are stored, and their hosts lose power before they answer; they are switched on again so much later.
    StrandHosts(u32, Span),
    /// A machine moves to another part of a divided network; part 0 is the largest.
    Move(NodeIndex, u8),
    /// The next so many questions or answers get lost.
    LoseMessages(u32),
    /// A machine's clock is set wrong by so many milliseconds.
    Skew(NodeIndex, i64),
    /// A host's disk is pulled out (`true`) or put back.
    Detach(NodeIndex, bool),
    /// A host loses one shard in so many to a bad disk; its next inventory says so.
    Rot(NodeIndex, u32),
    /// A machine is lost for good, with all that it kept.
    Die(NodeIndex),
    /// The person at the first machine says what is to be thought of the second.
    Say(NodeIndex, NodeIndex, Standing),
    /// A machine now stands in the house of another, or in one of its own.
    House(NodeIndex, Option<NodeIndex>),
    /// The person at a machine asks how its backups are.
    Ask(NodeIndex),
}

/// What happens at a moment.
#[derive(Debug)]
enum Happening {
    Input {
        to: NodeIndex,
        life: u32,
        input: Input,
    },
    Wake {
        node: NodeIndex,
        life: u32,
    },
    Dialled {
        from: NodeIndex,
        life: u32,
        to: NodeIndex,
    },
    Arrived {
        exchange: u64,
    },
    Stored {
        exchange: u64,
    },
    Answered {
        exchange: u64,
        input: Input,
        kept: BTreeSet<(LabelId, ShardIndex)>,
    },
    Encoded {
        node: NodeIndex,
        life: u32,
        op: OpId,
        pack: PackNumber,
        scheme: Scheme,
    },
    Act(Action),
    /// Nothing has come of a question for so long that its asker gives up.
    GivenUp {
        exchange: u64,
    },
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Timestamp,
    /// The machines.
    pub nodes: Vec<Node>,
    /// The network.
    pub network: Network,
    /// Shards whose host has signed for them.
    pub acknowledged: BTreeSet<(NodeIndex, ArchiveId, LabelId, ShardIndex)>,
    /// What engines said about keeping data alive, oldest first, at most [`SAID_MAX`].
    pub said: Vec<(NodeIndex, Event)>,
    /// Fingerprint of all decisions.
    pub trace: Trace,
    /// Steps so far (count).
    pub step_count: u64,
    /// Shards sent (count).
    pub sent_count: u64,
    /// Whether the whole world is checked after every step, and not only when it is looked at.
    pub is_checked_always: bool,
    answers_to_lose: u32,
    messages_to_lose: u32,
    hosts_to_strand: (u32, Span),
    joined: BTreeSet<NodeIndex>,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    queued_count: u64,
    exchanges: Exchanges,
    rules: Rules,
    rng: Xoshiro256PlusPlus,
    seed: u64,
}

impl World {
    /// A world of machines that are all switched off, with these vaults.
    pub fn new(setups: Vec<(Setup, Vault)>, rules: Rules, seed: u64) -> Self {
        let nodes = setups
            .into_iter()
            .enumerate()
            .map(|(at, (setup, vault))| Node::new(at, setup, vault))
            .collect();
        Self {
            now: Timestamp(1_800_000_000_000),
            nodes,
            network: Network::default(),
            acknowledged: BTreeSet::new(),
            said: Vec::new(),
            trace: Trace::new(),
            step_count: 0,
            sent_count: 0,
            is_checked_always: false,
            answers_to_lose: 0,
            messages_to_lose: 0,
            hosts_to_strand: (0, Span::ZERO),
            joined: BTreeSet::new(),
            queue: BTreeMap::new(),
            queued_count: 0,
            exchanges: Exchanges::default(),
            rules,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            seed,
        }
    }

    /// Plans an action so long from now.
    pub fn plan(&mut self, delay: Span, action: Action) {
        self.schedule(delay, Happening::Act(action));
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, span: Span) -> Result<(), Violation> {
        let end = self.now.after(span);
        while self.step(end)? {}
        self.now = end;
        checkers::whole_world(self)
    }

    /// Lets the next thing happen that happens until a moment; says whether there was one.
    pub fn step(&mut self, end: Timestamp) -> Result<bool, Violation> {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) else {
            return Ok(false);
        };
        let ((at, _), happening) = entry.remove_entry();
        self.now = at;
        self.step_count += 1;
        if self.step_count > STEPS_MAX {
            return Err(Violation::Endless { steps: STEPS_MAX });
        }
        self.happen(happening)?;
        if self.is_checked_always {
            checkers::whole_world(self)?;
        }
        Ok(true)
    }

    /// Shards that owners know several holders of, each beyond the first (count).
    pub fn surplus_count(&self) -> usize {
        let stripes = self.nodes.iter().flat_map(|node| node.catalogue.stripes());
        stripes
            .map(|stripe| {
                let indices: BTreeSet<ShardIndex> = stripe.holders.iter().map(|holder| holder.0).collect();
                stripe.holders.len() - indices.len()
            })
            .sum()
    }

    /// Packs that the engines of owners say still wait (count).
    pub fn waiting_count(&self) -> u64 {
        let engines = self.nodes.iter().filter_map(|node| node.engine.as_ref());
        engines.filter_map(nuthatch_engine::Engine::quiet).sum()
    }

    fn schedule(&mut self, delay: Span, happening: Happening) {
        self.queued_count += 1;
        self.queue
            .insert((self.now.after(delay), self.queued_count), happening);
    }

    fn tell(&mut self, to: NodeIndex, input: Input) {
        let life = self.nodes[to].life;
        self.schedule(Span::ZERO, Happening::Input { to, life, input });
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Input { to, life, input } => self.handle(to, life, input),
            Happening::Wake { node, life } => {
                let is_wanted = self.nodes[node].wake_at.take_if(|at| *at <= self.now).is_some();
                if is_wanted {
                    self.handle(node, life, Input::Tick)
                } else {
                    Ok(())
                }
            }
            Happening::Dialled { from, life, to } => {
                self.dialled(from, life, to);
                Ok(())
            }
            Happening::Arrived { exchange } if self.gets_lost(exchange) => Ok(()),
            Happening::Arrived { exchange } => self.arrived(exchange),
            Happening::Stored { exchange } => self.stored(exchange),
            Happening::Answered { exchange, .. } if self.gets_lost(exchange) => Ok(()),
            Happening::GivenUp { exchange } => self.given_up(exchange),
            Happening::Answered {
                exchange,
                input,
                kept,
            } => self.answered(exchange, input, &kept),
            Happening::Encoded {
                node,
                life,
                op,
                pack,
                scheme,
            } => self.encoded(node, life, (op, pack, scheme)),
            Happening::Act(action) => {
                self.act(action);
                Ok(())
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(node) => self.start(node),
            Action::Stop(node) => self.stop(node),
            Action::StopAfter(node, effect_count) => self.nodes[node].crash_after = Some(effect_count),
            Action::Stage(node, count) => {
                for _ in 0..count {
                    let kind = if self.rng.random_ratio(1, 4) {
                        PackKind::Meta
                    } else {
                        PackKind::Data
                    };
                    let len = ByteCount(self.rng.random_range(1..=256_u64) << 16);
                    self.nodes[node].catalogue.stage(kind, len);
                }
                self.tell(
                    node,
                    Input::WorkChanged {
                        archive: archive_id(node),
                    },
                );
            }
            Action::Commit(node) => {
                let journal = self.nodes[node].catalogue.write_segment();
                self.tell(
                    node,
                    Input::JournalGrew {
                        archive: archive_id(node),
                        journal,
                    },
                );
                self.tell(
                    node,
                    Input::Committed {
                        archive: archive_id(node),
                    },
                );
            }
            Action::Break(one, other) => self.disconnect(one, other),
            Action::LoseAnswers(count) => self.answers_to_lose = count,
            Action::StrandHosts(count, away) => self.hosts_to_strand = (count, away),
            Action::LoseMessages(count) => self.messages_to_lose = count,
            Action::Skew(..)
            | Action::Detach(..)
            | Action::Rot(..)
            | Action::Die(..)
            | Action::Say(..)
            | Action::House(..)
            | Action::Ask(..) => self.trouble(action),
            Action::Move(node, part) => {
                self.network.move_to(node, part);
                for (one, other) in self.network.broken() {
                    self.disconnect(one, other);
                }
            }
        }
    }

    fn start(&mut self, node: NodeIndex) {
        if self.nodes[node].engine.is_some() {
            return;
        }
        let is_new = self.joined.insert(node);
        let facts: Vec<_> = self.joined.iter().map(|at| self.nodes[*at].facts()).collect();
        let seed = self.seed ^ (node as u64) << 32;
        let inputs = self.nodes[node].start(self.rules.clone(), seed, facts.clone());
        for input in inputs {
            self.tell(node, input);
        }
        if is_new {
            let others: Vec<NodeIndex> = self.joined.iter().copied().filter(|at| *at != node).collect();
            for other in others {
                self.tell(other, Input::Members(facts.clone()));
            }
        }
    }

    fn stop(&mut self, node: NodeIndex) {
        if self.nodes[node].engine.is_none() {
            return;
        }
        self.nodes[node].stop();
        for peer in self.network.peers_of(node) {
            self.disconnect(node, peer);
        }
    }

    /// Ends a connection: both ends hear of it, after the ends of everything that was going on between them.
    fn disconnect(&mut self, one: NodeIndex, other: NodeIndex) {
        if !self.network.disconnect(one, other) {
            return;
        }
        let between = |exchange: &Exchange| {
            (exchange.from, exchange.to) == (one, other) || (exchange.from, exchange.to) == (other, one)
        };
        for (id, exchange) in self.exchanges.close_all(between) {
            let Exchange {
                from,
                from_life,
                to,
                to_life,
                ..
            } = exchange;
            if exchange.is_accepted {
                let input = Input::OfferEnded {
                    token: Token(id),
                    kept: None,
                };
                self.schedule(
                    Span::ZERO,
                    Happening::Input {
                        to,
                        life: to_life,
                        input,
                    },
                );
            }
            let input = exchange.failure();
            self.schedule(
                Span::ZERO,
                Happening::Input {
                    to: from,
                    life: from_life,
                    input,
                },
            );
        }
        self.tell(one, Input::Disconnected { node: node_id(other) });
        self.tell(other, Input::Disconnected { node: node_id(one) });
    }

    fn dialled(&mut self, from: NodeIndex, life: u32, to: NodeIndex) {
        if self.nodes[from].life != life || self.nodes[from].engine.is_none() {
            return;
        }
        if self.nodes[to].engine.is_none() || !self.network.reaches(from, to) {
            self.tell(from, Input::DialFailed { node: node_id(to) });
            return;
        }
        let class = PathClass::Direct;
        let is_new = self.network.connect(from, to);
        self.tell(
            from,
            Input::Connected {
                node: node_id(to),
                class,
            },
        );
        if is_new {
            self.tell(
                to,
                Input::Connected {
                    node: node_id(from),
                    class,
                },
            );
        }
    }

    /// Hands an input to an engine, performs what it wants and checks what can be checked at once.
    fn handle(&mut self, at: NodeIndex, life: u32, input: Input) -> Result<(), Violation> {
        if self.nodes[at].life != life {
            return Ok(());
        }
        let now = self.nodes[at].clock(self.now);
        let Some(engine) = self.nodes[at].engine.as_mut() else {
            return Ok(());
        };
        engine.handle(now, input);
        checkers::load(at, &engine.load())?;
        let mut effects = Vec::new();
        while let Some(effect) = engine.poll_effect() {
            self.trace.add(&(now, at, &effect));
            effects.push(effect);
        }
        let wake_at = engine.poll_timeout();
        let wake_at = wake_at.map(|shown| self.nodes[at].moment(shown));
        self.set_alarm(at, life, wake_at);
        self.perform_all(at, &effects);
        checkers::space(&self.nodes[at])
    }

    fn set_alarm(&mut self, at: NodeIndex, life: u32, wake_at: Option<Timestamp>) {
        if self.nodes[at].wake_at != wake_at {
            self.nodes[at].wake_at = wake_at;
            if let Some(wake_at) = wake_at {
                self.schedule(wake_at.since(self.now), Happening::Wake { node: at, life });
            }
        }
    }
}
