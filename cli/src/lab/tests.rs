//! Laws of the lab's folder; those of its comparison are in a file of their own.

mod comparison;

use super::compare::{Privilege, compare, tally};
use super::folder::{AMOUNTS, BYTES_ABOUT, generate};

#[test]
fn two_runs_make_the_same_folder() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (root.path().join("one"), root.path().join("two"));
    generate(&one, &AMOUNTS).unwrap();
    generate(&two, &AMOUNTS).unwrap();
    let comparison = compare(&one, &two, Privilege::current()).unwrap();
    assert_eq!(comparison.differences, []);
    let tally = tally(&one).unwrap();
    assert!(tally.files >= 10_000, "{} files", tally.files);
    assert!(
        tally.bytes.abs_diff(BYTES_ABOUT) < BYTES_ABOUT / 8,
        "{} bytes",
        tally.bytes
    );
}
