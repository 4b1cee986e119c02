//! The house's own rules, checked: who may import whom, what thinking crates may not name, how files begin and how long they are,
//! which words are not written. Reads the repository, changes nothing.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests are not seen as tests (rust-clippy issue 11119)"
)]

mod imports;
mod sources;

use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies in the repository")
        .to_owned()
}

/// Fails with all that was found, so that one run shows everything.
fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}
