//! The whole story on one machine: real nodes, a real backup, real destruction, a real recovery, and a strict comparison.
//!
//! Every node is a child process `nuthatch --home … up`, every step a child command; to destroy is SIGKILL and removal of the home.
//! Loopback only, no mDNS. Nothing outside the lab's own directory is written; a folder that was given is only read.

mod children;
mod compare;
mod folder;
mod plan;
mod scene;
mod story;

use nuthatch_daemon::api::{Exit, Failure};
use nuthatch_daemon::clock;
use serde::Serialize;

use crate::args::LabArgs;
use crate::render::words::{count, entries, plural, rate, size};
use crate::session::Session;

use compare::{Comparison, Privilege};
use plan::{LabDirectory, Plan};
use scene::Scene;
use story::Story;

/// What the lab found.
#[derive(Debug, Serialize)]
struct LabSummary {
    message_type: &'static str,
    nodes: u8,
    lost: u8,
    files: u64,
    bytes: u64,
    backup_seconds: f64,
    recover_seconds: f64,
    restore_seconds: f64,
    differences: u64,
}

/// `nuthatch lab`.
pub(crate) async fn run(session: &Session, args: LabArgs) -> Result<Exit, Failure> {
    let plan = Plan::new(&args)?;
    let directory = LabDirectory::create(args.keep)?;
    let story = Story::new(session.json);
    // When a person interrupts, everything that the story has started is dropped with it: children are killed.
    let result = tokio::select! {
        result = tell(&plan, &directory, &story) => result,
        () = session.cancel.cancelled() => Err(Failure::interrupted().with_hint("nothing of it is left running")),
    };
    story.quiet();
    if args.keep {
        story.aside(&format!("Everything is left in {}", directory.path().display()));
    }
    directory.finish();
    let summary = result?;
    let exit = if summary.differences == 0 {
        Exit::Done
    } else {
        Exit::Failed
    };
    story.summary(&summary);
    Ok(exit)
}

/// The story from beginning to end.
async fn tell(plan: &Plan, directory: &LabDirectory, story: &Story) -> Result<LabSummary, Failure> {
    story.title(plan);
    let source = prepare_folder(plan, directory, story).await?;
    plan.check_space(directory.path(), source.bytes)?;
    let mut scene = begin_circle(plan, directory, story).await?;
    let backup_seconds = back_up(&mut scene, &source, story).await?;
    destroy(&mut scene, plan, story).await?;
    let recover_seconds = recover(&mut scene, story).await?;
    let (target, restore_seconds) = restore(&scene, &source, story).await?;
    let comparison = check(&source, target, story).await?;
    scene.end().await;
    Ok(LabSummary {
        message_type: "summary",
        nodes: plan.nodes,
        lost: plan.lose,
        files: source.files,
        bytes: source.bytes,
        backup_seconds,
        recover_seconds,
        restore_seconds,
        differences: comparison.difference_count,
    })
}

/// What is backed up.
struct Source {
    path: std::path::PathBuf,
    files: u64,
    bytes: u64,
}

async fn prepare_folder(plan: &Plan, directory: &LabDirectory, story: &Story) -> Result<Source, Failure> {
    story.begin("Folder");
    let start = clock::instant();
    let (path, made) = if let Some(path) = &plan.source {
        (path.clone(), None)
    } else {
        plan.check_space(directory.path(), folder::BYTES_ABOUT)?;
        let path = directory.path().join("your-folder");
        let target = path.clone();
        (
            path,
            Some(blocking(move || folder::generate(&target, &folder::AMOUNTS)).await?),
        )
    };
    let counted = path.clone();
    let tally = blocking(move || compare::tally(&counted)).await?;
    let what = format!(
        "{} and {} of data in {}",
        entries(tally.entries),
        size(tally.bytes),
        path.display()
    );
    story.done("Folder", &what, clock::seconds_since(start), None);
    if let Some(made) = made {
        story.detail("generated: text and noise, large and small, links, pipes, holes, attributes, strange names and old dates");
        for left_out in made.left_out {
            story.detail(&format!("left out: {left_out}"));
        }
    }
    if tally.needs_root > 0 && !Privilege::current().is_root {
        story.detail(&format!(
            "{} only the superuser could restore exactly (devices, other people's files): not compared",
            plural(tally.needs_root, "thing")
        ));
    }
    Ok(Source {
        path,
        files: tally.files,
        bytes: tally.bytes,
    })
}

async fn begin_circle(plan: &Plan, directory: &LabDirectory, story: &Story) -> Result<Scene, Failure> {
    story.begin("Nodes");
    let start = clock::instant();
    let scene = Scene::begin(plan, directory.path(), story).await?;
    let what = format!(
        "you and {}: {}",
        plural(u64::from(plan.hosts()), "friend"),
        scene.host_names()
    );
    story.done("Nodes", &what, clock::seconds_since(start), None);
    story.detail("each is a process of its own with a disk folder of its own; you hold the 24 words");
    Ok(scene)
}

async fn back_up(scene: &mut Scene, source: &Source, story: &Story) -> Result<f64, Failure> {
    story.begin("Backup");
    let start = clock::instant();
    let backup = scene.back_up(&source.path, story).await?;
    let span = clock::seconds_since(start);
    let what = format!(
        "{} read, {} after finding repetitions and packing",
        size(backup.bytes_processed),
        size(backup.bytes_stored)
    );
    story.done("Backup", &what, span, Some(rate(source.bytes, span)));
    let hosts = u64::from(scene.hosts_alive());
    story.detail(&format!(
        "encrypted on your machine, then spread: each friend keeps about {} that they can't read",
        size(backup.bytes_sent / hosts.max(1))
    ));
    let sentence = match backup.survives_losses {
        0 => "everything is kept by your friend, and there is no spare".to_owned(),
        1 => format!("whichever one of the {hosts} friends is lost, the others can give everything back"),
        losses => {
            format!("whichever {losses} of the {hosts} friends are lost, the others can give everything back")
        }
    };
    story.detail(&sentence);
    Ok(span)
}

async fn destroy(scene: &mut Scene, plan: &Plan, story: &Story) -> Result<(), Failure> {
    story.begin("Disaster");
    let start = clock::instant();
    let gone = scene.destroy(plan.lose).await?;
    let friends = match gone.as_slice() {
        [] => String::new(),
        [one] => format!(", and so is {one}"),
        [most @ .., last] => format!(", and so are {} and {last}", most.join(", ")),
    };
    story.done(
        "Disaster",
        &format!("your computer is destroyed{friends}"),
        clock::seconds_since(start),
        None,
    );
    story.detail("killed without warning, their disk folders deleted: keys, settings, everything");
    Ok(())
}

async fn recover(scene: &mut Scene, story: &Story) -> Result<f64, Failure> {
    story.begin("Recovery");
    let start = clock::instant();
    let recovered = scene.recover(story).await?;
    let span = clock::seconds_since(start);
    let what = format!(
        "a new computer, the 24 words and the address of {}: {} and {} found",
        recovered.asked,
        plural(recovered.hosts, "friend"),
        plural(recovered.snapshots, "snapshot")
    );
    story.done("Recovery", &what, span, None);
    Ok(span)
}

async fn restore(
    scene: &Scene,
    source: &Source,
    story: &Story,
) -> Result<(std::path::PathBuf, f64), Failure> {
    story.begin("Restore");
    let start = clock::instant();
    let restored = scene.restore(&source.path, story).await?;
    let span = clock::seconds_since(start);
    let what = format!("{}, {}", entries(restored.entries), size(restored.bytes));
    story.done("Restore", &what, span, Some(rate(restored.bytes, span)));
    Ok((restored.target, span))
}

async fn check(source: &Source, target: std::path::PathBuf, story: &Story) -> Result<Comparison, Failure> {
    story.begin("Comparison");
    let start = clock::instant();
    let left = source.path.clone();
    let comparison = blocking(move || compare::compare(&left, &target, Privilege::current())).await?;
    let span = clock::seconds_since(start);
    if comparison.difference_count == 0 {
        let what = format!(
            "{} compared, byte by byte and attribute by attribute: everything came back",
            count(comparison.entries)
        );
        story.done("Comparison", &what, span, None);
    } else {
        let what = format!(
            "{} in {}",
            plural(comparison.difference_count, "difference"),
            entries(comparison.entries)
        );
        story.failed("Comparison", &what, span);
        for difference in &comparison.differences {
            story.detail(&difference.to_string());
        }
    }
    Ok(comparison)
}

/// Runs what reads and writes files on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::from_error(Exit::Failed, "internal", &error))?
        .map_err(|error| {
            Failure::from_error(Exit::Failed, "lab_files", &error)
                .with_hint("nothing outside the lab's own directory was changed")
        })
}

#[cfg(test)]
mod tests;
