use super::*;
use crate::api::{Failure, RawPath, Request};

fn summary() -> Message {
    Message::Summary(Answer::Restore(RestoreSummary {
        files_restored: 3,
        files_unchanged: 1,
        bytes_restored: u64::MAX,
        bytes_fetched: 12,
        errors: 0,
        seconds: 1.5,
    }))
}

#[test]
fn a_message_is_the_same_after_json() {
    let entry = Message::Entry(EntryRow {
        path: ShownPath::new(b"a\xff"),
        kind: "file".to_owned(),
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 9,
        mtime: rfc3339(Timestamp(1_000)),
        target: None,
    });
    let error = Message::Error(
        Failure::new(Exit::TryLater, "silent", "no answer")
            .with_peer("12D")
            .into_notice(),
    );
    for message in [summary(), entry, error] {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message, "{text}");
    }
}

#[test]
fn the_documented_keys_stand_at_the_top() {
    let value = serde_json::to_value(summary()).unwrap();
    assert_eq!(value["message_type"], "summary");
    assert_eq!(value["answer"], "restore");
    assert_eq!(value["files_restored"], 3);
    assert_eq!(value["bytes_restored"], u64::MAX);
    let shown = serde_json::to_value(ShownPath::new(b"a\xff")).unwrap();
    assert_eq!(shown["path_b64"], "Yf8=");
}

#[test]
fn times_are_rfc_3339_in_utc() {
    assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999Z");
}

#[test]
fn a_path_that_is_not_utf_8_survives_a_request() {
    for bytes in [b"/home/me".to_vec(), b"/home/\xff\xfe".to_vec()] {
        let path = RawPath(bytes);
        let text = serde_json::to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<RawPath>(&text).unwrap(), path);
    }
    let request: Request = serde_json::from_str(r#"{"command":"peers","all":true}"#).unwrap();
    assert!(matches!(request, Request::Peers(peers) if peers.all));
}

#[test]
fn every_exit_code_is_the_exit_it_came_from() {
    for code in [0u8, 1, 2, 3, 10, 12, 13, 14, 15, 75, 130] {
        assert_eq!(Exit::try_from(code).unwrap().code(), code);
    }
    assert!(Exit::try_from(77).is_err());
}
