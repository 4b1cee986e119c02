//! Whole jobs against real files: backup into staging, and back.
#![expect(
    clippy::unwrap_used,
    reason = "helper functions of tests are not seen as tests"
)]
#![expect(
    unreachable_pub,
    reason = "shared between this test and the bench, not an interface"
)]

#[path = "jobs/backup.rs"]
mod backup;
#[path = "jobs/damage.rs"]
mod damage;
#[path = "jobs/paths.rs"]
mod paths;
#[path = "jobs/reseal.rs"]
mod reseal;
#[path = "jobs/restore.rs"]
mod restore;
#[path = "jobs/support.rs"]
mod support;
