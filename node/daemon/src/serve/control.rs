//! Answers to control questions: what a member, or a claimant for its own archive, may ask and put.
//!
//! Where the asker may not know, the answer is the same whether or not the thing is here.

use std::sync::Arc;

use nuthatch_engine::boundary;
use nuthatch_format::codec;
use nuthatch_format::journal::LineHead;
use nuthatch_format::slice::GROUP_LEN;
use nuthatch_format::statement::{SignedStatement, StatementSet};
use nuthatch_format::{ArchiveId, NodeId, Span};
use nuthatch_wire::attest::{Attestation, Nonce};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::bulk::LabelBytes;
use nuthatch_wire::inventory::{
    HOLDINGS_PER_PAGE_MAX, Holding, InventoryBuilder, InventoryPage, InventoryPageRequest, InventoryReply,
    InventoryRequest, InventoryRoot,
};
use nuthatch_wire::lease::{Lease, LeaseAnswer, LeaseRefusal, LeaseRequest};
use nuthatch_wire::message::{
    ErrorCode, Hello, LABELS_PER_QUESTION_MAX, LINES_MAX, PutStatements, Reply, Request, RosterItem,
    StatementsPage, StripeLabelsRequest, page_of,
};
use nuthatch_wire::receipt::SegmentReceipt;

use super::audit;
use super::rights::{self, Reader};
use crate::clock;
use crate::node::Node;

/// What a host whose disk is away asks others to wait.
pub(crate) const DETACHED_RETRY: Span = Span::from_secs(30);

/// What naming a shard counts of a steward's budget, in bytes: a label's id and an index.
const HOLDING_LEN: u64 = 33;

/// Answers one question. Whatever touches the disk or checks signatures runs on a thread that may wait, never on one of the network's.
pub(crate) async fn answer(node: Arc<Node>, asker: NodeId, message: Vec<u8>) -> Vec<u8> {
    let reply = match codec::decode::<Request>(&message) {
        Ok(request) => match reply(&node, asker, request).await {
            Ok(reply) => reply,
            Err(code) => Reply::Refused(code),
        },
        Err(_) => Reply::Refused(ErrorCode::of_unread(&message)),
    };
    codec::encode(&reply)
}

async fn reply(node: &Arc<Node>, asker: NodeId, request: Request) -> Result<Reply, ErrorCode> {
    let is_member = node.circle.gate().is_member(&asker);
    let members_only = || {
        if is_member {
            Ok(())
        } else {
            Err(ErrorCode::NotAllowed)
        }
    };
    match request {
        Request::Hello(hello) => {
            members_only()?;
            blocking(node, move |node| {
                take_hello(node, asker, &hello);
                Ok(Reply::Hello(node.hello()))
            })
            .await
        }
        Request::Ledger(view) => {
            members_only()?;
            blocking(node, move |node| {
                node.take_ledger(asker, view);
                Ok(())
            })
            .await?;
            let answer = node.ledger_for(asker).await;
            answer.map(Reply::Ledger).ok_or(ErrorCode::Failed)
        }
        Request::Roster(wanted) => {
            members_only()?;
            let page = node
                .circle
                .read(|roster| (roster.circle() == wanted.circle).then(|| roster.page(wanted.after)));
            page.flatten().map(Reply::Roster).ok_or(ErrorCode::NotAllowed)
        }
        Request::PutRoster(items) => {
            members_only()?;
            blocking(node, move |node| {
                node.take_roster(items.into_vec())
                    .map_err(|_| ErrorCode::Failed)?;
                Ok(Reply::Done)
            })
            .await
        }
        Request::Lease(asked) => lease(node, asker, is_member, &asked).await.map(Reply::Lease),
        Request::Inventory(asked) => blocking(node, move |node| inventory(node, asker, &asked))
            .await
            .map(Reply::Inventory),
        Request::InventoryPage(asked) => blocking(node, move |node| inventory_page(node, asker, &asked))
            .await
            .map(Reply::InventoryPage),
        Request::JournalHeads(archive) => blocking(node, move |node| journal_heads(node, asker, archive))
            .await
            .map(Reply::JournalHeads),
        Request::Statements(asked) => {
            readable(node, &asked.archive, asker)?;
            let set = node
                .known_statements(&asked.archive)
                .ok_or(ErrorCode::NotAllowed)?;
            Ok(Reply::Statements(statements_page(&set, asked.after)))
        }
        Request::PutStatements(put) => {
            blocking(node, move |node| put_statements(node, asker, is_member, &put)).await
        }
        Request::Introductions(archive) => {
            let known = node.known_statements(&archive).ok_or(ErrorCode::NotAllowed)?;
            if !rights::may_read(&known, &asker) {
                return Err(ErrorCode::NotAllowed);
            }
            blocking(node, move |node| Ok(Reply::Introductions(node.introductions()))).await
        }
        Request::StripeLabels(asked) => {
            readable(node, &asked.archive, asker)?;
            blocking(node, move |node| {
                let labels = labels(node, &asked);
                let len = labels.iter().map(|label| label.len() as u64).sum();
                node.admit_reading(&asked.archive, &asker, len)?;
                Ok(Reply::Labels(labels))
            })
            .await
        }
        Request::Audit(asked) => {
            readable(node, &asked.archive, asker)?;
            blocking(node, move |node| {
                let len = asked.challenges.len() as u64 * GROUP_LEN;
                node.admit_reading(&asked.archive, &asker, len)?;
                audit::answer(node, asker, &asked).map(Reply::Audit)
            })
            .await
        }
    }
}

/// Keeps statements where their archive is known. A member may bring anybody's, since each is signed by its archive; a claimant only
/// those of an archive that it may read, so that it does not learn which others are here.
fn put_statements(
    node: &Node,
    asker: NodeId,
    is_member: bool,
    put: &PutStatements,
) -> Result<Reply, ErrorCode> {
    let known = node.known_statements(&put.archive).ok_or(ErrorCode::NotAllowed)?;
    if !is_member && !rights::may_read(&known, &asker) {
        return Err(ErrorCode::NotAllowed);
    }
    for bytes in &put.statements {
        if let Ok(statement) = SignedStatement::parse(bytes)
            && statement.archive() == put.archive
        {
            node.take_statement(&statement);
        }
    }
    Ok(Reply::Done)
}

fn labels(node: &Node, asked: &StripeLabelsRequest) -> List<LabelBytes, LABELS_PER_QUESTION_MAX> {
    let labels = asked.labels.iter().filter_map(|id| {
        let label = node.vault.label(&asked.archive, id).ok()??;
        Opaque::new(label.bytes().to_vec()).ok()
    });
    page_of(labels, |label| label.len() + 5)
}

/// Whether the asker may read what is kept of an archive.
fn readable(node: &Node, archive: &ArchiveId, asker: NodeId) -> Result<(), ErrorCode> {
    let statements = node.known_statements(archive).ok_or(ErrorCode::NotAllowed)?;
    if rights::reader(&statements, &asker).is_some() {
        Ok(())
    } else {
        Err(ErrorCode::NotAllowed)
    }
}

fn take_hello(node: &Node, asker: NodeId, hello: &Hello) {
    node.take_terms(asker, hello);
    if let Some(certificate) = hello
        .certificate
        .as_ref()
        .and_then(|bytes| Opaque::new(bytes.to_vec()).ok())
    {
        // A member's own certificate may make other nodes of its archive members.
        if let Err(error) = node.take_roster(vec![RosterItem::Statement(certificate)]) {
            tracing::debug!("a certificate was not kept: {error}");
        }
    }
}

async fn lease(
    node: &Arc<Node>,
    asker: NodeId,
    is_member: bool,
    asked: &LeaseRequest,
) -> Result<LeaseAnswer, ErrorCode> {
    // What lies on a disk that is away can't be weighed against what is asked.
    if !node.vault.is_attached() {
        return Err(ErrorCode::Busy(DETACHED_RETRY));
    }
    let refused = |reason| Ok(LeaseAnswer::Refused(reason));
    let Ok(statement) = SignedStatement::parse(&asked.certificate) else {
        return refused(LeaseRefusal::NotCertified);
    };
    let stated = rights::stated(&statement, &asked.archive, &asker);
    let reader = match node.known_statements(&asked.archive) {
        Some(set) if stated.is_some() => rights::reader(&with(set, &statement), &asker),
        _ => stated,
    };
    let bytes = match reader {
        None => return refused(LeaseRefusal::NotCertified),
        Some(Reader::Device) => asked.bytes,
        Some(Reader::Steward { .. }) if node.owned().is_some_and(|owned| owned.archive == asked.archive) => {
            return refused(LeaseRefusal::NotHosting);
        }
        // What is promised already is renewed, however much it is.
        Some(Reader::Steward { budget }) => asked.bytes.min(budget),
    };
    let question = boundary::LeaseAsked {
        from: asker,
        archive: asked.archive,
        bytes,
        member: is_member,
    };
    match node.hosting.ask_lease(&node.engine, question).await {
        Ok(boundary::LeaseAnswer::Granted { bytes, until }) => {
            // With the lease the archive is one that is hosted here, and its certificates are kept.
            let archive = asked.archive;
            blocking(node, move |node| {
                node.begin_hosting(&archive, &statement)
                    .map_err(|_| ErrorCode::Failed)
            })
            .await?;
            let now = clock::now();
            let lease = Lease {
                archive: asked.archive,
                host: node.identity.node,
                bytes,
                granted_at: now,
                until,
            };
            Attestation::sign(&lease, &node.identity.key)
                .map(LeaseAnswer::Granted)
                .map_err(|_| ErrorCode::Failed)
        }
        Ok(boundary::LeaseAnswer::Refused(reason)) => refused(match reason {
            boundary::LeaseRefusal::NotHosting => LeaseRefusal::NotHosting,
            boundary::LeaseRefusal::NotMember => LeaseRefusal::NotMember,
            boundary::LeaseRefusal::Paused => LeaseRefusal::Paused,
            boundary::LeaseRefusal::Unbalanced => LeaseRefusal::Balance,
            boundary::LeaseRefusal::Full | boundary::LeaseRefusal::TooManyArchives => LeaseRefusal::Full,
        }),
        Ok(boundary::LeaseAnswer::Failed) | Err(_) => Err(ErrorCode::Busy(Span::from_secs(2))),
    }
}

/// The set with one more statement; one that does not hold changes nothing.
fn with(set: Arc<StatementSet>, statement: &SignedStatement) -> StatementSet {
    let mut set = Arc::unwrap_or_clone(set);
    if let Err(error) = set.insert(statement.clone()) {
        tracing::debug!("a statement is left out: {error}");
    }
    set
}

fn inventory(node: &Node, asker: NodeId, asked: &InventoryRequest) -> Result<InventoryReply, ErrorCode> {
    readable(node, &asked.archive, asker)?;
    let mut builder = InventoryBuilder::new();
    node.each_holding(&asked.archive, |holding| builder.push(holding).is_ok())
        .map_err(|_| ErrorCode::Failed)?;
    let digests = builder.finish();
    let usage = node.vault.usage(&asked.archive);
    let Nonce(nonce) = asked.nonce;
    let root = InventoryRoot {
        archive: asked.archive,
        host: node.identity.node,
        nonce: Nonce(nonce),
        root: digests.table().root(),
        count: digests.count(),
        bytes: usage.bytes,
        at: clock::now(),
    };
    let root = Attestation::sign(&root, &node.identity.key).map_err(|_| ErrorCode::Failed)?;
    Ok(InventoryReply {
        root,
        table: digests.table(),
    })
}

fn inventory_page(
    node: &Node,
    asker: NodeId,
    asked: &InventoryPageRequest,
) -> Result<InventoryPage, ErrorCode> {
    readable(node, &asked.archive, asker)?;
    let after = asked.after.map(|holding| (holding.label, holding.index));
    let page = node
        .vault
        .holdings(&asked.archive, asked.prefix, after, HOLDINGS_PER_PAGE_MAX)
        .map_err(|_| ErrorCode::Failed)?;
    node.admit_reading(&asked.archive, &asker, page.len() as u64 * HOLDING_LEN)?;
    let complete = page.len() < HOLDINGS_PER_PAGE_MAX;
    let holdings = page.into_iter().map(|held| Holding {
        label: held.label,
        index: held.index,
    });
    Ok(InventoryPage {
        holdings: List::first_of(holdings),
        complete,
    })
}

fn journal_heads(
    node: &Node,
    asker: NodeId,
    archive: ArchiveId,
) -> Result<List<Attestation<SegmentReceipt>, LINES_MAX>, ErrorCode> {
    readable(node, &archive, asker)?;
    let lines = node.segments.lines(&archive);
    let mut heads: Vec<LineHead> = lines.iter().map(|line| line.head).collect();
    // What else stands in a line's last place comes after the heads of all lines: a device that forks can't crowd another's line out.
    for line in &lines {
        let last = node
            .segments
            .segments_at(&archive, &line.head.line, line.head.sequence)
            .map_err(|_| ErrorCode::Failed)?;
        let others = last.iter().map(|stored| stored.head);
        heads.extend(others.filter(|head| head.segment != line.head.segment));
    }
    heads.truncate(LINES_MAX);
    let receipts: Result<Vec<_>, _> = heads
        .iter()
        .map(|head| node.sign_segment_receipt(archive, head))
        .collect();
    Ok(List::first_of(receipts.map_err(|_| ErrorCode::Failed)?))
}

fn statements_page(set: &StatementSet, after: Option<nuthatch_format::StatementId>) -> StatementsPage {
    let rest = || {
        set.all()
            .filter(move |statement| after.is_none_or(|after| statement.id() > after))
    };
    let bytes = rest().filter_map(|statement| Opaque::new(statement.bytes().to_vec()).ok());
    let statements: List<_, { nuthatch_wire::message::STATEMENTS_PER_PAGE_MAX }> =
        page_of(bytes, |statement| statement.len() + 5);
    let count = statements.len();
    let next = (rest().count() > count)
        .then(|| rest().nth(count.saturating_sub(1)).map(SignedStatement::id))
        .flatten();
    StatementsPage { statements, next }
}

/// Answers from a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    node: &Arc<Node>,
    work: impl FnOnce(&Node) -> Result<T, ErrorCode> + Send + 'static,
) -> Result<T, ErrorCode> {
    let node = Arc::clone(node);
    match tokio::task::spawn_blocking(move || work(&node)).await {
        Ok(answer) => answer,
        Err(_) => Err(ErrorCode::Failed),
    }
}
