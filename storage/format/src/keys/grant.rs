//! An epoch's writer keys on their way to a device that goes on writing: sealed to its X25519 key, carried by the `epoch` statement.
//!
//! Only the keys that change travel: those that name and cut chunks stay the same in all epochs, and whoever is granted an epoch has
//! them. The chunk-id key is the common secret of the envelope: a host that could break X25519 would still not read a grant.

use zeroize::Zeroizing;

use super::{AgreementError, DeviceKeys, WriterKeys};
use crate::codec::DecodeError;
use crate::envelope::{self, Kind, Terms};
use crate::statement::EPOCH_GRANT_LEN_MAX;
use crate::units::Epoch;

const GRANT: Kind = Kind {
    magic: *b"nuthgrnt",
    what: "grant of an epoch",
    ephemeral: "nuthatch v1 epoch grant ephemeral secret",
    keys: "nuthatch v1 epoch grant key and commitment",
    len_max: PLAIN_LEN,
};

/// Writer secret, pack-seed key, index key, SIV key.
const PLAIN_LEN: usize = 4 * 32;

/// Length of sealed writer keys, in bytes; always the same.
const SEALED_LEN: usize = PLAIN_LEN + envelope::OVERHEAD;

const _: () = assert!(SEALED_LEN <= EPOCH_GRANT_LEN_MAX);

/// Why a grant does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenGrantError {
    /// Not shaped like one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is of another epoch than the statement that carries it.
    #[error("the keys are of epoch {}, the statement is about epoch {}", .found.0, .expected.0)]
    Epoch {
        /// Epoch in the bytes.
        found: Epoch,
        /// Epoch that was asked for.
        expected: Epoch,
    },
    /// Damaged, for another device, or of another archive.
    #[error("the keys are damaged, or are not for this device")]
    Damaged,
}

impl WriterKeys {
    /// Seals the keys of this epoch to a device's X25519 key. Refuses one with which everybody agrees on the same secret.
    pub fn seal_to(&self, exchange_public: &[u8; 32]) -> Result<Vec<u8>, AgreementError> {
        let mut plain = Zeroizing::new([0; PLAIN_LEN]);
        let parts = [
            &self.writer_secret,
            &self.pack_seed_key,
            &self.index_key,
            &self.siv_key,
        ];
        for (place, part) in plain.chunks_exact_mut(32).zip(parts) {
            place.copy_from_slice(part);
        }
        let terms = self.grant_terms(self.epoch);
        GRANT.seal(&terms, exchange_public, &self.pack_seed_key, plain.as_slice())
    }

    /// The writer keys of a later epoch, from what [`WriterKeys::seal_to`] made for this device. These are the device's own, of any epoch
    /// before.
    pub fn open_next(
        &self,
        epoch: Epoch,
        sealed: &[u8],
        device: &DeviceKeys,
    ) -> Result<Self, OpenGrantError> {
        let opened = GRANT.open(&self.grant_terms(epoch), &device.exchange, sealed);
        let plain = opened.map_err(|error| match error {
            envelope::OpenError::Decode(error) => error.into(),
            envelope::OpenError::Epoch(found) => OpenGrantError::Epoch {
                found,
                expected: epoch,
            },
            envelope::OpenError::Damaged => OpenGrantError::Damaged,
        })?;
        let plain: &[u8; PLAIN_LEN] = plain.as_slice().try_into().map_err(|_| OpenGrantError::Damaged)?;
        let mut next = self.clone();
        next.epoch = epoch;
        let parts = [
            &mut next.writer_secret,
            &mut next.pack_seed_key,
            &mut next.index_key,
            &mut next.siv_key,
        ];
        for (part, place) in parts.into_iter().zip(plain.chunks_exact(32)) {
            part.copy_from_slice(place);
        }
        Ok(next)
    }

    fn grant_terms(&self, epoch: Epoch) -> Terms<'_> {
        Terms {
            archive: &self.archive,
            epoch,
            common_secret: &self.chunk_id_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::{ArchiveKeys, OwnerSecrets, RecoveryPhrase};

    fn owner(number: u8) -> OwnerSecrets {
        ArchiveKeys::derive(&RecoveryPhrase::from_entropy([number; 32])).owner_secrets()
    }

    fn device(number: u8) -> DeviceKeys {
        DeviceKeys::generate(&[number; 64], "laptop").unwrap()
    }

    fn sealed() -> Vec<u8> {
        let keys = owner(1).writer_keys(Epoch(3));
        keys.seal_to(&device(2).exchange_public()).unwrap()
    }

    #[test]
    fn a_device_that_is_granted_an_epoch_has_all_of_its_keys() {
        let (owner, device) = (owner(1), device(2));
        let before = owner.writer_keys(Epoch(0));
        let next = before.open_next(Epoch(3), &sealed(), &device).unwrap();
        assert_eq!(next, owner.writer_keys(Epoch(3)));
        assert_eq!(sealed().len(), SEALED_LEN);
        assert_eq!(sealed(), sealed(), "the same keys seal to the same bytes");
        // From one that has missed others, too.
        let later = owner.writer_keys(Epoch(7));
        let sealed = later.seal_to(&device.exchange_public()).unwrap();
        assert_eq!(next.open_next(Epoch(7), &sealed, &device).unwrap(), later);
    }

    #[test]
    fn nobody_else_opens_a_grant_and_it_opens_as_nothing_else() {
        let before = owner(1).writer_keys(Epoch(0));
        let other_device = before.open_next(Epoch(3), &sealed(), &device(3));
        assert_eq!(other_device, Err(OpenGrantError::Damaged));
        let other_archive = owner(2).writer_keys(Epoch(0));
        assert_eq!(
            other_archive.open_next(Epoch(3), &sealed(), &device(2)),
            Err(OpenGrantError::Damaged)
        );
        // Who has the device's key but is no writer: as if X25519 had fallen.
        let mut host = before.clone();
        host.chunk_id_key = [0; 32];
        assert_eq!(
            host.open_next(Epoch(3), &sealed(), &device(2)),
            Err(OpenGrantError::Damaged)
        );
        assert_eq!(
            before.open_next(Epoch(4), &sealed(), &device(2)),
            Err(OpenGrantError::Epoch {
                found: Epoch(3),
                expected: Epoch(4)
            })
        );
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_an_error() {
        let before = owner(1).writer_keys(Epoch(0));
        let sealed = sealed();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(
                before.open_next(Epoch(3), &changed, &device(2)).is_err(),
                "byte {at}"
            );
            assert!(before.open_next(Epoch(3), &sealed[..at], &device(2)).is_err());
        }
        let longer = [sealed, vec![0]].concat();
        assert!(matches!(
            before.open_next(Epoch(3), &longer, &device(2)),
            Err(OpenGrantError::Decode(_))
        ));
    }

    #[test]
    fn a_key_that_is_none_is_granted_nothing() {
        let keys = owner(1).writer_keys(Epoch(1));
        assert!(keys.seal_to(&[0; 32]).is_err());
        let mut sealed = sealed();
        sealed[16..48].fill(0);
        assert_eq!(
            owner(1)
                .writer_keys(Epoch(0))
                .open_next(Epoch(3), &sealed, &device(2)),
            Err(OpenGrantError::Damaged)
        );
    }

    proptest! {
        #[test]
        fn garbage_is_no_grant(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let before = owner(1).writer_keys(Epoch(0));
            prop_assert!(before.open_next(Epoch(3), &bytes, &device(2)).is_err());
        }

        #[test]
        fn opening_gives_back_what_was_sealed(archive in any::<u8>(), of in any::<u8>(), epoch in 1..u32::MAX) {
            let (owner, device) = (owner(archive), device(of));
            let keys = owner.writer_keys(Epoch(epoch));
            let sealed = keys.seal_to(&device.exchange_public()).unwrap();
            let opened = owner.writer_keys(Epoch(0)).open_next(Epoch(epoch), &sealed, &device);
            prop_assert_eq!(opened, Ok(keys));
        }
    }
}
