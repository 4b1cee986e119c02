//! Rules about the text of source files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{none, root};

/// Folders with sources.
const FOLDERS: [&str; 7] = ["erasure", "storage", "net", "node", "cli", "simulations", "tests"];

/// Folders of crates that think.
const THINKING: [&str; 5] = [
    "erasure/src",
    "storage/format/src",
    "net/wire/src",
    "node/engine/src",
    "simulations/src",
];

/// The one file in those folders that may touch the world: the entry point of a binary reads its arguments and ends with a code, and
/// the worlds it runs take neither from anywhere else.
const ENTRY_POINT: &str = "simulations/src/main.rs";

/// What a thinking crate does not name.
const WORLD: [&str; 11] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "time::Instant",
    "time::SystemTime",
    "Instant::now",
    "tokio::",
    "libp2p::",
];

/// Lines of code at which a file is two things.
const CODE_LINES_MAX: usize = 500;

/// File names that say nothing.
const EMPTY_NAMES: [&str; 10] = [
    "utils", "util", "misc", "common", "manager", "helper", "helpers", "mod2", "stuff", "types2",
];

/// Words that are never right in code. Written in parts, because this file is a source too.
fn banned_words() -> Vec<String> {
    [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("todo", "!("),
        ("unimplemented", "!("),
        ("#[ig", "nore"),
        ("db", "g!("),
        ("Man", "ager"),
        ("bl", "ob"),
    ]
    .into_iter()
    .map(|(head, tail)| format!("{head}{tail}"))
    .collect()
}

/// Paths of one machine, which mean nothing on another.
fn machine_paths() -> Vec<String> {
    [
        ("/ro", "ot/"),
        ("/wo", "rk/"),
        ("/tmp/", "bash"),
        ("target", "-cli"),
    ]
    .into_iter()
    .map(|(head, tail)| format!("{head}{tail}"))
    .collect()
}

/// A source file.
struct Source {
    /// Below the root, with `/`.
    name: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.name.ends_with("/tests.rs")
            || self.name.contains("/tests/")
            || self.name.contains("/benches/")
            || self.name.starts_with("tests/")
    }

    /// The lines outside `#[cfg(test)] mod tests { … }` at the end, with their numbers.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self
            .text
            .find("#[cfg(test)]\nmod tests {")
            .unwrap_or(self.text.len());
        self.text
            .get(..end)
            .unwrap_or_default()
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }

    /// The same without comments.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.product_lines().filter(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with("//")
        })
    }
}

fn walk(directory: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() && path.join("CACHEDIR.TAG").exists() {
            continue;
        }
        if path.is_dir() {
            walk(&path, extensions, found);
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
        {
            found.push(path);
        }
    }
}

fn read(extensions: &[&str]) -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    for folder in FOLDERS {
        walk(&root.join(folder), extensions, &mut paths);
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| Source {
            name: path
                .strip_prefix(&root)
                .expect("it lies in the repository")
                .to_string_lossy()
                .into_owned(),
            text: fs::read_to_string(&path).expect("a source is text"),
        })
        .collect()
}

fn sources() -> Vec<Source> {
    read(&["rs"])
}

#[test]
fn every_file_says_what_it_owns() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.is_test() && !source.text.starts_with("//! "));
    none(
        "a file opens with //! and what it owns",
        &silent.map(|source| source.name).collect::<Vec<_>>(),
    );
}

#[test]
fn no_file_is_two_things() {
    let mut long = Vec::new();
    for source in sources() {
        let count = source.code_lines().count();
        if count > CODE_LINES_MAX {
            long.push(format!("{}: {count} lines of code", source.name));
        }
    }
    none("a file has at most 500 lines of code", &long);
}

#[test]
fn thinking_crates_name_nothing_of_the_world() {
    let mut found = Vec::new();
    for source in sources() {
        let thinks = THINKING.iter().any(|folder| source.name.starts_with(folder));
        if source.is_test() || source.name == ENTRY_POINT || !thinks {
            continue;
        }
        for (at, line) in source.code_lines() {
            if let Some(word) = WORLD.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}:{at}: {word}", source.name));
            }
        }
    }
    none("thinking crates own no clock, disk, socket or thread", &found);
}

#[test]
fn only_the_transport_names_libp2p() {
    let name = format!("{}{}", "libp2p", "::");
    let named = sources()
        .into_iter()
        .filter(|source| !source.name.starts_with("net/transport/"));
    let found: Vec<_> = named
        .filter(|source| source.name != "tests/tidy/sources.rs")
        .filter(|source| source.code_lines().any(|(_, line)| line.contains(&name)))
        .map(|source| source.name)
        .collect();
    none("libp2p lives in net/transport alone", &found);
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let mut found = Vec::new();
    for source in sources() {
        let empty = source
            .name
            .split('/')
            .any(|part| EMPTY_NAMES.contains(&part.trim_end_matches(".rs")));
        if empty {
            found.push(source.name);
        }
    }
    none("a file is named for what it holds", &found);
}

#[test]
fn banned_words_are_not_written() {
    let mut found = Vec::new();
    for source in sources() {
        for word in banned_words() {
            for (at, line) in source
                .text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains(&word))
            {
                found.push(format!("{}:{}: {}", source.name, at + 1, line.trim()));
            }
        }
    }
    none("one word, one thing; nothing half done", &found);
}

#[test]
fn nothing_speaks_of_one_machine() {
    let mut texts = read(&["rs", "toml", "md"]);
    for name in ["README.md", "Cargo.toml", ".ci/run"] {
        let text = fs::read_to_string(root().join(name)).expect("it is there");
        texts.push(Source {
            name: name.to_owned(),
            text,
        });
    }
    let mut docs = Vec::new();
    walk(&root().join("docs"), &["md"], &mut docs);
    texts.extend(docs.into_iter().map(|path| Source {
        name: path.display().to_string(),
        text: fs::read_to_string(&path).expect("a page is text"),
    }));
    let mut found = Vec::new();
    for source in texts {
        found.extend(
            machine_paths()
                .iter()
                .filter(|path| source.text.contains(*path))
                .map(|path| format!("{}: {path}", source.name)),
        );
    }
    none("paths of one machine mean nothing on another", &found);
}
