use std::os::unix::ffi::OsStrExt as _;

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_whole_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_in_its_help() {
    for command in Cli::command().get_subcommands() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(help.contains("Examples:"), "{}", command.get_name());
    }
}

#[test]
fn a_part_is_taken_apart_at_the_first_colon() {
    let part = values::snapshot_part("latest~2:/a:b".as_ref());
    assert_eq!(
        (part.snapshot.as_str(), part.path.map(|path| path.0)),
        ("latest~2", Some(b"/a:b".to_vec()))
    );
    let part = values::snapshot_part("1f3a".as_ref());
    assert!(part.path.is_none());
    let part = values::snapshot_part(std::ffi::OsStr::from_bytes(b"latest:/\xff"));
    assert_eq!(part.path.map(|path| path.0), Some(b"/\xff".to_vec()));
}

#[test]
fn only_ids_and_latest_name_snapshots() {
    for good in ["1f3a", "latest", "latest~0", "latest~12"] {
        assert_eq!(values::check_snapshot(good), Ok(()), "{good}");
    }
    for bad in ["", "latest~", "latest~-1", "latest2", "xyz", "latest~x"] {
        assert!(values::check_snapshot(bad).is_err(), "{bad}");
    }
}

#[test]
fn exclude_files_have_comments() {
    assert_eq!(
        values::exclude_lines("# no\n\n *.tmp \n#*\ncache/\n"),
        ["*.tmp", "cache/"]
    );
}

#[test]
fn contradictions_are_wrong_usage() {
    for line in [
        "nuthatch backup",
        "nuthatch backup a --stdin --stdin-name b",
        "nuthatch backup --stdin",
        "nuthatch backup a --wait-for 1m",
        "nuthatch verify --quick --read-data",
        "nuthatch restore latest",
        "nuthatch restore nothing --target x",
        "nuthatch invite --uses 0",
        "nuthatch lab --nodes 1",
        "nuthatch bac a",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}
