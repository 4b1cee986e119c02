use nuthatch_wire::protocol::MESSAGE_LEN_MAX;

use super::{Node, PATIENCE, QUIC, TCP, ask};
use crate::control::ControlStream;
use crate::framed::PREFIX_LEN;
use crate::protocol::Protocol;
use crate::{ControlProtocol, Event, OpenError, RequestError};

#[tokio::test]
async fn a_question_comes_back_answered_over_tcp_and_over_quic() {
    for (at, listen) in [(0, TCP), (2, QUIC)] {
        let (one, two) = (Node::member(1 + at, listen), Node::member(2 + at, listen));
        one.dial(&two).await;
        let two = two.answer();
        for message in [vec![], b"who is there".to_vec(), vec![7; MESSAGE_LEN_MAX]] {
            let answer = ask(&one.transport, two.node(), ControlProtocol::Control, &message)
                .await
                .unwrap();
            assert_eq!(answer, message);
        }
        let (there, here) = (two.traffic(), one.transport.traffic_with(&two.node()));
        assert_eq!(here.received, there.sent);
        assert!(here.sent > MESSAGE_LEN_MAX as u64);
    }
}

#[tokio::test]
async fn the_asked_can_ask_back_over_the_same_connection() {
    let (one, mut two) = (Node::member(5, TCP), Node::member(6, TCP));
    one.dial(&two).await;
    two.connected().await;
    let one = one.answer();
    assert_eq!(
        ask(&two.transport, one.node(), ControlProtocol::Control, b"and you?")
            .await
            .unwrap(),
        b"and you?"
    );
}

#[tokio::test]
async fn a_question_that_is_too_long_is_refused_on_both_sides() {
    let (one, two) = (Node::member(7, TCP), Node::member(8, TCP));
    one.dial(&two).await;
    let two = two.answer();
    let long = vec![0; MESSAGE_LEN_MAX + 1];
    let here = ask(&one.transport, two.node(), ControlProtocol::Control, &long).await;
    assert!(matches!(here, Err(RequestError::TooLong { .. })));

    let protocol = Protocol::Control(ControlProtocol::Control);
    let opened = one.transport.open(two.node(), protocol).await.unwrap();
    let stream = ControlStream::new(opened, one.transport.counter(two.node()));
    let mut frame = vec![0; PREFIX_LEN];
    frame[..PREFIX_LEN].copy_from_slice(&(MESSAGE_LEN_MAX as u32 + 1).to_le_bytes());
    frame.extend(&long);
    assert!(matches!(
        stream.ask_raw(&frame, PATIENCE).await,
        Err(RequestError::RefusedAsTooLong)
    ));
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_never_given_is_no_answer() {
    let (one, mut two) = (Node::member(9, TCP), Node::member(10, TCP));
    one.dial(&two).await;
    let to = two.id();
    let answering = tokio::spawn(async move {
        for answer in [None, Some(vec![0; MESSAGE_LEN_MAX + 1])] {
            let respond = two
                .event(|event| match event {
                    Event::Request { respond, .. } => Some(respond),
                    _ => None,
                })
                .await;
            if let Some(answer) = answer {
                respond.respond(answer);
            }
        }
        two
    });
    for _ in 0..2 {
        let answer = ask(&one.transport, to, ControlProtocol::Control, b"?").await;
        assert!(matches!(answer, Err(RequestError::NoAnswer)), "{answer:?}");
    }
    drop(answering.await.unwrap());
}

#[tokio::test]
async fn questions_beyond_the_bound_hear_that_we_are_busy() {
    let (one, mut two) = (Node::member(11, TCP), Node::member(12, TCP));
    one.dial(&two).await;
    let to = two.id();
    let mut asking: Vec<_> = (0..crate::config::REQUESTS_PER_NODE_MAX)
        .map(|_| {
            let from = one.transport.clone();
            tokio::spawn(async move { ask(&from, to, ControlProtocol::Control, b"?").await })
        })
        .collect();
    let mut waiting = Vec::new();
    for _ in 0..asking.len() {
        waiting.push(
            two.event(|event| match event {
                Event::Request { respond, .. } => Some(respond),
                _ => None,
            })
            .await,
        );
    }
    assert!(matches!(
        ask(&one.transport, to, ControlProtocol::Control, b"?").await,
        Err(RequestError::Busy)
    ));
    for respond in waiting {
        respond.respond(b"!".to_vec());
    }
    for asked in asking.drain(..) {
        assert_eq!(asked.await.unwrap().unwrap(), b"!");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_at_once() {
    let (one, two) = (Node::member(13, TCP), Node::member(14, TCP));
    let asked = ask(&one.transport, two.id(), ControlProtocol::Join, b"?").await;
    assert!(matches!(asked, Err(RequestError::Open(OpenError::NotConnected))));
    assert_eq!(
        one.transport.open_bulk(two.id()).await.unwrap_err(),
        OpenError::NotConnected
    );
}
