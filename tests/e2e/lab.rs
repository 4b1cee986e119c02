//! The lab itself: the story on one machine, told by the program.

use std::path::Path;

use crate::harness::{Ran, World, finish};

fn lab(world: &World, args: &[&str], folder: Option<&Path>) -> Ran {
    let mut command = world.home("unused").command();
    command
        .env("TMPDIR", world.path(""))
        .args(["--json", "lab"])
        .args(args)
        .args(folder);
    finish(command, None)
}

#[test]
fn everything_comes_back_after_the_losses_that_were_asked_for() {
    for (nodes, lose) in [("2", "0"), ("3", "1"), ("12", "3")] {
        let world = World::new();
        let folder = world.folder("folder");
        let ran = lab(&world, &["--nodes", nodes, "--lose", lose], Some(&folder)).ended(0);
        let summary = ran.summary();
        assert_eq!(summary["differences"], 0, "{summary}");
        assert_eq!(
            (summary["nodes"].to_string(), summary["lost"].to_string()),
            (nodes.to_owned(), lose.to_owned())
        );
        let left = std::fs::read_dir(world.path("")).unwrap().count();
        assert_eq!(left, 1, "only the folder is left");
        assert!(
            !world.home("unused").path.exists(),
            "the lab touches no home of ours"
        );
    }
}

#[test]
fn the_story_that_a_newcomer_runs_first_has_a_good_end() {
    let world = World::new();
    let ran = lab(&world, &[], None).ended(0);
    let summary = ran.summary();
    assert_eq!((&summary["nodes"], &summary["lost"]), (&6.into(), &2.into()));
    assert!(
        summary["files"].as_u64() >= Some(10_000) && summary["differences"] == 0,
        "{summary}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_wrong_usage() {
    let world = World::new();
    lab(&world, &[], Some(&world.path("missing"))).ended(2);
}
