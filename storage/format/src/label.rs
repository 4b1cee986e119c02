//! Labels: the signed public description of a stripe, stored with each of its shards.
//!
//! A host, a steward or an auditor needs nothing else to check a shard or any range of it. A label says nothing about what the pack
//! holds beyond its kind. It is believed only when its device is certified and a believed journal segment names it; that is not
//! decided here.
//!
//! CBOR map: 0 version, 1 suite, 2 archive, 3 pack, 4 kind (1 data, 2 metadata), 5 epoch, 6 scheme `[data, parity]`, 7 pack length,
//! 8 shard length, 9 shard names in order of their indices, 10 nonce (16 random bytes), 11 device; signed in the context of labels, with the
//! archive as scope, by the device.

use minicbor::{Decode, Encode};
use nuthatch_erasure::{Scheme, ShardIndex};

use crate::codec::{self, Canonical, DecodeError, DecodeReason, Suite, Version};
use crate::id::{ArchiveId, DeviceId, LabelId, PackId, ShardId};
use crate::keys::DeviceKeys;
use crate::pack::{PackHeader, PackKind};
use crate::padding::PACK_LEN;
use crate::signed::{Context, SignatureError, Signed};
use crate::units::Epoch;

/// Longest label, in bytes: 255 shard names and less than 512 bytes besides.
pub const LABEL_LEN_MAX: usize = 255 * 34 + 512;
/// Longest signed label, in bytes.
pub const SIGNED_LABEL_LEN_MAX: usize = LABEL_LEN_MAX + 80;

const _: () = assert!(SIGNED_LABEL_LEN_MAX <= <Signed as Canonical>::LEN_MAX);

/// What a label says. One that was decoded agrees with itself: lengths and counts follow from the scheme.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Label {
    /// The format's version.
    #[n(0)]
    pub version: Version,
    /// The cipher suite.
    #[n(1)]
    pub suite: Suite,
    /// Whose pack it is.
    #[n(2)]
    pub archive: ArchiveId,
    /// BLAKE3 of the whole pack.
    #[n(3)]
    pub pack: PackId,
    /// What the pack holds.
    #[n(4)]
    pub kind: PackKind,
    /// Epoch of the keys that the pack was sealed with.
    #[n(5)]
    pub epoch: Epoch,
    /// The shape of the stripe.
    #[cbor(n(6), with = "scheme")]
    pub scheme: Scheme,
    /// Bytes of the pack, `1..=PACK_LEN`.
    #[n(7)]
    pub pack_len: u64,
    /// Bytes of each shard.
    #[n(8)]
    pub shard_len: u64,
    /// BLAKE3 of each shard, in order of their indices, data shards first.
    #[n(9)]
    pub shards: Vec<ShardId>,
    /// Random: makes labels of one pack and scheme differ, so that each stripe is placed and forgotten by itself.
    #[cbor(n(10), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// Who signs.
    #[n(11)]
    pub device: DeviceId,
}

impl Label {
    /// The name of a shard, `None` when the stripe has no such index.
    pub fn shard(&self, index: ShardIndex) -> Option<ShardId> {
        self.shards.get(usize::from(index.0)).copied()
    }

    /// Signs the label, which must agree with itself, by this device and in its name.
    pub fn sign(mut self, device: &DeviceKeys) -> SignedLabel {
        self.device = device.id();
        let checked = self.check();
        assert!(
            checked.is_ok(),
            "a label that is signed agrees with itself: {checked:?}"
        );
        let signed = device
            .signing
            .sign(Context::Label, self.archive.as_bytes(), codec::encode(&self));
        let bytes = codec::encode(&signed);
        SignedLabel {
            id: name(&bytes),
            bytes,
            signed,
            label: self,
        }
    }
}

/// The facts of a pack that its labels repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackToLabel {
    /// Whose pack it is.
    pub archive: ArchiveId,
    /// BLAKE3 of the whole pack.
    pub pack: PackId,
    /// The pack's header.
    pub header: PackHeader,
    /// Bytes of the pack, `1..=PACK_LEN`.
    pub pack_len: u64,
}

impl PackToLabel {
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

impl Canonical for Label {
    const WHAT: &'static str = "label";
    const LEN_MAX: usize = LABEL_LEN_MAX;
    const VERSIONED: bool = true;

    fn check(&self) -> Result<(), &'static str> {
        if self.pack_len == 0 || self.pack_len > PACK_LEN as u64 {
            Err("the pack is empty or too long")
        } else if self.shard_len != self.scheme.shard_len(self.pack_len) {
            Err("the shards' length does not follow from the pack's")
        } else if self.shards.len() != usize::from(self.scheme.total()) {
            Err("there is not one name for each shard")
        } else {
            Ok(())
        }
    }
}

/// A label with its signature, as it is stored and passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLabel {
    id: LabelId,
    bytes: Vec<u8>,
    signed: Signed,
    label: Label,
}

impl SignedLabel {
    /// Reads a signed label and checks its shape, **not** its signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > SIGNED_LABEL_LEN_MAX {
            let found = bytes.len();
            let reason = DecodeReason::TooLong {
                found,
                max: SIGNED_LABEL_LEN_MAX,
            };
            return Err(DecodeError {
                what: "signed label",
                at: SIGNED_LABEL_LEN_MAX,
                reason,
            });
        }
        let signed: Signed = codec::decode(bytes)?;
        let label = codec::decode(&signed.body)?;
        Ok(Self {
            id: name(bytes),
            bytes: bytes.to_vec(),
            signed,
            label,
        })
    }

    /// Checks that the device named in the label signed it.
    pub fn verify(&self) -> Result<(), SignatureError> {
        self.signed.verify(
            self.label.device.as_bytes(),
            Context::Label,
            self.label.archive.as_bytes(),
        )
    }

    /// What it says.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Its name: BLAKE3 of [`SignedLabel::bytes`].
    pub fn id(&self) -> LabelId {
        self.id
    }

    /// The exact bytes, to store and pass on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn name(bytes: &[u8]) -> LabelId {
    LabelId::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// A scheme as an array of two numbers.
mod scheme {
    use minicbor::encode::Write;
    use minicbor::{Decoder, Encoder};
    use nuthatch_erasure::Scheme;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that the derive macro calls"
    )]
    pub(super) fn encode<C, W: Write>(
        scheme: &Scheme,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.u8(scheme.data())?.u8(scheme.parity())?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Scheme, minicbor::decode::Error> {
        let at = d.position();
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("a scheme is two numbers").at(at));
        }
        Scheme::new(d.u8()?, d.u8()?).map_err(|error| minicbor::decode::Error::message(error).at(at))
    }
}

#[cfg(test)]
mod tests;
