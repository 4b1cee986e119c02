use proptest::prelude::*;

use super::*;
use crate::codec;

fn phrase() -> RecoveryPhrase {
    RecoveryPhrase::from_entropy([7; 32])
}

#[test]
fn words_and_back_are_the_same_keys() {
    let words = phrase().words();
    assert_eq!(words.split(' ').count(), 24);
    let typed = format!("  {} \n", words.to_uppercase().replace(' ', "  \t"));
    let again = RecoveryPhrase::parse(&typed).unwrap();
    assert_eq!(again.words(), words);
    assert_eq!(
        ArchiveKeys::derive(&again).archive_id(),
        ArchiveKeys::derive(&phrase()).archive_id()
    );
}

#[test]
fn a_wrong_phrase_says_what_is_wrong() {
    let words = phrase().words();
    let mut list: Vec<&str> = words.split(' ').collect();
    assert_eq!(
        RecoveryPhrase::parse(&list[..23].join(" ")).unwrap_err(),
        PhraseError::WordCount { found: 23 }
    );
    assert_eq!(
        RecoveryPhrase::parse(&list[..12].join(" ")).unwrap_err(),
        PhraseError::WordCount { found: 12 }
    );
    let right = list[4];
    list[4] = "nuthatch";
    assert_eq!(
        RecoveryPhrase::parse(&list.join(" ")).unwrap_err(),
        PhraseError::UnknownWord {
            position: 5,
            word: "nuthatch".to_owned()
        }
    );
    list[4] = if right == "zoo" { "zone" } else { "zoo" };
    assert_eq!(
        RecoveryPhrase::parse(&list.join(" ")).unwrap_err(),
        PhraseError::Checksum
    );
}

#[test]
fn no_two_keys_are_equal() {
    let owner = OwnerSecrets::derive(&phrase());
    let first = owner.writer_keys(Epoch(0));
    let second = owner.writer_keys(Epoch(1));
    let mut all = vec![
        *owner.signing.seed(),
        *owner.sealing.to_bytes(),
        *owner.circle.seed(),
        owner.writers_root.0,
        first.chunk_id_key,
        first.chunker_key,
        first.snapshot_group("", &[]),
    ];
    for keys in [&first, &second] {
        all.extend([
            keys.writer_secret,
            keys.pack_seed_key,
            keys.index_key,
            keys.siv_key,
        ]);
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn epochs_change_sealing_but_neither_names_nor_boundaries() {
    let owner = OwnerSecrets::derive(&phrase());
    let (first, second) = (owner.writer_keys(Epoch(0)), owner.writer_keys(Epoch(1)));
    assert_eq!(first.chunk_id(b"seed"), second.chunk_id(b"seed"));
    assert_eq!(first.chunker_key, second.chunker_key);
    let paths = [b"/home".to_vec()];
    assert_eq!(
        first.snapshot_group("nas", &paths),
        second.snapshot_group("nas", &paths)
    );
    assert_ne!(
        first.snapshot_group("nas", &paths),
        first.snapshot_group("na", &[b"s/home".to_vec()])
    );
    assert_ne!(first.writer_secret, second.writer_secret);
    assert_eq!(ArchiveKeys::derive(&phrase()).writer, first);
}

#[test]
fn debug_shows_no_secret() {
    let keys = ArchiveKeys::derive(&phrase());
    let device = DeviceKeys::generate(&[9; 64], "laptop").unwrap();
    let text = format!(
        "{keys:?} {:?} {device:?} {:?}",
        keys.reader_keys(),
        keys.owner_secrets()
    );
    assert!(text.len() < 1200, "{text}");
    for secret in [
        keys.writer.index_key,
        keys.writer.chunk_id_key,
        *keys.signing.seed(),
        *keys.sealing.to_bytes(),
    ] {
        assert!(!text.contains(&data_encoding::HEXLOWER.encode(&secret[..4])));
        assert!(!text.contains(&format!("{}, {}", secret[0], secret[1])));
    }
}

#[test]
fn agreement_is_mutual_and_refuses_small_order() {
    let (a, b) = (
        SealingSecret::from_bytes([1; 32]),
        SealingSecret::from_bytes([2; 32]),
    );
    assert_eq!(a.agree(&b.public()), b.agree(&a.public()));
    assert_eq!(a.agree(&[0; 32]), Err(AgreementError));
}

#[test]
fn names_are_bounded_and_printable() {
    assert_eq!(check_name(""), Err(NameError::Empty));
    assert_eq!(check_name("a\u{1b}[2J"), Err(NameError::Control));
    assert_eq!(check_name(&"é".repeat(33)), Err(NameError::TooLong { found: 66 }));
    assert_eq!(check_name("Ölaptop"), Ok(()));
}

#[test]
fn every_truncation_of_stored_keys_is_an_error() {
    let writer = codec::encode_secret(&ArchiveKeys::derive(&phrase()).writer);
    let device = codec::encode_secret(&DeviceKeys::generate(&[9; 64], "laptop").unwrap());
    for end in 0..writer.len() {
        assert!(codec::decode::<WriterKeys>(&writer[..end]).is_err());
    }
    for end in 0..device.len() {
        assert!(codec::decode::<DeviceKeys>(&device[..end]).is_err());
    }
}

#[test]
fn another_version_or_suite_is_named() {
    let mut bytes = codec::encode_secret(&ArchiveKeys::derive(&phrase()).writer).to_vec();
    assert_eq!(bytes[2], 1);
    let mut refused = |version: u8| {
        bytes[2] = version;
        codec::decode::<WriterKeys>(&bytes).unwrap_err()
    };
    let (unreleased, newer) = (refused(0), refused(2));
    assert_eq!(
        unreleased.reason,
        codec::DecodeReason::Version { found: 0, known: 1 }
    );
    assert_eq!(newer.reason, codec::DecodeReason::Version { found: 2, known: 1 });
    assert!(unreleased.to_string().contains("version 0 was never released"));
    assert!(newer.to_string().contains("version 2 is newer than this program"));
    bytes[2] = 1;
    bytes[4] = 2;
    assert_eq!(
        codec::decode::<WriterKeys>(&bytes).unwrap_err().reason,
        codec::DecodeReason::Suite(2)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn stored_keys_and_back_are_the_same(entropy: [u8; 32], device: [u8; 32], epoch: u32) {
        let owner = OwnerSecrets::derive(&RecoveryPhrase::from_entropy(entropy));
        let again = OwnerSecrets::from_bytes(&owner.to_bytes());
        let writer = owner.writer_keys(Epoch(epoch));
        prop_assert_eq!(&again.writer_keys(Epoch(epoch)), &writer);
        prop_assert_eq!(codec::decode::<WriterKeys>(&codec::encode_secret(&writer)), Ok(writer));
        let mut seed = [1; 64];
        seed[..32].copy_from_slice(&device);
        let keys = DeviceKeys::generate(&seed, "nas").unwrap();
        let read = codec::decode::<DeviceKeys>(&codec::encode_secret(&keys)).unwrap();
        prop_assert_eq!((read.id(), read.exchange_public(), read.name()), (keys.id(), keys.exchange_public(), "nas"));
    }

    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(codec::decode::<WriterKeys>(&bytes).is_err());
        prop_assert!(codec::decode::<DeviceKeys>(&bytes).is_err());
    }
}
