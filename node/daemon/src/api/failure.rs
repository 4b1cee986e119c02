//! How a request fails: an exit code that scripts rely on, a kind, a sentence, and what to do. Never rendered here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::message::{Notice, ShownPath};

/// How a command ends. The numbers are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Exit {
    /// 0: done, all of it.
    Done,
    /// 1: failed.
    Failed,
    /// 2: wrong usage.
    Usage,
    /// 3: done, but some files could not be read or restored.
    Incomplete,
    /// 10: no archive or node here.
    NothingHere,
    /// 12: wrong passphrase or phrase.
    WrongSecret,
    /// 13: damage found.
    Damage,
    /// 14: not enough hosts, even with all that are away.
    NotEnoughHosts,
    /// 15: a drill failed.
    DrillFailed,
    /// 75: would work with those that are away, busy or full.
    TryLater,
    /// 130: interrupted; the next run continues.
    Interrupted,
}

impl Exit {
    const ALL: [Self; 11] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Incomplete,
        Self::NothingHere,
        Self::WrongSecret,
        Self::Damage,
        Self::NotEnoughHosts,
        Self::DrillFailed,
        Self::TryLater,
        Self::Interrupted,
    ];

    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::NothingHere => 10,
            Self::WrongSecret => 12,
            Self::Damage => 13,
            Self::NotEnoughHosts => 14,
            Self::DrillFailed => 15,
            Self::TryLater => 75,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit.code()
    }
}

impl TryFrom<u8> for Exit {
    type Error = String;

    fn try_from(code: u8) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|exit| exit.code() == code)
            .ok_or_else(|| format!("no exit has the code {code}"))
    }
}

/// Why a request failed, in a form that a script and a person can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code that the command ends with.
    pub exit: Exit,
    /// A short word in snake case for scripts: `wrong_bytes`, `silent`, `no_archive`.
    pub kind: String,
    /// What went wrong, with what. Lower case, no full stop; names from disk or network not yet escaped.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The node that it is about.
    pub peer_id: Option<String>,
    /// The file that it is about.
    pub path: Option<Box<ShownPath>>,
}

impl Failure {
    /// A failure with an exit code, a kind and a sentence.
    pub fn new(exit: Exit, kind: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind: kind.to_owned(),
            message: message.into(),
            hint: None,
            peer_id: None,
            path: None,
        }
    }

    /// The job was cancelled.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "interrupted")
            .with_hint("run the command again: it goes on where it was")
    }

    /// The same failure, saying what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, naming the node.
    #[must_use]
    pub fn with_peer(mut self, peer_id: impl Into<String>) -> Self {
        self.peer_id = Some(peer_id.into());
        self
    }

    /// The same failure, naming the file.
    #[must_use]
    pub fn with_path(mut self, path: &[u8]) -> Self {
        self.path = Some(Box::new(ShownPath::new(path)));
        self
    }

    /// A failure that carries an error and its sources in one line.
    pub fn from_error(exit: Exit, kind: &str, error: &dyn std::error::Error) -> Self {
        Self::new(exit, kind, chain(error))
    }

    /// As the last message of a stream.
    pub fn into_notice(self) -> Notice {
        let (path, path_b64) = self
            .path
            .map_or((None, None), |shown| (Some(shown.path), shown.path_b64));
        Notice {
            code: self.exit.code(),
            kind: self.kind,
            message: self.message,
            hint: self.hint,
            peer_id: self.peer_id,
            path,
            path_b64,
        }
    }

    /// Back from the last message of a stream. An unknown code is exit 1.
    pub fn from_notice(notice: Notice) -> Self {
        Self {
            exit: Exit::try_from(notice.code).unwrap_or(Exit::Failed),
            kind: notice.kind,
            message: notice.message,
            hint: notice.hint,
            peer_id: notice.peer_id,
            path: notice.path.map(|path| {
                Box::new(ShownPath {
                    path,
                    path_b64: notice.path_b64,
                })
            }),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error and its sources, each once, joined by colons.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let line = inner.to_string();
        if !text.ends_with(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        source = inner.source();
    }
    text
}
