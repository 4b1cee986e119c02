//! Imports run down: cli, node, net, storage, erasure; never back, never in a ring. Thinking crates know nothing of the world.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::{none, root};

/// Which crates of ours each crate may name. Tests may name no other either, but for those below.
const TABLE: [(&str, &[&str]); 11] = [
    ("nuthatch-erasure", &[]),
    ("nuthatch-format", &["nuthatch-erasure"]),
    ("nuthatch-disk", &["nuthatch-format", "nuthatch-erasure"]),
    ("nuthatch-wire", &["nuthatch-format", "nuthatch-erasure"]),
    ("nuthatch-transport", &["nuthatch-wire", "nuthatch-format"]),
    (
        "nuthatch-engine",
        &["nuthatch-wire", "nuthatch-format", "nuthatch-erasure"],
    ),
    ("nuthatch-jobs", &["nuthatch-disk", "nuthatch-format"]),
    (
        "nuthatch-daemon",
        &[
            "nuthatch-engine",
            "nuthatch-jobs",
            "nuthatch-transport",
            "nuthatch-disk",
            "nuthatch-wire",
            "nuthatch-format",
            "nuthatch-erasure",
        ],
    ),
    ("nuthatch", &["nuthatch-daemon", "nuthatch-format"]),
    ("nuthatch-simulations", &["nuthatch-engine", "nuthatch-format"]),
    ("nuthatch-tests", &[]),
];

/// Crates of ours that tests alone may name besides: whole nodes are attacked by one that speaks the protocols itself.
const FOR_TESTS: [(&str, &[&str]); 1] = [("nuthatch", &["nuthatch-transport", "nuthatch-wire"])];

/// Crates that think: pure and deterministic.
const THINKING: [&str; 5] = [
    "nuthatch-erasure",
    "nuthatch-format",
    "nuthatch-wire",
    "nuthatch-engine",
    "nuthatch-simulations",
];

/// What touches the world, or brings entropy along.
const WORLD: [&str; 16] = [
    "tokio",
    "tokio-util",
    "futures",
    "libp2p",
    "axum",
    "hyper",
    "redb",
    "rustix",
    "xattr",
    "getrandom",
    "rayon",
    "crossbeam-channel",
    "parking_lot",
    "jiff",
    "tracing",
    "tempfile",
];

/// What only the transport may name.
const NETWORK: [&str; 4] = ["libp2p", "yamux", "quinn-proto", "rustls"];

/// Of foreign crates, those with one home, besides the network.
const ONE_HOME: [(&str, &[&str]); 4] = [
    ("redb", &["nuthatch-disk"]),
    ("clap", &["nuthatch"]),
    ("axum", &["nuthatch-daemon"]),
    ("reed-solomon-erasure", &["nuthatch-erasure"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo describes the workspace")
}

fn names(package: &Package, kind: DependencyKind) -> Vec<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == kind)
        .map(|dependency| dependency.name.as_str())
        .collect()
}

#[test]
fn every_crate_is_in_the_table_and_imports_only_downwards() {
    let metadata = metadata();
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == package.name.as_str()) else {
            found.push(format!("{} is not in the table", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let is_ours = TABLE.iter().any(|(name, _)| *name == dependency.name);
            let for_tests = dependency.kind == DependencyKind::Development
                && FOR_TESTS.iter().any(|(name, besides)| {
                    *name == package.name.as_str() && besides.contains(&dependency.name.as_str())
                });
            if is_ours && !for_tests && !allowed.contains(&dependency.name.as_str()) {
                found.push(format!("{} imports {}", package.name, dependency.name));
            }
        }
    }
    assert_eq!(
        metadata.packages.len(),
        TABLE.len(),
        "the table names crates that are gone"
    );
    none("imports run down", &found);
}

#[test]
fn the_table_has_no_ring() {
    for (at, (name, allowed)) in TABLE.iter().enumerate() {
        for lower in *allowed {
            let place = TABLE
                .iter()
                .position(|(other, _)| other == lower)
                .expect("the table names itself only");
            assert!(place < at, "{name} may not stand above {lower}");
        }
    }
}

#[test]
fn thinking_crates_import_nothing_of_the_world() {
    let mut found = Vec::new();
    for package in metadata()
        .packages
        .iter()
        .filter(|package| THINKING.contains(&package.name.as_str()))
    {
        for name in names(package, DependencyKind::Normal) {
            if WORLD.contains(&name) || NETWORK.contains(&name) {
                found.push(format!("{} imports {name}", package.name));
            }
        }
    }
    none(
        "thinking crates own no clock, disk, socket, thread or entropy",
        &found,
    );
}

#[test]
fn foreign_crates_stay_where_they_belong() {
    let mut found = Vec::new();
    for package in &metadata().packages {
        for name in names(package, DependencyKind::Normal) {
            if NETWORK.contains(&name) && package.name.as_str() != "nuthatch-transport" {
                found.push(format!("{} imports {name}", package.name));
            }
            let homes = ONE_HOME.iter().find(|(foreign, _)| *foreign == name);
            if homes.is_some_and(|(_, homes)| !homes.contains(&package.name.as_str())) {
                found.push(format!("{} imports {name}", package.name));
            }
        }
    }
    none("some crates are imported at one place only", &found);
}

#[test]
fn every_version_stands_in_the_workspace() {
    let mut found = Vec::new();
    for (directory, text) in manifests() {
        for line in text
            .lines()
            .filter(|line| line.contains("version = \"") || line.contains("path = \"../"))
        {
            let is_test_path = line.trim_start().starts_with("path = \"../tests/");
            if !is_test_path {
                found.push(format!("{directory}: {line}"));
            }
        }
        if !text.contains("[lints]\nworkspace = true") {
            found.push(format!("{directory}: does not take the workspace's lints"));
        }
    }
    none("versions and lints are written once, at the root", &found);
}

/// The manifest of each crate of ours.
fn manifests() -> Vec<(String, String)> {
    let packages = metadata().packages;
    let read = |package: &Package| {
        let text = std::fs::read_to_string(&package.manifest_path).expect("a manifest is readable");
        (package.name.to_string(), text)
    };
    packages.iter().map(read).collect()
}
