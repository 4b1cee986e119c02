use proptest::prelude::*;

use super::*;
use crate::codec::DecodeReason;
use crate::keys::RecoveryPhrase;
use crate::units::Epoch;

const FAST: SlotParams = match SlotParams::new(16, 1, 1) {
    Ok(params) => params,
    Err(_) => SlotParams::DEFAULT,
};

fn secrets() -> OwnerSecrets {
    OwnerSecrets::derive(&RecoveryPhrase::from_entropy([4; 32]))
}

fn slot() -> KeySlot {
    KeySlot::wrap(&secrets(), b"correct horse", "laptop", [5; 32], FAST).unwrap()
}

#[test]
fn the_right_passphrase_gives_all_secrets_back() {
    let bytes = codec::encode(&slot());
    let opened = codec::decode::<KeySlot>(&bytes)
        .unwrap()
        .open(b"correct horse")
        .unwrap();
    assert_eq!(*opened.to_bytes(), *secrets().to_bytes());
    assert_eq!(opened.writer_keys(Epoch(3)), secrets().writer_keys(Epoch(3)));
}

#[test]
fn a_wrong_passphrase_is_named() {
    for wrong in [&b"correct hors"[..], b"", b"correct horse "] {
        assert_eq!(slot().open(wrong).unwrap_err(), SlotError::WrongPassphrase);
    }
}

#[test]
fn damage_is_never_taken_for_a_wrong_passphrase() {
    let bytes = codec::encode(&slot());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(codec::decode::<KeySlot>(&changed).is_err(), "byte {at}");
        assert!(codec::decode::<KeySlot>(&bytes[..at]).is_err());
    }
}

#[test]
fn nothing_of_the_secrets_stands_in_clear() {
    let bytes = codec::encode(&slot());
    for part in secrets().to_bytes().chunks(8) {
        assert!(!bytes.windows(8).any(|window| window == part));
    }
}

#[test]
fn a_slot_of_absurd_cost_is_refused_before_it_is_paid() {
    for (memory_kib, passes, lanes) in [
        (SLOT_MEMORY_MAX_KIB + 1, 1, 1),
        (u32::MAX, 1, 1),
        (7, 1, 1),
        (64, 0, 1),
        (64, SLOT_PASSES_MAX + 1, 1),
        (64, 1, 0),
        (4096, 1, SLOT_LANES_MAX + 1),
    ] {
        assert!(SlotParams::new(memory_kib, passes, lanes).is_err());
        let mut slot = slot();
        slot.params = SlotParams {
            memory_kib,
            passes,
            lanes,
        };
        slot.digest = slot.computed_digest();
        assert_eq!(
            codec::decode::<KeySlot>(&codec::encode(&slot))
                .unwrap_err()
                .reason,
            DecodeReason::Invalid("memory, passes or lanes out of bounds")
        );
    }
}

#[test]
fn a_slot_for_another_archive_does_not_open() {
    let mut slot = slot();
    slot.archive = ArchiveId::from_bytes([9; 32]);
    slot.digest = slot.computed_digest();
    assert_eq!(slot.open(b"correct horse").unwrap_err(), SlotError::Damaged);
}

#[test]
fn names_are_checked() {
    assert!(matches!(
        KeySlot::wrap(&secrets(), b"x", "", [5; 32], FAST),
        Err(WrapError::Name(NameError::Empty))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(codec::decode::<KeySlot>(&bytes).is_err());
    }

    #[test]
    fn any_passphrase_opens_its_own_slot(passphrase: Vec<u8>, salt: [u8; 32]) {
        let slot = KeySlot::wrap(&secrets(), &passphrase, "nas", salt, FAST).unwrap();
        prop_assert!(slot.open(&passphrase).is_ok());
    }
}
