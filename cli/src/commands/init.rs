//! `init`: an archive, its phrase shown once, and what losing it means.

use nuthatch_daemon::api::{Answer, Exit, Failure, InitAnswer, InitArchive, Request, Secret};
use nuthatch_daemon::setup::{self, NewNode};

use super::new_home::{self, NewHome};
use crate::args::InitArgs;
use crate::node;
use crate::render::{self, Collected};
use crate::run;
use crate::secrets;
use crate::session::Session;
use crate::terminal::{self, Tone, toned};

pub(super) async fn run(session: &Session, args: InitArgs) -> Result<Exit, Failure> {
    if !args.show_phrase && !terminal::shows_results() {
        let hint = "add --show-phrase, and keep what is printed secret";
        return Err(Failure::new(
            Exit::Usage,
            "phrase_unseen",
            "the phrase is shown once, and here is no terminal to show it at",
        )
        .with_hint(hint));
    }
    let passphrase = if args.no_passphrase {
        None
    } else {
        Some(
            secrets::new_passphrase(session.passphrase_file.as_deref())?
                .ok_or_else(secrets::no_passphrase)?,
        )
    };
    let unwrapped = passphrase.is_none();
    let choices = NewNode {
        name: args.name,
        quota: args.quota,
        listen: args.listen,
        no_mdns: args.no_mdns,
        survive: args.survive,
    };
    let answer = create(session, choices, passphrase).await?;
    show(session, &answer, unwrapped);
    Ok(Exit::Done)
}

async fn create(
    session: &Session,
    choices: NewNode,
    passphrase: Option<Secret>,
) -> Result<InitAnswer, Failure> {
    if let Some(client) = node::running(session).await? {
        setup::refuse_archive(session.home())?;
        setup::change_settings(session.home(), &choices)?;
        new_home::tell_later(&choices);
        let request = Request::InitArchive(InitArchive { passphrase });
        let outcome = run::perform(
            client,
            request,
            None,
            &mut Collected::default(),
            session.cancel.clone(),
        )
        .await;
        return match outcome.into_answer()? {
            Answer::Init(answer) => Ok(answer),
            _ => Err(run::unexpected_answer()),
        };
    }
    let is_here = node::is_here(session)?;
    let new = NewHome::before(session);
    let home = session.home().to_owned();
    let make = move || {
        let make = if is_here {
            setup::add_archive
        } else {
            setup::create_archive
        };
        make(&home, &choices, passphrase.as_ref())
    };
    let made = tokio::task::spawn_blocking(make)
        .await
        .map_err(|error| Failure::from_error(Exit::Failed, "internal", &error))?;
    if made.is_err() && !is_here {
        new.take_away();
    }
    let made = made?;
    Ok(InitAnswer {
        archive_id: made.archive.to_string(),
        device_id: made.device.to_string(),
        peer_id: nuthatch_daemon::peer_id_text(made.node),
        phrase: Some(made.phrase.expose().to_owned()),
    })
}

fn show(session: &Session, answer: &InitAnswer, unwrapped: bool) {
    if session.json {
        render::json_document(answer);
        return;
    }
    let mut lines = vec![
        format!("archive  {}", answer.archive_id),
        format!("device   {}", answer.device_id),
        format!("node     {}", answer.peer_id),
        String::new(),
    ];
    if let Some(phrase) = &answer.phrase {
        lines.push(toned(
            Tone::Strong,
            "The phrase. Write these 24 words on paper now: they are shown this once.",
        ));
        lines.push(String::new());
        lines.extend(phrase_lines(phrase));
        lines.extend([
            String::new(),
            "Whoever has them can read every backup of this archive. Without them, and without a machine of"
                .to_owned(),
            "yours whose passphrase you know, nobody can ever read it again: there is nobody to ask."
                .to_owned(),
            String::new(),
        ]);
    }
    if unwrapped {
        let line = "The reading keys are not wrapped: whoever has this machine's disk can read every backup.";
        lines.push(toned(Tone::Warn, line));
        lines.push(String::new());
    }
    lines.push("Next: 'nuthatch invite' makes a line for a friend; 'nuthatch up' runs the node.".to_owned());
    terminal::result_lines(&lines);
}

/// Six lines of four numbered words.
fn phrase_lines(phrase: &str) -> Vec<String> {
    let words: Vec<String> = phrase
        .split_whitespace()
        .enumerate()
        .map(|(at, word)| format!("{:>4} {word:<10}", at + 1))
        .collect();
    words
        .chunks(4)
        .map(|line| line.concat().trim_end().to_owned())
        .collect()
}
