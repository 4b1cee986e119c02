//! Bytes that outlive the program: every object from fixed keys and fixed content, compared with files that are added once and never edited.
//!
//! The files lie in `tests/golden/v1` of the workspace. `NUTHATCH_GOLDEN=write cargo test -p nuthatch-format --test golden` writes those that
//! are missing and touches no other. A failure here means that archives in the field can't be read by this program any more: a changed layout
//! needs a new version and a new folder beside the old one, which stays and is read for ever.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not seen as tests (rust-clippy issue 11119)"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use nuthatch_erasure::geometry::data_shard;
use nuthatch_erasure::{Scheme, ShardIndex, coder};
use nuthatch_format::codec::{self, Canonical};
use nuthatch_format::content::Content;
use nuthatch_format::journal::{Draft, Entry, Position, SignedSegment};
use nuthatch_format::keys::{ArchiveKeys, DeviceKeys, OwnerSecrets, RecoveryPhrase, WriterKeys};
use nuthatch_format::label::{PackToLabel, SignedLabel};
use nuthatch_format::open::open_directory;
use nuthatch_format::pack::PackKind;
use nuthatch_format::padding::Fill;
use nuthatch_format::seal::{PackPlan, SealedPack};
use nuthatch_format::section::{Compressor, LEVEL_DEFAULT, SectionBuilder, encoder_version};
use nuthatch_format::slice::{self, GROUP_LEN, Outboard};
use nuthatch_format::slot::{KeySlot, SlotParams};
use nuthatch_format::snapshot::{
    Counts, Origin, PackChange, PackSet, SealedSnapshot, Snapshot, SnapshotLine, Warning, WarningKind,
    open_snapshot, seal_snapshot,
};
use nuthatch_format::statement::{
    Capabilities, Certificate, Grant, LastBelieved, SignedStatement, Statement,
};
use nuthatch_format::tree::{self, EntryKind, MTime, Metadata, Tree};
use nuthatch_format::{
    ByteCount, ChunkId, Epoch, LabelId, LineId, NodeId, PackId, SegmentId, ShardId, SnapshotId, Span,
    Timestamp,
};

const PASSPHRASE: &[u8] = b"correct horse battery staple";

/// The file of this name; written first where it is missing and writing was asked for.
fn golden(name: &str, now: &[u8]) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/v1");
    let path = folder.join(name);
    if !path.exists() && std::env::var_os("NUTHATCH_GOLDEN").is_some_and(|value| value == "write") {
        fs::create_dir_all(&folder).unwrap();
        // Other tests may read it meanwhile.
        let unfinished = folder.join(format!("{name}.{}", std::process::id()));
        fs::write(&unfinished, now).unwrap();
        fs::rename(&unfinished, &path).unwrap();
    }
    let found = fs::read(&path);
    assert!(
        found.is_ok(),
        "{name} is missing; write it once with NUTHATCH_GOLDEN=write"
    );
    found.unwrap()
}

/// The object is still encoded as it was, and the file still decodes.
fn check(name: &str, now: &[u8]) -> Vec<u8> {
    let then = golden(name, now);
    assert!(
        then == now,
        "{name}: {} bytes then, {} bytes now, first difference at {:?}",
        then.len(),
        now.len(),
        then.iter().zip(now).position(|(then, now)| then != now)
    );
    then
}

fn check_canonical<T: Canonical + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let then = check(name, &codec::encode(value));
    assert_eq!(&codec::decode::<T>(&then).unwrap(), value, "{name}");
}

fn phrase() -> RecoveryPhrase {
    let mut entropy = [0; 32];
    for (place, value) in entropy.iter_mut().zip(1..) {
        *place = value;
    }
    RecoveryPhrase::from_entropy(entropy)
}

fn keys() -> ArchiveKeys {
    ArchiveKeys::derive(&phrase())
}

fn device() -> DeviceKeys {
    let mut entropy = [0x11; 64];
    entropy[32..].fill(0x22);
    DeviceKeys::generate(&entropy, "laptop").unwrap()
}

fn content(len: u64) -> Content {
    Content {
        depth: 0,
        len,
        chunks: vec![ChunkId::from_bytes([0xc1; 32])],
    }
}

#[test]
fn the_phrase_still_gives_the_same_keys() {
    check("phrase.txt", phrase().words().as_bytes());
    let owner = OwnerSecrets::derive(&RecoveryPhrase::parse(&phrase().words()).unwrap());
    let mut text = String::new();
    let mut line = |name: &str, bytes: &[u8]| {
        writeln!(text, "{name} {}", HEXLOWER.encode(bytes)).unwrap();
    };
    line("archive-id", owner.archive_id().as_bytes());
    line("signing-seed", owner.signing.seed().as_slice());
    line("sealing-secret", owner.sealing.to_bytes().as_slice());
    line("sealing-public", &owner.sealing.public());
    line("circle-seed", owner.circle.seed().as_slice());
    line("circle-id", owner.circle_id().as_bytes());
    line("writers-root", &owner.to_bytes()[96..]);
    for epoch in [0, 1] {
        let writer = owner.writer_keys(Epoch(epoch));
        let mut line = |name: &str, bytes: &[u8]| line(&format!("epoch-{epoch}-{name}"), bytes);
        line("chunk-id-key", &writer.chunk_id_key);
        line("chunker-key", &writer.chunker_key);
        line("writer-secret", &writer.writer_secret);
        line("pack-seed-key", &writer.pack_seed_key);
        line("index-key", &writer.index_key);
        line("siv-key", &writer.siv_key);
    }
    let writer = owner.writer_keys(Epoch(0));
    line("chunk-id-of-nuthatch", writer.chunk_id(b"nuthatch").as_bytes());
    line(
        "group-of-laptop-home",
        &writer.snapshot_group("laptop", &[b"/home".to_vec()]),
    );
    check("keys.txt", text.as_bytes());
    check_canonical::<WriterKeys>("writer-keys.cbor", &writer);
    let stored = check("device-keys.cbor", &codec::encode_secret(&device()));
    assert_eq!(codec::decode::<DeviceKeys>(&stored).unwrap().id(), device().id());
}

#[test]
fn granted_epochs_still_open() {
    let owner = keys().owner_secrets();
    let (before, next) = (owner.writer_keys(Epoch(0)), owner.writer_keys(Epoch(1)));
    let sealed = next.seal_to(&device().exchange_public()).unwrap();
    let then = check("epoch-grant.sealed", &sealed);
    assert_eq!(before.open_next(Epoch(1), &then, &device()).unwrap(), next);
}

#[test]
fn key_slots_still_open() {
    let owner = keys().owner_secrets();
    let params = SlotParams::new(1024, 2, 2).unwrap();
    let slot = KeySlot::wrap(&owner, PASSPHRASE, "laptop", [0x33; 32], params).unwrap();
    check_canonical("slot.cbor", &slot);
    let then: KeySlot = codec::decode(&golden("slot.cbor", &[])).unwrap();
    assert_eq!(*then.open(PASSPHRASE).unwrap().to_bytes(), *owner.to_bytes());
}

fn statements() -> Vec<(&'static str, SignedStatement)> {
    let keys = keys();
    let device = device();
    let labels = vec![LabelId::from_bytes([0x51; 32]), LabelId::from_bytes([0x52; 32])];
    let node = NodeId::from_bytes([0x61; 32]);
    let certificate = Certificate {
        device: device.id(),
        exchange_public: device.exchange_public(),
        node,
        name: device.name().to_owned(),
        capabilities: Capabilities::DEFAULT,
        byte_budget: ByteCount(1 << 40),
    };
    let after = vec![LastBelieved {
        line: LineId::from_bytes([0x71; 16]),
        sequence: 300,
        segment: SegmentId::from_bytes([0x72; 32]),
    }];
    let grants = vec![Grant {
        device: device.id(),
        sealed: vec![0x73; 80],
    }];
    let stated = [
        ("certified", Statement::Certified { certificate }),
        (
            "revoked",
            Statement::Revoked {
                device: device.id(),
                after,
            },
        ),
        (
            "steward",
            Statement::Steward {
                node,
                byte_budget: ByteCount(1 << 30),
            },
        ),
        ("mirror", Statement::Mirror { node }),
        (
            "epoch",
            Statement::Epoch {
                epoch: Epoch(1),
                grants,
            },
        ),
        (
            "delay",
            Statement::Delay {
                span: Span::from_days(30),
            },
        ),
        (
            "delete",
            Statement::Delete {
                labels: labels.clone(),
            },
        ),
        (
            "keep",
            Statement::Keep {
                labels: labels.clone(),
            },
        ),
    ];
    let time = Timestamp(1_790_000_000_000);
    let mut all: Vec<_> = stated
        .into_iter()
        .map(|(name, statement)| {
            let signed = SignedStatement::by_archive(statement, &keys.signing, time).unwrap();
            (name, signed)
        })
        .collect();
    all.push((
        "keep-by-device",
        SignedStatement::keep_by_device(labels, keys.archive_id(), &device, time).unwrap(),
    ));
    all
}

#[test]
fn statements_still_verify() {
    for (name, now) in statements() {
        let then = check(&format!("statement-{name}.cbor"), now.bytes());
        let then = SignedStatement::parse(&then).unwrap();
        assert!(then.verify().is_ok(), "{name}");
        assert_eq!(then, now);
    }
}

fn entries() -> Vec<tree::Entry> {
    let kinds = [
        ("block", EntryKind::BlockDevice { major: 8, minor: 1 }),
        ("char", EntryKind::CharDevice { major: 1, minor: 300 }),
        ("dir", EntryKind::Dir { tree: content(500) }),
        (
            "file",
            EntryKind::File {
                size: 1000,
                content: content(700),
                holes: vec![(0, 100), (800, 200)],
            },
        ),
        ("pipe", EntryKind::Fifo),
        ("socket", EntryKind::Socket),
        (
            "symlink",
            EntryKind::Symlink {
                target: b"../\xff".to_vec(),
            },
        ),
    ];
    kinds
        .into_iter()
        .map(|(name, kind)| tree::Entry {
            name: name.as_bytes().to_vec(),
            hard_link: matches!(kind, EntryKind::File { .. }).then_some(7),
            kind,
            meta: Metadata {
                mode: 0o4755,
                uid: 1000,
                gid: 100,
                user: Some("me".to_owned()),
                group: None,
                mtime: MTime {
                    secs: -1,
                    nanos: 999_999_999,
                },
                xattrs: vec![(b"user.note".to_vec(), b"\0x".to_vec())],
            },
        })
        .collect()
}

#[test]
fn trees_still_read() {
    let now = Tree { entries: entries() };
    let then = check("tree.bin", &now.encode().unwrap());
    assert_eq!(Tree::decode(&then).unwrap(), now);
    let deep = Content {
        depth: 2,
        len: 1 << 45,
        chunks: vec![ChunkId::from_bytes([1; 32]), ChunkId::from_bytes([2; 32])],
    };
    check_canonical("content.cbor", &deep);
}

fn snapshot() -> Snapshot {
    let origin = Origin {
        paths: vec![b"/home/me".to_vec(), b"/srv/\xfe".to_vec()],
        hostname: "laptop".to_owned(),
        username: "me".to_owned(),
        tags: vec!["weekly".to_owned()],
        start: Timestamp(1_790_000_000_000),
    };
    let counts = Counts {
        files: 3,
        dirs: 2,
        others: 1,
        bytes: ByteCount(12_345),
    };
    let mut snapshot = Snapshot::new(origin, content(900), counts, Timestamp(1_790_000_060_000));
    snapshot.warnings.push(Warning {
        path: b"/home/me/mail".to_vec(),
        kind: WarningKind::Changed,
        message: "changed while it was read".to_owned(),
    });
    snapshot.parent = Some(SnapshotId::from_bytes([0x81; 32]));
    snapshot
}

#[test]
fn snapshots_still_open() {
    check_canonical("snapshot.cbor", &snapshot());
    let sealed = seal_snapshot(&snapshot(), &keys().writer).unwrap();
    let then = check("snapshot.sealed", &sealed.bytes);
    assert_eq!(open_snapshot(&then, &keys().reader_keys()).unwrap(), snapshot());
}

/// A compressed section of two chunks and a raw one of one.
fn chunks() -> [Vec<u8>; 3] {
    let mut noise = vec![0; 2000];
    blake3::Hasher::new()
        .update(b"golden")
        .finalize_xof()
        .fill(&mut noise);
    [
        b"a nuthatch hides seeds ".repeat(40),
        b"and finds them ".repeat(30),
        noise,
    ]
}

fn pack(writer: &WriterKeys) -> SealedPack {
    let mut compressor = Compressor::new(LEVEL_DEFAULT).unwrap();
    let mut sections = Vec::new();
    for together in [&chunks()[..2], &chunks()[2..]] {
        let mut builder = SectionBuilder::new();
        for chunk in together {
            sections.extend(builder.push(writer.chunk_id(chunk), chunk));
        }
        sections.extend(builder.finish());
    }
    let mut plan = PackPlan::new(PackKind::Data);
    for section in sections {
        plan.push(compressor.compress(section).unwrap());
    }
    plan.seal(writer, Fill::Last).unwrap()
}

#[test]
fn packs_still_open_and_seal_to_the_same_bytes() {
    let keys = keys();
    let then = golden("pack.bin", &pack(&keys.writer).bytes);
    let (header, directory) = open_directory(&then, &keys.writer).unwrap();
    let key = keys.reader_keys().pack_key(&header).unwrap();
    let mut found = Vec::new();
    for (section, index) in directory.sections.iter().zip(0..) {
        let start = section.offset as usize;
        let sealed = &then[start..start + section.stored_len as usize];
        let plain = key.open_section(&directory, index, sealed).unwrap();
        for (id, chunk) in section.split(&plain) {
            assert_eq!(keys.writer.chunk_id(chunk), id);
            found.push(chunk.to_vec());
        }
    }
    found.sort();
    let mut expected = chunks().to_vec();
    expected.sort();
    assert_eq!(found, expected);
    // Another version of zstd may compress otherwise; what it sealed before must open all the same.
    if directory.encoder == encoder_version() {
        check("pack.bin", &pack(&keys.writer).bytes);
    }
}

#[test]
fn labels_still_verify() {
    let keys = keys();
    let bytes = golden("pack.bin", &pack(&keys.writer).bytes);
    let id = PackId::from_bytes(*blake3::hash(&bytes).as_bytes());
    let scheme = Scheme::new(3, 2).unwrap();
    let data = (0..scheme.data()).map(|index| {
        data_shard(scheme, &bytes, ShardIndex(index))
            .unwrap()
            .into_owned()
    });
    let shards = data.chain(coder(scheme).parity_of(&bytes));
    let pack = PackToLabel {
        archive: keys.archive_id(),
        pack: id,
        header: open_directory(&bytes, &keys.writer).unwrap().0,
        pack_len: bytes.len() as u64,
    };
    let names = shards.map(|shard| ShardId::from_bytes(*blake3::hash(&shard).as_bytes()));
    let now = pack.label(scheme, names.collect(), [0x91; 16], &device());
    let then = SignedLabel::parse(&check("label.cbor", now.bytes())).unwrap();
    assert!(then.verify().is_ok());
    assert_eq!(then, now);
}

#[test]
fn slices_still_prove_their_range() {
    // Any bytes can be a shard; these are four groups.
    let shard = golden("pack.bin", &pack(&keys().writer).bytes);
    let (len, range) = (shard.len() as u64, GROUP_LEN..3 * GROUP_LEN);
    let now = Outboard::of(&shard);
    let kept = check("outboard.bin", now.as_bytes());
    let then = Outboard::from_parts(&now.root(), len, kept).unwrap();
    let slice = slice::make(shard.as_slice(), &then, range.clone()).unwrap();
    let slice = check("slice.bin", &slice);
    let bytes = slice::verify(&now.root(), len, range.clone(), &slice).unwrap();
    assert_eq!(bytes, shard[range.start as usize..range.end as usize]);
}

/// One entry of every kind, from files of their own.
fn journal_entries() -> Vec<Entry> {
    let pack = golden("pack.bin", &[]);
    let (header, directory) = open_directory(&pack, &keys().writer).unwrap();
    let sealed = golden("snapshot.sealed", &[]);
    let mut needed = PackSet::new();
    needed.insert(LineId::from_bytes([0xa1; 16]), 0);
    needed.insert(LineId::from_bytes([0xa1; 16]), 5);
    vec![
        Entry::PackAdded {
            pack: PackId::from_bytes(*blake3::hash(&pack).as_bytes()),
            kind: PackKind::Data,
            len: pack.len() as u64,
            header: header.as_bytes().to_vec(),
            directory: codec::encode(&directory),
        },
        Entry::StripeAdded {
            label: golden("label.cbor", &[]),
        },
        Entry::SnapshotAdded {
            id: SealedSnapshot::id_of(&sealed),
            line: SnapshotLine {
                time: Timestamp(1_790_000_060_000),
                tags: vec!["weekly".to_owned()],
                bytes: ByteCount(12_345),
                files: 3,
                packs_needed: PackChange::between(&PackSet::new(), &needed).unwrap(),
                group: [0xa2; 32],
                parent: None,
            },
            sealed,
        },
        Entry::SnapshotForgotten {
            id: SnapshotId::from_bytes([0xa3; 32]),
        },
        Entry::PackRetired {
            pack: PackId::from_bytes([0xa4; 32]),
        },
    ]
}

#[test]
fn segments_still_open() {
    // Run alone, this test needs the files of the others.
    snapshots_still_open();
    labels_still_verify();
    let (writer, device, entries) = (keys().writer, device(), journal_entries());
    let first = Draft {
        position: Position::begin(&device, [0xb1; 16], None),
        entries: &entries,
        heads: &[],
        time: Timestamp(1_790_000_061_000),
    };
    let first = SignedSegment::build(&writer, &device, &first).unwrap();
    let second = Draft {
        position: Position::after(&first.head()),
        entries: &entries[3..],
        heads: &[nuthatch_format::journal::Head {
            line: LineId::from_bytes([0xb2; 16]),
            sequence: 70_000,
            segment: SegmentId::from_bytes([0xb3; 32]),
        }],
        time: Timestamp(1_790_000_062_000),
    };
    let second = SignedSegment::build(&writer, &device, &second).unwrap();
    for (name, now, expected) in [
        ("segment-0.cbor", &first, &entries[..]),
        ("segment-1.cbor", &second, &entries[3..]),
    ] {
        let then = SignedSegment::parse(check(name, now.bytes())).unwrap();
        assert!(then.verify_signature().is_ok());
        assert_eq!(then.open(&writer).unwrap().entries, expected);
        assert_eq!(&then, now);
    }
}
