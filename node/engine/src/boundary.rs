//! The engine's whole face: what it is told (`Input`), what it wants done (`Effect`), what it says about itself (`Event`), and the
//! plain facts that travel in them. What it must remember is in `record`.
//!
//! Nothing here decides, signs, verifies or touches bytes of a shard. Contract of the loop that performs effects:
//!
//! - One input, then drain `poll_effect` to empty. All `Persist` and `Forget` of a drain are synced before any other effect of it starts.
//! - Every effect that carries an `OpId` is answered by exactly one input with that id, also when its connection broke.
//!   `Dial` is answered by `Connected` or `DialFailed`, `ReadStripes` by `Stripes`.
//! - What an input says has been done is already durable: a holder is in the catalogue before `TransferEnded`, a label in a synced
//!   segment before `EncodeEnded`, a shard in the vault before `OfferEnded`.
//! - After a crash no operation is in flight: a new engine replays its records and begins again.

mod hosting;

use std::sync::Arc;

use nuthatch_erasure::{Scheme, ShardIndex};
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Span, Timestamp};

use crate::audits::{AuditCounts, AuditEnd, AuditTask, EndedAudit};
use crate::fairness::{ReleaseVerdict, Stance};
use crate::history::Standing;
use crate::placement::Candidate;
use crate::record::{Record, RecordKey};
use crate::repair::{Due, HealthView, RepairSource};
use crate::stewards::Stewardship;

pub use hosting::{
    AccountView, LeaseAsked, OfferFacts, OfferRefusal, OfferVerdict, Offered, StripeHere, VaultFacts,
};

/// One operation that the engine started; unique within one run of the engine, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// One question of another node that waits for a verdict; chosen by the caller, unique among those that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A pack by its number in the local catalogue; numbers grow in the order in which packs became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackNumber(pub u64);

/// How far this device's own journal has come: grows with each segment it writes, never goes back within a run.
/// A host is at a position when it has acknowledged every own segment up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct JournalPosition(pub u64);

/// What a pack holds. Metadata (trees) is placed with more redundancy and may use the tenth of a lease that data may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackKind {
    /// File content.
    Data,
    /// Directory trees.
    Meta,
}

/// A failure domain, named by the smallest node in it. What stands in one house is lost together, so a domain gets at most one
/// shard of a stripe. A node that shares its place with no other is its own domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(pub NodeId);

/// How two nodes reach each other. A better path sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathClass {
    /// The same local network.
    Lan,
    /// Directly, over other networks.
    Direct,
    /// Through a relay.
    Relayed,
}

/// A member of the circle, as the roster and the address book know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberFacts {
    /// Who.
    pub node: NodeId,
    /// What it is lost together with; `Domain(node)` when nothing is declared.
    pub domain: Domain,
}

/// What a host says about itself in a greeting. Claims, believed only as hints: its verdicts decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostTerms {
    /// Whether it takes shards of others at all.
    pub accepts: bool,
    /// Whether it asks nothing in return.
    pub generous: bool,
    /// How much more it could lease out.
    pub free: ByteCount,
    /// What its person has said about hosting.
    pub stance: Stance,
}

/// Which packs of the catalogue a page is wanted of, each in the order of `PackNumber`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StripeQuery {
    /// Packs whose bytes are in this node's staging and that have no label yet, or whose newest label has a shard without holder.
    Pending,
    /// Packs whose newest label is weak by `durability::is_weak(scheme, hosts, target)`, wherever their bytes are.
    Weak {
        /// Hosts that may hold shards (count).
        hosts: u8,
        /// Losses of hosts to survive (count).
        target: u8,
    },
}

/// What the catalogue knows of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeFacts {
    /// Which pack.
    pub pack: PackNumber,
    /// What it holds.
    pub kind: PackKind,
    /// Its length.
    pub pack_len: ByteCount,
    /// Its newest label; `None` when it was never encoded.
    pub stripe: Option<Stripe>,
}

/// A labelled stripe and who holds its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripe {
    /// Its label.
    pub label: LabelId,
    /// Its shape.
    pub scheme: Scheme,
    /// Length of each shard.
    pub shard_len: ByteCount,
    /// Where in this device's journal the label stands; position 0 for what stood there before this run began.
    pub journal: JournalPosition,
    /// Who holds which shard, by receipts and inventories. A shard may have several holders.
    pub holders: Vec<(ShardIndex, NodeId)>,
}

/// What was found in the part of the catalogue that one page of endangered stripes looked over (counts of packs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndangeredCounts {
    /// To be rebuilt, however pressing.
    pub due: u64,
    /// Not readable any more, whoever comes back.
    pub unrepairable: u64,
    /// With several shards in one failure domain.
    pub clumped: u64,
}

impl EndangeredCounts {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            due: self.due.saturating_add(other.due),
            unrepairable: self.unrepairable.saturating_add(other.unrepairable),
            clumped: self.clumped.saturating_add(other.clumped),
        }
    }
}

/// A page of stripes that are to be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndangeredPage {
    /// Those of the margin asked for, at most the limit asked for, in the order of `PackNumber`; each has a stripe.
    pub page: Vec<StripeFacts>,
    /// The last pack looked at, when there may be more after it.
    pub next: Option<PackNumber>,
    /// What was found on the way, whatever its margin.
    pub counts: EndangeredCounts,
    /// The smallest margin above the one asked for that was found on the way.
    pub next_margin: Option<u8>,
}

impl EndangeredPage {
    /// Notes what a look at one stripe said, where stripes of `margin` are asked for.
    pub fn note(&mut self, due: Due, is_clumped: bool, margin: u8) {
        match due {
            Due::Unrepairable => self.counts.unrepairable += 1,
            Due::Rebuild { margin: found } => {
                self.counts.due += 1;
                if found > margin {
                    self.next_margin = Some(self.next_margin.map_or(found, |next| next.min(found)));
                }
            }
            Due::Rest => {}
        }
        self.counts.clumped += u64::from(is_clumped);
    }
}

/// How bringing a pack's bytes back ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecallOutcome {
    /// They are on this disk, and the label's shards are cut from them.
    Here {
        /// Where they came from.
        source: RepairSource,
    },
    /// They can't be had now.
    Failed,
}

/// How a look at everything that is to be repaired ended (counts of packs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairRound {
    /// Whether it was begun because a person wanted it.
    pub is_asked: bool,
    /// What was found.
    pub found: EndangeredCounts,
    /// Rebuilt: nothing more is to be done for them.
    pub rebuilt: u64,
    /// Shards given to hosts (count of shards).
    pub shards: u64,
    /// Waiting for a host to take what is missing.
    pub no_host: u64,
    /// Waiting for hosts that still have shards, or for room on this disk: the bytes can't be had now.
    pub out_of_reach: u64,
}

/// How a lease request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// A signed lease came back and was verified.
    Granted {
        /// All that the archive may keep there, not an increment; perhaps less than was asked for.
        bytes: ByteCount,
        /// Until when, by the host's promise.
        until: Timestamp,
    },
    /// The host refuses.
    Refused(LeaseRefusal),
    /// No answer: broken connection, time-out or nonsense.
    Failed,
}

/// Why a host grants no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseRefusal {
    /// It hosts for nobody.
    NotHosting,
    /// The asker is not a member of the circle.
    NotMember,
    /// Nothing is left of its quota or its disk.
    Full,
    /// It keeps too many archives already.
    TooManyArchives,
    /// It takes nothing new for a while, or is about to leave.
    Paused,
    /// It keeps as much for the archive as it may, by what the archive's nodes keep for it.
    Unbalanced,
}

/// How the encoding of a pack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeOutcome {
    /// The label is signed and stands in a synced segment.
    Labelled {
        /// The new label.
        label: LabelId,
        /// Length of each shard.
        shard_len: ByteCount,
        /// The segment that holds the label.
        journal: JournalPosition,
    },
    /// The pack could not be had or encoded now (bytes away, disk full); it is asked for again later.
    Failed,
}

/// How the sending of a shard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferOutcome {
    /// The host signed a receipt, now or earlier; the catalogue names it as holder.
    Held,
    /// The host has no room for another operation.
    Busy {
        /// When it may be asked again.
        retry_after: Span,
    },
    /// The host does not take it.
    Refused(OfferRefusal),
    /// The connection broke or made no progress.
    Disconnected,
    /// The shard's bytes could not be had or do not match the label: the fault is here, not at the host.
    Unreadable,
}

/// How the sending of segments and statements ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentsOutcome {
    /// The host acknowledged every own segment up to this position.
    Sent(JournalPosition),
    /// Its bound or quota for journals is reached, or the archive has no lease there.
    Refused(OfferRefusal),
    /// The host has no room for another operation.
    Busy {
        /// When it may be asked again.
        retry_after: Span,
    },
    /// The connection broke or made no progress.
    Failed,
}

/// How a comparison of inventories ended; the catalogue has been corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryOutcome {
    /// The host signed its inventory and it was compared with the catalogue.
    Compared {
        /// All that it keeps of the archive.
        bytes: ByteCount,
        /// Shards that the catalogue named and the host no longer does (count).
        lost_count: u64,
        /// Shards that the host names and the catalogue did not (count).
        found_count: u64,
    },
    /// No verified answer.
    Failed,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Only time has passed.
    Tick,

    // The circle.
    /// The whole roster without this node, replacing the last one. At most `rules::MEMBERS_MAX`; others are ignored.
    Members(Vec<MemberFacts>),
    /// A member was seen or has a new address: dial it now.
    Sighted {
        /// Who.
        node: NodeId,
    },
    /// A member can be talked to, whoever dialled.
    Connected {
        /// Who.
        node: NodeId,
        /// How.
        class: PathClass,
    },
    /// The last connection to a member has ended.
    Disconnected {
        /// Who.
        node: NodeId,
    },
    /// A dial did not lead to a connection.
    DialFailed {
        /// Who.
        node: NodeId,
    },
    /// A member answered a greeting, or did not.
    GreetEnded {
        /// Which greeting.
        op: OpId,
        /// What it said; `None` when nothing usable came.
        terms: Option<HostTerms>,
    },

    /// A person said what is to be thought of a member.
    StandingSet {
        /// Who.
        node: NodeId,
        /// What was said.
        standing: Standing,
    },

    /// A member greeted us, or told new terms without being asked.
    TermsLearned {
        /// Who.
        node: NodeId,
        /// What it said.
        terms: HostTerms,
    },

    // The archive that this node owns.
    /// An archive of this node is open for work. An engine owns at most one; a second one is ignored.
    ArchiveOpened {
        /// Which.
        archive: ArchiveId,
        /// Losses to survive that the owner asked for; `None`: by the number of hosts.
        survive: Option<u8>,
        /// Where its journal stands.
        journal: JournalPosition,
    },
    /// All archives that this node is a steward of, replacing the last ones. At most `rules::STEWARDED_MAX`; others are ignored, and so is
    /// this node's own.
    Stewardships(Vec<Stewardship>),
    /// The owner changed its mind on how many losses to survive.
    SurviveSet {
        /// Which archive.
        archive: ArchiveId,
        /// As in `ArchiveOpened`.
        survive: Option<u8>,
    },
    /// Packs were staged, or holders changed without the engine's doing: pages are to be read again.
    WorkChanged {
        /// Which archive.
        archive: ArchiveId,
    },
    /// A segment was written and synced.
    JournalGrew {
        /// Which archive.
        archive: ArchiveId,
        /// Where it stands now.
        journal: JournalPosition,
    },
    /// A snapshot was committed in a segment, or segments of other devices were learned: each reachable host is asked for an inventory
    /// newer than that. However often this comes, each host has one inventory running and at most one to follow.
    Committed {
        /// Which archive.
        archive: ArchiveId,
    },
    /// A page that was asked for.
    Stripes {
        /// Which archive.
        archive: ArchiveId,
        /// As asked.
        query: StripeQuery,
        /// At most the limit asked for, in the order of `PackNumber`.
        page: Vec<StripeFacts>,
        /// The last pack looked at, when there may be more after it.
        next: Option<PackNumber>,
    },
    /// A page of endangered stripes that was asked for.
    Endangered {
        /// Which archive.
        archive: ArchiveId,
        /// What was found.
        found: EndangeredPage,
    },
    /// A person wants everything repaired now that is to be repaired.
    RepairNow {
        /// Which archive.
        archive: ArchiveId,
    },
    /// A person asks what a repair would do.
    RepairAsked {
        /// Answer with this.
        token: Token,
        /// Which archive.
        archive: ArchiveId,
    },
    /// Bringing a pack's bytes back has ended.
    RecallEnded {
        /// Which one.
        op: OpId,
        /// How.
        outcome: RecallOutcome,
    },
    /// A lease request has ended.
    LeaseEnded {
        /// Which request.
        op: OpId,
        /// How.
        answer: LeaseAnswer,
    },
    /// An encoding has ended.
    EncodeEnded {
        /// Which one.
        op: OpId,
        /// How.
        outcome: EncodeOutcome,
    },
    /// The sending of a shard has ended.
    TransferEnded {
        /// Which one.
        op: OpId,
        /// How.
        outcome: TransferOutcome,
    },
    /// The sending of segments has ended.
    SegmentsEnded {
        /// Which one.
        op: OpId,
        /// How.
        outcome: SegmentsOutcome,
    },
    /// A comparison of inventories has ended.
    InventoryEnded {
        /// Which one.
        op: OpId,
        /// How.
        outcome: InventoryOutcome,
    },

    /// An audit has ended.
    AuditEnded {
        /// Which one.
        op: OpId,
        /// How.
        end: AuditEnd,
        /// What came of it.
        counts: AuditCounts,
    },
    /// A person wants to know now: hosts that are here are audited at once, with all challenges that the wanted detection takes.
    AuditWanted {
        /// Which archive.
        archive: ArchiveId,
        /// One host; `None`: all.
        node: Option<NodeId>,
    },

    // The vault that this node keeps for others.
    /// The vault at the start, and whenever it changed without the engine's doing (quota set, files gone, disk filled by others).
    Vault(VaultFacts),
    /// Somebody asks for a lease.
    LeaseAsked {
        /// Answer with this.
        token: Token,
        /// What is asked.
        asked: LeaseAsked,
    },
    /// Somebody offers something for the vault.
    Offered {
        /// Answer with this; `OfferEnded` repeats it after `Accept`.
        token: Token,
        /// What is offered.
        facts: OfferFacts,
    },
    /// The person at this machine wants to release what is kept for an archive.
    ReleaseAsked {
        /// Answer with this.
        token: Token,
        /// Which archive.
        archive: ArchiveId,
    },
    /// Something of an archive was read that is kept here, or claimed by its owner's phrase: it is being restored.
    RestoreSeen {
        /// Which archive.
        archive: ArchiveId,
    },
    /// What was accepted has arrived, or has not.
    OfferEnded {
        /// Which offer.
        token: Token,
        /// What was added to the vault, synced; `None` when nothing was kept.
        kept: Option<ByteCount>,
    },
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Remember: put it under its key, replacing what was there.
    Persist(Record),
    /// Forget what is under this key.
    Forget(RecordKey),
    /// Find and connect to a member; answered by `Connected` also when it was connected all along.
    Dial {
        /// Whom.
        node: NodeId,
    },
    /// Exchange greetings with a connected member.
    Greet {
        /// Answered by `GreetEnded`.
        op: OpId,
        /// Whom.
        node: NodeId,
    },
    /// Ask a host for a lease, or to renew or enlarge it.
    AskLease {
        /// Answered by `LeaseEnded`.
        op: OpId,
        /// The host.
        node: NodeId,
        /// For which archive.
        archive: ArchiveId,
        /// All that shall be kept there, not an increment.
        bytes: ByteCount,
    },
    /// Read a page of the catalogue.
    ReadStripes {
        /// Which archive.
        archive: ArchiveId,
        /// Which packs.
        query: StripeQuery,
        /// Only packs after this one; `None`: from the beginning.
        after: Option<PackNumber>,
        /// At most so many (count, `1..=rules::PAGE_LEN_MAX`).
        limit: usize,
    },
    /// Read a page of stripes that are to be rebuilt.
    ReadEndangered {
        /// Which archive.
        archive: ArchiveId,
        /// What hosts are worth.
        view: Arc<HealthView>,
        /// Only stripes that can stand just so many more losses (count).
        margin: u8,
        /// Only packs after this one; `None`: from the beginning.
        after: Option<PackNumber>,
        /// At most so many (count, `1..=rules::REPAIRS_MAX`).
        limit: usize,
    },
    /// Bring a pack's bytes back to this disk, from the cheapest source that gives them, and check that the label's shards are cut from
    /// them. They are kept until `Event::RepairEnded`.
    Recall {
        /// Answered by `RecallEnded`.
        op: OpId,
        /// Which archive.
        archive: ArchiveId,
        /// Which pack.
        pack: PackNumber,
        /// Its stripe.
        label: LabelId,
    },
    /// Answer what a repair would do, by these facts.
    AnswerRepairPlan {
        /// Of this question.
        token: Token,
        /// What hosts are worth.
        view: Arc<HealthView>,
        /// Hosts that could take a shard now.
        takers: Vec<Candidate>,
        /// Whether our own link is taken for cut: nothing is repaired.
        is_cut: bool,
    },
    /// Give a pack a new label of this shape: get its bytes, encode, sign, journal.
    Encode {
        /// Answered by `EncodeEnded`.
        op: OpId,
        /// Which archive.
        archive: ArchiveId,
        /// Which pack.
        pack: PackNumber,
        /// The shape.
        scheme: Scheme,
    },
    /// Send a shard to a host.
    Transfer {
        /// Answered by `TransferEnded`.
        op: OpId,
        /// Which archive.
        archive: ArchiveId,
        /// Its pack, for finding the bytes.
        pack: PackNumber,
        /// Its stripe.
        label: LabelId,
        /// Which shard.
        index: ShardIndex,
        /// The host.
        to: NodeId,
    },
    /// Send a host every segment and statement of the archive that it lacks.
    SendSegments {
        /// Answered by `SegmentsEnded`.
        op: OpId,
        /// Which archive.
        archive: ArchiveId,
        /// The host.
        to: NodeId,
    },
    /// Ask a host for its inventory and correct the catalogue by it. Nothing is being sent to that host meanwhile.
    CompareInventory {
        /// Answered by `InventoryEnded`.
        op: OpId,
        /// Which archive.
        archive: ArchiveId,
        /// The host.
        node: NodeId,
    },
    /// Ask a host to prove what the catalogue says it holds: first what is still open, then what is drawn afresh by the order, from the
    /// system's own randomness. What is drawn is durable before it is asked, and stays open until it is answered. Shards that are missing
    /// or wrong are out of the catalogue, durably, before the answer.
    Audit {
        /// Answered by `AuditEnded`.
        op: OpId,
        /// Whom, and for how much.
        task: AuditTask,
    },
    /// Answer a question for a lease.
    AnswerLease {
        /// Of this question.
        token: Token,
        /// `Granted` is to be signed and sent, else the refusal. Never `Failed`.
        answer: LeaseAnswer,
    },
    /// Answer an offer.
    AnswerOffer {
        /// Of this offer.
        token: Token,
        /// What to say.
        verdict: OfferVerdict,
    },
    /// Answer whether what is kept for an archive may be released. When it may, nothing is promised to it any more.
    AnswerRelease {
        /// Of this question.
        token: Token,
        /// What to say.
        verdict: ReleaseVerdict,
    },
    /// Something a person may want to know. Acting on it is nobody's duty.
    Report(Event),
    /// The same, of an archive that this node is a steward of.
    ReportOf {
        /// Which.
        archive: ArchiveId,
        /// What.
        event: Event,
    },
}

/// What the engine says about its own doings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A member came.
    Arrived {
        /// Who.
        node: NodeId,
        /// How.
        class: PathClass,
    },
    /// A member left.
    Departed {
        /// Who.
        node: NodeId,
    },
    /// A member has been away for longer than its grace: it is not counted on any more.
    Gone {
        /// Who.
        node: NodeId,
        /// When it was last connected; `None`: never.
        since: Option<Timestamp>,
    },
    /// A member that was gone or given up is back.
    Returned {
        /// Who.
        node: NodeId,
    },
    /// What a person said of a member holds now.
    StandingChanged {
        /// Who.
        node: NodeId,
        /// What was said.
        standing: Standing,
    },
    /// Nothing is kept by a leaving host alone any more: it may be switched off.
    Drained {
        /// Who.
        node: NodeId,
    },
    /// Most members vanished together: our own link is cut. Until one is back nobody is given up, and nothing repaired.
    LinkCut {
        /// Members that vanished (count).
        count: usize,
    },
    /// One of them is back, or they are gone in earnest.
    LinkBack,
    /// A pack's bytes are here, and its missing shards are given to hosts.
    RepairBegun {
        /// Which pack.
        pack: PackNumber,
        /// Where the bytes came from.
        source: RepairSource,
        /// Shards to give away (count).
        shards: u8,
    },
    /// A repair has ended: the bytes that were brought back for it need not be kept any longer.
    RepairEnded {
        /// Which pack.
        pack: PackNumber,
        /// Shards given away (count).
        placed: u8,
        /// Shards that still have no healthy holder (count).
        missing: u8,
    },
    /// Everything that is to be repaired was looked at once.
    RepairRound(RepairRound),
    /// A host promises space.
    Leased {
        /// The host.
        node: NodeId,
        /// In all.
        bytes: ByteCount,
        /// Until when.
        until: Timestamp,
    },
    /// A host gives no lease.
    LeaseRefused {
        /// The host.
        node: NodeId,
        /// Why.
        reason: LeaseRefusal,
    },
    /// A host takes no more.
    HostFull {
        /// The host.
        node: NodeId,
    },
    /// A host does not take a shard or a segment.
    OfferRefused {
        /// The host.
        node: NodeId,
        /// Why.
        reason: OfferRefusal,
    },
    /// A pack gets a label of this shape.
    Shaped {
        /// Which pack.
        pack: PackNumber,
        /// The shape.
        scheme: Scheme,
        /// Whether the pack had a weaker label before.
        again: bool,
    },
    /// Every shard of the stripe has a holder, or as many hosts may vanish as if it were so. Its bytes need not be kept here any longer.
    StripeComplete {
        /// Its pack.
        pack: PackNumber,
        /// Its label.
        label: LabelId,
    },
    /// A pack could not be encoded or read here; it is tried again later.
    PackUnreadable {
        /// Which pack.
        pack: PackNumber,
    },
    /// How an archive stands with this host has changed.
    Account(AccountView),
    /// A host no longer names shards that it had signed for.
    ShardsLost {
        /// The host.
        node: NodeId,
        /// How many (count).
        lost_count: u64,
    },
    /// An audit of a host has ended.
    Audited(EndedAudit),
    /// All that the reachable hosts take has been sent to them and acknowledged.
    Quiet {
        /// Packs that still wait for a label or for a holder of some shard (count).
        incomplete_count: u64,
    },
}
