//! `kit`: the page to keep beside the phrase.

use nuthatch_daemon::api::{Answer, Exit, Failure, Request};

use crate::args::KitArgs;
use crate::render::{self, Collected};
use crate::run;
use crate::session::Session;
use crate::terminal;

pub(super) async fn run(session: &Session, args: &KitArgs) -> Result<Exit, Failure> {
    let outcome = run::request(session, Request::Kit {}, None, &mut Collected::default()).await?;
    let Answer::Kit(kit) = outcome.into_answer()? else {
        return Err(run::unexpected_answer());
    };
    if let Some(file) = &args.out {
        let text = render::kit_text(&kit) + "\n";
        std::fs::write(file, text).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "unwritable",
                format!("can't write {}: {error}", file.display()),
            )
        })?;
        terminal::note_line(&format!(
            "The kit is in {}: print it, and keep it apart from the 24 words.",
            terminal::escaped(&file.display().to_string())
        ));
    }
    if session.json {
        render::json_document(&kit);
    } else if args.out.is_none() {
        terminal::result_line(&render::kit_text(&kit));
    }
    Ok(Exit::Done)
}
