//! Standard output and standard error: what may be written there, and how names that others chose are made harmless.
//!
//! Results go to standard output, everything else to standard error. A closed pipe ends the printing, never the work.

use std::io::{self, IsTerminal as _, Write as _};

/// Whether a person sits at standard error.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person can be asked: both the keyboard and the screen are there.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether results go to a person's screen.
pub(crate) fn shows_results() -> bool {
    io::stdout().is_terminal()
}

/// A line of results.
pub(crate) fn result_line(line: &str) {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(line.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    if let Err(error) = written {
        tracing::debug!("standard output takes no more: {error}");
    }
}

/// Lines of results.
pub(crate) fn result_lines(lines: &[String]) {
    for line in lines {
        result_line(line);
    }
}

/// A line about the work: warnings, errors, prompts.
pub(crate) fn note_line(line: &str) {
    if let Err(error) = writeln!(io::stderr().lock(), "{line}") {
        tracing::debug!("standard error takes no more: {error}");
    }
}

/// Whether colours are wanted at a screen: `NO_COLOR` says no (no-color.org).
pub(crate) fn wants_colour(is_screen: bool) -> bool {
    is_screen && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How a word stands out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    /// It is well.
    Good,
    /// It needs a look.
    Warn,
    /// It is wrong.
    Bad,
    /// It matters.
    Strong,
    /// It matters less.
    Quiet,
}

/// The word in its tone, for standard output.
pub(crate) fn toned(tone: Tone, word: &str) -> String {
    paint(tone, word, wants_colour(shows_results()))
}

/// The word in its tone, for standard error.
pub(crate) fn toned_note(tone: Tone, word: &str) -> String {
    paint(tone, word, wants_colour(is_watched()))
}

fn paint(tone: Tone, word: &str, coloured: bool) -> String {
    if !coloured {
        return word.to_owned();
    }
    let code = match tone {
        Tone::Good => "32",
        Tone::Warn => "33",
        Tone::Bad => "31",
        Tone::Strong => "1",
        Tone::Quiet => "2",
    };
    format!("\u{1b}[{code}m{word}\u{1b}[0m")
}

/// A text that others chose, with everything that could move the cursor, change colours or turn the reading direction escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Characters that change how others are shown: direction marks and overrides, zero-width ones, line separators.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(escaped("ok name é"), "ok name é");
        assert_eq!(escaped("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(escaped("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn no_colour_leaves_words_as_they_are() {
        assert_eq!(paint(Tone::Bad, "word", false), "word");
        assert_eq!(paint(Tone::Bad, "word", true), "\u{1b}[31mword\u{1b}[0m");
    }
}
