//! `snapshots`, `ls`, `restore`, `verify`: what needs the reading key.

use nuthatch_daemon::api::{
    Answer, Exit, Failure, Ls, Message, Request, Restore, Snapshots, Verify, VerifyDepth,
};

use crate::args::{LsArgs, RestoreArgs, SnapshotsArgs, VerifyArgs};
use crate::node;
use crate::render::{self, Collected, HumanView, JsonLines, RowForm, View};
use crate::run;
use crate::session::Session;
use crate::terminal;

pub(super) async fn snapshots(session: &Session, args: SnapshotsArgs) -> Result<Exit, Failure> {
    let asks_for_content = args.host.is_some() || args.path.is_some();
    let reader_key = if asks_for_content {
        Some(node::reader_key(session).await?)
    } else {
        node::reader_key_at_hand(session).await?
    };
    let path = args.path.as_deref().map(super::absolute).transpose()?;
    let request = Snapshots {
        tag: args.tag,
        host: args.host,
        path,
        reader_key,
    };
    let mut view = Collected::default();
    run::request(session, Request::Snapshots(request), None, &mut view)
        .await?
        .into_answer()?;
    let rows: Vec<_> = view
        .rows
        .into_iter()
        .filter_map(|row| {
            if let Message::Snapshot(row) = row {
                Some(row)
            } else {
                None
            }
        })
        .collect();
    if session.json {
        render::json_line(&rows);
    } else if rows.is_empty() {
        terminal::result_line("there is no such snapshot");
    } else {
        terminal::result_line(&render::snapshots_table(&rows));
    }
    Ok(Exit::Done)
}

pub(super) async fn ls(session: &Session, args: LsArgs) -> Result<Exit, Failure> {
    let reader_key = Some(node::reader_key(session).await?);
    let form = if args.long { RowForm::Long } else { RowForm::Short };
    let mut view: Box<dyn View> = if session.json {
        Box::new(JsonLines)
    } else {
        Box::new(HumanView::new(form))
    };
    let request = Request::Ls(Ls {
        part: args.part,
        recursive: args.recursive,
        reader_key,
    });
    let outcome = run::request(session, request, None, view.as_mut()).await?;
    super::conclude(session, outcome, |answer| {
        matches!(answer, Answer::Rows(_)).then(Vec::new)
    })
}

pub(super) async fn restore(session: &Session, args: RestoreArgs) -> Result<Exit, Failure> {
    let target = super::absolute(&args.target)?;
    let reader_key = Some(node::reader_key(session).await?);
    let request = Restore {
        part: args.part,
        target,
        includes: args.includes,
        excludes: args.excludes,
        overwrite: args.overwrite.into(),
        dry_run: args.dry_run,
        reader_key,
    };
    let is_dry_run = request.dry_run;
    let mut view = super::work_view(session);
    let outcome = run::request(session, Request::Restore(request), None, view.as_mut()).await?;
    super::conclude(session, outcome, |answer| match answer {
        Answer::Restore(summary) => Some(render::restore_lines(summary, is_dry_run)),
        _ => None,
    })
}

pub(super) async fn verify(session: &Session, args: VerifyArgs) -> Result<Exit, Failure> {
    let depth = match (args.quick, args.read_data) {
        (true, _) => VerifyDepth::Quick,
        (false, true) => VerifyDepth::ReadData,
        (false, false) => VerifyDepth::Metadata,
    };
    let reader_key = match depth {
        VerifyDepth::Quick => node::reader_key_at_hand(session).await?,
        VerifyDepth::Metadata | VerifyDepth::ReadData => Some(node::reader_key(session).await?),
    };
    let request = Request::Verify(Verify {
        snapshot: args.snapshot,
        depth,
        reader_key,
    });
    let mut view = super::work_view(session);
    let outcome = run::request(session, request, None, view.as_mut()).await?;
    super::conclude(session, outcome, |answer| match answer {
        Answer::Verify(summary) => Some(render::verify_lines(summary)),
        _ => None,
    })
}
