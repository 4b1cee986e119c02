//! Journals and statements, both ways: what a host has and we lack is fetched, verified and applied; what it lacks is sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nuthatch_disk::IndexError;
use nuthatch_disk::catalogue::Catalogue;
use nuthatch_disk::segment_store::PLACE_SEGMENTS_MAX;
use nuthatch_engine::boundary::{Input, SegmentsOutcome};
use nuthatch_format::journal::{LineHead, SignedSegment};
use nuthatch_format::statement::SignedStatement;
use nuthatch_format::{ArchiveId, LineId, NodeId, Timestamp};
use nuthatch_wire::bounded::{List, Opaque};
use nuthatch_wire::message::{PutStatements, Request, StatementsRequest};
use nuthatch_wire::receipt::SegmentReceipt;

use crate::ask::{AskError, ask_for};
use crate::clock;
use crate::effects::reason;
use crate::events::FaultKind;
use crate::fetch::{self, FetchError};
use crate::node::{Node, Owned};
use crate::send::{self, Put};
use crate::ward::Ward;

/// Pages of statements that are taken from a host at a time: as many as a set may have.
const STATEMENT_PAGES_MAX: usize = 64;

/// How long one host has to show what is new.
const REFRESH_MAX: Duration = Duration::from_secs(20);

/// How long a host may show its journal without a segment that is new here: the largest takes this long at 0.5 Mbit/s.
const STALL_MAX: Duration = Duration::from_mins(2);

/// Segments read at a time while sending.
const SEND_PAGE: usize = 16;

/// What a host has shown of an archive's journal.
#[derive(Debug, Clone, Default)]
pub(crate) struct JournalShown {
    /// The newest segment of each line, as the host signed for it; two of one line after a fork.
    pub(crate) heads: Vec<SegmentReceipt>,
    /// Segments that were new here (count).
    pub(crate) fetched_count: u64,
}

/// Brings both to the same state; the host has signed for every own segment when this answers `Sent`.
pub(crate) async fn journal(node: &Arc<Node>, archive: ArchiveId, host: NodeId) -> SegmentsOutcome {
    let Some(ward) = node.ward(&archive) else {
        return SegmentsOutcome::Failed;
    };
    if let Err(error) = statements(node, archive, host).await {
        return ask_outcome(&error);
    }
    let shown = match pull(node, archive, host).await {
        Ok(shown) => shown,
        Err(error) => {
            tracing::debug!("the journal of {host:?} was not read: {error}");
            return SegmentsOutcome::Failed;
        }
    };
    if shown.fetched_count > 0 {
        match &ward.owned {
            Some(owned) => adopt(node, owned, host).await,
            // Stripes that other hosts hold may be believed now.
            None => node.engine.tell(Input::Committed { archive }).await,
        }
    }
    name_old_journal(node, &ward, host, &shown);
    let position = ward.position();
    match push(node, &ward, host, &shown).await {
        Ok(Put::Held(())) => {
            node.pulse.nudge();
            SegmentsOutcome::Sent(position)
        }
        Ok(Put::Busy(retry_after)) => SegmentsOutcome::Busy { retry_after },
        Ok(Put::Refused(refusal)) => SegmentsOutcome::Refused(reason(refusal)),
        Err(error) => {
            tracing::debug!("the journal was not sent to {host:?}: {error}");
            SegmentsOutcome::Failed
        }
    }
}

/// Takes up what other devices of the archive have written meanwhile, from every host that is online.
pub(crate) async fn refresh(node: &Arc<Node>, owned: &Arc<Owned>) {
    let leases = node.pulse.leases();
    let hosts: Vec<NodeId> = node
        .pulse
        .online()
        .into_keys()
        .filter(|host| leases.contains_key(host))
        .collect();
    for host in hosts {
        match tokio::time::timeout(REFRESH_MAX, pull(node, owned.archive, host)).await {
            Ok(Ok(shown)) => {
                if shown.fetched_count > 0 {
                    adopt(node, owned, host).await;
                }
                // What another device has stored there counts here too.
                if let Err(error) = note_shown(node, owned, host, &shown) {
                    tracing::warn!("the journal of {host:?} was not noted: {error}");
                }
            }
            Ok(Err(error)) => tracing::debug!("the journal of {host:?} was not read: {error}"),
            Err(_) => tracing::debug!("the journal of {host:?} took too long"),
        }
    }
}

fn ask_outcome(error: &AskError) -> SegmentsOutcome {
    tracing::debug!("statements were not exchanged: {error}");
    match error.retry_after() {
        Some(retry_after) => SegmentsOutcome::Busy { retry_after },
        None => SegmentsOutcome::Failed,
    }
}

/// Statements both ways. They are few: each side takes what it lacks.
pub(crate) async fn statements(node: &Arc<Node>, archive: ArchiveId, host: NodeId) -> Result<(), AskError> {
    let mut after = None;
    let mut theirs = std::collections::BTreeSet::new();
    for _ in 0..STATEMENT_PAGES_MAX {
        let page = ask_for!(
            &node.transport,
            host,
            Request::Statements(StatementsRequest { archive, after }),
            Statements
        )?;
        let (taker, statements) = (Arc::clone(node), page.statements);
        let taken = tokio::task::spawn_blocking(move || {
            let parsed = statements
                .iter()
                .filter_map(|bytes| SignedStatement::parse(bytes).ok());
            let of_archive = parsed.filter(|statement| statement.archive() == archive);
            of_archive
                .map(|statement| {
                    taker.take_statement(&statement);
                    statement.id()
                })
                .collect::<Vec<_>>()
        });
        theirs.extend(taken.await.unwrap_or_default());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let Some(own) = node.known_statements(&archive) else {
        return Ok(());
    };
    let lacking: Vec<_> = own
        .all()
        .filter(|statement| !theirs.contains(&statement.id()))
        .filter_map(|statement| Opaque::new(statement.bytes().to_vec()).ok())
        .collect();
    let mut rest = lacking.into_iter().peekable();
    while rest.peek().is_some() {
        let statements: List<_, { nuthatch_wire::message::STATEMENTS_PER_PAGE_MAX }> =
            nuthatch_wire::message::page_of(&mut rest, |statement: &Opaque<_>| statement.len() + 5);
        ask_for_done(
            node,
            host,
            Request::PutStatements(PutStatements { archive, statements }),
        )
        .await?;
    }
    Ok(())
}

async fn ask_for_done(node: &Node, host: NodeId, request: Request) -> Result<(), AskError> {
    match crate::ask::ask(&node.transport, host, &request).await? {
        nuthatch_wire::message::Reply::Done => Ok(()),
        _ => Err(AskError::OtherAnswer),
    }
}

/// Why a host's journal could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("a receipt of the host does not hold")]
    Receipt,
    #[error("for {0:?} nothing of use came")]
    Stalled(Duration),
}

/// Fetches every segment that a host has and this node lacks. Segments that do not hold are left out, and the host is named. A host that
/// keeps us waiting, or busy with what is here already, is left.
pub(crate) async fn pull(
    node: &Arc<Node>,
    archive: ArchiveId,
    host: NodeId,
) -> Result<JournalShown, PullError> {
    let mut pulling = std::pin::pin!(pull_all(node, archive, host));
    let mut before = node.segments.usage(&archive);
    loop {
        if let Ok(shown) = tokio::time::timeout(STALL_MAX, &mut pulling).await {
            return shown;
        }
        let now = node.segments.usage(&archive);
        if now == before {
            return Err(PullError::Stalled(STALL_MAX));
        }
        before = now;
    }
}

async fn pull_all(node: &Arc<Node>, archive: ArchiveId, host: NodeId) -> Result<JournalShown, PullError> {
    let receipts = ask_for!(
        &node.transport,
        host,
        Request::JournalHeads(archive),
        JournalHeads
    )?;
    let mut shown = JournalShown::default();
    for receipt in &receipts {
        let receipt = receipt.open().map_err(|_| PullError::Receipt)?;
        if receipt.host != host || receipt.archive != archive {
            return Err(PullError::Receipt);
        }
        shown.heads.push(receipt);
    }
    let owned = node.owned().filter(|owned| owned.archive == archive);
    for head in shown.heads.clone() {
        // What this disk has lost of the line.
        for place in owned.iter().flat_map(|owned| owned.journal.unread(&head.line)) {
            let healed = fetch_line(node, archive, host, (head.line, place..place + 1)).await;
            shown.fetched_count += of_line(node, host, healed)?.map_or(0, |healed| healed.seen_count);
        }
        let stored = node
            .segments
            .segments_at(&archive, &head.line, head.sequence)
            .unwrap_or_default();
        if stored.iter().any(|stored| stored.head.segment == head.segment) {
            continue;
        }
        let ours = line_head(node, &archive, &head.line);
        // Behind our end: only what is new. Beside it: from the beginning, since nobody says where the branches part.
        let from = match ours {
            Some(ours) if ours.sequence < head.sequence => ours.sequence + 1,
            Some(_) | None => 0,
        };
        let fetched = fetch_line(node, archive, host, (head.line, from..u64::MAX)).await;
        let Some(fetched) = of_line(node, host, fetched)? else {
            continue;
        };
        shown.fetched_count += fetched.kept_count;
        if fetched.parted {
            // What came does not follow ours: the branches part before our end.
            let whole = fetch_line(node, archive, host, (head.line, 0..u64::MAX)).await;
            shown.fetched_count += of_line(node, host, whole)?.map_or(0, |whole| whole.kept_count);
        }
    }
    Ok(shown)
}

/// A line that the host shows and does not give costs this line only; a host that is gone costs the rest.
fn of_line(
    node: &Node,
    host: NodeId,
    fetched: Result<Fetched, FetchError>,
) -> Result<Option<Fetched>, PullError> {
    match fetched {
        Ok(fetched) => Ok(Some(fetched)),
        Err(FetchError::Refused(refusal)) => {
            let message = format!(
                "{} does not give a part of the journal that it signed for: {refusal}",
                node.circle.name_of(&host)
            );
            node.events.fault(FaultKind::OldJournal, Some(host), message);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

struct Fetched {
    /// Segments that came (count).
    seen_count: u64,
    /// Those of them that were new.
    kept_count: u64,
    /// A segment did not go on where ours end.
    parted: bool,
}

/// Fetches the segments of some places of a line. They come in the order of the line, at each place as many as a store keeps: a host that
/// shows the same ones again and again is stopped.
async fn fetch_line(
    node: &Arc<Node>,
    archive: ArchiveId,
    host: NodeId,
    (line, places): (LineId, std::ops::Range<u64>),
) -> Result<Fetched, FetchError> {
    let mut fetched = Fetched {
        seen_count: 0,
        kept_count: 0,
        parted: false,
    };
    let mut fault = None;
    let from = places.start;
    let mut order = PlaceOrder::new(from);
    fetch::get_segments(&node.links, host, archive, line, from, |bytes| {
        let Ok(segment) = SignedSegment::parse(bytes) else {
            fault = Some("a segment that is none".to_owned());
            return false;
        };
        let public = segment.public();
        if public.archive != archive || public.line != line {
            fault = Some("a segment of another line".to_owned());
            return false;
        }
        if !places.contains(&public.sequence) {
            return false;
        }
        if !order.goes_on(public.sequence) {
            fault = Some("segments of a line out of their order".to_owned());
            return false;
        }
        if public.sequence == from && from > 0 {
            let ours = line_head(node, &archive, &line).map(|head| head.segment);
            fetched.parted = public.previous != ours;
        }
        let kept = tokio::task::block_in_place(|| node.keep_segment(&segment, host));
        match kept {
            Ok(is_new) => {
                fetched.seen_count += 1;
                fetched.kept_count += u64::from(is_new);
            }
            Err(error) => {
                fault = Some(format!("a segment that can't be kept: {error}"));
                return false;
            }
        }
        true
    })
    .await?;
    if let Some(what) = fault {
        let message = format!("{} sent {what}", node.circle.name_of(&host));
        node.events.fault(FaultKind::WrongBytes, Some(host), message);
    }
    Ok(fetched)
}

/// Whether segments come in the order of their line: places ascend, and each has at most as many segments as a store keeps.
struct PlaceOrder {
    place: u64,
    count: usize,
}

impl PlaceOrder {
    fn new(first: u64) -> Self {
        Self {
            place: first,
            count: 0,
        }
    }

    fn goes_on(&mut self, place: u64) -> bool {
        if place > self.place {
            *self = Self::new(place);
        }
        self.count += 1;
        place == self.place && self.count <= PLACE_SEGMENTS_MAX
    }
}

fn line_head(node: &Node, archive: &ArchiveId, line: &LineId) -> Option<LineHead> {
    node.segments
        .lines(archive)
        .into_iter()
        .find(|summary| summary.head.line == *line)
        .map(|summary| summary.head)
}

/// Applies what was fetched. When it belongs to our own line, somebody else writes as this device: the line is given up.
async fn adopt(node: &Arc<Node>, owned: &Arc<Owned>, host: NodeId) {
    let own = owned.journal.head();
    let shown_own = own.and_then(|own| line_head(node, &owned.archive, &own.line).map(|head| (own, head)));
    let forked = node
        .segments
        .lines(&owned.archive)
        .iter()
        .any(|line| Some(line.head.line) == own.map(|own| own.line) && line.fork_count > 0);
    let is_ahead = shown_own.is_some_and(|(own, head)| head.segment != own.segment);
    if forked || is_ahead {
        owned.journal.begin_new_line();
        let message = "this device exists twice, or its home was set back: another copy of it has written to the archive; both journals are kept, and this one goes on in a new line";
        node.events.fault(FaultKind::TwoLines, Some(host), message);
    }
    let journal = Arc::clone(&owned.journal);
    match tokio::task::spawn_blocking(move || journal.apply_missing()).await {
        Ok(Ok(_)) => {
            let archive = owned.archive;
            node.engine.tell(Input::WorkChanged { archive }).await;
            // Whether hosts have what these segments name, only inventories show that are newer than they.
            node.engine.tell(Input::Committed { archive }).await;
            node.pulse.nudge();
        }
        Ok(Err(error)) => {
            node.events.fault(
                FaultKind::OwnDisk,
                None,
                format!("the catalogue can't be written: {error}"),
            );
        }
        Err(error) => tracing::warn!("applying segments ended early: {error}"),
    }
}

/// A host that shows less than it signed for is named.
fn name_old_journal(node: &Node, ward: &Ward, host: NodeId, shown: &JournalShown) {
    let best: BTreeMap<LineId, u64> = shown.heads.iter().fold(BTreeMap::new(), |mut best, head| {
        let sequence = best.entry(head.line).or_default();
        *sequence = head.sequence.max(*sequence);
        best
    });
    for line in node.segments.lines(&ward.archive) {
        let signed = ward.catalogue.journal_hosts(&line.head.line).unwrap_or_default();
        let Some(signed) = signed.iter().find(|signed| signed.node == host) else {
            continue;
        };
        let shows = best.get(&line.head.line).copied();
        if shows.is_none_or(|shows| shows < signed.sequence) {
            let message = format!(
                "{} shows an older journal than it signed for (place {} instead of {})",
                node.circle.name_of(&host),
                shows.map_or("none".to_owned(), |place| place.to_string()),
                signed.sequence
            );
            node.events.fault(FaultKind::OldJournal, Some(host), message);
            if let Err(error) = ward.catalogue.remove_journal_host(&line.head.line, &host) {
                tracing::warn!("the catalogue can't be written: {error}");
            }
        }
    }
}

/// Sends every segment that the host lacks, line by line, and notes what it has signed for.
async fn push(
    node: &Arc<Node>,
    ward: &Arc<Ward>,
    host: NodeId,
    shown: &JournalShown,
) -> Result<Put<()>, send::SendError> {
    for line in node.segments.lines(&ward.archive) {
        let id = line.head.line;
        let theirs: Vec<&SegmentReceipt> = shown.heads.iter().filter(|head| head.line == id).collect();
        // The head says nothing of what stands beside the line: of a line that forked, all is sent once, and counts only then.
        let forks_here = ward.forks_sent.lock().get(&(host, id)).copied() == Some(line.fork_count);
        let is_whole = line.fork_count == 0 || forks_here;
        if is_whole && theirs.iter().any(|head| head.segment == line.head.segment) {
            note(&ward.catalogue, id, host, line.head.sequence);
            continue;
        }
        let from = match theirs.iter().map(|head| head.sequence).max() {
            Some(sequence) if is_whole && sequence < line.head.sequence => sequence + 1,
            Some(_) if is_whole => continue,
            Some(_) | None => 0,
        };
        match send_line(node, ward, host, id, from).await? {
            Put::Held(last) => {
                ward.forks_sent.lock().insert((host, id), line.fork_count);
                if let Some(sequence) = last {
                    note(&ward.catalogue, id, host, sequence);
                }
            }
            Put::Busy(retry_after) => return Ok(Put::Busy(retry_after)),
            Put::Refused(refusal) => return Ok(Put::Refused(refusal)),
        }
    }
    Ok(Put::Held(()))
}

/// Sends one line from a place on; answers the last place that the host signed for.
async fn send_line(
    node: &Arc<Node>,
    ward: &Arc<Ward>,
    host: NodeId,
    line: LineId,
    from: u64,
) -> Result<Put<Option<u64>>, send::SendError> {
    let archive = ward.archive;
    let mut waiting: std::collections::VecDeque<_> = std::collections::VecDeque::new();
    let mut from = Some(from);
    let mut last = None;
    let sent = send::put_segments(
        &node.links,
        host,
        archive,
        || {
            tokio::task::block_in_place(|| {
                if waiting.is_empty()
                    && let Some(start) = from
                {
                    let page = node
                        .segments
                        .segments_from(&archive, &line, start, SEND_PAGE)
                        .unwrap_or_default();
                    from = page.last().map(|last| last.head.sequence + 1);
                    waiting.extend(page);
                }
                let stored = waiting.pop_front()?;
                match node.segments.read(&archive, &stored) {
                    Ok(segment) => Some(segment),
                    Err(error) => {
                        node.events.fault(
                            FaultKind::OwnDisk,
                            None,
                            format!("the journal can't be read: {error}"),
                        );
                        None
                    }
                }
            })
        },
        |receipt| last = last.max(Some(receipt.sequence)),
    )
    .await?;
    Ok(match sent {
        Put::Held(_) => Put::Held(last),
        Put::Busy(retry_after) => Put::Busy(retry_after),
        Put::Refused(refusal) => Put::Refused(refusal),
    })
}

/// Notes which segments a host has shown and signed for: of those that are here, they count as its copies of the journal. Answers
/// whether there was any.
pub(crate) fn note_shown(
    node: &Node,
    owned: &Owned,
    host: NodeId,
    shown: &JournalShown,
) -> Result<bool, IndexError> {
    let mut has_shown = false;
    for head in &shown.heads {
        let here = node
            .segments
            .segments_at(&owned.archive, &head.line, head.sequence)?;
        if here.iter().any(|stored| stored.head.segment == head.segment) {
            owned
                .catalogue
                .add_journal_host(&head.line, &host, head.sequence, clock::now())?;
            has_shown = true;
        }
    }
    Ok(has_shown)
}

fn note(catalogue: &Catalogue, line: LineId, host: NodeId, sequence: u64) {
    let at: Timestamp = clock::now();
    if let Err(error) = catalogue.add_journal_host(&line, &host, sequence, at) {
        tracing::warn!("a journal receipt was not noted: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(from: u64, places: impl IntoIterator<Item = u64>) -> usize {
        let mut order = PlaceOrder::new(from);
        places
            .into_iter()
            .take_while(|place| order.goes_on(*place))
            .count()
    }

    #[test]
    fn segments_that_go_back_in_their_line_end_the_pull() {
        assert_eq!(taken(0, 0..1000), 1000);
        assert_eq!(taken(5, [5, 6, 9, 8, 10]), 3);
        assert_eq!(taken(5, [4, 5]), 0, "before the place that was asked for");
        // A host that begins later than asked shows less, not something false.
        assert_eq!(taken(0, [7, 8]), 2);
    }

    #[test]
    fn one_place_gives_as_many_segments_as_a_store_keeps() {
        let again = |place| std::iter::repeat_n(place, 10 * PLACE_SEGMENTS_MAX);
        assert_eq!(taken(0, again(0)), PLACE_SEGMENTS_MAX);
        assert_eq!(taken(0, again(3)), PLACE_SEGMENTS_MAX);
        let fork = std::iter::repeat_n(1, PLACE_SEGMENTS_MAX);
        let all = fork.clone().chain([2]).chain(fork);
        assert_eq!(taken(1, all), PLACE_SEGMENTS_MAX + 1);
    }
}
