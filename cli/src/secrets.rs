//! Where passphrases and phrases come from: a file, standard input, or a prompt. Never from arguments, never into logs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use nuthatch_daemon::api::{Exit, Failure, Secret};
use zeroize::Zeroizing;

use crate::terminal;

/// Longest file with a secret in bytes: far more than any passphrase, far less than a mistaken file.
const FILE_LEN_MAX: u64 = 64 * 1024;

/// A passphrase to unlock with.
pub(crate) fn passphrase(file: Option<&Path>) -> Result<Secret, Failure> {
    match file {
        Some(file) => first_line(file),
        None if terminal::can_ask() => ask("Passphrase: "),
        None => Err(nowhere(
            "passphrase",
            "name a file with --passphrase-file or NUTHATCH_PASSPHRASE_FILE",
        )),
    }
}

/// A new passphrase: asked twice, so that a typing error locks nobody out. `None` where there is no file and no terminal.
pub(crate) fn new_passphrase(file: Option<&Path>) -> Result<Option<Secret>, Failure> {
    if let Some(file) = file {
        return first_line(file).map(Some);
    }
    if !terminal::can_ask() {
        return Ok(None);
    }
    let first = ask("New passphrase (unlocks reading on this machine): ")?;
    let second = ask("The same again: ")?;
    if first.expose() != second.expose() {
        return Err(Failure::new(
            Exit::Usage,
            "passphrases_differ",
            "the two passphrases differ",
        ));
    }
    Ok(Some(first))
}

/// The failure of a command that needs a new passphrase and has none.
pub(crate) fn no_passphrase() -> Failure {
    let hint = "name a file with --passphrase-file or NUTHATCH_PASSPHRASE_FILE, or say --no-passphrase to keep the keys unwrapped";
    nowhere("passphrase", hint)
}

/// The 24 words; whether they are words at all is checked by whoever uses them.
pub(crate) fn phrase(file: Option<&Path>) -> Result<Secret, Failure> {
    match file {
        Some(file) => read_file(file).map(|text| Secret::new(text.trim().to_owned())),
        None if terminal::can_ask() => ask("The 24 words (they are not shown): "),
        None => Err(nowhere(
            "phrase",
            "name a file with --phrase-file or NUTHATCH_PHRASE_FILE",
        )),
    }
}

/// Whether a secret is to be read from standard input, which then has nothing else to give.
pub(crate) fn takes_input(file: Option<&Path>) -> bool {
    file == Some(Path::new("-"))
}

fn nowhere(what: &str, hint: &str) -> Failure {
    let message = format!("there is no terminal to ask for the {what}, and no file with it");
    Failure::new(Exit::Usage, "no_secret", message).with_hint(hint)
}

fn ask(prompt: &str) -> Result<Secret, Failure> {
    let text = rpassword::prompt_password(prompt).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "no_terminal",
            format!("can't ask at the terminal: {error}"),
        )
    })?;
    not_empty(&Zeroizing::new(text))
}

fn first_line(file: &Path) -> Result<Secret, Failure> {
    let text = read_file(file)?;
    not_empty(&Zeroizing::new(text.lines().next().unwrap_or("").to_owned()))
}

fn not_empty(text: &Zeroizing<String>) -> Result<Secret, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "empty_secret",
            "an empty passphrase protects nothing",
        )
        .with_hint("where that is wanted, say --no-passphrase"));
    }
    Ok(Secret::new(text.as_str().to_owned()))
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let unreadable = |reason: String| {
        Failure::new(
            Exit::Usage,
            "unreadable_secret",
            format!("can't read the secret from {}: {reason}", path.display()),
        )
    };
    let mut text = Zeroizing::new(String::new());
    let read = if takes_input(Some(path)) {
        bounded(io::stdin().lock(), &mut text)
    } else {
        File::open(path).and_then(|file| bounded(file, &mut text))
    };
    read.map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(unreadable(format!("it has more than {FILE_LEN_MAX} bytes")));
    }
    Ok(text)
}

fn bounded(source: impl Read, text: &mut String) -> io::Result<usize> {
    source.take(FILE_LEN_MAX + 1).read_to_string(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_passphrase_is_the_first_line_as_it_stands() {
        let file = file_with(" with spaces \nand more\n");
        assert_eq!(passphrase(Some(file.path())).unwrap().expose(), " with spaces ");
        let file = file_with("\nsecond");
        assert_eq!(passphrase(Some(file.path())).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_phrase_may_stand_on_several_lines() {
        let file = file_with("one two\nthree\n\n");
        assert_eq!(phrase(Some(file.path())).unwrap().expose(), "one two\nthree");
    }

    #[test]
    fn a_file_too_long_for_a_secret_is_refused() {
        let file = file_with(&"x".repeat(FILE_LEN_MAX as usize + 1));
        assert_eq!(phrase(Some(file.path())).unwrap_err().kind, "unreadable_secret");
    }
}
