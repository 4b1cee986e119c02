use std::fs;

use nuthatch_format::pack::PackKind;
use nuthatch_format::padding::Fill;
use nuthatch_format::seal::{PackPlan, SealedPack};
use nuthatch_format::section::{Compressor, LEVEL_DEFAULT, SectionBuilder};
use nuthatch_format::{ChunkId, DeviceId, PackId, SnapshotId};
use nuthatch_jobs::ReadContext;
use nuthatch_jobs::verify::{self, DamageKind, Effort, VerifyReport, VerifyRequest};
use nuthatch_jobs::{Cancel, PackSource, Silent, WarningKind};

use super::support::{BAD_HOST, Fault, Node, facts, noise, pack_added};

fn verified(node: &Node, id: &SnapshotId, effort: Effort, source: &dyn PackSource) -> VerifyReport {
    let keys = node.reader();
    let context = ReadContext {
        keys: &keys,
        catalogue: &node.catalogue,
        source,
    };
    let request = VerifyRequest {
        snapshots: vec![(*id, node.snapshot(id))],
        effort,
    };
    verify::run(&request, context, &Silent, &Cancel::new()).unwrap()
}

fn packs_of(node: &Node, kind: PackKind) -> Vec<PackId> {
    let facts = node.catalogue.packs_page(None, 1000).unwrap();
    facts
        .into_iter()
        .filter(|pack| pack.kind == kind)
        .map(|pack| pack.id)
        .collect()
}

/// A pack whose directory says that it holds this chunk, which it does not.
fn false_claim(node: &Node, id: ChunkId, len: usize) -> SealedPack {
    let keys = &node.keys.writer;
    let rubbish = noise(666, len);
    let mut builder = SectionBuilder::new();
    let section = builder
        .push(keys.chunk_id(&rubbish), &rubbish)
        .or_else(|| builder.finish())
        .unwrap();
    let mut plan = PackPlan::new(PackKind::Data);
    plan.push(Compressor::new(LEVEL_DEFAULT).unwrap().compress(section).unwrap());
    let mut pack = plan.seal(keys, Fill::Last).unwrap();
    pack.directory.sections[0].chunks[0].id = id;
    pack
}

/// Two files backed up by an honest device, into a journal in which a device has claimed their chunks before, as long as `lie_len` says.
fn lied_about(
    contents: &[Vec<u8>],
    lie_len: impl Fn(usize) -> usize,
) -> (Node, tempfile::TempDir, Vec<PackId>) {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    for (number, content) in contents.iter().enumerate() {
        fs::write(files.path().join(number.to_string()), content).unwrap();
    }
    // The lies are in the journal first, so they are what a reader tries first. A writer believes them: so the files go in elsewhere.
    let honest = Node::new();
    honest.backup(&[files.path()]);
    let mut lies = Vec::new();
    for content in contents {
        let id = node.keys.writer.chunk_id(content);
        let lie = false_claim(&node, id, lie_len(content.len()));
        node.staging.put_pack(&lie).unwrap();
        node.apply(2, vec![pack_added(&lie)]);
        lies.push(lie.id);
    }
    for pack in honest.packs() {
        let bytes = honest.staging.read(&pack).unwrap();
        node.staging.put_pack_bytes(&pack, &bytes).unwrap();
        let (header, directory) = nuthatch_format::open::open_directory(&bytes, &node.keys.writer).unwrap();
        let entry = nuthatch_format::journal::Entry::PackAdded {
            pack,
            kind: header.kind(),
            len: bytes.len() as u64,
            header: header.as_bytes().to_vec(),
            directory: nuthatch_format::codec::encode(&directory),
        };
        node.apply(1, vec![entry]);
    }
    for content in contents {
        let id = node.keys.writer.chunk_id(content);
        assert_eq!(node.catalogue.lookup(&id).unwrap().len(), 2);
    }
    (node, files, lies)
}

#[test]
fn a_false_claim_is_passed_over_and_its_device_named() {
    let contents = [noise(1, 50_000)];
    let (node, files, lies) = lied_about(&contents, |len| len);
    let target = tempfile::tempdir().unwrap();
    let report = node.backup(&[files.path()]);
    assert_eq!(report.packs_new, 0);
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!((restored.errors, restored.files_restored), (0, 1));
    assert_eq!(facts(target.path()), facts(files.path()));
    let warning = &restored.warnings[0];
    assert_eq!(
        (warning.kind, warning.device),
        (WarningKind::FalseClaim, Some(DeviceId::from_bytes([2; 32])))
    );
    let found = verified(&node, &report.snapshot, Effort::EveryByte, &node.source());
    assert_eq!(found.damaged.len(), 1);
    assert_eq!(
        (found.damaged[0].kind, found.damaged[0].pack),
        (DamageKind::FalseClaim, Some(lies[0]))
    );
}

#[test]
fn a_false_length_costs_no_file() {
    let contents = [noise(1, 50_000), noise(2, 60_000)];
    let (node, files, _) = lied_about(&contents, |len| len - 1);
    let target = tempfile::tempdir().unwrap();
    let report = node.backup(&[files.path()]);
    let restored = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!(
        (restored.errors, restored.files_restored),
        (0, 2),
        "{:?}",
        restored.warnings
    );
    assert_eq!(facts(target.path()), facts(files.path()));
    // Found out once, the device is not asked again.
    let false_claims = restored
        .warnings
        .iter()
        .filter(|warning| warning.kind == WarningKind::FalseClaim);
    assert_eq!(false_claims.count(), 1);
}

#[test]
fn wrong_bytes_come_from_elsewhere_and_their_host_is_named() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(files.path().join("a"), noise(1, 3 << 20)).unwrap();
    let report = node.backup(&[files.path()]);
    for kind in [PackKind::Data, PackKind::Meta] {
        let source = node.source();
        source.faults.lock().unwrap().extend(
            packs_of(&node, kind)
                .into_iter()
                .map(|pack| (pack, Fault::OneHost)),
        );
        let request = node.restore_request(&report.snapshot, Some(files.path()), target.path());
        let restored = node
            .try_restore(&request, &source, &Silent, &Cancel::new())
            .unwrap();
        assert_eq!(restored.errors, 0, "{:?}", restored.warnings);
        let warning = &restored.warnings[0];
        assert_eq!(
            (warning.kind, warning.host),
            (WarningKind::WrongBytes, Some(BAD_HOST))
        );
        assert_eq!(facts(target.path()), facts(files.path()));
        fs::remove_file(target.path().join("a")).unwrap();
    }
}

#[test]
fn a_damaged_pack_costs_its_files_and_no_others() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    for number in 0..4 {
        fs::write(files.path().join(number.to_string()), noise(number, 9 << 20)).unwrap();
    }
    let report = node.backup(&[files.path()]);
    let bad = packs_of(&node, PackKind::Data)[0];
    for (is_away, kind, damage) in [
        (false, WarningKind::Damaged, DamageKind::WrongBytes),
        (true, WarningKind::Unavailable, DamageKind::Unavailable),
    ] {
        let source = node.source();
        if is_away {
            source.away.lock().unwrap().push(bad);
        } else {
            source.faults.lock().unwrap().insert(bad, Fault::Everywhere);
        }
        let request = node.restore_request(&report.snapshot, Some(files.path()), target.path());
        let restored = node
            .try_restore(&request, &source, &Silent, &Cancel::new())
            .unwrap();
        assert!((1..4).contains(&restored.errors), "{restored:?}");
        assert_eq!(
            restored.files_restored + restored.files_unchanged + restored.errors,
            4
        );
        assert_eq!(
            restored
                .warnings
                .iter()
                .filter(|warning| warning.kind == kind)
                .count() as u64,
            restored.errors
        );
        let found = verified(&node, &report.snapshot, Effort::EveryByte, &source);
        assert!(
            found
                .damaged
                .iter()
                .all(|found| found.kind == damage && found.pack == Some(bad))
        );
        assert!(!found.damaged.is_empty());
    }
    // With everything there again it goes on.
    let again = node.restore(&report.snapshot, Some(files.path()), target.path());
    assert_eq!(again.errors, 0);
    assert_eq!(facts(target.path()), facts(files.path()));
}

#[test]
fn lost_trees_are_said_and_what_can_be_read_comes_back() {
    let (node, files, target) = (
        Node::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(files.path().join("a"), b"x").unwrap();
    let report = node.backup(&[files.path()]);
    let source = node.source();
    source
        .away
        .lock()
        .unwrap()
        .extend(packs_of(&node, PackKind::Meta));
    let request = node.restore_request(&report.snapshot, None, target.path());
    let restored = node
        .try_restore(&request, &source, &Silent, &Cancel::new())
        .unwrap();
    assert_eq!(
        (restored.errors, restored.warnings[0].kind),
        (1, WarningKind::Unavailable)
    );
    let found = verified(&node, &report.snapshot, Effort::Metadata, &source);
    assert_eq!(
        (found.damaged.len(), found.damaged[0].kind),
        (1, DamageKind::Unavailable)
    );
}

#[test]
fn verifying_reads_metadata_or_every_byte_and_finds_nothing_in_a_good_archive() {
    let (node, files) = (Node::new(), tempfile::tempdir().unwrap());
    for number in 0..3 {
        fs::write(files.path().join(number.to_string()), noise(number, 9 << 20)).unwrap();
    }
    let report = node.backup(&[files.path()]);
    let plain = verified(&node, &report.snapshot, Effort::Metadata, &node.source());
    assert_eq!((plain.damaged_count, plain.packs), (0, report.packs_new));
    assert!(plain.bytes_read < 1 << 20);
    let full = verified(&node, &report.snapshot, Effort::EveryByte, &node.source());
    assert_eq!((full.damaged_count, full.packs), (0, report.packs_new));
    assert!(full.bytes_read >= report.bytes_stored);
}
