//! Stripes: a whole pack becomes named shards with a label, and enough shards become the pack again.
//!
//! For packs in memory. Bytes are checked on both ways: a pack against its name before it is labelled, each shard against the label before it
//! is used. The code itself is `nuthatch_erasure`'s; placement, storage and transfer are elsewhere.

use std::borrow::Cow;

use nuthatch_erasure::{Coder, ReconstructError, Scheme, ShardIndex, coder};

use crate::codec::{DecodeError, Suite, Version};
use crate::id::{ArchiveId, PackId, ShardId};
use crate::keys::DeviceKeys;
use crate::label::{Label, SignedLabel};
use crate::pack::{PackHeader, read_header};

/// The facts of a pack that a label repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFacts {
    /// Whose pack it is.
    pub archive: ArchiveId,
    /// BLAKE3 of the whole pack.
    pub pack: PackId,
    /// The pack's header.
    pub header: PackHeader,
    /// Bytes of the pack.
    pub pack_len: u64,
}

impl PackFacts {
    /// The label of a stripe of this pack, signed by `device`. `shards` names every shard of the scheme in order; `nonce` is random.
    pub fn label(
        &self,
        scheme: Scheme,
        shards: Vec<ShardId>,
        nonce: [u8; 16],
        device: &DeviceKeys,
    ) -> SignedLabel {
        let label = Label {
            version: Version,
            suite: Suite,
            archive: self.archive,
            pack: self.pack,
            kind: self.header.kind(),
            epoch: self.header.epoch(),
            scheme,
            pack_len: self.pack_len,
            shard_len: scheme.shard_len(self.pack_len),
            shards,
            nonce,
            device: device.id(),
        };
        label.sign(device)
    }
}

/// A pack coded into shards. Data shards stay where they are, in the pack.
#[derive(Clone, PartialEq, Eq)]
pub struct Stripe<'p> {
    scheme: Scheme,
    pack: &'p [u8],
    id: PackId,
    header: PackHeader,
    parity: Vec<Vec<u8>>,
    shards: Vec<ShardId>,
}

/// Why bytes can't be coded as a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The bytes are not the pack: labelling them would keep damage for ever.
    #[error("these bytes are not pack {expected}")]
    NotThePack {
        /// The pack that was to be coded.
        expected: PackId,
    },
    /// The bytes have that name, but are no pack of a version known here.
    #[error(transparent)]
    Header(#[from] DecodeError),
}

impl<'p> Stripe<'p> {
    /// Codes the pack with this name and names its shards.
    pub fn encode(expected: PackId, pack: &'p [u8], scheme: Scheme) -> Result<Self, EncodeError> {
        if PackId::from_bytes(*blake3::hash(pack).as_bytes()) != expected {
            return Err(EncodeError::NotThePack { expected });
        }
        let header = read_header(pack)?;
        let mut stripe = Self {
            scheme,
            pack,
            id: expected,
            header,
            parity: coder(scheme).parity_of(pack),
            shards: Vec::new(),
        };
        stripe.shards = scheme
            .indices()
            .filter_map(|index| stripe.shard(index))
            .map(|shard| ShardId::from_bytes(*blake3::hash(&shard).as_bytes()))
            .collect();
        Ok(stripe)
    }

    /// The names of all shards, data shards first.
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// The bytes of a shard, `None` when the scheme has no such index.
    pub fn shard(&self, index: ShardIndex) -> Option<Cow<'_, [u8]>> {
        match index.0.checked_sub(self.scheme.data()) {
            None => Coder::data_shard(self.scheme, self.pack, index),
            Some(place) => self
                .parity
                .get(usize::from(place))
                .map(|shard| Cow::Borrowed(shard.as_slice())),
        }
    }

    /// Its label, signed by `device`; `nonce` is random.
    pub fn label(&self, archive: ArchiveId, nonce: [u8; 16], device: &DeviceKeys) -> SignedLabel {
        let facts = PackFacts {
            archive,
            pack: self.id,
            header: self.header,
            pack_len: self.pack.len() as u64,
        };
        facts.label(self.scheme, self.shards.clone(), nonce, device)
    }
}

impl std::fmt::Debug for Stripe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stripe({:?} as {})", self.id, self.scheme)
    }
}

/// A pack put together again, and what was wrong on the way.
#[derive(Clone, PartialEq, Eq)]
pub struct Joined {
    /// The pack, equal to its name.
    pub pack: Vec<u8>,
    /// Shards that were given but are not what the label names: whoever gave them lost or changed them.
    pub wrong: Vec<ShardIndex>,
}

impl std::fmt::Debug for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Joined({} bytes, wrong: {:?})", self.pack.len(), self.wrong)
    }
}

/// Why shards don't give the pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Too few shards are right.
    #[error("the shards that are right don't give the pack; {} were wrong", wrong.len())]
    Reconstruct {
        /// Shards that are not what the label names.
        wrong: Vec<ShardIndex>,
        /// What is missing.
        source: ReconstructError,
    },
    /// The shards are what the label names, but not shards of the pack that it names: whoever signed it lied or erred.
    #[error("the label's shards are not of the pack that it names")]
    FalseLabel,
}

/// The pack from its shards: one place for each index, `None` for those that are not here. Decodes only when a data shard is missing.
pub fn join(label: &Label, mut shards: Vec<Option<Vec<u8>>>) -> Result<Joined, JoinError> {
    let mut wrong = Vec::new();
    for ((place, name), index) in shards.iter_mut().zip(&label.shards).zip(label.scheme.indices()) {
        let is_right = |shard: &[u8]| {
            shard.len() as u64 == label.shard_len && blake3::hash(shard).as_bytes() == name.as_bytes()
        };
        if place.take_if(|shard| !is_right(shard)).is_some() {
            wrong.push(index);
        }
    }
    if let Err(source) = coder(label.scheme).reconstruct_data(&mut shards) {
        return Err(JoinError::Reconstruct { wrong, source });
    }
    let mut pack = Vec::with_capacity(label.shard_len as usize * usize::from(label.scheme.data()));
    for shard in shards.iter().take(usize::from(label.scheme.data())).flatten() {
        pack.extend_from_slice(shard);
    }
    pack.truncate(label.pack_len as usize);
    if blake3::hash(&pack).as_bytes() == label.pack.as_bytes() {
        Ok(Joined { pack, wrong })
    } else {
        Err(JoinError::FalseLabel)
    }
}

#[cfg(test)]
mod tests;
