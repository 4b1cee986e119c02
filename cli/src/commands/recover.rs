//! `recover`: from 24 words and an address to a device of the archive.

use nuthatch_daemon::api::{
    Answer, Exit, Failure, Message, Recover, RecoverAnswer, Request, Secret, SnapshotRow,
};
use nuthatch_daemon::setup::{self, NewNode};

use super::new_home::{self, ScratchHome};
use crate::args::RecoverArgs;
use crate::render::{self, View, words};
use crate::run;
use crate::secrets;
use crate::session::Session;
use crate::terminal::{self, Tone};

/// Shows the work; for people the snapshots of `--list` are kept, to be one table.
struct RecoverView {
    inner: Box<dyn View>,
    is_json: bool,
    snapshots: Vec<SnapshotRow>,
}

impl View for RecoverView {
    fn show(&mut self, message: Message) {
        match message {
            Message::Snapshot(row) if !self.is_json => self.snapshots.push(row),
            message => self.inner.show(message),
        }
    }

    fn end(&mut self) {
        self.inner.end();
    }
}

pub(super) async fn run(session: &Session, args: RecoverArgs) -> Result<Exit, Failure> {
    if secrets::takes_input(session.phrase_file.as_deref())
        && secrets::takes_input(session.passphrase_file.as_deref())
    {
        return Err(Failure::new(
            Exit::Usage,
            "two_inputs",
            "standard input can give the phrase or the passphrase, not both",
        ));
    }
    let phrase = secrets::phrase(session.phrase_file.as_deref())?;
    setup::parse_phrase(&phrase)?;
    let passphrase = passphrase(session, &args)?;
    let list_only = args.list;
    let choices = NewNode {
        name: args.name,
        quota: None,
        listen: args.listen,
        no_mdns: args.no_mdns,
        survive: None,
    };
    let request = Request::Recover(Recover {
        phrase,
        passphrase,
        peers: args.peers,
        list_only,
    });
    if list_only {
        // Nothing of a look stays on this machine: neither keys nor a home that looks like a device's.
        let scratch = ScratchHome::new()?;
        let session = session.at(scratch.path().to_owned());
        return perform(&session, &choices, request).await;
    }
    perform(session, &choices, request).await
}

async fn perform(session: &Session, choices: &NewNode, request: Request) -> Result<Exit, Failure> {
    let new = new_home::prepare(session, choices)?;
    let mut view = RecoverView {
        inner: super::work_view(session),
        is_json: session.json,
        snapshots: Vec::new(),
    };
    let result = run::request(session, request, None, &mut view).await;
    if !matches!(&result, Ok(outcome) if outcome.failure.is_none())
        && let Some(new) = new
    {
        new.take_away();
    }
    super::conclude(session, result?, |answer| match answer {
        Answer::Recover(answer) => Some(lines(answer, &view.snapshots)),
        _ => None,
    })
}

/// The passphrase that will wrap the keys here. Without one they stay unwrapped, and that is said.
fn passphrase(session: &Session, args: &RecoverArgs) -> Result<Option<Secret>, Failure> {
    if args.list {
        return Ok(None);
    }
    let given = if args.no_passphrase {
        None
    } else {
        secrets::new_passphrase(session.passphrase_file.as_deref())?
    };
    if given.is_none() {
        let line = "warning: the reading keys stay unwrapped here: whoever has this machine's disk can read every backup";
        terminal::note_line(&terminal::toned_note(Tone::Warn, line));
    }
    Ok(given)
}

fn lines(answer: &RecoverAnswer, snapshots: &[SnapshotRow]) -> Vec<String> {
    let mut lines = Vec::new();
    if !snapshots.is_empty() {
        lines.push(render::snapshots_table(snapshots));
    }
    let word = if answer.hosts == 1 {
        "on one host's word: it alone could hide newer ones".to_owned()
    } else {
        format!("on the word of {} hosts", answer.hosts)
    };
    let found = words::plural(answer.snapshots, "snapshot");
    lines.extend([
        format!("archive  {}", answer.archive_id),
        format!("found    {found}, {word}"),
    ]);
    if answer.device_id.is_some() {
        lines.extend([
            "This machine is a device of the archive now.".to_owned(),
            "Next: 'nuthatch snapshots', then 'nuthatch restore latest --target DIR'".to_owned(),
        ]);
    }
    lines
}
