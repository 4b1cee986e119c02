//! Laws of what a node does for a single command: how far it reaches.

use std::path::Path;

use crate::api::{
    Backup, CancellationToken, Message, Outlet, Peers, Perform as _, RawPath, Request, Snapshots,
};
use crate::setup::{self, NewNode};

use super::*;

/// A home with an archive and nobody else in its circle.
fn home(directory: &Path) -> std::path::PathBuf {
    let home = directory.join("home");
    setup::create_archive(&home, &NewNode::default(), None).expect("a home is made");
    home
}

async fn started(home: &Path, reach: Reach) -> Arc<Node> {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    Node::start(home, NodeOptions { listen, reach })
        .await
        .expect("a node starts")
}

/// Performs a request with a node that reaches as far as it must; whether it met others, and the answer.
async fn performed(home: &Path, request: Request) -> (bool, serde_json::Value) {
    let node = started(home, request.reach()).await;
    let reaches_others = node.meets_others();
    let (out, mut messages) = Outlet::new();
    let performing = Arc::clone(&node).perform(request, out, None, CancellationToken::new());
    performing.await.expect("it is answered");
    let mut last = None;
    while let Some(message) = messages.recv().await {
        last = Some(message);
    }
    node.shutdown().await;
    let Some(Message::Summary(answer)) = last else {
        panic!("no answer: {last:?}");
    };
    (
        reaches_others,
        serde_json::to_value(answer).expect("an answer is JSON"),
    )
}

fn backup(path: &Path) -> Request {
    Request::Backup(Backup {
        paths: vec![RawPath::from(path)],
        tags: Vec::new(),
        excludes: Vec::new(),
        one_file_system: false,
        dry_run: false,
        wait: None,
        wait_for_ms: 0,
        stdin_name: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_home_is_answered_without_a_network() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = home(directory.path());
    let snapshots = Request::Snapshots(Snapshots {
        tag: None,
        host: None,
        path: None,
        reader_key: None,
    });
    let questions = [
        ("status", Request::Status {}),
        ("peers", Request::Peers(Peers { all: true })),
        ("kit", Request::Kit {}),
        ("rows", snapshots),
    ];
    for (kind, question) in questions {
        assert_eq!(question.reach(), Reach::Home);
        let (reaches_others, answer) = performed(&home, question).await;
        assert!(!reaches_others, "{kind}");
        assert_eq!(answer["answer"], kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_where_there_is_nobody_else_starts_no_network() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = home(directory.path());
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("file"), b"content").expect("a file");
    let (reaches_others, answer) = performed(&home, backup(&folder)).await;
    assert!(!reaches_others);
    assert_eq!(answer["protection"], "staged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_to_listen_meets_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = home(directory.path());
    for (reach, meets_others) in [
        (Reach::Home, false),
        (Reach::Members, false),
        (Reach::Anybody, true),
        (Reach::Listening, true),
    ] {
        let node = started(&home, reach).await;
        assert_eq!(node.meets_others(), meets_others, "{reach:?}");
        let listens = !node.ready().await.addresses.is_empty();
        assert_eq!(listens, reach == Reach::Listening, "{reach:?}");
        node.shutdown().await;
    }
}
