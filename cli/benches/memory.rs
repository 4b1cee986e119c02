//! Peak of resident memory of whole processes in a loopback circle of six, at two sizes: `cargo bench -p nuthatch --bench memory`.
//!
//! `NUTHATCH_BENCH_MIB` is the larger size in MiB (default 3072); the smaller is a tenth of it. Of each process the kernel's own
//! high-water mark (`VmHWM`) is shown. Ends with code 1 where a peak is over the bound or grows with the data.

#[expect(dead_code, reason = "shared by two benches: not all of it is needed here")]
#[path = "support/circle.rs"]
mod support;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use support::{Circle, Node, back_up, mib_or, restore, write_data};

/// Most memory that any process may take, in KiB.
const PEAK_KIB_MAX: u64 = 150 << 10;

/// Most that a peak may grow when the data are ten times as much.
const GROWTH_MAX: f64 = 1.1;

fn main() -> ExitCode {
    let larger = mib_or(3072);
    let measured = measure(larger / 10).and_then(|small| Ok((small, measure(larger)?)));
    match measured {
        Ok((small, large)) => report(larger, &small, &large),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Peaks by what was done, in KiB.
type Peaks = Vec<(&'static str, u64)>;

fn report(larger: u64, small: &Peaks, large: &Peaks) -> ExitCode {
    println!(
        "peak of resident memory, MiB      {:>6} MiB {larger:>6} MiB   growth",
        larger / 10
    );
    let mut good = true;
    for ((what, small), (_, large)) in small.iter().zip(large) {
        let growth = *large as f64 / *small as f64;
        let kept = *large <= PEAK_KIB_MAX && growth <= GROWTH_MAX;
        good &= kept;
        println!(
            "{what:<34}{:>10.1} {:>10.1} {growth:>8.2}{}",
            *small as f64 / 1024.0,
            *large as f64 / 1024.0,
            if kept { "" } else { "   over the bound" }
        );
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn measure(mib: u64) -> io::Result<Peaks> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let (data, target) = (root.join("data"), root.join("back"));
    write_data(&data, mib, 1)?;
    let circle = Circle::begin(root)?;
    let mut peaks = Peaks::new();
    let mut note = |what, kib: u64| {
        eprintln!("{mib} MiB: {what}: {:.1} MiB", kib as f64 / 1024.0);
        peaks.push((what, kib));
    };

    let node = Node::start(&circle.owner)?;
    back_up(&circle.owner, &data)?;
    note("owner's node, backup", node.peak_kib());
    node.lose()?;
    let new = root.join("new");
    note("recover, a command", circle.recover(&new)?.peak_kib);
    note("restore, a command", restore(&new, &data, &target)?.peak_kib);
    fs::remove_dir_all(&target)?;
    let node = Node::start(&new)?;
    restore(&new, &data, &target)?;
    fs::remove_dir_all(&target)?;
    note("new owner's node, restore", node.peak_kib());
    drop(node);
    note("largest host, all of that", largest(&circle));

    // Other bytes, so that nothing is known yet.
    write_data(&data, mib, 2)?;
    note("backup, a command", back_up(&new, &data)?.peak_kib);
    check(&new, &data, &target)?;
    note("largest host, at the end", largest(&circle));
    Ok(peaks)
}

fn check(home: &Path, data: &Path, target: &Path) -> io::Result<()> {
    restore(home, data, target).map(drop)
}

fn largest(circle: &Circle) -> u64 {
    circle.hosts.iter().map(Node::peak_kib).max().unwrap_or(0)
}
