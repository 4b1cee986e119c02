//! Whole nodes: separate processes of the built program, driven only through the command line, on loopback.
//!
//! What the command line promises is held here: exit codes, JSON, and above all that everything comes back.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are not seen as tests (rust-clippy issue 11119)"
)]

mod accidents;
mod alone;
mod attacker;
mod audits;
mod circle;
#[expect(dead_code, reason = "the lab's comparison: not all of it is needed here")]
#[path = "../../cli/src/lab/compare.rs"]
mod compare;
mod contract;
mod devices;
mod economy;
#[expect(dead_code, reason = "the lab's folder: not all of it is needed here")]
#[path = "../../cli/src/lab/folder.rs"]
mod folder;
mod giving;
mod harness;
mod homes;
mod hostile;
mod keeping;
mod lab;
mod lan;
mod members;
mod one_friend;
mod resume;
mod stewards;
mod strangers;
