use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::*;
use crate::api::{Answer, Outlet, Peers, RawPath, RowsSummary};
use crate::local_client::LocalClient;

/// Counts streamed bytes, waits for its cancellation, or fails, by the request.
struct Echo {
    cancelled: mpsc::Sender<()>,
}

impl Perform for Echo {
    fn perform(
        self: Arc<Self>,
        request: Request,
        out: Outlet,
        input: Option<Input>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            match request {
                Request::Backup(_) => {
                    let mut bytes = Vec::new();
                    input
                        .expect("an input is streamed")
                        .read_to_end(&mut bytes)
                        .await
                        .expect("it is read");
                    out.send(Message::Summary(Answer::Rows(RowsSummary {
                        rows: bytes.len() as u64,
                    })))
                    .await;
                    Ok(())
                }
                Request::Events {} => {
                    out.send(Message::Ready(crate::api::Ready {
                        peer_id: "p".to_owned(),
                        addresses: vec![],
                    }))
                    .await;
                    cancel.cancelled().await;
                    self.cancelled.send(()).await.expect("the test listens");
                    Err(Failure::interrupted())
                }
                Request::Status {} => panic!("a fault of our own"),
                _ => Err(Failure::new(Exit::NothingHere, "no_archive", "no archive").with_path(b"/\xff")),
            }
        })
    }
}

fn stdin_backup() -> Request {
    Request::Backup(Backup {
        paths: vec![],
        tags: vec![],
        excludes: vec![],
        one_file_system: false,
        dry_run: false,
        wait: None,
        wait_for_ms: 0,
        stdin_name: Some(RawPath(b"x".to_vec())),
    })
}

async fn run(home: &Path, request: Request, input: Option<Input>) -> (Result<(), Failure>, Vec<Message>) {
    let client = Arc::new(LocalClient::find(home).await.unwrap().unwrap());
    let (out, mut messages) = Outlet::new();
    let result = client
        .perform(request, out, input, CancellationToken::new())
        .await;
    let mut seen = Vec::new();
    while let Some(message) = messages.recv().await {
        seen.push(message);
    }
    (result, seen)
}

fn serve(home: &Path) -> (LocalServer, mpsc::Receiver<()>) {
    let (cancelled, seen) = mpsc::channel(1);
    (
        LocalServer::start(home, Arc::new(Echo { cancelled })).unwrap(),
        seen,
    )
}

#[tokio::test]
async fn streamed_input_arrives_whole_and_the_summary_comes_back() {
    let home = tempfile::tempdir().unwrap();
    assert!(LocalClient::find(home.path()).await.unwrap().is_none());
    let (server, _) = serve(home.path());
    assert_eq!(
        std::fs::metadata(server.socket()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let input = Box::new(io::Cursor::new(vec![7; 3_000_001]));
    let (result, messages) = run(home.path(), stdin_backup(), Some(input)).await;
    result.unwrap();
    assert_eq!(
        messages,
        [Message::Summary(Answer::Rows(RowsSummary { rows: 3_000_001 }))]
    );
    server.stop().await;
    assert!(LocalClient::find(home.path()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_failure_arrives_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let (_server, _) = serve(home.path());
    let (result, _) = run(home.path(), Request::Peers(Peers::default()), None).await;
    let expected = Failure::new(Exit::NothingHere, "no_archive", "no archive").with_path(b"/\xff");
    assert_eq!(result, Err(expected));
    let (result, _) = run(home.path(), Request::Status {}, None).await;
    assert_eq!(result.unwrap_err().kind, "internal");
}

#[tokio::test]
async fn a_closed_connection_cancels_the_job() {
    let home = tempfile::tempdir().unwrap();
    let (_server, mut cancelled) = serve(home.path());
    let client = Arc::new(LocalClient::find(home.path()).await.unwrap().unwrap());
    let (out, mut messages) = Outlet::new();
    let cancel = CancellationToken::new();
    let job = tokio::spawn(client.perform(Request::Events {}, out, None, cancel.clone()));
    assert!(matches!(messages.recv().await, Some(Message::Ready(_))));
    cancel.cancel();
    assert_eq!(job.await.unwrap(), Err(Failure::interrupted()));
    let waited = tokio::time::timeout(Duration::from_secs(20), cancelled.recv()).await;
    assert_eq!(waited, Ok(Some(())));
}

#[tokio::test]
async fn stopping_ends_jobs_with_their_word() {
    let home = tempfile::tempdir().unwrap();
    let (server, mut cancelled) = serve(home.path());
    let client = Arc::new(LocalClient::find(home.path()).await.unwrap().unwrap());
    let (out, mut messages) = Outlet::new();
    let job = tokio::spawn(client.perform(Request::Events {}, out, None, CancellationToken::new()));
    assert!(matches!(messages.recv().await, Some(Message::Ready(_))));
    server.stop().await;
    assert_eq!(job.await.unwrap(), Err(Failure::interrupted()));
    assert_eq!(cancelled.recv().await, Some(()));
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_another_file_is_not() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("node.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(LocalClient::find(home.path()).await.unwrap().is_none());
    let (server, _) = serve(home.path());
    assert!(LocalClient::find(home.path()).await.unwrap().is_some());
    server.stop().await;
    std::fs::write(&socket, b"precious").unwrap();
    let (cancelled, _) = mpsc::channel(1);
    assert!(LocalServer::start(home.path(), Arc::new(Echo { cancelled })).is_err());
    assert_eq!(std::fs::read(&socket).unwrap(), b"precious");
}

#[tokio::test]
async fn a_home_with_a_long_path_has_its_socket_elsewhere() {
    let outer = tempfile::tempdir().unwrap();
    let home = outer.path().join("h".repeat(120));
    std::fs::create_dir(&home).unwrap();
    let (server, _) = serve(&home);
    assert!(!server.socket().starts_with(&home));
    let directory = std::fs::metadata(server.socket().parent().unwrap()).unwrap();
    assert_eq!(directory.mode() & 0o777, 0o700);
    assert!(LocalClient::find(&home).await.unwrap().is_some());
    let before = server.socket().to_owned();
    server.stop().await;
    assert!(!before.exists());
    assert!(LocalClient::find(&home).await.unwrap().is_none());
}

#[tokio::test]
async fn a_request_that_is_not_known_or_not_ended_is_refused() {
    for bytes in [
        &b"{\"command\":\"fly\"}\n"[..],
        b"{\"command\":\"status\"}",
        b"\n",
    ] {
        assert!(read_request(&mut io::Cursor::new(bytes)).await.is_err());
    }
    let endless = vec![b' '; REQUEST_LEN_MAX as usize + 10];
    assert!(read_request(&mut io::Cursor::new(endless)).await.is_err());
}
