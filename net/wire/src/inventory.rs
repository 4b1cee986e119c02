//! What a host says that it holds for an archive: 256 digests by the first byte of the label id, under one signed root.
//!
//! Host and owner compute the same digests with the same functions here; only the prefixes that differ travel as lists.
//! An inventory is a claim, fresh by the asker's nonce; it never proves that the bytes are there (that is what audits are for).

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use nuthatch_erasure::ShardIndex;
use nuthatch_format::codec::Canonical;
use nuthatch_format::signed::Context;
use nuthatch_format::{ArchiveId, ByteCount, LabelId, NodeId, Timestamp};

use crate::attest::{AttestError, Attestation, Attested, Digest, Nonce};
use crate::bounded::{List, len_max, shard_index};
use crate::protocol::PAGE_LEN_MAX;

/// Prefixes of an inventory: the values of a label id's first byte.
pub const PREFIXES: usize = 256;

/// Holdings in one page.
pub const HOLDINGS_PER_PAGE_MAX: usize = 4096;

const HOLDING_LEN_MAX: usize = len_max::HEADER + len_max::ID + 2;
const _: () = assert!(len_max::list(HOLDINGS_PER_PAGE_MAX, HOLDING_LEN_MAX) <= PAGE_LEN_MAX);
const _: () = assert!(PREFIXES * 32 <= PAGE_LEN_MAX);

/// One shard that a host holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Holding {
    /// The stripe's label.
    #[n(0)]
    pub label: LabelId,
    /// Which shard of the stripe.
    #[cbor(n(1), with = "shard_index")]
    pub index: ShardIndex,
}

impl Holding {
    /// The prefix that it is counted under.
    pub const fn prefix(&self) -> u8 {
        let [first, ..] = *self.label.as_bytes();
        first
    }
}

/// Holdings that are not strictly ascending, or not of one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("holdings are not in strictly ascending order")]
pub struct OutOfOrder;

/// Accumulates an inventory from holdings in ascending order, such as an index yields them, in constant memory.
pub struct InventoryBuilder {
    digests: Box<[Digest; PREFIXES]>,
    hasher: blake3::Hasher,
    last: Option<Holding>,
    count: u64,
}

impl Default for InventoryBuilder {
    fn default() -> Self {
        Self::new()
    }
}

fn prefix_hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key("nuthatch v1 inventory prefix")
}

impl InventoryBuilder {
    /// An inventory of nothing.
    pub fn new() -> Self {
        let nothing = Digest(*prefix_hasher().finalize().as_bytes());
        Self {
            digests: Box::new([nothing; PREFIXES]),
            hasher: prefix_hasher(),
            last: None,
            count: 0,
        }
    }

    /// Adds the next holding; it must be greater than the one before.
    pub fn push(&mut self, holding: Holding) -> Result<(), OutOfOrder> {
        if let Some(last) = self.last {
            if last >= holding {
                return Err(OutOfOrder);
            }
            if last.prefix() != holding.prefix() {
                self.close(last.prefix());
            }
        }
        self.hasher.update(holding.label.as_bytes());
        self.hasher.update(&[holding.index.0]);
        self.last = Some(holding);
        self.count += 1;
        Ok(())
    }

    /// The digests of all that was added.
    pub fn finish(mut self) -> InventoryDigests {
        if let Some(last) = self.last {
            self.close(last.prefix());
        }
        InventoryDigests {
            digests: self.digests,
            count: self.count,
        }
    }

    fn close(&mut self, prefix: u8) {
        let hasher = std::mem::replace(&mut self.hasher, prefix_hasher());
        if let Some(digest) = self.digests.get_mut(usize::from(prefix)) {
            *digest = Digest(*hasher.finalize().as_bytes());
        }
    }
}

/// The digests of an inventory and how many holdings they cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryDigests {
    digests: Box<[Digest; PREFIXES]>,
    count: u64,
}

impl InventoryDigests {
    /// The digests of these holdings, which must be strictly ascending.
    pub fn of(holdings: impl IntoIterator<Item = Holding>) -> Result<Self, OutOfOrder> {
        let mut builder = InventoryBuilder::new();
        holdings
            .into_iter()
            .try_for_each(|holding| builder.push(holding))?;
        Ok(builder.finish())
    }

    /// Holdings covered (count).
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The digests as they travel.
    pub fn table(&self) -> DigestTable {
        DigestTable(self.digests.clone())
    }
}

/// The 256 digests of an inventory as a message carries them.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestTable(Box<[Digest; PREFIXES]>);

impl DigestTable {
    /// The hash that a host signs for the whole table.
    pub fn root(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("nuthatch v1 inventory root");
        for digest in self.0.iter() {
            hasher.update(&digest.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// The digest of one prefix.
    pub fn of_prefix(&self, prefix: u8) -> Digest {
        match self.0.get(usize::from(prefix)) {
            Some(digest) => *digest,
            None => unreachable!("a byte has {PREFIXES} values"),
        }
    }

    /// The prefixes under which the two differ, ascending: the only ones that have to be asked for.
    pub fn differing(&self, other: &Self) -> Vec<u8> {
        (0..=u8::MAX)
            .filter(|&prefix| self.of_prefix(prefix) != other.of_prefix(prefix))
            .collect()
    }

    /// Whether these holdings are exactly what the table says under that prefix.
    pub fn is_of(&self, prefix: u8, holdings: &[Holding]) -> bool {
        holdings.iter().all(|holding| holding.prefix() == prefix)
            && InventoryDigests::of(holdings.iter().copied())
                .is_ok_and(|digests| digests.table().of_prefix(prefix) == self.of_prefix(prefix))
    }
}

impl std::fmt::Debug for DigestTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DigestTable({:?})", self.root())
    }
}

impl<C> Encode<C> for DigestTable {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let mut bytes = Vec::with_capacity(PREFIXES * 32);
        for digest in self.0.iter() {
            bytes.extend_from_slice(&digest.0);
        }
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for DigestTable {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let bytes = ByteArray::<{ PREFIXES * 32 }>::decode(d, ctx)?;
        let mut digests = Box::new([Digest([0; 32]); PREFIXES]);
        let (chunks, _) = bytes.as_chunks::<32>();
        for (digest, chunk) in digests.iter_mut().zip(chunks) {
            *digest = Digest(*chunk);
        }
        Ok(Self(digests))
    }
}

/// "What do you hold of this archive?"
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InventoryRequest {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// Random; the answer signs it, so it can't be an old one.
    #[n(1)]
    pub nonce: Nonce,
}

/// What a host signs about all that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InventoryRoot {
    /// The archive; also the signature's scope.
    #[n(0)]
    pub archive: ArchiveId,
    /// Who holds, and signs.
    #[n(1)]
    pub host: NodeId,
    /// The asker's.
    #[n(2)]
    pub nonce: Nonce,
    /// [`DigestTable::root`] of its holdings.
    #[n(3)]
    pub root: Digest,
    /// How many shards.
    #[n(4)]
    pub count: u64,
    /// How much space they take.
    #[n(5)]
    pub bytes: ByteCount,
    /// The host's clock when it signed.
    #[n(6)]
    pub at: Timestamp,
}

impl Canonical for InventoryRoot {
    const WHAT: &'static str = "inventory root";
    const LEN_MAX: usize = len_max::map(7, 4 * len_max::ID + 3 * len_max::NUMBER);
}

impl Attested for InventoryRoot {
    const CONTEXT: Context = Context::Inventory;

    fn scope(&self) -> &[u8; 32] {
        self.archive.as_bytes()
    }

    fn signer(&self) -> &[u8; 32] {
        self.host.as_bytes()
    }
}

/// The answer to an [`InventoryRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InventoryReply {
    /// The signed summary.
    #[n(0)]
    pub root: Attestation<InventoryRoot>,
    /// The digests that its root is of.
    #[n(1)]
    pub table: DigestTable,
}

/// Why an inventory is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// The signed part is not what it should be.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// It is signed for another archive, by another host, or answers another question.
    #[error("this inventory answers another question")]
    OtherQuestion,
    /// The digests are not those that were signed.
    #[error("the digests are not the ones that were signed")]
    OtherDigests,
}

impl InventoryReply {
    /// The host's signed word, checked against the question and against the digests beside it.
    pub fn verify(&self, request: &InventoryRequest, host: &NodeId) -> Result<InventoryRoot, InventoryError> {
        let root = self.root.open()?;
        if root.archive != request.archive || root.nonce != request.nonce || root.host != *host {
            return Err(InventoryError::OtherQuestion);
        }
        if root.root != self.table.root() {
            return Err(InventoryError::OtherDigests);
        }
        Ok(root)
    }
}

/// "Which shards exactly, under this prefix?"
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InventoryPageRequest {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// First byte of the label ids asked for.
    #[n(1)]
    pub prefix: u8,
    /// The last holding of the page before; absent for the first page.
    #[n(2)]
    pub after: Option<Holding>,
}

/// Some of the holdings under a prefix, strictly ascending.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct InventoryPage {
    /// The next ones after the cursor.
    #[n(0)]
    pub holdings: List<Holding, HOLDINGS_PER_PAGE_MAX>,
    /// Whether these are the last ones of the prefix.
    #[n(1)]
    pub complete: bool,
}

impl InventoryPage {
    /// Checks order, prefix and progress: a page that is not the last one brings at least one holding after the cursor.
    pub fn check(&self, request: &InventoryPageRequest) -> Result<(), OutOfOrder> {
        let mut last = request.after;
        for holding in &self.holdings {
            if holding.prefix() != request.prefix || last.is_some_and(|last| last >= *holding) {
                return Err(OutOfOrder);
            }
            last = Some(*holding);
        }
        if self.holdings.is_empty() && !self.complete {
            Err(OutOfOrder)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
