use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nuthatch_disk::catalogue::PackRecord;
use nuthatch_format::PackId;
use nuthatch_format::pack::PackKind;
use nuthatch_jobs::Cancel;
use nuthatch_jobs::backup::{BackupParams, ResealContext, reseal};

use super::support::{Node, clock, noise, request};

/// A tree with several packs' worth of files, small and large, in several directories, one with a list of chunks of its own.
fn tree(root: &Path) {
    for dir in 0..4 {
        let path = root.join(format!("dir-{dir}"));
        fs::create_dir_all(&path).unwrap();
        for file in 0..40 {
            let text = format!("file {file} of {dir}, ").repeat(200 + 37 * file);
            fs::write(path.join(format!("small-{file}")), text).unwrap();
        }
        fs::write(path.join("large"), noise(dir, 6 << 20)).unwrap();
        fs::hard_link(path.join("large"), path.join("also-large")).unwrap();
        std::os::unix::fs::symlink("large", path.join("link")).unwrap();
    }
    fs::write(root.join("huge"), noise(99, 40 << 20)).unwrap();
}

/// Everything that a node knows of packs.
fn records(node: &Node) -> Vec<PackRecord> {
    let facts = node.catalogue.packs_page(None, 1000).unwrap();
    facts
        .iter()
        .map(|facts| node.catalogue.pack(facts.number).unwrap().unwrap())
        .collect()
}

/// Seals what can be sealed again; the packs' bytes.
fn sealed_again(node: &Node, packs: Vec<PackRecord>) -> BTreeMap<PackId, Vec<u8>> {
    let forbidden = [node.dir.path().to_owned()];
    let context = ResealContext {
        keys: &node.keys.writer,
        catalogue: &node.catalogue,
        file_cache: &node.file_cache,
        staging: &node.staging,
        forbidden: &forbidden,
        clock: &clock,
        params: BackupParams::for_cores(2),
    };
    let spool = tempfile::tempfile().unwrap();
    let mut made = BTreeMap::new();
    reseal(packs, context, spool, &Cancel::new(), |_, sealed| {
        made.insert(sealed.id, sealed.bytes);
    })
    .unwrap();
    made
}

#[test]
fn every_pack_of_unchanged_files_comes_out_byte_for_byte() {
    let (node, source) = (Node::new(), tempfile::tempdir().unwrap());
    tree(source.path());
    node.backup(&[source.path()]);
    let packs = records(&node);
    assert!(packs.len() > 4, "{}", packs.len());
    assert!(packs.iter().any(|pack| pack.kind == PackKind::Meta));
    let staged: BTreeMap<PackId, Vec<u8>> = packs
        .iter()
        .map(|pack| (pack.id, node.staging.read(&pack.id).unwrap()))
        .collect();
    for id in staged.keys() {
        node.staging.remove(id).unwrap();
    }
    assert_eq!(sealed_again(&node, packs.clone()), staged);
    // One alone, too.
    let last = packs.last().unwrap().clone();
    let one = sealed_again(&node, vec![last.clone()]);
    assert_eq!(one.get(&last.id), staged.get(&last.id));
    assert!(node.staging.list().is_empty(), "it stages nothing itself");
}

#[test]
fn packs_of_files_that_changed_or_are_gone_are_left_out_and_the_others_come_back() {
    let (node, source) = (Node::new(), tempfile::tempdir().unwrap());
    tree(source.path());
    let mut leaving_out = request(&[source.path()]);
    leaving_out.excludes = vec!["small-1*".to_owned()];
    node.try_backup(leaving_out, &nuthatch_jobs::Silent, &Cancel::new())
        .unwrap();
    let before = records(&node);
    // The end of the largest file is another now: its last pack and the trees above it are what nobody has any more.
    let mut huge = noise(99, 40 << 20);
    huge.truncate(39 << 20);
    fs::write(source.path().join("huge"), huge).unwrap();
    let made = sealed_again(&node, before.clone());
    assert!(
        !made.is_empty() && made.len() < before.len(),
        "{} of {}",
        made.len(),
        before.len()
    );
    for (id, bytes) in &made {
        assert_eq!(*blake3::hash(bytes).as_bytes(), *id.as_bytes());
    }
    // What the new state is made of can be sealed again after it was backed up, under another selection of files.
    node.backup(&[source.path()]);
    let all = records(&node);
    let new: Vec<PackRecord> = all
        .into_iter()
        .filter(|pack| before.iter().all(|old| old.id != pack.id))
        .collect();
    let made = sealed_again(&node, new.clone());
    assert_eq!(made.len(), new.len());
}

#[test]
fn without_the_memory_of_earlier_backups_nothing_is_made_and_nothing_fails() {
    let (node, source) = (Node::new(), tempfile::tempdir().unwrap());
    tree(source.path());
    node.backup(&[source.path()]);
    node.file_cache.clear().unwrap();
    assert!(sealed_again(&node, records(&node)).is_empty());
}
