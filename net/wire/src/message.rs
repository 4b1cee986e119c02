//! The control protocol: one question and one answer on a stream, each at most `MESSAGE_LEN_MAX` bytes.
//!
//! Longer lists come in pages. Whether the asker may know is decided by the node, by the rules of `docs/PROTOCOL.md`; where it may
//! not, the answer is [`Reply::Refused`] with [`ErrorCode::NotAllowed`], the same bytes whether or not the thing is there.

use minicbor::{Decode, Encode};
use nuthatch_format::codec::Canonical;
use nuthatch_format::statement::STATEMENT_LEN_MAX;
use nuthatch_format::{ArchiveId, ByteCount, CircleId, LabelId, NodeId, Span, StatementId, Timestamp};

use crate::attest::{Attestation, Digest};
use crate::audit::{AuditReply, AuditRequest};
use crate::bounded::{List, Opaque, len_max};
use crate::bulk::LabelBytes;
use crate::inventory::{InventoryPage, InventoryPageRequest, InventoryReply, InventoryRequest};
use crate::lease::{CertificateBytes, LeaseAnswer, LeaseRequest};
use crate::ledger::LedgerView;
use crate::membership::{Admission, Charter, Name, NodeAddresses, Removal};
use crate::protocol::{MESSAGE_LEN_MAX, PAGE_LEN_MAX};
use crate::receipt::SegmentReceipt;

/// Lines of one archive that a host keeps, and so reports.
pub const LINES_MAX: usize = 512;
/// Hosts that one node introduces.
pub const INTRODUCTIONS_MAX: usize = 128;
/// Labels that one question names. The answer holds as many as fit; the rest is asked for again.
pub const LABELS_PER_QUESTION_MAX: usize = 256;
/// Statements in one page or one message.
pub const STATEMENTS_PER_PAGE_MAX: usize = 256;
/// Roster items in one page or one message.
pub const ROSTER_ITEMS_PER_PAGE_MAX: usize = 128;

/// Longest roster item, in bytes.
pub const ROSTER_ITEM_LEN_MAX: usize = len_max::HEADER + len_max::NUMBER + len_max::bytes(STATEMENT_LEN_MAX);

const _: () = assert!(len_max::list(LINES_MAX, len_max::signed(SegmentReceipt::LEN_MAX)) <= PAGE_LEN_MAX);
const _: () = assert!(len_max::list(INTRODUCTIONS_MAX, INTRODUCTION_LEN_MAX) <= PAGE_LEN_MAX);
const _: () = assert!(len_max::list(LABELS_PER_QUESTION_MAX, len_max::ID) <= PAGE_LEN_MAX);
const _: () = assert!(len_max::bytes(STATEMENT_LEN_MAX) <= PAGE_LEN_MAX);
const _: () = assert!(len_max::bytes(LabelBytes::MAX) <= PAGE_LEN_MAX);
const _: () = assert!(len_max::signed(Charter::LEN_MAX) + len_max::HEADER <= ROSTER_ITEM_LEN_MAX);
const _: () = assert!(len_max::signed(Admission::LEN_MAX) + len_max::HEADER <= ROSTER_ITEM_LEN_MAX);
const _: () = assert!(len_max::signed(Removal::LEN_MAX) + len_max::HEADER <= ROSTER_ITEM_LEN_MAX);
const _: () = assert!(len_max::signed(NodeAddresses::LEN_MAX) + len_max::HEADER <= ROSTER_ITEM_LEN_MAX);
const _: () = assert!(ROSTER_ITEM_LEN_MAX <= PAGE_LEN_MAX);

const INTRODUCTION_LEN_MAX: usize = len_max::map(2, len_max::ID + len_max::signed(NodeAddresses::LEN_MAX));

/// A statement in its exact signed bytes.
pub type StatementBytes = Opaque<STATEMENT_LEN_MAX>;

/// What a member asks another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Request {
    /// This is who I am and what I offer. Answered by `Hello`.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// What do you know of the circle? Answered by `Roster`.
    #[n(1)]
    Roster(#[n(0)] RosterRequest),
    /// Take these. Answered by `Done`.
    #[n(2)]
    PutRoster(#[n(0)] List<RosterItem, ROSTER_ITEMS_PER_PAGE_MAX>),
    /// Will you keep so much? Answered by `Lease`.
    #[n(3)]
    Lease(#[n(0)] LeaseRequest),
    /// What do you hold? Answered by `Inventory`.
    #[n(4)]
    Inventory(#[n(0)] InventoryRequest),
    /// Which shards exactly? Answered by `InventoryPage`.
    #[n(5)]
    InventoryPage(#[n(0)] InventoryPageRequest),
    /// How far do the lines of this archive's journal go? Answered by `JournalHeads`.
    #[n(6)]
    JournalHeads(#[n(0)] ArchiveId),
    /// Which statements of this archive do you have? Answered by `Statements`.
    #[n(7)]
    Statements(#[n(0)] StatementsRequest),
    /// Take these statements. Answered by `Done`.
    #[n(8)]
    PutStatements(#[n(0)] PutStatements),
    /// Who else hosts this archive, and where are they? Answered by `Introductions`.
    #[n(9)]
    Introductions(#[n(0)] ArchiveId),
    /// Give me these labels. Answered by `Labels`.
    #[n(10)]
    StripeLabels(#[n(0)] StripeLabelsRequest),
    /// Prove that you hold these. Answered by `Audit`.
    #[n(11)]
    Audit(#[n(0)] AuditRequest),
    /// This is how I see our account. Answered by `Ledger`.
    #[n(12)]
    Ledger(#[n(0)] LedgerView),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum Reply {
    /// No, because. Answers anything.
    #[n(0)]
    Refused(#[n(0)] ErrorCode),
    /// Answers `Hello`.
    #[n(1)]
    Hello(#[n(0)] Hello),
    /// Answers `Roster`.
    #[n(2)]
    Roster(#[n(0)] RosterPage),
    /// Taken, and synced. What was not valid was left out without a word.
    #[n(3)]
    Done,
    /// Answers `Lease`.
    #[n(4)]
    Lease(#[n(0)] LeaseAnswer),
    /// Answers `Inventory`.
    #[n(5)]
    Inventory(#[n(0)] InventoryReply),
    /// Answers `InventoryPage`.
    #[n(6)]
    InventoryPage(#[n(0)] InventoryPage),
    /// Answers `JournalHeads`: a receipt for the last segment of each line; two of one line where two stand in its last place.
    #[n(7)]
    JournalHeads(#[n(0)] List<Attestation<SegmentReceipt>, LINES_MAX>),
    /// Answers `Statements`.
    #[n(8)]
    Statements(#[n(0)] StatementsPage),
    /// Answers `Introductions`.
    #[n(9)]
    Introductions(#[n(0)] List<Introduction, INTRODUCTIONS_MAX>),
    /// Answers `StripeLabels`: those that are here and fit, in the order of the question.
    #[n(10)]
    Labels(#[n(0)] List<LabelBytes, LABELS_PER_QUESTION_MAX>),
    /// Answers `Audit`.
    #[n(11)]
    Audit(#[n(0)] AuditReply),
    /// Answers `Ledger`.
    #[n(12)]
    Ledger(#[n(0)] LedgerView),
}

/// Why a question is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[cbor(flat)]
pub enum ErrorCode {
    /// The asker may not know; also where there is nothing to know.
    #[n(0)]
    #[error("this is not allowed to the asker")]
    NotAllowed,
    /// Not now.
    #[n(1)]
    #[error("the node is busy")]
    Busy(#[n(0)] Span),
    /// The question could not be read, or asks for something impossible.
    #[n(2)]
    #[error("the node does not understand the question")]
    Malformed,
    /// Made by a newer program than the answering node's.
    #[n(3)]
    #[error("the node's program is too old for this question")]
    Version,
    /// The node failed; nothing is known about what was asked.
    #[n(4)]
    #[error("the node could not answer")]
    Failed,
}

/// The last variant of [`Request`] that this program knows.
const REQUEST_LAST: u32 = 12;

impl ErrorCode {
    /// What to answer to a question that could not be decoded: a variant that is not known here is a newer program's, everything else is
    /// nobody's.
    pub fn of_unread(question: &[u8]) -> Self {
        let mut decoder = minicbor::Decoder::new(question);
        let is_variant = decoder.array().is_ok_and(|len| len.is_some_and(|len| len > 0));
        match decoder.u32() {
            Ok(variant) if is_variant && variant > REQUEST_LAST => Self::Version,
            Ok(_) | Err(_) => Self::Malformed,
        }
    }
}

/// How a node introduces itself on each new connection. Both sides learn the same.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// The circle that it belongs to.
    #[n(0)]
    pub circle: Option<CircleId>,
    /// [`roster digest`](crate::membership::Roster::digest): when it differs from one's own, the roster is asked for.
    #[n(1)]
    pub roster: Digest,
    /// What people call it.
    #[n(2)]
    pub name: Name,
    /// Its program and version.
    #[n(3)]
    pub agent: Name,
    /// [`Capabilities`] as bits; unknown ones are ignored.
    #[n(4)]
    pub capabilities: Capabilities,
    /// Space that it has not promised to anyone yet.
    #[n(5)]
    pub free: ByteCount,
    /// By which it is a node of an archive.
    #[n(6)]
    pub certificate: Option<CertificateBytes>,
    /// Its clock, so that each sees how far they differ.
    #[n(7)]
    pub at: Timestamp,
}

/// What a node can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Capabilities(#[n(0)] pub u32);

impl Capabilities {
    /// It takes shards of other members.
    pub const HOST: Self = Self(1);
    /// It keeps no account of what it gets in return.
    pub const GENEROUS: Self = Self(1 << 1);
    /// It is on a holiday: it takes nothing new, and keeps and gives what it has.
    pub const PAUSED: Self = Self(1 << 2);
    /// It is about to leave: what it keeps is to be kept elsewhere.
    pub const LEAVING: Self = Self(1 << 3);

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of those are among these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One signed piece of what is known of a circle. Carries all its proof.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum RosterItem {
    /// Founds the circle and names its admins.
    #[n(0)]
    Charter(#[n(0)] Attestation<Charter>),
    /// A node has joined.
    #[n(1)]
    Admission(#[n(0)] Attestation<Admission>),
    /// A node is out.
    #[n(2)]
    Removal(#[n(0)] Attestation<Removal>),
    /// A node says where it is and whose.
    #[n(3)]
    Addresses(#[n(0)] Attestation<NodeAddresses>),
    /// An archive's word on one of its devices: certified, or revoked.
    #[n(4)]
    Statement(#[n(0)] StatementBytes),
}

impl Canonical for RosterItem {
    const WHAT: &'static str = "roster item";
    const LEN_MAX: usize = ROSTER_ITEM_LEN_MAX;
}

/// Asks for a roster, page by page.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterRequest {
    /// Which circle's.
    #[n(0)]
    pub circle: CircleId,
    /// `next` of the page before; absent for the first.
    #[n(1)]
    pub after: Option<Digest>,
}

/// Some items of a roster, by their digests in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterPage {
    /// The next ones.
    #[n(0)]
    pub items: List<RosterItem, ROSTER_ITEMS_PER_PAGE_MAX>,
    /// Where the next page goes on; absent on the last one.
    #[n(1)]
    pub next: Option<Digest>,
}

/// Asks for statements, page by page.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StatementsRequest {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// `next` of the page before; absent for the first.
    #[n(1)]
    pub after: Option<StatementId>,
}

/// Some statements, by their ids in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StatementsPage {
    /// The next ones.
    #[n(0)]
    pub statements: List<StatementBytes, STATEMENTS_PER_PAGE_MAX>,
    /// Where the next page goes on; absent on the last one.
    #[n(1)]
    pub next: Option<StatementId>,
}

/// Statements for an archive that the other side keeps.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PutStatements {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// The statements.
    #[n(1)]
    pub statements: List<StatementBytes, STATEMENTS_PER_PAGE_MAX>,
}

/// A host of an archive, and where it says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Introduction {
    /// The host.
    #[n(0)]
    pub node: NodeId,
    /// Its own word on where it is, if known.
    #[n(1)]
    pub addresses: Option<Attestation<NodeAddresses>>,
}

/// Asks for labels by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StripeLabelsRequest {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// Which ones.
    #[n(1)]
    pub labels: List<LabelId, LABELS_PER_QUESTION_MAX>,
}

impl Canonical for Request {
    const WHAT: &'static str = "control request";
    const LEN_MAX: usize = MESSAGE_LEN_MAX;
}

impl Canonical for Reply {
    const WHAT: &'static str = "control reply";
    const LEN_MAX: usize = MESSAGE_LEN_MAX;
}

/// As many items, from the start, as fit a page together; at least one when there is any. `len` is an item's encoded length in bytes.
///
/// No item kind that is paged is longer than a page, which the assertions above prove.
pub fn page_of<T, const MAX: usize>(
    items: impl IntoIterator<Item = T>,
    len: impl Fn(&T) -> usize,
) -> List<T, MAX> {
    let mut left = PAGE_LEN_MAX;
    List::first_of(items.into_iter().take_while(|item| {
        let fits = len(item) <= left;
        left = left.saturating_sub(len(item));
        fits
    }))
}

#[cfg(test)]
mod tests;
