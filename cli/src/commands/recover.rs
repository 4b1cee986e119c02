//! `recover`: from 24 words and an address to a device of the archive.

use nuthatch_daemon::api::{
    Answer, Exit, Failure, Message, Recover, RecoverAnswer, Request, Secret, SnapshotRow,
};
use nuthatch_daemon::setup::{self, NewNode};

use super::new_home;
use crate::args::RecoverArgs;
use crate::render::{self, HumanView, RowForm, View, words};
use crate::run;
use crate::secrets;
use crate::session::Session;
use crate::terminal::{self, Tone};

/// Shows progress, and keeps the snapshots that `--list` is about.
struct RecoverView {
    inner: Option<HumanView>,
    snapshots: Vec<SnapshotRow>,
}

impl View for RecoverView {
    fn show(&mut self, message: Message) {
        match (message, &mut self.inner) {
            (Message::Snapshot(row), _) => self.snapshots.push(row),
            (message, Some(inner)) => inner.show(message),
            (Message::Warning(notice), None) => render::warning(&notice),
            (_, None) => {}
        }
    }

    fn end(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.end();
        }
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
    let new = new_home::prepare(session, &choices)?;
    let request = Request::Recover(Recover {
        phrase,
        passphrase,
        peers: args.peers,
        list_only,
    });
    let mut view = RecoverView {
        inner: (!session.json).then(|| HumanView::new(RowForm::Short)),
        snapshots: Vec::new(),
    };
    let result = match run::request(session, request, None, &mut view).await {
        Ok(outcome) => outcome.into_answer(),
        Err(failure) => Err(failure),
    };
    if (result.is_err() || list_only)
        && let Some(new) = new
    {
        new.take_away();
    }
    let Answer::Recover(answer) = result? else {
        return Err(run::unexpected_answer());
    };
    show(session, answer, &view.snapshots);
    Ok(Exit::Done)
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

fn show(session: &Session, answer: RecoverAnswer, snapshots: &[SnapshotRow]) {
    if session.json {
        for row in snapshots {
            render::json_line(&Message::Snapshot(row.clone()));
        }
        render::json_line(&Message::Summary(Answer::Recover(answer)));
        return;
    }
    if !snapshots.is_empty() {
        terminal::result_line(&render::snapshots_table(snapshots));
    }
    terminal::result_line(&format!("archive  {}", answer.archive_id));
    let word = if answer.hosts == 1 {
        "on one host's word: it alone could hide newer ones".to_owned()
    } else {
        format!("on the word of {} hosts", answer.hosts)
    };
    terminal::result_line(&format!(
        "found    {}, {word}",
        words::plural(answer.snapshots, "snapshot")
    ));
    if answer.device_id.is_some() {
        terminal::result_line("This machine is a device of the archive now.");
        terminal::result_line("Next: 'nuthatch snapshots', then 'nuthatch restore latest --target DIR'");
    }
}
