//! Where restores and repairs get packs: staging first, then the hosts that hold shards, decoded only when data shards are missing.
//!
//! Which host is asked is `nuthatch_engine::sources`' choice; every byte is verified against the label before it leaves this file; a host that
//! fails is named and another one asked.

mod buffers;
mod decode;
mod places;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nuthatch_disk::catalogue::{PackRecord, StripeFacts};
use nuthatch_disk::vault::ShardPlace;
use nuthatch_engine::sources::{self, SourceHost, SourcePlan, Speed};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::label::SignedLabel;
use nuthatch_format::padding::PACK_LEN;
use nuthatch_format::slice::SLICE_RANGE;
use nuthatch_format::{ByteCount, LabelId, NodeId, Span, slice};
use nuthatch_jobs::{Origin, PackSource, Reading, SourceError};
use nuthatch_wire::bulk::Refusal;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::contact;
use crate::events::FaultKind;
use crate::fetch::{self, FetchError, WantedRange};
use crate::node::{Node, Owned};
use crate::ward::Ward;
use buffers::Buffers;
use decode::Piece;
use trust::Distrusted;

/// Ranges of one pack that are fetched at a time.
const FETCHES_MAX: usize = 8;

/// Memory for shards that are fetched to decode others from, in KiB: two packs' worth. Readings that need more wait for each other.
const DECODING_KIB: u32 = 32 * 1024;

/// Bytes of a shard that are asked for at a time when all of it is checked.
const CHECK_LEN: u64 = 1 << 20;

/// How long after its start a job waits for hosts that are still being dialled, where the others are too few.
const DIALLED_MAX: Duration = Duration::from_secs(12);

/// How often it looks meanwhile.
const DIALLED_LOOK: Duration = Duration::from_millis(25);

/// How often one host is asked again after it said that it is busy.
const BUSY_RETRIES_MAX: u32 = 20;

/// Who is busy for longer is not waited for.
const PATIENCE: Span = Span::from_secs(60);

/// Plans that are tried for one reading: each failure takes a source away, so this ends.
const PLANS_MAX: usize = 64;

/// A shard at a host that failed.
type Failed = BTreeSet<(LabelId, ShardIndex, NodeId)>;

/// Packs from hosts, for one job.
#[derive(Debug)]
pub(crate) struct HostSource {
    node: Arc<Node>,
    ward: Arc<Ward>,
    runtime: tokio::runtime::Handle,
    /// Ends the job, and with it what it waits for.
    cancel: CancellationToken,
    speeds: Mutex<BTreeMap<NodeId, SourceHost>>,
    failed: Mutex<Failed>,
    distrusted: Mutex<Distrusted>,
    decoding: Semaphore,
    buffers: Buffers,
    started: Instant,
    fetched: AtomicU64,
    lost: AtomicBool,
    shards: AtomicU64,
}

impl HostSource {
    /// A source for one job, which `cancel` ends. Must be made inside the runtime.
    pub(crate) fn new(node: &Arc<Node>, owned: &Arc<Owned>, cancel: &CancellationToken) -> Self {
        Self::of_ward(node, &Arc::new(Ward::of_owned(owned)), cancel)
    }

    /// The same for any archive that is looked after. A steward's own vault is a source like other hosts'.
    pub(crate) fn of_ward(node: &Arc<Node>, ward: &Arc<Ward>, cancel: &CancellationToken) -> Self {
        Self {
            node: Arc::clone(node),
            ward: Arc::clone(ward),
            runtime: tokio::runtime::Handle::current(),
            cancel: cancel.clone(),
            speeds: Mutex::default(),
            failed: Mutex::default(),
            distrusted: Mutex::default(),
            decoding: Semaphore::new(DECODING_KIB as usize),
            buffers: Buffers::default(),
            started: clock::instant(),
            fetched: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            shards: AtomicU64::new(0),
        }
    }

    /// Bytes that came from hosts.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Readings of shards that hosts answered (count).
    pub(crate) fn shards(&self) -> u64 {
        self.shards.load(Ordering::Relaxed)
    }

    /// Whether some pack could not be had even with the hosts that are away.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Reads one whole shard of a host and throws it away; a host that does not give what it signed for is named.
    pub(crate) async fn check_shard(&self, label: &SignedLabel, index: ShardIndex, host: NodeId) {
        let shard_len = label.label().shard_len;
        let mut offset = 0;
        while offset < shard_len {
            let end = (offset + CHECK_LEN).min(shard_len);
            let shard = (index, offset..end);
            if self.fetch_one(label, shard, host, &mut |_, _| {}).await.is_err() {
                return;
            }
            offset = end;
        }
    }

    async fn fetch(&self, pack: &PackRecord, ranges: &[Range<u64>]) -> Result<Reading, SourceError> {
        let facts = self.facts(pack)?;
        for _ in 0..PLANS_MAX {
            let stripes = self.stripes(pack, &facts);
            let Some((label, plan)) = self.plan_when_dialled(&stripes, ranges).await else {
                return Err(self.too_few(pack, &stripes));
            };
            if let Ok(parts) = self.follow(label, &plan, ranges).await {
                let origin = Origin {
                    stripe: Some(label.id()),
                    host: plan_hosts(&plan).first().copied(),
                };
                return Ok(Reading { parts, origin });
            }
        }
        Err(self.too_few(pack, &self.stripes(pack, &facts)))
    }

    /// A plan, as soon as there is one; `None` when there is none with every host that answers.
    async fn plan_when_dialled<'s>(
        &self,
        stripes: &'s [(&StripeFacts, SignedLabel)],
        ranges: &[Range<u64>],
    ) -> Option<(&'s SignedLabel, SourcePlan)> {
        loop {
            let is_last = contact::all_answered(&self.node)
                || clock::instant().saturating_duration_since(self.started) >= DIALLED_MAX;
            match self.plan(stripes, ranges) {
                Some(plan) => return Some(plan),
                None if is_last => return None,
                None => tokio::time::sleep(DIALLED_LOOK).await,
            }
        }
    }

    /// The first stripe that can give the ranges now, and from whom.
    fn plan<'s>(
        &self,
        stripes: &'s [(&StripeFacts, SignedLabel)],
        ranges: &[Range<u64>],
    ) -> Option<(&'s SignedLabel, SourcePlan)> {
        let hosts = self.hosts();
        for (stripe, label) in stripes {
            let wanted = data_shards(label, ranges);
            let holders: Vec<_> = stripe
                .holders
                .iter()
                .map(|holder| (holder.index, holder.node))
                .collect();
            let failed: BTreeSet<_> = self
                .failed
                .lock()
                .iter()
                .filter(|(failed, _, _)| *failed == stripe.label)
                .map(|(_, index, node)| (*index, *node))
                .collect();
            let len = ByteCount(
                ranges.iter().map(|range| range.end - range.start).sum::<u64>() / wanted.len().max(1) as u64,
            );
            match sources::choose(stripe.scheme, &wanted, &holders, &failed, (&hosts, len)) {
                SourcePlan::TooFew { .. } => {}
                plan => return Some((label, plan)),
            }
        }
        None
    }

    /// Hosts that can be asked now, with how fast they were.
    fn hosts(&self) -> BTreeMap<NodeId, SourceHost> {
        let mut known = self.speeds.lock();
        let own = self.ward.owned.is_none().then_some(self.node.identity.node);
        let online = self.node.pulse.online().into_keys();
        online
            .chain(own)
            .map(|node| {
                let host = known.entry(node).or_insert_with(|| {
                    let mut speed = Speed::default();
                    if Some(node) == own {
                        // Nothing is cheaper than this disk.
                        speed.observe(Span::ZERO, Span(1), ByteCount(PACK_LEN as u64));
                    }
                    SourceHost {
                        speed,
                        waiting_count: 0,
                    }
                });
                (node, *host)
            })
            .collect()
    }

    /// Whether those that are away would do.
    fn too_few(&self, pack: &PackRecord, stripes: &[(&StripeFacts, SignedLabel)]) -> SourceError {
        let failed = self.failed.lock();
        let enough = stripes.iter().any(|(stripe, _)| {
            let there: BTreeSet<ShardIndex> = stripe
                .holders
                .iter()
                .filter(|holder| !failed.contains(&(stripe.label, holder.index, holder.node)))
                .map(|holder| holder.index)
                .collect();
            there.len() >= usize::from(stripe.scheme.data())
        });
        if enough {
            SourceError::Away { pack: pack.id }
        } else {
            self.lost.store(true, Ordering::Relaxed);
            SourceError::Lost { pack: pack.id }
        }
    }

    async fn follow(
        &self,
        label: &SignedLabel,
        plan: &SourcePlan,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Vec<u8>>, Broken> {
        let lens = decode::lens(label.label(), ranges);
        let mut parts: Vec<_> = lens.into_iter().map(|len| self.buffers.take(len)).collect();
        let pieces = decode::pieces(label.label(), ranges, &mut parts);
        match plan {
            SourcePlan::Direct(hosts) => {
                let mut orders = Vec::with_capacity(pieces.len());
                for piece in pieces {
                    let host = *hosts.get(&piece.index).ok_or(Broken)?;
                    orders.push((piece, host));
                }
                self.fetch_all(label, orders).await?;
            }
            SourcePlan::Decode(hosts) => self.decode(label, pieces, hosts).await?,
            SourcePlan::TooFew { .. } => return Err(Broken),
        }
        Ok(parts)
    }

    /// Fetches the same bytes of every chosen shard, wide enough for all that is wanted, and decodes the pieces from them.
    async fn decode(
        &self,
        label: &SignedLabel,
        pieces: Vec<Piece<'_>>,
        hosts: &BTreeMap<ShardIndex, NodeId>,
    ) -> Result<(), Broken> {
        let (scheme, shard_len) = (label.label().scheme, label.label().shard_len);
        let wide = decode::merge(pieces.iter().map(|piece| slice::widen(shard_len, &piece.range)));
        let len = wide.iter().map(|range| range.end - range.start).sum::<u64>() * hosts.len() as u64;
        let kib = len.div_ceil(1024).min(u64::from(DECODING_KIB)) as u32;
        let _place = self.decoding.acquire_many(kib).await.map_err(|_| Broken)?;
        let mut got = decode::Fetched::new();
        for index in hosts.keys() {
            got.extend(wide.iter().map(|range| {
                let room = self.buffers.take((range.end - range.start) as usize);
                ((index.0, range.start), room)
            }));
        }
        let mut orders = Vec::with_capacity(got.len());
        for ((index, start), room) in &mut got {
            let index = ShardIndex(*index);
            let range = *start..*start + room.len() as u64;
            orders.push((Piece { index, range, room }, *hosts.get(&index).ok_or(Broken)?));
        }
        self.fetch_all(label, orders).await?;
        let rebuilt = tokio::task::block_in_place(|| decode::rebuild(scheme, &got, &wide, pieces));
        self.buffers.give_back(got.into_values());
        rebuilt.ok_or(Broken)
    }

    /// Fetches pieces of shards, several at a time, each where it belongs; the first failure ends it, noted so that the next plan avoids it.
    async fn fetch_all(&self, label: &SignedLabel, orders: Vec<(Piece<'_>, NodeId)>) -> Result<(), Broken> {
        let mut waiting = orders.into_iter();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < FETCHES_MAX
                && let Some((piece, host)) = waiting.next()
            {
                running.push(self.fetch_piece(label, piece, host));
            }
            match running.next().await {
                Some(fetched) => fetched?,
                None => return Ok(()),
            }
        }
    }

    async fn fetch_piece(
        &self,
        label: &SignedLabel,
        mut piece: Piece<'_>,
        host: NodeId,
    ) -> Result<(), Broken> {
        let range = slice::widen(label.label().shard_len, &piece.range);
        let shard = (piece.index, range);
        let mut take = |offset: u64, bytes: &[u8]| piece.take(offset, bytes);
        self.fetch_one(label, shard, host, &mut take).await
    }

    async fn fetch_one(
        &self,
        label: &SignedLabel,
        (index, range): (ShardIndex, Range<u64>),
        host: NodeId,
        take: &mut fetch::Take<'_>,
    ) -> Result<(), Broken> {
        if host == self.node.identity.node {
            return self.read_own(label, (index, range), take).await;
        }
        let wanted = WantedRange {
            label: label.label(),
            label_id: label.id(),
            index,
            range,
        };
        let len = ByteCount(wanted.range.end - wanted.range.start);
        for _ in 0..BUSY_RETRIES_MAX {
            let started = clock::instant();
            match fetch::get_range(&self.node.links, host, &wanted, take).await {
                Ok(()) => {
                    let took = Span((clock::seconds_since(started) * 1000.0) as u64);
                    let mut speeds = self.speeds.lock();
                    if let Some(known) = speeds.get_mut(&host) {
                        known.speed.observe(Span::ZERO, took, len);
                    }
                    drop(speeds);
                    self.fetched.fetch_add(len.0, Ordering::Relaxed);
                    self.shards.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(FetchError::Busy(retry_after)) if retry_after > PATIENCE => {
                    // What a steward may fetch there today is used up: the host is right.
                    tracing::debug!("{host:?} gives nothing for {retry_after:?}");
                    self.failed.lock().insert((label.id(), index, host));
                    return Err(Broken);
                }
                Err(FetchError::Busy(retry_after)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(retry_after.0.min(5_000))).await;
                }
                Err(error) => {
                    self.fail(label, index, host, &error);
                    return Err(Broken);
                }
            }
        }
        self.fail(label, index, host, &FetchError::Ended);
        Err(Broken)
    }

    /// A range of a shard in this node's own vault.
    async fn read_own(
        &self,
        label: &SignedLabel,
        (index, range): (ShardIndex, Range<u64>),
        take: &mut fetch::Take<'_>,
    ) -> Result<(), Broken> {
        let place = ShardPlace {
            archive: self.ward.archive,
            label: label.id(),
            index,
        };
        let root = label.label().shard(index).ok_or(Broken)?;
        let shard_len = label.label().shard_len;
        let mut offset = range.start;
        while offset < range.end {
            let part = offset..offset.saturating_add(SLICE_RANGE).min(range.end);
            let (vault, tree, wanted) = (
                Arc::clone(&self.node.vault),
                self.node.outboards.get(&place),
                part.clone(),
            );
            let read = tokio::task::spawn_blocking(move || {
                let read = vault.read_slice(&place, wanted.clone(), tree).ok()?;
                let bytes = slice::verify(&root, shard_len, wanted, &read.slice).ok()?;
                Some((read.tree, bytes))
            });
            let Some((tree, bytes)) = read.await.ok().flatten() else {
                self.failed
                    .lock()
                    .insert((label.id(), index, self.node.identity.node));
                let message = format!(
                    "a shard in this vault is damaged (archive {})",
                    place.archive.short()
                );
                self.node.events.fault(FaultKind::OwnDisk, None, message);
                return Err(Broken);
            };
            self.node.outboards.put(place, tree);
            take(offset, &bytes);
            offset = part.end;
        }
        Ok(())
    }

    /// Notes a failure, and lays it to the host where it is the host's.
    fn fail(&self, label: &SignedLabel, index: ShardIndex, host: NodeId, error: &FetchError) {
        self.failed.lock().insert((label.id(), index, host));
        if let Some(known) = self.speeds.lock().get_mut(&host) {
            known.speed.observe_failure();
        }
        let (kind, what) = match error {
            FetchError::Wrong(_) => (FaultKind::WrongBytes, "sent wrong bytes of a shard"),
            FetchError::Refused(Refusal::Damaged) => {
                (FaultKind::WrongBytes, "says that its copy of a shard is damaged")
            }
            FetchError::Truncated { .. } => (FaultKind::Truncated, "sent less of a shard than it signed for"),
            FetchError::OtherRange | FetchError::OutOfTurn(_) => (
                FaultKind::WrongShard,
                "answered with something else than the shard asked for",
            ),
            FetchError::Refused(Refusal::NotFound) => {
                (FaultKind::WrongShard, "no longer has a shard that it signed for")
            }
            FetchError::Open(_)
            | FetchError::Stream(_)
            | FetchError::Ended
            | FetchError::Busy(_)
            | FetchError::Refused(_) => (FaultKind::Silent, "does not give a shard that it signed for"),
        };
        tracing::debug!("{host:?} failed on shard {index} of {:?}: {error}", label.id());
        let message = format!(
            "{} {what}; another host is asked",
            self.node.circle.name_of(&host)
        );
        self.node.events.fault(kind, Some(host), message);
    }
}

/// A plan did not lead to the bytes; why is noted.
#[derive(Debug, Clone, Copy)]
struct Broken;

fn plan_hosts(plan: &SourcePlan) -> Vec<NodeId> {
    match plan {
        SourcePlan::Direct(hosts) | SourcePlan::Decode(hosts) => hosts.values().copied().collect(),
        SourcePlan::TooFew { .. } => Vec::new(),
    }
}

/// The data shards that ranges of a pack lie in.
fn data_shards(label: &SignedLabel, ranges: &[Range<u64>]) -> BTreeSet<ShardIndex> {
    let label = label.label();
    let shards_of = |range: &Range<u64>| {
        let len = range.end - range.start;
        nuthatch_erasure::geometry::shard_ranges(label.scheme, label.pack_len, range.start, len)
    };
    let parts = ranges.iter().flat_map(shards_of);
    parts.map(|part| part.index).collect()
}

impl PackSource for HostSource {
    fn read(&self, pack: &PackRecord, ranges: &[Range<u64>]) -> Result<Reading, SourceError> {
        if self.node.stop.is_cancelled() || self.cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        if self.trusts_staging(pack)
            && let Some(reading) = self.read_staged(pack, ranges)
        {
            return Ok(reading);
        }
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.node.stop.cancelled() => Err(SourceError::Cancelled),
                () = self.cancel.cancelled() => Err(SourceError::Cancelled),
                reading = self.fetch(pack, ranges) => reading,
            }
        })
    }

    fn give_back(&self, parts: Vec<Vec<u8>>) {
        self.buffers.give_back(parts);
    }

    fn shard_len(&self, pack: &PackRecord) -> Option<u64> {
        let stripes = self.ward.catalogue.stripes_of(&pack.id).ok()?;
        let fits = |label: &SignedLabel| label.label().pack_len == pack.len.0;
        let labels = stripes
            .iter()
            .rev()
            .filter_map(|stripe| stripe.signed_label().ok());
        labels.into_iter().find(fits).map(|label| label.label().shard_len)
    }

    fn distrust(&self, pack: &PackRecord, origin: Origin) -> bool {
        let places = self.places(pack);
        let mut distrusted = self.distrusted.lock();
        distrusted.note(pack.number, origin.stripe);
        distrusted.leaves(pack.number, &places)
    }
}
