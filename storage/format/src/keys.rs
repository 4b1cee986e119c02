//! Who can do what: every key of an archive, derived from the recovery phrase, and the sets in which devices hold them.
//!
//! Derivation is BLAKE3 `derive_key`, one constant context string a purpose, over inputs of fixed length. Secrets are wiped when dropped and
//! print nothing but a short public id. This file never draws randomness and never wraps keys under a passphrase (`slot` does).

mod device;
mod grant;
mod phrase;
mod sealing;

use minicbor::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codec::{Canonical, Suite, Version};
use crate::id::{ArchiveId, ChunkId, CircleId};
use crate::signed::KeyPair;
use crate::units::Epoch;

pub use device::{DEVICE_NAME_LEN_MAX, DeviceKeys, NameError, check_name};
pub use grant::OpenGrantError;
pub use phrase::{PHRASE_WORD_COUNT, PhraseError, RecoveryPhrase};
pub use sealing::{AgreementError, SealingSecret};

/// The texts that separate one derived key from another. They are part of the format and never change.
mod context {
    pub(super) const SIGNING: &str = "nuthatch v1 archive signing key";
    pub(super) const SEALING: &str = "nuthatch v1 archive sealing key";
    pub(super) const CIRCLE: &str = "nuthatch v1 circle key";
    pub(super) const WRITERS: &str = "nuthatch v1 writers' root";
    pub(super) const CHUNK_ID: &str = "nuthatch v1 chunk id key";
    pub(super) const CHUNKER: &str = "nuthatch v1 chunker key";
    pub(super) const WRITER_SECRET: &str = "nuthatch v1 writer secret";
    pub(super) const PACK_SEED: &str = "nuthatch v1 pack seed key";
    pub(super) const INDEX: &str = "nuthatch v1 index key";
    pub(super) const SIV: &str = "nuthatch v1 siv key";
    pub(super) const GROUP: &str = "nuthatch v1 snapshot group key";
}

/// Everything that the recovery phrase stands for.
#[derive(Debug)]
pub struct ArchiveKeys {
    /// Signs statements. Its public half is the archive's id.
    pub signing: KeyPair,
    /// Opens what writers seal.
    pub sealing: SealingSecret,
    /// Founds a circle: signs its charter.
    pub circle: KeyPair,
    /// What a device needs to back up, for epoch 0.
    pub writer: WriterKeys,
    writers_root: Root,
}

impl ArchiveKeys {
    /// Derives all keys of the archive of this phrase.
    pub fn derive(phrase: &RecoveryPhrase) -> Self {
        let owner = OwnerSecrets::derive(phrase);
        Self {
            writer: owner.writer_keys(Epoch::default()),
            signing: owner.signing.clone(),
            sealing: owner.sealing.clone(),
            circle: owner.circle.clone(),
            writers_root: owner.writers_root.clone(),
        }
    }

    /// The archive's id.
    pub fn archive_id(&self) -> ArchiveId {
        self.writer.archive
    }

    /// What a key slot holds.
    pub fn owner_secrets(&self) -> OwnerSecrets {
        OwnerSecrets {
            signing: self.signing.clone(),
            sealing: self.sealing.clone(),
            circle: self.circle.clone(),
            writers_root: self.writers_root.clone(),
        }
    }

    /// What a restore needs.
    pub fn reader_keys(&self) -> ReaderKeys {
        ReaderKeys {
            writer: self.writer.clone(),
            sealing: self.sealing.clone(),
        }
    }
}

/// 32 secret bytes from which the writer keys of every epoch derive.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Root([u8; 32]);

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root(32 bytes)")
    }
}

/// The owner's secrets, as a key slot holds them: whoever has them can sign, read and write.
#[derive(Debug, Clone)]
pub struct OwnerSecrets {
    /// Signs statements. Its public half is the archive's id.
    pub signing: KeyPair,
    /// Opens what writers seal.
    pub sealing: SealingSecret,
    /// Founds a circle: signs its charter.
    pub circle: KeyPair,
    writers_root: Root,
}

impl OwnerSecrets {
    /// Length of [`OwnerSecrets::to_bytes`].
    pub const LEN: usize = 4 * 32;

    /// Derives the secrets of the archive of this phrase.
    pub fn derive(phrase: &RecoveryPhrase) -> Self {
        let from_phrase = |text| Zeroizing::new(blake3::derive_key(text, phrase.entropy()));
        Self {
            signing: KeyPair::from_seed(&from_phrase(context::SIGNING)),
            sealing: SealingSecret::from_bytes(*from_phrase(context::SEALING)),
            circle: KeyPair::from_seed(&from_phrase(context::CIRCLE)),
            writers_root: Root(*from_phrase(context::WRITERS)),
        }
    }

    /// The archive's id.
    pub fn archive_id(&self) -> ArchiveId {
        ArchiveId::from_bytes(self.signing.public())
    }

    /// The id of the circle that this owner can found.
    pub fn circle_id(&self) -> CircleId {
        CircleId::from_bytes(self.circle.public())
    }

    /// What a device needs to back up in an epoch.
    pub fn writer_keys(&self, epoch: Epoch) -> WriterKeys {
        let root = &self.writers_root.0;
        let mut salted = Zeroizing::new([0_u8; 36]);
        salted[..32].copy_from_slice(root);
        salted[32..].copy_from_slice(&epoch.0.to_le_bytes());
        let of_epoch = |text| blake3::derive_key(text, salted.as_slice());
        WriterKeys {
            version: Version,
            suite: Suite,
            archive: self.archive_id(),
            sealing_public: self.sealing.public(),
            epoch,
            chunk_id_key: blake3::derive_key(context::CHUNK_ID, root),
            chunker_key: blake3::derive_key(context::CHUNKER, root),
            writer_secret: of_epoch(context::WRITER_SECRET),
            pack_seed_key: of_epoch(context::PACK_SEED),
            index_key: of_epoch(context::INDEX),
            siv_key: of_epoch(context::SIV),
        }
    }

    /// What a restore needs for objects of an epoch.
    pub fn reader_keys(&self, epoch: Epoch) -> ReaderKeys {
        ReaderKeys {
            writer: self.writer_keys(epoch),
            sealing: self.sealing.clone(),
        }
    }

    /// The four secrets one after another: signing seed, sealing secret, circle seed, writers' root.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        let parts = [
            self.signing.seed(),
            self.sealing.to_bytes(),
            self.circle.seed(),
            Zeroizing::new(self.writers_root.0),
        ];
        for (place, part) in bytes.chunks_exact_mut(32).zip(&parts) {
            place.copy_from_slice(part.as_slice());
        }
        bytes
    }

    /// The secrets that [`OwnerSecrets::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let part = |index: usize| {
            let mut part = Zeroizing::new([0_u8; 32]);
            part.copy_from_slice(&bytes[index * 32..(index + 1) * 32]);
            part
        };
        Self {
            signing: KeyPair::from_seed(&part(0)),
            sealing: SealingSecret::from_bytes(*part(1)),
            circle: KeyPair::from_seed(&part(2)),
            writers_root: Root(*part(3)),
        }
    }
}

/// What a device keeps in clear to back up unattended: it can name, cut, seal and list, but not read what is sealed.
#[derive(Clone, PartialEq, Eq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
pub struct WriterKeys {
    #[n(0)]
    #[zeroize(skip)]
    version: Version,
    #[n(1)]
    #[zeroize(skip)]
    suite: Suite,
    /// The archive.
    #[n(2)]
    #[zeroize(skip)]
    pub archive: ArchiveId,
    /// Public half of the sealing key (X25519).
    #[cbor(n(3), with = "minicbor::bytes")]
    pub sealing_public: [u8; 32],
    /// The epoch that the four last keys belong to.
    #[n(4)]
    #[zeroize(skip)]
    pub epoch: Epoch,
    /// Names chunks (keyed BLAKE3).
    #[cbor(n(5), with = "minicbor::bytes")]
    pub chunk_id_key: [u8; 32],
    /// Expands to the chunker's gear table.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub chunker_key: [u8; 32],
    /// Enters every pack key beside the X25519 agreement.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub writer_secret: [u8; 32],
    /// Makes a pack's ephemeral secret from its content.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub pack_seed_key: [u8; 32],
    /// Seals directories and journal segments, together with the SIV key.
    #[cbor(n(9), with = "minicbor::bytes")]
    pub index_key: [u8; 32],
    /// Makes the synthetic initialisation vector of symmetric sealing.
    #[cbor(n(10), with = "minicbor::bytes")]
    pub siv_key: [u8; 32],
}

impl WriterKeys {
    /// The name of a chunk.
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId::from_bytes(*blake3::keyed_hash(&self.chunk_id_key, plain).as_bytes())
    }

    /// What snapshots of the same host and paths have in common, for grouping by who can't read either. The same in every epoch.
    /// Keyed BLAKE3 over the host name and each path, every one after its length (u32, little-endian).
    pub fn snapshot_group(&self, hostname: &str, paths: &[Vec<u8>]) -> [u8; 32] {
        let key = Zeroizing::new(blake3::derive_key(context::GROUP, &self.chunk_id_key));
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for part in std::iter::once(hostname.as_bytes()).chain(paths.iter().map(Vec::as_slice)) {
            hasher.update(&(part.len() as u32).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

impl Canonical for WriterKeys {
    const WHAT: &'static str = "writer keys";
    const LEN_MAX: usize = 512;
    const VERSIONED: bool = true;
}

impl std::fmt::Debug for WriterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriterKeys({}, epoch {})", self.archive.short(), self.epoch.0)
    }
}

/// What a restore holds: the writers' keys and the secret half of the sealing key.
#[derive(Debug, Clone)]
pub struct ReaderKeys {
    /// The writers' keys of the epoch.
    pub writer: WriterKeys,
    /// Opens what writers seal.
    pub sealing: SealingSecret,
}

#[cfg(test)]
mod tests;
